# SPDX-License-Identifier: Apache-2.0
"""Sets of rows: bit i of word i // 64 says whether row i is in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bitmap = NDArray[np.uint64]


def packed(members: NDArray[np.bool_]) -> Bitmap:
    """Return the bitmap of a boolean a row."""
    bits = np.packbits(members, bitorder="little")
    whole = np.zeros(-(-len(members) // 64) * 8, np.uint8)
    whole[: len(bits)] = bits
    return whole.view("<u8").astype(np.uint64, copy=False)


def unpacked(bitmap: Bitmap, n: int) -> NDArray[np.bool_]:
    """Return a boolean for each of `n` rows."""
    bits = bitmap.astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(bits, count=n, bitorder="little").view(np.bool_)
