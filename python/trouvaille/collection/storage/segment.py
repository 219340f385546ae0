# SPDX-License-Identifier: Apache-2.0
"""A segment, open for reading: its sections and its catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ...errors import FormatVersionError, IndexCorruptError
from .catalogue import Catalogue
from .directory import Directory
from .kinds import KINDS, Rules
from .manifest import FileEntry, SegmentEntry
from .section import Section

CATALOGUE = "images"  # the kind of the one file that is no section


class _Sections(dict[str, Section]):
    """The sections of a segment; asking for one that it lacks says which, and where."""

    def __init__(self, path: Path, sections: Mapping[str, Section]) -> None:
        super().__init__(sections)
        self._path = path

    def __missing__(self, kind: str) -> Section:
        raise IndexCorruptError(self._path, kind, 0, "the segment has no such section")


class Segment:
    """Some images of the collection, added together.

    Attributes
    ----------
    entry : SegmentEntry
        What the manifest says of it: `uuid`, `n_images`, `n_features`.
    sections : mapping of str to Section
        By kind; a kind that this version does not know, and can do without, is left out. Taking
        one that is not there is an `IndexCorruptError`.
    """

    def __init__(self, directory: Directory, entry: SegmentEntry, n_words: int) -> None:
        self.entry = entry
        self.n_words = n_words
        self._path = directory.path_of(entry.folder)
        files = known_files(directory, entry.folder, entry.files, {*KINDS, CATALOGUE})
        images = files.pop(CATALOGUE, None)
        if images is None or "checksums" not in files:
            raise IndexCorruptError(self._path, CATALOGUE, 0, "the manifest names no catalogue")
        sizes = {"images": entry.n_images, "features": entry.n_features, "words": n_words}
        self.sections: Mapping[str, Section] = MappingProxyType(
            _Sections(
                self._path,
                {
                    kind: Section.open(
                        directory,
                        f"{entry.folder}/{file.name}",
                        kind,
                        entry=file,
                        rules=Rules(kind, sizes),
                    )
                    for kind, file in files.items()
                },
            )
        )
        self._catalogue = Catalogue(
            directory,
            f"{entry.folder}/{images.name}",
            images,
            self.sections["checksums"],
            entry.n_images,
        )
        self._agrees = False

    @property
    def n_images(self) -> int:
        """Number of images, numbered from 0."""
        return self.entry.n_images

    @property
    def n_features(self) -> int:
        """Number of features of all its images."""
        return self.entry.n_features

    @property
    def catalogue(self) -> Catalogue:
        """Its images; at first use the catalogue is verified, and compared with the sections."""
        if not self._agrees:
            self._compare()
            self._agrees = True
        return self._catalogue

    def _compare(self) -> None:
        counts = self._catalogue.n_features()
        total = sum(map(int, counts))
        if total != self.n_features:
            reason = f"its images have {total} features, the manifest says {self.n_features}"
            raise IndexCorruptError(self._catalogue.path, CATALOGUE, 0, reason)
        if "words" not in self.sections:
            return
        offsets = self.sections["words"].array("feature_offsets")
        differs = np.diff(offsets) != counts.astype(np.uint64)
        if differs.any():
            reason = f"image {int(np.argmax(differs))} has another number of features than words"
            raise IndexCorruptError(self._catalogue.path, CATALOGUE, 0, reason)

    def verify(self) -> None:
        """Verify every byte of every file that this version knows."""
        for section in self.sections.values():
            section.verify()
        self.catalogue.verify()


def known_files(
    directory: Directory, folder: str, files: tuple[FileEntry, ...], known: set[str]
) -> dict[str, FileEntry]:
    """Return the files of known kinds; the others are skipped, or refused if they are required."""
    for file in files:
        if file.kind not in known and file.required:
            path = directory.path_of(f"{folder}/{file.name}".lstrip("/"))
            raise FormatVersionError(path, f"the kind {file.kind!r}", f"{sorted(known)}")
    return {file.kind: file for file in files if file.kind in known}
