# SPDX-License-Identifier: Apache-2.0
"""Vectors, centred and multiplied by what was learned."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from ._estimator import Arrays, Estimator, chosen, expect

_CHUNK = 512  # numbers that are summed in float32; what chunks sum up to is summed in float64
_BLOCK = 1 << 24  # numbers that are worked on at a time


class Projection(Estimator):
    """Vectors → fewer numbers each: ``(x - mean) @ weights``, of length 1 if that is asked for."""

    norm: str | None
    threads: int | None
    mean_: NDArray[np.float64]
    components_: NDArray[np.float32]
    explained_variance_: NDArray[np.float64]

    @abstractmethod
    def _weights(self) -> NDArray[np.float32]:
        """Return what vectors are multiplied with, shape (n_dims, n_components)."""

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
        if not hasattr(self, "components_"):
            raise self._nothing_learned()
        unit = chosen(self.norm, "norm", ("l2", None)) == "l2"
        threads = _check.threads(self.threads)
        X = _check.descriptors(X, "X", len(self.mean_))
        weights = self._weights()
        projected = np.empty((len(X), weights.shape[1]), np.float32)
        step = _BLOCK // max(weights.shape) + 1
        for begin in range(0, len(X), step):
            rows = X[begin : begin + step]
            y = _projected(rows, self.mean_, weights, threads)
            y[~rows.any(axis=1)] = 0
            projected[begin : begin + step] = _of_length_one(y) if unit else y
        return projected

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


def _projected(
    X: NDArray[Any], mean: NDArray[np.float64], weights: NDArray[np.float32], threads: int
) -> NDArray[Any]:
    """Return the product of what is left of X without the mean, rounded once it is subtracted.

    So nothing is lost to a mean that is large beside what varies around it.
    """
    parts, none = [], np.zeros(weights.shape[1], np.float32)
    for begin in range(0, len(weights), _CHUNK):
        columns = slice(begin, begin + _CHUNK)
        centered = np.empty((len(X), len(mean[columns])), np.float32)
        np.subtract(X[:, columns], mean[columns], out=centered, casting="same_kind")
        of_columns = np.ascontiguousarray(weights[columns])
        parts.append(_core.project(centered, of_columns, none, threads))
    if len(parts) == 1:
        return parts[0]
    total = parts[0].astype(np.float64)
    for part in parts[1:]:
        total += part
    return total


def _of_length_one(y: NDArray[Any]) -> NDArray[Any]:
    """Return rows divided by their length; zeros stay."""
    lengths = np.sqrt(np.square(y, dtype=np.float64).sum(axis=1, keepdims=True))
    unit = np.zeros_like(y)
    np.divide(y, lengths, out=unit, where=lengths > 0, casting="same_kind")
    return unit
