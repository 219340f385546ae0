# SPDX-License-Identifier: Apache-2.0
"""An index in one file: arrays of any number and plain metadata; docs/format.md has every byte.

The description of a section file must fit in 64 KiB, and an index may have more arrays than that
describes. So there are two arrays: all others, one behind the other, and a text that
says which they are.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _files
from ._sections import Encoding, Joined, SectionFile, blocks, header, name_at, text
from ._sections.header import ArraySpec
from .errors import FormatVersionError, IndexCorruptError

T = TypeVar("T")

MAX_CONTENTS = 1 << 26  # bytes of the text, which takes some thirty times that when it is read
# A pipe that lies where a file should be does not make opening wait.
_SAFELY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class ArrayFile:
    """A format: what its files are called by the section file, its version, and in errors."""

    kind: str
    version: int
    name: str

    def write(
        self,
        path: str | os.PathLike[str],
        metadata: Mapping[str, Any],
        arrays: Mapping[str, ArrayLike],
    ) -> None:
        """Write an index to one file, which appears whole or not at all.

        Parameters
        ----------
        path : str or path
            Replaced if it exists; who reads the old file, or has it mapped, goes on doing so.
        metadata : mapping
            Plain JSON values.
        arrays : mapping of str to array_like
            Numbers, of any size; each is written as it lies if it is row-major.

        Raises
        ------
        ValueError
            If the metadata are not plain, or, with the names of the arrays, more than 64 MiB.
        OSError
            If the disk refuses. An old file is still there then.
        """
        joined = Joined(arrays)
        members = header.members(joined.specs)
        contents = text.dump(
            {"metadata": text.plain(dict(metadata), "metadata"), "arrays": members}
        )
        if len(contents) > MAX_CONTENTS:
            raise ValueError(
                f"metadata and the names of arrays must fit in {MAX_CONTENTS} bytes, "
                f"got {len(contents)}"
            )
        both: dict[str, ArrayLike | Joined] = {
            "contents": np.frombuffer(contents, np.uint8),
            "data": joined,
        }
        encoding = Encoding(self.kind, both, {"version": self.version}, uuid4())
        _files.replace(Path(path), encoding.parts())

    def read(
        self, path: str | os.PathLike[str], mmap: bool = True
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Read an index that `write` wrote; every byte of it is verified.

        Parameters
        ----------
        path : str or path
        mmap : bool
            Whether the arrays are views of the mapped file, which other processes share, or of a
            copy in memory. A mapped file must not be changed or cut short; `write` never does.

        Returns
        -------
        metadata : dict
        arrays : dict of str to ndarray
            Read-only, each at a multiple of 64 bytes.

        Raises
        ------
        FileNotFoundError
            If there is none.
        IndexCorruptError
            If it is not what was written.
        FormatVersionError
            If it is whole, but of a newer format.
        """
        path = Path(path)
        file = SectionFile(path, self.kind, self._mapped(path) if mmap else self._copied(path))
        contents, data = self._parts(file)
        # From the first byte to the last: the disk likes it so.
        end = blocks.n_blocks(contents.end)
        file.check_blocks(1, end, lambda _: "contents")
        metadata, specs = _parsed(file, contents, data)
        file.check_blocks(end, file.n_blocks, lambda offset: name_at(specs, offset, "data"))
        return metadata, {name: file.view(spec) for name, spec in specs.items()}

    def restore(
        self,
        path: str | os.PathLike[str],
        make: Callable[[dict[str, Any], dict[str, NDArray[Any]]], T],
    ) -> T:
        """Return what `make` makes of the parameters, which are all metadata, and the arrays.

        Raises as `read` does; a TypeError or ValueError of `make` says that the file is corrupt.
        """
        metadata, arrays = self.read(path, mmap=False)
        try:
            if metadata.keys() != {"parameters"} or not isinstance(metadata["parameters"], dict):
                raise ValueError(f"the metadata are not those of {self.name}")
            return make(metadata["parameters"], arrays)
        except (TypeError, ValueError) as error:
            raise IndexCorruptError(Path(path), self.kind, 0, str(error)) from None

    def _parts(self, file: SectionFile) -> tuple[ArraySpec, ArraySpec]:
        version = file.metadata.get("version")
        if type(version) is int and version > self.version:
            raise FormatVersionError(
                file.path, f"{self.name} of version {version}", f"{self.version}"
            )
        if version != self.version or file.specs.keys() != {"contents", "data"}:
            raise file.corrupt("header", 0, f"its description is not that of {self.name}")
        contents, data = file.specs["contents"], file.specs["data"]
        if (
            not contents.dtype == data.dtype == np.uint8
            or len(contents.shape) + len(data.shape) != 2
        ):
            raise file.corrupt("header", 0, "contents and data must be bytes")
        if contents.begin > data.begin or contents.end - contents.begin > MAX_CONTENTS:
            raise file.corrupt("header", 0, "contents must come first, and be of 64 MiB at most")
        return contents, data

    def _mapped(self, path: Path) -> memoryview:
        with _opened(path, self.kind) as (file, _):
            return memoryview(_files.mapped(file))

    def _copied(self, path: Path) -> memoryview:
        with (
            _opened(path, self.kind) as (descriptor, size),
            os.fdopen(descriptor, "rb", 0, closefd=False) as file,
        ):
            memory = np.empty(size + header.ALIGNMENT, np.uint8)
            begin = -memory.ctypes.data % header.ALIGNMENT
            buffer, filled = memory[begin : begin + size].data, 0
            while filled < size and (count := file.readinto(buffer[filled:])):
                filled += count
        return buffer[:filled].toreadonly()


def _parsed(
    file: SectionFile, contents: ArraySpec, data: ArraySpec
) -> tuple[dict[str, Any], dict[str, ArraySpec]]:
    try:
        found = text.parse(file.view(contents).tobytes())
        if not isinstance(found, dict) or found.keys() != {"metadata", "arrays"}:
            raise ValueError("must have metadata and arrays")
        if not (isinstance(found["metadata"], dict) and isinstance(found["arrays"], list)):
            raise ValueError("metadata or arrays is of the wrong type")
        return found["metadata"], header.parse_arrays(found["arrays"], data.begin, data.end)
    except ValueError as error:
        raise file.corrupt("contents", contents.begin, str(error)) from None


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[tuple[int, int]]:
    """Give the descriptor and the size of a regular file that is not empty."""
    file = os.open(path, _SAFELY)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise IndexCorruptError(path, f"{kind}.header", 0, "is not a regular file")
        if status.st_size == 0:
            raise IndexCorruptError(path, f"{kind}.header", 0, "is empty")
        yield file, status.st_size
    finally:
        os.close(file)
