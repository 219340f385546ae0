# SPDX-License-Identifier: Apache-2.0
"""A mixture of Gaussians with diagonal covariances, learned by expectation-maximisation."""

from __future__ import annotations

from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from ..words import KMeans, assign
from ._estimator import Arrays, Estimator, expect

_PART, _PARTS = 1 << 11, 32  # rows that are summed apart from others, and how many such at a time
_LEAST_WEIGHT, _LEAST_SHARE = 1e-10, 1e-37  # of what is learned, and of what is given
_FROM_ONE = 1e-9  # what rounding leaves of a sum of weights is far below
_LEAST_VARIANCE, _MOST_VARIANCE, _MOST = 1e-37, 1e77, float(np.finfo(np.float32).max)

Floats = NDArray[np.float64]


class GaussianMixture(Estimator):
    """A mixture of Gaussians with diagonal covariances, in the style of scikit-learn.

    Parameters
    ----------
    n_components : int
        Gaussians.
    iterations : int
        At most so many rounds of expectation-maximisation.
    tol : float
        The rounds end where the mean log-likelihood changes by less.
    variance_floor : float
        No variance becomes less than this share of that of all points in its dimension.
    random_state : int
        Seed of the words that the means begin as.
    threads : int, optional
        One for each core by default. The result does not depend on it.

    Attributes
    ----------
    weights_ : ndarray of float64, shape (n_components,)
        Of sum 1.
    means_, covariances_ : ndarray of float64, shape (n_components, n_dims)
        The latter are the variances.
    lower_bound_ : float
        The mean of log p(x) over the points in the last round's expectation.
    n_iter_ : int
        Rounds that were run.
    converged_ : bool

    Notes
    -----
    Begins at k-means' centres, all with the variances around them. Points may be bytes, and a
    mapped file: a block of rows is read at a time, and squares are of differences from the means,
    in float64, so that nothing is lost to large means. A Gaussian that loses all points stays where
    it is, at a weight of 1e-10.

    References
    ----------
    .. [1] A. Dempster, N. Laird, D. Rubin, "Maximum likelihood from incomplete data via the EM
       algorithm", Journal of the Royal Statistical Society B 39(1), 1977.

    Examples
    --------
    >>> X = np.float32([[0, 1], [1, 0], [10, 11], [11, 10], [10, 10]])
    >>> GaussianMixture(2).fit(X).weights_.round(2)
    array([0.6, 0.4])
    """

    _format = ArrayFile("gaussian_mixture", 1, "a mixture of Gaussians")

    weights_: Floats
    means_: Floats
    covariances_: Floats
    lower_bound_: float
    n_iter_: int
    converged_: bool

    def __init__(
        self,
        n_components: int = 64,
        *,
        iterations: int = 100,
        tol: float = 1e-3,
        variance_floor: float = 1e-3,
        random_state: int = 0,
        threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.iterations = iterations
        self.tol = tol
        self.variance_floor = variance_floor
        self.random_state = random_state
        self.threads = threads

    @classmethod
    def from_parameters(cls, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> Self:
        """Return a mixture that was learned elsewhere.

        Parameters
        ----------
        weights : array_like, shape (n_components,)
            Positive, none less than 1e-37 of their sum, by which they are divided.
        means, covariances : array_like, shape (n_components, n_dims)
            The latter are variances, positive.

        Raises
        ------
        TypeError, ValueError
            If an array has a wrong type, shape or value.
        """
        weights = _check.array(weights, "weights", np.float64, ndim=1)
        means = _check.array(means, "means", np.float64, ndim=2)
        covariances = _check.array(covariances, "covariances", np.float64)
        if 0 in means.shape or len(weights) != len(means):
            raise ValueError(
                f"weights and means must be of as many components, one or more, got shapes "
                f"{weights.shape} and {means.shape}"
            )
        if covariances.shape != means.shape:
            raise ValueError(
                f"covariances must be variances, of the shape {means.shape} of the means, "
                f"got {covariances.shape}"
            )
        if not (weights > 0).all():
            raise ValueError(f"weights must be positive, got {weights.min()}")
        with np.errstate(over="ignore"):
            total = weights.sum()
        shares = weights / total
        if not (shares >= _LEAST_SHARE).all():
            raise ValueError(
                f"weights must be finite in sum, and each at least {_LEAST_SHARE} of their sum, "
                f"got {weights.min()} of {total}"
            )
        if not (covariances >= _LEAST_VARIANCE).all():
            raise ValueError(
                f"covariances must be at least {_LEAST_VARIANCE}, got {covariances.min()}"
            )
        if covariances.max() > _MOST_VARIANCE or np.abs(means).max() > _MOST:
            raise ValueError(
                f"means must be within {_MOST:.2g} and covariances at most {_MOST_VARIANCE}"
            )
        mixture = cls(len(weights))
        mixture.weights_, mixture.means_ = shares, means
        mixture.covariances_ = covariances
        return mixture

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn the mixture of points.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n, n_dims)
            Points.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If `X` has the wrong type or shape, holds NaN or infinity, has fewer distinct points
            than `n_components`, or all are equal; or if an argument is out of range.
        """
        X = _check.descriptors(X, "X")
        iterations = _check.count(self.iterations, "iterations")
        tol = _check.between(self.tol, "tol", 0, np.inf)
        share = _check.between(self.variance_floor, "variance_floor", 0, 1)
        threads = _check.threads(self.threads)
        floor = _least_variances(X, share)
        learning = copy(self)  # so that one that is interrupted does not look learned
        learning._begin(X, floor, threads)
        learning.converged_, likelihood = False, -np.inf
        for done in range(1, iterations + 1):
            previous, likelihood = likelihood, learning._round(X, floor, threads)
            learning.n_iter_ = done
            if abs(likelihood - previous) < tol:
                learning.converged_ = True
                break
        learning.lower_bound_ = likelihood
        vars(self).update(vars(learning))
        return self

    def _begin(self, X: NDArray[Any], floor: Floats, threads: int) -> None:
        """Begin at the centres of k-means, with the variances around them."""
        n_components = _check.count(self.n_components, "n_components")
        seed = _check.seed(self.random_state)
        centers = KMeans(n_components, random_state=seed, threads=threads).fit(X).cluster_centers_
        ids = assign(X, centers, threads=threads).ids[:, 0]
        squares = np.zeros(X.shape[1])
        for rows in _blocks(len(X)):
            squares += np.square(X[rows] - centers[ids[rows]].astype(np.float64)).sum(axis=0)
        weights = np.maximum(np.bincount(ids, minlength=n_components) / len(X), _LEAST_WEIGHT)
        self.weights_ = weights / weights.sum()
        self.means_ = centers.astype(np.float64)
        self.covariances_ = np.tile(np.maximum(squares / len(X), floor), (n_components, 1))

    def _round(self, X: NDArray[Any], floor: Floats, threads: int) -> float:
        """Take one step, and return the mean log-likelihood before it."""
        posteriors, first, second, likelihood = self._expectation(X, threads)
        met = posteriors > _LEAST_WEIGHT * len(X)
        with np.errstate(divide="ignore", invalid="ignore"):
            shift, spread = first / posteriors[:, None], second / posteriors[:, None]
        deviations = np.sqrt(self.covariances_)
        means = self.means_ + deviations * shift
        variances = np.maximum(self.covariances_ * (spread - np.square(shift)), floor)
        self.means_ = np.where(met[:, None], means, self.means_)
        self.covariances_ = np.where(met[:, None], variances, self.covariances_)
        weights = np.maximum(posteriors / len(X), _LEAST_WEIGHT)
        self.weights_ = weights / weights.sum()
        return likelihood / len(X)

    def _expectation(self, X: NDArray[Any], threads: int) -> tuple[Floats, Floats, Floats, float]:
        """Return the sums of posteriors, of those times z and z^2, and of log p; z is (x - m) / s.

        Parts of the rows are summed apart, and then one after the other, whoever did them.
        """
        n_components, n_dims = self.means_.shape
        total, likelihood = np.zeros(n_components * (1 + 2 * n_dims)), 0.0
        for rows in _blocks(len(X)):
            block = np.ascontiguousarray(X[rows])
            offsets = np.append(np.arange(0, len(block), _PART), len(block)).astype(np.int64)
            sums, likelihoods = _core.mixture_sums(
                block, offsets, self.weights_, self.means_, self.covariances_, threads
            )
            total += sums.sum(axis=0)
            likelihood += float(likelihoods.sum())
        posteriors, first, second = np.split(total, [n_components, n_components * (1 + n_dims)])
        return posteriors, first.reshape(-1, n_dims), second.reshape(-1, n_dims), likelihood

    def _learned(self) -> Arrays:
        if not hasattr(self, "weights_"):
            raise self._nothing_learned()
        return {
            "weights": self.weights_,
            "means": self.means_,
            "covariances": self.covariances_,
        }

    def _take(self, arrays: Arrays) -> None:
        expect(arrays, "weights", "means", "covariances")
        if any(array.dtype != np.float64 for array in arrays.values()):
            raise ValueError("weights, means and covariances must be float64")
        mixture = self.from_parameters(**arrays)
        self.weights_ = arrays["weights"]  # to divide them by their sum again would round them
        if abs(self.weights_.sum() - 1) > _FROM_ONE:
            raise ValueError("weights must be of sum 1")
        self.means_, self.covariances_ = mixture.means_, mixture.covariances_


def _blocks(n: int) -> list[slice]:
    step = _PART * _PARTS
    return [slice(begin, begin + step) for begin in range(0, n, step)]


def _least_variances(X: NDArray[Any], share: float) -> Floats:
    """Return the least variance in each dimension: a share of that of all points."""
    if X.size == 0:
        raise ValueError(f"X must have rows and columns to learn from, got shape {X.shape}")
    mean, squares = X.mean(axis=0, dtype=np.float64), np.zeros(X.shape[1])
    for rows in _blocks(len(X)):
        squares += np.square(X[rows] - mean).sum(axis=0)
    variances = squares / len(X)
    if not _LEAST_VARIANCE < variances.mean() < _MOST_VARIANCE:
        raise ValueError(f"X must be of points that vary, their variance is {variances.mean()}")
    # A dimension in which all are equal has the mean's.
    floor = share * np.where(variances > 0, variances, variances.mean())
    return np.maximum(floor, max(_LEAST_VARIANCE, 1e-9 * variances.mean()))
