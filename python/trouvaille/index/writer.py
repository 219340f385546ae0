# SPDX-License-Identifier: Apache-2.0
"""A collection that changes: rows come and go, and readers are made when somebody asks."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _ids, _sparse
from .building import MAX_DOCUMENTS, Progress, alike, built, optimized, tidied
from .by_word import ByWord, frequencies
from .content import Content
from .leaving import Leaving
from .options import Options
from .pending import Part, Pending
from .reader import Reader
from .segment import Segment, numbered
from .weights import word_weights

MAX_ROWS = 2**32


class Writer:
    """Holds the content of an index. Every method may be called by any number of threads.

    Nothing that was handed out ever changes: a change is another `Content`, put in the place of
    the old one when it is complete.
    """

    def __init__(self, content: Content, num_words: int, options: Options) -> None:
        self._num_words = num_words
        self._options = options
        self._lock = threading.Lock()  # held while any of the following changes
        self._content = content
        self._pending = Pending()  # rows that are not in the content yet
        self._leaving: Leaving | None = None  # documents of the content that were removed
        self._reader: Reader | None = None  # of the content as it was when it was made

    def __len__(self) -> int:
        """Return the number of documents."""
        with self._lock:
            leaving = self._leaving.n_documents if self._leaving is not None else 0
            return self._content.n_documents - leaving + self._pending.n_documents

    def append(self, matrix: _sparse.Matrix | _sparse.Dense, ids: ArrayLike | None) -> None:
        """Add rows: many as blocks, few as copies that wait until somebody asks."""
        # Whether values fit 8 bits shows when they are written, so that is done at once.
        if len(matrix) >= MAX_DOCUMENTS or self._options.values == "uint8":
            self.append_blocks(matrix, ids, _check.threads(None))
            return
        given = None if ids is None else _ids.checked(ids, len(matrix))
        rows = matrix.rows()
        self._options.check_documents(rows, "X")
        # What may be the caller's own memory is copied.
        rows = _sparse.Rows(rows.offsets.copy(), rows.words.copy(), rows.values.copy())
        with self._lock:
            if self._pending.full:  # first: what it raises leaves the collection as it was
                self._settle(_check.threads(None))
            self._pending.append(Part(rows, self._new_ids(given, len(matrix))))

    def append_blocks(
        self,
        matrix: _sparse.Matrix | _sparse.Dense,
        ids: ArrayLike | None,
        threads: int,
        progress: Progress | None = None,
    ) -> None:
        """Add rows as blocks, without a copy of them."""
        n = len(matrix)
        given = None if ids is None else _ids.checked(ids, n)
        if n == 0:
            matrix.rows()  # which checks what there is
            return
        step = self._content.step  # which never changes once there is one
        segments = built(matrix, self._options, threads, progress, step)  # searches go on meanwhile
        with self._lock:
            self._settle(threads)
            self._content.refuse_other_steps(segments)
            segments = numbered(segments, self._new_ids(given, n))
            content = self._content
            if content.idf is None and self._options.idf == "frozen":
                content = content.frozen(self._weights_of(segments, n))
            content = content.with_segments(segments)
            segments = alike(content.segments, self._options, threads)
            self._replace(content.arranged(tidied(segments, self._options)))

    def remove(self, unwanted: NDArray[np.int64]) -> None:
        """Remove the documents of distinct ids, or none if one is unknown."""
        with self._lock:
            unknown = self._mark(unwanted)
            if len(unknown) > 0 and self._pending.n_documents > 0:
                self._settle(_check.threads(None))
                unknown = self._mark(unwanted)
            if len(unknown) > 0:
                raise ValueError(f"ids must be in the index, {unknown[0]} is not")

    def optimize(self) -> None:
        """Join small segments and those that have removed documents."""
        with self._lock:
            threads = _check.threads(None)
            self._settle(threads)
            segments = optimized(self._content.segments, self._options)
            self._replace(self._content.arranged(segments))

    def content(self) -> Content:
        """Return all that was added until now."""
        with self._lock:
            self._settle(_check.threads(None))
            return self._content

    def reader(self, threads: int) -> Reader:
        """Return the reader of all that was added until now."""
        with self._lock:
            self._settle(threads)
            reader = self._reader
            if reader is None or reader.content is not self._content:
                reader = self._reader = Reader(
                    self._content, self._options, self._num_words, threads
                )
            return reader

    def _replace(self, content: Content) -> None:
        """Let go of what there was, which the reader holds, too. The lock is held."""
        self._content, self._reader, self._leaving = content, None, None

    def _mark(self, unwanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Let documents of the content go, or return the ids that it has not. The lock is held."""
        leaving = self._leaving or Leaving(self._content)
        unknown = leaving.mark(unwanted)
        if leaving.n_documents > 0:
            self._leaving, self._reader = leaving, None
        return unknown

    def _settle(self, threads: int) -> None:
        """Drop what leaves, and make blocks of the rows that wait. The lock is held."""
        if self._leaving is not None:
            self._replace(self._leaving.without(self._content))
        if self._pending.n_documents > 0:
            content = self._pending.after(self._content, self._num_words, self._options, threads)
            self._replace(content)
            self._pending = Pending()

    def _weights_of(self, segments: list[Segment], n: int) -> ByWord | None:
        if self._options.weighting is None:
            return None
        return word_weights(self._options.weighting, frequencies(segments, self._num_words), n)

    def _new_ids(self, given: NDArray[np.int64] | None, n: int) -> _ids.Ids:
        """Return the ids of `n` rows to be added. The lock is held."""
        content, pending = self._content, self._pending
        n_rows = sum(segment.n_documents for segment in content.segments) + pending.n_documents
        if n_rows + n > MAX_ROWS:
            raise ValueError(f"an index holds 2^32 documents, got {n} more than {n_rows}")
        largest = max(content.largest_id, pending.largest_id)
        removed = content.removed or self._leaving is not None
        start = largest + 1 if removed else n_rows
        new = _ids.following(start - 1, n) if given is None else _ids.compact(given)
        if n > 0 and _ids.smallest(new) <= largest:
            (self._leaving or content).refuse_taken(_ids.as_array(new))
            pending.refuse_taken(_ids.as_array(new))
        return new
