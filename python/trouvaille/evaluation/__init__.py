# SPDX-License-Identifier: Apache-2.0
"""How good a result is: rankings against known answers, and local features against a homography.

Average precision by the Oxford protocol and files of known answers; repeatability and matching
score of region detectors by the protocol of Mikolajczyk et al.
"""

from __future__ import annotations

from .ground_truth import GroundTruth, Query
from .ranking import Ids, average_precision, mean_average_precision, precision_at
from .regions import MatchingScore, Repeatability, matching_score, repeatability

__all__ = [
    "GroundTruth",
    "Ids",
    "MatchingScore",
    "Query",
    "Repeatability",
    "average_precision",
    "matching_score",
    "mean_average_precision",
    "precision_at",
    "repeatability",
]
