# SPDX-License-Identifier: Apache-2.0
"""Medians of the values of each word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 18  # values in memory at once
_COLUMNS = 16  # of many values so many columns at a time, which share a cache line


def medians_by_word(
    values: NDArray[np.float32], ids: NDArray[np.int64], num_words: int, min_points: int
) -> NDArray[np.float32]:
    """Return the medians of the values of each word, or of all where there are too few.

    Words of as many values are worked on together.
    """
    n_bits = values.shape[1]
    order, counts = np.argsort(ids, kind="stable"), np.bincount(ids, minlength=num_words)
    starts = np.cumsum(counts) - counts
    medians = np.empty((num_words, n_bits), np.float32)
    too_few = counts < min_points
    if too_few.any():
        medians[too_few] = _medians_of(values, slice(None), len(values))
    by_count = np.argsort(counts, kind="stable")[np.count_nonzero(too_few) :]
    for words in np.split(by_count, np.flatnonzero(np.diff(counts[by_count])) + 1):
        count = int(counts[words].max(initial=1))  # of each; there may be no words at all
        step = max(_BLOCK // (count * n_bits), 1)
        for begin in range(0, len(words), step):
            part = words[begin : begin + step]
            rows = order[starts[part][:, None] + np.arange(count)]
            medians[part] = _medians_of(values, rows, rows.size)
    return medians


def _medians_of(
    values: NDArray[np.float32], rows: NDArray[np.int64] | slice, n_rows: int
) -> NDArray[np.float32]:
    """Return the medians of some rows, of many a few columns at a time."""
    n_bits = values.shape[1]
    step = _COLUMNS * max(_BLOCK // n_rows, 1)
    if step >= n_bits:
        return _median(values[rows])
    parts = [_median(values[rows, begin : begin + step]) for begin in range(0, n_bits, step)]
    return np.concatenate(parts, axis=-1)


def _median(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of each column: of an even number, the mean of the two in the middle.

    A zero is one of plus: which of both signs comes first differs between machines.
    """
    n = values.shape[-2]
    columns = np.array(np.swapaxes(values, -1, -2), order="C")
    if n > 2:  # two are both in the middle, in either order
        columns.sort(axis=-1)
    return np.asarray(columns[..., (n - 1) // 2] / 2 + columns[..., n // 2] / 2 + np.float32(0))
