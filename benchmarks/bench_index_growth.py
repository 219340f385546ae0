# SPDX-License-Identifier: Apache-2.0
"""How the time of a query grows: with documents, with words a query, with the vocabulary.

Counts searched with tf-idf and the cosine, top 100, one query a call, one thread. Writes three
plots beside this file, or where --folder says.

python benchmarks/bench_index_growth.py                              # 5 minutes, 10 GB
python benchmarks/bench_index_growth.py --documents 10000 --folder out
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness import Row, compare, record, single_thread

single_thread()

import numpy as np  # noqa: E402
import scipy.sparse as sp  # noqa: E402

import sparse_data  # noqa: E402
import sparse_peers as peers  # noqa: E402
from sparse_data import DOCUMENTS, QUERIES, Statistics  # noqa: E402
from svg_plot import log_log  # noqa: E402
from trouvaille.index import InvertedFile  # noqa: E402

K, N_QUERIES = 100, 40
SLOPE = 0.36
NUMBERS_OF_DOCUMENTS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
NUMBERS_OF_QUERY_WORDS = (5, 20, 50, 100, 200, 500, 1_000, 2_000)
VOCABULARIES = (1_000, 4_000, 16_000, 65_536, 250_000, 1_000_000, 4_000_000)

Asked = Callable[[sp.csr_array, str], Row]  # queries, and the name of the row


def prepare(X: sp.csr_array) -> Asked:
    """An index and the peers' lists of `X`, ready to be asked any queries."""
    index = InvertedFile.from_csr(X, metric="cosine", weighting="tfidf")
    by_word, g = X.tocsc(), sparse_data.idf(X)
    of_documents = sparse_data.inverse_lengths(X, g)
    sparse_data.scale(by_word.indptr, by_word.indices, by_word.data, g, of_documents)

    def ask(Q: sp.csr_array, name: str) -> Row:
        of_queries = sparse_data.inverse_lengths(Q, g)
        Q32, queries = Q.copy(), list(peers.rows(Q))
        sparse_data.scale(Q32.indptr, Q32.indices, Q32.data, of_queries, g)
        # Rounded weights have rounded products: sums over words are equal to 1e-6.
        truth = peers.truth(by_word, Q32, Q32.data.astype(np.float64))
        postings = np.diff(by_word.indptr)[Q.indices].sum() / len(queries)
        return compare(
            name,
            {
                "ours": lambda: peers.stack([index.search(q, K, threads=1) for q in queries]),
                "numba loop": partial(peers.numba_loop, by_word, Q32, K),
                "scipy, columns": partial(peers.scipy_columns, by_word, Q32, K),
            },
            items=len(queries),
            unit="ms/query",
            quality=lambda _, found: truth.quality(*found),
            repeats=5,
            warmup=0,
            max_seconds=8,
            notes=f"{postings:,.0f} postings a query",
        )

    return ask


def grow_documents(limit: int) -> dict[int, Row]:
    like = Statistics(limit, 1_000_000, SLOPE)
    Q = sparse_data.counts(like._replace(n=200), QUERIES)[:N_QUERIES]
    found = {}
    for n in (n for n in NUMBERS_OF_DOCUMENTS if n <= limit):
        X = sparse_data.counts(like, DOCUMENTS)[:n]
        found[n] = prepare(X)(Q, f"growth: N {n:,}, V {like.num_words:,}, {like.mean:g} words")
    return found


def grow_query_words(limit: int) -> dict[int, Row]:
    like = Statistics(min(100_000, limit), 65_536, SLOPE)
    ask = prepare(sparse_data.counts(like, DOCUMENTS))
    longest = NUMBERS_OF_QUERY_WORDS[-1]
    long = like._replace(n=N_QUERIES, mean=2.0 * longest, shortest=longest + 300, longest=9999)
    Q, rng = sparse_data.counts(long, QUERIES), np.random.default_rng(0)
    return {
        words: ask(some_words(Q, words, rng), f"growth: {words:,} words, N {like.n:,}, V 65,536")
        for words in NUMBERS_OF_QUERY_WORDS
    }


def some_words(Q: sp.csr_array, n: int, rng: np.random.Generator) -> sp.csr_array:
    """Each query with `n` of its words."""
    ranges = zip(Q.indptr[:-1], Q.indptr[1:], strict=True)
    places = np.concatenate([np.sort(rng.permutation(np.arange(*r))[:n]) for r in ranges])
    ends = n * np.arange(Q.shape[0] + 1, dtype=np.int32)
    return sp.csr_array((Q.data[places], Q.indices[places], ends), shape=Q.shape)


def grow_vocabulary(limit: int) -> dict[int, Row]:
    found = {}
    for num_words in VOCABULARIES:
        like = Statistics(min(100_000, limit), num_words, SLOPE)
        ask = prepare(sparse_data.counts(like, DOCUMENTS))
        Q = sparse_data.counts(like._replace(n=200), QUERIES)[:N_QUERIES]
        found[num_words] = ask(Q, f"growth: V {num_words:,}, N {like.n:,}, {like.mean:g} words")
    return found


def plot(folder: Path, name: str, x_label: str, rows: dict[int, Row], why: str) -> None:
    """Draw the rows, and keep one that shows the plot in the report, with what explains it."""
    names = next(iter(rows.values()))["contenders"]
    lines = {c: [row["contenders"][c]["median"] for row in rows.values()] for c in names}
    title = f"Exact top {K}, one thread, slope {SLOPE}"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = log_log(title, x_label, "ms a query", list(rows), lines)
    (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")
    (first, *_), (last, *_) = (list(rows.items())[i] for i in (0, -1))
    times = "; ".join(f"{c} {line[0]:.3g} to {line[-1]:.3g} ms" for c, line in lines.items())
    record(
        f"the time of a query against {x_label}",
        {"plot": f"![{name}]({name}.svg)", "from": first, "to": last},
        table="growth",
        notes=f"{why} {times}.",
    )


PLOTS = {
    "growth_documents": (
        grow_documents,
        "documents",
        "lists grow in proportion to the documents, and so does the choice of the top k, but the "
        "cost of finding 500 lists is the same: small collections pay that, large ones the rest.",
    ),
    "growth_query_words": (
        grow_query_words,
        "words a query",
        "every word adds a list of the same mean length, so that the time is the scan for the top "
        "k plus a constant a word: flat while words are few, then a straight line.",
    ),
    "growth_vocabulary": (
        grow_vocabulary,
        "words in the vocabulary",
        "more words share the same postings, so that the lists, and the time, shrink with 1/V "
        "until finding 500 short lists and scanning the documents is all that is left.",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plots", nargs="*", default=list(PLOTS), help=", ".join(PLOTS))
    parser.add_argument("--documents", type=int, default=1_000_000, help="at most so many")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="of the plots")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.plots if name not in PLOTS]:
        parser.error(f"no plot {unknown[0]!r}; there are {', '.join(PLOTS)}")
    for name in arguments.plots:
        grow, x_label, why = PLOTS[name]
        plot(arguments.folder, name, x_label, grow(arguments.documents), why)


if __name__ == "__main__":
    main()
