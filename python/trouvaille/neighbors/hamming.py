# SPDX-License-Identifier: Apache-2.0
"""The nearest of all packed binary codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._array_file import ArrayFile
from ._metric import METRICS
from ._state import Arrays, State
from ._structure import Structure

METHODS = ("auto", "linear", "multi-index")
_ARRAYS = ("rows", "codes", "directories")
_NO_BITMAP = np.empty(0, np.uint64)
# Where a multi-index was measured to be faster than a scan of many queries.
_MOST_BITS, _LEAST_POINTS = 64, 500_000
_MOST_MEMORY = 32  # of the tables, over that of the codes


class Hamming(Structure):
    """Exact nearest neighbours of packed bits, by how many of them differ.

    Parameters
    ----------
    method : {"auto", "linear", "multi-index"}
        "linear" compares every point with every query, at the speed of memory. "multi-index" looks
        codes up by their parts, in tables: all that are near share a part with the query, but for a
        few bits [1]_. Queries whose neighbours are far are left to the scan. It is faster for short
        codes (64 bits) of many points, and for small radii. There are as many tables as a code has
        bits for each of the binary logarithm of the number of points, and each has all codes and 4
        bytes a point more; where that would be more than 32 times the codes' memory, it is the
        scan. "auto" is "multi-index" for codes of at most 64 bits of at least
        500,000 points.

    Notes
    -----
    Bits are packed in bytes, in any order that points and queries share. Distances are int32. The
    results are the same for any method, number of threads and processor: among points that are
    equally far those that were given first. `add` builds the tables again.

    References
    ----------
    .. [1] M. Norouzi, A. Punjani, D. Fleet, "Fast search in Hamming space with multi-index
       hashing", CVPR 2012.

    Examples
    --------
    >>> codes = np.uint8([[0b0000_0000], [0b0000_0111], [0b1111_1111]])
    >>> Hamming().build(codes).search(np.uint8([[0b0000_1111]]), k=2)
    Neighbors(distances=array([[1, 4]], dtype=int32), ids=array([[1, 0]]))
    """

    _format = ArrayFile("hamming_neighbors", 1, "an index of binary codes")
    _arrays = {"rows": "uint32", "codes": "uint8", "directories": "uint32"}  # noqa: RUF012
    _point_types = ("uint8",)
    _metric = METRICS["hamming"]
    _keeps_rows = True

    def __init__(self, method: str = "auto") -> None:
        super().__init__()
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        self.method = method

    def _parameters(self) -> dict[str, Any]:
        return {"method": self.method}

    def _built(self, points: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        n, n_bytes = points.shape
        short = 8 * n_bytes <= _MOST_BITS and n >= _LEAST_POINTS
        none = np.empty((0, n), np.uint32), np.empty((0, n_bytes), np.uint8), np.empty(0, "u4")
        if n_bytes == 0 or self.method == "linear" or (self.method == "auto" and not short):
            return points, dict(zip(_ARRAYS, none, strict=True))
        tables = _core.advised_tables(8 * n_bytes, n)
        if tables * (n_bytes + 4) > _MOST_MEMORY * n_bytes:
            return points, dict(zip(_ARRAYS, none, strict=True))
        return points, dict(
            zip(_ARRAYS, _core.build_multi_index(points, tables, threads), strict=True)
        )

    def _checked(self, state: State) -> None:
        if len(state.arrays["directories"]):
            _core.check_multi_index(state.points, *_tables(state))

    def _found(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        alive = _NO_BITMAP if state.bitmap is None else state.bitmap
        if len(state.arrays["directories"]) == 0:
            return _core.hamming_neighbors(queries, state.points, k, threads, alive)
        return _core.search_multi_index(state.points, *_tables(state), queries, k, threads, alive)

    def _within(
        self,
        state: State,
        queries: NDArray[Any],
        radius: float,
        threads: int,
        budget: Mapping[str, int],
    ) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
        if radius < 0 or len(state.points) == 0:
            return super()._within(state, queries, radius, threads, budget)
        whole = int(min(radius, 8 * state.points.shape[1]))
        alive = _NO_BITMAP if state.bitmap is None else state.bitmap
        if len(state.arrays["directories"]) == 0:
            return _core.hamming_neighbors_within(queries, state.points, whole, threads, alive)
        return _core.search_multi_index_within(
            state.points, *_tables(state), queries, whole, threads, alive
        )


def _tables(state: State) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint32]]:
    arrays = state.arrays
    return arrays["rows"], arrays["codes"], arrays["directories"]
