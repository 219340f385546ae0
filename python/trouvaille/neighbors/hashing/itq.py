# SPDX-License-Identifier: Apache-2.0
"""Iterative quantisation: the principal directions, turned so that signs say the most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _check
from ..._array_file import ArrayFile
from ._hashing import Floats
from ._linear import Hyperplanes, through
from ._principal import drawn, principal_directions


class ITQ(Hyperplanes):
    """Codes by iterative quantisation [1]_: simple, and hard to beat without labels.

    Descriptors are projected on their `n_bits` principal directions and turned, by the rotation
    that brings them nearest to the corners of a cube: the signs are the bits. The rotation and the
    corners are found in turns.

    Parameters
    ----------
    n_bits : int
        Length of a code.
    iterations : int
        Turns.
    max_samples : int
        The rotation is learned from at most so many descriptors, drawn at random.
    random_state : int
        Seed of the first rotation and of the sample.

    Notes
    -----
    With more bits than dimensions there is no rotation, but an orthonormal embedding into `n_bits`
    dimensions; the optimum for given corners is of the same form.

    References
    ----------
    .. [1] Y. Gong, S. Lazebnik, "Iterative quantization: a Procrustean approach to learning binary
       codes", CVPR 2011.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(100, 8)) * [8, 7, 6, 5, 4, 3, 2, 1]
    >>> ITQ(4).fit_transform(np.float32(X)).shape
    (100, 1)
    """

    _format = ArrayFile("itq", 1, "iterative quantisation")

    def __init__(
        self,
        n_bits: int,
        *,
        iterations: int = 50,
        max_samples: int = 50_000,
        random_state: int = 0,
    ) -> None:
        super().__init__(n_bits, random_state=random_state)
        self.iterations = _check.count(iterations, "iterations", minimum=0)
        self.max_samples = _check.count(max_samples, "max_samples")

    def _parameters(self) -> dict[str, Any]:
        return {
            "n_bits": self.n_bits,
            "iterations": self.iterations,
            "max_samples": self.max_samples,
            "random_state": self.random_state,
        }

    def _learn(self, X: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        mean, directions = principal_directions(X, self.n_bits)
        rng = np.random.default_rng(self.random_state)
        turn = _orthonormal(rng.standard_normal((directions.shape[1], self.n_bits)))
        projected = ((drawn(X, self.max_samples, rng) - mean) @ directions).astype(np.float32)
        for _ in range(self.iterations):
            turn = _best_turn(projected, turn)
        return through(mean, directions @ turn)


def _best_turn(projected: Floats, turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the turn that brings points nearest to the corners where they are now.

    The size of the cube does not matter.
    """
    corners = np.subtract(projected @ turn.astype(np.float32) > 0, 0.5, dtype=np.float32)
    return _orthonormal((projected.T @ corners).astype(np.float64))


def _orthonormal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest matrix whose rows are orthonormal."""
    if matrix.shape[1] > len(matrix):  # then it is the inverse root of a small matrix times it
        squares, axes = np.linalg.eigh(matrix @ matrix.T)
        if squares[0] > 1e-6 * squares[-1]:
            return np.asarray((axes / np.sqrt(squares)) @ axes.T @ matrix)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(left @ right)
