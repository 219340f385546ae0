# SPDX-License-Identifier: Apache-2.0
"""Sparse vectors, or signatures by word, to ranked documents: inverted files of both."""

from .hamming_index import HammingIndex
from .inverted_file import InvertedFile
from .match_index import SignatureStats
from .match_kernels import ASMK, SMK
from .results import RangeDistances, RangeResult, SearchDistances, SearchResult, Stats

__all__ = [
    "ASMK",
    "SMK",
    "HammingIndex",
    "InvertedFile",
    "RangeDistances",
    "RangeResult",
    "SearchDistances",
    "SearchResult",
    "SignatureStats",
    "Stats",
]
