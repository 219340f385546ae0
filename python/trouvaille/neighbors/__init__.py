# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbours: exact, and faster ones that are nearly so."""

from ._trial import Trial
from .autotune import Tuned, autotune
from .exact import Exact
from .faiss_indexes import from_faiss, to_faiss
from .formats import read_vectors, write_vectors
from .graph import Graph
from .hamming import Hamming
from .kd_forest import KDForest
from .kmeans_tree import KMeansTree
from .lsh import LSH
from .results import Neighbors, RadiusNeighbors, Stats

__all__ = [
    "LSH",
    "Exact",
    "Graph",
    "Hamming",
    "KDForest",
    "KMeansTree",
    "Neighbors",
    "RadiusNeighbors",
    "Stats",
    "Trial",
    "Tuned",
    "autotune",
    "from_faiss",
    "read_vectors",
    "to_faiss",
    "write_vectors",
]
