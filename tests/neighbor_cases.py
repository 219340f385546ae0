# SPDX-License-Identifier: Apache-2.0
"""Every index of neighbours, by every metric and of every dtype: what the tests of all go through.

Points are whole numbers, few enough that floats sum them exactly too: whatever is exact, is equal
to the reference, and ties are ties.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest

import reference
from trouvaille.neighbors import LSH, Exact, Graph, Hamming, KDForest, KMeansTree


@dataclass(frozen=True)
class Case:
    """An index, a budget that finds all, and what its points are."""

    new: Callable
    budget: Mapping = field(default_factory=dict)
    metric: str = "l2"
    dtype: str = "uint8"

    @property
    def opened_by(self):
        """The class, whatever its arguments."""
        return getattr(self.new, "func", self.new)

    def points(self, rng, n, n_dims=16, values=256):
        """Whole numbers, `values` different ones."""
        if self.dtype == "uint8":
            return rng.integers(0, values, (n, n_dims), dtype=np.uint8)
        return rng.integers(-values // 16, values // 16 + 1, (n, n_dims)).astype(self.dtype)

    def queries(self, rng, n, n_dims=16, values=256):
        points = self.points(rng, n, n_dims, values)
        return points.astype(np.float32) if self.dtype == "float16" else points

    def nearest(self, X, Q, k, ids=None):
        """Distances and ids, in the order of the rows among equals."""
        distances, rows = reference.nearest_neighbors(X, Q, k, self.metric)
        return distances, rows if ids is None else np.append(ids, -1)[rows]

    def within(self, X, Q, radius, ids=None):
        """Offsets, distances and ids."""
        offsets, distances, rows = reference.neighbors_within(X, Q, radius, self.metric)
        return offsets, distances, rows if ids is None else np.asarray(ids)[rows]


CHECKS = {"checks": None}
BITS = {"metric": "hamming"}
FLOATS = {"dtype": "float32"}
CASES = {
    **{
        f"exact {metric} {dtype}": Case(
            Exact if metric == "l2" else partial(Exact, metric), {}, metric, dtype
        )
        for metric in ("l2", "ip", "l1")
        for dtype in ("uint8", "float32", "float16")
    },
    "exact hamming": Case(partial(Exact, "hamming"), **BITS),
    "hamming linear": Case(partial(Hamming, "linear"), **BITS),
    "hamming multi-index": Case(partial(Hamming, "multi-index"), **BITS),
    "graph": Case(partial(Graph, 16), {"width": None}),
    "graph float32": Case(partial(Graph, 16), {"width": None}, **FLOATS),
    "kd forest": Case(partial(KDForest, 3), CHECKS),
    "kd forest float32": Case(partial(KDForest, 3, leaf_size=9), CHECKS, **FLOATS),
    "k-means tree": Case(partial(KMeansTree, 4), CHECKS),
    "k-means tree float32": Case(partial(KMeansTree, levels=1), CHECKS, **FLOATS),
    "lsh": Case(partial(LSH, 2), CHECKS),
    "lsh float32": Case(partial(LSH, 2, family="p-stable"), CHECKS, **FLOATS),
    "lsh hamming": Case(partial(LSH, 2, metric="hamming"), CHECKS, **BITS),
    "lsh hamming bits": Case(partial(LSH, 2, 3, metric="hamming", family="bits"), CHECKS, **BITS),
}
CLASSES = {case.opened_by: case for case in CASES.values()}
"""One case of each class."""

of_each = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
