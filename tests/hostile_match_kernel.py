# SPDX-License-Identifier: Apache-2.0
"""Hamming embedding and the match kernels, for the hostile inputs of hostile.py."""

import numpy as np

from hostile import TYPE, VALUE, Kernel, replacing
from hostile_neighbors import SEED, counts, refused


def embedding_arguments(dtype):
    def arguments(rng):
        return {
            "X": rng.integers(0, 100, (23, 9)).astype(dtype),
            "words": rng.integers(0, 4, 23).astype(np.uint32),
        }

    return arguments


def embed(module, X, words, threads=None, **options):
    embedding = module.HammingEmbedding(**{"n_bits": 9} | options)
    return (embedding.fit(X, words, threads=threads).transform(X, words, threads=threads),)


def signed_arguments(rng):
    return {
        "words": rng.integers(0, 9, 23).astype(np.uint32),
        "signatures": rng.integers(0, 16, (23, 2)).astype(np.uint8),
        "k": 2,
    }


def search_signed(module, words, signatures, k, threads=None, **options):
    index = module.HammingIndex(**{"num_words": 200, "n_bits": 16} | options)
    index.add([(words, signatures)])
    index.add([([1, 2], np.zeros((2, 2), np.uint8))], ids=[7])
    return index.search([(words, signatures)], k, threads=threads)


def described_arguments(dtype):
    def arguments(rng):
        return {
            "words": rng.integers(0, 100, (7, 9)).astype(dtype),
            "X": rng.integers(0, 100, (23, 9)).astype(dtype),
            "k": 2,
        }

    return arguments


def search_described(name):
    def call(module, words, X, k, approximate=False, width=64, threads=None, **options):
        index = getattr(module, name)(words, **options)
        walk = {"approximate": approximate, "width": width}
        index.add([X, X], **walk, threads=threads)
        return index.search([X], k, **walk, threads=threads)

    return call


def numbers(name, *values):
    text = [("1", TYPE), (None, TYPE), (True, TYPE), (np.nan, VALUE), (np.inf, VALUE)]
    return refused(name, *text, *[(value, VALUE) for value in values])


IDF = refused("idf", ("frozen", VALUE), ([1.0], VALUE), ([np.nan] * 7, VALUE), (["a"] * 7, TYPE))
DTYPES = ("u1", "f4")

KERNELS = [
    *(
        Kernel(
            "words.hamming_embedding",
            "HammingEmbedding",
            embed,
            embedding_arguments(np.dtype(dtype)),
            {"X": "descriptors", "words": "words"},
            variant=dtype,
            special={
                **SEED,
                **counts("n_bits", "min_points"),
                "n_bits of more than columns": (VALUE, "n_bits", lambda g: g | {"n_bits": 10}),
                "fewer words": (VALUE, "words", replacing(words=lambda x: x[1:])),
            },
        )
        for dtype in DTYPES
    ),
    Kernel(
        "index.hamming_index",
        "HammingIndex",
        search_signed,
        signed_arguments,
        {"words": "words", "signatures": "bytes"},
        counts=("k",),
        columns=("signatures",),
        special={
            **counts("num_words", "n_bits"),
            **refused("threshold", (-1, VALUE), (17, VALUE), (1.5, TYPE), (True, TYPE)),
            **refused("sigma", (0, VALUE), (-1, VALUE), (np.nan, VALUE), ("1", TYPE)),
            **refused("burstiness", ("sqrt", VALUE), (3, VALUE), (True, VALUE), ([1], VALUE)),
            **IDF,
        },
    ),
    *(
        Kernel(
            "index.match_kernels",
            name,
            search_described(name),
            described_arguments(np.dtype(dtype)),
            {"words": "descriptors", "X": "descriptors"},
            counts=("k",),
            columns=("words", "X"),
            named={"X": "photos"},
            variant=dtype,
            special={
                **counts("query_words", "width"),
                **refused("approximate", (1, TYPE), ("no", TYPE), (None, TYPE)),
                **numbers("alpha", 0, -1),
                **numbers("similarity_threshold", 1.1, -1.1),
                **IDF,
            },
        )
        for name in ("SMK", "ASMK")
        for dtype in DTYPES
    ),
]
