# SPDX-License-Identifier: Apache-2.0
"""Any Lp distance by the inverted file: times as multiples of the dot product's on the same rows.

The rows are those of the regime "flat" of bench_index.py, weighted by tf-idf and normalised, kept
in float32 and in bytes. The peers are a compiled loop over postings (p = 1 and 2, by the same
identity) and scikit-learn's brute force.

python benchmarks/bench_index_lp.py --documents 10000
"""

from __future__ import annotations

import argparse
import os
from functools import partial

from harness import compare, single_thread

single_thread()
os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import scipy.sparse as sp  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402

import sparse_data  # noqa: E402
import sparse_peers as peers  # noqa: E402
from sparse_data import DOCUMENTS, QUERIES, Statistics  # noqa: E402
from trouvaille.index import InvertedFile  # noqa: E402

K, N_QUERIES = 100, 100
LIKE = Statistics(100_000, 65_536, 0.36)
POWERS = {"float32": (1.0, 2.0, 0.5, 1.5, 3.0, 7.3), "uint8": (1.0, 2.0, 1.5)}
PEERS_OF_SKLEARN = {1.0: "manhattan", 2.0: "euclidean"}


def weighted(like: Statistics) -> tuple[sp.csr_array, sp.csr_array]:
    """The documents and the queries, weighted alike; whole vectors of length 1."""
    X, Q = sparse_data.counts(like, DOCUMENTS), sparse_data.counts(like._replace(n=200), QUERIES)
    g = sparse_data.idf(X)
    for Y in (X, Q):
        of_rows = sparse_data.inverse_lengths(Y, g)
        sparse_data.scale(Y.indptr, Y.indices, Y.data, of_rows, g)
    return X, Q[:N_QUERIES]


def one_by_one(index: InvertedFile, queries: list) -> peers.Found:
    return peers.stack([index.search(query, K, threads=1) for query in queries])


def numba_distances(by_word: sp.csc_array, norms: np.ndarray, Q: sp.csr_array, p: float):
    """The p-th root of what the loop has."""
    powers, ids = peers.numba_distances(by_word, norms, Q, int(p), K)
    return np.maximum(powers, 0) ** np.float32(1 / p), ids


def measure(X: sp.csr_array, Q: sp.csr_array, values: str) -> None:
    """Each p beside the dot product: the ratio is how many times as long the distance takes."""
    where = f"N {X.shape[0]:,}, V {X.shape[1]:,}, slope {LIKE.slope}, {values}"
    dot = InvertedFile.from_csr(X, values=values)
    queries = list(peers.rows(Q))
    # Bytes are judged by what they stand for, not by what was rounded.
    stored = X if values == "float32" else dot.to_csr()
    by_word = stored.tocsc()
    products = peers.truth(by_word, Q, Q.data.astype(np.float64))
    for p in POWERS[values]:
        index = InvertedFile.from_csr(X, metric="lp", p=p, values=values)
        powers = peers.true_powers(by_word, Q, p)

        def quality(contender: str, found: peers.Found, p=p, powers=powers) -> dict[str, float]:
            scores, ids = found
            if contender == "ours, dot product":
                return products.quality(scores, ids)
            return powers.quality(-(np.asarray(scores, np.float64) ** p), ids)

        contenders = {
            "ours, dot product": partial(one_by_one, dot, queries),
            f"ours, p = {p:g}": partial(one_by_one, index, queries),
        }
        if p in PEERS_OF_SKLEARN:
            norms = (np.abs(stored) ** p).sum(axis=1).astype(np.float32)
            contenders["numba loop"] = partial(numba_distances, by_word, norms, Q, p)
        compare(
            f"L{p:g} of {where}",
            contenders,
            ours="ours, dot product",
            items=len(queries),
            unit="ms/query",
            quality=quality,
            repeats=5,
            warmup=0,
            max_seconds=12,
            notes="errors of the distances are those of their p-th powers, relative to both norms'",
        )


def beside_sklearn(X: sp.csr_array, Q: sp.csr_array) -> None:
    """Brute force, on two queries: it is slow, and it does not know our identity."""
    few = Q[:2]
    for p, metric in PEERS_OF_SKLEARN.items():
        index = InvertedFile.from_csr(X, metric="lp", p=p, values="float32")
        brute = NearestNeighbors(n_neighbors=K, metric=metric, algorithm="brute", n_jobs=1).fit(X)
        powers = peers.true_powers(X.tocsc(), few, p)
        compare(
            f"L{p:g} of N {X.shape[0]:,}, V {X.shape[1]:,}, float32, two queries",
            {
                "ours": partial(index.search, few, K, threads=1),
                f"scikit-learn, {metric}": partial(brute.kneighbors, few),
            },
            items=few.shape[0],
            unit="ms/query",
            quality=lambda _, found, p=p, powers=powers: powers.quality(-(found[0] ** p), found[1]),
            repeats=3,
            warmup=0,
            max_seconds=20,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=LIKE.n, help="fewer, for a try")
    X, Q = weighted(LIKE._replace(n=parser.parse_args().documents))
    for values in POWERS:
        measure(X, Q, values)
    beside_sklearn(X, Q)


if __name__ == "__main__":
    main()
