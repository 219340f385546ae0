# SPDX-License-Identifier: Apache-2.0
"""Exact top 100 of a sparse product: the inverted file against SciPy's two ways, on one thread."""

from __future__ import annotations

from harness import compare, record, single_thread

single_thread()

import numpy as np  # noqa: E402
import scipy.sparse as sp  # noqa: E402

from trouvaille.index import InvertedFile  # noqa: E402

N, NUM_WORDS, WORDS_A_PHOTO, N_QUERIES, K = 20_000, 20_000, 500, 100, 100


def photos(rng: np.random.Generator, n: int, slope: float) -> sp.csr_array:
    """Counts of words, their frequencies falling as rank ** -slope, as visual words' do.

    In float32 and int32, as SciPy is fastest; the sums are whole numbers, and so exact.
    """
    frequencies = np.arange(1, NUM_WORDS + 1) ** -slope
    words = rng.choice(NUM_WORDS, n * WORDS_A_PHOTO, p=frequencies / frequencies.sum())
    ends = np.arange(0, len(words) + 1, WORDS_A_PHOTO, dtype=np.int32)
    ones = np.ones(len(words), np.float32)
    X = sp.csr_array((ones, words.astype(np.int32), ends), shape=(n, NUM_WORDS))
    X.sum_duplicates()
    return X


def top(scores: np.ndarray) -> np.ndarray:
    """The scores of the K best documents, in any order."""
    return scores[np.argpartition(scores, len(scores) - K)[-K:]]


def products(Q: sp.csr_array, transposed: sp.csr_array) -> list[np.ndarray]:
    """One sparse product for all queries, then the best of each row made dense."""
    scores = Q @ transposed
    return [top(scores[[i]].toarray()[0]) for i in range(len(scores.indptr) - 1)]


def columns(Q: sp.csr_array, X: sp.csc_array) -> list[np.ndarray]:
    """The columns of a query's words, times its values: SciPy's fastest for one query."""
    slices = [slice(Q.indptr[i], Q.indptr[i + 1]) for i in range(Q.shape[0])]
    return [top(X[:, Q.indices[part]] @ Q.data[part]) for part in slices]


def main() -> None:
    """Measure visual words' statistics (slope 0.36) and a steeper distribution (0.7)."""
    rng = np.random.default_rng(0)
    for slope in (0.36, 0.7):
        X, Q = photos(rng, N, slope), photos(rng, N_QUERIES, slope)
        transposed, by_column = X.T.tocsr(), X.tocsc()
        index = InvertedFile.from_csr(X)
        exact = [np.sort(row)[::-1] for row in products(Q, transposed)]

        def worst_difference(contender: str, result: list[np.ndarray], exact=exact) -> dict:
            rows = result[0] if contender == "ours" else [np.sort(row)[::-1] for row in result]
            errors = [np.abs(a - b).max() for a, b in zip(rows, exact, strict=True)]
            return {"largest error": float(max(errors))}

        postings = int(index.document_frequencies @ (Q != 0).sum(axis=0))
        where = f"N {N:,}, V {NUM_WORDS:,}, slope {slope}"
        compare(
            f"top {K} of {where}",
            {
                "ours": lambda i=index, Q=Q: i.search(Q, K, threads=1),
                "scipy, columns of csc": lambda Q=Q, X=by_column: columns(Q, X),
                "scipy, csr product": lambda Q=Q, T=transposed: products(Q, T),
            },
            items=N_QUERIES,
            unit="us/query",
            quality=worst_difference,
            notes=f"{postings // N_QUERIES:,} postings a query",
        )
        arrays = index.postings
        stored = sum(array.nbytes for array in arrays)
        values = {"postings": X.nnz, "bytes a posting": stored / X.nnz}
        record(where, values, table="memory")


if __name__ == "__main__":
    main()
