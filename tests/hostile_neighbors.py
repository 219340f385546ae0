# SPDX-License-Identifier: Apache-2.0
"""The indexes of neighbours, for the hostile inputs of hostile.py."""

import numpy as np

import reference
from hostile import EITHER, TYPE, VALUE, Kernel, replacing


def arguments_of(dtype):
    def arguments(rng):
        # Small whole numbers: every dtype of the cases can hold them, and sum them.
        return {
            "X": rng.integers(0, 100, (23, 9)).astype(dtype),
            "Q": rng.integers(0, 100, (7, 9)).astype(dtype),
            "ids": rng.permutation(90)[:23].astype(np.int64),
            "k": 4,
        }

    return arguments


def search(name, budget, options):
    def call(module, X, Q, k, ids, radius=5000.0, threads=None, **others):
        """Build and add, then search both ways; `others` are of the constructor, or a budget."""
        found = budget | {b: others.pop(b) for b in budget if b in others} | {"threads": threads}
        index = getattr(module, name)(**options | others)
        index.build(X, ids, threads=threads)
        if len(index):
            index.add(np.zeros((2, index.stats().n_dims)), [1000, 1001], threads=threads)
            index.remove([1000], threads=threads)
        return (*index.search(Q, k, **found), *index.radius_search(Q, radius, **found))

    return call


def oracle_of(metric):
    def oracle(X, Q, k, ids, **_others):
        if len(X):
            X, ids = (
                np.concatenate([X, np.zeros_like(X[:1])]),
                np.append(ids, 1001),
            )  # what was added
        distances, rows = reference.nearest_neighbors(X, Q, k, metric)
        return distances, np.append(ids, -1)[rows], None, None, None

    return oracle


def refused(name, *values):
    """Make special cases: values that an argument must not have, of no right size or type."""
    return {
        f"{name} {value!r}": (rule, name, lambda given, value=value: given | {name: value})
        for value, rule in values
    }


def counts(*names):
    values = [(0, VALUE), (-1, VALUE), (2**64, VALUE), (1.5, TYPE), ("2", TYPE), (True, TYPE)]
    return {case: rule for name in names for case, rule in refused(name, *values).items()}


SEED = refused("random_state", (-1, VALUE), (2**63, VALUE), (0.5, TYPE), (None, TYPE))
RADIUS = refused(
    "radius",
    *[(value, EITHER) for value in (0, -1, 0.5, 2**70, 1e300, -1e300)],
    *[(value, VALUE) for value in (np.nan, np.inf, -np.inf, [1.0, 2.0])],
    *[(value, TYPE) for value in ("2", None, True)],
)
IDS = {
    "ids too few": (VALUE, "ids", replacing(ids=lambda x: x[1:])),
    "ids twice": (VALUE, "ids", replacing(ids=lambda x: np.append(x[:-1], x[0]))),
    "ids of 2^63 - 1": (EITHER, "ids", replacing(ids=lambda x: np.append(x[:-1], 2**63 - 1))),
    "ids taken": (VALUE, "ids", replacing(ids=lambda x: np.append(x[:-1], 1000))),
}
METRIC = refused("metric", ("cosine", VALUE), (None, VALUE), (3, VALUE))
ALPHA = refused("alpha", (0.9, VALUE), (np.nan, VALUE), (np.inf, VALUE), ("1", TYPE), (True, TYPE))
WIDTH = refused("width", (0, VALUE), (np.nan, VALUE), (2.0, VALUE), ("1", TYPE))
FAMILY = refused("family", ("bits", VALUE), ("planes", VALUE), (None, VALUE))

ITERATIONS = refused("iterations", (-1, VALUE), (2**64, VALUE), ("2", TYPE), (True, TYPE))

# module, class, options, budget that finds all, metric, dtypes, special cases
INDEXES = [
    ("exact", "Exact", {}, {}, "l2", "u1 f4", METRIC),
    ("exact", "Exact", {"metric": "ip"}, {}, "ip", "u1 f4", {}),
    ("exact", "Exact", {"metric": "l1"}, {}, "l1", "u1 f4", {}),
    ("exact", "Exact", {"metric": "hamming"}, {}, "hamming", "u1", {}),
    ("hamming", "Hamming", {}, {}, "hamming", "u1", refused("method", ("", VALUE), (None, VALUE))),
    ("hamming", "Hamming", {"method": "multi-index"}, {}, "hamming", "u1", {}),
    ("graph", "Graph", {}, {"width": None}, "l2", "u1 f4",
     counts("degree", "build_width", "width") | ALPHA | SEED),
    ("kd_forest", "KDForest", {"trees": 3, "leaf_size": 4}, {"checks": None}, "l2", "u1 f4",
     counts("trees", "leaf_size", "checks") | SEED),
    ("kmeans_tree", "KMeansTree", {"branching": 3}, {"checks": None}, "l2", "u1 f4",
     counts("branching", "levels", "checks") | ITERATIONS | SEED),
    ("lsh", "LSH", {"tables": 2}, {"checks": None, "probes": None, "rerank": None}, "l2", "u1 f4",
     counts("tables", "bits", "checks", "probes", "rerank") | METRIC | FAMILY | WIDTH | SEED),
    ("lsh", "LSH", {"metric": "hamming"}, {"checks": None}, "hamming", "u1", {}),
]  # fmt: skip

KERNELS = [
    Kernel(
        f"neighbors.{module}",
        name,
        search(name, budget, options),
        arguments_of(np.dtype(dtype)),
        {
            "X": "bytes" if metric == "hamming" else "descriptors",
            "Q": "bytes" if metric == "hamming" else "descriptors",
            "ids": "offsets",
        },
        counts=("k",),
        columns=("X", "Q"),
        optional=("ids",),
        variant=f"{' '.join(map(str, options.values()))} {np.dtype(dtype)}",
        oracle=oracle_of(metric) if dtype == "u1" and "f4" not in dtypes else None,
        special={**special, **RADIUS, **IDS},
    )
    for module, name, options, budget, metric, dtypes, special in INDEXES
    for dtype in dtypes.split()
]
