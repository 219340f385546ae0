# SPDX-License-Identifier: Apache-2.0
"""Half a million ORB descriptors, of 256 packed bits, and queries from photos of other things.

The photos are those of sift_data. Kept between runs where TROUVAILLE_BENCH_DATA names a folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import sift_data

N_BASE, N_QUERIES = 500_000, 10_000
N_FEATURES = 3_000  # a photo


def load() -> sift_data.Descriptors:
    """(500,000, 32) and (10,000, 32) uint8, in random order; raises where there are no photos."""
    kept = sift_data.kept_file("orb.npz")
    if kept is not None and kept.is_file():
        with np.load(kept) as arrays:
            return sift_data.Descriptors(arrays["base"], arrays["queries"])
    base_photos, query_photos = sift_data.split(Path(os.environ["TROUVAILLE_DATA"]))
    rng = np.random.default_rng(1)
    data = sift_data.Descriptors(
        _drawn(base_photos, N_BASE, rng), _drawn(query_photos, N_QUERIES, rng)
    )
    if kept is not None:
        np.savez(kept, base=data.base, queries=data.queries)
    return data


def _drawn(photos: list[Path], n: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    orb = cv2.ORB_create(N_FEATURES)
    found = [
        orb.detectAndCompute(cv2.imread(str(p), cv2.IMREAD_GRAYSCALE), None)[1] for p in photos
    ]
    every = np.concatenate([descriptors for descriptors in found if descriptors is not None])
    if len(every) < n:
        raise ValueError(f"the photos have {len(every):,} descriptors, of {n:,}")
    return every[rng.permutation(len(every))[:n]]
