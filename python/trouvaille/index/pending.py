# SPDX-License-Identifier: Apache-2.0
"""Rows that were added and that nobody has asked for yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _ids as ids
from .. import _sparse
from .._ids import Ids
from .building import MAX_DOCUMENTS, alike, segments_of, tidied
from .by_word import ByWord, occurrences
from .content import Content, refuse
from .options import Options
from .segment import numbered
from .weights import word_weights

_MAX_PARTS, _MAX_POSTINGS = 1_024, 2**25


class Part(NamedTuple):
    """The rows of one call of `InvertedFile.add`."""

    rows: _sparse.Rows
    ids: Ids


@dataclass
class Pending:
    """Rows that wait, so that many short calls cost what a long one does."""

    parts: list[Part] = field(default_factory=list)
    n_documents: int = 0
    n_postings: int = 0
    largest_id: int = -1

    def append(self, part: Part) -> None:
        """Add the rows of a call, which are nobody else's memory."""
        self.parts.append(part)
        self.n_documents += len(part.ids)
        self.n_postings += len(part.rows.words)
        self.largest_id = max(self.largest_id, ids.largest(part.ids))

    @property
    def full(self) -> bool:
        """Whether it is time to make blocks of the rows."""
        return (
            len(self.parts) >= _MAX_PARTS
            or self.n_documents >= MAX_DOCUMENTS
            or self.n_postings >= _MAX_POSTINGS
        )

    def refuse_taken(self, new: NDArray[np.int64]) -> None:
        """Raise a ValueError if one of the ids waits here."""
        if self.n_documents == 0:
            return
        waiting = np.concatenate([ids.as_array(part.ids) for part in self.parts])
        refuse(new[np.isin(new, waiting)])

    def after(self, content: Content, num_words: int, options: Options, threads: int) -> Content:
        """Return the content with these rows at its end."""
        if self.n_documents == 0:
            return content
        if content.idf is None and options.idf == "frozen":
            content = content.frozen(self._first_weights(num_words, options))
        rows = _sparse.stack([part.rows for part in self.parts])
        n_blocks = -(-self.n_documents // MAX_DOCUMENTS)
        segments = segments_of(rows, num_words, options, threads, n_blocks)
        new = ids.joined([part.ids for part in self.parts])
        content = content.with_segments(numbered(segments, new))
        segments = alike(content.segments, options, threads)
        return content.arranged(tidied(segments, options))

    def _first_weights(self, num_words: int, options: Options) -> ByWord | None:
        first = next(part for part in self.parts if len(part.ids) > 0)
        counts = occurrences(first.rows.words, num_words)
        return word_weights(options.weighting, counts, len(first.ids))
