# SPDX-License-Identifier: Apache-2.0
"""The bytes of a section file, read as they lie; nothing is believed before its checksum is."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatVersionError, IndexCorruptError
from . import blocks, header
from .blocks import BLOCK
from .header import ArraySpec


class SectionFile:
    """A section file whose head is verified; its other blocks are when somebody asks for it.

    Parameters
    ----------
    path : Path
        For errors; nothing is opened.
    kind : str
        What the file must be.
    data : memoryview
        All of its bytes.
    known : tuple, optional
        The uuid, size and root that it must have.

    Raises
    ------
    IndexCorruptError
        If it is not what was written.
    FormatVersionError
        If it is whole, but of a newer format.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        data: memoryview,
        known: tuple[UUID, int, int] | None = None,
    ) -> None:
        self.path = path
        self.kind = kind
        self._map = data
        try:
            prefix = header.parse_prefix(data)
        except ValueError as error:
            raise self.corrupt("header", 0, str(error)) from None
        self.uuid = prefix.uuid
        self._read_table(prefix, known)
        self.check_block(0, "header")
        self._read_description(prefix)

    def _read_table(self, prefix: header.Prefix, known: tuple[UUID, int, int] | None) -> None:
        self._data_end = prefix.data_end
        table = bytes(self._map[prefix.data_end : -4])
        (root,) = struct.unpack("<I", self._map[-4:])
        if root != blocks.root(table, prefix.uuid):
            raise self.corrupt("checksums", prefix.data_end, "the checksums are damaged")
        self._table = np.frombuffer(table, "<u4")
        if known and known != (prefix.uuid, prefix.size, root):
            raise self.corrupt("header", 16, "is not the file that the manifest names")

    def _read_description(self, prefix: header.Prefix) -> None:
        if prefix.version != header.VERSION:
            raise FormatVersionError(self.path, f"format {prefix.version}", f"{header.VERSION}")
        try:
            description = header.parse_description(self._map, prefix)
        except ValueError as error:
            raise self.corrupt("header", 0, str(error)) from None
        if description.kind != self.kind:
            raise self.corrupt("header", 0, f"is of kind {description.kind!r}, not {self.kind!r}")
        self.metadata = MappingProxyType(description.metadata)
        self.specs = MappingProxyType(description.arrays)

    @property
    def n_blocks(self) -> int:
        """The number of blocks before the table."""
        return len(self._table)

    def view(self, spec: ArraySpec) -> NDArray[Any]:
        """Return the array that lies there; it is no more writable than the bytes are."""
        return np.ndarray(spec.shape, spec.dtype, self._map, spec.begin)

    def check_block(self, number: int, name: str) -> None:
        """Compare a block, which belongs to the array `name`, with its checksum."""
        self.check_blocks(number, number + 1, lambda _: name)

    def check_blocks(self, first: int, end: int, name_at: Callable[[int], str]) -> None:
        """Compare blocks first, ..., end - 1; `name_at` says what lies at an offset in the file."""
        data = self._map[: self._data_end]
        found = blocks.checksums(data, self.uuid, first, end)
        damaged = np.flatnonzero(found != self._table[first:end])
        if len(damaged):
            offset = (first + int(damaged[0])) * BLOCK
            raise self.corrupt(name_at(offset), offset, "the block's checksum does not match")

    def corrupt(self, name: str, offset: int, reason: str) -> IndexCorruptError:
        """Return the error that says where in the file what is wrong."""
        return IndexCorruptError(self.path, f"{self.kind}.{name}", offset, reason)


def name_at(specs: Mapping[str, ArraySpec], offset: int, otherwise: str) -> str:
    """Return the first array that has bytes in the block that begins at `offset`."""
    end = offset + BLOCK
    inside = (name for name, spec in specs.items() if spec.begin < end and offset < spec.end)
    return next(inside, otherwise)
