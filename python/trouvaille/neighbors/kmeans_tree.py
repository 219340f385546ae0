# SPDX-License-Identifier: Apache-2.0
"""A tree of k-means clusters: the points of those whose centers are the nearest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from ._places import checks_for
from ._state import Arrays, State, points_by_row
from ._structure import Structure, budget_of
from .results import Neighbors, RadiusNeighbors

_LIST_SIZE = 120
"""Points of a cluster of the lowest level, where `branching` is not given."""
_MOST_GROWTH = 4
"""With so many times the points that the centers were trained on, they are trained again."""


class KMeansTree(Structure):
    """Approximate nearest neighbours by a tree of k-means clusters, of bytes or of floats.

    The points are clustered, and each cluster's once more [1]_ [2]_. With one level this is an
    inverted file, with two or more a vocabulary tree. A search looks at the points of the clusters
    whose centers are the nearest to the query, until it has looked at `checks` points: at a sketch
    of four bits along each of 48 principal axes, of the difference from the center. Only the few
    that are the nearest by these are compared themselves. It is built in seconds where a `Graph`
    takes minutes, and nearly as fast.

    Parameters
    ----------
    branching : int, optional
        Clusters of the highest level, and within each on average: a cluster of more points has
        more. By default so many that those of the lowest level have some 120 points.
    levels : int
        From 1 to 8.
    iterations : int
        Of Lloyd's algorithm, for each clustering.
    random_state : int
        Seed of the sample that the centers are trained on.

    Notes
    -----
    The tree and what it finds are the same bits for any number of threads and on every processor.
    `add` puts points into the clusters that there are, and copies the index once; with four times
    the points that the centers were trained on it is built again.

    Points that were removed do not count as looked at: a search passes over them, and so takes up
    to a few times as long where most were, until half of all are and the tree is built again.

    Where squared distances are nearly beyond float32 (those of floats of some 1e18 or more, or of
    1e-18 or less) sketches say nothing: more points are compared themselves, or all.

    Beside the points it takes 32 bytes for each, and for each cluster a center and some 250 more.

    References
    ----------
    .. [1] D. Nister, H. Stewenius, "Scalable recognition with a vocabulary tree", CVPR 2006.
    .. [2] M. Muja, D. Lowe, "Fast approximate nearest neighbors with automatic algorithm
       configuration", VISAPP 2009.

    Examples
    --------
    >>> index = KMeansTree().build(np.uint8([[0, 0], [3, 3], [9, 9]]))
    >>> index.search(np.uint8([[3, 4]]), k=2, checks=100)
    Neighbors(distances=array([[ 1, 25]], dtype=int32), ids=array([[1, 0]]))
    """

    _format = ArrayFile("kmeans_tree", 1, "a k-means tree")
    _budget_name = "checks"
    _arrays = {  # noqa: RUF012
        "rows": "uint32",
        "panels": "uint32",
        "starts": "uint32",
        "children": "uint32",
        "centers": "uint8",
        "blocks": "uint32",
        "sketches": "uint8",
        "middle": "float32",
        "directions": "float32",
        "steps": "float32",
        "unseen": "float32",
        "trained_on": "uint32",
    }

    def __init__(
        self,
        branching: int | None = None,
        *,
        levels: int = 2,
        iterations: int = 6,
        random_state: int = 0,
    ) -> None:
        super().__init__()
        self.branching = (
            None if branching is None else _check.count(branching, "branching", maximum=2**24)
        )
        self.levels = _check.count(levels, "levels", maximum=8)
        self.iterations = _check.count(iterations, "iterations", minimum=0, maximum=1_000)
        self.random_state = _check.seed(random_state)

    def search(
        self, Q: ArrayLike, k: int = 10, *, checks: int | None = 4096, threads: int | None = None
    ) -> Neighbors:
        """Find `k` near points to each row of `Q`.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
            Queries: whole numbers from 0 to 255 where the points are bytes.
        k : int
            Places a query. It may be more than there are points.
        checks : int, optional
            How many points a query looks at, to within a cluster, and never fewer than `k`: the
            more, the surer are its nearest among them. With None, or as many as there are, all are
            compared: exact.
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
        return self._search(Q, k, threads, budget_of(checks=checks_for(checks, k)))

    def radius_search(
        self,
        Q: ArrayLike,
        radius: float,
        *,
        checks: int | None = 4096,
        threads: int | None = None,
    ) -> RadiusNeighbors:
        """Find points within a distance of each row of `Q`, among `checks`; see `search`.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
        radius : float
            A squared distance, as `search` returns them; those that are equal count.
        checks : int, optional
            With None all are found.
        threads : int, optional

        Returns
        -------
        RadiusNeighbors
            ``(offsets, distances, ids)``.
        """
        return self._radius_search(Q, radius, threads, budget_of(checks=checks))

    def _parameters(self) -> dict[str, Any]:
        return {
            "branching": self.branching,
            "levels": self.levels,
            "iterations": self.iterations,
            "random_state": self.random_state,
        }

    def _built(self, points: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        branching = self.branching
        if branching is None:
            branching = max(round((len(points) / _LIST_SIZE) ** (1 / self.levels)), 2)
        tree: tuple[NDArray[Any], ...] = _core.build_kmeans_tree(
            points, branching, self.levels, self.iterations, self.random_state, threads
        )
        return self._parts(tree, np.array([len(points)], np.uint32))

    def _grown(self, state: State, new: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        trained_on = state.arrays["trained_on"]
        if len(state.points) + len(new) >= _MOST_GROWTH * int(trained_on[0]):
            return super()._grown(state, new, threads)
        return self._parts(_core.grow_kmeans_tree(_tree(state), new, threads), trained_on)

    def _parts(
        self, tree: tuple[NDArray[Any], ...], trained_on: NDArray[np.uint32]
    ) -> tuple[NDArray[Any], Arrays]:
        return tree[0], dict(zip(self._arrays, (*tree[1:], trained_on), strict=True))

    def _in_order(self, state: State) -> NDArray[Any]:
        return points_by_row(state)

    def _checked(self, state: State) -> None:
        trained_on = state.arrays["trained_on"]
        if trained_on.shape != (1,):
            raise ValueError("there must be one number of points that centers were trained on")
        _core.check_kmeans_tree(_tree(state))

    def _found(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        return _core.search_kmeans_tree(
            _tree(state), queries, k, budget["checks"], state.bitmap, threads
        )


def _tree(state: State) -> Any:
    return (
        state.points,
        *(state.arrays[name] for name in KMeansTree._arrays if name != "trained_on"),
    )
