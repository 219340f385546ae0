# SPDX-License-Identifier: Apache-2.0
"""The regions that two images share, and which of them overlap; `regions` has the protocol.

Arguments are known to be valid: finite, and frames of an area.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .overlap import Floats, overlap_errors

Rows = NDArray[np.int64]

REFERENCE_RADIUS = 30.0
"""Radius in pixels to which the region of image 1 is scaled."""

FARTHEST = 4.0
"""Centres this many radii of the region of image 1 apart never correspond."""

_CHUNK = 256  # regions of image 1 compared with all of image 2 at a time


class Pair(NamedTuple):
    """The regions of the common part, in image 1; inside1 and inside2 say which of all they are."""

    inside1: NDArray[np.bool_]
    inside2: NDArray[np.bool_]
    frames1: Floats
    frames2: Floats  # mapped into image 1

    @property
    def rows1(self) -> Rows:
        """Rows of image 1's frames that are in the common part."""
        return np.flatnonzero(self.inside1).astype(np.int64)

    @property
    def rows2(self) -> Rows:
        """Rows of image 2's frames that are in the common part."""
        return np.flatnonzero(self.inside2).astype(np.int64)

    @property
    def n_common(self) -> int:
        """The smaller of the two numbers of regions."""
        return min(len(self.frames1), len(self.frames2))


def common_part(
    frames1: Floats,
    frames2: Floats,
    forward: Floats,
    backward: Floats,
    size1: NDArray[np.int64],
    size2: NDArray[np.int64],
) -> Pair:
    """Find the regions whose bounding boxes lie in both images; the homographies are inverses."""
    mapped1, mapped2 = _mapped(frames1, forward), _mapped(frames2, backward)
    inside1 = _within(frames1, size1) & _within(mapped1, size2)
    inside2 = _within(frames2, size2) & _within(mapped2, size1)
    return Pair(inside1, inside2, frames1[inside1], mapped2[inside2])


def _mapped(frames: Floats, homography: Floats) -> Floats:
    """Map the centres, and the axes by the derivative there; NaN or infinite at the horizon."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x, y, w = homography @ np.insert(frames[:, :, 2], 2, 1, axis=1).T
        centers = np.stack([x / w, y / w], axis=1)
        # (x / w)' = (x' - (x / w) w') / w
        fall = centers[:, :, None] * homography[2, :2]
        derivative = (homography[:2, :2] - fall) / w[:, None, None]
        return np.concatenate([derivative @ frames[:, :, :2], centers[:, :, None]], axis=2)


def _within(frames: Floats, size: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say whose bounding box lies in an image; pixels have a side of 1 about their centres."""
    with np.errstate(invalid="ignore", over="ignore"):
        extent = np.hypot(frames[:, :, 0], frames[:, :, 1])
        low, high = frames[:, :, 2] - extent, frames[:, :, 2] + extent
        inside = ((low >= -0.5) & (high <= size - 0.5)).all(axis=1)
        # Near the horizon a mapped area may be lost to rounding.
        result: NDArray[np.bool_] = inside & (determinant(frames) != 0)
    return result


# ---- Overlap


def candidates(pair: Pair, bound: float) -> tuple[Rows, Rows, Floats]:
    """Find all pairs whose overlap error is below the bound: their rows, and the errors."""
    found = []
    for begin in range(0, len(pair.frames1), _CHUNK):
        offsets = pair.frames2[None, :, :, 2] - pair.frames1[begin : begin + _CHUNK, None, :, 2]
        radii = _radii(pair.frames1[begin : begin + _CHUNK])[:, None]
        near = (offsets**2).sum(axis=2) < (FARTHEST * radii) ** 2
        first, second = np.nonzero(near)
        first += begin
        errors = pair_errors(pair, first, second, bound)
        kept = errors < bound
        found.append((first[kept], second[kept], errors[kept]))
    if not found:
        none = np.empty(0, np.int64)
        return none, none, np.empty(0)
    first, second, errors = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return first, second, errors


def pair_errors(pair: Pair, first: Rows, second: Rows, bound: float) -> Floats:
    """Overlap errors of pairs of rows; 1 where it is known, without it, that none is below `bound`.

    With areas pi and A, an intersection I and an error e = 1 - I / (pi + A - I) in coordinates in
    which region 1 is the unit disc:

    - I <= min(pi, A), so e >= 1 - min(pi, A) / max(pi, A).
    - The line through region 2's centre, at a distance c and perpendicular to the offset, has half
      of region 2 on one side, and at most pi (1 - c) / 2 of the disc on the other one. So
      I <= A / 2 + pi (1 - c) / 2, and with A <= pi / (1 - e): c <= e / (1 - e) as long as e < 1/2.
    """
    frames1, frames2 = pair.frames1[first], pair.frames2[second]
    offsets = frames2[:, :, 2] - frames1[:, :, 2]
    radii1, radii2 = _radii(frames1), _radii(frames2)
    to_disc = _inverses(frames1)
    # Scaling both regions is the same as shrinking the offset instead.
    scaled = (to_disc @ offsets[:, :, None])[:, :, 0] * (radii1 / REFERENCE_RADIUS)[:, None]
    ratio = np.minimum(radii1, radii2) ** 2 > (1 - bound) * np.maximum(radii1, radii2) ** 2
    near = np.hypot(*offsets.T) < FARTHEST * radii1
    reach = bound / (1 - bound) if bound < 0.5 else math.inf
    possible = ratio & near & (np.hypot(*scaled.T) <= reach)
    errors = np.ones(len(offsets))
    axes = to_disc[possible] @ frames2[possible, :, :2]
    errors[possible] = overlap_errors(axes, scaled[possible])
    return errors


def one_to_one(first: Rows, second: Rows, errors: Floats) -> Rows:
    """Choose pairs in order of the error, none of whose regions was in one chosen before."""
    taken1, taken2 = set(), set()
    chosen = []
    order = np.lexsort((second, first, errors))
    for k, i, j in zip(order.tolist(), first[order].tolist(), second[order].tolist(), strict=True):
        if i not in taken1 and j not in taken2:
            taken1.add(i)
            taken2.add(j)
            chosen.append(k)
    return np.array(chosen, np.int64)


def determinant(frames: Floats) -> Floats:
    """Return the determinants of the axes."""
    result: Floats = frames[:, 0, 0] * frames[:, 1, 1] - frames[:, 0, 1] * frames[:, 1, 0]
    return result


def _inverses(frames: Floats) -> Floats:
    """Invert the axes; by the determinant, which is known not to be 0."""
    (a, b), (c, d) = np.moveaxis(frames[:, :, :2], 0, 2)
    adjugate = np.stack([d, -b, -c, a], axis=1).reshape(-1, 2, 2)
    result: Floats = adjugate / determinant(frames)[:, None, None]
    return result


def _radii(frames: Floats) -> Floats:
    result: Floats = np.sqrt(np.abs(determinant(frames)))
    return result
