# SPDX-License-Identifier: Apache-2.0
"""Matched features -> verified images: which candidates show the query, and where."""

from .matching import ShortlistMatches, match_shortlist
from .verification import Verification, verify

__all__ = ["ShortlistMatches", "Verification", "match_shortlist", "verify"]
