# SPDX-License-Identifier: Apache-2.0
"""What all encoders share: photos in, one vector a photo out."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import _check
from .._photos import Photos
from ._estimator import Arrays, Estimator
from ._images import Images
from .pca_whitening import PCAWhitening

Vectors = NDArray[np.float32]


class Encoder(Estimator):
    """Descriptors of photos → one vector a photo."""

    random_state: int
    threads: int | None
    max_descriptors: int | None
    pca: int | None
    pca_: PCAWhitening | None

    # ---- what an encoder defines

    @abstractmethod
    def _size(self) -> int:
        """Return the length of a vector; a ValueError if nothing was learned."""

    @abstractmethod
    def _n_dims(self) -> int:
        """Return the length of a descriptor; a ValueError if nothing was learned."""

    @abstractmethod
    def _learn(self, X: Photos) -> None:
        """Learn from descriptors of photos; may fail when some attributes are set."""

    @abstractmethod
    def _encode(self, values: NDArray[Any], offsets: NDArray[np.int64], threads: int) -> Vectors:
        """Return the vectors of a block of photos."""

    # ---- what they share

    def transform(self, X: Photos) -> Vectors:
        """Return the vectors of photos.

        Parameters
        ----------
        X : sequence of array_like, shape (n_i, n_dims), or (values, offsets)
            Descriptors, one array a photo; or all in one array, of which photo i has rows
            offsets[i] to offsets[i + 1].

        Returns
        -------
        ndarray of float32, shape (n_photos, size)
            A photo without features has a vector of zeros.

        Raises
        ------
        TypeError, ValueError
            If `X` has the wrong type or shape, holds NaN or infinity, or its descriptors are not of
            the length of those that were learned from; or if nothing was learned.
        """
        size = self._size()
        images = Images(X, self._n_dims())
        threads = _check.threads(self.threads)
        vectors: Vectors | None = None
        for begin, values, offsets in images.blocks():
            of_block = self._encode(values, offsets, threads) if len(values) else 0
            if isinstance(of_block, np.ndarray) and len(of_block) == len(images):
                return of_block  # nothing is to be put together
            if vectors is None:
                vectors = np.zeros((len(images), size), np.float32)
            vectors[begin : begin + len(offsets) - 1] = of_block
        return np.zeros((len(images), size), np.float32) if vectors is None else vectors

    def fit_transform(self, X: Photos, y: object = None) -> Vectors:
        """Return the vectors of photos, having learned from them; see `fit` and `transform`."""
        return self.fit(X).transform(X)

    @abstractmethod
    def fit(self, X: Photos, y: object = None) -> Self:
        """Learn from descriptors of photos."""

    def _fit(self, X: Photos) -> Self:
        """Learn all that there is, or leave everything as it was."""
        learning = copy(self)
        learning._learn(X)
        vars(self).update(vars(learning))
        return self

    def _sample(self, X: Photos, default: int) -> tuple[NDArray[Any], int]:
        """Return descriptors to learn from, after the PCA, which is learned first; and threads."""
        threads = _check.threads(self.threads)
        most = default if self.max_descriptors is None else self.max_descriptors
        most = _check.count(most, "max_descriptors", maximum=2**63 - 1)
        sample = Images(X).sample(most, _check.seed(self.random_state))
        self.pca_ = None
        if self.pca is not None:
            n_components = _check.count(self.pca, "pca", maximum=sample.shape[1])
            pca = PCAWhitening(n_components, whitening_power=0, norm=None, threads=threads)
            self.pca_ = pca.fit(sample)
        return self._reduced(sample), threads

    def _reduced(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.pca_ is None else self.pca_._projected(values, zeros_stay=False)

    def _pca_arrays(self) -> Arrays:
        if self.pca_ is None:
            return {}
        return {f"pca_{name}": array for name, array in self.pca_._learned().items()}

    def _take_pca(self, arrays: Arrays) -> Arrays:
        """Take what `_pca_arrays` gave, and return the others."""
        of_pca = {name[4:]: array for name, array in arrays.items() if name.startswith("pca_")}
        self.pca_ = None
        if of_pca:
            self.pca_ = PCAWhitening(whitening_power=0, norm=None, threads=self.threads)
            self.pca_._take(of_pca)
        return {name: array for name, array in arrays.items() if not name.startswith("pca_")}
