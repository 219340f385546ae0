# SPDX-License-Identifier: Apache-2.0
"""TIFF: the first page, every strip or tile of it within the data.

Pillow gets the file with a directory of only the tags that make pixels: it warns of damage in any
other, leaves missing strips black, and would turn the page by its orientation of its own accord.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

from .directory import ORIENTATION, TYPE_BYTES, directory_entries, directory_values
from .limits import ImageError, Limits, check_size, truncated
from .stream import StrictReader

if TYPE_CHECKING:
    from PIL import Image

_Tags: TypeAlias = dict[int, tuple[int, ...]]

TIFF_SIGNATURES = (b"II*\0", b"MM\0*")

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _SAMPLES, _STRIP_HEIGHT, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
# The tags that make pixels: Pillow warns of damage in any other, and of several values in those
# that have one. Without a name here: fill order, predictor, YCbCr position; palette, kinds of
# samples (2), JPEG tables, YCbCr (3).
_SINGLE = frozenset(
    {_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, ORIENTATION, _SAMPLES, _STRIP_HEIGHT}
    | {_PLANAR, _TILE_WIDTH, _TILE_HEIGHT, 266, 317, 531}
)
_SEVERAL = frozenset(
    {_BITS, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, 320, 338, 339, 347, 529, 530, 532}
)
# None, LZW, JPEG, Deflate (2), PackBits, LZMA, Zstandard. Not fax: its damage goes unnoticed.
_COMPRESSIONS = frozenset({1, 5, 7, 8, 32946, 32773, 34925, 50000})
_PHOTOMETRICS = frozenset({0, 1, 2, 3, 5, 6})  # gray (2), RGB, palette, CMYK, YCbCr
_MAX_SAMPLES = 6


def open_tiff(data: bytes, limits: Limits) -> tuple[Image.Image, int]:
    """Return the decoded pixels of the first page of a TIFF, and its orientation."""
    from PIL import Image, TiffImagePlugin

    try:
        page, tags = _first_page(data)
    except struct.error as error:
        raise truncated("within the directory") from error
    _check_declared(tags, len(data), limits, Image.MAX_IMAGE_PIXELS)
    compression, photometric = _first(tags, _COMPRESSION, 1), _first(tags, _PHOTOMETRIC, 0)
    bits, samples = max(tags.get(_BITS, (1,))), _first(tags, _SAMPLES, 1)
    if (
        compression not in _COMPRESSIONS
        or photometric not in _PHOTOMETRICS
        or samples > _MAX_SAMPLES
        or (photometric == 0 and bits > 8)  # white is 0: Pillow would return the negative
    ):
        raise ImageError(
            f"a TIFF with compression {compression}, photometric interpretation {photometric}, "
            f"{samples} samples of {bits} bits; convert it to 8-bit gray or RGB",
            "unsupported",
        )
    try:
        image = TiffImagePlugin.TiffImageFile(StrictReader(page))
    except SyntaxError as error:
        raise ImageError(f"a TIFF that Pillow cannot read: {error}", "unsupported") from error
    image.load()
    return image, _first(tags, ORIENTATION, 1)


def _first_page(data: bytes) -> tuple[bytes, _Tags]:
    # The file with a directory of only the tags that make its first page, and their values.
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "4xI", data)
    tags: _Tags = {}
    entries: list[bytes] = []
    total = 0
    for position, tag, kind, count in directory_entries(data, directory, order):
        if tag in tags or tag not in _SINGLE | _SEVERAL:
            continue
        tags[tag] = directory_values(data, position, order, kind, count)
        total += TYPE_BYTES[kind] * count
        if (tag in _SINGLE and count > 1) or total > len(data):
            raise ImageError(f"a TIFF with {count} values of tag {tag}")
        if tag != ORIENTATION:  # which Pillow would apply of its own accord
            entries.append(data[position : position + 12])
    new = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)  # no next page
    return b"".join([data[:directory], new, data[directory + len(new) :]]), tags


def _check_declared(tags: _Tags, length: int, limits: Limits, pillow_limit: int | None) -> None:
    width, height = _first(tags, _WIDTH, 0), _first(tags, _HEIGHT, 0)
    check_size(width, height, limits)
    if pillow_limit is not None and width * height > pillow_limit:
        raise ImageError(
            f"declares {width} x {height} pixels, over PIL.Image.MAX_IMAGE_PIXELS", "too_large"
        )
    # Every strip or tile must be declared, and be in the file; Pillow leaves the missing black.
    offsets, sizes = tags.get(_STRIPS, ()), tags.get(_STRIP_BYTES, ())
    block = width, min(height, _first(tags, _STRIP_HEIGHT, height))
    if not offsets:
        offsets, sizes = tags.get(_TILES, ()), tags.get(_TILE_BYTES, ())
        block = _first(tags, _TILE_WIDTH, 0), _first(tags, _TILE_HEIGHT, 0)
    check_size(*block, limits)
    planes = _first(tags, _SAMPLES, 1) if _first(tags, _PLANAR, 1) == 2 else 1
    needed = -(-width // block[0]) * -(-height // block[1]) * planes
    if len(offsets) < needed:
        raise truncated(f"{len(offsets)} of {needed} strips or tiles")
    # Uncompressed files are known for wrong byte counts, which Pillow does not need.
    ends = [offset + size for offset, size in zip(offsets, sizes, strict=False)]
    if _first(tags, _COMPRESSION, 1) != 1 and max(ends, default=0) > length:
        raise truncated("within a strip or tile")


def _first(tags: _Tags, tag: int, default: int) -> int:
    return tags.get(tag, (default,))[0]
