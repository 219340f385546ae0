# SPDX-License-Identifier: Apache-2.0
"""Features of many photos in a folder on disk: written as they come, resumed where they ended.

```
features/
  manifest.json       format, fingerprint, and the settings that all photos share
  3f/3f9c...e1.npz    one photo; the name is the SHA-256 of its id
  LOCK                empty; held by the one that extracts
```

A file is written aside and renamed, so that it is there whole or not at all, and holds nothing that
differs from run to run: an extraction that was killed and resumed leaves the same files as one that
was not. Photos that cannot be read are rows, too. Nothing is pickled; reading runs no code.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import _files
from .._manifest import Manifests
from ..errors import IndexCorruptError
from ._types import Features
from .listing import id_problem
from .registry import parse_fingerprint

FORMAT = 1
_NAME = re.compile(r"[0-9a-f]{64}\.npz")


@dataclass(frozen=True)
class PhotoRow:
    """What became of one photo.

    Attributes
    ----------
    id : str
        Its name: the path relative to the folder given, or its own.
    status : str
        ``"ok"``, or why there are no features; see `Extraction.status`.
    n_features : int
    error : str
        For a person; empty if there was none.
    size, work_size : tuple of int
        Width and height of the photo, and as it was worked on; features are in pixels of that.
    skipped : bool
        Whether it was there from an earlier run.
    """

    id: str
    status: str
    n_features: int = 0
    error: str = ""
    size: tuple[int, int] = (0, 0)
    work_size: tuple[int, int] = (0, 0)
    skipped: bool = False


class FolderFeatures:
    """The features that `extract_folder` wrote, read photo by photo.

    Examples
    --------
    >>> folder = FolderFeatures.open("features/")  # doctest: +SKIP
    >>> {id: len(folder[id].frames) for id in folder}  # doctest: +SKIP
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        """Use `open` instead."""
        self.path = path
        self.fingerprint: str = manifest["fingerprint"]
        self.settings: dict[str, Any] = manifest["settings"]
        self._rows: dict[str, PhotoRow] | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open the folder `path`.

        Raises
        ------
        FileNotFoundError
            If there are no features.
        IndexCorruptError, FormatVersionError
            If its manifest is damaged, or of a newer version.
        """
        return cls(Path(path), MANIFESTS.read(Path(path)))

    @property
    def rows(self) -> list[PhotoRow]:
        """What became of each photo, by id; of all files, which are read once for it."""
        return list(self._all().values())

    @property
    def ids(self) -> list[str]:
        """The photos that have features, sorted."""
        return [row.id for row in self._all().values() if row.status == "ok"]

    def __len__(self) -> int:
        """Return the number of photos that have features."""
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and id_problem(id) is None and file_of(self.path, id).exists()

    def row(self, id: str) -> PhotoRow:
        """Return what became of a photo; KeyError if there is none of that id."""
        if id not in self:
            raise KeyError(f"no photo has the id {id!r}")
        path = file_of(self.path, id)
        row, _ = read_row(path)
        if row.id != id:
            raise IndexCorruptError(path, "about", 0, f"is of the photo {row.id!r}")
        return row

    def __getitem__(self, id: str) -> Features:
        """Return the features of a photo; KeyError if there are none."""
        row = self.row(id)
        if row.status != "ok":
            raise KeyError(f"photo {id!r} has no features: {row.error}")
        return _read_features(file_of(self.path, id), self.fingerprint)

    def _all(self) -> dict[str, PhotoRow]:
        if self._rows is None:
            files = (path for path in self.path.glob("??/*.npz") if _NAME.fullmatch(path.name))
            rows = (read_row(path)[0] for path in files)
            self._rows = {row.id: row for row in sorted(rows, key=lambda row: row.id)}
        return self._rows


def _check_manifest(manifest: dict[str, Any]) -> None:
    parse_fingerprint(manifest["fingerprint"])


MANIFESTS = Manifests("features", FORMAT, _check_manifest)


def file_of(folder: Path, id: str) -> Path:
    """Return where the features of a photo are."""
    name = hashlib.sha256(id.encode()).hexdigest()
    return folder / name[:2] / f"{name}.npz"


def write(
    path: Path, row: PhotoRow, source: dict[str, Any] | None, features: Features | None
) -> None:
    """Write the row and the features of a photo; they are there whole or not at all."""
    about = {**asdict(row), "source": source}
    del about["skipped"]
    arrays: dict[str, NDArray[Any]] = {} if features is None else dict(features._asdict())
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:  # as numpy.savez, but for pickles, which it has
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                contiguous = np.asarray(array, order="C")
                np.lib.format.write_array(member, contiguous, (1, 0), allow_pickle=False)
    path.parent.mkdir(exist_ok=True)
    _files.replace(path, [data.getvalue()])


def _read(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return arrays of a photo's file; what is read is no larger than the file."""
    if path.is_symlink():
        raise IndexCorruptError(path, "npz", 0, "is a link")
    name = "npz"
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("it is compressed")
            if sum(member.file_size for member in members) > path.stat().st_size:
                raise ValueError("its parts overlap")
            arrays = {}
            for name in names:
                arrays[name] = _array(archive.read(f"{name}.npy"))
            return arrays
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged archive makes of zipfile
        raise IndexCorruptError(path, name, 0, f"cannot be read: {error}") from None


def _array(data: bytes) -> NDArray[Any]:
    """Return the array of a file of NumPy's format, which says how large it is before it is."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("it is of another version of NumPy's format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    begin = file.tell()
    if dtype.hasobject or is_fortran or dtype.itemsize * math.prod(shape) != len(data) - begin:
        raise ValueError(f"it is not an array of {dtype} of shape {shape}")
    return np.frombuffer(data, dtype, offset=begin).reshape(shape).copy()


def read_row(path: Path) -> tuple[PhotoRow, dict[str, Any] | None]:
    """Return the row of a photo's file, and what told the photo from its successors."""
    about_bytes = _read(path, ["about"])["about"].tobytes()
    try:
        about = json.loads(about_bytes)
        source = about.pop("source")
        row = PhotoRow(
            str(about["id"]),
            str(about["status"]),
            int(about["n_features"]),
            str(about["error"]),
            _pair(about["size"]),
            _pair(about["work_size"]),
        )
    except Exception as error:  # JSON of any other kind
        raise IndexCorruptError(path, "about", 0, f"cannot be read: {error}") from None
    return row, source


def _pair(given: Any) -> tuple[int, int]:
    width, height = given
    return int(width), int(height)


def _read_features(path: Path, fingerprint: str) -> Features:
    kind = parse_fingerprint(fingerprint)
    shapes = {
        "frames": ((2, 3), np.dtype(np.float32)),
        "descriptors": ((kind.dimensions,), np.dtype(kind.dtype)),
        "responses": ((), np.dtype(np.float32)),
        "scales": ((), np.dtype(np.float32)),
    }
    parts = _read(path, list(shapes))
    for name, (tail, dtype) in shapes.items():
        part = parts[name]
        if part.dtype != dtype or part.ndim == 0 or part.shape[1:] != tail:
            reason = f"has {part.dtype} of shape {part.shape}, which is not {fingerprint!r}"
            raise IndexCorruptError(path, name, 0, reason)
    if len({len(part) for part in parts.values()}) != 1:
        raise IndexCorruptError(path, "frames", 0, "parts have different lengths")
    return Features(**parts)
