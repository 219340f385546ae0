# SPDX-License-Identifier: Apache-2.0
"""The content of a file to the module of its container, told by the first bytes.

Each container has a module with one function, which checks the declared size and the end of the
data, and returns decoded pixels in a mode of Pillow and the EXIF orientation, not yet applied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .jpeg import JPEG_SIGNATURE, open_jpeg
from .limits import ImageError, Limits, truncated
from .png import PNG_SIGNATURE, open_png
from .tiff import TIFF_SIGNATURES, open_tiff
from .webp import open_webp

if TYPE_CHECKING:
    from PIL import Image

_FOREIGN = {b"GIF8": "GIF", b"BM": "BMP", b"%PDF": "PDF", b"II+\0": "BigTIFF", b"MM\0+": "BigTIFF"}


def open_image(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    """Return decoded pixels in a mode of Pillow, and the EXIF orientation."""
    if data.startswith(JPEG_SIGNATURE):
        return open_jpeg(data, limits)
    if data.startswith(PNG_SIGNATURE):
        return open_png(data, limits)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return open_webp(data, limits)
    if data.startswith(TIFF_SIGNATURES):
        return open_tiff(data, limits)
    signatures = (JPEG_SIGNATURE, PNG_SIGNATURE, *TIFF_SIGNATURES, b"RIFF")
    if len(data) < 12 and any(signature.startswith(data[:4]) for signature in signatures):
        raise truncated(f"{len(data)} bytes")
    foreign = next((name for magic, name in _FOREIGN.items() if data.startswith(magic)), None)
    if data[4:8] == b"ftyp":
        foreign = "HEIC or AVIF"
    content = foreign or f"unknown content, beginning with {data[:8]!r}"
    raise ImageError(f"{content}; convert it to JPEG, PNG, WebP or TIFF", "unsupported")
