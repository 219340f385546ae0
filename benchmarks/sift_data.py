# SPDX-License-Identifier: Apache-2.0
"""A million real SIFT, in bytes, and queries from other photos.

Of the photos under TROUVAILLE_DATA, in a fixed random order: those of the last tenth are queries.
Kept between runs where TROUVAILLE_BENCH_DATA names a folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trouvaille import features

FOLDERS = ("distractors", "smvs_books", "smvs_landmarks", "grocery_packages", "homography")
N_QUERIES = 10_000


class Descriptors(NamedTuple):
    """RootSIFT of photos: (n, 128) uint8, and (10,000, 128) of other photos."""

    base: NDArray[np.uint8]
    queries: NDArray[np.uint8]


def load(n: int = 1_000_000) -> Descriptors:
    """`n` descriptors, drawn from all, and queries; raises where there are no photos."""
    folder = os.environ.get("TROUVAILLE_BENCH_DATA")
    kept = Path(folder) / f"sift_{n}.npz" if folder else None
    if kept is not None and kept.is_file():
        with np.load(kept) as arrays:
            return Descriptors(arrays["base"], arrays["queries"])
    data = _extract(n)
    if kept is not None:
        np.savez(kept, base=data.base, queries=data.queries)
    return data


def _extract(n: int) -> Descriptors:
    root = Path(os.environ["TROUVAILLE_DATA"])
    photos = sorted(path for name in FOLDERS for path in (root / name).rglob("*.jpg"))
    rng = np.random.default_rng(0)
    order = [photos[i] for i in rng.permutation(len(photos))]
    split = len(order) * 9 // 10
    base = _all_of(order[:split])
    if len(base) < n:
        raise ValueError(f"the photos have {len(base)} descriptors, {n} were asked for")
    queries = _all_of(order[split:])
    return Descriptors(
        base[np.sort(rng.permutation(len(base))[:n])],
        queries[rng.permutation(len(queries))[:N_QUERIES]],
    )


def _all_of(photos: list[Path]) -> NDArray[np.uint8]:
    found = (features.extract(path, max_features=100_000).features for path in photos)
    return np.concatenate([photo.descriptors for photo in found])
