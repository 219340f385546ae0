# SPDX-License-Identifier: Apache-2.0
"""WebP: chunks of a RIFF file, each size in them within the limits.

The canvas and the picture on it may declare different sizes, so each one found is checked before
any pixel is allocated.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING

from .exif import orientation_of
from .limits import Limits, check_size, truncated

if TYPE_CHECKING:
    from PIL import Image


def open_webp(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    """Return the decoded pixels of a WebP, and its EXIF orientation."""
    from PIL import WebPImagePlugin

    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise truncated(f"{len(data)} of {end} bytes")
    exif = b""
    position = 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : min(end, position + 8 + length)]
        if size := _declared_size(kind, body):
            check_size(*size, limits)
        if kind == b"EXIF":
            exif = body
        position += 8 + length + length % 2
    image = WebPImagePlugin.WebPImageFile(BytesIO(data[:end]))
    image.load()
    return image, orientation_of(exif)


def _declared_size(kind: bytes, body: bytes) -> tuple[int, int] | None:
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
        return width + 1, height + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
