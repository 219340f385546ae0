# SPDX-License-Identifier: Apache-2.0
"""A picture of features: their ellipses on the photo."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _picture, images
from ._types import Features, Photo, Regions, scales_of

_CORNERS = 48  # of the polygon that stands for an ellipse


def draw(
    photo: Photo,
    features: Features | Regions | ArrayLike,
    *,
    colour: tuple[int, int, int] | None = None,
    max_features: int | None = None,
    magnification: float = 2.0,
    dim: float = 0.35,
    path: str | os.PathLike[str] | None = None,
) -> NDArray[np.uint8]:
    """Draw features on a photo: an ellipse for each frame, and a tick along its first axis.

    Parameters
    ----------
    photo : path, bytes or ndarray of uint8
        The photo at the size at which its features were found.
    features : Features, Regions, or array_like of shape (n, 2, 3)
        What to draw, the large below the small.
    colour : tuple of int, optional
        Red, green, blue of all; by default by scale, from yellow for the smallest to blue.
    max_features : int, optional
        Only so many, the first; all by default.
    magnification : float
        An ellipse is so many times its frame, whose radius is the scale.
    dim : float
        How much darker and grayer the photo becomes, from 0 to 1, so that lines stand out.
    path : path, optional
        Write the picture to this file, too: a PNG, a JPEG or a WebP by its name.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        RGB.

    Raises
    ------
    ImageError, OSError
        If the photo cannot be read.
    TypeError, ValueError
        If an argument is out of range.
    """
    frames, scales = _frames_and_scales(features)
    most = len(frames) if max_features is None else _check.count(max_features, "max_features")
    frames, scales = frames[:most], scales[:most]
    magnification = float(_check.array(magnification, "magnification", np.float64, ndim=0))
    if magnification <= 0:
        raise ValueError(f"magnification must be positive, got {magnification}")
    colours = _colours(scales) if colour is None else _one_colour(colour, len(frames))
    picture = _picture.dimmed(images.load_rgb(photo), dim)
    lines = _outlines(frames, magnification)
    for i in np.argsort(-scales, kind="stable"):
        _picture.draw_line(picture, lines[i], colours[i])
    if path is not None:
        _picture.write(Path(path), picture)
    return picture


def _frames_and_scales(
    features: Features | Regions | ArrayLike,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    given = features.frames if isinstance(features, Features | Regions) else features
    frames = _check.frames(given, "features")
    return frames, scales_of(frames)


def _colours(scales: NDArray[np.float32]) -> list[_picture.Colour]:
    """Return a colour for each scale: from the smallest to the largest, by its logarithm."""
    logs = np.log2(np.maximum(scales, 1e-6))
    low, high = (logs.min(), logs.max()) if len(logs) else (0.0, 0.0)
    places = (logs - low) / max(high - low, 1e-6) * (len(_picture.COLOURS) - 1)
    stops = np.arange(len(_picture.COLOURS))
    channels = [np.interp(places, stops, channel) for channel in np.transpose(_picture.COLOURS)]
    return [tuple(row) for row in np.rint(np.column_stack(channels)).astype(int).tolist()]


def _one_colour(colour: tuple[int, int, int], n: int) -> list[_picture.Colour]:
    channels = tuple(_check.array(colour, "colour", np.uint8, ndim=1).tolist())
    if len(channels) != 3:
        raise ValueError(f"colour must be red, green and blue, got {colour!r}")
    return [channels] * n


def _outlines(frames: NDArray[np.float32], magnification: float) -> NDArray[np.float64]:
    """Return for each frame the corners of its ellipse, from its first axis on, and its centre."""
    turns = np.linspace(0, 2 * np.pi, _CORNERS + 1)
    circle = np.vstack([np.cos(turns), np.sin(turns)])
    circle = np.hstack([circle, np.zeros((2, 1))])  # from the last corner, the tick to the centre
    axes = magnification * frames[:, :, :2].astype(np.float64)
    lines: NDArray[np.float64] = (axes @ circle).transpose(0, 2, 1) + frames[:, None, :, 2]
    return lines
