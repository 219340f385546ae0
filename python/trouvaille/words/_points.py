# SPDX-License-Identifier: Apache-2.0
"""The points of a clustering: rows of one array or of several, which may be mapped files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _check, _core

BLOCK = 1 << 18  # rows that are worked on at a time: what is made of them is small
_LARGEST = 9e18  # over the root of the dimensions: the squared distances of floats are floats


class Points:
    """Rows one behind the other, all bytes or all float32; none is copied that need not be.

    With the metric "hellinger" they are histograms, and what is compared are the roots of their
    shares: bytes as RootSIFT has them, of a length of 512, floats of a length of 1. These are made
    of a block at a time, each time anew, which takes less than to compare them with a hundred
    centers.
    """

    def __init__(self, X: Any, name: str = "X", metric: str = "l2", threads: int = 1) -> None:
        parts = X if _are_parts(X) else [X]
        self.parts = [_check.descriptors(part, name) for part in parts]
        kinds = sorted({(part.dtype.name, part.shape[1]) for part in self.parts})
        if len(kinds) > 1:
            raise ValueError(
                f"the arrays of {name} must be of one dtype and width, got "
                + " and ".join(f"{dtype} with {cols} columns" for dtype, cols in kinds)
            )
        self.dtype: np.dtype[Any] = self.parts[0].dtype
        self.dims = self.parts[0].shape[1]
        self.roots = metric == "hellinger"
        self._threads = threads
        self._starts = np.cumsum([0, *(len(part) for part in self.parts)])
        if self.dims == 0:
            raise ValueError(f"{name} must have at least one column, got shape ({len(self)}, 0)")
        self._check_range(name)

    def _check_range(self, name: str) -> None:
        if self.dtype == np.uint8:
            if self.dims > _core.max_byte_dims:
                raise ValueError(
                    f"{name} has {self.dims} columns; distances between bytes fit 32 bits up to "
                    f"{_core.max_byte_dims}. Pass it as float32"
                )
            return
        limit = _LARGEST / self.dims**0.5
        for part in self.parts:
            if part.size == 0:
                continue
            least = part.min()
            if max(part.max(), -least) > limit:
                raise ValueError(f"{name} must be within {limit:.3g}, or distances overflow")
            if self.roots and least < 0:
                raise ValueError(f"{name} must not be negative for the metric 'hellinger'")

    def __len__(self) -> int:
        return int(self._starts[-1])

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield the points as they are compared, a block at a time, and which rows it has."""
        start = 0
        for rows in _joined(part for part in self.parts if len(part)):
            for begin in range(0, len(rows), BLOCK):
                block = rows[begin : begin + BLOCK]
                yield slice(start, start + len(block)), self._compared(block)
                start += len(block)

    @property
    def block_memory(self) -> int:
        """Bytes that `blocks` takes: of what a block is made in, and of the block before it."""
        copies = (len(self.parts) > 1) + self.roots
        held = copies + (copies > 0 and len(self) > BLOCK)
        return int(held * min(len(self), BLOCK) * self.dims * self.dtype.itemsize)

    def at(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return a copy of some points as they are compared."""
        return self._compared(self._given(rows))

    def some(self, rows: NDArray[np.int64]) -> Points:
        """Return a copy of some of them as points of the same metric."""
        metric = "hellinger" if self.roots else "l2"
        return Points(self._given(rows), metric=metric, threads=self._threads)

    def _given(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        if len(self.parts) == 1:
            return self.parts[0][rows]
        taken = np.empty((len(rows), self.dims), self.dtype)
        order = np.argsort(rows, kind="stable")
        ends = np.searchsorted(rows, self._starts, sorter=order)
        for number, part in enumerate(self.parts):
            own = order[ends[number] : ends[number + 1]]
            taken[own] = part[rows[own] - self._starts[number]]
        return taken

    def _compared(self, rows: NDArray[Any]) -> NDArray[Any]:
        if not self.roots:
            return rows
        return _core.hellinger_roots(np.ascontiguousarray(rows), self._threads)

    def described(self) -> dict[str, Any]:
        """Return what tells other points from these."""
        checksum = 0
        for part in self.parts:
            checksum = _core.crc32c(part.data, checksum)
        shape = {"n_points": len(self), "n_dims": self.dims, "points": self.dtype.name}
        return shape | {"checksum of the points": checksum}


def _joined(parts: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Yield the same rows by fewer parts: small ones, as those of photos are, become a block."""
    group: list[NDArray[Any]] = []
    size = 0
    for part in parts:
        if group and size + len(part) > BLOCK:
            yield _as_one(group)
            group, size = [], 0
        group.append(part)
        size += len(part)
    if group:
        yield _as_one(group)


def _as_one(group: list[NDArray[Any]]) -> NDArray[Any]:
    return group[0] if len(group) == 1 else np.concatenate(group)


def _are_parts(X: Any) -> bool:
    return (
        isinstance(X, list | tuple)
        and len(X) > 0
        and all(isinstance(part, np.ndarray) and part.ndim == 2 for part in X)
    )
