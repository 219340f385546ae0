# SPDX-License-Identifier: Apache-2.0
"""Principal components, and whitening by what varies little among photos."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._array_file import ArrayFile
from ._projection import Projection, blocks, scatter

_COLUMNS = 1 << 12  # of a block in float64


class PCAWhitening(Projection):
    """Principal components of vectors, whitened.

    Words that come together in photos (a facade's windows) are counted as often as they come.
    Whitening makes what varies together count once, and is worth most where vectors are cut short
    [1]_. With the mean m, the directions of greatest variance U and the variances v along them:
    ``y = (x - m) U / v ** whitening_power``, divided by its length.

    Parameters
    ----------
    n_components : int, optional
        Directions to keep; by default all in which the vectors vary.
    whitening_power : float
        0.5 makes all variances 1; less leaves differences (0.25 is usual, too, for learned
        vectors [2]_); 0 is the projection alone.
    norm : {"l2", None}
        Whether rows get length 1 in the end.
    threads : int, optional
        One for each core by default.

    Attributes
    ----------
    mean_ : ndarray of float64, shape (n_dims,)
    components_ : ndarray of float32, shape (n_components, n_dims)
        Directions of length 1, that of the greatest variance first; each one's largest entry is
        positive.
    explained_variance_ : ndarray of float64, shape (n_components,)
        The variances along them, of n - 1 degrees of freedom.

    Notes
    -----
    Learned in float64 from the smaller of the two matrices of products, so a few hundred vectors of
    a hundred thousand numbers will do. Rows of zeros, photos without features, stay zeros.

    References
    ----------
    .. [1] H. Jégou, O. Chum, "Negative evidences and co-occurences in image retrieval: the benefit
       of PCA and whitening", ECCV 2012.
    .. [2] J. Revaud, J. Almazán, R. Rezende, C. de Souza, "Learning with average precision:
       training image retrieval with a listwise loss", ICCV 2019.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(100, 8)) * [8, 7, 6, 5, 4, 3, 2, 1]
    >>> whitened = PCAWhitening(4, norm=None).fit_transform(np.float32(X))
    >>> whitened.shape, float(whitened.std(axis=0).min().round(1))
    ((100, 4), 1.0)
    """

    _format = ArrayFile("pca_whitening", 1, "a whitening")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        whitening_power: float = 0.5,
        norm: str | None = "l2",
        threads: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.whitening_power = whitening_power
        self.norm = norm
        self.threads = threads

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn mean, directions and variances of the rows of `X`.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n, n_dims)
            Vectors of other photos than will be searched.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If `X` has the wrong type or shape, holds NaN or infinity, or varies in fewer directions
            than `n_components`.
        """
        X = _check.descriptors(X, "X")
        if X.size == 0:
            raise ValueError(f"X must have rows and columns to learn from, got shape {X.shape}")
        wanted = (
            None if self.n_components is None else _check.count(self.n_components, "n_components")
        )
        mean = X.mean(axis=0, dtype=np.float64)
        find = _from_rows if X.shape[0] <= X.shape[1] else _from_columns
        variances, directions = find(X, mean, wanted)
        if len(variances) < (wanted or 1):
            raise ValueError(
                f"X must vary in at least n_components={wanted or 1} directions, "
                f"it varies in {len(variances)}"
            )
        largest = np.abs(directions).argmax(axis=1)
        signs = np.sign(directions[np.arange(len(directions)), largest])
        self.mean_ = mean
        self.components_ = (directions * signs[:, None]).astype(np.float32, order="C")
        self.explained_variance_ = variances / max(len(X) - 1, 1)
        return self

    def fit_transform(self, X: ArrayLike, y: object = None) -> NDArray[np.float32]:
        """Return the rows of `X`, whitened, having learned from them; see `fit`."""
        return self.fit(X).transform(X)

    def _scales(self) -> NDArray[np.float64]:
        power = _check.between(self.whitening_power, "whitening_power", 0, 1)
        return self.explained_variance_**-power


Found = tuple[NDArray[np.float64], NDArray[np.float64]]


def _from_columns(X: NDArray[Any], mean: NDArray[np.float64], wanted: int | None) -> Found:
    """Return scatters, the greatest first, and the directions of them as rows."""
    scatters = scatter((rows - mean for rows in blocks(X)), X.shape[1])
    values, vectors = _positive(*np.linalg.eigh(scatters), max(X.shape), wanted)
    return values, vectors.T


def _from_rows(X: NDArray[Any], mean: NDArray[np.float64], wanted: int | None) -> Found:
    """Return the same from the products of rows: what eigenvectors of both share."""
    products = np.zeros((len(X), len(X)))
    columns = [slice(begin, begin + _COLUMNS) for begin in range(0, X.shape[1], _COLUMNS)]
    for block in columns:
        centered = X[:, block] - mean[block]
        products += centered @ centered.T
    values, vectors = _positive(*np.linalg.eigh(products), max(X.shape), wanted)
    scaled = (vectors / np.sqrt(values)).T
    directions = np.empty((len(values), X.shape[1]))
    for block in columns:
        directions[:, block] = scaled @ (X[:, block] - mean[block])
    return values, directions


def _positive(
    values: NDArray[np.float64], vectors: NDArray[np.float64], size: int, wanted: int | None
) -> Found:
    """Return the greatest eigenvalues that are not rounding alone, and their vectors."""
    values, vectors = values[::-1][:wanted], vectors[:, ::-1][:, :wanted]
    kept = values > max(values[0], 0) * size * np.finfo(np.float64).eps
    return values[kept], vectors[:, kept]
