# SPDX-License-Identifier: Apache-2.0
"""The descriptors of photos, of which each has any number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check

Photos = Sequence[ArrayLike] | tuple[ArrayLike, ArrayLike]
"""Descriptors by photo; or all of them and the offsets of photos."""


def descriptors_of(photos: Photos, n_dims: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the descriptors of all photos, as bytes if all of them are, and photos' offsets."""
    if isinstance(photos, np.ndarray) or not isinstance(photos, Sequence):
        raise TypeError(
            "photos must be a sequence of arrays of descriptors, one a photo, or a pair "
            f"(descriptors, offsets); got {type(photos).__name__}: for one photo pass [x]"
        )
    if isinstance(photos, tuple) and len(photos) == 2 and np.ndim(photos[1]) == 1:
        values = _check.descriptors(photos[0], "the descriptors", n_dims)
        return values, _check.offsets(photos[1], "offsets", len(values), "descriptors")
    parts = [_one(photo, f"photos[{i}]", n_dims) for i, photo in enumerate(photos)]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    full = [part for part in parts if len(part)]
    return np.concatenate(full) if full else np.zeros((0, n_dims), np.uint8), offsets


def _one(photo: ArrayLike, name: str, n_dims: int) -> NDArray[Any]:
    given = _check.as_array(photo, name)
    if given.shape == (0,):  # of a photo without features: an empty list
        return np.zeros((0, n_dims), np.uint8)
    return _check.descriptors(given, name, n_dims)
