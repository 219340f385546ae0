# SPDX-License-Identifier: Apache-2.0
"""A number for each word, of very many words only where it matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .segment import Segment

MANY = 2**24  # words; of more, those that have postings are listed


@dataclass(frozen=True, eq=False)
class ByWord:
    """A number for each word.

    Attributes
    ----------
    numbers : ndarray
        One for each of `words`.
    words : ndarray of uint32, or None
        Ascending. None: all words.
    other : float
        The number of every word that is not among `words`.
    """

    numbers: NDArray[Any]
    words: NDArray[np.uint32] | None = None
    other: float = 0

    @property
    def given(self) -> tuple[NDArray[Any], NDArray[np.uint32] | None, float]:
        """These as the kernels take them, of float64."""
        return self.numbers, self.words, self.other

    def dense(self, num_words: int, copy: bool = False) -> NDArray[Any]:
        """Return the number of every word, shape (num_words,); a copy, or `numbers` if they are."""
        if self.words is None:
            return self.numbers.copy() if copy else self.numbers
        # Zeros take no memory before something else is written.
        dense = np.zeros(num_words, self.numbers.dtype)
        if self.other != 0:
            dense[:] = self.other
        dense[self.words] = self.numbers
        return dense


def occurrences(words: NDArray[np.uint32], num_words: int) -> ByWord:
    """Return how often each word is among `words`."""
    if num_words <= MANY:
        return ByWord(np.bincount(words, minlength=num_words))
    listed, counts = np.unique(words, return_counts=True)
    return ByWord(counts, listed)


def frequencies(segments: Sequence[Segment], num_words: int) -> ByWord:
    """Return how many live documents have each word."""
    if num_words <= MANY:
        return changed(ByWord(np.zeros(num_words, np.int64)), segments)
    return changed(ByWord(np.zeros(0, np.int64), np.zeros(0, np.uint32)), segments)


def changed(counts: ByWord, segments: Sequence[Segment], sign: int = 1) -> ByWord:
    """Return the frequencies with the live documents of segments that come, or go if -1."""
    if counts.words is None:
        change = np.zeros_like(counts.numbers)
        for segment in segments:
            segment.block.add_frequencies(change, segment.alive)
        return ByWord(counts.numbers + sign * change)
    parts = [segment.block.frequencies(segment.alive) for segment in segments]
    words, places = np.unique(
        np.concatenate([counts.words, *(part[0] for part in parts)]), return_inverse=True
    )
    numbers = np.zeros(len(words), np.int64)
    np.add.at(
        numbers, places, np.concatenate([counts.numbers, *(sign * part[1] for part in parts)])
    )
    return ByWord(numbers[numbers > 0], words[numbers > 0])
