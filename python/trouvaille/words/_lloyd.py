# SPDX-License-Identifier: Apache-2.0
"""The rounds of k-means: points to their nearest centres, centres to the means of their points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..neighbors.graph import Graph
from ._points import Points

# Of the graph of centres, which every round builds anew: as many edges as a search at a precision
# of 0.95 wants, and no more care than the round's own change of centres leaves of use.
_BUILD_WIDTH = 48


class Lloyd:
    """A clustering under way. Labels and distances are those of the centres.

    With `width` the nearest centres are looked for in a graph of them [1]_, from the centre that a
    point had before: what is found is no farther, so that the sum of distances never rises.

    References
    ----------
    .. [1] J. Philbin et al., "Object retrieval with large vocabularies and fast spatial matching",
       CVPR 2007. (Its approximate k-means, there by k-d trees.)
    """

    DEGREE = 32

    def __init__(
        self,
        points: Points,
        centers: NDArray[Any],
        *,
        width: int | None,
        random_state: int,
        threads: int,
    ) -> None:
        self.points = points
        self.centers = centers
        self.labels = np.full(len(points), -1, np.int64)
        self.distances = np.empty(len(points), _distance_type(points.dtype, centers.dtype))
        self._width, self._random_state, self._threads = width, random_state, threads

    def assign(self) -> None:
        """Find each point's centre."""
        self.distances = np.empty(
            len(self.points), _distance_type(self.points.dtype, self.centers.dtype)
        )
        graph = None if self._width is None else self.build_graph()
        for rows, block in self.points.blocks():
            self._assign(rows, block.astype(self.centers.dtype, copy=False), graph)

    def build_graph(self) -> Graph:
        """Return a graph of the centres."""
        graph = Graph(self.DEGREE, build_width=_BUILD_WIDTH, random_state=self._random_state)
        return graph.build(self.centers, threads=self._threads)

    def _assign(self, rows: slice, block: NDArray[Any], graph: Graph | None) -> None:
        if graph is None:
            found = _core.exact_neighbors(block, self.centers, 1, self._threads)
        else:
            before = self.labels[rows]
            starts = None if len(before) and before[0] < 0 else before
            found = graph._nearest_from(block, starts, self._width or 1, self._threads)
        self.distances[rows], self.labels[rows] = found[0][:, 0], found[1][:, 0]

    def update(self, dtype: np.dtype[Any] | None = None) -> None:
        """Make each centre the mean of its points; repair those without any."""
        _core.repair_empty(
            self.points.parts, self.points.roots, self.distances, len(self.centers), self.labels
        )
        sums, counts = empty_sums(self.points.dtype, self.centers.shape)
        self.add_to(sums, counts)
        centers = self.centers if dtype is None else self.centers.astype(dtype)
        self.centers = _core.means(sums, counts, centers, self._threads)

    def add_to(self, sums: NDArray[Any], counts: NDArray[np.int64]) -> None:
        """Add the points to the sums of their centres."""
        for rows, block in self.points.blocks():
            _core.add_to_sums(block, self.labels[rows], sums, counts, self._threads)

    def inertia(self) -> float:
        """Return the sum of the distances: exact where they are integers."""
        exact = self.distances.dtype == np.int32
        return float(self.distances.sum(dtype=np.int64 if exact else np.float64))


def _distance_type(points: np.dtype[Any], centers: np.dtype[Any]) -> type[np.int32 | np.float32]:
    return np.int32 if points == centers == np.uint8 else np.float32


def empty_sums(
    dtype: np.dtype[Any], shape: tuple[int, ...]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return zeros that points of a dtype are summed in, and counted."""
    return np.zeros(shape, np.uint64 if dtype == np.uint8 else np.float64), np.zeros(
        shape[0], np.int64
    )
