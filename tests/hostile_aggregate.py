# SPDX-License-Identifier: Apache-2.0
"""The encoders and whitenings of trouvaille.aggregate, for the hostile inputs of hostile.py."""

import numpy as np

from hostile import EITHER, TYPE, VALUE, Kernel, replacing
from hostile_match_kernel import numbers
from hostile_neighbors import SEED, counts, refused


def photo_arguments(dtype, **options):
    def arguments(rng):
        return {
            "values": rng.integers(0, 100, (23, 6)).astype(dtype),
            "offsets": np.int64([0, 9, 9, 10, 23]),
            **options,
        }

    return arguments


def encode(name):
    def call(module, values, offsets, **options):
        photos = values, offsets
        vectors = getattr(module, name)(**options).fit(photos).transform(photos)
        sparse = options.get("sparse", False)
        return (vectors.indptr, vectors.indices, vectors.data) if sparse else (vectors,)

    return call


def mixed(module, X, **options):
    mixture = module.GaussianMixture(**{"n_components": 2, "iterations": 5} | options).fit(X)
    return mixture.weights_, mixture.means_, mixture.covariances_, mixture.lower_bound_


def mixed_arguments(rng):
    return {"X": rng.integers(0, 100, (30, 4)).astype(np.float32)}


def whiten(name):
    def call(module, X, Q, pairs=None, **options):
        whitening = getattr(module, name)(**{"n_components": 3} | options)
        fitted = whitening.fit(X) if pairs is None else whitening.fit(X, pairs)
        return fitted.components_, fitted.transform(Q)

    return call


def vector_arguments(rng):
    return {
        "X": rng.integers(0, 100, (30, 5)).astype(np.float32),
        "Q": rng.integers(0, 100, (7, 5)).astype(np.float32),
    }


def paired_arguments(rng):
    pairs = rng.permutation(30).reshape(15, 2).astype(np.int32)
    return vector_arguments(rng) | {"pairs": pairs}


def flags(*names):
    values = [(1, TYPE), ("no", TYPE), (None, TYPE)]
    return {case: rule for name in names for case, rule in refused(name, *values).items()}


def choices(name, *values):
    return refused(name, ("other", VALUE), (1, VALUE), ([], VALUE), *values)


WIDTH = {
    f"sigma {value!r}": (rule, "sigma", lambda g, sigma=value: g | {"sigma": sigma})
    for value, rule in [
        *((value, VALUE) for value in (0, -1, np.nan, np.inf)),
        *((value, TYPE) for value in ("1", True, [1.0])),
    ]
}
NO_WORDS = {
    "1-D": (np.zeros(6), VALUE),
    "3-D": (np.zeros((1, 3, 6)), VALUE),
    "none": (np.zeros((0, 6)), VALUE),
    "no columns": (np.zeros((3, 0)), VALUE),
    "a column less": (np.zeros((3, 5)), VALUE),
    "a column more": (np.zeros((3, 7)), VALUE),
    "NaN": (np.full((3, 6), np.nan), VALUE),
    "infinity": (np.full((3, 6), np.inf), VALUE),
    "0.1 in float64": (np.full((3, 6), 0.1), VALUE),
    "ragged": ([[1, 2], [3]], VALUE),
    "masked": (np.ma.zeros((3, 6)), TYPE),
    "text": (np.full((3, 6), "a"), TYPE),
    "objects": (np.zeros((3, 6), object), TYPE),
}
WORDS = {
    f"words {name}": (rule, "words", lambda given, value=value: given | {"words": value})
    for name, (value, rule) in NO_WORDS.items()
}
NO_COUNTS = [(value, VALUE) for value in (0, -1, 2**64)]
NO_COUNTS += [(value, TYPE) for value in (None, "many", 2.5, True, {}, b"3")]
WORD_ENCODER = {
    **WORDS,
    **refused("words", *NO_COUNTS),
    "more words than points": (VALUE, "X", lambda given: given | {"words": 24}),
    **WIDTH,
    **SEED,
    **counts("assignments", "max_descriptors"),
}
OF_PHOTOS = {
    "roles": {"values": "descriptors", "offsets": "offsets"},
    "named": {"values": "X", "offsets": "X"},
}
TWO = {"words": 3, "assignments": 2}  # so that there are weights

KERNELS = [
    *(
        Kernel(
            "aggregate.bag_of_words",
            "BagOfWords",
            encode("BagOfWords"),
            photo_arguments(dtype, weighting="tfidf", sparse=sparse, **TWO),
            variant="sparse" if sparse else "",
            special={
                **WORD_ENCODER,
                **choices("weighting"),
                **choices("burstiness"),
                **choices("norm"),
                **flags("sparse"),
            },
            **OF_PHOTOS,
        )
        for dtype, sparse in ((np.uint8, False), (np.float32, True))
    ),
    *(
        Kernel(
            "aggregate.vlad",
            "VLAD",
            encode("VLAD"),
            photo_arguments(dtype, **options),
            variant=f"{np.dtype(dtype)}{' pca' if 'pca' in options else ''}",
            special={
                **WORD_ENCODER,
                **choices("norm", ("l1", VALUE)),
                **numbers("power", 0, -1, 2),
                **flags("unit_residuals", "intra"),
                **counts("pca"),
            },
            **OF_PHOTOS,
        )
        for dtype, options in (
            (np.uint8, TWO | {"unit_residuals": True}),
            (np.float32, TWO | {"power": 0.5}),
            (np.float32, TWO | {"pca": 2}),
        )
    ),
    *(
        Kernel(
            "aggregate.fisher_vector",
            "FisherVector",
            encode("FisherVector"),
            photo_arguments(dtype, mixture=2),
            variant=str(np.dtype(dtype)),
            special={
                **refused("mixture", *NO_COUNTS),
                "more than points": (VALUE, "X", lambda given: given | {"mixture": 24}),
                **SEED,
                **counts("max_descriptors", "pca"),
                **choices("norm", ("l1", VALUE)),
                **numbers("power", 0, -1, 2),
            },
            **OF_PHOTOS,
        )
        for dtype in (np.uint8, np.float32)
    ),
    Kernel(
        "aggregate.gaussian_mixture",
        "GaussianMixture",
        mixed,
        mixed_arguments,
        {"X": "descriptors"},
        special={
            **SEED,
            **counts("n_components", "iterations"),
            **refused("tol", (-1, VALUE), (np.nan, VALUE), ("1", TYPE), (None, TYPE)),
            **numbers("variance_floor", -0.1, 1.1),
            "no columns": (VALUE, "X", replacing(X=lambda x: x[:, :0])),
        },
    ),
    Kernel(
        "aggregate.pca_whitening",
        "PCAWhitening",
        whiten("PCAWhitening"),
        vector_arguments,
        {"X": "descriptors", "Q": "descriptors"},
        columns=("X", "Q"),
        named={"Q": "X"},
        special={
            **counts("n_components"),
            **refused("n_components", (6, VALUE)),
            **numbers("whitening_power", -0.1, 1.1),
            **choices("norm", ("l1", VALUE)),
            "as many as columns": (EITHER, "X", lambda g: g | {"n_components": 5}),
        },
    ),
    Kernel(
        "aggregate.learned_whitening",
        "LearnedWhitening",
        whiten("LearnedWhitening"),
        paired_arguments,
        {"X": "descriptors", "Q": "descriptors", "pairs": "pairs"},
        columns=("X", "Q", "pairs"),
        named={"Q": "X"},
        special={
            **counts("n_components"),
            **refused("n_components", (6, VALUE)),
            **numbers("regularization", -1),
            **choices("norm", ("l1", VALUE)),
            "row 30": (VALUE, "pairs", replacing(pairs=lambda x: np.append(x, [[0, 30]], 0))),
            "of themselves": (VALUE, "pairs", replacing(pairs=lambda x: x[:, [0, 0]])),
        },
    ),
]
