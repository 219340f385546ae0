# SPDX-License-Identifier: Apache-2.0
"""Descriptors of photos, as a list of arrays or as one array with offsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _check
from .._photos import Photos, listed, of_one, values_and_offsets
from ..words._sampling import SAMPLE, shuffled

Block = tuple[int, NDArray[Any], NDArray[np.int64]]

_BLOCK = 1 << 18  # rows that are worked on at a time: it bounds the memory


class Images:
    """Descriptors of photos, checked: bytes, or float32 where they are not.

    Parameters
    ----------
    X : sequence of array_like, or tuple of two
        One array a photo, shape (n_i, n_dims), where a photo without features has any array
        without rows; or ``(values, offsets)``, where photo i has rows offsets[i] to offsets[i + 1].
    n_dims : int, optional
        What there must be; by default that of the first photo that has features.
    """

    def __init__(self, X: Photos, n_dims: int | None = None) -> None:
        self._parts: list[NDArray[Any]] | None = None
        given = values_and_offsets(X, "X")
        if given is not None:
            values = _check.descriptors(given[0], "X[0]", n_dims)
            self._values = values
            self.offsets = _check.offsets(given[1], "X[1]", len(values), "rows of X[0]")
            self.n_dims: int | None = values.shape[1]
            return
        self._parts = []
        self.n_dims = n_dims
        for i, part in enumerate(listed(X, "X")):
            array = of_one(part, f"X[{i}]", self.n_dims)
            if len(array):
                self.n_dims = array.shape[1]
            self._parts.append(array)
        self.offsets = np.cumsum([0, *map(len, self._parts)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_rows(self) -> int:
        """The number of all photos' descriptors."""
        return int(self.offsets[-1])

    def blocks(self) -> Iterator[Block]:
        """Give the number of a photo, and the descriptors and offsets of it and of those after.

        Of as many photos as have some 260,000 descriptors, or of one that has more.
        """
        begin = 0
        while begin < len(self):
            end = int(np.searchsorted(self.offsets, self.offsets[begin] + _BLOCK, side="right")) - 1
            end = max(end, begin + 1)
            yield begin, self._rows(begin, end), self.offsets[begin : end + 1] - self.offsets[begin]
            begin = end

    def sample(self, most: int, seed: int) -> NDArray[Any]:
        """Return at most so many descriptors, drawn at random, in their order."""
        if self.n_rows == 0:
            raise ValueError("X must hold descriptors to learn from, none of its photos has any")
        if self.n_rows <= most:
            return self._rows(0, len(self))
        chosen = np.sort(shuffled(self.n_rows, seed, SAMPLE)[:most])
        drawn = []
        for begin, values, offsets in self.blocks():
            first = self.offsets[begin]
            inside = np.searchsorted(chosen, [first, first + offsets[-1]])
            drawn.append(values[chosen[inside[0] : inside[1]] - first])
        return np.concatenate(drawn)

    def _rows(self, begin: int, end: int) -> NDArray[Any]:
        if self._parts is None:
            return self._values[self.offsets[begin] : self.offsets[end]]
        full = [part for part in self._parts[begin:end] if len(part)]
        return np.concatenate(full) if full else np.empty((0, self.n_dims or 0), np.uint8)
