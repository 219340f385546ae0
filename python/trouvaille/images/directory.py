# SPDX-License-Identifier: Apache-2.0
"""Directories of TIFF, in which TIFF files and EXIF blocks keep their tags.

Counts and positions come from the file, so nothing is read beyond the data, and the number of
values of a tag has a limit.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from .limits import ImageError, truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIENTATION = 274  # the tag
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # by the number of the type
_MAX_VALUES = 2**20  # of one tag: Pillow needs some 100 bytes of memory for each


def directory_entries(
    data: bytes, directory: int, order: str
) -> Iterator[tuple[int, int, int, int]]:
    """Yield (position, tag, type, count) of each entry; struct.error where the data stops."""
    (number,) = struct.unpack_from(order + "H", data, directory)
    for position in range(directory + 2, directory + 2 + 12 * number, 12):
        yield position, *struct.unpack_from(order + "HHI4x", data, position)


def directory_values(
    data: bytes, position: int, order: str, kind: int, count: int
) -> tuple[int, ...]:
    """Return the integers of an entry; (0,) for other types, which must be within the data."""
    if kind not in TYPE_BYTES or not 0 < count <= _MAX_VALUES:
        raise ImageError(f"a TIFF tag with {count} values of type {kind}", "unsupported")
    at, size = position + 8, TYPE_BYTES[kind] * count
    if size > 4:
        (at,) = struct.unpack_from(order + "I", data, at)
    if at + size > len(data):
        raise truncated("within the values of a tag")
    if kind not in _INTEGERS:
        return (0,)
    return struct.unpack_from(f"{order}{count}{_INTEGERS[kind]}", data, at)
