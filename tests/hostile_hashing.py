# SPDX-License-Identifier: Apache-2.0
"""Hashing, the ratio test and the choice of an index, for the hostile inputs of hostile.py."""

import numpy as np

from hostile import TYPE, VALUE, Kernel
from hostile_neighbors import SEED, counts, refused

WAYS = {
    "itq": ("ITQ", SEED),
    "spectral": ("SpectralHashing", {}),
    "random_hyperplanes": ("RandomHyperplanes", SEED),
}


def descriptors(dtype):
    def arguments(rng):
        return {"X": rng.integers(0, 100, (23, 9)).astype(dtype)}

    return arguments


def hashed(name):
    def call(module, X, threads=None, **options):
        way = getattr(module, name)(**{"n_bits": 8} | options).fit(X)
        return (way.transform(X, threads=threads),)

    return call


def ratio_arguments(rng):
    return {
        "X": rng.integers(0, 100, (23, 9)).astype(np.uint8),
        "Q": rng.integers(0, 100, (7, 9)).astype(np.uint8),
    }


def by_ratio(module, X, Q, ratio=0.8, threads=None):
    return module.Exact().build(X, threads=threads).ratio_search(Q, ratio, threads=threads)


def chosen(module, X, queries, threads=None, **options):
    """Choose among one, so that the choice does not depend on times."""
    from trouvaille.neighbors import Exact

    options = {"candidates": [Exact()], "k": 3} | options
    tuned = module.autotune(X, queries=queries, threads=threads, **options)
    return tuned.index.search(queries, 3, threads=threads)


def chosen_arguments(rng):
    given = ratio_arguments(rng)
    return {"X": given["X"], "queries": given["Q"]}


RATIO = refused("ratio", (-0.1, VALUE), (1.1, VALUE), (np.nan, VALUE), ("1", TYPE), (None, TYPE))
PRECISION = refused(
    "target_precision", (-0.1, VALUE), (1.1, VALUE), (np.nan, VALUE), ("1", TYPE), (True, TYPE)
)
BYTES = refused("max_bytes_a_point", (0, VALUE), (np.nan, VALUE), ("1", TYPE), (True, TYPE))
CANDIDATES = refused("candidates", ([], TYPE), (3, TYPE), (["Exact"], TYPE))

KERNELS = [
    *(
        Kernel(
            f"neighbors.hashing.{module}",
            name,
            hashed(name),
            descriptors(np.dtype(dtype)),
            {"X": "descriptors"},
            variant=f"{np.dtype(dtype)}",
            special={**counts("n_bits"), **special},
        )
        for module, (name, special) in WAYS.items()
        for dtype in ("u1", "f4")
    ),
    Kernel(
        "neighbors.exact",
        "Exact",
        by_ratio,
        ratio_arguments,
        {"X": "descriptors", "Q": "descriptors"},
        columns=("X", "Q"),
        variant="ratio_search",
        special=RATIO,
    ),
    Kernel(
        "neighbors.autotune",
        "autotune",
        chosen,
        chosen_arguments,
        {"X": "descriptors", "queries": "descriptors"},
        columns=("X", "queries"),
        optional=("queries",),
        special={
            **counts("k", "sample_size", "expected_queries"),
            **PRECISION,
            **BYTES,
            **CANDIDATES,
            **SEED,
        },
    ),
]
