# SPDX-License-Identifier: Apache-2.0
"""A CRC-32C for every block of 64 KiB, seeded with the file's uuid and the block's number.

The seed makes a block valid in its own place only: not in another file, nor elsewhere in its own.
"""

from __future__ import annotations

from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from .._core import crc32c, crc32c_of_blocks

BLOCK = 1 << 16


def n_blocks(size: int) -> int:
    """Return the number of blocks of a file of `size` bytes; the last may be shorter."""
    return -(-size // BLOCK)


def seed(uuid: UUID, number: int) -> int:
    """Return the CRC from which that of block `number` starts."""
    return crc32c(uuid.bytes + number.to_bytes(8, "little"))


def checksums(data: memoryview, uuid: UUID, first: int, end: int) -> NDArray[np.uint32]:
    """Return the CRCs of blocks first, ..., end - 1 of the file that begins with `data`."""
    return crc32c_of_blocks(data[first * BLOCK : end * BLOCK], BLOCK, uuid.bytes, first)


def root(table: bytes, uuid: UUID) -> int:
    """Return the CRC of a table of CRCs, as of a block after the last: it stands for the file."""
    return crc32c(table, seed(uuid, len(table) // 4))


class Summing:
    """The table of CRCs of a file, made while the file is written."""

    def __init__(self, uuid: UUID) -> None:
        self._uuid = uuid
        self._done: list[int] = []
        self._filled = 0
        self._crc = seed(uuid, 0)

    def update(self, data: memoryview) -> None:
        """Take in the next bytes of the file."""
        while data:
            piece = data[: BLOCK - self._filled]
            data = data[len(piece) :]
            self._crc = crc32c(piece, self._crc)
            self._filled += len(piece)
            if self._filled == BLOCK:
                self._next()

    def _next(self) -> None:
        self._done.append(self._crc)
        self._filled = 0
        self._crc = seed(self._uuid, len(self._done))

    def table(self) -> NDArray[np.uint32]:
        """Return the CRCs of all blocks; the file is at its end."""
        if self._filled:
            self._next()
        return np.array(self._done, dtype="<u4")


def table_of(data: memoryview, uuid: UUID) -> NDArray[np.uint32]:
    """Return the CRCs of all blocks of `data`."""
    return checksums(data, uuid, 0, n_blocks(len(data)))
