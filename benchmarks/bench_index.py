# SPDX-License-Identifier: Apache-2.0
"""Exact top 100 of a sparse product: the inverted file beside its peers, in four regimes.

Generated photos (sparse_data.py) with the statistics of visual words, as whole counts searched with
tf-idf and the cosine, and as arbitrary float32 values (the same tf-idf, normalised) with the dot
product. Peers get the float32 values for both.

python benchmarks/bench_index.py                       # all four: 5 minutes, 16 GB of memory
python benchmarks/bench_index.py flat --documents 10000
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import NamedTuple

from harness import Row, compare, record, single_thread

single_thread()
os.environ["NUMBA_NUM_THREADS"] = "2"  # at most: each call says how many

import numpy as np  # noqa: E402
import scipy.sparse as sp  # noqa: E402

import sparse_data  # noqa: E402
import sparse_peers as peers  # noqa: E402
from sparse_data import DOCUMENTS, QUERIES, Statistics  # noqa: E402
from trouvaille.index import InvertedFile  # noqa: E402

K, BATCH = 100, 64
N_QUERIES, N_QUERIES_OF_A_MILLION = 200, 40
REGIMES = {
    "steep": Statistics(100_000, 65_536, 0.7),
    "flat": Statistics(100_000, 65_536, 0.36),  # the slope of real visual words
    "short lists": Statistics(100_000, 1_000_000, 0.7),
    "a million": Statistics(1_000_000, 1_000_000, 0.36),
}
STORED = ("float32", "float16", "uint8")


class Case(NamedTuple):
    """An index, what it is asked, and the same for the peers."""

    name: str
    index: InvertedFile
    Q: sp.csr_array
    by_word: sp.csc_array
    Q32: sp.csr_array
    truth: peers.Truth
    postings: float  # a query

    def compare(self, what: str, contenders: dict[str, Callable], threads: int = 1) -> Row:
        """Keep the times of all queries, and each contender's nanoseconds a posting."""
        row = compare(
            f"{self.name}: {what}",
            contenders,
            items=self.Q.shape[0],
            unit="ms/query",
            quality=lambda _, found: {} if found is None else self.truth.quality(*found),
            repeats=5,
            warmup=0,
            max_seconds=12,
            threads=threads,
            notes=f"{self.postings:,.0f} postings a query",
        )
        times = {name: entry["median"] for name, entry in row["contenders"].items()}
        record(
            f"{self.name}: {what}, ns a posting",
            {name: 1e6 * time / self.postings for name, time in times.items()},
            table="nanoseconds a posting, all costs of a query included",
            threads=threads,
        )
        return row

    def one_by_one(self) -> None:
        ask, by_word, Q = self.index.search, self.by_word, self.Q32
        queries = list(peers.rows(self.Q))
        self.compare(
            "one query a call",
            {
                "ours": lambda: peers.stack([ask(query, K, threads=1) for query in queries]),
                "scipy, columns of csc": lambda: peers.scipy_columns(by_word, Q, K),
                "numba loop": lambda: peers.numba_loop(by_word, Q, K),
                "numba loop, no top k": lambda: peers.numba_sums(by_word, Q),
            },
        )

    def in_batches(self) -> None:
        ask, by_word, Q = self.index.search, self.by_word, self.Q32
        parts = [self.Q[i : i + BATCH] for i in range(0, self.Q.shape[0], BATCH)]

        def ours_in_parts():
            found = [ask(part, K, threads=1) for part in parts]
            return tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))

        self.compare(
            "many queries a call",
            {
                "ours": lambda: ask(self.Q, K, threads=1),
                f"ours, {BATCH} a call": ours_in_parts,
                "scipy, csr product": lambda: peers.scipy_product(by_word, Q, K),
                "sparse_dot_topn": lambda: peers.sparse_dot_topn(by_word, Q, K),
                "numba loop": lambda: peers.numba_loop(by_word, Q, K),
            },
        )

    def on_two_threads(self) -> None:
        ask, by_word, Q = self.index.search, self.by_word, self.Q32
        self.compare(
            "many queries a call, two threads",
            {
                "ours": lambda: ask(self.Q, K, threads=2),
                "ours, one thread": lambda: ask(self.Q, K, threads=1),
                "sparse_dot_topn": lambda: peers.sparse_dot_topn(by_word, Q, K, threads=2),
                "numba loop": lambda: peers.numba_loop(by_word, Q, K, threads=2),
            },
            threads=2,
        )

    def measure(self) -> None:
        self.one_by_one()
        self.in_batches()
        self.on_two_threads()


def record_memory(name: str, index: InvertedFile, X: sp.csr_array) -> None:
    csr = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    stats = index.stats()
    record(
        f"{name}, memory",
        {
            "postings": stats.n_postings,
            "bytes a posting": stats.bytes_a_posting,
            "scipy's csr": csr / X.nnz,
            "longest list": stats.longest_list,
        },
        table="memory",
    )


def measure(like: Statistics, n_queries: int, stored: tuple[str, ...]) -> None:
    """Each step frees what the next has no use for: of a million photos, each copy is 4 GB."""
    name = f"N {like.n:,}, V {like.num_words:,}, slope {like.slope}"
    X = sparse_data.counts(like, DOCUMENTS)
    Q = sparse_data.counts(like._replace(n=N_QUERIES), QUERIES)[:n_queries]
    index = InvertedFile.from_csr(X, metric="cosine", weighting="tfidf")
    record_memory(f"{name}, counts", index, X)

    by_word, g = X.tocsc(), sparse_data.idf(X)
    of_documents, of_queries = (sparse_data.inverse_lengths(Y, g) for Y in (X, Q))
    of_values = g[Q.indices] ** 2 * np.repeat(of_queries, np.diff(Q.indptr))
    postings = np.diff(by_word.indptr)[Q.indices].sum() / n_queries
    truth = peers.truth(by_word, Q, Q.data * of_values)
    np.multiply(truth.scores, of_documents, out=truth.scores)
    truth = peers.Truth(truth.scores, np.abs(truth.scores))

    Q32 = Q.copy()
    sparse_data.scale(Q32.indptr, Q32.indices, Q32.data, of_queries, g)
    sparse_data.scale(by_word.indptr, by_word.indices, by_word.data, g, of_documents)
    Case(f"{name}, counts", index, Q, by_word, Q32, truth, postings).measure()
    del index, truth

    sparse_data.scale(X.indptr, X.indices, X.data, of_documents, g)
    for values in stored[1:]:
        record_memory(f"{name}, {values}", InvertedFile.from_csr(X, values=values), X)
    index = InvertedFile.from_csr(X, values=stored[0])
    record_memory(f"{name}, {stored[0]}", index, X)
    del X
    truth = peers.truth(by_word, Q32, Q32.data.astype(np.float64))
    Case(f"{name}, {stored[0]}", index, Q32, by_word, Q32, truth, postings).measure()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("regimes", nargs="*", default=list(REGIMES), help=", ".join(REGIMES))
    parser.add_argument("--documents", type=int, help="fewer, for a try")
    arguments = parser.parse_args()
    if unknown := [regime for regime in arguments.regimes if regime not in REGIMES]:
        parser.error(f"no regime {unknown[0]!r}; there are {', '.join(REGIMES)}")
    for regime in arguments.regimes:
        like = REGIMES[regime]
        like = like._replace(n=arguments.documents or like.n)
        million = like.n > 500_000
        # The other kinds of values of the million are bench_index_build.py's.
        measure(
            like,
            N_QUERIES_OF_A_MILLION if million else N_QUERIES,
            STORED[:1] if million else STORED,
        )


if __name__ == "__main__":
    main()
