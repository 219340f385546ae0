# SPDX-License-Identifier: Apache-2.0
"""Robust estimators of a homography on the photos of $TROUVAILLE_DATA/homography.

Our SIFT, 2,000 a photo, ratio 0.8 to the second nearest, the first photo of each folder with the
others: the same matches for all, in eight orders, since a sampler's luck depends on the order; a
contender estimates all pairs in one order before the next one's turn.
The error of a pair is that of the first photo's corners, in pixels of the second, on average. Mean
average accuracy at t px is the mean over pairs of max(0, 1 - error / t), the area under accuracy up
to t. "ordered": the matches come best ratio first, and ours is told their quality. "ours, frames"
is given the features' local affine frames, which no peer can use.

python benchmarks/bench_estimate_real.py
python benchmarks/bench_estimate_real.py --only ours "cv2 RHO"
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import harness

harness.single_thread()

import numpy as np  # noqa: E402

from robust_data import error, mapped  # noqa: E402
from robust_peers import Contender, contenders, ours  # noqa: E402
from trouvaille import features, images  # noqa: E402

FOLDERS = ("bark", "bikes", "graf", "leuven", "ubc")
PAIRS = range(2, 7)  # the first photo with each of these
FEATURES, RATIO, ORDERS = 2000, 0.8, 8
LIMITS = (1, 3, 5)  # px
TRIALS = 10_000


class Pair(NamedTuple):
    name: str
    frames1: Any
    frames2: Any
    quality: Any
    exact: tuple[Any, Any]  # the corners in both photos


def matched(one: features.Features, two: features.Features) -> tuple[Any, Any]:
    """Indices of matches (m, 2) that pass the ratio test, and 1 - ratio."""
    x, y = (f.descriptors.astype(np.float32) for f in (one, two))
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    nearest = np.argpartition(squares, 1, axis=1)[:, :2]
    near = np.take_along_axis(squares, nearest, 1).clip(1e-9)
    nearest = np.where(near[:, :1] > near[:, 1:], nearest[:, ::-1], nearest)
    ratio = np.sqrt(near.min(1) / near.max(1))
    kept = np.flatnonzero(ratio < RATIO)
    return np.c_[kept, nearest[kept, 0]], 1 - ratio[kept]


def pairs(data: Path) -> list[Pair]:
    found = []
    for folder in FOLDERS:
        photos = [images.decode(data / folder / f"{k}.jpg", apply_exif=False) for k in (1, *PAIRS)]
        one, *others = [features.sift(p, max_features=FEATURES) for p in photos]
        height, width = photos[0].shape[:2]
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
        for k, two in zip(PAIRS, others, strict=True):
            truth = np.loadtxt(data / folder / f"H_1_{k}")
            matches, quality = matched(one, two)
            frames = one.frames[matches[:, 0]], two.frames[matches[:, 1]]
            found.append(
                Pair(f"{folder} 1-{k}", *frames, quality, (corners, mapped(truth, corners)))
            )
    return found


class Outcome(NamedTuple):
    seconds: float
    error: float


def race(
    cases: Sequence[Pair], runs: dict[str, Contender], ordered: bool
) -> dict[str, list[Outcome]]:
    """Every contender on every pair in every order, in turn."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in runs}
    names = list(runs)
    for seed in range(ORDERS):
        shift = seed % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            for pair in cases:
                outcomes[name].append(
                    solve(pair, runs[name], name == "ours, frames", ordered, seed)
                )
    return outcomes


def solve(pair: Pair, run: Contender, as_frames: bool, ordered: bool, seed: int) -> Outcome:
    order = np.random.default_rng(seed).permutation(len(pair.quality))
    if ordered:  # ties, and only they, differ from seed to seed
        order = order[np.argsort(-pair.quality[order], kind="stable")]
    given = [np.ascontiguousarray(f[order], float) for f in (pair.frames1, pair.frames2)]
    if not as_frames:
        given = [np.ascontiguousarray(f[:, :, 2]) for f in given]
    quality = pair.quality[order] if ordered else None
    start = time.perf_counter()
    transform, _ = run(*given, quality, TRIALS)
    return Outcome(time.perf_counter() - start, error("homography", transform, pair.exact))


def accuracy(found: Sequence[Outcome], limit: float) -> float:
    return statistics.fmean(max(0.0, 1 - one.error / limit) for one in found)


def record(cases: Sequence[Pair], outcomes: dict[str, list[Outcome]], ordered: bool) -> None:
    matches = statistics.median(len(pair.quality) for pair in cases)
    way = "ordered" if ordered else "unordered"
    for name, found in outcomes.items():
        times = {
            who: [one.seconds for one in outcomes[who]] for who in {name, "ours"} & {*outcomes}
        }
        values: dict[str, float] = {"us": statistics.median(times[name]) * 1e6}
        if "ours" in times:
            values["ratio"] = harness.ratio(times[name], times["ours"])
        values |= {f"mAA {limit} px": accuracy(found, limit) for limit in LIMITS}
        values |= {
            f"success {limit} px": statistics.fmean(one.error < limit for one in found)
            for limit in LIMITS
        }
        harness.record(
            f"homography, real photos, {len(cases)} pairs, {way}: {name}",
            values,
            table="Real photos: mean average accuracy, success, and median time",
            notes=f"{matches:.0f} matches (median); 3 px, confidence 0.999, at most 10,000 trials",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="contender")
    args = parser.parse_args()
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder that has the homography sets")
        sys.exit(0)
    cases = pairs(Path(os.environ["TROUVAILLE_DATA"]) / "homography")
    runs = {**contenders("homography"), "ours, frames": ours("homography")}
    if args.only:
        runs = {name: runs[name] for name in args.only}
    race(cases[:2], runs, ordered=False)  # warms up
    for ordered in (True, False):
        record(cases, race(cases, runs, ordered), ordered)


if __name__ == "__main__":
    main()
