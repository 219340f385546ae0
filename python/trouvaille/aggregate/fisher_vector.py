# SPDX-License-Identifier: Apache-2.0
"""Fisher vectors: how descriptors would have a mixture of Gaussians changed."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from .._photos import Photos
from ._encoder import Encoder, Vectors
from ._estimator import Arrays, chosen
from .gaussian_mixture import GaussianMixture
from .vlad import checked_power

_PER_COMPONENT = 1000  # descriptors to learn from


class FisherVector(Encoder):
    """Fisher vectors [1]_: how a photo's descriptors would have a mixture of Gaussians changed.

    With T descriptors x, the posterior p of component k given x, and
    ``z = (x - mean) / deviation``: for all components ``sum(p z) / (T sqrt(w))``, then for all
    ``sum(p (z**2 - 1)) / (T sqrt(2 w))``. So 2 K D numbers, without the K of the weights, which add
    nothing.

    Parameters
    ----------
    mixture : int, GaussianMixture, or any other with diagonal covariances
        How many Gaussians to learn, or the mixture: anything with `weights_`, `means_` and
        `covariances_`, as scikit-learn's of ``covariance_type="diag"``. One of this package that
        was not fitted is.
    power : float
        Magnitudes are raised to it, above 0 and at most 1.
    norm : {"l2", None}
        Whether the vector gets length 1 in the end.
    pca : int, optional
        Descriptors are reduced to so many principal components first, which are learned together
        with the mixture: their covariances are nearly diagonal then, and 64 of SIFT's 128 do [2]_.
    max_descriptors : int, optional
        Learn from at most so many, drawn at random; by default 1000 a Gaussian.
    random_state : int
        Seed of that sample, and of the mixture.
    threads : int, optional
        One for each core by default. Vectors do not depend on it.

    Attributes
    ----------
    mixture_ : GaussianMixture
    pca_ : PCAWhitening or None

    Notes
    -----
    Where a mixture is given, and no `pca`, there is nothing to learn: `transform` does without
    `fit`. Log densities are float64 sums; where the mixture is large, and its Gaussians are not
    far from each other beside their width, what is added up to them, posteriors and products of a
    few dozen rows are float32. Numbers are within 1e-5 of the formula's, mostly within 3e-6, of a
    vector of length 1, before the power; within 2e-5 after a root. Vectors are the same bits for
    any number of threads, on every processor, and in any batch.

    scikit-image's `fisher_vector` has K numbers for the weights in front, and the last K D of the
    opposite sign.

    References
    ----------
    .. [1] J. Sánchez, F. Perronnin, T. Mensink, J. Verbeek, "Image classification with the Fisher
       vector: theory and practice", IJCV 2013.
    .. [2] H. Jégou, F. Perronnin, M. Douze, J. Sánchez, P. Pérez, C. Schmid, "Aggregating local
       image descriptors into compact codes", PAMI 2012.

    Examples
    --------
    >>> mixture = GaussianMixture.from_parameters([1], [[0, 0]], [[1, 4]])
    >>> FisherVector(mixture, power=1, norm=None).transform([np.float32([[1, 2], [1, 0]])]).round(3)
    array([[ 1.   ,  0.5  ,  0.   , -0.354]], dtype=float32)
    """

    _format = ArrayFile("fisher_vector", 1, "a Fisher vector encoder")

    _models = (GaussianMixture,)

    mixture_: GaussianMixture

    def __init__(
        self,
        mixture: Any = 64,
        *,
        power: float = 0.5,
        norm: str | None = "l2",
        pca: int | None = None,
        max_descriptors: int | None = None,
        random_state: int = 0,
        threads: int | None = None,
    ) -> None:
        self.mixture = mixture
        self.power = power
        self.norm = norm
        self.pca = pca
        self.max_descriptors = max_descriptors
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: Photos, y: object = None) -> Self:
        """Learn from descriptors of photos: the mixture, where it is not given, and the PCA.

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
            distinct ones than Gaussians; or if an argument of the constructor is out of range.
        """
        return self._fit(X)

    def _learn(self, X: Photos) -> None:
        mixture = _given(self.mixture)
        model = self._model() if mixture is None else mixture
        n_components = model.n_components
        sample, _ = self._sample(X, _PER_COMPONENT * _check.count(n_components, "n_components"))
        if mixture is None:
            model.fit(sample)
        elif model.means_.shape[1] != sample.shape[1]:
            raise ValueError(
                f"mixture must have the {sample.shape[1]} columns of X, "
                f"its means have shape {model.means_.shape}"
            )
        self.mixture_ = model

    def _model(self) -> GaussianMixture:
        """Return what is to be fitted."""
        if isinstance(self.mixture, GaussianMixture):
            return GaussianMixture(**self.mixture.get_params())
        n_components = _check.count(self.mixture, "mixture")
        return GaussianMixture(n_components, random_state=self.random_state, threads=self.threads)

    def _current(self) -> GaussianMixture:
        if hasattr(self, "mixture_"):
            return self.mixture_
        mixture = _given(self.mixture)
        if mixture is None or self.pca is not None:
            raise self._nothing_learned()
        self.pca_ = None
        return mixture

    def _size(self) -> int:
        return 2 * self._current().means_.size

    def _n_dims(self) -> int:
        n_dims = self._current().means_.shape[1]
        return n_dims if self.pca_ is None else len(self.pca_.mean_)

    def _encode(self, values: NDArray[Any], offsets: NDArray[np.int64], threads: int) -> Vectors:
        mixture = self._current()
        return _core.fisher_vectors(
            self._reduced(values),
            offsets,
            mixture.weights_,
            mixture.means_,
            mixture.covariances_,
            checked_power(self.power),
            chosen(self.norm, "norm", ("l2", None)) == "l2",
            threads,
        )

    def _learned(self) -> Arrays:
        return {**self._current()._learned(), **self._pca_arrays()}

    def _take(self, arrays: Arrays) -> None:
        arrays = self._take_pca(arrays)
        mixture = GaussianMixture()
        mixture._take(arrays)
        mixture.n_components = len(mixture.weights_)
        if self.pca_ is not None and mixture.means_.shape[1] != len(self.pca_.components_):
            raise ValueError("the mixture must have as many columns as the PCA has components")
        self.mixture_ = mixture
        if self.mixture is None:  # it was given
            self.mixture = mixture


def _given(mixture: Any) -> GaussianMixture | None:
    """Return a mixture that is there already, or None where it must be learned."""
    if isinstance(mixture, GaussianMixture):
        return mixture if hasattr(mixture, "weights_") else None
    learned: list[Any] = [
        getattr(mixture, name, None) for name in ("weights_", "means_", "covariances_")
    ]
    if all(array is not None for array in learned):
        kind = getattr(mixture, "covariance_type", "diag")
        if kind != "diag":  # a "tied" one may be of the shape of the means
            raise ValueError(f"mixture must have covariance_type='diag', got {kind!r}")
        return GaussianMixture.from_parameters(*learned)
    if hasattr(mixture, "fit"):
        raise ValueError("mixture must be fitted, or one of trouvaille.aggregate")
    return None
