# SPDX-License-Identifier: Apache-2.0
"""Other ways to the exact top k of a sparse product, and the float64 product that judges all.

A contender returns scores and ids, both of shape (n_queries, k), or None where it has no top k.
`by_word` is the collection as documents x words in CSC, which is the inverted file of the peers.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse as sp

try:
    from sparse_dot_topn import sp_matmul_topn
except ImportError as error:
    raise SystemExit(f"{error}: pip install --group bench") from error

Found = tuple[np.ndarray, np.ndarray]
TOLERANCE = 1e-6  # a document this close to the k-th may stand in its place


class Truth(NamedTuple):
    """The score of every document for every query, in float64."""

    scores: np.ndarray
    """Shape (n_queries, N); higher is better."""
    unit: np.ndarray
    """What an error is relative to, of the same shape."""

    def quality(self, scores: np.ndarray, ids: np.ndarray) -> dict[str, float]:
        """The share of the top k that was found, and the largest relative error of a score."""
        k, errors, right = ids.shape[1], [], 0
        for mine, row, true, unit in zip(scores, ids, self.scores, self.unit, strict=True):
            kth = np.partition(true, len(true) - k)[-k]
            found = np.unique(row[row >= 0])
            right += int((true[found] >= kth - TOLERANCE * unit[found]).sum())
            there = row >= 0
            off = np.abs(mine[there] - true[row[there]])
            errors.append((off / np.maximum(unit[row[there]], 1e-30)).max(initial=0))
        return {"overlap": right / ids.size, "largest relative error": float(max(errors))}


def rows(Q: sp.csr_array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Words and values of each query."""
    for begin, end in zip(Q.indptr[:-1], Q.indptr[1:], strict=True):
        yield Q.indices[begin:end], Q.data[begin:end]


def stack(found: list[Found]) -> Found:
    """One array of scores and one of ids, of queries that were asked one by one."""
    scores, ids = zip(*found, strict=True)
    return np.stack([np.ravel(s) for s in scores]), np.stack([np.ravel(i) for i in ids])


def partitioned(scores: np.ndarray, k: int) -> Found:
    """The k best of a dense row by NumPy, best first."""
    ids = np.argpartition(scores, len(scores) - k)[-k:]
    ids = ids[np.argsort(-scores[ids])]
    return scores[ids], ids


def scipy_columns(by_word: sp.csc_array, Q: sp.csr_array, k: int) -> Found:
    """The columns of a query's words, times its values: SciPy's fastest for one query.

    Only scores above 0 are partitioned if there are k: argpartition is slow among many equal ones.
    """
    found = []
    for words, values in rows(Q):
        scores = by_word[:, words] @ values
        positive = np.flatnonzero(scores > 0)
        if k <= len(positive) < len(scores):
            best, places = partitioned(scores[positive], k)
            found.append((best, positive[places]))
        else:
            found.append(partitioned(scores, k))
    return stack(found)


def scipy_product(by_word: sp.csc_array, Q: sp.csr_array, k: int, batch: int = 50) -> Found:
    """Sparse products of `batch` queries, then the k best of each sparse row."""
    found, transposed = [], by_word.T  # CSR, without a copy
    for begin in range(0, Q.shape[0], batch):
        product = Q[begin : begin + batch] @ transposed
        for i, (ids, scores) in enumerate(rows(product)):
            if len(ids) < k:
                found.append(partitioned(product[[i]].toarray()[0], k))
            else:
                best, places = partitioned(scores, k)
                found.append((best, ids[places]))
    return stack(found)


def sparse_dot_topn(by_word: sp.csc_array, Q: sp.csr_array, k: int, threads: int = 1) -> Found:
    """sp_matmul_topn, which drops the documents that share no word with the query."""
    A, B = (sp.csr_matrix((Y.data, Y.indices, Y.indptr), Y.shape) for Y in (Q, by_word.T))
    product = sp_matmul_topn(A, B, top_n=k, sort=True, n_threads=threads)
    scores, ids = np.full((Q.shape[0], k), -np.inf), np.full((Q.shape[0], k), -1, np.int64)
    for i, (documents, values) in enumerate(rows(product)):
        scores[i, : len(documents)], ids[i, : len(documents)] = values, documents
    return scores, ids


def numba_loop(by_word: sp.csc_array, Q: sp.csr_array, k: int, threads: int = 1) -> Found:
    """A compiled loop over the postings into a dense row, then a heap of its k best."""
    numba.set_num_threads(threads)
    run = _batch if threads > 1 else _one_by_one
    return run(*_lists(by_word), Q.indptr, Q.indices, Q.data, k)


def numba_sums(by_word: sp.csc_array, Q: sp.csr_array) -> None:
    """The same loop without a top k."""
    for words, values in rows(Q):
        _sums(*_lists(by_word), words, values)


def truth(by_word: sp.csc_array, Q: sp.csr_array, weights: np.ndarray) -> Truth:
    """The product in float64, of values as they are and of `weights` instead of Q's values."""
    scores = np.stack(
        [
            _exact(*_lists(by_word), words, weights[begin : begin + len(words)])
            for begin, (words, _) in zip(Q.indptr[:-1], rows(Q), strict=True)
        ]
    )
    return Truth(scores, np.abs(scores))


def numba_distances(by_word: sp.csc_array, norms: np.ndarray, Q: sp.csr_array, p: int, k: int):
    """L1 (p = 1) or squared L2 (p = 2) in float32 by the same loop; `norms` are sums of |x|^p."""
    return _distances(*_lists(by_word), norms, Q.indptr, Q.indices, Q.data, p, k)


def true_powers(by_word: sp.csc_array, Q: sp.csr_array, p: float) -> Truth:
    """Minus the p-th power of every Lp distance, in float64; errors relative to both norms."""
    powers = np.bincount(by_word.indices, np.abs(by_word.data, dtype=np.float64) ** p)
    powers = np.pad(powers, (0, by_word.shape[0] - len(powers)))
    scores, units = [], []
    for words, values in rows(Q):
        units.append(powers + (np.abs(values, dtype=np.float64) ** p).sum())
        scores.append(-units[-1] - _common_powers(*_lists(by_word), words, values, p))
    return Truth(np.stack(scores), np.stack(units))


def _lists(by_word: sp.csc_array) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    return by_word.indptr, by_word.indices, by_word.data, by_word.shape[0]


@numba.njit(nogil=True)
def _sums(offsets, documents, values, n, words, weights):
    sums = np.zeros(n, np.float32)
    for j in range(len(words)):
        for t in range(offsets[words[j]], offsets[words[j] + 1]):
            sums[documents[t]] += weights[j] * values[t]
    return sums


@numba.njit(nogil=True)
def _exact(offsets, documents, values, n, words, weights):
    sums = np.zeros(n)
    for j in range(len(words)):
        for t in range(offsets[words[j]], offsets[words[j] + 1]):
            sums[documents[t]] += weights[j] * np.float64(values[t])
    return sums


@numba.njit(nogil=True)
def _best(sums, k, scores, ids):
    """Fill in the k best, best first, ties by the smaller id."""
    heap = [(sums[i], -i) for i in range(k)]
    heapq.heapify(heap)
    worst = heap[0][0]
    for i in range(k, len(sums)):
        if sums[i] > worst:
            heapq.heapreplace(heap, (sums[i], -i))
            worst = heap[0][0]
    heap.sort()
    for j in range(k):
        scores[j], ids[j] = heap[k - 1 - j][0], -heap[k - 1 - j][1]


def _loop(offsets, documents, values, n, starts, words, weights, k):
    m = len(starts) - 1
    scores, ids = np.empty((m, k), np.float32), np.empty((m, k), np.int64)
    for i in numba.prange(m):
        part = slice(starts[i], starts[i + 1])
        sums = _sums(offsets, documents, values, n, words[part], weights[part])
        _best(sums, k, scores[i], ids[i])
    return scores, ids


_one_by_one = numba.njit(nogil=True)(_loop)
_batch = numba.njit(parallel=True)(_loop)


@numba.njit(nogil=True)
def _distances(offsets, documents, values, n, norms, starts, words, weights, p, k):
    m = len(starts) - 1
    scores, ids = np.empty((m, k), np.float32), np.empty((m, k), np.int64)
    for i in range(m):
        norm = np.float32(0)
        sums = np.zeros(n, np.float32)
        for j in range(starts[i], starts[i + 1]):
            q = weights[j]
            norm += q if p == 1 else q * q
            part = range(offsets[words[j]], offsets[words[j] + 1])
            if p == 1:
                for t in part:
                    sums[documents[t]] += np.abs(q - values[t]) - q - values[t]
            else:
                for t in part:
                    sums[documents[t]] -= 2 * q * values[t]
        for d in range(n):
            sums[d] = -(sums[d] + norms[d] + norm)
        _best(sums, k, scores[i], ids[i])
    return -scores, ids


@numba.njit(nogil=True)
def _common_powers(offsets, documents, values, n, words, weights, p):
    sums = np.zeros(n)
    for j in range(len(words)):
        q = np.float64(weights[j])
        for t in range(offsets[words[j]], offsets[words[j] + 1]):
            x = np.float64(values[t])
            sums[documents[t]] += np.abs(q - x) ** p - np.abs(q) ** p - np.abs(x) ** p
    return sums
