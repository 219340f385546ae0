# SPDX-License-Identifier: Apache-2.0
"""An image at all its scales: what detectors search, and descriptors look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core, images

MAX_PIXELS = 2**31 - 2**20
"""Pixels of an image, at most, with the padding of its rows."""

MAX_SIDE = 2**24
"""Pixels of a side, at most: float32 coordinates are exact to there."""


class ScaleSpace:
    """The Gaussian scale space of an image, built once and shared by detectors and descriptors.

    Every detector and descriptor of the library takes one where it takes an image.

    Parameters
    ----------
    image : array_like of uint8, shape (h, w) or (h, w, 3) or (h, w, 4); or of float32, (h, w)
        Gray, or RGB(A), which is made gray. Floats are gray levels from 0 to 255.
    first_octave : {-1, 0}
        Where scales begin: 0 at sigma = 1.6 pixels, -1 at 0.8.
    threads : int, optional
        Worker threads; one for each core by default. The result does not depend on it.

    Attributes
    ----------
    width, height : int
        Of the image, in pixels.
    first_octave : int

    Raises
    ------
    TypeError
        If the image is neither bytes nor floats.
    ValueError
        If it has another shape, is empty, holds NaN, infinity or what is no gray level, or has
        2^31 pixels, or more than 2^24 a side.

    Notes
    -----
    Octaves of three scales, each 2^(1/3) times the one before; 44 bytes a pixel of the image (32
    from octave 0), its rows rounded up to an odd multiple of 16 pixels. The finest octave is not
    sampled at twice the image's resolution as usual [1]_: a Gaussian of 0.8 pixels leaves nothing
    beyond the image's own sampling limit, so extrema are interpolated instead.

    References
    ----------
    .. [1] D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.
    .. [2] T. Lindeberg, "Scale-space theory in computer vision", Kluwer 1994.
    """

    def __init__(
        self, image: ArrayLike, *, first_octave: int = -1, threads: int | None = None
    ) -> None:
        if first_octave not in (-1, 0) or isinstance(first_octave, bool):
            raise ValueError(f"first_octave must be -1 or 0, got {first_octave!r}")
        self.first_octave = int(first_octave)
        self._space = _core.ScaleSpace(_gray(image), self.first_octave, _check.threads(threads))
        self.width: int = self._space.width
        self.height: int = self._space.height

    def __repr__(self) -> str:
        return f"ScaleSpace({self.width}x{self.height}, first_octave={self.first_octave})"


def scale_space(
    image: ArrayLike | ScaleSpace, threads: int | None, first_octave: int = -1
) -> ScaleSpace:
    """Return the scale space given, or that of the image given."""
    if isinstance(image, ScaleSpace):
        return image
    return ScaleSpace(image, first_octave=first_octave, threads=threads)


def _gray(image: ArrayLike) -> NDArray[Any]:
    given = _check.as_array(image, "image")
    gray = _gray_floats(given) if given.dtype.kind == "f" else images.as_gray(given)
    if gray.shape[0] * (gray.shape[1] + 32) > MAX_PIXELS or max(gray.shape) > MAX_SIDE:
        raise ValueError(
            f"image must have less than 2^31 pixels, and 2^24 a side, got shape {gray.shape}"
        )
    return gray


def _gray_floats(image: NDArray[Any]) -> NDArray[np.float32]:
    if image.ndim != 2:
        raise ValueError(f"image of floats must be gray, of shape (h, w), got {image.shape}")
    if image.size == 0:
        raise images.ImageError(f"image must have pixels, got shape {image.shape}", "empty")
    if not np.isfinite(image).all():
        raise ValueError("image must be finite, got NaN or infinity")
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 255 or 0 < high <= 1:
        advice = "; multiply it by 255" if 0 < high <= 1 and low >= 0 else ""
        raise ValueError(
            f"image of floats must hold gray levels from 0 to 255, got {low:g} to {high:g}{advice}"
        )
    return np.require(image, np.float32, ["C", "A"])
