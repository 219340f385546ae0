# SPDX-License-Identifier: Apache-2.0
"""The graph of neighbours beside Intel's SVS (Vamana) on bytes: recall, time, build and memory.

    python benchmarks/bench_graph.py [points] [threads]

Real SIFT, of the photos that TROUVAILLE_DATA names. Both have 48 neighbours a point.
"""

from __future__ import annotations

import bisect
import sys
import time
from collections.abc import Callable
from typing import Any

from harness import compare, record, single_thread

single_thread()

import numpy as np  # noqa: E402
import svs  # noqa: E402

import sift_data  # noqa: E402
from trouvaille.neighbors import Exact, Graph  # noqa: E402

K, DEGREE = 10, 48
WIDTHS = range(K, 400)
Search = Callable[[int], Any]  # the ids of all queries, by the width


def timed_build(name: str, build: Callable[[], Any], threads: int) -> Any:
    wall, cpu = time.perf_counter(), time.process_time()
    built = build()
    values = {"s": time.perf_counter() - wall, "cpu s": time.process_time() - cpu}
    record(name, values, table="graph: build", threads=threads)
    return built


def ours(base: Any, queries: Any, label: str, threads: int) -> Search:
    index = timed_build(
        f"ours, {label}", lambda: Graph(DEGREE).build(base, threads=threads), threads
    )
    record(f"ours, {label}", {"bytes a point": index.stats().bytes_a_point}, table="graph: memory")
    return lambda width: index.search(queries, K, width=width, threads=threads).ids


def with_svs(base: Any, queries: Any, label: str, threads: int) -> Search:
    parameters = svs.VamanaBuildParameters(alpha=1.2, graph_max_degree=DEGREE, window_size=128)
    index = timed_build(
        f"SVS, {label}",
        lambda: svs.Vamana.build(parameters, base, svs.DistanceType.L2, num_threads=threads),
        threads,
    )
    index.num_threads = threads

    def search(width: int) -> Any:
        index.search_window_size = width
        return index.search(queries, K)[0]

    return search


def main(n: int, threads: int) -> None:
    data = sift_data.load()
    base = np.ascontiguousarray(data.base[:: len(data.base) // n][:n])
    truth = Exact().build(base).search(data.queries, K, threads=threads).ids

    def recall(ids: Any) -> float:
        same = np.asarray(ids)[:, :, None] == truth[:, None, :]
        return float(same.any(axis=2).mean())

    label = f"{n:,} SIFT"
    searches = {
        "ours": ours(base, data.queries, label, threads),
        "SVS": with_svs(base, data.queries, label, threads),
    }
    for target in (0.9, 0.95, 0.99):
        widths = {
            name: WIDTHS[bisect.bisect_left(WIDTHS, target, key=lambda w, s=search: recall(s(w)))]
            for name, search in searches.items()
        }
        compare(
            f"{label}, recall@{K} of {target}",
            {name: lambda s=s, w=widths[name]: s(w) for name, s in searches.items()},
            items=len(data.queries),
            unit="us/query",
            quality=lambda name, ids, w=widths: {"recall": recall(ids), "width": w[name]},
            threads=threads,
        )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(1_000_000, 1)[len(given) :])
