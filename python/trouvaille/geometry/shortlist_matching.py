# SPDX-License-Identifier: Apache-2.0
"""Which features of a photo and of each of a shortlist may be of the same spot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .matching import fitting_bytes


class ShortlistMatches(NamedTuple):
    """Tentative matches of a query with each candidate, one candidate after the other.

    Attributes
    ----------
    matches : ndarray of int32, shape (t, 2)
        Pairs (query feature, candidate's feature), as `verify` takes them.
    distances : ndarray of int32, shape (t,)
        Squared Euclidean distances of the descriptors; of signatures, bits that differ.
    offsets : ndarray of int64, shape (c + 1,)
        Candidate i owns the rows ``offsets[i]`` to ``offsets[i + 1]``.
    """

    matches: NDArray[np.int32]
    distances: NDArray[np.int32]
    offsets: NDArray[np.int64]


def match_shortlist(
    query_descriptors: ArrayLike,
    query_words: ArrayLike,
    candidates: Sequence[tuple[ArrayLike, ArrayLike]],
    max_distances: ArrayLike,
    *,
    max_matches: int = 1000,
    threads: int | None = None,
) -> ShortlistMatches:
    """Match a photo with each of a shortlist, among features that share a visual word.

    Two features are compared if the candidate's word is one of those of the query's feature; they
    match if each is the other's nearest and near enough. Several words a query feature (its 10 or
    20 nearest) make good what one word loses to quantisation [1]_, and cost little: of two photos
    of 1,000 features and 20,000 words, ten words compare one pair in 2,000. At worst, where all
    features share one word, a candidate costs what `match` does.

    Parameters
    ----------
    query_descriptors : array_like of uint8, shape (n, d)
        Descriptors of the query.
    query_words : array_like of int, shape (n, k)
        For each of them its nearest words, distinct and not negative.
    candidates : sequence of (words, descriptors)
        For each candidate its features' words, shape (m,), and descriptors, shape (m, d) uint8.
    max_distances : array_like of int, shape (n,)
        The greatest squared distance at which each query feature matches.
    max_matches : int
        Of a candidate with more matches, the nearest so many.
    threads : int, optional
        Worker threads; one per core by default.

    Returns
    -------
    ShortlistMatches
        A candidate's matches are in the order of the query's features.

    Raises
    ------
    TypeError, ValueError
        If an argument has another shape or dtype, or the arrays do not fit together.

    References
    ----------
    .. [1] J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, "Lost in quantization: improving
       particular object retrieval in large scale image databases", CVPR 2008.
    """
    descriptors = _check.matrix(query_descriptors, "query_descriptors", np.uint8)
    n, dimensions = descriptors.shape
    words = _check.matrix(query_words, "query_words", np.uint32)
    if len(words) != n:
        raise ValueError(f"query_words must have {n} rows, as query_descriptors; got {len(words)}")
    fitting_bytes(descriptors, "query_descriptors", "")
    bounds = _check.array(max_distances, "max_distances", np.int32, ndim=1)
    if len(bounds) != n:
        raise ValueError(f"max_distances must have {n} entries, one a feature; got {len(bounds)}")
    pairs = [
        _candidate(pair, f"candidates[{i}]", "descriptors", dimensions)
        for i, pair in enumerate(candidates)
    ]
    return ShortlistMatches(
        *_core.match_shortlist(
            descriptors,
            words,
            bounds,
            pairs,
            _check.count(max_matches, "max_matches"),
            _check.threads(threads),
        )
    )


def match_signatures(
    query_words: ArrayLike,
    query_signatures: ArrayLike,
    candidates: Sequence[tuple[ArrayLike, ArrayLike]],
    max_distance: int,
    *,
    max_matches: int = 1000,
    threads: int | None = None,
) -> ShortlistMatches:
    """Match a photo with each of a shortlist, by the binary signatures of features [1]_.

    As `match_shortlist`, without descriptors: two features are compared if the candidate's word is
    one of those of the query's feature, by the signatures that both have for that word (see
    `trouvaille.words.HammingEmbedding`); they match if each is the other's nearest and near enough.

    Parameters
    ----------
    query_words : array_like of int, shape (n, k)
        Of each feature of the query its nearest words, distinct and not negative.
    query_signatures : array_like of uint8, shape (n, k, b)
        Its signature for each of these words, packed.
    candidates : sequence of (words, signatures)
        For each candidate its features' words, shape (m,), and signatures, shape (m, b) uint8.
    max_distance : int
        The greatest number of bits in which the signatures of a match differ.
    max_matches, threads
        As for `match_shortlist`.

    Returns
    -------
    ShortlistMatches
        A candidate's matches are in the order of the query's features; distances are in bits.

    Raises
    ------
    TypeError, ValueError
        If an argument has another shape or dtype, or the arrays do not fit together.

    References
    ----------
    .. [1] H. Jegou, M. Douze, C. Schmid, "Hamming embedding and weak geometric consistency for
       large scale image search", ECCV 2008.
    """
    words = _check.matrix(query_words, "query_words", np.uint32)
    signatures = _check.array(query_signatures, "query_signatures", np.uint8, ndim=3)
    if signatures.shape[:2] != words.shape:
        raise ValueError(
            f"query_signatures must have shape {(*words.shape, 'b')}, a row of bytes for each of "
            f"query_words; got {signatures.shape}"
        )
    width = signatures.shape[2]
    pairs = [
        _candidate(pair, f"candidates[{i}]", "signatures", width)
        for i, pair in enumerate(candidates)
    ]
    return ShortlistMatches(
        *_core.match_signatures(
            words,
            signatures.reshape(words.size, width),
            _check.count(max_distance, "max_distance", minimum=0, maximum=2**31 - 1),
            pairs,
            _check.count(max_matches, "max_matches"),
            _check.threads(threads),
        )
    )


def _candidate(
    pair: tuple[ArrayLike, ArrayLike], name: str, kind: str, width: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Return the words of a candidate's features, and their rows of so many bytes."""
    given_words, given_rows = pair
    words = _check.array(given_words, f"{name}: words", np.uint32, ndim=1)
    rows = _check.matrix(given_rows, f"{name}: {kind}", np.uint8, width)
    if len(words) != len(rows):
        raise ValueError(f"{name} has {len(words)} words for {len(rows)} {kind}")
    return words, rows


class WordMatches(NamedTuple):
    """Tentative matches of a query with each candidate, one candidate after the other.

    Attributes
    ----------
    matches : ndarray of int32, shape (t, 2)
        Pairs (query feature, candidate's feature), as `verify` takes them.
    weights : ndarray of float64, shape (t,)
        The weight of the word that the two share, as `verify` takes them.
    offsets : ndarray of int64, shape (c + 1,)
        Candidate i owns the rows ``offsets[i]`` to ``offsets[i + 1]``.
    """

    matches: NDArray[np.int32]
    weights: NDArray[np.float64]
    offsets: NDArray[np.int64]


def match_words(
    query_words: ArrayLike,
    candidate_words: ArrayLike,
    frame_offsets: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    max_matches_per_feature: int = 4,
    threads: int | None = None,
) -> WordMatches:
    """Match a photo with each of a shortlist by visual words alone.

    For an index that keeps words and frames, but no descriptors. Two features match if they share a
    word that few others have; what `verify` makes of the matches then decides.

    Parameters
    ----------
    query_words : array_like of int, shape (n, k)
        For each feature of the query its nearest words (multiple assignment), nearest first,
        distinct and not negative.
    candidate_words : array_like of int, shape (m,)
        The word of each feature of all candidates, one candidate after the other.
    frame_offsets : array_like of int64, shape (c + 1,)
        Candidate i owns the words ``frame_offsets[i]`` to ``frame_offsets[i + 1]``, as in `verify`.
    weights : array_like of float64, shape (n, k), optional
        What a match by each of `query_words` weighs, not negative: the word's idf, times
        ``exp(-distance / (2 * sigma**2))`` for soft assignment. By a weight of 0 nothing matches.
        1 by default.
    max_matches_per_feature : int
        No feature, of the query or of a candidate, is in more matches than that.
    threads : int, optional
        Worker threads; one per core by default.

    Returns
    -------
    WordMatches
        A candidate's matches are in the order of the query's features, each feature's heaviest
        first.

    Raises
    ------
    TypeError, ValueError
        If an argument has another shape or dtype, or the arrays do not fit together.

    Notes
    -----
    All features of a brick wall have the same few words, and each pair of them would be a match:
    25 million for 5,000 bricks, all but 5,000 wrong. With r for `max_matches_per_feature`:

    1. Of the query's features that have a word, the r of the greatest weight count (of equal
       weights, those that have it in an earlier column; what still ties at the cut is left out).
    2. A word that more than r features of the candidate have is passed over.
    3. A query feature takes the matches of its words, the word of the greatest weight first, for as
       long as they are at most r in all.

    So a burst gives no match rather than an arbitrary choice; `match_shortlist` can tell its
    features apart, by their descriptors. Time is linear in the numbers of features and words.

    Examples
    --------
    Word 7 is the second choice of the query's first feature, and a burst in the candidate's end:

    >>> found = match_words([[3, 7], [5, 8]], [7, 5, 8, 8, 8], [0, 3, 5], max_matches_per_feature=1)
    >>> found.matches
    array([[0, 0],
           [1, 1]], dtype=int32)
    >>> found.offsets
    array([0, 2, 2])
    """
    words = _check.matrix(query_words, "query_words", np.uint32)
    features = _check.array(candidate_words, "candidate_words", np.uint32, ndim=1)
    offsets = _check.offsets(frame_offsets, "frame_offsets", len(features), "words")
    if weights is None:
        word_weights = np.ones(words.shape)
    else:
        word_weights = _check.matrix(weights, "weights", np.float64)
        if word_weights.shape != words.shape:
            raise ValueError(
                f"weights must have the shape of query_words, {words.shape}, "
                f"got {word_weights.shape}"
            )
        if (word_weights < 0).any():
            raise ValueError(f"weights must not be negative, got {word_weights.min()}")
    return WordMatches(
        *_core.match_words(
            words,
            word_weights,
            features,
            offsets,
            _check.count(max_matches_per_feature, "max_matches_per_feature"),
            _check.threads(threads),
        )
    )
