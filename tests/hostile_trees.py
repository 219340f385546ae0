# SPDX-License-Identifier: Apache-2.0
"""Vocabulary trees, for the hostile inputs of hostile.py."""

import numpy as np

from hostile import EITHER, VALUE, Kernel, replacing
from hostile_neighbors import ITERATIONS, SEED


def fit(module, X, **options):
    tree = module.VocabularyTree(**options).fit(X)
    return tree.centers_, tree.children_, tree.leaves_, tree.inertia_


def transform(module, X, Q, threads=None):
    tree = module.VocabularyTree(3, 2, threads=threads).fit(X)
    bags = tree.fit_weights([Q]).bags([Q, Q])
    return tree.transform(Q), tree.transform(Q, levels=True), bags.indices, bags.data


def bags(module, values, offsets, threads=None):
    tree = module.VocabularyTree(3, 2, threads=threads).fit(np.arange(40, dtype=np.uint8)[:, None])
    found = tree.bags((values, offsets))
    return found.indptr, found.indices, found.data


def fit_arguments(dtype):
    def arguments(rng):
        X = rng.integers(0, 100, (40, 5)).astype(dtype)
        return {"X": X, "branching": 3, "depth": 3, "iterations": 4, "random_state": 0}

    return arguments


def transform_arguments(dtype):
    def arguments(rng):
        return {
            "X": rng.integers(0, 100, (40, 5)).astype(dtype),
            "Q": rng.integers(0, 100, (9, 5)).astype(dtype),
        }

    return arguments


def bag_arguments(rng):
    return {
        "values": rng.integers(0, 50, (12, 1)).astype(np.uint8),
        "offsets": np.int64([0, 5, 5, 12]),
    }


KERNELS = [
    *(
        Kernel(
            "words",
            "VocabularyTree",
            fit,
            fit_arguments(dtype),
            {"X": "descriptors"},
            counts=("branching", "depth"),
            variant=f"fit {np.dtype(dtype)}",
            special={
                "branching 1": (VALUE, "branching", lambda given: given | {"branching": 1}),
                "depth 65": (VALUE, "depth", lambda given: given | {"depth": 65}),
                "one point": (EITHER, "X", replacing(X=lambda x: x[:1])),
                "all equal": (EITHER, "X", replacing(X=lambda x: x[:1].repeat(40, axis=0))),
                "no columns": (VALUE, "X", replacing(X=lambda x: x[:, :0])),
                **ITERATIONS,
                **SEED,
            },
        )
        for dtype in (np.uint8, np.float32)
    ),
    Kernel(
        "words",
        "VocabularyTree",
        transform,
        transform_arguments(np.float32),
        {"X": "descriptors", "Q": "descriptors"},
        columns=("X", "Q"),
        named={"Q": "X|photos"},
        variant="transform",
    ),
    Kernel(
        "words",
        "VocabularyTree",
        bags,
        bag_arguments,
        {"values": "bytes", "offsets": "offsets"},
        columns=("values",),
        named={"values": "photos", "offsets": "photos"},
        variant="bags",
    ),
]
