# SPDX-License-Identifier: Apache-2.0
"""The vocabulary tree: training and descent, beside FAISS (and scikit-learn) node by node.

    python benchmarks/bench_vocabulary_tree.py [points] [threads]

Real SIFT, of the photos that TROUVAILLE_DATA names. No peer in Python has such a tree, so those
here call what they have for each node: the points of a node are clustered by theirs, and
descriptors go down level by level, those in one node together. Quality is the mean squared distance
of descriptors that no training saw to the centers of their leaves.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from harness import compare, record, single_thread

single_thread()

import faiss  # noqa: E402
import numpy as np  # noqa: E402
import sklearn.cluster  # noqa: E402

import sift_data  # noqa: E402
from trouvaille.words import VocabularyTree, assign  # noqa: E402

ITERATIONS = 10
Cluster = Callable[[Any, int], tuple[Any, Any]]  # points, k -> centers, labels


class Node(NamedTuple):
    """A node of a peer's tree."""

    search: Callable[[Any], Any]  # descriptors -> children
    children: list[Any]  # nodes, or numbers of words


def by_faiss(X: Any, k: int) -> tuple[Any, Any]:
    means = faiss.Kmeans(
        X.shape[1], k, niter=ITERATIONS, max_points_per_centroid=10**9, min_points_per_centroid=1
    )
    means.train(X)
    return means.centroids, means.index.search(X, 1)[1][:, 0]


def by_sklearn(X: Any, k: int) -> tuple[Any, Any]:
    means = sklearn.cluster.KMeans(k, n_init=1, max_iter=ITERATIONS, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct points than clusters
        labels = means.fit_predict(X)
    return means.cluster_centers_.astype(np.float32), labels


class PeerTree:
    """Hierarchical k-means of whatever `cluster` does."""

    def __init__(self, cluster: Cluster, X: Any, branching: int, depth: int) -> None:
        self.cluster, self.branching = cluster, branching
        self.words: list[Any] = []
        self.root = self._node(X, depth)

    def _node(self, X: Any, depth: int) -> Node:
        k = min(self.branching, len(X))
        centers, labels = self.cluster(X, k)
        children = []
        for child in range(k):
            own = X[labels == child]
            if depth > 1 and len(own) > 1:
                children.append(self._node(own, depth - 1))
            else:
                children.append(len(self.words))
                self.words.append(centers[child])
        index = faiss.IndexFlatL2(X.shape[1])
        index.add(np.ascontiguousarray(centers, np.float32))
        return Node(lambda Q: index.search(Q, 1)[1][:, 0], children)

    def transform(self, Q: Any) -> Any:
        words = np.empty(len(Q), np.int64)
        waiting = [(self.root, np.arange(len(Q)))]
        while waiting:
            node, rows = waiting.pop()
            found = node.search(Q[rows])
            order = np.argsort(found, kind="stable")
            ends = np.searchsorted(found[order], np.arange(len(node.children) + 1))
            for child, begin, end in zip(node.children, ends[:-1], ends[1:], strict=True):
                own = rows[order[begin:end]]
                if not isinstance(child, Node):
                    words[own] = child
                elif len(own):
                    waiting.append((child, own))
        return words


class Data(NamedTuple):
    base: Any
    queries: Any
    threads: int


def distortion(Q: Any, words: Any, found: Any) -> float:
    return float(((Q.astype(np.float32) - words[found]) ** 2).sum(axis=1).mean())


def bench_training(data: Data, branching: int, depth: int, peers: dict[str, Cluster]) -> None:
    floats, queries = data.base.astype(np.float32), data.queries.astype(np.float32)

    def ours(X: Any) -> VocabularyTree:
        return VocabularyTree(branching, depth, iterations=ITERATIONS, threads=data.threads).fit(X)

    def quality(name: str, tree: Any) -> dict[str, float]:
        Q = data.queries if name == "bytes" else queries
        words = np.asarray(tree.words, np.float32)
        return {
            "mean_squared_error": distortion(Q, words, tree.transform(Q)),
            "words": len(words),
        }

    theirs = {
        name: partial(PeerTree, cluster, floats, branching, depth)
        for name, cluster in peers.items()
    }
    compare(
        f"tree of {branching}^{depth}, {len(floats):,} SIFT, {ITERATIONS} iterations",
        {"bytes": partial(ours, data.base), "float32": partial(ours, floats), **theirs},
        ours="bytes",
        unit="s/tree",
        quality=quality,
        repeats=3,
        warmup=0,
        threads=data.threads,
        max_seconds=240,
    )


def bench_descent(data: Data, branching: int, depth: int) -> None:
    tree = VocabularyTree(branching, depth, iterations=3).fit(data.base)
    peer = PeerTree(by_few_rounds, data.base.astype(np.float32), branching, depth)
    queries = data.queries.astype(np.float32)
    exact = assign(data.queries, tree.words).distances.mean()

    def quality(name: str, found: Any) -> dict[str, float]:
        words = tree.words if name.startswith("ours") else peer.words
        return {
            "mean_squared_error": distortion(queries, np.asarray(words, np.float32), found),
            "of_nearest_words": float(exact),
            "words": len(words),
        }

    compare(
        f"descent in {branching}^{depth} of {len(data.base):,} SIFT",
        {
            "ours": partial(tree.transform, data.queries, threads=data.threads),
            "faiss.IndexFlatL2 a node": partial(peer.transform, queries),
        },
        items=len(queries),
        unit="us/descriptor",
        quality=quality,
        threads=data.threads,
    )


def by_few_rounds(X: Any, k: int) -> tuple[Any, Any]:
    means = faiss.Kmeans(
        X.shape[1], k, niter=3, max_points_per_centroid=10**9, min_points_per_centroid=1
    )
    means.train(X)
    return means.centroids, means.index.search(X, 1)[1][:, 0]


def record_a_million_words(data: Data) -> None:
    start = time.perf_counter()
    tree = VocabularyTree(10, 6, iterations=ITERATIONS, threads=data.threads).fit(data.base)
    seconds = time.perf_counter() - start
    found = tree.transform(data.queries)
    record(
        f"10^6 of {len(data.base):,} SIFT",
        {
            "words": tree.num_words,
            "s": seconds,
            "mean squared error": distortion(data.queries, tree.words.astype(np.float32), found),
        },
        table="vocabulary tree: ten to the sixth",
        threads=data.threads,
    )


def main(n: int, threads: int) -> None:
    if not os.environ.get("TROUVAILLE_DATA"):
        print("skipped: TROUVAILLE_DATA names no folder of photos")
        return
    faiss.omp_set_num_threads(threads)
    sift = sift_data.load(n)
    data = Data(sift.base, sift.queries, threads)
    small = data._replace(base=data.base[:100_000])
    bench_training(small, 10, 4, {"faiss": by_faiss, "sklearn": by_sklearn})
    bench_training(data, 10, 4, {"faiss": by_faiss})
    bench_training(data, 100, 2, {"faiss": by_faiss})
    for branching, depth in ((10, 4), (10, 6), (100, 2)):
        bench_descent(data._replace(base=data.base[:300_000]), branching, depth)
    record_a_million_words(data)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(1_000_000, 1)[len(given) :])
