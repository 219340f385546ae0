# SPDX-License-Identifier: Apache-2.0
"""Photos in: extract, learn the vocabulary if there is none, assign, commit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from ..features import DIMENSIONS, FINGERPRINT, Extraction, Photo, extract_all
from ..words import Vocabulary
from .report import AddReport, AddRow
from .segment import SegmentBuilder
from .settings import Settings
from .storage import Storage, Writer

Progress = Callable[[str, int, int | None], None]

# Photos a segment at the most, each a commit: an interruption loses no more than these.
SEGMENT_PHOTOS = 4096

# A vocabulary of the collection's own is learned from at most this many of its first photos.
LEARNING_PHOTOS = 1000

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
        storage: Storage,
        settings: Settings,
        progress: Progress | None,
    ) -> None:
        self._writer = writer
        self._settings = settings
        self._progress = progress or (lambda stage, done, total: None)
        words = storage.snapshot.vocabulary
        self._vocabulary = None if words is None else Vocabulary(words, FINGERPRINT)
        self._segment = SegmentBuilder(settings.keep_descriptors)
        self._rows: list[AddRow] = []

    def run(self, photos: Sequence[Named], workers: int | None) -> AddReport:
        """Add the photos; return what became of each."""
        start = time.perf_counter()
        pairs = self._extracted(photos, workers)
        if self._vocabulary is None:
            first = list(islice(pairs, LEARNING_PHOTOS))
            self._learn([extraction for _, extraction in first])
            pairs = chain(first, pairs)
        for named, extraction in pairs:
            self._take(named, extraction)
        self._flush()
        return AddReport(self._rows, time.perf_counter() - start)

    def _extracted(
        self, photos: Sequence[Named], workers: int | None
    ) -> Iterator[tuple[Named, Extraction]]:
        extractions = extract_all(
            (photo for _, photo in photos),
            workers=workers,
            max_features=self._settings.max_features,
            max_size=self._settings.max_size,
        )
        self._progress("extracting", 0, len(photos))
        for done, pair in enumerate(zip(photos, extractions, strict=True), start=1):
            yield pair
            self._progress("extracting", done, len(photos))

    def _learn(self, extractions: Sequence[Extraction]) -> None:
        parts = [e.features.descriptors for e in extractions if e.features is not None]
        descriptors = np.concatenate([np.empty((0, DIMENSIONS), np.uint8), *parts])
        distinct = _count_distinct(descriptors)
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
            descriptors,
            wanted,
            FINGERPRINT,
            random_state=self._settings.random_state,
            max_descriptors=MAX_DESCRIPTORS_A_WORD * wanted,
            progress=lambda done, total: self._progress("learning words", done, total),
        )
        self._writer.set_vocabulary(self._vocabulary.words, FINGERPRINT)

    def _take(self, named: Named, extraction: Extraction) -> None:
        id, photo = named
        features, seconds = extraction.features, 0.0
        if features is not None and self._vocabulary is not None:
            start = time.perf_counter()
            words = self._vocabulary.assign(features.descriptors).ids[:, 0]
            seconds = time.perf_counter() - start
            path = os.path.abspath(photo) if isinstance(photo, str | os.PathLike) else None  # noqa: PTH100 (keeps links)
            self._segment.add(id, path, extraction, features, words)
        self._rows.append(
            AddRow(
                id,
                extraction.status,
                0 if features is None else len(features.frames),
                extraction.error,
                extraction.decode_seconds,
                extraction.extract_seconds,
                seconds,
            )
        )
        if len(self._segment) == SEGMENT_PHOTOS:
            self._flush()

    def _flush(self) -> None:
        """Commit the photos collected so far."""
        if len(self._segment) > 0:
            assert self._vocabulary is not None  # photos are only taken once there is one
            sections = self._segment.sections(self._vocabulary.num_words)
            self._writer.add_segment(sections, self._segment.rows)
        self._writer.commit()
        self._segment = SegmentBuilder(self._settings.keep_descriptors)


def _count_distinct(descriptors: NDArray[np.uint8]) -> int:
    """Return the number of distinct rows, by their hashes: it may be one or two too few."""
    words = np.ascontiguousarray(descriptors).view(np.uint64)
    powers = np.uint64(0x9E3779B97F4A7C15) ** np.arange(1, words.shape[1] + 1, dtype=np.uint64)
    hashes = (words ^ words >> np.uint64(29)) @ powers
    return len(np.unique(hashes))
