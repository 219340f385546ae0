# SPDX-License-Identifier: Apache-2.0
"""Sparse matrices as the kernels take them; the counterpart of `_check` for them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core

MAX_WORDS = 2**32
_SMALLEST, _LARGEST = 1e-37, 3e38  # the normal numbers of float32, within a margin
_PIECE = 2**20  # values that are checked at a time: what that takes for itself stays in the cache


class Rows(NamedTuple):
    """Rows as the kernels take them: the words of a row ascend, and no value is zero."""

    offsets: NDArray[np.int64]
    words: NDArray[np.uint32]
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A sparse matrix whose rows are converted when they are asked for, so that none is copied.

    Row i is the places ``offsets[i]`` to ``offsets[i + 1]`` of `words` and `values`, which are of
    any dtype, in any order, and unchecked.
    """

    offsets: NDArray[np.int64]
    words: NDArray[Any]
    values: NDArray[Any]
    num_words: int
    names: tuple[str, str]  # of the words and of the values, for errors

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def n_entries(self, begin: int, end: int) -> int:
        """Return how many entries those rows have."""
        return int(self.offsets[end] - self.offsets[begin])

    def rows(self, begin: int = 0, end: int | None = None) -> Rows:
        """Return the rows from `begin` to `end`, checked; they may share this matrix's memory."""
        offsets = self.offsets[begin : len(self) + 1 if end is None else end + 1]
        part = slice(int(offsets[0]), int(offsets[-1]))
        offsets, given, values = offsets - offsets[0], self.words[part], self.values[part]
        if _core.rows_are_tidy(offsets, given, values, self.num_words, _SMALLEST, _LARGEST):
            return Rows(offsets, _unsigned(given), values.astype(_SINGLE, copy=False))
        words = _numbers(given, self.names[0], self.num_words)
        if not _ascend(words, offsets):
            values = _in_pieces(values, self.names[1], np.dtype(np.float64))
            offsets, words, values = _summed(offsets, words, values)
        return _without_zeros(offsets, words, _in_pieces(values, self.names[1], _SINGLE))


@dataclass(frozen=True, eq=False)
class Dense:
    """A matrix with all its zeros, seen as a sparse one; see `Matrix`."""

    matrix: NDArray[Any]
    name: str

    @property
    def num_words(self) -> int:
        """Columns of the matrix."""
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.matrix)

    def n_entries(self, begin: int, end: int) -> int:
        """Return how many entries those rows have at most."""
        return (end - begin) * self.num_words

    def rows(self, begin: int = 0, end: int | None = None) -> Rows:
        """Return the rows from `begin` to `end`, checked."""
        end = len(self) if end is None else end
        step = max(_PIECE // max(self.num_words, 1), 1)
        parts = range(begin, max(end, begin + 1), step)  # one at least, to check the dtype
        return stack([self._converted(self.matrix[i : min(i + step, end)]) for i in parts])

    def _converted(self, rows: NDArray[Any]) -> Rows:
        dense = _check.matrix(rows, self.name, np.float64)
        row, column = np.nonzero(dense)
        values = _in_pieces(dense[row, column], self.name, _SINGLE)
        return Rows(_offsets(row, len(dense)), column.astype(np.uint32), values)


_SINGLE = np.dtype(np.float32)


def matrix(X: Any, name: str, num_words: int | None = None) -> Matrix | Dense:
    """Return `X` as rows to be checked, with `num_words` columns if that is given."""
    sparse = sys.modules.get("scipy.sparse")  # a sparse matrix cannot exist without it
    if sparse is None or not sparse.issparse(X):
        return _of_dense(X, name, num_words)
    if X.ndim != 2:
        raise ValueError(f"{name} must be 2-D, got shape {X.shape}")
    _check_columns(X.shape, name, num_words)
    if X.format == "csr":
        return _of_csr(X, name)
    entries = X.tocoo()
    row = _numbers(entries.row, f"{name}.row", X.shape[0])
    words = _numbers(entries.col, f"{name}.col", X.shape[1])
    values = _check.as_array(entries.data, f"{name}.data")
    order = np.argsort(row, kind="stable")
    names = f"{name}.col", f"{name}.data"
    return Matrix(_offsets(row, X.shape[0]), words[order], values[order], X.shape[1], names)


def one_row(pair: tuple[ArrayLike, ArrayLike], name: str, num_words: int) -> Matrix:
    """Return the pair of word numbers and values as one row to be checked."""
    words = _check.as_array(pair[0], f"{name}[0]")
    if words.dtype.kind not in "ui":
        words = _check.array(words, f"{name}[0]", np.int64, ndim=1)
    values = _check.as_array(pair[1], f"{name}[1]")
    if len(words) != len(values):
        raise ValueError(f"{name} has {len(words)} word numbers, but {len(values)} values")
    offsets = np.array([0, len(words)], np.int64)
    return Matrix(offsets, words, values, num_words, (f"{name}[0]", f"{name}[1]"))


def stack(parts: list[Rows]) -> Rows:
    """Return the rows of all parts, one under the other."""
    starts = np.cumsum([0, *(len(part.words) for part in parts)])
    ends = [part.offsets[1:] + start for part, start in zip(parts, starts[:-1], strict=True)]
    return Rows(
        np.concatenate([[0], *ends]).astype(np.int64),
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def checked_values(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return `values` as float64, finite and 0 or of a magnitude that float32 has."""
    numbers = _check.array(values, name, np.float64, ndim=1)
    check_magnitudes(numbers, name, _SMALLEST, _LARGEST)
    return numbers


def check_magnitudes(values: NDArray[Any], name: str, smallest: float, largest: float) -> None:
    """Refuse values other than 0 that are beyond the limits in magnitude."""
    magnitudes = np.abs(values)
    outside = (magnitudes > largest) | ((magnitudes < smallest) & (magnitudes > 0))
    if outside.any():
        raise ValueError(
            f"{name} must be 0 or between {smallest} and {largest} in magnitude, "
            f"got {values[outside][0]}"
        )


def _of_csr(X: Any, name: str) -> Matrix:
    offsets = _check.array(X.indptr, f"{name}.indptr", np.int64, ndim=1)
    size = int(offsets[-1]) if len(offsets) else 0
    if len(offsets) != X.shape[0] + 1 or offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"{name}.indptr must rise from 0 and have {X.shape[0] + 1} entries")
    names = f"{name}.indices", f"{name}.data"
    words, values = _check.as_array(X.indices, names[0]), _check.as_array(X.data, names[1])
    if size > len(words) or size > len(values):
        raise ValueError(
            f"{name}.indptr ends at {size}, but there are {len(words)} indices "
            f"and {len(values)} values"
        )
    return Matrix(offsets, words, values, X.shape[1], names)


def _of_dense(X: Any, name: str, num_words: int | None) -> Dense:
    dense = _check.as_array(X, name)
    if dense.ndim != 2 or dense.dtype.kind not in "uif":
        dense = _check.array(dense, name, np.float64, ndim=2)  # which says what is wrong
    _check_columns(dense.shape, name, num_words)
    return Dense(dense, name)


def _check_columns(shape: tuple[int, ...], name: str, num_words: int | None) -> None:
    if num_words is not None and shape[1] != num_words:
        raise ValueError(
            f"{name} must have the {num_words} columns of the index, got shape {shape}"
        )
    if shape[1] > MAX_WORDS:
        raise ValueError(f"{name} must have 2^32 columns at most, got shape {shape}")


def _offsets(row: NDArray[np.integer[Any]], n_rows: int) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_rows))]).astype(np.int64)


def _numbers(given: NDArray[Any], name: str, end: int) -> NDArray[np.uint32]:
    whole = given.ndim == 1 and given.dtype.kind in "ui"
    numbers = given if whole else _check.array(given, name, np.int64, ndim=1)
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < end):
        outside = numbers[(numbers < 0) | (numbers >= end)][0]
        raise ValueError(f"{name} must be from 0 to {end - 1}, got {outside}")
    return np.require(_unsigned(numbers), requirements=["C", "A"])


def _unsigned(numbers: NDArray[Any]) -> NDArray[np.uint32]:
    """Return numbers from 0 to 2^32 - 1, which are the same bits with and without a sign."""
    same = numbers.dtype == np.int32
    return numbers.view(np.uint32) if same else numbers.astype(np.uint32, copy=False)


def _in_pieces(given: NDArray[Any], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return finite values of permitted magnitude as `dtype`, rounded if it is float32."""
    as_it_is = given.dtype == dtype and given.flags.c_contiguous and given.flags.aligned
    if given.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got shape {given.shape}")
    values = given if as_it_is else np.empty(len(given), dtype)
    for begin in range(0, max(len(given), 1), _PIECE):  # once at least, to check the dtype
        piece = given[begin : begin + _PIECE]
        between = _SINGLE if given.dtype == _SINGLE else np.float64
        numbers = _check.array(piece, name, between, ndim=1)
        check_magnitudes(numbers, name, _SMALLEST, _LARGEST)
        if not as_it_is:
            values[begin : begin + _PIECE] = numbers
    return values


def _ascend(words: NDArray[np.uint32], offsets: NDArray[np.int64]) -> bool:
    """Say whether the words of every row ascend, each given once."""
    rises = words[1:] > words[:-1]
    starts = offsets[1:-1]
    rises[starts[(starts > 0) & (starts < len(words))] - 1] = True
    return bool(rises.all())


def _summed(
    offsets: NDArray[np.int64], words: NDArray[np.uint32], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float64]]:
    """Sort the words of every row, and add up what has the same word."""
    n_rows = len(offsets) - 1
    keys = np.repeat(np.arange(n_rows, dtype=np.uint64) << np.uint64(32), np.diff(offsets))
    keys |= words
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    keys = keys[first]
    row = (keys >> np.uint64(32)).astype(np.int64)
    return _offsets(row, n_rows), keys.astype(np.uint32), np.add.reduceat(values[order], first)


def _without_zeros(
    offsets: NDArray[np.int64], words: NDArray[np.uint32], values: NDArray[np.float32]
) -> Rows:
    if np.count_nonzero(values) == len(values):
        return Rows(offsets, words, values)
    kept = values != 0
    return Rows(np.concatenate([[0], np.cumsum(kept)])[offsets], words[kept], values[kept])
