# SPDX-License-Identifier: Apache-2.0
"""One committed state of a collection, open for reading."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ...errors import IndexCorruptError
from .directory import Directory
from .kinds import Rules
from .manifest import Manifest, read_current, read_manifest
from .section import Section, Verify
from .segment import Segment, known_files

# Files that are of no segment.
_COLLECTION_KINDS = {"vocabulary", "embedding", "statistics", "network"}

# How often a reader starts anew because a writer committed, and tidied up, while it was opening.
_ATTEMPTS = 100


class Snapshot:
    """What one commit made of the collection; it does not change, whatever writers do later.

    All its files are opened with it, so that it stays readable when a later commit removes them.

    Attributes
    ----------
    manifest : Manifest
    segments : tuple of Segment
    bases : tuple of int
        For each segment, how many images the segments before it have.
    path : Path
        Of the manifest.
    """

    def __init__(
        self, directory: Directory, pointer: bytes, reuse: Mapping[UUID, Segment] | None = None
    ) -> None:
        self.pointer = pointer
        self.manifest: Manifest = read_manifest(directory, pointer)
        self.path = directory.path_of(self.manifest.name)
        files = known_files(directory, "", self.manifest.files, _COLLECTION_KINDS)
        if ("vocabulary" in files) != ("statistics" in files):
            reason = "names a vocabulary without statistics, or the reverse"
            raise IndexCorruptError(self.path, "manifest", 0, reason)

        def opened(kind: str, **sizes: int) -> Section | None:
            if kind not in files:
                return None
            file = files[kind]
            return Section.open(directory, file.name, kind, entry=file, rules=Rules(kind, sizes))

        self._vocabulary = opened("vocabulary")
        if self._vocabulary:
            self._check_fingerprint(self._vocabulary)
        self._embedding = opened("embedding", **self._sizes_of_words())
        self._statistics = opened("statistics", images=self.n_images, words=self.n_words)
        self._network = opened("network")
        self.segments: tuple[Segment, ...] = self._open_segments(directory, reuse or {})
        counts = [segment.n_images for segment in self.segments]
        self.bases = tuple(sum(counts[:i]) for i in range(len(counts)))
        self._ids: frozenset[str] | None = None

    def _sizes_of_words(self) -> dict[str, int]:
        shape = self._vocabulary.shapes["words"] if self._vocabulary else (0, 0)
        return {"words": shape[0], "dimensions": shape[1]}

    def _open_segments(
        self, directory: Directory, reuse: Mapping[UUID, Segment]
    ) -> tuple[Segment, ...]:
        segments = []
        for entry in self.manifest.segments:
            segment = reuse.get(entry.uuid)
            if segment is None or (segment.entry, segment.n_words) != (entry, self.n_words):
                segment = Segment(directory, entry, self.n_words)
            segments.append(segment)
        return tuple(segments)

    def _check_fingerprint(self, vocabulary: Section) -> None:
        found = vocabulary.metadata.get("fingerprint")
        if found != self.manifest.fingerprint:
            reason = f"belongs to {found!r}, the collection to {self.manifest.fingerprint!r}"
            raise IndexCorruptError(vocabulary.path, "vocabulary.header", 0, reason)

    def check_descriptors(self, dimensions: int) -> None:
        """Refuse words or descriptors that are not of so many bytes.

        Raises
        ------
        IndexCorruptError
            At the first: what wrote the collection would not have written them together.
        """
        sections = [(self._vocabulary, "words"), (self._embedding, "means")]
        sections += [(s.sections.get("descriptors"), "descriptors") for s in self.segments]
        for section, name in sections:
            if section is None:
                continue
            shape, dtype = section.shapes[name], section.dtypes[name]
            if shape[1] != dimensions or dtype != np.uint8:
                reason = (
                    f"must have rows of {dimensions} bytes, as {self.fingerprint!r} has, "
                    f"got {dtype} of shape {shape}"
                )
                raise IndexCorruptError(section.path, f"{section.kind}.{name}", 0, reason)

    @property
    def generation(self) -> int:
        """Number of the commit; each is one more than that before."""
        return self.manifest.generation

    @property
    def settings(self) -> dict[str, Any]:
        """A copy of the collection's settings."""
        return copy.deepcopy(self.manifest.settings)

    @property
    def fingerprint(self) -> str:
        """Which descriptor the collection is made of."""
        return self.manifest.fingerprint

    @property
    def n_images(self) -> int:
        """Number of images in the collection."""
        return self.manifest.n_images

    @property
    def n_features(self) -> int:
        """Number of features in the collection."""
        return self.manifest.n_features

    @property
    def n_words(self) -> int:
        """Number of words of the vocabulary; 0 without one."""
        return self._vocabulary.shapes["words"][0] if self._vocabulary else 0

    @property
    def vocabulary(self) -> NDArray[Any] | None:
        """The words, a row each, or None before there is a vocabulary."""
        return self._vocabulary.array("words") if self._vocabulary else None

    @property
    def embedding(self) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Means and projection, or None where there are no signatures that are made by them."""
        if self._embedding is None:
            return None
        return self._embedding.array("means"), self._embedding.array("projection")

    @property
    def network(self) -> Section | None:
        """The file of the network that makes the images' vectors, or None where there are none."""
        return self._network

    @property
    def document_frequencies(self) -> NDArray[np.uint64]:
        """For each word, the number of images that have it."""
        if self._statistics is None:
            return np.zeros(self.n_words, np.uint64)
        return self._statistics.array("document_frequencies")

    def find(self, image_id: str) -> tuple[int, int] | None:
        """Return the segment and the number in it of the image of that id, or None."""
        for i, segment in enumerate(self.segments):
            number = segment.catalogue.number(image_id)
            if number is not None:
                return i, number
        return None

    def ids(self) -> frozenset[str]:
        """Return the ids of all images: made when first asked for, to ask for many of them."""
        if self._ids is None:
            self._ids = frozenset(
                itertools.chain.from_iterable(segment.catalogue.ids() for segment in self.segments)
            )
        return self._ids

    def verify(self) -> None:
        """Verify every byte of every file that this version knows.

        Raises
        ------
        IndexCorruptError
            At the first that is not what was written.
        """
        for section in (self._vocabulary, self._embedding, self._statistics, self._network):
            if section:
                section.verify()
        for segment in self.segments:
            segment.verify()


def open_snapshot(
    directory: Directory, verify: Verify = "lazy", reuse: Mapping[UUID, Segment] | None = None
) -> Snapshot:
    """Open the last committed state."""
    for attempt in range(_ATTEMPTS):
        pointer = read_current(directory)
        try:
            snapshot = Snapshot(directory, pointer, reuse)
            break
        except IndexCorruptError:
            # A commit in between may have removed what its predecessor needed.
            if attempt == _ATTEMPTS - 1 or read_current(directory) == pointer:
                raise
    if verify == "full":
        snapshot.verify()
    return snapshot
