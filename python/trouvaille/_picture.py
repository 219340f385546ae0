# SPDX-License-Identifier: Apache-2.0
"""Pictures of what was found: the photo dimmed, lines on it, and the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _files

Colour = tuple[int, ...]
"""Red, green, blue."""

# Apart for colour-blind eyes, too, and light on any photo.
COLOURS: tuple[Colour, ...] = (
    (255, 225, 77),
    (255, 150, 66),
    (240, 90, 120),
    (190, 100, 240),
    (90, 200, 255),
)

_SHIFT = 4  # bits of a pixel's fraction, for the drawing
_LIMIT = 2**15  # pixels beyond which nothing is drawn


def dimmed(photo: NDArray[np.uint8], dim: ArrayLike) -> NDArray[np.uint8]:
    """Return an RGB photo darker and grayer by `dim`, from 0 to 1, so that lines stand out."""
    share = float(_check.array(dim, "dim", np.float64, ndim=0))
    if not 0 <= share <= 1:
        raise ValueError(f"dim must be between 0 and 1, got {share}")
    gray = photo.mean(axis=2, keepdims=True, dtype=np.float32)
    mixed = photo + np.float32(min(2 * share, 1)) * (gray - photo)
    picture: NDArray[np.uint8] = np.rint(np.float32(1 - share) * mixed).astype(np.uint8)
    return picture


def draw_line(
    picture: NDArray[np.uint8], points: NDArray[np.float64], colour: Colour, width: int = 1
) -> None:
    """Draw a smooth line through points, shape (n, 2); none if one of them is far outside."""
    import cv2

    if (np.abs(points) < _LIMIT).all():
        corners = np.rint(points * 2**_SHIFT).astype(np.int32)
        cv2.polylines(picture, [corners], False, colour, width, cv2.LINE_AA, shift=_SHIFT)


def draw_dot(
    picture: NDArray[np.uint8], centre: NDArray[np.float64], colour: Colour, radius: float
) -> None:
    """Draw a smooth disk."""
    import cv2

    x, y = np.rint(centre * 2**_SHIFT).astype(int).tolist()
    r = round(radius * 2**_SHIFT)
    cv2.circle(picture, (x, y), r, colour, cv2.FILLED, cv2.LINE_AA, shift=_SHIFT)


def write(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write RGB pixels as a PNG, a JPEG or a WebP, by the path's ending."""
    from PIL import Image

    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    kind = formats.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"path must end in {', '.join(formats)}, got {str(path)!r}")
    data = io.BytesIO()
    Image.fromarray(picture).save(data, kind, **({"quality": 92} if kind != "PNG" else {}))
    _files.replace(path, [data.getvalue()])
