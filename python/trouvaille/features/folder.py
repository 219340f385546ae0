# SPDX-License-Identifier: Apache-2.0
"""Features of many photos, extracted into a folder, and resumed where an earlier run ended."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check, _files
from .._lock import Lock
from .._manifest import LOCK, MANIFEST
from ..errors import IndexCorruptError
from ._types import Photo
from .extraction import Extraction, extract_all, extractor_of
from .extractor import DescriptorLike, DetectorLike, Extractor
from .folder_files import FORMAT, MANIFESTS, PhotoRow, file_of, read_row, write
from .listing import id_problem, list_photos, printable
from .registry import Orientation

Progress = Callable[[str, int, int | None], None]

# A file that is the same may yet be read the next time; what is no photo will be none.
RETRIED = frozenset({"missing", "forbidden", "unreadable", "unnameable"})


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
    manifest = _manifest(extractor.fingerprint, settings)
    if workers is not None:
        workers = _check.count(workers, "workers", maximum=1024)
    root_folder.mkdir(parents=True, exist_ok=True)
    with Lock(root_folder / LOCK):
        _begin(root_folder, manifest)
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
        source = source_of(photo)
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
        write(file_of(folder, plan.id), row, plan.source, features)
        yield row
    for plan in plans:
        assert plan.row is not None  # all others have been extracted
        yield plan.row


def source_of(photo: Photo) -> dict[str, Any] | None:
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
        row, of = read_row(file_of(folder, id))
    except (FileNotFoundError, IndexCorruptError):
        return None
    if of != source or row.id != id or row.status in RETRIED:
        return None
    return PhotoRow(**{**asdict(row), "skipped": True})


def _manifest(fingerprint: str, settings: dict[str, Any]) -> str:
    manifest = {"format": FORMAT, "fingerprint": fingerprint, "settings": settings}
    try:
        return json.dumps(manifest, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise TypeError(f"options must be plain values, which a file can hold: {error}") from None


def _begin(folder: Path, text: str) -> None:
    """Make the folder, or check that it is of these settings; remove what a crash left behind."""
    MANIFESTS.begin(folder, text)
    found = MANIFESTS.read(folder)
    wanted = json.loads(text)
    if found != wanted and not any(folder.glob("??/*.npz")):  # a run that never got to a photo
        _files.replace(folder / MANIFEST, [text.encode()])
    elif found != wanted:
        differs = MANIFESTS.difference(found, wanted)
        other = f"holds descriptors {found['fingerprint']!r}, not {wanted['fingerprint']!r}"
        raise ValueError(
            f"{folder} {differs or other}; extract with those settings, or into another folder"
        )
    for shard in [folder, *(entry for entry in folder.iterdir() if entry.is_dir())]:
        for entry in shard.iterdir():
            if _files.is_part(entry.name):
                entry.unlink(missing_ok=True)
