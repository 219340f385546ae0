# SPDX-License-Identifier: Apache-2.0
"""The points of a clustering: rows of one array or of several, which may be mapped files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core

_CHUNK = 1 << 18  # rows that are worked on at a time: what is made of them is small
_LARGEST = 9e18  # over the root of the dimensions: the squared distances of floats are floats


class Points:
    """Rows one behind the other, all bytes or all float32; none is copied that need not be."""

    def __init__(self, X: Any, name: str = "X", metric: str = "l2") -> None:
        parts = X if _are_parts(X) else [X]
        self.parts = [_check.descriptors(part, name) for part in parts]
        kinds = sorted({(part.dtype.name, part.shape[1]) for part in self.parts})
        if len(kinds) > 1:
            raise ValueError(
                f"the arrays of {name} must be of one dtype and width, got "
                + " and ".join(f"{dtype} with {cols} columns" for dtype, cols in kinds)
            )
        self.dims = self.parts[0].shape[1]
        self._check_range(name)
        if metric == "hellinger":
            self.parts = [rooted(part, name) for part in self.parts]
        self.dtype: np.dtype[Any] = self.parts[0].dtype
        self._starts = np.cumsum([0, *(len(part) for part in self.parts)])

    def _check_range(self, name: str) -> None:
        if self.parts[0].dtype == np.uint8:
            if self.dims > _core.max_byte_dims:
                raise ValueError(
                    f"{name} has {self.dims} columns; distances between bytes fit 32 bits up to "
                    f"{_core.max_byte_dims}. Pass it as float32"
                )
            return
        limit = _LARGEST / max(self.dims, 1) ** 0.5
        for part in self.parts:
            if part.size and max(part.max(), -part.min()) > limit:
                raise ValueError(f"{name} must be within {limit:.3g}, or distances overflow")

    def __len__(self) -> int:
        return int(self._starts[-1])

    def located(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield each part and which rows it has."""
        for part, begin in zip(self.parts, self._starts[:-1], strict=True):
            yield slice(int(begin), int(begin) + len(part)), part

    def at(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return a copy of some rows."""
        if len(self.parts) == 1:
            return self.parts[0][rows]
        taken = np.empty((len(rows), self.dims), self.dtype)
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number, part in enumerate(self.parts):
            own = part_of == number
            taken[own] = part[rows[own] - self._starts[number]]
        return taken

    def described(self) -> dict[str, Any]:
        """Return what tells other points from these."""
        checksum = 0
        for part in self.parts:
            checksum = _core.crc32c(part.data, checksum)
        shape = {"n_points": len(self), "n_dims": self.dims, "points": self.dtype.name}
        return shape | {"checksum of the points": checksum}


def _are_parts(X: Any) -> bool:
    return (
        isinstance(X, list | tuple)
        and len(X) > 0
        and all(isinstance(part, np.ndarray) and part.ndim == 2 for part in X)
    )


def in_chunks(located: slice, part: NDArray[Any]) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield the rows of a part by chunks that are small enough to be converted."""
    for begin in range(0, len(part), _CHUNK):
        chunk = part[begin : begin + _CHUNK]
        start = located.start + begin
        yield slice(start, start + len(chunk)), chunk


def rooted(X: ArrayLike, name: str) -> NDArray[Any]:
    """Return histograms so that Euclidean distances are Hellinger's: the roots of their shares.

    Bytes become bytes as RootSIFT has them, of a length of 512; floats have a length of 1. Zeros
    stay zeros.
    """
    given = _check.descriptors(X, name)
    if given.dtype != np.uint8 and given.size and given.min() < 0:
        raise ValueError(f"{name} must not be negative for the metric 'hellinger'")
    root = np.empty_like(given)
    for rows, chunk in in_chunks(slice(0, len(given)), given):
        total = chunk.sum(axis=1, keepdims=True, dtype=np.float64)
        shares = np.sqrt(chunk / np.where(total > 0, total, 1))
        if given.dtype == np.uint8:
            shares = np.minimum(np.rint(512 * shares), 255)
        root[rows] = shares
    return root
