# SPDX-License-Identifier: Apache-2.0
"""Randomized k-d trees: the most promising leaves of several, as many as there is time for."""

from __future__ import annotations

import math
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

_FARTHEST = 2**31 - 1


class KDForest(Structure):
    """Approximate nearest neighbours by randomized k-d trees, of bytes or of floats.

    Trees split the points along the principal axes of all, the first tree by the greatest variance,
    the others at random among those of much [1]_ [2]_. A search looks into the leaves of all trees,
    the nearest to the query first, until it has looked at `checks` points.

    Parameters
    ----------
    trees : int
        More trees find more neighbours for as many checks, each of which takes longer; on SIFT one
        is the fastest at equal recall. Beside the points one takes about 29 bytes a point, four 30.
    leaf_size : int
        The most points of a leaf.
    random_state : int
        Seed of the trees beyond the first, which is always the same.

    Notes
    -----
    The forest and what it finds are the same bits for any number of threads and on every processor.
    `add` builds it again.

    Points that were removed do not count as looked at: a search passes over them, and so takes up
    to a few times as long where most were, until half of all are and the forest is built again.

    References
    ----------
    .. [1] C. Silpa-Anan, R. Hartley, "Optimised KD-trees for fast image descriptor matching", CVPR
       2008.
    .. [2] M. Muja, D. Lowe, "Fast approximate nearest neighbors with automatic algorithm
       configuration", VISAPP 2009.

    Examples
    --------
    >>> index = KDForest().build(np.uint8([[0, 0], [3, 3], [9, 9]]))
    >>> index.search(np.uint8([[3, 4]]), k=2, checks=100)
    Neighbors(distances=array([[ 1, 25]], dtype=int32), ids=array([[1, 0]]))
    """

    _format = ArrayFile("kd_forest", 1, "a k-d forest")
    _budget_name = "checks"
    _arrays = {  # noqa: RUF012
        "rows": "uint32",
        "panels": "uint8",
        "nodes": "uint32",
        "roots": "uint32",
        "orders": "uint32",
        "center": "float32",
        "directions": "float32",
        "scale": "float32",
    }

    def __init__(self, trees: int = 1, *, leaf_size: int = 48, random_state: int = 0) -> None:
        super().__init__()
        self.trees = _check.count(trees, "trees", maximum=64)
        self.leaf_size = _check.count(leaf_size, "leaf_size", maximum=65_535)
        self.random_state = _check.seed(random_state)

    def search(
        self, Q: ArrayLike, k: int = 10, *, checks: int | None = 1024, threads: int | None = None
    ) -> Neighbors:
        """Find `k` near points to each row of `Q`.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
            Queries: whole numbers from 0 to 255 where the points are bytes.
        k : int
            Places a query. It may be more than there are points.
        checks : int, optional
            How many points a query is compared with, to within a leaf, and never fewer than `k`:
            the more, the surer are its nearest among them. With None a search goes on until none
            can be nearer: exact.
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
        checks: int | None = 1024,
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
            "trees": self.trees,
            "leaf_size": self.leaf_size,
            "random_state": self.random_state,
        }

    def _built(self, points: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        drawn_from = 5
        forest: tuple[NDArray[Any], ...] = _core.build_kd_forest(
            points, self.trees, self.leaf_size, drawn_from, self.random_state, threads
        )
        return forest[0], dict(zip(self._arrays, forest[1:], strict=True))

    def _in_order(self, state: State) -> NDArray[Any]:
        return points_by_row(state)

    def _checked(self, state: State) -> None:
        _core.check_kd_forest(_forest(state))

    def _found(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        return _core.search_kd_forest(
            _forest(state), queries, k, budget["checks"], state.bitmap, threads
        )

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
        if state.points.dtype == np.uint8:
            radius = math.floor(min(radius, _FARTHEST))
        else:
            radius = _below(radius)
        return _core.search_kd_forest_within(
            _forest(state), queries, radius, budget["checks"], state.bitmap, threads
        )


def _forest(state: State) -> Any:
    return (state.points, *(state.arrays[name] for name in KDForest._arrays))


def _below(radius: float) -> float:
    """Return the largest float32 that is at most `radius`."""
    representable = min(radius, float(np.finfo(np.float32).max))
    near = np.float32(representable)
    return float(near if float(near) <= representable else np.nextafter(near, np.float32(0)))
