# SPDX-License-Identifier: Apache-2.0
"""Whitening by what differs between photos of the same thing."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._array_file import ArrayFile
from ._projection import Projection, blocks, scatter

_LEAST = 1e-37  # that float32 holds without loss, and its inverse


class LearnedWhitening(Projection):
    """Whitening learned from pairs of photos of the same thing.

    First the differences of matching vectors are made as large in all directions (what varies there
    is viewpoint and light), then the directions are kept in which all vectors vary most after that
    (which tell things apart) [1]_, [2]_.

    Parameters
    ----------
    n_components : int, optional
        Directions to keep; by default all.
    regularization : float
        So much of the mean variance of the differences is added to that of every direction. Without
        (0) there must be more pairs than dimensions.
    norm : {"l2", None}
        Whether rows get length 1 in the end.
    threads : int, optional
        One for each core by default.

    Attributes
    ----------
    mean_ : ndarray of float64, shape (n_dims,)
    components_ : ndarray of float32, shape (n_components, n_dims)
        What centred vectors are multiplied with: no directions of length 1.
    explained_variance_ : ndarray of float64, shape (n_components,)
        The variances along them of all vectors, where that of differences is 1.

    Notes
    -----
    Time is cubic in n_dims. Long vectors are best shortened before, by
    ``PCAWhitening(1024, whitening_power=0, norm=None)``, to fewer numbers than there are pairs.

    References
    ----------
    .. [1] K. Mikolajczyk, J. Matas, "Improving descriptors for fast tree matching by optimal linear
       projection", ICCV 2007.
    .. [2] F. Radenović, G. Tolias, O. Chum, "CNN image retrieval learns from BoW: unsupervised
       fine-tuning with hard examples", ECCV 2016.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> things, noise = rng.normal(size=(2, 50, 3)), [9, 1, 0.1]
    >>> X = np.concatenate([things[0], things[0] + things[1] * noise]).astype(np.float32)
    >>> pairs = np.stack([np.arange(50), np.arange(50, 100)], axis=1)
    >>> int(abs(LearnedWhitening(1).fit(X, pairs).components_[0]).argmax())
    2
    """

    _format = ArrayFile("learned_whitening", 1, "a learned whitening")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        regularization: float = 1e-3,
        norm: str | None = "l2",
        threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.regularization = regularization
        self.norm = norm
        self.threads = threads

    def fit(self, X: ArrayLike, pairs: ArrayLike) -> Self:
        """Learn from vectors, of which some show the same.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n, n_dims)
            Vectors of other photos than will be searched.
        pairs : array_like of int, shape (n_pairs, 2)
            Rows of `X` that show the same thing.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, `X` holds NaN or infinity, a pair names no
            row, or there are too few pairs that differ for so little regularization.
        """
        X = _check.descriptors(X, "X")
        pairs = _check.matrix(pairs, "pairs", np.int64, cols=2)
        if X.size == 0 or len(pairs) == 0:
            raise ValueError(f"X and pairs must not be empty, got {X.shape} and {pairs.shape}")
        if pairs.min() < 0 or pairs.max() >= len(X):
            raise ValueError(f"pairs must be of rows from 0 to {len(X) - 1} of X")
        n_dims = X.shape[1]
        most = n_dims if self.n_components is None else self.n_components
        most = _check.count(most, "n_components", maximum=n_dims)
        regularization = _check.number(self.regularization, "regularization")
        if not 0 <= regularization < np.inf:
            raise ValueError(f"regularization must not be negative, got {regularization}")
        mean = X.mean(axis=0, dtype=np.float64)
        with np.errstate(over="ignore"):
            whitening = _whitening_of_differences(X, pairs, regularization)
        evened = ((rows - mean) @ whitening.T for rows in blocks(X))
        values, vectors = np.linalg.eigh(scatter(evened, n_dims) / len(X))
        components = vectors[:, ::-1][:, :most].T @ whitening
        magnitudes = np.abs(components).max(axis=1)
        if not ((magnitudes > _LEAST) & (magnitudes < 1 / _LEAST)).all():
            raise ValueError(
                "pairs must differ by amounts between 1e-37 and 1e37, with what regularization "
                f"adds to them; what vectors are multiplied with would be {magnitudes.max():.2g}"
            )
        self.mean_ = mean
        self.components_ = components.astype(np.float32)
        self.explained_variance_ = np.maximum(values[::-1][:most], np.finfo(np.float64).tiny)
        return self

    def _scales(self) -> NDArray[np.float64]:
        return np.ones(len(self.components_))


def _whitening_of_differences(
    X: NDArray[Any], pairs: NDArray[np.int64], regularization: float
) -> NDArray[np.float64]:
    """Return the matrix that makes their scatter the identity: the inverse of a Cholesky factor."""
    n_dims = X.shape[1]
    differences = (X[some[:, 0]].astype(np.float64) - X[some[:, 1]] for some in blocks(pairs))
    variances = scatter(differences, n_dims) / len(pairs)
    mean = np.trace(variances) / n_dims
    variances[np.diag_indices_from(variances)] += regularization * mean
    try:
        factor = np.linalg.cholesky(variances)
        smallest = np.diagonal(factor).min() ** 2
        if smallest <= mean * n_dims * np.finfo(np.float64).eps:
            raise np.linalg.LinAlgError
    except np.linalg.LinAlgError:
        raise ValueError(
            "pairs must differ in as many directions as X has columns, or regularization must be "
            f"greater; got {len(pairs)} pairs, {n_dims} columns"
        ) from None
    return np.linalg.inv(factor)
