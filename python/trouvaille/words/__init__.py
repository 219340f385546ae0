# SPDX-License-Identifier: Apache-2.0
"""Descriptors → visual words: learn them by k-means, find the nearest ones, keep them in a file."""

from ..neighbors import Neighbors
from ._cost import Cost
from ._neighborhoods import neighborhood_means
from .assignment import SoftWords, assign
from .hamming_embedding import HammingEmbedding
from .importers import ColmapVocabulary, from_colmap, from_dbow, from_fbow
from .kmeans import KMeans, Progress
from .ready import has_ready_vocabulary, ready_vocabulary
from .vocabulary import Vocabulary
from .vocabulary_tree import VocabularyTree

__all__ = [
    "ColmapVocabulary",
    "Cost",
    "HammingEmbedding",
    "KMeans",
    "Neighbors",
    "Progress",
    "SoftWords",
    "Vocabulary",
    "VocabularyTree",
    "assign",
    "from_colmap",
    "from_dbow",
    "from_fbow",
    "has_ready_vocabulary",
    "neighborhood_means",
    "ready_vocabulary",
]
