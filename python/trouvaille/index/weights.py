# SPDX-License-Identifier: Apache-2.0
"""How much a word and a document weigh: idf, norms, and the lengths that BM25 compares.

References
----------
.. [1] J. Zobel, A. Moffat, "Inverted files for text search engines", ACM Computing Surveys 38(2),
   2006.
.. [2] S. Robertson, H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond",
   Foundations and Trends in Information Retrieval 3(4), 2009.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _sparse
from .by_word import ByWord
from .options import Options
from .segment import Segment


def word_weights(weighting: str | None, frequencies: ByWord, n_documents: int) -> ByWord | None:
    """Return what each word weighs if `frequencies` of `n_documents` documents have it."""
    if weighting is None:
        return None
    weights = _word_weights(weighting, frequencies.numbers, n_documents)
    [other] = _word_weights(weighting, np.zeros(1, np.int64), n_documents)
    return ByWord(weights, frequencies.words, float(other))


def _word_weights(
    weighting: str, frequencies: NDArray[np.int64], n_documents: int
) -> NDArray[np.float64]:
    df = frequencies.astype(np.float64)
    if weighting == "tfidf_smooth":
        smooth: NDArray[np.float64] = np.log((1 + n_documents) / (1 + df)) + 1
        return smooth
    rest = n_documents - df
    if weighting == "bm25":
        probabilistic: NDArray[np.float64] = np.log1p((rest + 0.5) / (df + 0.5))
        return probabilistic
    ratio = np.divide(rest, df, out=np.zeros_like(rest), where=df > 0)
    natural: NDArray[np.float64] = np.log1p(ratio)  # log(N / df), exact where df is nearly N too
    return natural


def checked_idf(idf: ArrayLike, num_words: int) -> NDArray[np.float64]:
    """Return given weights of words: finite, not negative, and one a word."""
    weights = _sparse.checked_values(idf, "idf")
    if len(weights) != num_words:
        raise ValueError(f"idf must have {num_words} entries, one a word, got {len(weights)}")
    if num_words > 0 and weights.min() < 0:
        raise ValueError(f"idf must not be negative, got {weights.min()}")
    return weights


def document_factors(
    options: Options, segments: Sequence[Segment], weights: ByWord | None
) -> list[NDArray[np.float64]] | None:
    """Return the numbers that a reader needs of each document, by segment; see `Options`."""
    if options.weighting == "bm25":
        return _relative_lengths(options, segments)
    if options.norm is None:
        return None
    return [_inverse_norms(options, segment, weights) for segment in segments]


def _inverse_norms(
    options: Options, segment: Segment, weights: ByWord | None
) -> NDArray[np.float64]:
    assert options.norm is not None
    if options.steady and "factors" in segment.kept:
        return segment.kept["factors"]
    given = weights.given if weights is not None else None
    norms = segment.block.norms(options.norm, given, options.roots[0])
    factors = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    if options.metric == "hellinger":
        factors = np.sqrt(factors)
    if options.steady:
        segment.kept["factors"] = factors
    return factors


def _relative_lengths(options: Options, segments: Sequence[Segment]) -> list[NDArray[np.float64]]:
    """Return ``k1 * (1 - b + b * length / mean length)``, the mean being of live documents."""
    lengths = [_lengths(segment) for segment in segments]
    n_documents = sum(segment.n_alive for segment in segments)
    live = [length[segment.members()] for length, segment in zip(lengths, segments, strict=True)]
    total = _exact_sum(live)
    mean = total / n_documents if total > 0 else 1.0
    k1, b = options.k1, options.b
    return [k1 * (1 - b + b * (length / mean)) for length in lengths]


def _exact_sum(parts: Sequence[NDArray[np.float64]]) -> float:
    """Return the sum, rounded once, so that the division into parts does not matter."""
    total = float(sum(part.sum() for part in parts))
    if total < 2**53 and all(np.array_equal(part, np.rint(part)) for part in parts):
        return total
    return math.fsum(itertools.chain.from_iterable(part.tolist() for part in parts))


def _lengths(segment: Segment) -> NDArray[np.float64]:
    if "lengths" not in segment.kept:
        segment.kept["lengths"] = segment.block.norms("sum", None, 0)
    return segment.kept["lengths"]
