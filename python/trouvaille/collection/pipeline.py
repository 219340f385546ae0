# SPDX-License-Identifier: Apache-2.0
"""Photos in: extract, learn the vocabulary if there is none, assign, commit.

Memory, for descriptors of 128 bytes: what is not committed yet is held, up to 200 bytes a feature,
so at most some 400 MB and the photos that the workers have in hand; a commit needs 100 MB more.
Learning a vocabulary holds the features of its photos, 350 MB at most, and for a moment their
descriptors once more.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from .._files import is_utf8
from ..features import Extraction, Photo, extract_all, id_problem, printable, shown
from ..words import Vocabulary
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

# A vocabulary of the collection's own is learned from its first photos: so many, or as many as have
# so many features.
LEARNING_PHOTOS = 1000
LEARNING_FEATURES = 2_000_000

# Descriptors a word for a vocabulary of the collection's own: at least the first, so that a word
# stands for something; of more than the second nothing is gained but time.
DESCRIPTORS_A_WORD = 16
MAX_DESCRIPTORS_A_WORD = 32
MAX_OWN_WORDS = 20_000

Named = tuple[str, Photo]


class Adding:
    """One call of `Collection.add`: state that its steps share."""

    def __init__(
        self,
        writer: Writer,
        settings: Settings,
        progress: Progress | None,
    ) -> None:
        self._writer = writer
        self._settings = settings
        self._progress = progress or (lambda stage, done, total: None)
        # Not that of a snapshot opened before: another process may have added since.
        check(writer.base, settings)
        words = writer.base.vocabulary
        self._vocabulary = None if words is None else Vocabulary(words, settings.fingerprint)
        self._signer = signer_of(settings, writer.base)
        self._segment = self._new_segment()
        self._rows: list[AddRow] = []

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
        pairs = self._extracted(photos, workers)
        if self._vocabulary is None:
            first = _first(pairs)
            readable = [extraction for _, extraction in first if extraction.status == "ok"]
            if readable:  # otherwise there are rows that say why, and nothing to add
                self._learn(readable)
            pairs = chain(_drained(first), pairs)
        for named, extraction in pairs:
            self._take(named, extraction)
        self._flush()
        return AddReport(self._rows, time.perf_counter() - start)

    def _extracted(
        self, photos: Sequence[Named], workers: int | None
    ) -> Iterator[tuple[Named, Extraction]]:
        extractions = extract_all(
            (photo for id, photo in photos if id_problem(id) is None),
            self._settings.extractor,
            max_size=self._settings.max_size,
            workers=workers,
        )
        self._progress("extracting", 0, len(photos))
        for done, named in enumerate(photos, start=1):
            problem = id_problem(named[0])
            yield named, next(extractions) if problem is None else _unnameable(named, problem)
            self._progress("extracting", done, len(photos))

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

    def _take(self, named: Named, extraction: Extraction) -> None:
        id, photo = named
        features, seconds = extraction.features, 0.0
        if features is not None and self._vocabulary is not None:
            start = time.perf_counter()
            words = self._vocabulary.assign(features.descriptors).ids[:, 0]
            seconds = time.perf_counter() - start
            self._segment.add(id, _stored_path(photo), extraction, features, words)
        self._rows.append(
            AddRow(
                id if extraction.status != "unnameable" else printable(id),
                extraction.status,
                0 if features is None else len(features.frames),
                extraction.error,
                extraction.decode_seconds,
                extraction.extract_seconds,
                seconds,
            )
        )
        if len(self._segment) == SEGMENT_PHOTOS or self._segment.n_features >= SEGMENT_FEATURES:
            self._flush()

    def _flush(self) -> None:
        """Commit the photos collected so far."""
        if len(self._segment) > 0:
            assert self._vocabulary is not None  # photos are only taken once there is one
            sections = self._segment.sections(self._vocabulary.num_words)
            self._writer.add_segment(sections, self._segment.rows)
        self._writer.commit()
        self._segment = self._new_segment()

    def _new_segment(self) -> SegmentBuilder:
        settings = self._settings
        return SegmentBuilder(settings.keep_descriptors, settings.dimensions, self._signer)


def _first(pairs: Iterator[tuple[Named, Extraction]]) -> deque[tuple[Named, Extraction]]:
    """Take the photos of which a vocabulary is learned."""
    taken: deque[tuple[Named, Extraction]] = deque()
    n_photos = n_features = 0
    for pair in pairs:
        taken.append(pair)
        if pair[1].features is not None:
            n_photos += 1
            n_features += len(pair[1].features.frames)
        if n_photos == LEARNING_PHOTOS or n_features >= LEARNING_FEATURES:
            break
    return taken


def _drained(pairs: deque[tuple[Named, Extraction]]) -> Iterator[tuple[Named, Extraction]]:
    while pairs:  # what was yielded is not held any longer
        yield pairs.popleft()


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
