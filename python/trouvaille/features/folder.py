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
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import _check, _files
from .._lock import Lock
from ..errors import FormatVersionError, IndexCorruptError
from ._types import Features, Photo
from .extraction import Extraction, extract_all, extractor_of
from .extractor import DescriptorLike, DetectorLike, Extractor
from .listing import id_problem, list_photos, printable
from .registry import Orientation, parse_fingerprint

Progress = Callable[[str, int, int | None], None]

FORMAT = 1
_MANIFEST, _LOCK = "manifest.json", "LOCK"
_NAME = re.compile(r"[0-9a-f]{64}\.npz")
_PART = re.compile(r"\.[0-9a-f]{32}\.part")

# A file that is the same may yet be read the next time; what is no photo will be none.
_RETRIED = frozenset({"missing", "forbidden", "unreadable", "unnameable"})


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


@dataclass(frozen=True)
class FolderReport:
    """What became of all photos, in the order given, and how many seconds it took."""

    rows: tuple[PhotoRow, ...]
    seconds: float

    @property
    def failed(self) -> list[PhotoRow]:
        """The photos that have no features because they could not be read."""
        return [row for row in self.rows if row.status != "ok"]

    @property
    def n_skipped(self) -> int:
        """Photos that were there from an earlier run."""
        return sum(row.skipped for row in self.rows)


def extract_folder(
    photos: Photo | Iterable[Photo],
    path: str | os.PathLike[str],
    detector: DetectorLike | Extractor = "sift",
    descriptor: DescriptorLike | None = None,
    *,
    ids: str | Sequence[str] | None = None,
    max_features: int = 2000,
    max_size: int | None = 1024,
    orientation: Orientation = "dominant",
    root: bool = True,
    apply_exif: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> FolderReport:
    """Extract the features of many photos into a folder; go on where an earlier run ended.

    A photo that is there already, and whose file has the same size and time of modification, is
    not extracted again. One that is given as bytes or pixels is compared by its content.

    Parameters
    ----------
    photos : path, bytes, ndarray of uint8, or an iterable of them
        A path may be a folder, which stands for all photos in it.
    path : path
        The folder to write; made if it does not exist.
    detector, descriptor, max_features, max_size, orientation, root, apply_exif, **options
        As for `extract`.
    ids : str or sequence of str, optional
        One a photo. By default the path relative to the folder given, or the file's name.
    workers : int, optional
        Threads; one for each core by default.
    progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    FolderReport
        One row a photo; a bad one never ends the run.

    Raises
    ------
    ValueError
        If `path` holds features of other settings, or something else; if there are no photos, or
        two of one id.
    CollectionLockedError
        If another process extracts into it.
    TypeError
        If the detector is a callable without a fingerprint, or an option is no plain value.
    """
    start = time.perf_counter()
    extractor = extractor_of(detector, descriptor, max_features, orientation, root, options)
    if max_size is not None:
        max_size = _check.count(max_size, "max_size")
    named = list_photos(photos, ids)
    if not named:
        raise ValueError(f"photos: there is no photo in {photos!r}")
    root_folder = Path(path)
    settings = {**extractor.as_dict(), "max_size": max_size, "apply_exif": bool(apply_exif)}
    root_folder.mkdir(parents=True, exist_ok=True)
    with Lock(root_folder / _LOCK):
        _begin(root_folder, extractor.fingerprint, settings)
        rows = _extract_named(root_folder, named, extractor, settings, workers, progress)
    return FolderReport(tuple(rows), time.perf_counter() - start)


def _extract_named(
    folder: Path,
    named: Sequence[tuple[str, Photo]],
    extractor: Extractor,
    settings: dict[str, Any],
    workers: int | None,
    progress: Progress | None,
) -> list[PhotoRow]:
    report = progress or (lambda stage, done, total: None)
    report("extracting", 0, len(named))
    plans: deque[_Plan] = deque()
    extractions = extract_all(
        _wanted(folder, named, plans),
        extractor,
        max_size=settings["max_size"],
        apply_exif=settings["apply_exif"],
        workers=workers,
    )
    rows: list[PhotoRow] = []
    for row in _rows(folder, plans, extractions):
        rows.append(row)
        report("extracting", len(rows), len(named))
    return rows


@dataclass
class _Plan:
    """A photo, what it is known by, and its row if nothing is to be done."""

    id: str
    source: dict[str, Any] | None
    row: PhotoRow | None


def _wanted(
    folder: Path, named: Sequence[tuple[str, Photo]], plans: deque[_Plan]
) -> Iterator[Photo]:
    """Yield the photos to extract; write down in `plans` what is to become of all."""
    for id, photo in named:
        if problem := id_problem(id):
            row = PhotoRow(printable(id), "unnameable", error=f"its name {problem}")
            plans.append(_Plan(id, None, row))
            continue
        source = _source(photo)
        plans.append(_Plan(id, source, _kept(folder, id, source)))
        if plans[-1].row is None:
            yield photo


def _rows(
    folder: Path, plans: deque[_Plan], extractions: Iterator[Extraction]
) -> Iterator[PhotoRow]:
    """Yield the row of each photo, once its features are on the disk."""
    for extraction in extractions:
        while plans[0].row is not None:
            yield plans.popleft().row  # type: ignore[misc]
        plan = plans.popleft()
        features = extraction.features
        row = PhotoRow(
            plan.id,
            extraction.status,
            0 if features is None else len(features.frames),
            extraction.error,
            extraction.size,
            extraction.work_size,
        )
        _write(_file_of(folder, plan.id), row, plan.source, features)
        yield row
    for plan in plans:
        assert plan.row is not None  # all others have been extracted
        yield plan.row


def _source(photo: Photo) -> dict[str, Any] | None:
    """Return what tells a photo from its successors of the same name; None of one not there."""
    if isinstance(photo, str | os.PathLike):
        try:
            status = os.stat(photo)  # noqa: PTH116 (a path may be bytes)
        except (OSError, ValueError):
            return None
        return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
    content = np.ascontiguousarray(photo) if isinstance(photo, np.ndarray) else photo
    digest = hashlib.sha256(repr(np.shape(photo)).encode())
    digest.update(memoryview(content).cast("B"))  # type: ignore[arg-type]
    return {"sha256": digest.hexdigest()}


def _kept(folder: Path, id: str, source: dict[str, Any] | None) -> PhotoRow | None:
    """Return the row of a photo that is there, of this source; None if it is to be extracted."""
    if source is None:
        return None
    try:
        row, of = _read_row(_file_of(folder, id))
    except (FileNotFoundError, IndexCorruptError):
        return None
    if of != source or row.id != id or row.status in _RETRIED:
        return None
    return PhotoRow(**{**asdict(row), "skipped": True})


def _begin(folder: Path, fingerprint: str, settings: dict[str, Any]) -> None:
    """Make the folder, or check that it is of these settings; remove what a crash left behind."""
    manifest = {"format": FORMAT, "fingerprint": fingerprint, "settings": settings}
    try:
        text = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise TypeError(f"options must be plain values, which a file can hold: {error}") from None
    if not (folder / _MANIFEST).exists():
        names = [entry.name for entry in folder.iterdir()]
        others = [name for name in names if name != _LOCK and not _PART.fullmatch(name)]
        if others:
            raise ValueError(f"{folder} holds no features but {others[0]!r}; name a new folder")
        _files.replace(folder / _MANIFEST, [text.encode()])
    found = _read_manifest(folder)
    wanted = json.loads(text)
    if found != wanted:
        raise ValueError(
            f"{folder} {_difference(found, wanted)}; extract with those settings, or "
            "into another folder"
        )
    for shard in [folder, *(entry for entry in folder.iterdir() if entry.is_dir())]:
        for entry in shard.iterdir():
            if _PART.fullmatch(entry.name):
                entry.unlink(missing_ok=True)


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    old, new = found["settings"], wanted["settings"]
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            return f"holds features of {name}={old.get(name)!r}, not {new.get(name)!r}"
    return f"holds descriptors {found['fingerprint']!r}, not {wanted['fingerprint']!r}"


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no features: it has no {_MANIFEST}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format"]
        if isinstance(version, int) and version > FORMAT:
            raise FormatVersionError(path, f"format {version}", str(FORMAT))
        parse_fingerprint(manifest["fingerprint"])
        if version != FORMAT or not isinstance(manifest["settings"], dict):
            raise ValueError
    except FormatVersionError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError):
        reason = "is no manifest of features"
        raise IndexCorruptError(path, "manifest", 0, reason) from None
    found: dict[str, Any] = manifest
    return found


def _file_of(folder: Path, id: str) -> Path:
    name = hashlib.sha256(id.encode()).hexdigest()
    return folder / name[:2] / f"{name}.npz"


def _write(
    path: Path, row: PhotoRow, source: dict[str, Any] | None, features: Features | None
) -> None:
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


def _read_row(path: Path) -> tuple[PhotoRow, dict[str, Any] | None]:
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


class FolderFeatures:
    """The features that `extract_folder` wrote, read photo by photo.

    Examples
    --------
    >>> folder = FolderFeatures.open("features/")  # doctest: +SKIP
    >>> for id in folder.ids:
    ...     print(id, len(folder[id].frames))
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
        return cls(Path(path), _read_manifest(Path(path)))

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
        return isinstance(id, str) and id_problem(id) is None and _file_of(self.path, id).exists()

    def row(self, id: str) -> PhotoRow:
        """Return what became of a photo; KeyError if there is none of that id."""
        if id not in self:
            raise KeyError(f"no photo has the id {id!r}")
        path = _file_of(self.path, id)
        row, _ = _read_row(path)
        if row.id != id:
            raise IndexCorruptError(path, "about", 0, f"is of the photo {row.id!r}")
        return row

    def __getitem__(self, id: str) -> Features:
        """Return the features of a photo; KeyError if there are none."""
        row = self.row(id)
        if row.status != "ok":
            raise KeyError(f"photo {id!r} has no features: {row.error}")
        return _read_features(_file_of(self.path, id), self.fingerprint)

    def _all(self) -> dict[str, PhotoRow]:
        if self._rows is None:
            files = (path for path in self.path.glob("??/*.npz") if _NAME.fullmatch(path.name))
            rows = (_read_row(path)[0] for path in files)
            self._rows = {row.id: row for row in sorted(rows, key=lambda row: row.id)}
        return self._rows


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
