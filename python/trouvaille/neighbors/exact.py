# SPDX-License-Identifier: Apache-2.0
"""The nearest of all: every point is compared with every query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from ._metric import checked_metric
from ._state import Arrays, State
from ._structure import Structure
from .results import Neighbors


class Exact(Structure):
    """Exact nearest neighbours, of bytes, floats or bits.

    Parameters
    ----------
    metric : {"l2", "ip", "l1", "hamming"}
        Squared Euclidean distance; inner product, of which the largest is the nearest; sum of
        absolute differences; number of bits that differ, of points packed in bytes.

    Notes
    -----
    Distances between bytes are exact integers; those between floats are float32 sums in one fixed
    order. Results are the same bits for any number of threads and on every processor.

    Points in float16 are kept so, in half the memory; their queries are float32, and the results
    those of the same points in float32. For inner products floats must be within 1e15.

    Examples
    --------
    >>> index = Exact().build(np.uint8([[0, 0], [3, 3], [9, 9]]))
    >>> index.search(np.uint8([[3, 4]]), k=2)
    Neighbors(distances=array([[ 1, 25]], dtype=int32), ids=array([[1, 0]]))
    >>> index.radius_search(np.uint8([[3, 4]]), 25).ids
    array([1, 0])
    >>> Exact("ip").build(np.float16([[1, 0], [0.5, 0.5]])).search([[0, 2]], k=2)
    Neighbors(distances=array([[1., 0.]], dtype=float32), ids=array([[1, 0]]))
    """

    _format = ArrayFile("exact_neighbors", 1, "an index of exact neighbours")
    _keeps_rows = True
    _least_alive = 1.0  # nothing is to be built
    _point_types = ("uint8", "float32", "float16")

    def __init__(self, metric: str = "l2") -> None:
        super().__init__()
        self._metric = checked_metric(metric)

    def ratio_search(
        self, Q: ArrayLike, ratio: float = 0.8, *, threads: int | None = None
    ) -> Neighbors:
        """Find the nearest point to each row of `Q` where no other is nearly as near.

        Lowe's ratio test [1]_: the nearest neighbour is taken where its distance is below `ratio`
        times that of the second nearest.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
        ratio : float
            From 0 to 1. Of Euclidean distances for the metric "l2", not of squared ones.
        threads : int, optional

        Returns
        -------
        Neighbors
            ``(distances, ids)``, each of shape (n_queries,). Where the nearest was refused they
            are those of a missing place, as `search` has them.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, or holds NaN or infinity, or if the metric
            is "ip": inner products are no distances.

        Notes
        -----
        Two nearest at the same distance are refused, at distance 0 too: where two points are
        equal, nothing tells which one is meant. The only point there is has no rival, and is
        taken. The test is decided in float64.

        References
        ----------
        .. [1] D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.

        Examples
        --------
        >>> index = Exact().build(np.uint8([[10, 10], [50, 40], [50, 60]]))
        >>> index.ratio_search(np.uint8([[12, 10], [50, 50]])).ids
        array([ 0, -1])
        """
        if self._metric.largest_first:
            raise ValueError('a ratio is of distances, which the inner products of "ip" are not')
        limit = float(_check.array(ratio, "ratio", np.float64, ndim=0))
        if not 0 <= limit <= 1:
            raise ValueError(f"ratio must be between 0 and 1, got {limit:g}")
        distances, ids = self.search(Q, 2, threads=threads)
        squared = self._metric.name == "l2"
        nearest, second = (
            np.sqrt(distances.T, dtype=float) if squared else distances.T.astype(float)
        )
        taken = (nearest < limit * second) | (ids[:, 1] < 0)
        missing = self._metric.missing(distances.dtype)
        return Neighbors(
            np.where(taken, distances[:, 0], distances.dtype.type(missing)),
            np.where(taken, ids[:, 0], -1),
        )

    def _parameters(self) -> dict[str, Any]:
        return {"metric": self.metric}

    def _built(self, points: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        return points, {}

    def _checked(self, state: State) -> None:
        if state.alive is not None:
            raise ValueError("there must be no points that were removed")

    def _found(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        if self.metric == "hamming":
            return _core.hamming_neighbors(queries, state.points, k, threads)
        return _core.exact_neighbors(queries, _bits(state.points), k, threads, self.metric)

    def _within(
        self,
        state: State,
        queries: NDArray[Any],
        radius: float,
        threads: int,
        budget: Mapping[str, int],
    ) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
        if self.metric == "hamming":
            if radius < 0:
                return super()._within(state, queries, radius, threads, budget)
            bits = int(min(radius, 8 * state.points.shape[1]))
            return _core.hamming_neighbors_within(queries, state.points, bits, threads)
        return _core.exact_neighbors_within(
            queries, _bits(state.points), radius, threads, self.metric
        )


def _bits(points: NDArray[Any]) -> NDArray[Any]:
    """Return points as the kernels take them: of float16, which C++ has not, the bits."""
    return points.view(np.uint16) if points.dtype == np.float16 else points
