# SPDX-License-Identifier: Apache-2.0
"""k-means of real SIFT, exact and approximate, up to a million words, beside FAISS and sklearn.

python benchmarks/bench_kmeans.py --parts 1024 10240       # 25 minutes
python benchmarks/bench_kmeans.py --threads 2 --parts 65536 million assign

All contenders use all points and begin with points at random (each with its own). A round is
what is compared where all ten of a peer would take hours: rounds cost the same, the first for
faiss a little less.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from harness import compare, peer_threads, record

PARTS = ("1024", "10240", "65536", "million", "assign", "open")
ITERATIONS = 10
ROUNDS = 4  # of exact k-means to 65,536 words, each of minutes
MILLION = 1_000_000
REACHED = 0.95  # of the nearest words, among a million


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    peer_threads(given.threads)
    if "1024" in given.parts:
        bench_exact(1_024, 10, given.threads, repeats=2)
    if "10240" in given.parts:
        bench_exact(10_240, 3, given.threads, repeats=1)
    if "65536" in given.parts:
        bench_approximate(2_000_000, 65_536, given.threads)
    if "million" in given.parts or "assign" in given.parts:
        words = million_words(given.threads)
        if "assign" in given.parts:
            bench_assign(words)
    if "open" in given.parts:
        bench_open(given.threads)


def bench_exact(num_words: int, iterations: int, threads: int, *, repeats: int) -> None:
    """All rounds of all, of a million points."""
    import numpy as np

    import sift_data
    from trouvaille.words import KMeans

    X = sift_data.load(MILLION).base
    X32 = X.astype(np.float32)

    def ours() -> Any:
        return KMeans(num_words, iterations=iterations, threads=threads).fit(X).cluster_centers_

    def sklearn() -> Any:
        from sklearn.cluster import KMeans as Lloyd

        model = Lloyd(num_words, init="random", n_init=1, max_iter=iterations, tol=0)
        return model.fit(X32).cluster_centers_

    compare(
        f"exact k-means, {MILLION:,} SIFT to {num_words:,} words, {iterations} iterations",
        {
            "ours": ours,
            "faiss": partial(faiss_centers, X32, num_words, iterations),
            "sklearn": sklearn,
        },
        unit="s/run",
        quality=lambda _, centers: {"mean_squared_error": mean_squared_error(X32[::10], centers)},
        repeats=repeats,
        warmup=0,
        max_seconds=1_200,
        threads=threads,
        notes="ours: one more assignment, for inertia_",
    )


def bench_approximate(n: int, num_words: int, threads: int) -> None:
    """Some rounds of ours, exact and approximate, and one of faiss's."""
    import numpy as np

    import sift_data
    from trouvaille.words import KMeans

    X = sift_data.load(n).base
    X32 = X.astype(np.float32)
    errors: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for algorithm in ("approximate", "exact"):
        begin = time.perf_counter()
        model = KMeans(num_words, algorithm=algorithm, iterations=ROUNDS, threads=threads).fit(X)
        seconds[algorithm] = (time.perf_counter() - begin) / (ROUNDS + 1)
        errors[algorithm] = mean_squared_error(X32[::20], model.cluster_centers_)
    begin = time.perf_counter()
    faiss_centers(X32, num_words, 1)
    seconds["faiss"] = time.perf_counter() - begin
    record(
        f"approximate k-means, {n:,} SIFT to {num_words:,} words",
        {
            "approximate, s/iteration": seconds["approximate"],
            "exact, s/iteration": seconds["exact"],
            "faiss, s/iteration": seconds["faiss"],
            "faiss / approximate": seconds["faiss"] / seconds["approximate"],
            "faiss / exact": seconds["faiss"] / seconds["exact"],
            "distortion, approximate / exact": errors["approximate"] / errors["exact"],
        },
        table="approximate k-means",
        threads=threads,
        notes=f"ours: {ROUNDS} iterations and a last assignment; faiss: one",
    )


def million_words(threads: int) -> Any:
    """Three million points to a million words."""
    import sift_data
    from trouvaille.words import Vocabulary

    X = sift_data.load(3_000_000).base
    times: list[float] = []
    begin = time.perf_counter()
    words = Vocabulary.from_descriptors(
        X,
        MILLION,
        "trouvaille-sift/rootsift/uint8/128",
        max_descriptors=len(X),
        progress=lambda done, total: times.append(time.perf_counter()),
        threads=threads,
    )
    record(
        f"approximate k-means, {len(X):,} SIFT to {MILLION:,} words, {ITERATIONS} iterations",
        {
            "minutes": (time.perf_counter() - begin) / 60,
            "s/iteration": (times[-1] - times[0]) / (len(times) - 1),
            "GiB at most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        },
        table="a million words",
        threads=threads,
    )
    return words


def bench_assign(words: Any) -> None:
    """Descriptors of other photos to a million words, on one thread, by ever wider walks."""
    import numpy as np

    import sift_data

    queries = sift_data.load(1_000_000).queries
    exact = words.assign(queries).distances[:, 0]
    words.build_graph()
    for width in (4, 8, 12, 16, 24, 32, 48, 64):
        found = words.assign(queries, approximate=True, width=width, threads=1)
        precision = float((found.distances[:, 0] == exact).mean())
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            words.assign(queries, approximate=True, width=width, threads=1)
            times.append(time.perf_counter() - begin)
        record(
            f"assignment to {words.num_words:,} words, width {width}",
            {"us/descriptor": min(times) / len(queries) * 1e6, "precision": precision},
            table="assignment to a million words",
            threads=1,
            notes=f"loss of distance {float(np.mean(found.distances[:, 0] / exact)) - 1:.4f}",
        )
        if precision >= REACHED:
            break


def bench_open(threads: int) -> None:
    """A vocabulary of a million words, which are descriptors here, with and without its graph."""
    import sift_data
    from trouvaille.words import Vocabulary

    words = Vocabulary(sift_data.load(MILLION).base, "trouvaille-sift/rootsift/uint8/128")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "words.tv"
        for graph in ("", " and their graph"):
            if graph:
                words.build_graph(threads=threads)
            words.save(path)
            times = []
            for _ in range(9):
                begin = time.perf_counter()
                Vocabulary.load(path)
                times.append(time.perf_counter() - begin)
            record(
                f"opening {MILLION:,} words{graph}",
                {"ms": min(times) * 1e3, "MB": path.stat().st_size / 1e6},
                table="opening a vocabulary, every byte verified",
                threads=1,
            )


def faiss_centers(X32: Any, num_words: int, iterations: int) -> Any:
    import faiss

    kmeans = faiss.Kmeans(
        X32.shape[1], num_words, niter=iterations, max_points_per_centroid=10**9, seed=1
    )
    kmeans.train(X32)
    return kmeans.centroids


def mean_squared_error(X32: Any, centers: Any) -> float:
    """By exact assignment."""
    import numpy as np

    from trouvaille.words import assign

    distances = assign(X32, np.asarray(centers, np.float32)).distances
    return float(distances.mean(dtype=np.float64))


if __name__ == "__main__":
    sys.exit(main())
