# SPDX-License-Identifier: Apache-2.0
"""The nearest of all: every point is compared with every query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._array_file import ArrayFile
from ._state import Arrays, State
from ._structure import Structure


class Exact(Structure):
    """Exact nearest neighbours by squared Euclidean distance, of bytes or of floats.

    Distances between bytes are exact integers; those between floats are float32 sums in one fixed
    order. Results are the same bits for any number of threads and on every processor.

    Examples
    --------
    >>> index = Exact().build(np.uint8([[0, 0], [3, 3], [9, 9]]))
    >>> index.search(np.uint8([[3, 4]]), k=2)
    Neighbors(distances=array([[ 1, 25]], dtype=int32), ids=array([[1, 0]]))
    >>> index.radius_search(np.uint8([[3, 4]]), 25).ids
    array([1, 0])
    """

    _format = ArrayFile("exact_neighbors", 1, "an index of exact neighbours")

    _least_alive = 1.0  # nothing is to be built

    def _parameters(self) -> dict[str, Any]:
        return {}

    def _built(self, points: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        return points, {}

    def _checked(self, state: State) -> None:
        if state.alive is not None:
            raise ValueError("there must be no points that were removed")

    def _found(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        return _core.exact_neighbors(queries, state.points, k, threads)
