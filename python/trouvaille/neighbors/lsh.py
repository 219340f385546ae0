# SPDX-License-Identifier: Apache-2.0
"""Locality-sensitive hashing: the buckets nearest to a query, and the nearest of their points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from ._metric import METRICS
from ._places import checks_for
from ._state import Arrays, State, points_by_row
from ._structure import Structure, budget_of
from .results import Neighbors, RadiusNeighbors

Family = Literal["hyperplanes", "p-stable", "bits"]

_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "l2": ("hyperplanes", "p-stable"),
    "hamming": ("hyperplanes", "p-stable", "bits"),
}
"""By metric."""
_BUCKET = 64  # points; on average, where `bits` is not given
_STABLE_BITS = 2.1  # of the number of a bucket, that one p-stable function is worth


class LSH(Structure):
    """Approximate nearest neighbours by locality-sensitive hashing, of bytes, floats or bits.

    Each table puts points into buckets by the signs of a few random projections [1]_ [2]_, by the
    intervals that these are in [3]_, or by a few of the points' own bits [1]_. A search looks into
    the buckets of all tables, the nearest to the query first [4]_, until it has looked at `checks`
    points, and compares those with the nearest sketches [5]_: more such signs, or bits.

    Parameters
    ----------
    tables : int
        More tables find more neighbours for as many checks, each of which takes longer; on SIFT one
        or two are the fastest at equal recall. Each takes 20 bytes a point, and 12 to 24 a bucket.
    bits : int, optional
        Functions a table, up to 32: the more, the smaller are the buckets. By default a bucket has
        about 64 points.
    metric : {"l2", "hamming"}
        Squared Euclidean distance, or the number of bits that differ, of points packed in bytes.
    family : {"hyperplanes", "p-stable", "bits"}
        What a function is: on which side of a plane a point lies; in which interval its projection
        is; one of its bits (for the metric "hamming" only). By default planes, for bits too: near
        ORB descriptors then share buckets more often.
    width : float, optional
        Of the intervals of "p-stable", in the unit of the points; by default a standard deviation
        of their projections.
    random_state : int
        Seed of all functions.

    Notes
    -----
    Projections are random, but not in all directions alike: normal vectors are multiplied by the
    points' covariance twice, so that most planes cut where the points differ most, and those of a
    table are made orthogonal [6]_. On SIFT that more than halves the points to look at. Planes lie
    at the median, so that buckets are even.

    The tables and what they find are the same bits for any number of threads and on every
    processor. `add` builds them again.

    Points that were removed do not count as looked at: a search passes over them, and so takes up
    to a few times as long where most were, until half of all are and the tables are built again.

    References
    ----------
    .. [1] P. Indyk, R. Motwani, "Approximate nearest neighbors: towards removing the curse of
       dimensionality", STOC 1998.
    .. [2] M. Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002.
    .. [3] M. Datar, N. Immorlica, P. Indyk, V. Mirrokni, "Locality-sensitive hashing scheme based
       on p-stable distributions", SoCG 2004.
    .. [4] Q. Lv, W. Josephson, Z. Wang, M. Charikar, K. Li, "Multi-probe LSH: efficient indexing
       for high-dimensional similarity search", VLDB 2007.
    .. [5] W. Dong, M. Charikar, K. Li, "Asymmetric distance estimation with sketches for similarity
       search in high-dimensional spaces", SIGIR 2008.
    .. [6] J. Ji, J. Li, S. Yan, B. Zhang, Q. Tian, "Super-bit locality-sensitive hashing", NIPS
       2012.

    Examples
    --------
    >>> index = LSH().build(np.uint8([[0, 0], [3, 3], [9, 9]]))
    >>> index.search(np.uint8([[3, 4]]), k=2)
    Neighbors(distances=array([[ 1, 25]], dtype=int32), ids=array([[1, 0]]))
    >>> LSH(metric="hamming").build(np.uint8([[0b0011], [0b0111]])).search(np.uint8([[0b0110]]), 1)
    Neighbors(distances=array([[1]], dtype=int32), ids=array([[1]]))
    """

    _format = ArrayFile("lsh", 1, "LSH tables")
    _budget_name = "checks"
    _arrays = {  # noqa: RUF012
        "rows": "uint32",
        "slots": "uint32",
        "orders": "uint32",
        "panels": "uint8",
        "center": "float32",
        "directions": "float32",
        "offsets": "float32",
        "multipliers": "uint32",
        "settings": "int32",
    }

    def __init__(
        self,
        tables: int = 1,
        bits: int | None = None,
        *,
        metric: Literal["l2", "hamming"] = "l2",
        family: Family = "hyperplanes",
        width: float | None = None,
        random_state: int = 0,
    ) -> None:
        super().__init__()
        if metric not in _FAMILIES:
            raise ValueError(f"metric must be one of {', '.join(_FAMILIES)}, got {metric!r}")
        if family not in _FAMILIES[metric]:
            raise ValueError(
                f"family must be one of {', '.join(_FAMILIES[metric])} for the metric {metric}, "
                f"got {family!r}"
            )
        self._metric = METRICS[metric]
        self.tables = _check.count(tables, "tables", maximum=64)
        self.bits = None if bits is None else _check.count(bits, "bits", maximum=32)
        self.family = family
        self.width = None if width is None else _check.positive(width, "width")
        if self.width is not None and self.family != "p-stable":
            raise ValueError(f"width is of p-stable intervals; the family is {self.family}")
        self.random_state = _check.seed(random_state)

    def search(
        self,
        Q: ArrayLike,
        k: int = 10,
        *,
        checks: int | None = 16_384,
        probes: int | None = None,
        rerank: int | None = None,
        threads: int | None = None,
    ) -> Neighbors:
        """Find `k` near points to each row of `Q`.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
            Queries: whole numbers from 0 to 255 where the points are bytes.
        k : int
            Places a query. It may be more than there are points.
        checks : int, optional
            How many points a query looks at the sketches of, those in the buckets of several tables
            once for each, and never fewer than `k` different ones: the more, the surer are its
            nearest among them. With None, or as many as there are, all points are compared: exact.
        probes : int, optional
            How many buckets it looks into at most. By default `checks` alone counts, and a query
            that is far from all buckets looks at the sketches of all points.
        rerank : int, optional
            How many of the points looked at are compared, those of the nearest sketches, ties
            besides: by default ``checks // 64 + 8 * k``, never less than `k`.
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
        enough = checks_for(checks, k)
        return self._search(Q, k, threads, _budget(enough, probes, rerank))

    def radius_search(
        self,
        Q: ArrayLike,
        radius: float,
        *,
        checks: int | None = 16_384,
        probes: int | None = None,
        rerank: int | None = None,
        threads: int | None = None,
    ) -> RadiusNeighbors:
        """Find points within a distance of each row of `Q`, as far as `search` finds them.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
        radius : float
            As `search` returns distances; those that are equal count.
        checks, probes, rerank : int, optional
            See `search`. With no `checks` all are found.
        threads : int, optional

        Returns
        -------
        RadiusNeighbors
            ``(offsets, distances, ids)``.
        """
        return self._radius_search(Q, radius, threads, _budget(checks, probes, rerank))

    def _parameters(self) -> dict[str, Any]:
        return {
            "tables": self.tables,
            "bits": self.bits,
            "metric": self.metric,
            "family": self.family,
            "width": self.width,
            "random_state": self.random_state,
        }

    def _functions(self, n: int) -> int:
        """Return how many a table has, for `n` points."""
        if self.bits is not None:
            return self.bits
        each = _STABLE_BITS if self.family == "p-stable" else 1
        return min(max(round(math.log2(n / _BUCKET) / each), 1), 32)

    def _built(self, points: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        sketch_bytes = 16
        tables: tuple[NDArray[Any], ...] = _core.build_lsh(
            points,
            self.tables,
            self._functions(len(points)),
            sketch_bytes,
            self.family,
            self.width or 0.0,
            self.metric == "hamming",
            self.random_state,
            threads,
        )
        return tables[0], dict(zip(self._arrays, tables[1:], strict=True))

    def _in_order(self, state: State) -> NDArray[Any]:
        return points_by_row(state)

    def _checked(self, state: State) -> None:
        packed_bits = state.arrays["settings"][-1:].tolist()
        if packed_bits != [self.metric == "hamming"]:
            raise ValueError(f"the tables are not for the metric {self.metric}")
        _core.check_lsh(_tables(state))

    def _found(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        checks = budget["checks"]
        rerank = budget["rerank"] or checks // 64 + 8 * k
        return _core.search_lsh(
            _tables(state), queries, k, checks, budget["probes"], rerank, state.bitmap, threads
        )


def _budget(checks: int | None, probes: int | None, rerank: int | None) -> dict[str, int]:
    return {
        **budget_of(checks=checks),
        "probes": 0 if probes is None else _check.count(probes, "probes"),
        "rerank": 0 if rerank is None else _check.count(rerank, "rerank"),
    }


def _tables(state: State) -> Any:
    return (state.points, *(state.arrays[name] for name in LSH._arrays))
