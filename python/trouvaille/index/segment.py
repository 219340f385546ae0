# SPDX-License-Identifier: Apache-2.0
"""A block of documents with their ids, and which of them are still there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _bitmap as bitmap
from .. import _core
from .. import _ids as ids
from .._bitmap import Bitmap
from .._ids import Ids
from .forward import Forward


@dataclass(frozen=True, eq=False)
class Segment:
    """Some documents of a collection. Immutable: what removes a document makes a new one.

    Attributes
    ----------
    block : InvertedBlock
        The compressed lists.
    ids : range or ndarray of int64
        One a document of the block, removed ones included.
    alive : ndarray of uint64, or None
        The documents that were not removed; None where all of them are there.
    n_alive : int
        How many these are.
    forward : Forward or None
        The documents by row, if the index keeps them.
    kept : dict
        What was computed of the block and its ids, whichever documents are alive; see `weights`.
    """

    block: _core.InvertedBlock
    ids: Ids
    alive: Bitmap | None
    n_alive: int
    forward: Forward | None = None
    kept: dict[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def n_documents(self) -> int:
        """Documents of the block, removed ones included."""
        return self.block.n_documents

    def members(self) -> NDArray[np.bool_]:
        """Say of each document whether it is alive."""
        if self.alive is None:
            return np.ones(self.n_documents, bool)
        return bitmap.unpacked(self.alive, self.n_documents)

    def live_ids(self) -> Ids:
        """Return the ids of those alive, in the order of the documents."""
        return self.ids if self.alive is None else ids.as_array(self.ids)[self.members()]

    def find(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where in the block each id is, or -1 if it is not, or was removed."""
        places = self._places(wanted)
        if self.alive is not None:
            places[~self.members()[places]] = -1  # what is not there looks at the last one
        return places

    def _places(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        if not isinstance(self.ids, range) and "order" not in self.kept:  # of at most 65,536
            self.kept["order"] = np.argsort(self.ids, kind="stable").astype(np.uint16)
        return ids.find(self.ids, self.kept.get("order"), wanted)

    def keeping(self, which: NDArray[np.bool_]) -> Segment:
        """Return the segment with the documents that were alive and shall be; not all of them."""
        members = self.members()
        members[members] = which
        return replace(self, alive=bitmap.packed(members), n_alive=int(which.sum()))


def numbered(segments: Sequence[Segment], new: Ids) -> list[Segment]:
    """Return segments that get their ids, the rows of one after those of the other."""
    ends = np.cumsum([segment.n_documents for segment in segments]).tolist()
    starts = [0, *ends[:-1]]
    return [
        replace(segment, ids=ids.compact(new[start:end]), kept={})
        for segment, start, end in zip(segments, starts, ends, strict=True)
    ]
