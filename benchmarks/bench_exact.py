# SPDX-License-Identifier: Apache-2.0
"""Exact search beside FAISS's flat indexes and SciPy: by every metric, of every dtype.

    python benchmarks/bench_exact.py [points] [threads]

Bytes are real SIFT, of the photos that TROUVAILLE_DATA names; FAISS is given the same in float32.
Descriptors of whole photos are random unit vectors: an exact search takes as long for any.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from harness import compare, single_thread

single_thread()

import faiss  # noqa: E402
import numpy as np  # noqa: E402
from scipy.spatial.distance import cdist  # noqa: E402

import sift_data  # noqa: E402
from trouvaille.neighbors import Exact  # noqa: E402

Search = Callable[[], Any]


def against(
    name: str, searches: Mapping[str, Search], n_queries: int, threads: int, *, rounds: int = 7
) -> None:
    """Time searches, whose ids come second, and say how many ids are as ours."""
    truth = np.asarray(searches["ours"]()[1])

    def same(_: str, found: Any) -> Mapping[str, float]:
        ids = np.asarray(found[1]) if isinstance(found, tuple) else truth  # distances only
        return {"same ids": float((ids == truth).mean())}

    compare(
        name,
        searches,
        items=n_queries,
        unit="us/query",
        quality=same,
        repeats=rounds,
        threads=threads,
    )


def flat(X: Any, metric: int) -> Any:
    index = faiss.IndexFlat(X.shape[1], metric)
    index.add(X)
    return index


def of_bytes(n: int, threads: int) -> None:
    data = sift_data.load()
    X = np.ascontiguousarray(data.base[:n])
    X32 = X.astype(np.float32)
    for metric, number in (("l2", faiss.METRIC_L2), ("l1", faiss.METRIC_L1)):
        ours, peer = Exact(metric).build(X), flat(X32, number)
        for n_queries in (1, 100):
            Q = data.queries[:n_queries]
            Q32 = Q.astype(np.float32)
            for k in (1, 10, 100) if metric == "l2" else (10,):
                searches = {
                    "ours": partial(ours.search, Q, k, threads=threads),
                    f"faiss.IndexFlat, {metric}": partial(peer.search, Q32, k),
                }
                name = f"{metric}, {len(X):,} SIFT, {n_queries} queries at once, k = {k}"
                against(name, searches, n_queries, threads, rounds=5)


def within_a_radius(n: int, threads: int) -> None:
    data = sift_data.load()
    X, Q = np.ascontiguousarray(data.base[:n]), data.queries[:100]
    ours, peer = Exact().build(X), flat(X.astype(np.float32), faiss.METRIC_L2)
    radius = float(np.median(ours.search(Q, 5000, threads=threads).distances[:, -1]))

    def by_faiss() -> Any:
        _, _, ids = peer.range_search(Q.astype(np.float32), np.nextafter(np.float32(radius), 1e9))
        return ids

    found = ours.radius_search(Q, radius, threads=threads)
    compare(
        f"radius, {len(X):,} SIFT, {len(found.ids) // len(Q):,} answers a query",
        {
            "ours": lambda: ours.radius_search(Q, radius, threads=threads).ids,
            "faiss.IndexFlatL2.range_search": by_faiss,
        },
        items=len(Q),
        unit="us/query",
        quality=lambda _, ids: {"answers": len(ids)},
        threads=threads,
    )


def unit_vectors(rng: np.random.Generator, n: int, n_dims: int) -> Any:
    X = rng.normal(size=(n, n_dims)).astype(np.float32)
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def of_photos(n: int, n_dims: int, threads: int) -> None:
    rng = np.random.default_rng(0)
    X = unit_vectors(rng, n, n_dims)
    X16 = X.astype(np.float16)
    ours, ours16 = Exact("ip").build(X), Exact("ip").build(X16)
    peer = flat(X, faiss.METRIC_INNER_PRODUCT)
    peer16 = faiss.IndexScalarQuantizer(
        n_dims, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    peer16.train(X)
    peer16.add(X)
    l1, peer_l1 = Exact("l1").build(X), flat(X, faiss.METRIC_L1)
    for n_queries in (1, 16, 500):
        Q, size = unit_vectors(rng, n_queries, n_dims), f"{n:,} x {n_dims}, {n_queries} at once"
        against(
            f"ip, float32, {size}",
            {
                "ours": partial(ours.search, Q, 10, threads=threads),
                "faiss.IndexFlatIP": partial(peer.search, Q, 10),
            },
            n_queries,
            threads,
        )
        if n_queries == 500:
            continue
        against(
            f"ip, float16, {size}",
            {
                "ours": partial(ours16.search, Q, 10, threads=threads),
                "ours, float32": partial(ours.search, Q, 10, threads=threads),
                "faiss.IndexScalarQuantizer, fp16": partial(peer16.search, Q, 10),
            },
            n_queries,
            threads,
        )
        against(
            f"l1, float32, {size}",
            {
                "ours": partial(l1.search, Q, 10, threads=threads),
                "faiss.IndexFlat, l1": partial(peer_l1.search, Q, 10),
                "scipy cdist (distances only)": partial(cdist, Q, X, "cityblock"),
            },
            n_queries,
            threads,
        )


def of_bits(n: int, threads: int) -> None:
    rng = np.random.default_rng(0)
    for n_bytes in (8, 32, 64):
        X = rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
        ours, peer = Exact("hamming").build(X), faiss.IndexBinaryFlat(8 * n_bytes)
        peer.add(X)
        for n_queries in (1, 100):
            Q = rng.integers(0, 256, (n_queries, n_bytes), dtype=np.uint8)
            for k in (1, 10, 100):
                searches = {
                    "ours": partial(ours.search, Q, k, threads=threads),
                    "faiss.IndexBinaryFlat": partial(peer.search, Q, k),
                }
                name = f"hamming, {n:,} x {8 * n_bytes} bits, {n_queries} at once, k = {k}"
                against(name, searches, n_queries, threads)


def main(n: int, threads: int) -> None:
    faiss.omp_set_num_threads(threads)
    of_bytes(n, threads)
    within_a_radius(n, threads)
    of_photos(n // 10, 512, threads)
    of_photos(n // 20, 2048, threads)
    of_bits(n, threads)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(1_000_000, 1)[len(given) :])
