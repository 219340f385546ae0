# SPDX-License-Identifier: Apache-2.0
"""Random rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ._points import Points

# The streams of random numbers that a seed has here (the `item` of the counter-based generator).
CENTERS, SAMPLE = 0, 1
SEEDS_FROM = 32  # points a word that k-means++ draws from


def shuffled(n: int, seed: int, stream: int) -> NDArray[np.int64]:
    """Return the numbers below n in an order that depends on n, the seed and the stream alone."""
    keys = np.frombuffer(_core.random_bytes(seed, stream, 2 * n), "<u8")
    return np.argsort(keys, kind="stable")


def distinct_rows(X: Points, count: int, seed: int) -> NDArray[np.int64]:
    """Return `count` random rows of X, no two of them equal."""
    order = shuffled(len(X), seed, CENTERS)
    tried = 0
    while tried < len(X) and X.dims > 0:
        tried = min(len(X), max(count, 2 * tried))
        rows = np.ascontiguousarray(
            X.at(order[:tried]) + X.dtype.type(0)
        )  # makes -0.0 equal to 0.0
        whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
        _, first = np.unique(whole, return_index=True)
        if len(first) >= count:
            return order[np.sort(first)[:count]]
    distinct = len(first) if tried else min(len(X), 1)
    raise ValueError(f"X must have at least num_words={count} distinct points, it has {distinct}")
