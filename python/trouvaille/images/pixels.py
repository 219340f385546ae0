# SPDX-License-Identifier: Apache-2.0
"""Pixels of any kind to 8-bit gray or RGB, upright and of the size wanted.

The conversions of a decoded image are those of an array in memory too, so that a photo has the
same pixels whichever way it is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .limits import ImageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from PIL import Image

_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",  # Pillow counts anticlockwise
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


def as_gray(image: ArrayLike) -> NDArray[np.uint8]:
    """Return the gray pixels of an image in memory.

    Parameters
    ----------
    image : (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) uint8
        Gray, RGB or RGBA (composited on white). OpenCV's BGR is to be reversed first.

    Returns
    -------
    (h, w) uint8, C-contiguous
        The same luma as `decode`. A contiguous gray array is returned as it is, not copied.

    Raises
    ------
    TypeError
        The dtype is not uint8.
    ValueError
        The shape is not one of those above; ImageError with status `empty` if it has no pixels.
    """
    pixels = _checked(image)
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels)
    from PIL import Image

    return to_array(Image.fromarray(pixels), 1, "L")


def as_rgb(image: ArrayLike) -> NDArray[np.uint8]:
    """Return the RGB pixels of an image in memory.

    Parameters and errors are those of `as_gray`; gray pixels become equal parts of the three.

    Returns
    -------
    (h, w, 3) uint8, C-contiguous
        The same as `decode`. A contiguous array of three channels is returned as it is, not copied.
    """
    pixels = _checked(image)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return np.ascontiguousarray(pixels)
    from PIL import Image

    return to_array(Image.fromarray(pixels), 1, "RGB")


def _checked(image: ArrayLike) -> NDArray[np.uint8]:
    pixels = _check.as_array(image, "image")
    if pixels.dtype != np.uint8:
        raise TypeError(f"image must be uint8, got {pixels.dtype}{_dtype_advice(pixels.dtype)}")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] in (3, 4)):
        raise ValueError(
            f"image must have shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), got {pixels.shape}"
        )
    if 0 in pixels.shape:
        raise ImageError(f"image must have pixels, got shape {pixels.shape}", "empty")
    return pixels


def resize_to(
    pixels: NDArray[np.uint8], max_size: int, *, enlarge: bool = False
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Shrink an image until its longest side is `max_size` pixels.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) uint8
        Gray, or RGB.
    max_size : int
        Longest side allowed, in pixels, at least 1.
    enlarge : bool
        Whether a smaller image is enlarged to that size.

    Returns
    -------
    resized : (h', w') or (h', w', 3) uint8
        By area interpolation if shrunk, bilinear if enlarged. Else the array itself.
    factor : (factor_x, factor_y)
        Original size over resized size along each axis. They differ a little because
        sides are whole pixels, and take (0, 0)-centred coordinates back exactly:
        ``x_original = (x + 0.5) * factor_x - 0.5``, and likewise for y.
    """
    max_size = _check.count(max_size, "max_size")
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or colour) or pixels.size == 0:
        raise ValueError(
            f"pixels must be (h, w) or (h, w, 3) uint8, got {pixels.dtype} of shape "
            f"{pixels.shape}; use as_gray(image) or as_rgb(image) first"
        )
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest == max_size or (longest < max_size and not enlarge):
        return pixels, (1.0, 1.0)
    import cv2

    new_width, new_height = (max(1, round(side * max_size / longest)) for side in (width, height))
    how = cv2.INTER_AREA if longest > max_size else cv2.INTER_LINEAR
    resized = cv2.resize(pixels, (new_width, new_height), interpolation=how)
    return np.asarray(resized, dtype=np.uint8), (width / new_width, height / new_height)


def resized(factor_x: float, factor_y: float) -> NDArray[np.float64]:
    """Return the transform of a photo enlarged so many times; (0, 0) is a pixel's centre."""
    move_x, move_y = (factor_x - 1) / 2, (factor_y - 1) / 2
    return np.array([[factor_x, 0, move_x], [0, factor_y, move_y], [0, 0, 1]])


def to_array(image: Image.Image, orientation: int, mode: str) -> NDArray[np.uint8]:
    """Return decoded pixels in the mode L or RGB, turned upright by an EXIF orientation."""
    from PIL.Image import Transpose

    pixels = _to_gray_or_rgb(image)
    if pixels.mode != mode:
        pixels = pixels.convert(mode)
    if turn := _TURNS.get(orientation):
        pixels = pixels.transpose(Transpose[turn])
    return np.array(pixels, dtype=np.uint8)  # a copy: what Pillow shares is read-only


def _to_gray_or_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_eight_bits(np.asarray(image)))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        # On white, because that is the page on which pictures with cut-out backgrounds are drawn
        # to be seen. Dropping alpha would show whatever colour the encoder left behind it, which
        # differs between encoders of the same picture.
        transparent = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(transparent, mask=transparent)
        return white
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _to_eight_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    # 16-bit integers to their high byte, floats of [0, 1] to the nearest of 0 to 255.
    is_float = samples.dtype.kind == "f"
    low, high, white = samples.min(), samples.max(), 1 if is_float else 65_535
    if not (low >= 0 and high <= white):  # so written, NaN is refused too
        raise ImageError(
            f"{samples.dtype} samples from {low} to {high}, expected 0 to {white}; scale them to "
            "8 bits first",
            "unsupported",
        )
    return (np.rint(samples * 255) if is_float else samples >> 8).astype(np.uint8)


def _dtype_advice(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return "; for floats from 0 to 1, pass np.rint(image * 255).astype(np.uint8)"
    if dtype.kind == "b":
        return "; for a mask, pass image.astype(np.uint8) * 255"
    if dtype == np.uint16:
        return "; pass (image >> 8).astype(np.uint8)"
    return "; scale it to 0 to 255, then pass image.astype(np.uint8)"
