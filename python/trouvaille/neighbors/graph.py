# SPDX-License-Identifier: Apache-2.0
"""A navigable graph: from neighbour to neighbour towards the query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from ._state import Arrays, State, from_file
from ._structure import Structure, budget_of
from .results import Neighbors, RadiusNeighbors


class Graph(Structure):
    """Approximate nearest neighbours by a navigable graph, of bytes or of floats.

    Each point has edges to a few others: near ones, and some that lead further (Vamana [1]_, built
    by synchronous batches [2]_). A search begins at one point and walks along edges, always on from
    the nearest that it has met. It is the fastest structure at high recall, and takes the longest
    to build.

    Parameters
    ----------
    degree : int
        The most edges of a point, of 4 bytes each: more find more neighbours in as many steps,
        each of which takes longer.
    build_width : int
        The `width` of the searches that find the edges of a new point.
    alpha : float
        An edge is left out if a kept one leads `alpha` times nearer to where it ends: the larger,
        the more edges lead far. At least 1.
    random_state : int
        Seed of the order in which points are inserted.

    Notes
    -----
    The graph and what it finds are the same bits for any number of threads and on every processor;
    adding points in one call or in several gives different graphs. `add` connects the new points
    and keeps all other edges; each call copies the index once, so add many points at a time.
    A search keeps `width` points beside those that were removed, and as many of these to walk on
    from: it takes up to twice as long where most were, until half of all are and the graph is built
    again.

    References
    ----------
    .. [1] S. Jayaram Subramanya, Devvrit, R. Kadekodi, R. Krishnaswamy, H. Simhadri, "DiskANN: Fast
       accurate billion-point nearest neighbor search on a single node", NeurIPS 2019.
    .. [2] M. Manohar et al., "ParlayANN: Scalable and deterministic parallel graph-based
       approximate nearest neighbor search algorithms", PPoPP 2024.

    Examples
    --------
    >>> index = Graph().build(np.uint8([[0, 0], [3, 3], [9, 9]]))
    >>> index.search(np.uint8([[3, 4]]), k=2)
    Neighbors(distances=array([[ 1, 25]], dtype=int32), ids=array([[1, 0]]))
    """

    _format = ArrayFile("graph", 1, "a graph of neighbours")
    _budget_name = "width"
    _arrays = {"neighbors": "uint32", "entry": "uint32", "copies": "uint64"}  # noqa: RUF012

    def __init__(
        self,
        degree: int = 48,
        *,
        build_width: int = 100,
        alpha: float = 1.2,
        random_state: int = 0,
    ) -> None:
        super().__init__()
        self.degree = _check.count(degree, "degree", maximum=1024)
        self.build_width = _check.count(build_width, "build_width", maximum=65_535)
        self.alpha = _check.between(alpha, "alpha", 1, 1e6)
        self.random_state = _check.seed(random_state)

    def search(
        self, Q: ArrayLike, k: int = 10, *, width: int | None = 64, threads: int | None = None
    ) -> Neighbors:
        """Find `k` near points to each row of `Q`.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
            Queries: whole numbers from 0 to 255 where the points are bytes.
        k : int
            Places a query. It may be more than there are points.
        width : int, optional
            How many of the nearest points it has met a search goes on from (at least `k`): the
            more, the surer are the nearest among them. With None all points are compared: exact.
        threads : int, optional
            One for each core by default.

        Returns
        -------
        Neighbors
            ``(distances, ids)``, each of shape (n_queries, k); distances are exact.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, or holds NaN or infinity.
        """
        return self._search(Q, k, threads, budget_of(width=width))

    def radius_search(
        self,
        Q: ArrayLike,
        radius: float,
        *,
        width: int | None = 64,
        threads: int | None = None,
    ) -> RadiusNeighbors:
        """Find points within a distance of each row of `Q`; see `search`.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
        radius : float
            A squared distance, as `search` returns them; those that are equal count.
        width : int, optional
            With None all are found.
        threads : int, optional

        Returns
        -------
        RadiusNeighbors
            ``(offsets, distances, ids)``.
        """
        return self._radius_search(Q, radius, threads, budget_of(width=width))

    def without_points(self) -> tuple[dict[str, Any], Arrays]:
        """Return parameters and arrays for who keeps the points; see `with_points`."""
        return self._parameters(), self._built_state().arrays

    @classmethod
    def with_points(
        cls, points: NDArray[Any], parameters: Mapping[str, Any], arrays: Arrays
    ) -> Self:
        """Return the graph of points that somebody keeps, which must not change.

        Raises
        ------
        TypeError, ValueError
            If they do not fit together.
        """
        index = cls(**parameters)
        numbered = {"first_id": 0, "largest_id": len(points) - 1}
        types = (points.dtype.name,)
        state = from_file(numbered, {"points": points, **arrays}, cls._arrays, types)
        index._checked(state)
        index._state = state
        return index

    def _parameters(self) -> dict[str, Any]:
        return {
            "degree": self.degree,
            "build_width": self.build_width,
            "alpha": self.alpha,
            "random_state": self.random_state,
        }

    def _built(self, points: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        edges = np.empty((0, self.degree), np.uint32)
        return self._extended(points, (edges, 0, np.empty(0, np.uint64)), threads)

    def _grown(self, state: State, new: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        return self._extended(np.concatenate([state.points, new]), _graph(state), threads)

    def _extended(
        self,
        points: NDArray[Any],
        old: tuple[NDArray[np.uint32], int, NDArray[np.uint64]],
        threads: int,
    ) -> tuple[NDArray[Any], Arrays]:
        rows = _core.aligned_rows(points)
        edges, entry, copies = _core.extend_graph(
            rows, *old, self.degree, self.build_width, self.alpha, self.random_state, threads
        )
        return rows, {"neighbors": edges, "entry": np.array([entry], np.uint32), "copies": copies}

    def _checked(self, state: State) -> None:
        if state.arrays["entry"].shape != (1,):
            raise ValueError("the graph must have one entry")
        if state.arrays["neighbors"].ndim != 2 or state.arrays["neighbors"].shape[1] != self.degree:
            raise ValueError(f"the graph must have {self.degree} neighbors a point")
        _core.check_graph(*_graph(state), len(state.points))

    def _found(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        width = min(budget["width"], len(state.points))
        return _core.search_graph(
            state.points, *_graph(state), queries, k, width, state.bitmap, threads
        )

    def _nearest_from(
        self,
        queries: NDArray[Any],
        starts: NDArray[np.int64] | None,
        width: int,
        threads: int,
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the distance and the row of the nearest point to each query, shape (n, 1).

        Queries are of the points' dtype. Besides the entry a walk begins at the row that `starts`
        has for its query: what it finds is no farther than that.
        """
        state = self._built_state()
        neighbors, entry, copies = _graph(state)
        begin = None
        if starts is not None:
            original = np.arange(len(state.points), dtype=np.uint32)
            original[(copies & 0xFFFFFFFF).astype(np.int64)] = copies >> 32
            begin = original[starts]
        return _core.search_graph(
            state.points,
            neighbors,
            entry,
            copies,
            queries,
            1,
            min(width, len(state.points)),
            state.bitmap,
            threads,
            begin,
        )


def _graph(state: State) -> tuple[NDArray[np.uint32], int, NDArray[np.uint64]]:
    arrays = state.arrays
    return arrays["neighbors"], int(arrays["entry"][0]), arrays["copies"]
