# SPDX-License-Identifier: Apache-2.0
"""Files of vectors, as benchmarks of neighbours exchange them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _files

# TEXMEX: each row its number of entries, int32, and the entries.
_ROWS = {".fvecs": "<f4", ".ivecs": "<i4", ".bvecs": "u1"}
# Big-ANN: the numbers of rows and of entries a row, uint32, and all entries.
_WHOLE = {".fbin": "<f4", ".ibin": "<i4", ".u8bin": "u1", ".i8bin": "i1"}


def read_vectors(path: str | os.PathLike[str], *, mmap: bool = True) -> NDArray[Any]:
    """Read a file of vectors, by its name: fvecs, ivecs, bvecs, fbin, ibin, u8bin, i8bin.

    Parameters
    ----------
    path : str or path
    mmap : bool
        Whether to map the file, so that its memory is the system's to take back, or to copy it.
        Of fvecs, ivecs and bvecs the length of each row is verified, which reads every page once.

    Returns
    -------
    ndarray, shape (n, n_dims)
        float32, int32, uint8 or int8; a mapped one is read-only, and its rows need not be
        contiguous in memory.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the name ends otherwise, or the file is not of that kind: cut short, or of rows that
        differ in length.
    """
    path = Path(path)
    dtype = _dtype_of(path)
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} is empty")
    data = (
        np.memmap(path, np.uint8, "r")
        if _check.boolean(mmap, "mmap")
        else np.fromfile(path, np.uint8)
    )
    if path.suffix in _ROWS:
        return _rows(path, data, dtype)
    return _whole(path, data, dtype)


def write_vectors(path: str | os.PathLike[str], X: ArrayLike) -> None:
    """Write a file of vectors, of the kind that its name says; see `read_vectors`.

    Parameters
    ----------
    path : str or path
        Replaced if it exists, whole or not at all.
    X : array_like, shape (n, n_dims)
        Numbers that the kind's dtype represents exactly; one or more columns.

    Raises
    ------
    TypeError, ValueError
        If the name ends otherwise, or `X` does not fit the kind.
    OSError
        If the disk refuses.
    """
    path = Path(path)
    dtype = _dtype_of(path)
    X = _check.matrix(X, "X", dtype)
    n, n_dims = X.shape
    if n_dims == 0:
        raise ValueError("X must have a column or more")
    if path.suffix in _ROWS:
        if n == 0:
            raise ValueError(f"X must have a row or more: {path.suffix} files of none say nothing")
        rows = np.empty((n, 4 + n_dims * dtype.itemsize), np.uint8)
        rows[:, :4] = np.array([n_dims], "<i4").view(np.uint8)
        rows[:, 4:] = X.astype(dtype, copy=False).view(np.uint8).reshape(n, n_dims * dtype.itemsize)
        _files.replace(path, [rows.reshape(-1).data])
        return
    head = np.array([n, n_dims], "<u4")
    _files.replace(path, [head.view(np.uint8).data, np.ascontiguousarray(X).reshape(-1).data])


def _dtype_of(path: Path) -> np.dtype[Any]:
    kinds = _ROWS | _WHOLE
    if path.suffix not in kinds:
        raise ValueError(f"the name must end in one of {', '.join(kinds)}, got {path.name!r}")
    return np.dtype(kinds[path.suffix])


def _rows(path: Path, data: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    n_dims = int(data[:4].view("<i4")[0]) if len(data) >= 4 else 0
    width = 4 + n_dims * dtype.itemsize
    if n_dims <= 0 or len(data) % width:
        raise ValueError(f"{path} has {len(data)} bytes, not rows of {n_dims} entries: cut short?")
    rows = data.reshape(-1, width)
    other = np.flatnonzero((rows[:, :4] != rows[0, :4]).any(axis=1))
    if len(other):
        raise ValueError(f"{path}: row {other[0]} is not of {n_dims} entries, as the first is")
    # Rows are of a length that is a multiple of the item's: a view in place.
    return rows.view(dtype)[:, 4 // dtype.itemsize :]


def _whole(path: Path, data: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    n, n_dims = (int(x) for x in data[:8].view("<u4")) if len(data) >= 8 else (0, 0)
    if n_dims == 0 or len(data) != 8 + n * n_dims * dtype.itemsize:
        raise ValueError(f"{path} has {len(data)} bytes, not {n} rows of {n_dims} entries")
    return data[8:].view(dtype).reshape(n, n_dims)
