# SPDX-License-Identifier: Apache-2.0
"""Descriptors → visual words: learn them by k-means, find the nearest ones, keep them in a file."""

from ..neighbors import Neighbors
from .assignment import assign
from .kmeans import KMeans, Progress
from .vocabulary import Vocabulary

__all__ = ["KMeans", "Neighbors", "Progress", "Vocabulary", "assign"]
