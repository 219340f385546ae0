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

METHODS = ("auto", "linear")
_NO_BITMAP = np.empty(0, np.uint64)


class Hamming(Structure):
    """Exact nearest neighbours of packed bits, by how many of them differ.

    Parameters
    ----------
    method : {"auto", "linear"}
        "linear" compares every point with every query, at the speed of memory.

    Notes
    -----
    Bits are packed in bytes, in any order that points and queries share. Distances are int32. The
    results are the same for any method, number of threads and processor: among points that are
    equally far those that were given first.

    Examples
    --------
    >>> codes = np.uint8([[0b0000_0000], [0b0000_0111], [0b1111_1111]])
    >>> Hamming().build(codes).search(np.uint8([[0b0000_1111]]), k=2)
    Neighbors(distances=array([[1, 4]], dtype=int32), ids=array([[1, 0]]))
    """

    _format = ArrayFile("hamming_neighbors", 1, "an index of binary codes")
    _point_types = ("uint8",)
    _metric = METRICS["hamming"]

    def __init__(self, method: str = "auto") -> None:
        super().__init__()
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        self.method = method

    def _parameters(self) -> dict[str, Any]:
        return {"method": self.method}

    def _built(self, points: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        return points, {}

    def _checked(self, state: State) -> None:
        if state.points.shape[1] > _core.max_code_bytes:
            raise ValueError("the codes are too long")

    def _found(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        return _core.hamming_neighbors(queries, state.points, k, threads, _alive(state))

    def _within(
        self,
        state: State,
        queries: NDArray[Any],
        radius: float,
        threads: int,
        budget: Mapping[str, int],
    ) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
        bits = 8 * state.points.shape[1]
        if radius < 0:
            return (
                np.zeros(len(queries) + 1, np.int64),
                np.empty(0, np.int32),
                np.empty(0, np.int64),
            )
        whole = int(min(radius, bits))
        return _core.hamming_neighbors_within(queries, state.points, whole, threads, _alive(state))


def _alive(state: State) -> NDArray[np.uint64]:
    return _NO_BITMAP if state.bitmap is None else state.bitmap
