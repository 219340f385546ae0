# SPDX-License-Identifier: Apache-2.0
"""Matched features -> verified images: which candidates show the query, and where."""

from .matching import (
    PairMatches,
    ShortlistMatches,
    WordMatches,
    match,
    match_shortlist,
    match_words,
)
from .verification import Verification, verify

__all__ = [
    "PairMatches",
    "ShortlistMatches",
    "Verification",
    "WordMatches",
    "match",
    "match_shortlist",
    "match_words",
    "verify",
]
