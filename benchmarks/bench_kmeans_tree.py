# SPDX-License-Identifier: Apache-2.0
"""The k-means tree beside inverted files of FAISS and ScaNN, and hnswlib: recall, time and build.

    python benchmarks/bench_kmeans_tree.py [points] [threads]

Real SIFT, of the photos that TROUVAILLE_DATA names. All are built on every core.
"""

from __future__ import annotations

import bisect
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from harness import compare, record, single_thread

single_thread()

import faiss  # noqa: E402
import hnswlib  # noqa: E402
import numpy as np  # noqa: E402
import scann  # noqa: E402

import sift_data  # noqa: E402
from trouvaille.neighbors import Exact, KMeansTree  # noqa: E402

K, N_QUERIES = 10, 2_000
CORES = len(os.sched_getaffinity(0))


class Contender(NamedTuple):
    search: Callable[[Any], Any]  # the ids of all queries, by one of the settings
    settings: Sequence[Any]  # of rising recall


class Data(NamedTuple):
    base: Any
    queries: Any
    threads: int

    def floats(self) -> tuple[Any, Any]:
        return self.base.astype(np.float32), self.queries.astype(np.float32)


def ours(data: Data) -> Contender:
    index = KMeansTree().build(data.base)
    stats = index.stats()
    record(
        f"KMeansTree, {len(data.base):,} SIFT",
        {"bytes a point beside the data": stats.other_bytes / len(data.base)},
        table="k-means tree: memory",
    )
    return Contender(
        lambda checks: index.search(data.queries, K, checks=checks, threads=data.threads).ids,
        range(500, 60_000, 250),
    )


def one_by_one(data: Data) -> Contender:
    """Each query in a call of its own."""
    index = KMeansTree().build(data.base)

    def search(checks: int) -> Any:
        one = [
            index.search(data.queries[i : i + 1], K, checks=checks, threads=1).ids
            for i in range(len(data.queries))
        ]
        return np.concatenate(one)

    return Contender(search, range(500, 60_000, 250))


def with_faiss(data: Data, factory: str) -> Contender:
    base, queries = data.floats()
    faiss.omp_set_num_threads(CORES)
    index = faiss.index_factory(base.shape[1], factory)
    clustering = faiss.extract_index_ivf(index).cp
    clustering.max_points_per_centroid = 64  # a quarter of the default: half the time, as good
    index.train(base)
    index.add(base)
    faiss.omp_set_num_threads(data.threads)
    refines = factory.endswith("RFlat")

    def search(n_probe: int) -> Any:
        probes = faiss.SearchParametersIVF(nprobe=n_probe)
        if refines:
            probes = faiss.IndexRefineSearchParameters(
                k_factor=6 + n_probe // 16, base_index_params=probes
            )
        return index.search(queries, K, params=probes)[1]

    return Contender(search, range(1, 600))


def with_scann(data: Data) -> Contender:
    base, queries = data.floats()
    index = (
        scann.scann_ops_pybind.builder(base, K, "squared_l2")
        .set_n_training_threads(CORES)
        .tree(num_leaves=2_000, num_leaves_to_search=100, training_sample_size=200_000)
        .score_ah(2, anisotropic_quantization_threshold=0.2)
        .reorder(100)
        .build()
    )
    search_all = index.search_batched if data.threads == 1 else index.search_batched_parallel
    return Contender(
        lambda leaves: search_all(
            queries,
            final_num_neighbors=K,
            leaves_to_search=leaves,
            pre_reorder_num_neighbors=leaves + 3 * K,
        )[0],
        range(2, 600),
    )


def with_hnswlib(data: Data) -> Contender:
    base, queries = data.floats()
    index = hnswlib.Index("l2", base.shape[1])
    index.init_index(len(base), ef_construction=150, M=16)
    index.add_items(base, num_threads=CORES)

    def search(width: int) -> Any:
        index.set_ef(width)
        return index.knn_query(queries, K, num_threads=data.threads)[0]

    return Contender(search, range(K, 500))


BUILDERS: dict[str, Callable[[Data], Contender]] = {
    "ours": ours,
    "ours, one by one": one_by_one,
    "faiss IVF4096,Flat": lambda data: with_faiss(data, "IVF4096,Flat"),
    "faiss IVF4096,PQ64x4fs,RFlat": lambda data: with_faiss(data, "IVF4096,PQ64x4fs,RFlat"),
    "ScaNN": with_scann,
    "hnswlib": with_hnswlib,
}


def built(name: str, data: Data) -> Contender:
    start = time.perf_counter()
    contender = BUILDERS[name](data)
    record(
        f"{name}, {len(data.base):,} SIFT",
        {"s": time.perf_counter() - start},
        table="k-means tree: build",
        threads=CORES,
    )
    return contender


def main(n: int, threads: int) -> None:
    sift = sift_data.load()
    base = np.ascontiguousarray(sift.base[:: len(sift.base) // n][:n])
    data = Data(base, np.ascontiguousarray(sift.queries[:N_QUERIES]), threads)
    truth = Exact().build(base).search(data.queries, K).ids

    def recall(ids: Any) -> float:
        same = np.asarray(ids)[:, :, None] == truth[:, None, :]
        return float(same.any(axis=2).mean())

    def least_setting(contender: Contender, target: float) -> Any:
        """Find the least that is precise enough, or the last."""
        find, settings = contender
        place = bisect.bisect_left(settings, target, key=lambda s: recall(find(s)))
        return settings[min(place, len(settings) - 1)]

    contenders = {name: built(name, data) for name in BUILDERS}
    for target in (0.9, 0.95, 0.99):
        chosen = {name: least_setting(c, target) for name, c in contenders.items()}
        compare(
            f"{n:,} SIFT, recall@{K} of {target}",
            {name: lambda f=c.search, s=chosen[name]: f(s) for name, c in contenders.items()},
            items=len(data.queries),
            unit="us/query",
            quality=lambda name, ids, c=chosen: {"recall": recall(ids), "setting": c[name]},
            threads=threads,
            max_seconds=90,
        )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(1_000_000, 1)[len(given) :])
