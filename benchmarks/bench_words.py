# SPDX-License-Identifier: Apache-2.0
"""Exact nearest words, and k-means, of real RootSIFT descriptors, beside FAISS on one thread.

Needs the photos that TROUVAILLE_DATA names. The words are descriptors of other photos than the
queries.
"""

import os
from functools import partial
from pathlib import Path

from harness import compare, single_thread

single_thread()

import faiss  # noqa: E402
import numpy as np  # noqa: E402

from trouvaille import _core, features, images  # noqa: E402
from trouvaille.words import KMeans, assign  # noqa: E402

QUERIES = {1_024: 6_000, 10_240: 1_500, 65_536: 2_000}  # with few, FAISS is slow at 65,536


def descriptors(folder, count):
    """At least `count` descriptors of the photos in a folder, or all, in random order."""
    found, total = [], 0
    for extraction in features.extract_all(images.find_photos(folder), workers=2, max_size=1024):
        if extraction.features is not None:
            found.append(extraction.features.descriptors)
            total += len(found[-1])
        if total >= count:
            break
    x = np.concatenate(found)
    return x[np.random.default_rng(0).permutation(len(x))]


def bench_assign(X, words):
    """Bytes and floats on the instruction set in force; FAISS gets the same numbers as floats."""
    index = faiss.IndexFlatL2(words.shape[1])
    index.add(words.astype(np.float32))
    X32, words32 = X.astype(np.float32), words.astype(np.float32)
    exact = ((X32**2).sum(1)[:, None] - 2.0 * X32 @ words32.T + (words32**2).sum(1)).min(axis=1)

    def quality(_, result):
        return {"nearest_distance_equal": float((result[0][:, 0] == exact).mean())}

    for kind, (x, w) in {"bytes": (X, words), "float32": (X32, words32)}.items():
        compare(
            f"nearest of {len(words):,} words, 128 dimensions, {kind}",
            {
                "ours": partial(assign, x, w, threads=1),
                "faiss.IndexFlatL2": partial(index.search, X32, 1),
            },
            items=len(X),
            unit="us/descriptor",
            quality=quality,
            max_seconds=20,
            notes="RootSIFT of photos; words are descriptors of other photos",
        )


def on_each_isa(bench, *arguments):
    for isa in _core.isas():
        _core.use_isa(isa)
        bench(*arguments)
    _core.reset_isa()


def bench_neighbors(X, Y):
    """Two photos of 1,000 features: the two nearest, as the ratio test needs them."""
    X32, Y32 = X.astype(np.float32), Y.astype(np.float32)
    compare(
        f"two nearest, {len(X):,} x {len(Y):,} descriptors, bytes",
        {"ours": partial(assign, X, Y, 2, threads=1), "faiss.knn": partial(faiss.knn, X32, Y32, 2)},
        unit="ms/pair",
        notes="packing included",
    )


def bench_kmeans(X, num_words):
    """Ten iterations over the same points: who is faster, and whose error is smaller."""
    X32 = X.astype(np.float32)

    def peer():
        kmeans = faiss.Kmeans(128, num_words, niter=10, max_points_per_centroid=10**9, seed=1)
        kmeans.train(X32)
        return kmeans.centroids

    def error(_, centers):
        index = faiss.IndexFlatL2(128)
        index.add(np.ascontiguousarray(centers, np.float32))
        return {"mean_squared_error": float(index.search(X32, 1)[0].mean())}

    def ours(x):
        return KMeans(num_words, threads=1).fit(x).cluster_centers_

    compare(
        f"k-means, {len(X):,} points to {num_words:,}, 10 iterations",
        {"bytes": partial(ours, X), "float32": partial(ours, X32), "faiss.Kmeans": peer},
        ours="bytes",
        unit="s/run",
        quality=error,
        repeats=3,
        warmup=0,
        notes="ours includes one more assignment, for inertia_; each starts from its own points",
    )


def main():
    data = os.environ.get("TROUVAILLE_DATA")
    if not data:
        print("skipped: TROUVAILLE_DATA names no folder of photos")
        return
    faiss.omp_set_num_threads(1)
    queries = descriptors(Path(data) / "smvs_books", max(QUERIES.values()))
    words = descriptors(Path(data) / "distractors", max(QUERIES))
    if len(words) < max(QUERIES):
        others = descriptors(Path(data) / "smvs_landmarks", max(QUERIES) - len(words))
        words = np.concatenate([words, others])
    for num_words, n in QUERIES.items():
        on_each_isa(bench_assign, queries[:n], words[:num_words])
    on_each_isa(bench_neighbors, queries[:1000], words[:1000])
    bench_kmeans(words[:50_000], 1_000)


if __name__ == "__main__":
    main()
