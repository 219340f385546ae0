# SPDX-License-Identifier: Apache-2.0
"""Spectral hashing: the slowest waves over the box that holds the descriptors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _core
from ..._array_file import ArrayFile
from ._hashing import Bits, Floats, Hashing
from ._principal import principal_directions


class SpectralHashing(Hashing):
    """Codes by spectral hashing [1]_.

    Descriptors are taken to fill a box along their principal directions, evenly. There the
    eigenfunctions of the graph Laplacian are known: along a side of length s, waves of 1, 2, ...
    half periods, with eigenvalues that grow with ``(waves / s) ** 2``. The bits are the signs of
    the `n_bits` with the smallest eigenvalues.

    Parameters
    ----------
    n_bits : int
        Length of a code.
    random_state : int
        Without effect, for nothing is drawn; as the other ways of hashing have it.

    References
    ----------
    .. [1] Y. Weiss, A. Torralba, R. Fergus, "Spectral hashing", NIPS 2008.

    Examples
    --------
    >>> X = np.float32([[0, 0], [1, 0], [2, 1], [3, 1]])
    >>> np.unpackbits(SpectralHashing(2).fit_transform(X), axis=1, count=2, bitorder="little")
    array([[1, 1],
           [1, 0],
           [0, 0],
           [0, 1]], dtype=uint8)
    """

    _format = ArrayFile("spectral_hashing", 1, "spectral hashing")

    def _parameters(self) -> dict[str, Any]:
        return {"n_bits": self.n_bits, "random_state": self.random_state}

    def _learn(self, X: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        mean, directions = principal_directions(X, self.n_bits)
        low, high = _box(X, mean, directions)
        sides = high - low
        sides[sides < 1e-6 * np.abs(X).max()] = 0  # nothing but rounding
        direction, waves = _slowest(sides, self.n_bits)
        # Half periods from the low end of the side; a side of no length has no waves.
        scale = np.divide(waves, sides[direction], out=np.zeros(self.n_bits), where=waves > 0)
        phases = (directions[:, direction] * scale).astype(np.float32)
        return {"phases": phases, "offsets": mean @ phases + low[direction] * scale}

    def _shapes(self, learned: Mapping[str, Floats]) -> Mapping[str, tuple[int, ...]]:
        n_dims = len(learned["phases"]) if "phases" in learned else 0
        return {"phases": (n_dims, self.n_bits), "offsets": (self.n_bits,)}

    def _bits(self, learned: Mapping[str, Floats], X: NDArray[Any], threads: int) -> Bits:
        # The sign of cos(pi t): the whole number nearest to t is even, or odd.
        t = _core.project(X, learned["phases"], learned["offsets"], threads)
        half = np.rint(t, out=t) * np.float32(0.5)
        return np.equal(half, np.rint(half))


def _box(
    X: NDArray[Any], mean: NDArray[np.float64], directions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least and the greatest coordinate along each direction."""
    blocks = [
        (X[begin : begin + (1 << 14)] - mean) @ directions for begin in range(0, len(X), 1 << 14)
    ]
    low = np.min([block.min(axis=0) for block in blocks], axis=0)
    return low, np.max([block.max(axis=0) for block in blocks], axis=0)


def _slowest(sides: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return directions and numbers of half periods, those of the smallest eigenvalues first."""
    if not (sides > 0).any():
        return np.zeros(count, np.int64), np.zeros(count, np.int64)
    waves = np.arange(1, count + 1)
    with np.errstate(divide="ignore"):
        frequencies = waves[:, None] / sides  # [waves - 1, direction]
    order = np.argsort(frequencies, axis=None, kind="stable")[:count]
    return order % len(sides), order // len(sides) + 1
