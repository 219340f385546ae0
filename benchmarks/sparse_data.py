# SPDX-License-Identifier: Apache-2.0
"""Sparse collections with the statistics of visual words, generated.

They are kept between runs where the environment variable TROUVAILLE_BENCH_DATA names a folder (the
million photos take 4.5 GB there), and generated anew otherwise.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse as sp

DOCUMENTS, QUERIES = 5, 99  # seeds
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Statistics(NamedTuple):
    """What a collection is like; rows are numbered, so that fewer rows are the first of more."""

    n: int
    num_words: int
    slope: float
    """Words' frequencies fall as rank ** -slope; a word's number says nothing about its rank."""
    mean: float = 500.0
    """Words a row, repeated ones included: lognormal around this, sigma 0.4."""
    shortest: int = 50
    longest: int = 2000


def counts(like: Statistics, seed: int) -> sp.csr_array:
    """How often each word is in each row: float32 and int32, as SciPy is fastest; words ascend."""
    folder = os.environ.get("TROUVAILLE_BENCH_DATA")
    if not folder:
        return _generate(like, seed)
    path = Path(folder) / f"{'_'.join(map(str, like))}_{seed}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        sp.save_npz(partial, _generate(like, seed), compressed=False)
        partial.rename(path)
    return sp.load_npz(path)


def _generate(like: Statistics, seed: int) -> sp.csr_array:
    frequencies = np.arange(1, like.num_words + 1) ** -like.slope
    share, other = _alias(frequencies * (like.num_words / frequencies.sum()))
    word = np.random.default_rng(1).permutation(like.num_words).astype(np.int32)
    normal = np.random.default_rng(seed).standard_normal(like.n)
    lengths = np.exp(np.log(like.mean) - 0.08 + 0.4 * normal)
    lengths = np.clip(lengths, like.shortest, like.longest).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    words = np.empty(starts[-1], np.int32)
    values = np.empty(starts[-1], np.float32)
    distinct = np.empty(like.n, np.int64)
    _draw(starts, share, word, word[other], np.uint64(seed), words, values, distinct)
    offsets = np.concatenate([[0], np.cumsum(distinct)])
    _compact(starts, offsets, words, values)
    narrow = np.int32 if offsets[-1] < 2**31 else np.int64  # SciPy gives both arrays one type
    arrays = values[: offsets[-1]], words[: offsets[-1]], offsets.astype(narrow)
    X = sp.csr_array(arrays, shape=(like.n, like.num_words))
    X.has_sorted_indices = X.has_canonical_format = True
    return X


@numba.njit
def _alias(weights):
    """Walker's tables: column j is itself with probability share[j], and other[j] else."""
    n = len(weights)
    share, other = weights.copy(), np.arange(n)
    small, large = list(np.nonzero(share < 1)[0]), list(np.nonzero(share >= 1)[0])
    while small and large:
        lacking, giving = small.pop(), large[-1]
        other[lacking] = giving
        share[giving] -= 1 - share[lacking]
        if share[giving] < 1:
            small.append(large.pop())
    return share, other


@numba.njit
def _mix(state):
    """The output of splitmix64 (Steele, Lea and Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@numba.njit(parallel=True)
def _draw(starts, share, word, other, seed, words, values, distinct):
    """Draw each row into its part of `words`; then each word once, ascending, and its count."""
    n = np.uint64(len(word))
    for i in numba.prange(len(starts) - 1):
        row, count = words[starts[i] : starts[i + 1]], values[starts[i] : starts[i + 1]]
        state = _mix(_mix(seed) + np.uint64(i))
        for t in range(len(row)):
            state += GOLDEN
            bits = _mix(state)
            column = ((bits >> np.uint64(32)) * n) >> np.uint64(32)
            stays = (bits & np.uint64(0xFFFFFFFF)) < share[column] * 4294967296.0
            row[t] = word[column] if stays else other[column]
        row.sort()
        end = 0
        for t in range(len(row)):
            if end and row[t] == row[end - 1]:
                count[end - 1] += 1
            else:
                row[end] = row[t]
                count[end] = 1
                end += 1
        distinct[i] = end


@numba.njit
def _compact(starts, offsets, words, values):
    """Move the rows that begin at `starts` to `offsets`, which are nowhere later."""
    for i in range(len(offsets) - 1):
        for t in range(offsets[i + 1] - offsets[i]):
            words[offsets[i] + t] = words[starts[i] + t]
            values[offsets[i] + t] = values[starts[i] + t]


def idf(X: sp.csr_array) -> np.ndarray:
    """log(N / df), as the weighting "tfidf"; words that no row has weigh 0."""
    df = np.bincount(X.indices, minlength=X.shape[1])
    return np.log(X.shape[0] / np.maximum(df, 1)) * (df > 0)


def inverse_lengths(X: sp.csr_array, word_weights: np.ndarray) -> np.ndarray:
    """1 / the L2 norm of each row times `word_weights`, in float64; 0 for empty rows."""
    return _inverse_lengths(X.indptr, X.indices, X.data, word_weights)


@numba.njit
def _inverse_lengths(offsets, words, values, weights):
    inverse = np.zeros(len(offsets) - 1)
    for i in range(len(inverse)):
        square = 0.0
        for t in range(offsets[i], offsets[i + 1]):
            square += (values[t] * weights[words[t]]) ** 2
        inverse[i] = 1 / np.sqrt(square) if square > 0 else 0.0
    return inverse


@numba.njit
def scale(offsets, minor, values, of_major, of_minor):
    """Multiply every value by its row's and its column's number, in place."""
    for i in range(len(offsets) - 1):
        for t in range(offsets[i], offsets[i + 1]):
            values[t] *= of_major[i] * of_minor[minor[t]]
