# SPDX-License-Identifier: Apache-2.0
"""Sparse matrices as the kernels take them; the counterpart of `_check` for them."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check

MAX_WORDS = 2**32
_SMALLEST, _LARGEST = 1e-100, 1e100  # beyond these, a square or a sum may leave float64


class Rows(NamedTuple):
    """A sparse matrix as the kernels take it; see cpp/index/inverted_file.hpp."""

    offsets: NDArray[np.int64]
    words: NDArray[np.uint32]
    values: NDArray[np.float64]
    num_words: int


def rows(X: Any, name: str, num_words: int | None = None) -> Rows:
    """Return `X` as checked sparse rows, with `num_words` columns if that is given."""
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
    values = checked_values(entries.data, f"{name}.data")
    order = np.argsort(row, kind="stable")
    return Rows(_offsets(row, X.shape[0]), words[order], values[order], X.shape[1])


def _of_csr(X: Any, name: str) -> Rows:
    offsets = _check.array(X.indptr, f"{name}.indptr", np.int64, ndim=1)
    size = int(offsets[-1]) if len(offsets) else 0
    if len(offsets) != X.shape[0] + 1 or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError(f"{name}.indptr must rise from 0 and have {X.shape[0] + 1} entries")
    if size > len(X.indices) or size > len(X.data):
        raise ValueError(
            f"{name}.indptr ends at {size}, but there are {len(X.indices)} indices "
            f"and {len(X.data)} values"
        )
    words = _numbers(X.indices[:size], f"{name}.indices", X.shape[1])
    return Rows(offsets, words, checked_values(X.data[:size], f"{name}.data"), X.shape[1])


def _of_dense(X: Any, name: str, num_words: int | None) -> Rows:
    dense = _check.matrix(X, name, np.float64)
    _check_columns(dense.shape, name, num_words)
    row, column = np.nonzero(dense)
    values = checked_values(dense[row, column], name)
    return Rows(_offsets(row, len(dense)), column.astype(np.uint32), values, dense.shape[1])


def one_row(pair: tuple[ArrayLike, ArrayLike], name: str, num_words: int) -> Rows:
    """Return the pair of word numbers and values as one checked row."""
    words = _numbers(pair[0], f"{name}[0]", num_words)
    values = checked_values(pair[1], f"{name}[1]")
    if len(words) != len(values):
        raise ValueError(f"{name} has {len(words)} word numbers, but {len(values)} values")
    return Rows(np.array([0, len(words)], np.int64), words, values, num_words)


def _check_columns(shape: tuple[int, ...], name: str, num_words: int | None) -> None:
    if num_words is not None and shape[1] != num_words:
        raise ValueError(
            f"{name} must have the {num_words} columns of the index, got shape {shape}"
        )
    if shape[1] > MAX_WORDS:
        raise ValueError(f"{name} must have 2^32 columns at most, got shape {shape}")


def _offsets(row: NDArray[np.integer[Any]], n_rows: int) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_rows))]).astype(np.int64)


def _numbers(given: ArrayLike, name: str, end: int) -> NDArray[np.uint32]:
    numbers = _check.array(given, name, np.int64, ndim=1)
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < end):
        outside = numbers[(numbers < 0) | (numbers >= end)][0]
        raise ValueError(f"{name} must be from 0 to {end - 1}, got {outside}")
    return numbers.astype(np.uint32)


def checked_values(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return `values` as float64, finite and not of extreme magnitude."""
    numbers = _check.array(values, name, np.float64, ndim=1)
    magnitudes = np.abs(numbers)
    outside = (magnitudes > _LARGEST) | ((magnitudes < _SMALLEST) & (magnitudes > 0))
    if outside.any():
        raise ValueError(
            f"{name} must be 0 or between {_SMALLEST} and {_LARGEST} in magnitude, "
            f"got {numbers[outside][0]}"
        )
    return numbers


def stack(parts: list[Rows]) -> Rows:
    """Return the rows of all parts, one under the other."""
    starts = np.cumsum([0, *(len(part.words) for part in parts)])
    ends = [part.offsets[1:] + start for part, start in zip(parts, starts[:-1], strict=True)]
    return Rows(
        np.concatenate([[0], *ends]).astype(np.int64),
        np.concatenate([part.words for part in parts]),
        np.concatenate([part.values for part in parts]),
        parts[0].num_words,
    )
