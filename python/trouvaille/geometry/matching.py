# SPDX-License-Identifier: Apache-2.0
"""Which features of two photos may be of the same spot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core


class ShortlistMatches(NamedTuple):
    """Tentative matches of a query with each candidate, one candidate after the other.

    Attributes
    ----------
    matches : ndarray of int32, shape (t, 2)
        Pairs (query feature, candidate's feature), as `verify` takes them.
    distances : ndarray of int32, shape (t,)
        Squared Euclidean distances of the descriptors.
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
    of 1,000 features and 20,000 words, ten words compare one pair in 2,000.

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
    if dimensions > _core.max_byte_dims:
        raise ValueError(
            f"query_descriptors has {dimensions} columns; distances between bytes fit 32 bits up "
            f"to {_core.max_byte_dims}"
        )
    bounds = _check.array(max_distances, "max_distances", np.int32, ndim=1)
    if len(bounds) != n:
        raise ValueError(f"max_distances must have {n} entries, one a feature; got {len(bounds)}")
    pairs = []
    for i, (candidate_words, rows) in enumerate(candidates):
        name = f"candidates[{i}]"
        row_words = _check.array(candidate_words, f"{name}: words", np.uint32, ndim=1)
        row_bytes = _check.matrix(rows, f"{name}: descriptors", np.uint8, dimensions)
        if len(row_words) != len(row_bytes):
            raise ValueError(f"{name} has {len(row_words)} words for {len(row_bytes)} descriptors")
        pairs.append((row_words, row_bytes))
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
