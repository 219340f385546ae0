# SPDX-License-Identifier: Apache-2.0
"""Means and principal directions of descriptors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 14  # rows


def mean_of(X: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of the rows."""
    return np.asarray(X.mean(axis=0, dtype=np.float64))


def principal_directions(
    X: NDArray[Any], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean, and as columns the orthonormal directions of greatest variance around it.

    At most `count` of them, those of the greatest first; each one's largest entry is positive.
    """
    mean = mean_of(X)
    scatter = np.zeros((X.shape[1], X.shape[1]))
    for begin in range(0, len(X), _BLOCK):
        centered = X[begin : begin + _BLOCK] - mean
        scatter += centered.T @ centered
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :count]
    largest = np.abs(directions).argmax(axis=0)
    return mean, directions * np.sign(directions[largest, np.arange(directions.shape[1])])


def drawn(X: NDArray[Any], most: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return at most so many of the rows, drawn at random, in their order."""
    if len(X) <= most:
        return X
    return X[np.sort(rng.permutation(len(X))[:most])]
