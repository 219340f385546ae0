# SPDX-License-Identifier: Apache-2.0
"""One query against a shortlist of 1,000 candidates, beside the strongest robust estimators.

Frames carry a detector's noise (1 px, 0.25 in log-scale, 12 degrees); those of wrong matches are
random. Peers see the centres alone, as they can use no more, at 3 px, which suits them best. The
same again with real photos, where TROUVAILLE_DATA names the labelled sets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import harness

harness.single_thread()

import numpy as np  # noqa: E402

import shortlist_peers  # noqa: E402
from photo_pairs import PhotoPairs  # noqa: E402
from trouvaille import _core, geometry  # noqa: E402

SIZE = np.array([1024.0, 768.0])
CORNERS = np.array([[0, 0, 1], [1024, 0, 1], [1024, 768, 1], [0, 768, 1.0]])
MATCHES = 100
PHOTO_SETS = ("smvs_books", "smvs_landmarks", "grocery_packages")


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
        self.same = self.counts > 0
        self.arguments = {
            "query_frames": query.astype(np.float32),
            "candidate_frames": np.concatenate(frames).astype(np.float32),
            "frame_offsets": offsets,
            "matches": np.concatenate(matches).astype(np.int32),
            "match_offsets": offsets,
        }
        self.shortlists = [self.arguments]
        self.points = [
            (query[m[:, 0], :, 2], f[:, :, 2]) for m, f in zip(matches, frames, strict=True)
        ]


Problem = Shortlist | PhotoPairs


def ours(problem: Problem, model: str = "affine", threads: int = 1) -> list[geometry.Verification]:
    return [geometry.verify(**s, model=model, threads=threads) for s in problem.shortlists]


def answers(problem: Problem, result: list[Any]) -> list[shortlist_peers.Answer]:
    """Pair by pair: ours come shortlist by shortlist."""
    if not isinstance(result[0], geometry.Verification):
        return result
    return [
        answer
        for shortlist, found in zip(problem.shortlists, result, strict=True)
        for answer in zip(
            found.transforms,
            np.split(found.inliers, shortlist["match_offsets"][1:-1]),
            strict=True,
        )
    ]


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


def quality(problem: Problem, _: str, result: list[Any]) -> dict[str, float]:
    found = answers(problem, result)
    masks = [
        np.zeros(len(p), bool) if mask is None else np.asarray(mask).ravel() > 0
        for (_, mask), (p, _) in zip(found, problem.points, strict=True)
    ]
    values: dict[str, float] = {}
    if isinstance(problem, Shortlist):
        for count in sorted(set(problem.counts[problem.same])):
            own = np.flatnonzero(problem.counts == count)
            errors = np.array([corner_error(found[i][0], problem.truth[i]) for i in own])
            hits = np.array([(masks[i] & problem.right[i]).sum() for i in own])
            sizes = np.array([masks[i].sum() + count for i in own])
            values[f"success {count} %"] = float((errors < 10).mean())
            values[f"F1 {count} %"] = float((2 * hits / sizes).mean())
    if 0 < problem.same.sum() < len(problem.same):
        inliers = np.array([mask.sum() for mask in masks])
        values["AUC"] = area_under_curve(inliers[problem.same], inliers[~problem.same])
    return values


def measure(name: str, problem: Problem, notes: str, *, threads: int = 1, repeats: int = 3) -> None:
    contenders = {"ours": partial(ours, problem, threads=threads)}
    if threads == 1:
        contenders["ours, homography"] = partial(ours, problem, "homography")
    for peer in shortlist_peers.PEERS:
        contenders[peer] = partial(shortlist_peers.run, peer, problem.points, threads)
    harness.compare(
        name,
        contenders,
        unit="ms/shortlist" if isinstance(problem, Shortlist) else "ms/set",
        quality=partial(quality, problem),
        repeats=repeats,
        threads=threads,
        notes=notes,
    )


def photos(folder: Path) -> None:
    for name in PHOTO_SETS:
        pairs = PhotoPairs(folder / name, n_queries=100)
        median = int(np.median([len(p) for p, _ in pairs.points]))
        measure(
            f"{name}: {len(pairs.points)} pairs of photos, {median} matches (median)",
            pairs,
            "1,000 SIFT features, ratio 0.9, best ratio first (which RHO and PROSAC use); "
            f"{pairs.same.sum()} pairs of the same object",
        )


def timed(call: Callable[[], Any], repeats: int = 3) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def growth(shortlist: Shortlist) -> None:
    """Time a candidate as a shortlist grows; one of 100,000 repeats each candidate 100 times."""
    own = shortlist.arguments
    n = len(shortlist.counts)
    for threads in (1, 2):
        values = {}
        for copies in (1, 10, 100):
            offsets = np.arange(copies * n + 1) * MATCHES
            grown = {
                "query_frames": own["query_frames"],
                "candidate_frames": np.tile(own["candidate_frames"], (copies, 1, 1)),
                "frame_offsets": offsets,
                "matches": np.tile(own["matches"], (copies, 1)),
                "match_offsets": offsets,
            }
            seconds = min(timed(partial(geometry.verify, **grown, threads=threads)))
            values[f"{copies * n:,}"] = 1e6 * seconds / (copies * n)
        harness.record(
            f"verify 100 matches, 5 % inliers, {threads} thread{'s' * (threads > 1)}",
            values,
            table="Verification of a shortlist, us a candidate, by candidates",
            threads=threads,
        )


def chance() -> None:
    """How often random matches are verified: what a threshold on n_inliers must exceed."""
    shortlist = Shortlist([0] * 10_000, seed=3)
    for model in ("affine", "similarity", "homography"):
        found = geometry.verify(**shortlist.arguments, model=model, threads=1)
        shares = {f">= {n}": float((found.n_inliers >= n).mean()) for n in (4, 5, 6, 8)}
        harness.record(
            f"verify 100 random matches, {model}", shares, table="Verified by pure chance (share)"
        )


def main() -> None:
    notes = (
        "success: mean corner error below 10 px; truth affine; peers at 3 px, homography or "
        "affine; matches in a random order, so that PROSAC has nothing to go by"
    )
    mostly = Shortlist([5] * 950 + [30] * 50)
    for isa in _core.isas():
        _core.use_isa(isa)
        measure("verify 1,000 x 100 matches, 95 % of them with 5 % inliers", mostly, notes)
    _core.reset_isa()
    measure(
        "verify 1,000 x 100 matches, 95 % of them with 5 % inliers, two threads",
        mostly,
        notes + "; peers by a pool of two of Python's threads",
        threads=2,
    )
    mixed = [0] * 500 + [5] * 125 + [10] * 125 + [20] * 125 + [50] * 125
    measure("verify 1,000 x 100 matches, 0 to 50 % inliers", Shortlist(mixed, 1), notes)
    growth(mostly)
    chance()
    if os.environ.get("TROUVAILLE_DATA"):
        photos(Path(os.environ["TROUVAILLE_DATA"]))
    else:
        print("real photos skipped: TROUVAILLE_DATA names no folder of labelled photos")


if __name__ == "__main__":
    main()
