# SPDX-License-Identifier: Apache-2.0
"""Encoders by visual words: where the words come from, and which of them a descriptor has."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._photos import Photos
from ..words import KMeans, Vocabulary, assign
from ..words.assignment import kernel_scale
from ._encoder import Encoder
from ._estimator import Arrays, expect

Words = int | Vocabulary | KMeans | ArrayLike

_PER_WORD = 256  # descriptors to learn from, as Vocabulary.from_descriptors has them


class WordEncoder(Encoder):
    """An encoder whose vectors are made of the nearest words of descriptors."""

    words: Words | None
    assignments: int
    sigma: float | None
    words_: NDArray[Any]
    sigma_: float

    _models = (KMeans,)

    def fit(self, X: Photos, y: object = None) -> Self:
        """Learn from descriptors of photos: the words, where they are not given, and the rest.

        Parameters
        ----------
        X : sequence of array_like, shape (n_i, n_dims), or (values, offsets)
            As in `transform`: descriptors of other photos than will be searched.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If `X` has the wrong type or shape, holds NaN or infinity, has no descriptors, or fewer
            distinct ones than words; or if an argument of the constructor is out of range.
        """
        return self._fit(X)

    def _learn(self, X: Photos) -> None:
        sample, threads = self._sample(X, _PER_WORD * _number_of(self.words))
        words = given_words(self.words)
        if words is None:
            model = _model(self.words, _check.seed(self.random_state), threads)
            words = model.fit(sample).cluster_centers_
        elif words.shape[1] != sample.shape[1]:
            raise ValueError(
                f"words must have the {sample.shape[1]} columns of X, got shape {words.shape}"
            )
        nearest = assign(sample, words, threads=threads)
        mean = float(nearest.distances.mean(dtype=np.float64))
        if mean == np.inf:
            raise ValueError("X must be within 1.8e+19 of the nearest words, or distances overflow")
        self.words_ = words
        self.sigma_ = float(np.sqrt(mean / sample.shape[1]))

    def _current_words(self) -> NDArray[Any]:
        """Return the words that were learned, or those that were given, where that is enough."""
        if hasattr(self, "words_"):
            return self.words_
        words = given_words(self.words)
        if words is None or self.pca is not None:
            raise self._nothing_learned()
        self.pca_ = None
        return words

    def _n_dims(self) -> int:
        words = self._current_words()
        return words.shape[1] if self.pca_ is None else len(self.pca_.mean_)

    def _assigned(
        self, values: NDArray[Any], words: NDArray[Any], threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the nearest words of descriptors, and how much each counts: no columns if 1."""
        k = self._assignments(words)
        nearest = assign(values, words, k, threads=threads)
        if k == 1:
            return nearest.ids, np.empty((len(values), 0), np.float32)
        weights = _core.soft_weights(nearest.distances, self._scale(), threads)
        return nearest.ids, weights

    def _assignments(self, words: NDArray[Any]) -> int:
        return min(_check.count(self.assignments, "assignments"), len(words))

    def _scale(self) -> float:
        """Return what squared distances are multiplied with in the exponent."""
        if self.sigma is not None:
            return kernel_scale(_check.positive(self.sigma, "sigma"))
        if not hasattr(self, "sigma_"):
            raise ValueError("sigma must be given with assignments > 1, or learned: call fit first")
        return kernel_scale(self.sigma_)

    def _learned(self) -> Arrays:
        arrays = {"words": self._current_words(), **self._pca_arrays()}
        if hasattr(self, "sigma_"):  # or the words were given, and are all that there is
            arrays["sigma"] = np.array([self.sigma_])
        return arrays

    def _take(self, arrays: Arrays) -> None:
        arrays = self._take_pca(arrays)
        expect(arrays, "words", *(["sigma"] if "sigma" in arrays else []))
        words, sigma = arrays["words"], arrays.get("sigma")
        if words.ndim != 2 or 0 in words.shape or words.dtype == np.float64:
            raise ValueError("words must be rows of bytes or float32")
        if sigma is not None and (sigma.shape != (1,) or sigma[0] < 0):
            raise ValueError("sigma must be one number")
        if self.pca_ is not None and words.shape[1] != len(self.pca_.components_):
            raise ValueError("words must have as many columns as the PCA has components")
        self.words_ = words
        if sigma is not None:
            self.sigma_ = float(sigma[0])
        if self.words is None:  # they were given
            self.words = words


def given_words(words: Any) -> NDArray[Any] | None:
    """Return words that are there already, or None where they must be learned."""
    if isinstance(words, Vocabulary):
        return words.words
    if isinstance(words, KMeans):
        if words.metric != "l2":
            raise ValueError(
                f"words must be a KMeans of metric='l2', got {words.metric!r}: the nearest words "
                "are Euclidean. Give RootSIFT, as features.sift has it, to a KMeans of metric='l2' "
                "and to this encoder"
            )
        return getattr(words, "cluster_centers_", None)
    if words is None:
        raise TypeError("words must be a number, a Vocabulary, a KMeans or an array, got None")
    if _check.as_array(words, "words").ndim == 0:
        return None
    array = _check.descriptors(words, "words")
    if array.size == 0:
        raise ValueError(f"words must hold at least one word, got shape {array.shape}")
    return array


def _number_of(words: Any) -> int:
    if isinstance(words, KMeans):
        return _check.count(words.num_words, "num_words")
    given = given_words(words)
    return _check.count(words, "words") if given is None else len(given)


def _model(words: Any, random_state: int, threads: int) -> KMeans:
    if isinstance(words, KMeans):
        return KMeans(**words.get_params())
    return KMeans(_check.count(words, "words"), random_state=random_state, threads=threads)
