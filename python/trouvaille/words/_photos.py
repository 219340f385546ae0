# SPDX-License-Identifier: Apache-2.0
"""The descriptors of many photos, one photo behind the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import _check

Photos: TypeAlias = Iterable[ArrayLike] | tuple[ArrayLike, ArrayLike]


def joined(
    photos: Photos, name: str, dtype: DTypeLike, cols: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the descriptors of all photos as one matrix, and the offsets of each photo's.

    `photos` are arrays of descriptors, one a photo, or a tuple ``(values, offsets)`` of just that.
    """
    if isinstance(photos, tuple):
        if len(photos) != 2:
            raise ValueError(
                f"{name} must be a list of arrays, or a tuple (values, offsets); "
                f"got a tuple of {len(photos)}"
            )
        values = _check.matrix(photos[0], f"{name}[0]", dtype, cols)
        offsets = _check.offsets(photos[1], f"{name}[1]", len(values), "descriptors")
        return values, offsets
    parts = [_part(part, f"{name}[{i}]", dtype, cols) for i, part in enumerate(photos)]
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.concatenate([np.empty((0, cols), dtype), *parts]), offsets


def _part(part: ArrayLike, name: str, dtype: DTypeLike, cols: int) -> NDArray[Any]:
    given = _check.as_array(part, name)
    if given.size == 0 and given.ndim <= 2:  # a photo without features, however that is written
        return np.empty((0, cols), dtype)
    return _check.matrix(given, name, dtype, cols)
