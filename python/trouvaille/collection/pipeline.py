# SPDX-License-Identifier: Apache-2.0
"""Photos in: extract, describe, learn the vocabulary if there is none, assign, commit.

Memory, for descriptors of 128 bytes: what is not committed yet is held, up to 200 bytes a feature,
so at most some 400 MB and the photos that the workers have in hand; a commit needs 100 MB more.
Vectors are held likewise, 34 MB for 4,096 photos of 2,048 numbers.
Learning a vocabulary holds the features of its photos, 350 MB at most, and for a moment their
descriptors once more.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._files import is_utf8
from ..features import Extraction, Photo, extract_all, id_problem, printable, shown
from ..words import Vocabulary
from .describing import Describer
from .report import AddReport, AddRow
from .segment import SegmentBuilder
from .settings import Settings
from .signing import check, new_embedding, signer_of
from .storage import Writer

Progress = Callable[[str, int, int | None], None]

# A segment is committed when it has so many photos, or so many features (256 MB of descriptors):
# an interruption loses no more than these.
SEGMENT_PHOTOS = 4096
SEGMENT_FEATURES = 2_000_000

# ... or if so many seconds went by since the last commit: a network may take one for each photo.
SEGMENT_SECONDS = 600.0

# A vocabulary of the collection's own is learned from its first photos: so many, or as many as have
# so many features.
LEARNING_PHOTOS = 1000
LEARNING_FEATURES = 2_000_000

# Descriptors a word for a vocabulary of the collection's own: at least the first, so that a word
# stands for something; of more than the second nothing is gained but time.
DESCRIPTORS_A_WORD = 16
MAX_DESCRIPTORS_A_WORD = 32
MAX_OWN_WORDS = 20_000

# Photos that the network is given together: on a GPU it takes those of one shape at once.
DESCRIBED_PHOTOS = 128

Named = tuple[str, Photo]


class Worked(NamedTuple):
    """A photo, and what was made of it."""

    named: Named
    extraction: Extraction
    vector: NDArray[np.float32] | None = None
    describe_seconds: float = 0.0


class Adding:
    """One call of `Collection.add`: state that its steps share."""

    def __init__(
        self,
        writer: Writer,
        settings: Settings,
        describer: Describer | None,
        progress: Progress | None,
    ) -> None:
        self._writer = writer
        self._settings = settings
        self._describer = describer
        self._progress = progress or (lambda stage, done, total: None)
        # Not that of a snapshot opened before: another process may have added since.
        check(writer.base, settings)
        words = writer.base.vocabulary
        self._vocabulary = None if words is None else Vocabulary(words, settings.fingerprint)
        self._must_learn = settings.has_features and words is None
        self._signer = signer_of(settings, writer.base)
        self._segment = self._new_segment()
        self._committed_at = time.perf_counter()
        self._rows: list[AddRow] = []
        self._notes: dict[str, None] = {}  # in their order, each once

    def run(self, photos: Sequence[Named], workers: int | None) -> AddReport:
        """Add the photos; return what became of each.

        Raises
        ------
        ValueError
            Before any work, if the collection has a photo of one of the ids.
        """
        start = time.perf_counter()
        held = self._writer.base.ids()
        if again := next((id for id, _ in photos if id in held), None):
            raise ValueError(
                f"photos: the collection has a photo {again!r} already; "
                "give the new one another id with ids="
            )
        worked = self._worked(photos, workers)
        if self._must_learn:
            first = _first(worked)
            readable = [each.extraction for each in first if each.extraction.status == "ok"]
            if readable:  # otherwise there are rows that say why, and nothing to add
                self._learn(readable)
            worked = chain(_drained(first), worked)
        for each in worked:
            self._take(each)
        self._flush()
        return AddReport(self._rows, time.perf_counter() - start, tuple(self._notes))

    def _worked(self, photos: Sequence[Named], workers: int | None) -> Iterator[Worked]:
        extracted = self._extracted(photos, workers)
        if self._settings.has_features:
            extracted = self._counted(extracted, len(photos))
        if self._describer is None:
            yield from extracted
            return
        done = 0
        while together := list(islice(extracted, DESCRIBED_PHOTOS)):
            yield from self._described(self._describer, together, done, len(photos), workers)
            done += len(together)
            self._progress("describing", done, len(photos))

    def _counted(self, worked: Iterable[Worked], total: int) -> Iterator[Worked]:
        self._progress("extracting", 0, total)
        for done, each in enumerate(worked, start=1):
            yield each
            self._progress("extracting", done, total)

    def _extracted(self, photos: Sequence[Named], workers: int | None) -> Iterator[Worked]:
        """Yield the photos with their local features, if there are to be any."""
        good = (photo for id, photo in photos if id_problem(id) is None)
        extractions: Iterator[Extraction]
        if self._settings.has_features:
            extractor, max_size = self._settings.extractor, self._settings.max_size
            extractions = extract_all(good, extractor, max_size=max_size, workers=workers)
        else:
            extractions = (Extraction(photo, "ok") for photo in good)
        for named in photos:
            problem = id_problem(named[0])
            yield Worked(
                named, next(extractions) if problem is None else _unnameable(named, problem)
            )

    def _described(
        self,
        describer: Describer,
        together: Sequence[Worked],
        done: int,
        total: int,
        workers: int | None,
    ) -> Iterator[Worked]:
        """Yield photos with the network's vectors, too; what it cannot take is not added."""
        good = [each for each in together if each.extraction.status == "ok"]

        def progress(stage: str, n: int, _: int | None) -> None:
            self._progress("describing", done + n, total)

        if not good:
            yield from together
            return
        report = describer.describe([each.named[1] for each in good], workers, progress)
        where = f"described on {report.device}: {report.device_reason}"
        self._notes |= dict.fromkeys([where, *report.notes])
        described = zip(report.rows, report.descriptors, strict=True)
        for each in together:
            if each.extraction.status != "ok":
                yield each
                continue
            row, vector = next(described)
            extraction = each.extraction
            if row.status != "ok":
                extraction = Extraction(extraction.photo, row.status, row.error)
            elif not self._settings.has_features:
                extraction = replace(extraction, size=row.size, work_size=row.work_size)
            yield Worked(each.named, extraction, vector, report.seconds / len(good))

    def _learn(self, extractions: Sequence[Extraction]) -> None:
        parts = [e.features.descriptors for e in extractions if e.features is not None]
        distinct = _count_distinct(parts)
        if distinct == 0:
            raise ValueError(
                "photos have no local features, so that no vocabulary can be learned from them; "
                "add photos with structure first, or create the collection with a vocabulary"
            )
        wanted = self._settings.num_words
        if wanted is None:
            wanted = min(max(distinct // DESCRIPTORS_A_WORD, 1), MAX_OWN_WORDS)
        if wanted > distinct:
            raise ValueError(
                f"num_words is {wanted}, but the photos have only {distinct} distinct descriptors: "
                "add more photos at once, or create the collection with fewer words"
            )
        self._vocabulary = Vocabulary.from_descriptors(
            np.concatenate(parts),
            wanted,
            self._settings.fingerprint,
            random_state=self._settings.random_state,
            max_descriptors=MAX_DESCRIPTORS_A_WORD * wanted,
            progress=lambda done, total: self._progress("learning words", done, total),
        )
        words = self._vocabulary.words
        embedding = new_embedding(self._settings, words)
        self._writer.set_vocabulary(words, self._settings.fingerprint, embedding)
        self._writer.commit()  # it took minutes, perhaps: an interruption does not lose it
        self._signer = signer_of(self._settings, self._writer.base)
        self._segment = self._new_segment()  # whose features have signatures in these words

    def _take(self, worked: Worked) -> None:
        (id, photo), extraction = worked.named, worked.extraction
        features, seconds = extraction.features, 0.0
        words = np.empty(0, np.int64)
        if features is not None and self._vocabulary is not None:
            start = time.perf_counter()
            words = self._vocabulary.assign(features.descriptors).ids[:, 0]
            seconds = time.perf_counter() - start
        if extraction.status == "ok":
            path = _stored_path(photo)
            self._segment.add(id, path, extraction, features, words, worked.vector)
        self._rows.append(
            AddRow(
                id if extraction.status != "unnameable" else printable(id),
                extraction.status,
                0 if features is None else len(features.frames),
                extraction.error,
                extraction.decode_seconds,
                extraction.extract_seconds,
                seconds,
                worked.describe_seconds,
            )
        )
        late = time.perf_counter() - self._committed_at > SEGMENT_SECONDS
        full = len(self._segment) == SEGMENT_PHOTOS or self._segment.n_features >= SEGMENT_FEATURES
        if full or late:
            self._flush()

    def _flush(self) -> None:
        """Commit the photos collected so far."""
        if len(self._segment) > 0:
            num_words = 0 if self._vocabulary is None else self._vocabulary.num_words
            sections = self._segment.sections(num_words)
            self._writer.add_segment(sections, self._segment.rows)
        self._writer.commit()
        self._segment = self._new_segment()
        self._committed_at = time.perf_counter()

    def _new_segment(self) -> SegmentBuilder:
        settings = self._settings
        return SegmentBuilder(
            settings.keep_descriptors,
            settings.dimensions if settings.has_features else None,
            self._signer,
            settings.vector_dimensions,
        )


def _first(worked: Iterator[Worked]) -> deque[Worked]:
    """Take the photos of which a vocabulary is learned."""
    taken: deque[Worked] = deque()
    n_photos = n_features = 0
    for each in worked:
        taken.append(each)
        if each.extraction.features is not None:
            n_photos += 1
            n_features += len(each.extraction.features.frames)
        if n_photos == LEARNING_PHOTOS or n_features >= LEARNING_FEATURES:
            break
    return taken


def _drained(worked: deque[Worked]) -> Iterator[Worked]:
    while worked:  # what was yielded is not held any longer
        yield worked.popleft()


def _unnameable(named: Named, problem: str) -> Extraction:
    id, photo = named
    error = f"its name {shown(id)} {problem}: rename the file, or give an id of its own with ids="
    return Extraction(photo, "unnameable", error)


def _stored_path(photo: Photo) -> str | None:
    """Return where a photo is, if it is a file, and if a catalogue can hold its path."""
    if not isinstance(photo, str | os.PathLike):
        return None
    path = os.path.abspath(os.fsdecode(photo))  # noqa: PTH100 (keeps links)
    return path if is_utf8(path) else None


def _count_distinct(parts: Sequence[NDArray[np.uint8]]) -> int:
    """Return the number of distinct rows, by their hashes: it may be one or two too few."""
    return len(np.unique(np.concatenate([np.empty(0, np.uint64), *map(_hashes, parts)])))


def _hashes(descriptors: NDArray[np.uint8]) -> NDArray[np.uint64]:
    spare = -descriptors.shape[1] % 8
    words = np.ascontiguousarray(np.pad(descriptors, ((0, 0), (0, spare)))).view(np.uint64)
    powers = np.uint64(0x9E3779B97F4A7C15) ** np.arange(1, words.shape[1] + 1, dtype=np.uint64)
    hashes: NDArray[np.uint64] = (words ^ words >> np.uint64(29)) @ powers
    return hashes
