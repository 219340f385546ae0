# SPDX-License-Identifier: Apache-2.0
"""A random orthonormal projection, the same bits on every machine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core


def orthonormal(n_dims: int, n_bits: int, seed: int) -> NDArray[np.float32]:
    """Return random orthonormal columns, the same bits on every machine, shape (n_dims, n_bits).

    Products are elementwise and sums in the order of `_ordered_sum`, so nothing depends on how a
    library sums. Sums of twelve uniform numbers are normal enough.
    """
    words = np.frombuffer(_core.random_bytes(seed, 0, 12 * n_bits * n_dims), "<u4")
    columns = (words.reshape(n_bits, n_dims, 12) * 2.0**-32).sum(axis=2) - 6
    rows = np.empty((n_dims, n_bits))  # the same, transposed: both sums are over the first axis
    for i, column in enumerate(columns):
        for _ in range(2 if i else 0):  # what rounding left of the others goes the second time
            products = _ordered_sum(rows[:, :i] * column[:, None])
            column -= _ordered_sum(columns[:i] * products[:, None])
        column /= math.sqrt(_ordered_sum(column * column))
        rows[:, i] = column
    return np.ascontiguousarray(rows, np.float32)


def _ordered_sum(terms: NDArray[np.float64]) -> Any:
    """Return the sum over the first axis, whose second half is added to the first, and so on.

    The order is that on every machine; `terms` are overwritten.
    """
    n = len(terms)
    while n > 1:
        half, n = n // 2, n - n // 2
        terms[:half] += terms[n : n + half]
    return terms[0]
