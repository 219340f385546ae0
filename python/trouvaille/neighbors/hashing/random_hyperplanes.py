# SPDX-License-Identifier: Apache-2.0
"""Hyperplanes at random: the codes of locality-sensitive hashing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._array_file import ArrayFile
from ._linear import Hyperplanes, through
from ._principal import mean_of


class RandomHyperplanes(Hyperplanes):
    """Codes by hyperplanes of random directions through the mean of what is learned from.

    Two descriptors, seen from the mean, differ in a bit with a probability of their angle over pi
    [1]_. Nothing else is learned: the baseline of the others.

    Parameters
    ----------
    n_bits : int
        Length of a code.
    random_state : int
        Seed of the directions.

    References
    ----------
    .. [1] M. Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(100, 8))
    >>> RandomHyperplanes(12).fit_transform(np.float32(X)).shape
    (100, 2)
    """

    _format = ArrayFile("random_hyperplanes", 1, "hashing by random hyperplanes")

    def _parameters(self) -> dict[str, Any]:
        return {"n_bits": self.n_bits, "random_state": self.random_state}

    def _learn(self, X: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        rng = np.random.default_rng(self.random_state)
        return through(mean_of(X), rng.standard_normal((X.shape[1], self.n_bits)))
