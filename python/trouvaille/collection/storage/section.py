# SPDX-License-Identifier: Apache-2.0
"""Section files: named arrays, memory-mapped and verified block by block; see docs/format.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._sections import Encoding, SectionFile, blocks, name_at
from ..._sections.blocks import BLOCK
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
    encoding = Encoding(kind, arrays, metadata or {}, uuid)
    with NewFile(directory, name) as file:
        for part in encoding.parts():
            file.write(part)
    file_name = name.rpartition("/")[2]
    return FileEntry(kind, file_name, uuid, encoding.size, encoding.root, required)


class NewFile:
    """A file being written: on the disk when the block ends, and closed in any case."""

    def __init__(self, directory: Directory, name: str) -> None:
        self._directory = directory
        self._name = name
        self.size = 0

    def __enter__(self) -> NewFile:
        self._file = self._directory.create(self._name)
        return self

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`."""
        if data:
            view = memoryview(data)
            self._directory.write(self._file, view)
            self.size += len(view)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._directory.fsync(self._file)
        finally:
            self._directory.close(self._file)


class Section(SectionFile):
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
        known = (entry.uuid, entry.size, entry.checksum) if entry else None
        super().__init__(directory.path_of(name), kind, memoryview(directory.map(name)), known)
        self._rules = rules
        self._check_shapes()
        self.shapes = MappingProxyType({key: spec.shape for key, spec in self.specs.items()})
        self.dtypes = MappingProxyType({key: spec.dtype for key, spec in self.specs.items()})
        # Each array has its own record of blocks: two arrays may share one at their border.
        self._verified = {
            key: np.zeros(self._block_range(spec.begin, spec.end)[1], np.bool_)
            for key, spec in self.specs.items()
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

    def _check_shapes(self) -> None:
        if self._rules:
            shapes = {key: (spec.dtype, spec.shape) for key, spec in self.specs.items()}
            self._refuse(self._rules.check_shapes(shapes))

    def array(self, name: str) -> NDArray[Any]:
        """Return a whole array; its blocks are verified at first use."""
        spec = self.specs[name]
        self._touch(name, spec.begin, spec.end)
        view = self.view(self.specs[name])
        if self._rules and name not in self._in_order:
            self._refuse(self._rules.check_structure(name, view, self.array))
            self._in_order.add(name)
        return view

    def rows(self, name: str, begin: int, end: int) -> NDArray[Any]:
        """Return rows begin, ..., end - 1 of an array; only the blocks they touch are verified.

        Whether the lists of the whole array are sorted is known only to `array`.
        """
        spec = self.specs[name]
        if not 0 <= begin <= end <= spec.shape[0]:
            raise IndexError(f"{name} has {spec.shape[0]} rows, got begin {begin} and end {end}")
        width = spec.dtype.itemsize * math.prod(spec.shape[1:])
        self._touch(name, spec.begin + begin * width, spec.begin + end * width)
        return self.view(self.specs[name])[begin:end]

    def take(self, name: str, begins: ArrayLike, ends: ArrayLike) -> NDArray[Any]:
        """Return the rows of several ranges, one after the other, in a new array."""
        pieces = [
            self.rows(name, int(begin), int(end))
            for begin, end in zip(np.asarray(begins), np.asarray(ends), strict=True)
        ]
        return np.concatenate(pieces) if pieces else self.view(self.specs[name])[:0].copy()

    def verify(self) -> None:
        """Verify every byte of the file, and every rule."""
        self.check_blocks(0, self.n_blocks, lambda offset: name_at(self.specs, offset, "header"))
        for name in self.specs:
            self.array(name)

    @staticmethod
    def _block_range(begin: int, end: int) -> tuple[int, int]:
        first = begin // BLOCK
        return first, blocks.n_blocks(end) - first if end > begin else 0

    def _touch(self, name: str, begin: int, end: int) -> None:
        """Verify the blocks of bytes begin, ..., end - 1 of the file, all of the array `name`."""
        first_of_array = self.specs[name].begin // BLOCK
        first, count = self._block_range(begin, end)
        local = first - first_of_array
        record = self._verified[name][local : local + count]
        if record.all():
            return
        for i in np.flatnonzero(~record):
            self.check_block(first + int(i), name)
            self._check_values(name, first + int(i))
            record[i] = True

    def _check_values(self, name: str, number: int) -> None:
        if self._rules is None or self._rules.is_free(name):
            return
        # Numbers do not lie across blocks: arrays begin at multiples of 64, blocks too.
        spec = self.specs[name]
        begin, end = max(spec.begin, number * BLOCK), min(spec.end, (number + 1) * BLOCK)
        values = np.frombuffer(self._map[begin:end], spec.dtype)
        problem = self._rules.check_values(name, values)
        if problem:
            self._refuse(
                (name, problem[1] + (begin - spec.begin) // spec.dtype.itemsize, problem[2])
            )

    def _refuse(self, problem: Problem | None) -> None:
        if problem:
            name, value, reason = problem
            spec = self.specs.get(name)
            offset = spec.begin + value * spec.dtype.itemsize if spec else 0
            raise self.corrupt(name, offset, reason)
