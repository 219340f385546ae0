# SPDX-License-Identifier: Apache-2.0
"""Matches of two photos, and of a photo with a shortlist, beside OpenCV, FAISS and NumPy.

On one thread. Needs the homography sets that TROUVAILLE_DATA names: the descriptors are RootSIFT
and ORB of their photos.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness import compare, single_thread

single_thread()

import cv2  # noqa: E402
import faiss  # noqa: E402
import numpy as np  # noqa: E402

from trouvaille import _core, features, geometry, images  # noqa: E402

SIZE, RATIO = 2_000, 0.8


def photos(folder: Path) -> tuple[Any, Any]:
    """The first and the third photo of a homography set: gray levels."""
    found = sorted(images.find_photos(folder))
    first, third = (cv2.imread(str(found[i]), cv2.IMREAD_GRAYSCALE) for i in (0, 2))
    return first, third


# ---- Peers. A result is an array of pairs, or a list of cv2.DMatch, as their users have it.


def passing(distances: Any, limit: float) -> Any:
    """FAISS and NumPy give squares."""
    return distances[:, 0] <= limit**2 * distances[:, 1]


def with_faiss(x: Any, y: Any, ratio: float, mutual: bool) -> Any:
    distances, ids = faiss.knn(x, y, 2)
    own = np.arange(len(x))
    keep = passing(distances, ratio)
    if mutual:
        keep &= faiss.knn(y, x, 1)[1][ids[:, 0], 0] == own
    return np.column_stack([own, ids[:, 0]])[keep]


def with_numpy(x: Any, y: Any, ratio: float, mutual: bool) -> Any:
    distances = (x**2).sum(1)[:, None] - 2 * x @ y.T + (y**2).sum(1)
    rows, own = distances.argmin(1), np.arange(len(x))
    keep = passing(np.partition(distances, 1, axis=1)[:, :2], ratio)
    if mutual:
        keep &= distances.argmin(0)[rows] == own
    return np.column_stack([own, rows])[keep]


def with_opencv(matcher: Any, x: Any, y: Any, ratio: float, mutual: bool) -> Any:
    two = matcher.knnMatch(x, y, 2)
    good = [a for a, b in two if a.distance <= ratio * b.distance]
    if mutual:
        back = [m.trainIdx for (m,) in matcher.knnMatch(y, x, 1)]
        good = [m for m in good if back[m.trainIdx] == m.queryIdx]
    return good


def flann() -> Any:
    return cv2.FlannBasedMatcher({"algorithm": 1, "trees": 4}, {"checks": 32})


def pairs_of(result: Any) -> set[tuple[int, int]]:
    if isinstance(result, np.ndarray):
        return set(map(tuple, result.tolist()))
    return {(m.queryIdx, m.trainIdx) for m in result}


def against(truth: set[tuple[int, int]]) -> Callable[[str, Any], dict[str, float]]:
    def quality(_: str, result: Any) -> dict[str, float]:
        found = pairs_of(result)
        return {
            "matches": len(found),
            "recall": len(found & truth) / len(truth),
            "precision": len(found & truth) / max(1, len(found)),
        }

    return quality


def exact_matches(x: Any, y: Any, ratio: float, mutual: bool, power: int) -> set[tuple[int, int]]:
    """The slow, obvious way, in whole numbers; `power` 2: distances are squared."""
    wide = x.astype(np.int64), y.astype(np.int64)
    distances = (wide[0] ** 2).sum(1)[:, None] - 2 * wide[0] @ wide[1].T + (wide[1] ** 2).sum(1)
    rows, (nearest, second) = distances.argmin(1), np.sort(distances, axis=1)[:, :2].T
    keep = nearest <= ratio**power * second
    if mutual:
        keep &= distances.argmin(0)[rows] == np.arange(len(x))
    return {(int(q), int(rows[q])) for q in np.flatnonzero(keep)}


# ---- Measurements


def bench_sift(name: str, x: Any, y: Any) -> None:
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    cases = {"ratio 0.8": (RATIO, False), "ratio 0.8 and mutual": (RATIO, True)}
    for label, (ratio, mutual) in cases.items():
        contenders = {
            "ours": lambda r=ratio, m=mutual: geometry.match(x, y, r, m, threads=1).matches,
            "faiss.knn": partial(with_faiss, x32, y32, ratio, mutual),
            "numpy": partial(with_numpy, x32, y32, ratio, mutual),
            "cv2 FLANN": lambda r=ratio, m=mutual: with_opencv(flann(), x32, y32, r, m),
            "cv2 BFMatcher": partial(
                with_opencv, cv2.BFMatcher(cv2.NORM_L2), x32, y32, ratio, mutual
            ),
        }
        compare(
            f"match two photos of {len(x):,} and {len(y):,} SIFT, {label}",
            contenders,
            unit="ms/pair",
            quality=against(exact_matches(x, y, ratio, mutual, 2)),
            repeats=5,
            notes=f"{name}; peers get float32, converted before",
        )
    compare(
        f"match two photos of {len(x):,} and {len(y):,} SIFT, mutual only",
        {
            "ours": lambda: geometry.match(x, y, 1.0, threads=1).matches,
            "cv2 BFMatcher crossCheck": lambda: cv2.BFMatcher(crossCheck=True).match(x32, y32),
        },
        unit="ms/pair",
        quality=against(exact_matches(x, y, 1.0, True, 2)),
        repeats=5,
        notes=name,
    )


def bench_orb(name: str, first: Any, third: Any) -> None:
    orb = cv2.ORB_create(SIZE)
    x, y = (orb.detectAndCompute(photo, None)[1] for photo in (first, third))
    bits = np.unpackbits(x, axis=1), np.unpackbits(y, axis=1)
    compare(
        f"match two photos of {len(x):,} and {len(y):,} ORB, ratio 0.8 and mutual",
        {
            "ours": lambda: geometry.match(x, y, RATIO, metric="hamming", threads=1).matches,
            "cv2 BFMatcher": partial(
                with_opencv, cv2.BFMatcher(cv2.NORM_HAMMING), x, y, RATIO, True
            ),
        },
        unit="ms/pair",
        quality=against(exact_matches(*bits, RATIO, True, 1)),
        repeats=5,
        notes=name,
    )


def bench_burst(rng: np.random.Generator, n: int) -> None:
    """Every feature of either photo has one and the same word."""
    x, y = rng.integers(0, 256, (2, n, 128), dtype=np.uint8)
    words, bounds = np.zeros(n, np.uint32), np.full(n, 2**31 - 1)
    compare(
        f"{n:,} x {n:,} features that share one word",
        {
            "match_shortlist": lambda: geometry.match_shortlist(
                x, words[:, None], [(words, y)], bounds, max_matches=n, threads=1
            ),
            "match (no words)": lambda: geometry.match(x, y, 1.0, threads=1),
            "match_words (no matches)": lambda: geometry.match_words(
                words[:, None], words, [0, n], threads=1
            ),
        },
        ours="match_shortlist",
        unit="ms/candidate",
        repeats=3,
    )


def bench_words(rng: np.random.Generator, columns: int) -> None:
    """A shortlist of 1,000 photos; words as frequent as real ones: the r-th with 1 / (r + 50)."""
    n, candidates, num_words = 1_000, 1_000, 20_000
    chances = 1 / (np.arange(num_words) + 50)
    chances /= chances.sum()
    own = rng.choice(num_words, (n, columns), p=chances).astype(np.uint32)
    words = rng.choice(num_words, candidates * n, p=chances).astype(np.uint32)
    offsets = np.arange(candidates + 1) * n

    def every_pair() -> list[Any]:
        """What is written without a thought: each photo's words compared with all others."""
        parts = itertools.pairwise(offsets)
        return [np.argwhere(own[:, :1] == words[a:b]) for a, b in parts]

    contenders: dict[str, Callable[[], Any]] = {
        "ours": lambda: geometry.match_words(own, words, offsets, threads=1).matches
    }
    if columns == 1:
        contenders["numpy, all pairs"] = every_pair
    compare(
        f"match words with 1,000 photos of {n:,} features, {columns} words a feature",
        contenders,
        unit="ms/shortlist",
        quality=lambda _, found: {
            "matches": float(len(found) if isinstance(found, np.ndarray) else sum(map(len, found)))
        },
        repeats=3,
        notes="ours keeps at most 4 matches a feature",
    )


def main() -> None:
    data = os.environ.get("TROUVAILLE_DATA")
    if not data:
        print("skipped: TROUVAILLE_DATA names no folder of photos")
        return
    faiss.omp_set_num_threads(1)
    cv2.setNumThreads(1)
    folder = Path(data) / "homography" / "graf"
    first, third = photos(folder)
    x, y = (features.sift(photo, max_features=SIZE).descriptors for photo in (first, third))
    for isa in _core.isas():
        _core.use_isa(isa)
        bench_sift(folder.name, x, y)
    _core.reset_isa()
    bench_orb(folder.name, first, third)
    rng = np.random.default_rng(0)
    bench_burst(rng, 5_000)
    for columns in (1, 5, 15):
        bench_words(rng, columns)


if __name__ == "__main__":
    main()
