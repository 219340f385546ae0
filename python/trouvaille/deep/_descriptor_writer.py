# SPDX-License-Identifier: Apache-2.0
"""The one who writes descriptors into a folder; `descriptor_folder` says what is in it."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from .._lock import Lock
from .._manifest import LOCK, MANIFEST
from .descriptor_folder import (
    DATA,
    MANIFESTS,
    ROWS,
    DescriptorRow,
    Line,
    checksum,
    read_lines,
)


class Writer:
    """The one who extracts into a folder. A context; its lines are known by `done`."""

    def __init__(self, path: Path, manifest: dict[str, Any], resume: bool) -> None:
        self.path, self._manifest = path, manifest
        self._dimensions: int = manifest["dimensions"]
        path.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(path / LOCK)
        try:
            self._begin(resume)
        except BaseException:
            self._lock.release()
            raise

    def _begin(self, resume: bool) -> None:
        if not resume and (self.path / MANIFEST).exists():
            raise ValueError(
                f"{self.path} holds descriptors: resume=True goes on; or name a new folder"
            )
        MANIFESTS.begin(self.path, json.dumps(self._manifest, indent=1, allow_nan=False) + "\n")
        found, wanted = MANIFESTS.read(self.path), json.loads(json.dumps(self._manifest))
        if found != wanted:
            differs = MANIFESTS.difference(found, wanted) or "holds descriptors of another network"
            raise ValueError(f"{self.path} {differs}; extract with those, or into another folder")
        self._lines, end = read_lines(self.path)
        self._taken = {line.slot for line in self._lines.values()}
        self._end = max(self._taken, default=-1) + 1
        self._open(end)

    def _open(self, end: int) -> None:
        for name in (DATA, ROWS):
            (self.path / name).touch()
        self._data: BinaryIO = (self.path / DATA).open("r+b")
        self._text: BinaryIO = (self.path / ROWS).open("r+b")
        self._text.truncate(end)  # a torn line
        self._text.seek(end)

    def done(self, id: str, source: dict[str, Any] | None) -> DescriptorRow | None:
        """Return the row of a photo that is there whole and of this source."""
        line = self._lines.get(id)
        if line is None or source is None or line.source != source:
            return None
        self._data.seek(line.slot * self._dimensions * 4)
        data = self._data.read(self._dimensions * 4)
        return line.row if zlib.crc32(data) == line.crc32 else None

    def reserve(self, id: str, number: int, count: int) -> int:
        """Return where to write the photo with that number of so many.

        That is where it was, or its number, so that a run that was killed and resumed leaves the
        rows of one that was not; or behind all, where photos of another list are there already.
        """
        slot = self._lines[id].slot if id in self._lines else number
        if id not in self._lines and slot in self._taken:
            slot = max(count, self._end)
        self._taken.add(slot)
        self._end = max(self._end, slot + 1)
        return slot

    def write(
        self,
        row: DescriptorRow,
        slot: int,
        source: dict[str, Any] | None,
        descriptor: NDArray[np.float32] | None,
    ) -> None:
        """Write what became of a photo; without a descriptor, its row is zeros."""
        given = np.zeros(self._dimensions, np.float32) if descriptor is None else descriptor
        self._data.seek(slot * self._dimensions * 4)
        self._data.write(np.ascontiguousarray(given, "<f4").data)
        crc32 = checksum(given)
        about = {
            "id": row.id,
            "slot": slot,
            "status": row.status,
            "error": row.error,
            "size": row.size,
            "work_size": row.work_size,
            "source": source,
            "crc32": crc32,
        }
        self._data.flush()  # before the line that speaks of it
        self._text.write(json.dumps(about).encode() + b"\n")
        self._text.flush()
        self._lines[row.id] = Line(row, slot, source, crc32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._data, self._text):
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self._lock.release()
