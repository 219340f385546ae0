# SPDX-License-Identifier: Apache-2.0
"""The catalogue of a segment: a SQLite file of its images, written once, then only read.

Whoever made the file may have meant harm: it is verified before SQLite sees it, no SQL of its own
is run (no view, no trigger, no virtual table: its schema must be ours to the letter), and what
SQLite says against it is an `IndexCorruptError`.
"""

from __future__ import annotations

import operator
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._files import is_utf8
from ..._sections import blocks, text
from ..._sections.blocks import BLOCK
from ...errors import IndexCorruptError
from .directory import Directory
from .manifest import FileEntry
from .section import Section

_TABLE = """CREATE TABLE images (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  path TEXT,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  work_width INTEGER NOT NULL,
  work_height INTEGER NOT NULL,
  n_features INTEGER NOT NULL,
  status TEXT NOT NULL,
  metadata TEXT NOT NULL
)"""
_SCHEMA = [
    ("index", "sqlite_autoindex_images_1", "images", None),
    ("table", "images", "images", _TABLE),
]
_BY_NUMBER = """
  SELECT id, path, width, height, work_width, work_height, n_features, status, metadata
  FROM images WHERE number >= ? ORDER BY number LIMIT ?"""
_BATCH = 1000
_COUNTS = ("width", "height", "work_width", "work_height", "n_features")


@dataclass(frozen=True)
class CatalogueRow:
    """An image: its number in the segment is its place in the list that was added.

    Attributes
    ----------
    id : str
        Its name in the whole collection.
    path : str or None
        Where the photo was, if it came from a file.
    width, height : int
        Of the photo, upright, in pixels.
    work_width, work_height : int
        Of the image in which the features were found; frames are in its pixels.
    n_features : int
    status : str
        ``ok``, or why there is nothing more of it.
    metadata : mapping
        Plain JSON values.
    """

    id: str
    path: str | None = None
    width: int = 0
    height: int = 0
    work_width: int = 0
    work_height: int = 0
    n_features: int = 0
    status: str = "ok"
    metadata: Mapping[str, Any] = field(default_factory=dict)


def encode(rows: Sequence[CatalogueRow]) -> bytes:
    """Return the SQLite file of `rows`, made in memory: only `Directory` writes files."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(_TABLE)
        connection.executemany(
            "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((number, *_checked(row, number)) for number, row in enumerate(rows)),
        )
        connection.commit()
        return connection.serialize()


def _checked(row: CatalogueRow, number: int) -> tuple[Any, ...]:
    _check_text(row.id, f"rows[{number}].id")
    _check_text(row.status, f"rows[{number}].status")
    if row.path is not None:
        _check_text(row.path, f"rows[{number}].path")
    if not row.id:
        raise ValueError(f"rows[{number}].id must not be empty")
    values = {name: operator.index(getattr(row, name)) for name in _COUNTS}
    for name, value in values.items():
        if not 0 <= value < 1 << 63:
            raise ValueError(f"rows[{number}].{name} must not be negative, got {value}")
    metadata = text.plain(dict(row.metadata), f"rows[{number}].metadata")
    return row.id, row.path, *values.values(), row.status, text.dump(metadata).decode()


def _check_text(value: Any, name: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, got {value!r}")
    if "\0" in value or not is_utf8(value):
        raise ValueError(f"{name} must be text that UTF-8 can hold, without NUL, got {value!r}")


class Catalogue:
    """The catalogue of a segment, open for reading; verified whole when it is first asked."""

    def __init__(
        self, directory: Directory, name: str, entry: FileEntry, checksums: Section, n_images: int
    ) -> None:
        self.path = directory.path_of(name)
        self.n_images = n_images
        self._entry = entry
        self._checksums = checksums
        self._content: memoryview | None = memoryview(directory.map(name))
        self._lock = threading.Lock()
        self._n_features: NDArray[np.int64] | None = None
        # Opened now, so that it stays readable if a later commit removes the file. `immutable`
        # makes SQLite look for no journal beside it, take no lock and write nothing.
        uri = self.path.absolute().as_uri() + "?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._corrupt(0, f"cannot be opened: {error}") from None
        weakref.finalize(self, self._connection.close)

    def row(self, number: int) -> CatalogueRow:
        """Return the image of that number."""
        if not 0 <= number < self.n_images:
            raise IndexError(f"there are {self.n_images} images, got number {number}")
        return next(self.rows(number, number + 1))

    def rows(self, begin: int = 0, end: int | None = None) -> Iterator[CatalogueRow]:
        """Yield images begin, ..., end - 1, all by default."""
        end = self.n_images if end is None else min(end, self.n_images)
        for start in range(begin, end, _BATCH):
            count = min(_BATCH, end - start)
            found = self._ask(_BY_NUMBER, (start, count))
            if len(found) != count:
                raise self._corrupt(0, f"images {start} to {start + count - 1} are not all there")
            for i, values in enumerate(found):
                yield self._decode(start + i, values)

    def number(self, image_id: str) -> int | None:
        """Return the number of the image of that id, or None."""
        # What no catalogue holds, or is longer than this one, SQLite is not asked for.
        if "\0" in image_id or not is_utf8(image_id) or len(image_id) > self._entry.size:
            return None
        found = self._ask("SELECT number FROM images WHERE id = ?", (image_id,))
        if not found:
            return None
        number = found[0][0]
        if type(number) is not int or not 0 <= number < self.n_images:
            raise self._corrupt(0, f"id {image_id!r} has number {number}")
        return number

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all images, in their order."""
        found = self._ask("SELECT id FROM images ORDER BY number LIMIT ?", (self.n_images,))
        if not all(type(id) is str for (id,) in found):
            raise self._corrupt(0, "an image has no id")
        return tuple(id for (id,) in found)

    def n_features(self) -> NDArray[np.int64]:
        """Return the number of features of each image."""
        with self._lock:
            return self._verified()

    def verify(self) -> None:
        """Verify every byte of the file, and read every row."""
        for _ in self.rows():
            pass
        self.n_features()

    def _ask(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            self._verified()
            return self._fetch(query, values)

    def _fetch(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
            raise self._corrupt(0, f"SQLite cannot read it: {error}") from None

    def _verified(self) -> NDArray[np.int64]:
        """Verify the file once, and return the numbers of features; the lock is held."""
        if self._n_features is not None:
            return self._n_features
        if self._content is not None:
            self._verify_bytes(self._content)
            self._restrict(len(self._content))
            self._content = None
        if self._fetch("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1") != _SCHEMA:
            raise self._corrupt(0, "its schema is not that of a catalogue")
        self._n_features = self._scan()
        return self._n_features

    def _verify_bytes(self, content: memoryview) -> None:
        entry = self._entry
        table = self._checksums.array("crc")
        if (
            len(content) != entry.size
            or table.size != blocks.n_blocks(entry.size)
            or blocks.root(table.tobytes(), entry.uuid) != entry.checksum
        ):
            raise self._corrupt(0, "is not the file that the manifest names")
        bad = blocks.table_of(content, entry.uuid) != table
        if bad.any():
            raise self._corrupt(int(np.argmax(bad)) * BLOCK, "the block's checksum does not match")

    def _restrict(self, size: int) -> None:
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
            self._fetch(f"PRAGMA {pragma}")
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(size, 1 << 30))
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)

    def _scan(self) -> NDArray[np.int64]:
        # The limit bounds the walk through a forged tree whose pages refer to each other.
        query = "SELECT number, n_features FROM images ORDER BY number LIMIT ?"
        found = self._fetch(query, (self.n_images + 1,))
        if len(found) != self.n_images or any(n != i for i, (n, _) in enumerate(found)):
            raise self._corrupt(0, f"does not hold images 0 to {self.n_images - 1}")
        if not all(type(n) is int and n >= 0 for _, n in found):
            raise self._corrupt(0, "a number of features is not a whole number")
        return np.array([n for _, n in found], np.int64)

    def _decode(self, number: int, values: tuple[Any, ...]) -> CatalogueRow:
        image_id, path, *counts, status, metadata = values
        texts = (image_id, status, metadata, path if path is not None else "")
        if not all(type(value) is str for value in texts):
            raise self._corrupt(0, f"image {number} has no id, path, status or metadata")
        if not all(type(value) is int and value >= 0 for value in counts):
            raise self._corrupt(0, f"a size of image {number} is not a whole number")
        try:
            parsed = text.parse(metadata.encode())
        except ValueError as error:
            raise self._corrupt(0, f"the metadata of image {number} {error}") from None
        if not isinstance(parsed, dict):
            raise self._corrupt(0, f"the metadata of image {number} is not an object")
        sizes = dict(zip(_COUNTS, counts, strict=True))
        return CatalogueRow(image_id, path, **sizes, status=status, metadata=parsed)

    def _corrupt(self, offset: int, reason: str) -> IndexCorruptError:
        return IndexCorruptError(self.path, "images", offset, reason)
