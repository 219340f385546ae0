# SPDX-License-Identifier: Apache-2.0
"""One query against a shortlist of 1,000 candidates, beside the strongest robust estimators.

Frames carry a detector's noise (1 px, 0.25 in log-scale, 12 degrees); those of wrong matches are
random. Peers see the centres alone, as they can use no more, at 3 px, which suits them best.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness

harness.single_thread()

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import poselib  # noqa: E402

from trouvaille import _core, geometry  # noqa: E402

SIZE = np.array([1024.0, 768.0])
CORNERS = np.array([[0, 0, 1], [1024, 0, 1], [1024, 768, 1], [0, 768, 1.0]])
MATCHES = 100
PEER_THRESHOLD, TRIALS, CONFIDENCE = 3.0, 2000, 0.999


def rotations(angles: Any) -> Any:
    c, s = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def random_frames(rng: np.random.Generator, n: int) -> Any:
    scales = np.exp(rng.uniform(np.log(2), np.log(16), n))
    linear = scales[:, None, None] * rotations(rng.uniform(-np.pi, np.pi, n))
    return np.concatenate([linear, rng.uniform(0, SIZE, (n, 2))[:, :, None]], 2)


def random_affine(rng: np.random.Generator) -> Any:
    linear = rng.uniform(0.6, 1.5) * rotations(np.radians(rng.uniform(-40, 40)))
    linear = linear @ (np.eye(2) + rng.uniform(-0.15, 0.15, (2, 2)))
    return np.c_[linear, SIZE / 2 - linear @ SIZE / 2 + rng.uniform(-80, 80, 2)]


def detected(rng: np.random.Generator, frames: Any, transform: Any) -> Any:
    """What an isotropic, noisy detector finds of `frames` in the other image."""
    n = len(frames)
    linear = transform[:, :2] @ frames[:, :, :2]
    turn = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
    turn += np.radians(rng.normal(0, 12, n))
    scale = np.sqrt(np.linalg.det(linear)) * np.exp(rng.normal(0, 0.25, n))
    centres = frames[:, :, 2] @ transform[:, :2].T + transform[:, 2] + rng.normal(0, 1, (n, 2))
    return np.concatenate([scale[:, None, None] * rotations(turn), centres[:, :, None]], 2)


class Shortlist:
    """Candidates of 100 matches each, `counts[i]` of them right, in a random order."""

    def __init__(self, counts: list[int], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        query = random_frames(rng, 400)
        frames, matches, self.truth, self.right = [], [], [], []
        for count in counts:
            chosen = rng.permutation(400)[:MATCHES]
            right = rng.permutation(MATCHES) < count
            transform = random_affine(rng)
            image = detected(rng, query[chosen], transform)
            frames.append(np.where(right[:, None, None], image, random_frames(rng, MATCHES)))
            matches.append(np.c_[chosen, np.arange(MATCHES)])
            self.truth.append(transform)
            self.right.append(right)
        offsets = np.arange(len(counts) + 1) * MATCHES
        self.counts = np.array(counts)
        self.arguments = {
            "query_frames": query.astype(np.float32),
            "candidate_frames": np.concatenate(frames).astype(np.float32),
            "frame_offsets": offsets,
            "matches": np.concatenate(matches).astype(np.int32),
            "match_offsets": offsets,
        }
        self.points = [
            (query[m[:, 0], :, 2], f[:, :, 2]) for m, f in zip(matches, frames, strict=True)
        ]


Answers = list[tuple[Any, Any]]  # a 3 x 3 (or None) and a mask of inliers, for each candidate


def ours(shortlist: Shortlist) -> Answers:
    found = geometry.verify(**shortlist.arguments, threads=1)
    return list(zip(found.transforms, found.inliers.reshape(-1, MATCHES), strict=True))


def opencv(method: int) -> Callable[[Shortlist], Answers]:
    def run(shortlist: Shortlist) -> Answers:
        return [
            cv2.findHomography(p, q, method, PEER_THRESHOLD, maxIters=TRIALS, confidence=CONFIDENCE)
            for p, q in shortlist.points
        ]

    return run


def opencv_affine(shortlist: Shortlist) -> Answers:
    return [
        cv2.estimateAffine2D(
            p,
            q,
            method=cv2.RANSAC,
            ransacReprojThreshold=PEER_THRESHOLD,
            maxIters=TRIALS,
            confidence=CONFIDENCE,
        )
        for p, q in shortlist.points
    ]


def pose_lib(shortlist: Shortlist) -> Answers:
    options = {
        "max_reproj_error": PEER_THRESHOLD,
        "max_iterations": TRIALS,
        "min_iterations": 100,
        "success_prob": CONFIDENCE,
    }
    answers = []
    for p, q in shortlist.points:
        transform, info = poselib.estimate_homography(p, q, options, {})
        answers.append((transform, np.asarray(info["inliers"])))
    return answers


CONTENDERS = {
    "ours": ours,
    "cv2 RHO": opencv(cv2.RHO),
    "cv2 USAC_FAST": opencv(cv2.USAC_FAST),
    "cv2 estimateAffine2D": opencv_affine,
    "poselib": pose_lib,
}


def corner_error(transform: Any, truth: Any) -> float:
    if transform is None or not np.isfinite(transform).all():
        return np.inf
    mapped = CORNERS @ np.asarray(transform).T
    if mapped.shape[1] == 3:
        mapped = mapped[:, :2] / mapped[:, 2:]
    return float(np.linalg.norm(mapped - CORNERS @ truth.T, axis=1).mean())


def area_under_curve(positive: Any, negative: Any) -> float:
    """The chance that a positive scores above a negative; equal scores count half."""
    order = np.sort(negative)
    below = np.searchsorted(order, positive, "left") + np.searchsorted(order, positive, "right")
    return float(below.mean() / 2 / len(negative))


def quality(shortlist: Shortlist, answers: Answers) -> dict[str, float]:
    masks = [
        np.zeros(MATCHES, bool) if mask is None else np.asarray(mask).ravel() > 0
        for _, mask in answers
    ]
    same = shortlist.counts > 0
    values: dict[str, float] = {}
    for count in sorted(set(shortlist.counts[same])):
        own = np.flatnonzero(shortlist.counts == count)
        errors = np.array([corner_error(answers[i][0], shortlist.truth[i]) for i in own])
        hits = np.array([(masks[i] & shortlist.right[i]).sum() for i in own])
        sizes = np.array([masks[i].sum() + count for i in own])
        values[f"success {count} %"] = float((errors < 10).mean())
        values[f"F1 {count} %"] = float((2 * hits / sizes).mean())
    if not same.all() and same.any():
        inliers = np.array([mask.sum() for mask in masks])
        values["AUC"] = area_under_curve(inliers[same], inliers[~same])
    return values


def measure(name: str, shortlist: Shortlist, notes: str, repeats: int = 5) -> None:
    harness.compare(
        name,
        {label: lambda run=run: run(shortlist) for label, run in CONTENDERS.items()},
        items=1,
        unit="ms/shortlist",
        quality=lambda _, answers: quality(shortlist, answers),
        repeats=repeats,
        notes=notes,
    )


def chance() -> None:
    """How often random matches are verified: what a threshold on n_inliers must exceed."""
    shortlist = Shortlist([0] * 10_000, seed=3)
    for model in ("affine", "similarity"):
        found = geometry.verify(**shortlist.arguments, model=model, threads=1)
        shares = {f">= {n}": float((found.n_inliers >= n).mean()) for n in (4, 5, 6, 8)}
        harness.record(
            f"verify 100 random matches, {model}", shares, table="Verified by pure chance (share)"
        )


def main() -> None:
    notes = (
        "success: mean corner error below 10 px; truth affine; peers at 3 px, homography or affine"
    )
    mostly = [5] * 950 + [30] * 50
    for isa in _core.isas():
        _core.use_isa(isa)
        name = "verify 1,000 x 100 matches, 95 % of them with 5 % inliers"
        measure(name, Shortlist(mostly), notes, 3)
    _core.reset_isa()
    mixed = [0] * 500 + [5] * 125 + [10] * 125 + [20] * 125 + [50] * 125
    measure("verify 1,000 x 100 matches, 0 to 50 % inliers", Shortlist(mixed, 1), notes, 3)
    chance()


if __name__ == "__main__":
    main()
