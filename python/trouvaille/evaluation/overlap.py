# SPDX-License-Identifier: Apache-2.0
"""How much two ellipses overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODES = 64
"""Chords that an intersection is integrated over: an error off by at most 2e-4."""

_CHUNK = 4096  # pairs at a time: a table of nodes takes 2 MiB


def overlap_errors(axes: Floats, offsets: Floats) -> Floats:
    """One minus intersection over union, of the unit disc and an ellipse each.

    Overlap is affine invariant, so any two ellipses can be given this way: in the coordinates in
    which the first is the unit disc.

    Parameters
    ----------
    axes : ndarray of float64, shape (m, 2, 2)
        An ellipse is the image of the unit disc under its matrix, which has a determinant.
    offsets : ndarray of float64, shape (m, 2)
        Its centre.

    Returns
    -------
    ndarray of float64, shape (m,)
        Within 2e-4 of the exact ones; exact but for rounding if one contains the other.
    """
    errors = np.empty(len(axes))
    for begin in range(0, len(axes), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        errors[chunk] = _overlap_errors(axes[chunk], offsets[chunk])
    return errors


def _overlap_errors(axes: Floats, offsets: Floats) -> Floats:
    # Turned, which leaves the disc as it is, so that the ellipse's axes are those of x and y.
    turn, radii, _ = np.linalg.svd(axes)
    center = np.einsum("mji,mj->mi", turn, offsets)
    intersection = _intersections(*radii.T[..., None], *center.T[..., None])
    areas = np.pi * (1 + radii[:, 0] * radii[:, 1])
    union = areas - intersection
    errors: Floats = np.maximum(1 - intersection / union, 0.0)  # rounding may give -1e-16
    return errors


def _intersections(a: Floats, b: Floats, x: Floats, y: Floats) -> Any:
    """Areas within both the unit disc and the ellipse of radii (a, b) about (x, y)."""
    left, right = np.maximum(-1.0, x - a), np.minimum(1.0, x + a)
    middle, half = (left + right) / 2, np.maximum(right - left, 0.0) / 2
    # At cosines of equal steps the chords, which shrink like square roots at both ends, become
    # smooth, and the midpoint rule is exact for a whole ellipse.
    angles = (np.arange(NODES) + 0.5) * (np.pi / NODES)
    at = middle + half * np.cos(angles)
    disc = np.sqrt(np.maximum(1 - at * at, 0.0))
    ellipse = b * np.sqrt(np.maximum(1 - ((at - x) / a) ** 2, 0.0))
    chords = np.minimum(disc, y + ellipse) - np.maximum(-disc, y - ellipse)
    weights = half * np.sin(angles) * (np.pi / NODES)
    return (np.maximum(chords, 0.0) * weights).sum(axis=1)
