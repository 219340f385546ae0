# SPDX-License-Identifier: Apache-2.0
"""All that a collection is at one moment. What changes it makes another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import _ids as ids
from .._ids import Ids
from .by_word import ByWord, changed, frequencies
from .options import Options
from .segment import Segment
from .weights import word_weights


@dataclass(frozen=True, eq=False)
class Content:
    """The documents of an index, and what of its past matters.

    Attributes
    ----------
    segments : tuple of Segment
        The documents, in the order in which they came.
    frequencies : ByWord of int64, or None
        How many documents have each word; kept where the weights follow it.
    idf : ByWord of float64, or None
        What the words weigh, where that does not follow the collection.
    smallest, largest : float
        The least magnitude other than 0 and the greatest that were ever added; 0 if there was none.
        They stay when their documents go, so that joining blocks, which drops removed documents,
        changes no bit of an answer.
    largest_id : int
        The greatest id that was ever used; -1 at first.
    step : float
        Of values in 8 bits; 0 before there are any, and where they are kept otherwise.
    removed : bool
        Whether a document was ever removed.
    """

    segments: tuple[Segment, ...] = ()
    frequencies: ByWord | None = None
    idf: ByWord | None = None
    smallest: float = 0.0
    largest: float = 0.0
    largest_id: int = -1
    removed: bool = False
    step: float = 0.0

    @property
    def n_documents(self) -> int:
        """Documents that can be found."""
        return sum(segment.n_alive for segment in self.segments)

    def ids(self) -> Ids:
        """Return the ids of the documents that can be found, in order."""
        return ids.joined([segment.live_ids() for segment in self.segments])

    def counted(self, num_words: int) -> ByWord:
        """Return how many documents have each word."""
        if self.frequencies is not None:
            return self.frequencies
        return frequencies(self.segments, num_words)

    def weights(self, options: Options) -> ByWord | None:
        """Return what each word weighs."""
        if options.steady:
            return self.idf
        assert self.frequencies is not None
        return word_weights(options.weighting, self.frequencies, self.n_documents)

    def refuse_taken(self, new: NDArray[np.int64]) -> None:
        """Raise a ValueError if a document has one of the ids."""
        for segment in self.segments:
            refuse(new[segment.find(new) >= 0])

    def refuse_other_steps(self, new: Sequence[Segment]) -> None:
        """Raise a ValueError if values in 8 bits were cut to other steps meanwhile."""
        if self.step > 0 and any(step_of(segment) not in (0.0, self.step) for segment in new):
            raise ValueError(
                "the first rows of an index with values='uint8' must not be added by two calls "
                "at once"
            )

    def frozen(self, idf: ByWord | None) -> Content:
        """Return the content whose words weigh that from now on."""
        return replace(self, idf=idf)

    def arranged(self, segments: Sequence[Segment]) -> Content:
        """Return the content with the same documents in other segments."""
        return replace(self, segments=tuple(segments))

    def with_segments(self, new: Sequence[Segment]) -> Content:
        """Return the content with segments of new documents at its end."""
        smallest = [self.smallest, *(segment.block.smallest for segment in new)]
        return replace(
            self,
            segments=(*self.segments, *new),
            frequencies=None if self.frequencies is None else changed(self.frequencies, new),
            smallest=min((magnitude for magnitude in smallest if magnitude > 0), default=0.0),
            largest=max(self.largest, *(segment.block.largest for segment in new), 0.0),
            step=max(self.step, *(step_of(segment) for segment in new), 0.0),
            largest_id=max(self.largest_id, *(ids.largest(segment.ids) for segment in new), -1),
        )

    def keeping(self, which: NDArray[np.bool_]) -> Content:
        """Return the content with those of its documents that `which` says; not all of them."""
        segments, gone, begin = list[Segment](), list[Segment](), 0
        for segment in self.segments:
            end = begin + segment.n_alive
            part = which[begin:end]
            rest = segment if part.all() else segment.keeping(part)
            if rest is not segment:
                gone.append(segment.keeping(~part))
            if rest.n_alive > 0:
                segments.append(rest)
            begin = end
        counts = None if self.frequencies is None else changed(self.frequencies, gone, -1)
        return replace(self, segments=tuple(segments), frequencies=counts, removed=True)


def step_of(segment: Segment) -> float:
    """Return the step of 8-bit values, or 0 if there are none."""
    return segment.block.step if segment.block.n_postings > 0 else 0.0


def refuse(taken: NDArray[np.int64]) -> None:
    """Raise a ValueError if there are ids among the `taken`."""
    if len(taken) > 0:
        raise ValueError(f"ids must be new to the index, {taken[0]} is in it already")
