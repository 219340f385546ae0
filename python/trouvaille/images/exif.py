# SPDX-License-Identifier: Apache-2.0
"""The orientation in an EXIF block, the only part of one that trouvaille uses.

EXIF is metadata: a damaged block never makes a photo unusable.
"""

from __future__ import annotations

import struct

from .directory import ORIENTATION, directory_entries, directory_values
from .limits import ImageError

EXIF_PREFIX = b"Exif\0\0"


def orientation_of(exif: bytes) -> int:
    """Return the orientation; 1, as stored, if there is no block or it is damaged before that."""
    block = exif.removeprefix(EXIF_PREFIX)
    order = "<" if block[:2] == b"II" else ">"
    try:
        (directory,) = struct.unpack_from(order + "4xI", block)
        for position, tag, kind, count in directory_entries(block, directory, order):
            if tag == ORIENTATION:
                return directory_values(block, position, order, kind, count)[0]
    except (struct.error, ImageError):
        pass
    return 1
