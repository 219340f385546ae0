# SPDX-License-Identifier: Apache-2.0
"""Matched features -> verified images: which candidates show the query, and where."""

from .drawing import draw_matches
from .estimation import Estimate, estimate
from .matching import PairMatches, match
from .photos import PhotoMatches, match_photos
from .shortlist_matching import (
    ShortlistMatches,
    WordMatches,
    match_shortlist,
    match_signatures,
    match_words,
)
from .verification import Verification, verify

__all__ = [
    "Estimate",
    "PairMatches",
    "PhotoMatches",
    "ShortlistMatches",
    "Verification",
    "WordMatches",
    "draw_matches",
    "estimate",
    "match",
    "match_photos",
    "match_shortlist",
    "match_signatures",
    "match_words",
    "verify",
]
