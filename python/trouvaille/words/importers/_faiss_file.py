# SPDX-License-Identifier: Apache-2.0
"""The one kind of index of FAISS that COLMAP's vocabularies hold; see `from_colmap`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ... import _core
from ._reading import Reader

_L2 = 1
_GLOBAL = 0  # the kind of thresholds: 0 everywhere
_HASHTABLE = 2  # the kind of a direct map


@dataclass(frozen=True, eq=False)
class HashedLists:
    """Words in lists, as codes of bits.

    Attributes
    ----------
    centers : ndarray of float32, shape (n_lists, n_dims)
    mean : ndarray of float32, shape (n_dims,)
    projection : ndarray of float32, shape (n_bits, n_dims)
    thresholds : ndarray of float32, shape (n_lists, n_bits)
    period : float
        A bit is set in every other interval of half this length; a negative one is as good as
        infinite, and then it is set above the threshold.
    codes : ndarray of uint8, shape (num_words, ceil(n_bits / 8))
    starts : ndarray of int64, shape (n_lists + 1,)
    words : ndarray of uint32, shape (num_words,)
        By list: list i has ``words[starts[i]:starts[i + 1]]``.
    """

    centers: NDArray[np.float32]
    mean: NDArray[np.float32]
    projection: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    period: float
    codes: NDArray[np.uint8]
    starts: NDArray[np.int64]
    words: NDArray[np.uint32]

    def _projected(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the numbers whose bits codes are."""
        centered = X.astype(np.float64) - self.mean
        norms = np.linalg.norm(centered, axis=1, keepdims=True)
        return centered / np.where(norms > 0, norms, 1) @ self.projection.T.astype(np.float64)

    def nearest(
        self, X: NDArray[np.float32], lists: NDArray[np.int64], k: int, threads: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the `k` nearest words of each descriptor among those of its own lists.

        Parameters
        ----------
        X : ndarray of float32, shape (n, n_dims)
        lists : ndarray of int64, shape (n, n_own)
            The lists of each descriptor, none twice.
        k, threads : int

        Returns
        -------
        distances : ndarray of int32, shape (n, k)
            How many bits differ, the smaller word first among equals; then the greatest int32.
        ids : ndarray of int64, shape (n, k)
            The words, then -1.
        """
        projected = self._projected(X)
        if (self.thresholds == self.thresholds[0]).all():
            codes = self._codes(projected, self.thresholds[0])
        else:
            codes = self._codes(projected[:, None], self.thresholds[lists])
        queries = codes.reshape(len(X), -1)
        return _core.hamming_neighbors_in_lists(
            self.codes, self.starts, self.words, queries, lists, k, threads
        )

    def _codes(
        self, projected: NDArray[np.float64], thresholds: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        steps = np.floor((projected - thresholds) * (2 / self.period))
        is_odd = steps - 2 * np.floor(steps / 2) == 1
        return np.packbits(is_odd, axis=-1, bitorder="little")


def read(reader: Reader, n_dims: int) -> HashedLists:
    """Read an index "IVF<n>,ITQ<bits>,SH" of so many dimensions."""
    _expect_code(reader, b"IwSh", "the index of its words")
    num_words = _read_header(reader, n_dims)
    n_lists = reader.number(np.uint64, "number of lists")
    reader.numbers(np.uint64, 1, "lists to look into")
    _expect_code(reader, b"IxF2", "the index of its lists")
    if _read_header(reader, n_dims) != n_lists or n_lists == 0:
        raise reader.refusal("lists and their centers differ in number")
    centers = _read_floats(reader, n_lists * n_dims, "centers of lists").reshape(n_lists, n_dims)
    if reader.number(np.uint8, "kind of map") == _HASHTABLE:
        raise reader.refusal("an index with a map by hash is not read")
    reader.numbers(np.int64, reader.number(np.uint64, "size of the map"), "map")
    mean, projection = _read_transform(reader, n_dims)
    n_bits = len(projection)
    if n_bits > 8 * _core.max_code_bytes:
        raise reader.refusal(f"codes of {n_bits} bits are too long")
    reader.expect(np.int32, n_bits, "bits of a code")
    period = float(reader.floats(1, "period")[0])
    if period == 0:
        raise reader.refusal("the period must not be 0")
    is_global = reader.number(np.int32, "kind of thresholds") == _GLOBAL
    given = _read_floats(reader, 0 if is_global else n_lists * n_bits, "thresholds")
    thresholds = (
        np.broadcast_to(np.float32(0), (n_lists, n_bits))
        if is_global
        else given.reshape(n_lists, n_bits)
    )
    codes, starts, words = _read_lists(reader, n_lists, (n_bits + 7) // 8, num_words)
    return HashedLists(centers, mean, projection, thresholds, period, codes, starts, words)


def _expect_code(reader: Reader, code: bytes, what: str) -> None:
    found = reader.numbers(np.uint8, 4, what).tobytes()
    if found != code:
        raise reader.refusal(
            f"{what} must be of FAISS's kind {code.decode()!r}, got {found.decode('latin-1')!r}"
        )


def _read_header(reader: Reader, n_dims: int) -> int:
    """Return how many vectors an index has."""
    reader.expect(np.int32, n_dims, "dimensions of an index")
    count = reader.number(np.int64, "vectors of an index")
    reader.numbers(np.int64, 2, "unused numbers")
    reader.expect(np.uint8, 1, "whether an index is trained")
    reader.expect(np.int32, _L2, "the metric of an index")
    return count


def _read_floats(reader: Reader, count: int, what: str) -> NDArray[np.float32]:
    reader.expect(np.uint64, count, f"size of {what}")
    return reader.floats(count, what)


def _read_transform(reader: Reader, n_dims: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    _expect_code(reader, b"Viqt", "the transform to bits")
    mean = _read_floats(reader, n_dims, "mean")
    reader.numbers(np.uint8, 1, "whether axes are principal")
    _expect_code(reader, b"Viqm", "the rotation")
    reader.numbers(np.int32, 2, "parameters of the rotation")
    _read_linear(reader)
    _expect_code(reader, b"LTra", "the projection")
    projection, bias = _read_linear(reader)
    reader.expect(np.int32, n_dims, "columns of the transform")
    reader.expect(np.int32, len(projection), "rows of the transform")
    reader.expect(np.uint8, 1, "whether the transform is trained")
    if projection.shape[1] != n_dims or len(projection) == 0 or bias.any():
        raise reader.refusal("the transform to bits does not fit the descriptors")
    return mean, projection


def _read_linear(reader: Reader) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrix and the bias of a linear transform."""
    has_bias = reader.number(np.uint8, "whether there is a bias")
    matrix = reader.floats(reader.number(np.uint64, "size of a matrix"), "a matrix")
    bias = reader.floats(reader.number(np.uint64, "size of a bias"), "a bias")
    cols = reader.number(np.int32, "columns of a matrix")
    rows = reader.number(np.int32, "rows of a matrix")
    reader.numbers(np.uint8, 1, "whether a transform is trained")
    if rows < 0 or cols < 0 or rows * cols != len(matrix):
        raise reader.refusal(f"a matrix of {rows} x {cols} does not have {len(matrix)} numbers")
    return matrix.reshape(rows, cols), bias if has_bias else bias[:0]


def _read_lists(
    reader: Reader, n_lists: int, code_size: int, num_words: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint32]]:
    """Return the codes by word, and the lists."""
    _expect_code(reader, b"ilar", "the lists")
    reader.expect(np.uint64, n_lists, "number of lists")
    reader.expect(np.uint64, code_size, "bytes of a code")
    sizes = _read_sizes(reader, n_lists)
    if num_words < 1 or sum(sizes) != num_words:
        raise reader.refusal(f"its lists have {sum(sizes)} words, not {num_words}")
    codes, words = [], []
    for size in sizes:
        if size:
            codes.append(reader.numbers(np.uint8, size * code_size, "codes"))
            words.append(reader.numbers(np.int64, size, "words of a list"))
    every = np.concatenate(words).astype(np.int64)
    if not np.array_equal(np.sort(every), np.arange(num_words)):
        raise reader.refusal(f"each of {num_words} words must be in one list")
    by_word = np.empty((num_words, code_size), np.uint8)
    by_word[every] = np.concatenate(codes).reshape(-1, code_size)
    return by_word, np.cumsum([0, *sizes], dtype=np.int64), every.astype(np.uint32)


def _read_sizes(reader: Reader, n_lists: int) -> list[int]:
    kind = reader.numbers(np.uint8, 4, "kind of lists").tobytes()
    given = reader.numbers(np.uint64, reader.number(np.uint64, "size of sizes"), "sizes of lists")
    if kind == b"full" and len(given) == n_lists:
        return [int(size) for size in given]
    if kind == b"sprs" and len(given) % 2 == 0 and (given[::2] < n_lists).all():
        sizes = [0] * n_lists
        for number, size in given.reshape(-1, 2):
            sizes[int(number)] = int(size)
        return sizes
    raise reader.refusal(f"lists of kind {kind.decode('latin-1')!r} do not fit {n_lists} lists")
