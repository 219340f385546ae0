# SPDX-License-Identifier: Apache-2.0
"""Descriptors of many photos in a folder on disk: written as they come, resumed where they ended.

```
descriptors/
  manifest.json     format, fingerprint of the network, dimensions, settings
  descriptors.f32   rows of float32, little-endian, in the order in which photos were given
  rows.jsonl        one line a photo, appended once its row is written: whose, what became of it,
                    which row, and its CRC-32
  LOCK              empty; held by the one that extracts
```

What a line speaks of was written before it, and the checksum tells where a power cut has left one
without the other: such a row is extracted again. The last line may be torn; then it is none. Two
lines of one photo: the later one holds. Reading runs no code.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._manifest import Manifests
from ..errors import IndexCorruptError

FORMAT = 1
DATA, ROWS = "descriptors.f32", "rows.jsonl"
_MAX_DIMS = 1 << 24


@dataclass(frozen=True)
class DescriptorRow:
    """What became of one photo.

    Attributes
    ----------
    id : str
        Its name: the path relative to the folder given, or its own; empty of pixels without one.
    status : str
        ``"ok"``, or why there is no descriptor: see `features.Extraction.status`; besides
        ``"out_of_memory"``, where the photo alone does not fit, ``"failed"``, where the network
        raises an error with it, and ``"not_finite"``, where it makes NaN or infinity of it.
    error : str
        For a person; empty if there was none.
    size, work_size : tuple of int
        Width and height of the photo (or its box), and as it was worked on.
    skipped : bool
        Whether it was there from an earlier run.
    """

    id: str
    status: str
    error: str = ""
    size: tuple[int, int] = (0, 0)
    work_size: tuple[int, int] = (0, 0)
    skipped: bool = False


@dataclass(frozen=True)
class Line:
    """What the record says of one photo: `source` tells its file from later ones."""

    row: DescriptorRow
    slot: int
    source: dict[str, Any] | None
    crc32: int


class FolderDescriptors:
    """The descriptors that `extract` wrote.

    Examples
    --------
    >>> folder = FolderDescriptors.open("descriptors/")  # doctest: +SKIP
    >>> folder.descriptors @ folder["a.jpg"]  # doctest: +SKIP
    """

    def __init__(self, path: Path, manifest: dict[str, Any], lines: dict[str, Line]) -> None:
        """Use `open` instead."""
        self.path = path
        self.fingerprint: str = manifest["fingerprint"]
        self.settings: dict[str, Any] = manifest["settings"]
        self.dimensions: int = manifest["dimensions"]
        self._lines = lines

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open the folder `path`.

        Raises
        ------
        FileNotFoundError
            If there are no descriptors.
        IndexCorruptError, FormatVersionError
            If its manifest or its rows are damaged, or of a newer version.
        """
        folder = Path(path)
        return cls(folder, MANIFESTS.read(folder), read_lines(folder)[0])

    @property
    def rows(self) -> list[DescriptorRow]:
        """What became of each photo, in the order of `descriptors`."""
        return [line.row for line in self._in_order()]

    @property
    def ids(self) -> list[str]:
        """The photo of each row of `descriptors`; those without one are among them."""
        return [row.id for row in self.rows]

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """One row a photo, shape (n, dimensions), zeros for those that could not be read.

        Mapped if the rows lie in the file as they are, which they do unless a photo was extracted
        twice; read-only. Checksums are not looked at, as `folder[id]` does.
        """
        slots = np.array([line.slot for line in self._in_order()], np.int64)
        return self._at(slots)

    def of(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the rows of photos by their ids; see `descriptors`."""
        return self._at(np.array([self._line(id).slot for id in ids], np.int64))

    def row(self, id: str) -> DescriptorRow:
        """Return what became of a photo; KeyError if there is none of that id."""
        return self._line(id).row

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, id: object) -> bool:
        return id in self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __getitem__(self, id: str) -> NDArray[np.float32]:
        """Return the descriptor of a photo; KeyError if there is none."""
        line = self._line(id)
        if line.row.status != "ok":
            raise KeyError(f"photo {id!r} has no descriptor: {line.row.error}")
        found: NDArray[np.float32] = self._at(np.array([line.slot]))[0]
        if checksum(found) != line.crc32:
            offset = line.slot * self.dimensions * 4
            raise IndexCorruptError(self.path / DATA, id, offset, "does not have its checksum")
        return found

    def _line(self, id: str) -> Line:
        if id not in self._lines:
            raise KeyError(f"no photo has the id {id!r}")
        return self._lines[id]

    def _in_order(self) -> list[Line]:
        return sorted(self._lines.values(), key=lambda line: line.slot)

    def _at(self, slots: NDArray[np.int64]) -> NDArray[np.float32]:
        if len(slots) == 0:
            return np.empty((0, self.dimensions), np.float32)
        every: NDArray[np.float32] = _mapped(self.path / DATA, self.dimensions)
        if slots.max() >= len(every):
            raise IndexCorruptError(self.path / DATA, "rows", 4 * every.size, "is cut short")
        begin, count = int(slots[0]), len(slots)
        if np.array_equal(slots, np.arange(begin, begin + count)):
            return every[begin : begin + count]
        rows: NDArray[np.float32] = np.asarray(every[slots])
        rows.flags.writeable = False
        return rows


def _check_manifest(manifest: dict[str, Any]) -> None:
    dimensions = manifest["dimensions"]
    if type(dimensions) is not int or not 1 <= dimensions <= _MAX_DIMS:
        raise ValueError


MANIFESTS = Manifests("descriptors", FORMAT, _check_manifest, {"enlarge": False})


def read_lines(folder: Path) -> tuple[dict[str, Line], int]:
    """Return what the lines say of each photo, and where the last whole one ends."""
    path = folder / ROWS
    data = path.read_bytes() if path.exists() else b""
    end = data.rfind(b"\n") + 1
    lines: dict[str, Line] = {}
    begins: dict[str, int] = {}
    offset = 0
    for text in data[:end].split(b"\n")[:-1]:
        try:
            line = _parsed(json.loads(text))
        except Exception as error:  # JSON of any other kind
            raise IndexCorruptError(path, "rows", offset, f"cannot be read: {error}") from None
        lines[line.row.id], begins[line.row.id] = line, offset
        offset += len(text) + 1
    owners: dict[int, str] = {}
    for id, line in lines.items():
        if (owner := owners.setdefault(line.slot, id)) != id:
            reason = f"gives {owner!r} and {id!r} one row, {line.slot}"
            raise IndexCorruptError(path, "rows", begins[id], reason)
    return lines, end


def _parsed(about: dict[str, Any]) -> Line:
    row = DescriptorRow(
        str(about["id"]),
        str(about["status"]),
        str(about["error"]),
        _pair(about["size"]),
        _pair(about["work_size"]),
        skipped=True,
    )
    slot = about["slot"]
    if type(slot) is not int or not 0 <= slot < 1 << 40:
        raise ValueError(f"slot {slot!r} is none")
    return Line(row, slot, about["source"], int(about["crc32"]))


def _pair(given: Any) -> tuple[int, int]:
    width, height = given
    return int(width), int(height)


def _mapped(path: Path, dimensions: int) -> NDArray[np.float32]:
    count = path.stat().st_size // (4 * dimensions) if path.exists() else 0
    if count == 0:
        return np.empty((0, dimensions), np.float32)
    rows: NDArray[np.float32] = np.memmap(path, "<f4", "r", shape=(count, dimensions))
    return rows


def checksum(descriptor: NDArray[np.float32]) -> int:
    """Return the CRC-32 of a row as it is in the file."""
    return zlib.crc32(np.ascontiguousarray(descriptor, "<f4").data)
