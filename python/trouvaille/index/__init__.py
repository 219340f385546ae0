# SPDX-License-Identifier: Apache-2.0
"""Sparse vectors to ranked documents: an exact inverted file, for visual words and for text."""

from .inverted_file import InvertedFile
from .results import RangeDistances, RangeResult, SearchDistances, SearchResult, Stats

__all__ = [
    "InvertedFile",
    "RangeDistances",
    "RangeResult",
    "SearchDistances",
    "SearchResult",
    "Stats",
]
