# SPDX-License-Identifier: Apache-2.0
"""BM25 of short queries, 3 to 10 words: the inverted file beside bm25s, at equal results.

On the documentation of this machine and on a million generated documents (text_data.py). bm25s has
the same counts, its method "lucene", with its numba backend and as it comes.

python benchmarks/bench_index_text.py --documents 10000
"""

from __future__ import annotations

import argparse
from functools import partial

from harness import compare, record, single_thread

single_thread()

import numpy as np  # noqa: E402
import scipy.sparse as sp  # noqa: E402

try:
    import bm25s
except ImportError as error:
    raise SystemExit(f"{error}: pip install --group bench") from error

import sparse_peers as peers  # noqa: E402
import text_data  # noqa: E402
from trouvaille.index import InvertedFile  # noqa: E402

N_QUERIES, K1, B = 200, 1.5, 0.75
LARGEST_ERROR = 1e-5  # of a score, relative: bm25s adds in float32


def bm25(X: sp.csr_array) -> sp.csc_array:
    """The weight of every word in every document by Lucene's formula, in float64."""
    df, lengths = np.bincount(X.indices, minlength=X.shape[1]), X.sum(axis=1, dtype=np.float64)
    g = np.log(1 + (X.shape[0] - df + 0.5) / (df + 0.5))
    of_rows = K1 * (1 - B + B * lengths / lengths.mean())
    counts = X.data.astype(np.float64)
    weights = g[X.indices] * counts / (counts + np.repeat(of_rows, np.diff(X.indptr)))
    return sp.csr_array((weights, X.indices, X.indptr), shape=X.shape).tocsc()


def peer(X: sp.csr_array, backend: str) -> bm25s.BM25:
    """bm25s of the same words."""
    repeated = np.repeat(X.indices, X.data.astype(np.int64))
    ends = np.cumsum(np.add.reduceat(X.data, X.indptr[:-1]).astype(np.int64))[:-1]
    documents = [words.tolist() for words in np.split(repeated, ends)]
    model = bm25s.BM25(method="lucene", k1=K1, b=B, backend=backend)
    vocabulary = {str(word): word for word in range(X.shape[1])}
    model.index((documents, vocabulary), show_progress=False)
    return model


def retrieve(model: bm25s.BM25, queries: list[list[int]], k: int) -> peers.Found:
    # With no thread its numba backend runs on the caller's, compiled without the parallel loop.
    found = model.retrieve(queries, k=k, show_progress=False, n_threads=0)
    return found.scores, found.documents


def one_by_one(call, queries: list) -> peers.Found:
    return peers.stack([call(query) for query in queries])


def measure(name: str, X: sp.csr_array, with_default: bool) -> None:
    Q = text_data.short_queries(X, N_QUERIES)
    truth = peers.truth(bm25(X), Q, Q.data.astype(np.float64))
    index = InvertedFile.from_csr(X, weighting="bm25", k1=K1, b=B)
    models = {"bm25s, numba": peer(X, "numba")}
    if with_default:
        models["bm25s, default"] = peer(X, "numpy")
    pairs, lists = list(peers.rows(Q)), [words.tolist() for words, _ in peers.rows(Q)]
    df = index.document_frequencies

    def quality(contender: str, found: peers.Found) -> dict[str, float]:
        measured = truth.quality(*found)
        if measured["overlap"] < 1 or measured["largest relative error"] > LARGEST_ERROR:
            raise RuntimeError(f"{name}: {contender} has other results: {measured}")
        return measured

    for k in (10, 100):
        alone = {
            "ours": partial(one_by_one, lambda pair, k=k: index.search(pair, k, threads=1), pairs)
        }
        together = {"ours": partial(index.search, Q, k, threads=1)}
        for contender, model in models.items():
            ask = partial(retrieve, model, k=k)
            alone[contender] = partial(one_by_one, lambda words, ask=ask: ask([words]), lists)
            together[contender] = partial(ask, lists)
        for what, contenders in {
            "one query a call": alone,
            "many queries a call": together,
        }.items():
            compare(
                f"BM25, top {k}, {name}: {what}",
                contenders,
                items=N_QUERIES,
                unit="us/query",
                quality=quality,
                repeats=5,
                warmup=0,
                max_seconds=20,
                notes=f"{df[Q.indices].sum() / N_QUERIES:,.0f} postings a query, "
                f"{len(Q.indices) / N_QUERIES:.1f} words",
            )
    memory(name, X, index, models["bm25s, numba"])


def memory(name: str, X: sp.csr_array, index: InvertedFile, model: bm25s.BM25) -> None:
    theirs = sum(model.scores[array].nbytes for array in ("data", "indices", "indptr"))
    stats = index.stats()
    record(
        f"{name}, corpus",
        {
            "documents": X.shape[0],
            "words": X.shape[1],
            "distinct words a document": X.nnz / X.shape[0],
            "bytes a posting": stats.bytes_a_posting,
            "bm25s, bytes a posting": theirs / X.nnz,
        },
        table="corpora",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=1_000_000, help="at most so many")
    n = parser.parse_args().documents
    X, n_files = text_data.documentation(min(n, 100_000))
    if X.shape[0] >= 1000:
        measure(f"documentation, {X.shape[0]:,} parts of {n_files:,} files", X, with_default=True)
    else:
        print("skipped: there is hardly any documentation on this machine")
    X = text_data.synthetic(n)
    measure(f"N {X.shape[0]:,}, V {X.shape[1]:,}, slope 1", X, with_default=False)


if __name__ == "__main__":
    main()
