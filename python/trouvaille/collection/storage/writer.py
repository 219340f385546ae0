# SPDX-License-Identifier: Apache-2.0
"""Writing: new files beside the old ones, made visible together by one rename."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._sections import blocks
from . import catalogue
from .catalogue import CatalogueRow
from .cleaning import remove_orphans
from .directory import Directory, advice
from .kinds import KINDS, OPTIONAL, Rules
from .manifest import FileEntry, Manifest, SegmentEntry, current
from .section import NewFile, write_section
from .segment import CATALOGUE, Segment
from .snapshot import Snapshot, open_snapshot

SEGMENT_KINDS = frozenset({"postings", "signatures", "words", "frames", "descriptors", "vectors"})


class Writer:
    """The one writer of a collection: use it as a context manager, which holds the lock.

    What is added is written at once, but belongs to the collection only after `commit`; without
    it, or after an error, the collection is as it was and the files go with the next writer.
    """

    def __init__(
        self,
        directory: Directory,
        committed: Callable[[Snapshot], None],
        reuse: Mapping[UUID, Segment] | None = None,
    ) -> None:
        self._directory = directory
        self._committed = committed
        self._reuse = reuse
        # Of the collection and of what was added since the last commit; made when first needed.
        self._ids: set[str] | None = None
        self._broken = True  # outside of the `with`, and after a commit that failed

    def __enter__(self) -> Writer:
        with advice(self._directory, "write"):
            self._lock = self._directory.lock("LOCK")
        try:
            # A writer that died may have renamed CURRENT without waiting for the disk: nothing
            # that the state before needs may go until that rename is certain.
            self._directory.sync_folder()
            self._start(open_snapshot(self._directory, reuse=self._reuse))
            remove_orphans(self._directory, self._base.manifest)
            self._committed(self._base)  # it may be newer than what was open here
        except BaseException:
            self._lock.release()
            raise
        self._broken = False
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # After a commit that failed it is not certain which state is on the disk.
            if not self._broken:
                with contextlib.suppress(OSError):  # the next writer will tidy up
                    remove_orphans(self._directory, self._base.manifest)
        finally:
            self._broken = True
            self._lock.release()

    def _start(self, base: Snapshot) -> None:
        """Begin the next commit, on top of `base`."""
        self._base = base
        self._vocabulary: FileEntry | None = base.manifest.file("vocabulary")
        self._embedding: FileEntry | None = base.manifest.file("embedding")
        self._network: FileEntry | None = base.manifest.file("network")
        self._n_words = base.n_words
        self._frequencies: NDArray[np.uint64] = base.document_frequencies
        self._segments: list[SegmentEntry] = []

    @property
    def base(self) -> Snapshot:
        """The last committed state, as it is under the lock: what is added comes on top of it."""
        self._check_usable()
        return self._base

    def _check_usable(self) -> None:
        if self._broken:
            raise RuntimeError("this writer is closed, or failed to commit; open another")

    def set_vocabulary(
        self,
        words: ArrayLike,
        fingerprint: str,
        embedding: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Give the collection its vocabulary: once, before the images.

        Parameters
        ----------
        words : array_like of uint8 or float32, shape (num_words, dimension)
            The words.
        fingerprint : str
            Which descriptor they belong to; that of the collection.
        embedding : mapping, optional
            What signatures are made by, where there are any: ``means``, shape (num_words,
            dimension), of what is around each word, and ``projection``, shape (dimension, bits).
        """
        self._check_usable()
        if self._vocabulary or self._segments or self._base.segments:
            raise ValueError("the collection has a vocabulary, or images, already; create another")
        if fingerprint != self._base.fingerprint:
            raise ValueError(
                f"the vocabulary belongs to {fingerprint!r}, "
                f"the collection is made of {self._base.fingerprint!r}"
            )
        array = np.asarray(words)
        validate("vocabulary", {"words": array}, {})
        if embedding is not None:
            arrays = {name: np.asarray(given) for name, given in embedding.items()}
            validate("embedding", arrays, _sizes_of(array.shape))
            own = uuid4()
            self._embedding = write_section(
                self._directory, f"embedding-{own}", "embedding", arrays, own
            )
        uuid = uuid4()
        self._vocabulary = write_section(
            self._directory,
            f"vocabulary-{uuid}",
            "vocabulary",
            {"words": array},
            uuid,
            metadata={"fingerprint": fingerprint},
        )
        self._n_words = len(array)
        self._frequencies = np.zeros(self._n_words, np.uint64)

    def set_network(self, file: bytes) -> None:
        """Give the collection its network: once, before the images.

        Parameters
        ----------
        file : bytes
            As `deep.save_network` writes it.
        """
        self._check_usable()
        if self._network or self._segments or self._base.segments:
            raise ValueError("the collection has a network, or images, already; create another")
        uuid = uuid4()
        arrays = {"file": np.frombuffer(file, np.uint8)}
        self._network = write_section(self._directory, f"network-{uuid}", "network", arrays, uuid)

    def add_segment(
        self,
        sections: Mapping[str, Mapping[str, ArrayLike]],
        rows: Sequence[CatalogueRow],
    ) -> UUID:
        """Write a segment of new images; `commit` makes it part of the collection.

        Parameters
        ----------
        sections : mapping of str to mapping of str to array_like
            The arrays of each kind of section: ``postings`` (offsets, images, counts), ``words``
            (feature_offsets, words), ``frames`` (frames), ``descriptors`` (descriptors),
            ``vectors`` (vectors) and so on; see docs/format.md. Any may be left out.
        rows : sequence of CatalogueRow
            The images; number i in the arrays is ``rows[i]``.

        Returns
        -------
        uuid : UUID
            Of the segment.

        Raises
        ------
        ValueError
            If arrays and rows do not agree, or an id is in the collection already.
        """
        self._check_usable()
        rows = list(rows)
        self._check_ids(rows)
        n_features = sum(int(row.n_features) for row in rows)
        arrays = self._validated(sections, rows, n_features)
        content = catalogue.encode(rows)
        uuid = uuid4()
        entry = SegmentEntry(uuid, len(rows), n_features, ())
        self._directory.make_folder(entry.folder)
        files = [
            write_section(
                self._directory,
                f"{entry.folder}/{kind}",
                kind,
                given,
                required=kind not in OPTIONAL,
            )
            for kind, given in arrays.items()
        ]
        files += self._write_catalogue(entry.folder, content)
        self._directory.sync_folder(entry.folder)
        self._segments.append(dataclasses.replace(entry, files=tuple(files)))
        self._all_ids().update(row.id for row in rows)
        if "words" in arrays:
            self._frequencies = self._frequencies + _document_frequencies(
                arrays["words"]["feature_offsets"], arrays["words"]["words"], self._n_words
            )
        return uuid

    def _check_ids(self, rows: list[CatalogueRow]) -> None:
        held, seen = self._all_ids(), set[str]()
        for i, row in enumerate(rows):
            if row.id in held or row.id in seen:
                raise ValueError(f"rows[{i}]: the collection has an image of id {row.id!r} already")
            seen.add(row.id)

    def _all_ids(self) -> set[str]:
        if self._ids is None:
            self._ids = set(self._base.ids())
        return self._ids

    def _validated(
        self,
        sections: Mapping[str, Mapping[str, ArrayLike]],
        rows: list[CatalogueRow],
        n_features: int,
    ) -> dict[str, dict[str, NDArray[np.generic]]]:
        unknown = sorted(sections.keys() - SEGMENT_KINDS)
        if unknown:
            raise ValueError(f"sections must be among {sorted(SEGMENT_KINDS)}, got {unknown}")
        if len(rows) >= 1 << 32:
            raise ValueError(f"a segment holds fewer than 2^32 images, got {len(rows)}")
        sizes = {"images": len(rows), "features": n_features, "words": self._n_words}
        arrays = {
            kind: {name: np.asarray(array) for name, array in given.items()}
            for kind, given in sections.items()
        }
        for kind, given in arrays.items():
            validate(kind, given, sizes)
        if "words" in arrays:
            counts = np.array([row.n_features for row in rows], np.uint64)
            if not np.array_equal(np.diff(arrays["words"]["feature_offsets"]), counts):
                raise ValueError("words.feature_offsets and the rows' n_features do not agree")
        return arrays

    def _write_catalogue(self, folder: str, content: bytes) -> list[FileEntry]:
        uuid = uuid4()
        with NewFile(self._directory, f"{folder}/images.sqlite") as file:
            file.write(content)
        table = blocks.table_of(memoryview(content), uuid)
        root = blocks.root(table.tobytes(), uuid)
        checksums = write_section(
            self._directory, f"{folder}/images.crc", "checksums", {"crc": table}
        )
        return [FileEntry(CATALOGUE, "images.sqlite", uuid, file.size, root), checksums]

    def commit(self) -> Snapshot:
        """Make all that was added since the last commit part of the collection.

        Returns
        -------
        snapshot : Snapshot
            The new state, on the disk.

        Raises
        ------
        OSError
            If the disk refuses. Whether the collection is as it was, or has all that was added, is
            seen when it is opened again; it is never in between.
        """
        self._check_usable()
        if not self._segments and not self._has_new_files():
            return self._base
        self._broken = True  # until all is well
        manifest = self._next_manifest()
        publish(self._directory, manifest)
        snapshot = open_snapshot(
            self._directory, reuse={segment.entry.uuid: segment for segment in self._base.segments}
        )
        self._start(snapshot)
        self._committed(snapshot)
        self._broken = False
        with contextlib.suppress(OSError):  # the commit stands; the next writer will tidy up
            remove_orphans(self._directory, manifest)
        return snapshot

    def _has_new_files(self) -> bool:
        old = self._base.manifest
        return self._vocabulary != old.file("vocabulary") or self._network != old.file("network")

    def _next_manifest(self) -> Manifest:
        old = self._base.manifest
        files = []
        if self._vocabulary:
            given = [file for file in (self._vocabulary, self._embedding) if file]
            files = [*given, self._write_statistics()]
        if self._network:
            files.append(self._network)
        return dataclasses.replace(
            old,
            generation=old.generation + 1,
            n_images=old.n_images + sum(segment.n_images for segment in self._segments),
            n_features=old.n_features + sum(segment.n_features for segment in self._segments),
            files=tuple(files),  # without those of kinds that this version cannot bring up to date
            segments=old.segments + tuple(self._segments),
        )

    def _write_statistics(self) -> FileEntry:
        uuid = uuid4()
        arrays = {"document_frequencies": self._frequencies}
        return write_section(self._directory, f"statistics-{uuid}", "statistics", arrays, uuid)


def _sizes_of(words: tuple[int, ...]) -> dict[str, int]:
    return {"words": words[0], "dimensions": words[1]}


def _document_frequencies(
    offsets: NDArray[Any], words: NDArray[Any], num_words: int
) -> NDArray[np.uint64]:
    """Return how many images have each word; words ascend within an image."""
    first = np.ones(len(words), np.bool_)
    first[1:] = words[1:] != words[:-1]
    first[offsets[:-1][offsets[:-1] < offsets[1:]].astype(np.intp)] = True
    return np.bincount(words[first], minlength=num_words).astype(np.uint64)


def publish(directory: Directory, manifest: Manifest) -> None:
    """Write the manifest and let CURRENT name it: the rename is the commit."""
    content = manifest.encode()
    with NewFile(directory, manifest.name) as file:
        file.write(content)
    with NewFile(directory, "CURRENT.new") as file:
        file.write(current(content, manifest.name))
    directory.sync_folder()  # all that CURRENT will lead to is there before it
    directory.rename("CURRENT.new", "CURRENT")
    directory.sync_folder()


def validate(
    kind: str, arrays: Mapping[str, NDArray[np.generic]], sizes: Mapping[str, int]
) -> None:
    """Check the arrays of a section as a reader will."""
    rules = Rules(kind, sizes)
    problem = rules.check_shapes({name: (a.dtype, a.shape) for name, a in arrays.items()})
    for name in KINDS[kind] if problem is None else ():
        problem = rules.check_values(name, arrays[name].reshape(-1)) or rules.check_structure(
            name, arrays[name], arrays.__getitem__
        )
        if problem:
            break
    if problem:
        name, value, reason = problem
        raise ValueError(f"{kind}.{name}, value {value}: {reason}")
