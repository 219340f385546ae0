# SPDX-License-Identifier: Apache-2.0
"""Descriptors of a photo → one vector: bags of words, VLAD, Fisher vectors, and whitening."""

from .bag_of_words import BagOfWords
from .fisher_vector import FisherVector
from .gaussian_mixture import GaussianMixture
from .learned_whitening import LearnedWhitening
from .pca_whitening import PCAWhitening
from .vlad import VLAD

__all__ = [
    "VLAD",
    "BagOfWords",
    "FisherVector",
    "GaussianMixture",
    "LearnedWhitening",
    "PCAWhitening",
]
