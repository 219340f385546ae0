# SPDX-License-Identifier: Apache-2.0
"""PNG: chunks with checksums, and rows that are counted.

Pillow checks neither the checksums of pixel data nor that there are as many rows as declared, so
both are done here; ancillary chunks that do not make pixels are dropped.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from .exif import orientation_of
from .limits import ImageError, Limits, check_size, truncated
from .stream import StrictReader, decode_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def open_png(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    """Return the decoded pixels of a PNG, and its EXIF orientation."""
    from PIL import PngImagePlugin

    header, pixels, exif = [PNG_SIGNATURE], [], b""
    depth = colour = size = 0
    for kind, body, chunk in _chunks(data):
        if kind == b"IHDR":
            width, height, depth, colour, interlaced = struct.unpack(">IIBB2xB", body)
            check_size(width, height, limits)
            size = _inflated_size(width, height, depth * _CHANNELS[colour], interlaced)
            header.append(chunk)
        elif len(header) == 1:
            raise ImageError(f"a PNG that begins with {kind!r}, not IHDR", "unsupported")
        elif kind == b"IDAT":
            pixels.append(body)
        elif kind == b"eXIf":
            exif = body
        # A transparent colour of 2, 4 or 16 bits means nothing once the samples are 8 bits.
        elif kind == b"PLTE" or (kind == b"tRNS" and (colour == 3 or depth in (1, 8))):
            header.append(chunk)
    header.append(b"\0\0\0\0IDAT")  # where Pillow stops to read the header
    stream = b"".join(pixels)
    image = decode_stream(PngImagePlugin.PngImageFile(StrictReader(b"".join(header))), stream)
    # Pillow leaves rows black that a well-formed stream lacks. It takes time to count them, and a
    # last row with something in it tells as much.
    last_row = np.asarray(image.crop((0, height - 1, width, height)))
    if (interlaced or not last_row.any()) and not _inflates_to(stream, size):
        raise truncated("fewer rows than declared")
    return image, orientation_of(exif)


def _inflated_size(width: int, height: int, pixel_bits: int, interlaced: bool) -> int:
    # Each row of each pass has a byte of its own, the filter, and ends at a whole byte.
    size = 0
    for x, y, step_x, step_y in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = max(0, -((x - width) // step_x)), max(0, -((y - height) // step_y))
        size += rows * (1 + -(-columns * pixel_bits // 8)) if columns else 0
    return size


def _inflates_to(stream: bytes, size: int) -> bool:
    return len(zlib.decompressobj().decompress(stream, size)) == size


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    # (kind, body, whole chunk) of each intact chunk up to IEND. Pillow does not check pixel data.
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        chunk = data[position : position + 12 + length]
        if len(chunk) < 12 + length:
            break
        if zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big"):
            yield kind, chunk[8:-4], chunk
        elif kind[:1].isupper() or kind == b"tRNS":  # the rest, as EXIF, cannot harm the pixels
            raise ImageError(f"the checksum of chunk {kind!r} at byte {position} does not match")
        if kind == b"IEND":
            return
        position += len(chunk)
    raise truncated("no IEND chunk")
