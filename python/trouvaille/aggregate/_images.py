# SPDX-License-Identifier: Apache-2.0
"""Descriptors of photos, as a list of arrays or as one array with offsets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from ..words._sampling import SAMPLE, shuffled

Descriptors = Sequence[ArrayLike] | tuple[ArrayLike, ArrayLike]
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

    def __init__(self, X: Descriptors, n_dims: int | None = None) -> None:
        self._parts: list[NDArray[Any]] | None = None
        given = _values_and_offsets(X)
        if given is not None:
            values = _check.descriptors(given[0], "X[0]", n_dims)
            self._values = values
            self.offsets = _check.offsets(given[1], "X[1]", len(values), "rows of X[0]")
            self.n_dims: int | None = values.shape[1]
            return
        self._parts = []
        self.n_dims = n_dims
        for i, part in enumerate(_listed(X)):
            array = _check.as_array(part, f"X[{i}]")
            if len(array.shape) in (1, 2) and array.shape[0] == 0:
                array = np.empty((0, 0), np.uint8)  # the photo has no features
            else:
                array = _check.descriptors(part, f"X[{i}]", self.n_dims)
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


def _values_and_offsets(X: Any) -> tuple[Any, Any] | None:
    """Return both if X is a pair of them, and no list of two photos."""
    if not (isinstance(X, tuple) and len(X) == 2):
        return None
    second = _check.as_array(X[1], "X[1]")
    return X if second.ndim == 1 and len(second) > 0 else None


def _listed(X: Any) -> list[Any]:
    wanted = "X must be a list of descriptor arrays, one a photo, or (values, offsets)"
    if isinstance(X, np.ndarray) and X.ndim < 3 and X.dtype != object:
        raise ValueError(f"{wanted}; got one array of shape {X.shape}. For one photo pass [X]")
    if isinstance(X, str | bytes | dict):
        raise TypeError(f"{wanted}, got {type(X).__name__}")
    try:
        return list(X)
    except TypeError:
        raise TypeError(f"{wanted}, got {type(X).__name__}") from None
