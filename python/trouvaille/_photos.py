# SPDX-License-Identifier: Apache-2.0
"""Descriptors of many photos: a list of arrays, or one array with the offsets of photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _check

Photos: TypeAlias = Sequence[ArrayLike] | tuple[ArrayLike, ArrayLike]
"""One array a photo, shape (n_i, n_dims), where a photo without features has any array without
rows; or ``(values, offsets)``, where photo i has rows offsets[i] to offsets[i + 1]."""


def joined(
    photos: Photos, name: str, n_dims: int, dtype: DTypeLike | None = None
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the descriptors of all photos, one behind the other, and the offsets of photos.

    By default they are bytes if all of them are, and float32 otherwise.
    """
    if (pair := values_and_offsets(photos, name)) is not None:
        values = _descriptors(pair[0], f"{name}[0]", n_dims, dtype)
        return values, _check.offsets(pair[1], f"{name}[1]", len(values), f"rows of {name}[0]")
    parts = [
        of_one(part, f"{name}[{i}]", n_dims, dtype) for i, part in enumerate(listed(photos, name))
    ]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    full = [part for part in parts if len(part)]
    return np.concatenate(full) if full else np.empty((0, n_dims), dtype or np.uint8), offsets


def values_and_offsets(photos: Any, name: str) -> tuple[Any, Any] | None:
    """Return both if it is a pair of them, and no list of two photos."""
    if not (isinstance(photos, tuple) and len(photos) == 2):
        return None
    second = _check.as_array(photos[1], f"{name}[1]")
    return photos if second.ndim == 1 and len(second) > 0 else None


def listed(photos: Any, name: str) -> list[Any]:
    """Return the arrays of a list of them."""
    wanted = f"{name} must be a list of descriptor arrays, one a photo, or (values, offsets)"
    if isinstance(photos, np.ndarray) and photos.ndim < 3 and photos.dtype != object:
        raise ValueError(
            f"{wanted}; got one array of shape {photos.shape}. For one photo pass [{name}]"
        )
    # No generator, which could be read only once.
    if isinstance(photos, str | bytes) or not isinstance(photos, Sequence | np.ndarray):
        raise TypeError(f"{wanted}, got {type(photos).__name__}")
    return list(photos)


def of_one(
    photo: ArrayLike, name: str, n_dims: int | None, dtype: DTypeLike | None = None
) -> NDArray[Any]:
    """Return the descriptors of one photo; any array without rows is of one without features."""
    # Bytes as they should be need no more checks: of many small photos these take most of the time.
    if type(photo) is np.ndarray and photo.dtype == np.uint8 and photo.ndim == 2 and len(photo):
        fits = n_dims in (None, photo.shape[1]) and dtype in (None, np.uint8)
        if fits and photo.flags.c_contiguous:
            return photo
    given = _check.as_array(photo, name)
    if given.ndim in (1, 2) and given.shape[0] == 0:
        return np.empty((0, n_dims or 0), dtype or np.uint8)
    return _descriptors(given, name, n_dims, dtype)


def _descriptors(
    x: ArrayLike, name: str, n_dims: int | None, dtype: DTypeLike | None
) -> NDArray[Any]:
    if dtype is None:
        return _check.descriptors(x, name, n_dims)
    return _check.matrix(x, name, dtype, n_dims)
