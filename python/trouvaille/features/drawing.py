# SPDX-License-Identifier: Apache-2.0
"""A picture of features: their ellipses on the photo."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _files, images
from ._types import Features, Photo, Regions, scales_of

# From the smallest scale to the largest: apart for colour-blind eyes, too, and light on any photo.
_COLOURS = np.array(
    [(255, 225, 77), (255, 150, 66), (240, 90, 120), (190, 100, 240), (90, 200, 255)], np.float64
)

_CORNERS = 48  # of the polygon that stands for an ellipse
_SHIFT = 4  # bits of a pixel's fraction, for the drawing
_LIMIT = 2**15  # pixels beyond which nothing is drawn


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
    import cv2

    frames, scales = _frames_and_scales(features)
    most = len(frames) if max_features is None else _check.count(max_features, "max_features")
    frames, scales = frames[:most], scales[:most]
    dim = float(_check.array(dim, "dim", np.float64, ndim=0))
    if not 0 <= dim <= 1:
        raise ValueError(f"dim must be between 0 and 1, got {dim}")
    magnification = float(_check.array(magnification, "magnification", np.float64, ndim=0))
    if magnification <= 0:
        raise ValueError(f"magnification must be positive, got {magnification}")
    colours = _colours(scales) if colour is None else _one_colour(colour, len(frames))
    picture = _backdrop(images.load_rgb(photo), dim)
    lines = _outlines(frames, magnification)
    for i in np.argsort(-scales, kind="stable"):
        if (np.abs(lines[i]) < _LIMIT).all():
            corners = np.rint(lines[i] * 2**_SHIFT).astype(np.int32)
            cv2.polylines(picture, [corners], False, colours[i], 1, cv2.LINE_AA, shift=_SHIFT)
    if path is not None:
        _write(Path(path), picture)
    return picture


def _backdrop(photo: NDArray[np.uint8], dim: float) -> NDArray[np.uint8]:
    gray = photo.mean(axis=2, keepdims=True, dtype=np.float32)
    mixed = photo + np.float32(min(2 * dim, 1)) * (gray - photo)
    picture: NDArray[np.uint8] = np.rint(np.float32(1 - dim) * mixed).astype(np.uint8)
    return picture


def _frames_and_scales(
    features: Features | Regions | ArrayLike,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    given = features.frames if isinstance(features, Features | Regions) else features
    frames = _check.frames(given, "features")
    return frames, scales_of(frames)


def _colours(scales: NDArray[np.float32]) -> list[tuple[int, ...]]:
    """Return a colour for each scale, by its logarithm within the range there is."""
    logs = np.log2(np.maximum(scales, 1e-6))
    low, high = (logs.min(), logs.max()) if len(logs) else (0.0, 0.0)
    places = (logs - low) / max(high - low, 1e-6) * (len(_COLOURS) - 1)
    stops = np.arange(len(_COLOURS))
    channels = [np.interp(places, stops, channel) for channel in _COLOURS.T]
    return [tuple(row) for row in np.rint(np.column_stack(channels)).astype(int).tolist()]


def _one_colour(colour: tuple[int, int, int], n: int) -> list[tuple[int, ...]]:
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


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    from PIL import Image

    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    kind = formats.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"path must end in {', '.join(formats)}, got {str(path)!r}")
    data = io.BytesIO()
    Image.fromarray(picture).save(data, kind, **({"quality": 92} if kind != "PNG" else {}))
    _files.replace(path, [data.getvalue()])
