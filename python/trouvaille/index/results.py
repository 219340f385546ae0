# SPDX-License-Identifier: Apache-2.0
"""What an inverted file answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SearchResult(NamedTuple):
    """What `InvertedFile.search` found, best first."""

    scores: NDArray[np.float64]
    """Shape (n_queries, k); higher is better, -infinity where there is no document."""
    ids: NDArray[np.int64]
    """Shape (n_queries, k); -1 where there is no document."""


class SearchDistances(NamedTuple):
    """What `InvertedFile.search` found with the metric "lp", best first."""

    distances: NDArray[np.float64]
    """Shape (n_queries, k); smaller is better, infinity where there is no document."""
    ids: NDArray[np.int64]
    """Shape (n_queries, k); -1 where there is no document."""


class RangeResult(NamedTuple):
    """What `InvertedFile.range_search` found: query i has ``offsets[i]`` to ``offsets[i + 1]``."""

    offsets: NDArray[np.int64]
    """Shape (n_queries + 1,)."""
    scores: NDArray[np.float64]
    """Shape (offsets[-1],); each query's from the highest to the lowest."""
    ids: NDArray[np.int64]
    """Shape (offsets[-1],)."""


class RangeDistances(NamedTuple):
    """What `InvertedFile.range_search` found with "lp": query i has ``offsets[i]`` onwards."""

    offsets: NDArray[np.int64]
    """Shape (n_queries + 1,)."""
    distances: NDArray[np.float64]
    """Shape (offsets[-1],); each query's from the smallest to the largest."""
    ids: NDArray[np.int64]
    """Shape (offsets[-1],)."""


@dataclass(frozen=True, eq=False)
class Stats:
    """How large an inverted file is, and of what.

    Attributes
    ----------
    n_documents : int
        Documents that can be found.
    n_removed : int
        Removed ones that still take space; `InvertedFile.optimize` frees it.
    num_words : int
        Columns.
    n_postings : int
        Pairs of a document that can be found and a word of it.
    postings_bytes : int
        Of the compressed lists with their directories, in memory or mapped.
    bytes_a_posting : float
        ``postings_bytes / n_postings``; 0 where there are none.
    forward_bytes : int
        Of the forward view, which `InvertedFile.document` reads; 0 without it.
    longest_list : int
        Documents of the most frequent word.
    n_blocks : int
        Parts the documents are divided into, of 65,536 at most.
    document_frequencies : ndarray of int64, shape (num_words,)
        How many documents have each word.
    """

    n_documents: int
    n_removed: int
    num_words: int
    n_postings: int
    postings_bytes: int
    bytes_a_posting: float
    forward_bytes: int
    longest_list: int
    n_blocks: int
    document_frequencies: NDArray[np.int64]
