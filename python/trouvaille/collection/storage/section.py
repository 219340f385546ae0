# SPDX-License-Identifier: Apache-2.0
"""Section files: named arrays, memory-mapped and verified block by block; see docs/format.md."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import FormatVersionError, IndexCorruptError
from . import blocks, header, text
from .blocks import BLOCK
from .directory import Directory
from .kinds import Problem, Rules
from .manifest import FileEntry

Verify = Literal["lazy", "full"]


def write_section(
    directory: Directory,
    name: str,
    kind: str,
    arrays: Mapping[str, ArrayLike],
    uuid: UUID | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    required: bool = True,
) -> FileEntry:
    """Write `arrays` to the new file `name`, and return when they are on the disk.

    Parameters
    ----------
    directory : Directory
        Where; a file of this name must not exist.
    name : str
        Name of the file.
    kind : str
        What the arrays are together, as ``postings``.
    arrays : mapping of str to array_like
        Whole or floating-point numbers, of any size and layout.
    uuid : UUID, optional
        The file's own; a random one by default.
    metadata : mapping, optional
        Plain JSON values, at most some 60 KB.
    required : bool
        Whether a reader that does not know the kind must refuse the index.

    Returns
    -------
    entry : FileEntry
        What a manifest must know of the file.
    """
    uuid = uuid or uuid4()
    given = {key: _storable(key, value) for key, value in arrays.items()}
    shapes = {key: (array.dtype, array.shape) for key, array in given.items()}
    extra = text.plain(dict(metadata or {}), "metadata")
    head, specs, data_end = header.encode(kind, uuid, shapes, extra)
    summing = blocks.Summing(uuid)
    with NewFile(directory, name) as file:
        position = len(head)
        file.write(head, summing)
        for key, array in given.items():
            file.write(bytes(specs[key].begin - position), summing)
            file.write(_bytes_of(array), summing)
            position = specs[key].end
        file.write(bytes(data_end - position), summing)
        table = summing.table().tobytes()
        root = blocks.root(table, uuid)
        file.write(table + struct.pack("<I", root))
    return FileEntry(kind, name.rpartition("/")[2], uuid, file.size, root, required)


class NewFile:
    """A file being written: on the disk when the block ends, and closed in any case."""

    def __init__(self, directory: Directory, name: str) -> None:
        self._directory = directory
        self._name = name
        self.size = 0

    def __enter__(self) -> NewFile:
        self._file = self._directory.create(self._name)
        return self

    def write(self, data: bytes | memoryview, summing: blocks.Summing | None = None) -> None:
        """Append `data`, and take it into the checksums."""
        if data:
            view = memoryview(data)
            self._directory.write(self._file, view)
            self.size += len(view)
            if summing:
                summing.update(view)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._directory.fsync(self._file)
        finally:
            self._directory.close(self._file)


def _storable(name: str, array: ArrayLike) -> NDArray[Any]:
    given = np.asarray(array)
    if given.dtype.name not in header.DTYPES or not 1 <= given.ndim <= header.MAX_AXES:
        raise TypeError(
            f"array {name!r} must hold numbers in 1 to {header.MAX_AXES} axes, "
            f"got dtype {given.dtype}, shape {given.shape}"
        )
    return np.ascontiguousarray(given, header.DTYPES[given.dtype.name])


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


class Section:
    """A section file, open for reading: its arrays as read-only views of the mapped file.

    Lazily verified, a block is compared with its checksum, and its numbers with their bounds, when
    an array is first asked for that touches it. Any number of threads may read.

    Attributes
    ----------
    path : Path
    kind : str
    uuid : UUID
    metadata : mapping
    shapes : mapping of str to tuple
        The shape of each array, by name.
    dtypes : mapping of str to dtype
        And what it is of.
    """

    def __init__(
        self,
        directory: Directory,
        name: str,
        kind: str,
        entry: FileEntry | None,
        rules: Rules | None,
    ) -> None:
        self.path: Path = directory.path_of(name)
        self.kind = kind
        self._map = memoryview(directory.map(name))
        self._rules = rules
        self._read_head(entry)
        self.shapes = MappingProxyType({key: spec.shape for key, spec in self._specs.items()})
        self.dtypes = MappingProxyType({key: spec.dtype for key, spec in self._specs.items()})
        # Each array has its own record of blocks: two arrays may share one at their border.
        self._verified = {
            key: np.zeros(self._block_range(spec.begin, spec.end)[1], np.bool_)
            for key, spec in self._specs.items()
        }
        self._in_order: set[str] = set()

    @classmethod
    def open(
        cls,
        directory: Directory,
        name: str,
        kind: str,
        *,
        entry: FileEntry | None = None,
        rules: Rules | None = None,
        verify: Verify = "lazy",
    ) -> Section:
        """Open the section file `name`.

        Parameters
        ----------
        directory : Directory
            Where it is.
        name : str
            Name of the file.
        kind : str
            What it must be.
        entry : FileEntry, optional
            What the manifest knows of it: the file must be that very one.
        rules : Rules, optional
            What must hold of the arrays, beside the checksums.
        verify : {"lazy", "full"}
            Whether blocks are verified at first touch, or all of them now.

        Raises
        ------
        IndexCorruptError
            If it is not what was written.
        FormatVersionError
            If it is whole, but of a newer format.
        """
        section = cls(directory, name, kind, entry, rules)
        if verify == "full":
            section.verify()
        return section

    def _read_head(self, entry: FileEntry | None) -> None:
        try:
            prefix = header.parse_prefix(self._map)
        except ValueError as error:
            raise self._corrupt("header", 0, str(error)) from None
        self.uuid = prefix.uuid
        self._check_table(prefix, entry)
        self._check_block(0, "header")
        if prefix.version != header.VERSION:
            raise FormatVersionError(self.path, f"format {prefix.version}", f"{header.VERSION}")
        try:
            description = header.parse_description(self._map, prefix)
        except ValueError as error:
            raise self._corrupt("header", 0, str(error)) from None
        if description.kind != self.kind:
            raise self._corrupt("header", 0, f"is of kind {description.kind!r}")
        self.metadata = MappingProxyType(description.metadata)
        self._specs = description.arrays
        self._check_shapes()

    def _check_table(self, prefix: header.Prefix, entry: FileEntry | None) -> None:
        self._data_end = prefix.data_end
        table = bytes(self._map[prefix.data_end : -4])
        (root,) = struct.unpack("<I", self._map[-4:])
        if root != blocks.root(table, prefix.uuid):
            raise self._corrupt("checksums", prefix.data_end, "the checksums are damaged")
        self._table = np.frombuffer(table, "<u4")
        if entry and (entry.uuid, entry.size, entry.checksum) != (prefix.uuid, prefix.size, root):
            raise self._corrupt("header", 16, "is not the file that the manifest names")

    def _check_shapes(self) -> None:
        if self._rules:
            shapes = {key: (spec.dtype, spec.shape) for key, spec in self._specs.items()}
            self._refuse(self._rules.check_shapes(shapes))

    def array(self, name: str) -> NDArray[Any]:
        """Return a whole array; its blocks are verified at first use."""
        spec = self._specs[name]
        self._touch(name, spec.begin, spec.end)
        view = self._view(name)
        if self._rules and name not in self._in_order:
            self._refuse(self._rules.check_structure(name, view, self.array))
            self._in_order.add(name)
        return view

    def rows(self, name: str, begin: int, end: int) -> NDArray[Any]:
        """Return rows begin, ..., end - 1 of an array; only the blocks they touch are verified.

        Whether the lists of the whole array are sorted is known only to `array`.
        """
        spec = self._specs[name]
        if not 0 <= begin <= end <= spec.shape[0]:
            raise IndexError(f"{name} has {spec.shape[0]} rows, got begin {begin} and end {end}")
        width = spec.dtype.itemsize * math.prod(spec.shape[1:])
        self._touch(name, spec.begin + begin * width, spec.begin + end * width)
        return self._view(name)[begin:end]

    def take(self, name: str, begins: ArrayLike, ends: ArrayLike) -> NDArray[Any]:
        """Return the rows of several ranges, one after the other, in a new array."""
        pieces = [
            self.rows(name, int(begin), int(end))
            for begin, end in zip(np.asarray(begins), np.asarray(ends), strict=True)
        ]
        return np.concatenate(pieces) if pieces else self._view(name)[:0].copy()

    def verify(self) -> None:
        """Verify every byte of the file, and every rule."""
        for number in range(blocks.n_blocks(self._data_end)):
            self._check_block(number, self._name_at(number * BLOCK))
        for name in self._specs:
            self.array(name)

    def _view(self, name: str) -> NDArray[Any]:
        spec = self._specs[name]
        return np.ndarray(spec.shape, spec.dtype, self._map, spec.begin)

    @staticmethod
    def _block_range(begin: int, end: int) -> tuple[int, int]:
        first = begin // BLOCK
        return first, blocks.n_blocks(end) - first if end > begin else 0

    def _touch(self, name: str, begin: int, end: int) -> None:
        """Verify the blocks of bytes begin, ..., end - 1 of the file, all of the array `name`."""
        first_of_array = self._specs[name].begin // BLOCK
        first, count = self._block_range(begin, end)
        local = first - first_of_array
        record = self._verified[name][local : local + count]
        if record.all():
            return
        for i in np.flatnonzero(~record):
            self._check_block(first + int(i), name)
            self._check_values(name, first + int(i))
            record[i] = True

    def _check_block(self, number: int, name: str) -> None:
        data = self._map[: self._data_end]
        if blocks.checksum(data, self.uuid, number) != self._table[number]:
            raise self._corrupt(name, number * BLOCK, "the block's checksum does not match")

    def _check_values(self, name: str, number: int) -> None:
        if self._rules is None or self._rules.is_free(name):
            return
        # Numbers do not lie across blocks: arrays begin at multiples of 64, blocks too.
        spec = self._specs[name]
        begin, end = max(spec.begin, number * BLOCK), min(spec.end, (number + 1) * BLOCK)
        values = np.frombuffer(self._map[begin:end], spec.dtype)
        problem = self._rules.check_values(name, values)
        if problem:
            self._refuse(
                (name, problem[1] + (begin - spec.begin) // spec.dtype.itemsize, problem[2])
            )

    def _name_at(self, offset: int) -> str:
        inside = (key for key, spec in self._specs.items() if spec.begin <= offset < spec.end)
        return next(inside, "header")

    def _refuse(self, problem: Problem | None) -> None:
        if problem:
            name, value, reason = problem
            spec = self._specs.get(name)
            offset = spec.begin + value * spec.dtype.itemsize if spec else 0
            raise self._corrupt(name, offset, reason)

    def _corrupt(self, name: str, offset: int, reason: str) -> IndexCorruptError:
        return IndexCorruptError(self.path, f"{self.kind}.{name}", offset, reason)
