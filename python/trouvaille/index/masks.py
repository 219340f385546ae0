# SPDX-License-Identifier: Apache-2.0
"""Which documents a search may return, as bitmaps of the rows of every segment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _bitmap as bitmap
from .. import _check
from .. import _ids as ids
from .._bitmap import Bitmap
from .segment import Segment


def bitmaps(mask: ArrayLike | None, segments: Sequence[Segment]) -> list[Bitmap | None] | None:
    """Return the rows that `mask` allows, by segment; None if all are allowed.

    `mask` is a boolean for every id up to the largest, or the ids that are allowed.
    """
    if mask is None:
        return None
    given = _check.as_array(mask, "mask")
    if given.dtype != np.bool_:
        allowed = _allowed_ids(given)
        return [_bitmap_of_ids(segment, allowed) for segment in segments]
    if given.ndim != 1:
        raise ValueError(f"mask must be 1-D, got shape {given.shape}")
    largest = max((_largest(segment, len(given)) for segment in segments), default=-1)
    if len(given) <= largest:
        raise ValueError(
            f"mask must have an entry for every id up to {largest}, got {len(given)} entries"
        )
    return [_bitmap_of_booleans(segment, given) for segment in segments]


def _allowed_ids(given: NDArray[np.int64]) -> NDArray[np.int64]:
    if given.size == 0:  # NumPy takes an empty list for numbers that are not whole
        given = given.astype(np.int64)
    if given.dtype.kind == "f":
        raise TypeError(f"mask must hold booleans or ids, got dtype {given.dtype}")
    allowed = _check.array(given, "mask", np.int64, ndim=1)
    if len(allowed) > 0 and allowed.min() < 0:
        raise ValueError(f"mask must not hold negative ids, got {allowed.min()}")
    return allowed


def _bitmap_of_ids(segment: Segment, allowed: NDArray[np.int64]) -> Bitmap:
    places = segment.find(allowed)
    members = np.zeros(segment.n_documents, bool)
    members[places[places >= 0]] = True
    return bitmap.packed(members)


def _largest(segment: Segment, enough: int) -> int:
    """Return the largest id that is alive, or at least one below `enough` if all are."""
    largest = ids.largest(segment.ids)
    return largest if largest < enough else ids.largest(segment.live_ids())


def _bitmap_of_booleans(segment: Segment, mask: NDArray[np.bool_]) -> Bitmap:
    if isinstance(segment.ids, range):
        members = mask[segment.ids.start : segment.ids.stop]
    else:
        members = mask[np.minimum(segment.ids, len(mask) - 1)]
    if len(members) == segment.n_documents:
        return bitmap.packed(members)
    return bitmap.packed(np.pad(members, (0, segment.n_documents - len(members))))  # removed ones
