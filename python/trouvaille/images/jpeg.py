# SPDX-License-Identifier: Apache-2.0
"""JPEG: segments up to the end of the image.

The walk goes through compressed data too, because the size, the number of scans and the end of the
image have to be known before Pillow decodes; metadata that does not make pixels is dropped.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from .exif import EXIF_PREFIX, orientation_of
from .limits import ImageError, Limits, check_size, truncated
from .stream import StrictReader, decode_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

JPEG_SIGNATURE = b"\xff\xd8\xff"

# A marker that is neither a stuffed zero nor a restart; fill bytes before it are skipped.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END, _EXIF = 0xDA, 0xD9, 0xE1
# JFIF (E0) and Adobe (EE) tell the colour space; comments and other applications are dropped.
_METADATA = (frozenset(range(0xE1, 0xF0)) - {0xEE}) | {0xFE}
_MAX_SCANS = 200  # each costs a pass over the image: a small file could take hours


def open_jpeg(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    """Return the decoded pixels of a JPEG, and its EXIF orientation."""
    from PIL import JpegImagePlugin

    pieces: list[bytes] = []
    kept = frames = scans = end = 0
    exif = b""
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker in _FRAMES:
            frames += 1
            _check_frame(body, limits)
        elif marker == _SCAN:
            scans += 1
        elif marker == _EXIF and body.startswith(EXIF_PREFIX):
            exif = exif or body
        if marker in _METADATA:
            pieces.append(data[kept:start])
            kept = end
    if frames == 0 or scans == 0:
        raise ImageError("a JPEG without an image")
    if scans > _MAX_SCANS:
        raise ImageError(f"{scans} scans, the limit is {_MAX_SCANS}", "unsupported")
    stream = b"".join([*pieces, data[kept:end]])  # what follows the end, a video say, is dropped
    header = JpegImagePlugin.JpegImageFile(StrictReader(stream))
    return decode_stream(header, stream), orientation_of(exif)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    # (marker, start, end) of each segment up to the end of the image, across compressed data.
    position = 2
    while match := _MARKER.search(data, position):
        marker, position = match[1][0], match.end()
        if marker == _END:
            yield marker, match.start(), position
            return
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
        if position > len(data):
            break
        yield marker, match.start(), position
    raise truncated("no end-of-image marker")


def _check_frame(body: bytes, limits: Limits) -> None:
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    check_size(width, height, limits)
    if precision != 8 or components not in (1, 3, 4):
        raise ImageError(
            f"a JPEG of {components} components of {precision} bits; convert it to 8-bit gray, "
            "RGB or CMYK",
            "unsupported",
        )
