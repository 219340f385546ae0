# SPDX-License-Identifier: Apache-2.0
"""The forward view: what words a document has, beside the lists that say it the other way."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core


class Forward(NamedTuple):
    """Document i of a block has the words of the places ``offsets[i]`` to ``offsets[i + 1]``."""

    offsets: NDArray[np.int64]
    words: NDArray[Any]
    """uint16 where the words' numbers fit, uint32 otherwise; ascending within a document."""
    values: NDArray[Any]
    """uint16 where the block holds counts, float32 otherwise."""

    @property
    def nbytes(self) -> int:
        """Bytes of the three."""
        return self.offsets.nbytes + self.words.nbytes + self.values.nbytes

    def document(self, i: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the words of document `i` and their values."""
        place = slice(*self.offsets[i : i + 2].tolist())
        return self.words[place].astype(np.int64), self.values[place].astype(np.float32)


def forward_of(block: _core.InvertedBlock) -> Forward:
    """Return the forward view of a block."""
    offsets, words, values = block.rows()
    return Forward(offsets, words.astype(word_dtype(block)), values.astype(value_dtype(block)))


def word_dtype(block: _core.InvertedBlock) -> np.dtype[Any]:
    """Return the dtype of the words in the forward view of a block."""
    return np.dtype(np.uint16 if block.num_words <= 2**16 else np.uint32)


def value_dtype(block: _core.InvertedBlock) -> np.dtype[Any]:
    """Return the dtype of the values in the forward view of a block."""
    return np.dtype(np.uint16 if block.storage == "counts" else np.float32)
