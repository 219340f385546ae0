# SPDX-License-Identifier: Apache-2.0
"""Matched features -> verified images: which candidates show the query, and where."""

from .matching import (
    PairMatches,
    ShortlistMatches,
    match,
    match_shortlist,
)
from .verification import Verification, verify

__all__ = [
    "PairMatches",
    "ShortlistMatches",
    "Verification",
    "match",
    "match_shortlist",
    "verify",
]
