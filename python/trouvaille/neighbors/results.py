# SPDX-License-Identifier: Apache-2.0
"""What an index of neighbours answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Neighbors(NamedTuple):
    """The nearest neighbours of each query, nearest first; the smaller row first among equals.

    Attributes
    ----------
    distances : ndarray, shape (n_queries, k)
        By the metric: squared Euclidean distances ("l2"), sums of absolute differences ("l1"),
        bits that differ ("hamming"); or inner products ("ip"), the largest first. int32 between
        bytes, float32 otherwise.
    ids : ndarray of int64, shape (n_queries, k)
        Row numbers, or the ids that the rows were given. Missing places hold -1, and the largest
        distance of their dtype, infinity if it has one; of inner products the smallest.
    """

    distances: NDArray[Any]
    ids: NDArray[np.int64]


class RadiusNeighbors(NamedTuple):
    """All neighbours within a radius: query i has ``offsets[i]`` to ``offsets[i + 1]``.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_queries + 1,)
    distances : ndarray, shape (offsets[-1],)
        As those of `Neighbors`; each query's nearest first.
    ids : ndarray of int64, shape (offsets[-1],)
    """

    offsets: NDArray[np.int64]
    distances: NDArray[Any]
    ids: NDArray[np.int64]


@dataclass(frozen=True)
class Stats:
    """How large an index is.

    Attributes
    ----------
    n_points : int
        Points that can be found.
    n_removed : int
        Points that were removed, and take memory until the index is built again.
    n_dims : int
        Numbers a point; for packed bits: bytes.
    dtype : str
        Of the points: "uint8", "float32" or "float16".
    point_bytes : int
        Of the points themselves.
    other_bytes : int
        Of whatever else there is: the structure, ids, marks of removal.
    """

    n_points: int
    n_removed: int
    n_dims: int
    dtype: str
    point_bytes: int
    other_bytes: int

    @property
    def bytes_a_point(self) -> float:
        """All bytes over all points."""
        n = self.n_points + self.n_removed
        return (self.point_bytes + self.other_bytes) / n if n else 0.0
