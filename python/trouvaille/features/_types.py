# SPDX-License-Identifier: Apache-2.0
"""What detectors and descriptors return."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, images

Photo: TypeAlias = "images.Source | NDArray[np.uint8]"
"""A path, a file's bytes, or pixels: gray or RGB(A)."""


class Regions(NamedTuple):
    """Where the local features of one photo are, the strongest first: what a detector returns.

    Attributes
    ----------
    frames : ndarray of float32, shape (n, 2, 3)
        Local affine frames: the columns of the left 2x2 part are the feature's axes in pixels, the
        last column its centre (x, y); (0, 0) is the centre of the top-left pixel.
    responses : ndarray of float32, shape (n,)
        Strength of the detection.
    scales : ndarray of float32, shape (n,)
        Radius in pixels: the square root of the determinant of the frame's 2x2 part.
    """

    frames: NDArray[np.float32]
    responses: NDArray[np.float32]
    scales: NDArray[np.float32]

    def select(self, chosen: NDArray[Any]) -> Regions:
        """Return the regions that the index array or boolean mask `chosen` picks."""
        return Regions(*(part[chosen] for part in self))


class Features(NamedTuple):
    """Local features of one photo, the strongest first.

    Attributes
    ----------
    frames : ndarray of float32, shape (n, 2, 3)
        Local affine frames: the columns of the left 2x2 part are the feature's axes in pixels, the
        last column its centre (x, y); (0, 0) is the centre of the top-left pixel.
    descriptors : ndarray of uint8 or float32, shape (n, d)
        RootSIFT in bytes and 128 of them, by default; or what another descriptor has.
    responses : ndarray of float32, shape (n,)
        Strength of the detection.
    scales : ndarray of float32, shape (n,)
        Radius in pixels: the square root of the determinant of the frame's 2x2 part.
    """

    frames: NDArray[np.float32]
    descriptors: NDArray[Any]
    responses: NDArray[np.float32]
    scales: NDArray[np.float32]

    def select(self, chosen: NDArray[Any]) -> Features:
        """Return the features that the index array or boolean mask `chosen` picks."""
        return Features(*(part[chosen] for part in self))


def scales_of(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scale of each frame: the square root of the area of its axes, shape (n,)."""
    axes = frames[:, :, :2].astype(np.float64)
    area = axes[:, 0, 0] * axes[:, 1, 1] - axes[:, 0, 1] * axes[:, 1, 0]
    return _to_float32(np.sqrt(np.abs(area)))


def _to_float32(x: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32; what is greater than any finite one becomes the greatest."""
    most = np.finfo(np.float32).max
    return np.clip(x, -most, most).astype(np.float32)


def turned_up(regions: Regions) -> Regions:
    """Return the regions with frames of the same ellipses whose y axis is the image's."""
    axes = regions.frames[:, :, :2].astype(np.float64)
    xx, xy = (axes[:, 0] ** 2).sum(1), (axes[:, 0] * axes[:, 1]).sum(1)
    width = np.sqrt(np.maximum(xx, np.finfo(np.float64).tiny))
    frames = regions.frames.copy()
    area = np.abs(axes[:, 0, 0] * axes[:, 1, 1] - axes[:, 0, 1] * axes[:, 1, 0])
    frames[:, 0, 0], frames[:, 0, 1] = _to_float32(width), 0
    frames[:, 1, 0], frames[:, 1, 1] = _to_float32(xy / width), _to_float32(area / width)
    return regions._replace(frames=frames)


def as_regions(given: Regions | Features | ArrayLike, name: str = "regions") -> Regions:
    """Return what a user gives for regions, checked; frames alone have a response of 1."""
    if not isinstance(given, Regions | Features):
        frames = _check.frames(given, name, _check.MAX_FRAME)
        return Regions(frames, np.ones(len(frames), np.float32), scales_of(frames))
    frames = _check.frames(given.frames, name, _check.MAX_FRAME)
    parts = []
    for column in ("responses", "scales"):
        part = _check.array(getattr(given, column), f"{name}' {column}", np.float32, ndim=1)
        if len(part) != len(frames):
            raise ValueError(f"{name} have {len(frames)} frames and {len(part)} {column}")
        parts.append(part)
    return Regions(frames, *parts)
