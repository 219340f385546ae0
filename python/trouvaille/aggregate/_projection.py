# SPDX-License-Identifier: Apache-2.0
"""Vectors, centred and multiplied by what was learned."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from ._estimator import Arrays, Estimator, chosen, expect

_ROWS = 1 << 13  # of a block in float64


class Projection(Estimator):
    """Vectors → fewer numbers each: ``(x - mean) @ components.T * scales``.

    Of length 1 if that is asked for.
    """

    norm: str | None
    threads: int | None
    mean_: NDArray[np.float64]
    components_: NDArray[np.float32]
    explained_variance_: NDArray[np.float64]

    @abstractmethod
    def _scales(self) -> NDArray[np.float64]:
        """Return what is multiplied with after `components_`, shape (n_components,)."""

    def learned_mean_and_weights(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return what is subtracted and what is multiplied with, (n_dims, n_components)."""
        if not hasattr(self, "components_"):
            raise self._nothing_learned()
        return self.mean_, (self.components_.T * self._scales()).astype(np.float32)

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the rows of `X`, projected.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n, n_dims)
            Vectors like those that were learned from.

        Returns
        -------
        ndarray of float32, shape (n, n_components)
            A row of zeros stays one: it stands for a photo without features.

        Raises
        ------
        TypeError, ValueError
            If `X` has the wrong type or shape, or holds NaN or infinity, or nothing was learned.
        """
        return self._projected(X, zeros_stay=True)

    def _projected(self, X: ArrayLike, *, zeros_stay: bool) -> NDArray[np.float32]:
        """Return the same; where zeros do not stay, a row of them is one like others."""
        if not hasattr(self, "components_"):
            raise self._nothing_learned()
        unit = chosen(self.norm, "norm", ("l2", None)) == "l2"
        threads = _check.threads(self.threads)
        X = _check.descriptors(X, "X", len(self.mean_))
        components = np.ascontiguousarray(self.components_)
        return _core.whiten(X, self.mean_, components, self._scales(), zeros_stay, unit, threads)

    def _learned(self) -> Arrays:
        if not hasattr(self, "components_"):
            raise self._nothing_learned()
        return {
            "mean": self.mean_,
            "components": self.components_,
            "explained_variance": self.explained_variance_,
        }

    def _take(self, arrays: Arrays) -> None:
        expect(arrays, "mean", "components", "explained_variance")
        mean, components, variance = (
            arrays[name] for name in ("mean", "components", "explained_variance")
        )
        types = [array.dtype.name for array in (mean, components, variance)]
        if types != ["float64", "float32", "float64"] or not (variance > 0).all():
            raise ValueError("mean, components or explained_variance is of a wrong type")
        if components.ndim != 2 or (mean.shape, variance.shape) != (
            components.shape[1:],
            components.shape[:1],
        ):
            raise ValueError("mean, components and explained_variance do not fit together")
        self.mean_, self.components_, self.explained_variance_ = mean, components, variance


def scatter(parts: Iterable[NDArray[np.float64]], n_dims: int) -> NDArray[np.float64]:
    """Return the sum of the products ``part.T @ part``."""
    total = np.zeros((n_dims, n_dims))
    for part in parts:
        total += part.T @ part
    return total


def blocks(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Give rows, so many at a time that a copy in float64 takes little memory."""
    for begin in range(0, len(rows), _ROWS):
        yield rows[begin : begin + _ROWS]
