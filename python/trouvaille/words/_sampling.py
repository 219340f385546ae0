# SPDX-License-Identifier: Apache-2.0
"""Random rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ._points import Points

# The streams of random numbers that a seed has here (the `item` of the counter-based generator).
CENTERS, SAMPLE = 0, 1
SEEDS_FROM = 32  # points a word that k-means++ draws from
_MOST_MORE = 1 << 18  # rows that are looked at at a time, where few are wanted of many equal ones


def shuffled(n: int, seed: int, stream: int) -> NDArray[np.int64]:
    """Return the numbers below n in an order that depends on n, the seed and the stream alone."""
    return np.argsort(_core.random_keys(seed, stream, 0, n), kind="stable")


class Sample:
    """Of rows that come in parts, the `most` that `shuffled` has first among all, in their order.

    So it depends on the rows, in their order, and on the seed alone. Besides the part that came
    last, it holds at most twice as many rows as it will return.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._seed = most, seed
        self._met = self._held = 0
        self._largest = np.uint64(2**64 - 1)  # a key above it is none of the smallest
        self._keys: list[NDArray[np.uint64]] = []
        self._rows: list[NDArray[Any]] = []

    def add(self, rows: NDArray[Any]) -> None:
        """Take the next rows into account."""
        keys = _core.random_keys(self._seed, SAMPLE, self._met, len(rows))
        self._met += len(rows)
        kept = keys <= self._largest
        self._keys.append(keys[kept])
        self._rows.append(rows[kept])
        self._held += len(self._keys[-1])
        if self._held > 2 * self._most:
            self._trim()

    def rows(self) -> NDArray[Any]:
        """Return the sample; there must have been a part, though it may have had no rows."""
        self._trim()
        return np.concatenate(self._rows)

    def _trim(self) -> None:
        if self._held <= self._most:
            return
        keys = np.concatenate(self._keys)
        self._largest = np.partition(keys, self._most - 1)[self._most - 1]
        kept = keys < self._largest
        equal = np.flatnonzero(keys == self._largest)  # the first of them come first
        kept[equal[: self._most - np.count_nonzero(kept)]] = True
        ends = np.cumsum([len(part) for part in self._keys])
        parts = np.split(kept, ends[:-1])
        self._keys = [own[part] for own, part in zip(self._keys, parts, strict=True) if part.any()]
        self._rows = [own[part] for own, part in zip(self._rows, parts, strict=True) if part.any()]
        self._held = self._most


def distinct_rows(X: Points, count: int, seed: int) -> NDArray[np.int64]:
    """Return `count` random rows of X, no two of them equal.

    However many equal ones there are, no more than some twice as many are in memory at a time.
    """
    order = shuffled(len(X), seed, CENTERS)
    chosen, points = order[:0], X.at(order[:0])
    tried = more = 0
    while len(chosen) < count and tried < len(X):
        new = order[tried : tried + (more or count)]
        tried += len(new)
        chosen, points = np.concatenate([chosen, new]), np.concatenate([points, X.at(new)])
        first = _first_of_equals(points)
        chosen, points = chosen[first], points[first]
        more = min(2 * max(more, count - len(chosen)), max(count, _MOST_MORE))
    if len(chosen) < count:
        raise ValueError(
            f"X must have at least num_words={count} distinct points, it has {len(chosen)}"
        )
    return chosen[:count]


def _first_of_equals(points: NDArray[Any]) -> NDArray[np.intp]:
    """Return the rows that equal none before them."""
    points += points.dtype.type(0)  # makes -0.0 equal to 0.0
    whole = points.view(np.dtype((np.void, points.itemsize * points.shape[1])))[:, 0]
    return np.sort(np.unique(whole, return_index=True)[1])
