# SPDX-License-Identifier: Apache-2.0
"""All photos of an index of signatures at one moment, and as a file has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import _core, _ids
from .._ids import MAX_ID
from .signature_block import Block, SignatureRows, built, tidied

_ARRAYS: Mapping[str, tuple[DTypeLike, int]] = {
    "words": (np.uint32, 1),
    "starts": (np.uint64, 1),
    "photos": (np.uint16, 1),
    "signatures": (np.uint8, 2),
}


# Postings of a block that is made of several, of which some came as lists or lost photos: larger
# ones stay where they are, in a mapped file perhaps.
_FEW_POSTINGS = 1 << 18


@dataclass(frozen=True, eq=False)
class SignatureContent:
    """Photos with signatures. Immutable: a change makes another.

    Attributes
    ----------
    num_words, n_bits : int
        Of the vocabulary, and of a signature.
    blocks : tuple of Block
        In the order in which the photos came.
    largest_id : int
        That there ever was, or -1.
    """

    num_words: int
    n_bits: int
    blocks: tuple[Block, ...] = ()
    largest_id: int = -1

    @property
    def n_photos(self) -> int:
        """How many photos can be found."""
        return sum(block.n_alive for block in self.blocks)

    def with_photos(self, rows: SignatureRows, ids: ArrayLike | None) -> SignatureContent:
        """Return the content with more photos; ValueError if an id is taken."""
        n = len(rows.offsets) - 1
        own: _ids.Ids
        if ids is None:
            own = _ids.following(self.largest_id, n)
        else:
            own = _ids.compact(_ids.checked(ids, n))
            self._refuse_taken(_ids.as_array(own))
        blocks = self.blocks
        for block in built(rows, own, self.num_words):  # joined as they come, like single ones
            blocks = tidied([*blocks, block], self.num_words)
        return replace(self, blocks=blocks, largest_id=max(self.largest_id, _ids.largest(own)))

    def with_lists(self, arrays: tuple[NDArray[Any], ...], n_photos: int) -> SignatureContent:
        """Return the content with more photos, of which there are lists; ValueError if not."""
        _core.check_signatures(arrays, self.num_words, n_photos, self.n_bits)
        own = _ids.following(self.largest_id, n_photos)
        if n_photos == 0:
            return self
        blocks = tidied([*self.blocks, Block(arrays, own)], self.num_words, _FEW_POSTINGS)
        return replace(self, blocks=blocks, largest_id=_ids.largest(own))

    def without(self, unwanted: NDArray[np.int64]) -> SignatureContent:
        """Return the content without photos; ValueError if one of the ids is of none."""
        found = [block.find(unwanted) for block in self.blocks]
        known = np.zeros(len(unwanted), np.bool_)
        for photos in found:
            known |= photos >= 0
        if not known.all():
            raise ValueError(f"ids must be in the index, {unwanted[~known][0]} is not")
        left = [
            block.without(photos[photos >= 0]) if (photos >= 0).any() else block
            for block, photos in zip(self.blocks, found, strict=True)
        ]
        return replace(self, blocks=tidied(left, self.num_words, _FEW_POSTINGS))

    def ids(self) -> NDArray[np.int64]:
        """Return the ids of all photos that can be found, in the order in which they came."""
        return _ids.as_array(_ids.joined([_ids.compact(b.live_ids()) for b in self.blocks])).copy()

    def _refuse_taken(self, new: NDArray[np.int64]) -> None:
        if len(new) == 0 or new.min() > self.largest_id:
            return
        for block in self.blocks:
            taken = block.find(new) >= 0
            if taken.any():
                raise ValueError(f"ids must not be given twice: {new[taken][0]} is there already")

    def to_file(self) -> tuple[dict[str, Any], dict[str, ArrayLike]]:
        """Return what a file holds."""
        arrays: dict[str, ArrayLike] = {}
        first_ids: list[int | None] = []
        for i, block in enumerate(self.blocks, start=1):
            for name, array in zip(_ARRAYS, block.arrays, strict=True):
                arrays[f"{name}_{i:06}"] = array
            first_ids.append(block.ids.start if isinstance(block.ids, range) else None)
            if isinstance(block.ids, range):
                arrays[f"ids_{i:06}"] = np.array([len(block.ids)], np.int64)
            else:
                arrays[f"ids_{i:06}"] = block.ids
            if block.alive is not None:
                arrays[f"alive_{i:06}"] = block.alive.view(np.uint8)
        return {"largest_id": self.largest_id, "first_ids": first_ids}, arrays

    def from_file(
        self, metadata: Mapping[str, Any], arrays: dict[str, NDArray[Any]]
    ) -> SignatureContent:
        """Return the content that was written, taking its arrays; ValueError if it is none."""
        first_ids, largest_id = metadata["first_ids"], metadata["largest_id"]
        if not isinstance(first_ids, list):
            raise ValueError("first_ids must be a list")
        blocks = tuple(self._block(arrays, i, first) for i, first in enumerate(first_ids, start=1))
        all_ids = _ids.joined([_ids.compact(block.live_ids()) for block in blocks])
        _ids.checked(_ids.as_array(all_ids))
        if type(largest_id) is not int or not _ids.largest(all_ids) <= largest_id <= MAX_ID:
            raise ValueError("largest_id must be an id, none of which is larger")
        return replace(self, blocks=blocks, largest_id=largest_id)

    def _block(self, arrays: dict[str, NDArray[Any]], i: int, first: Any) -> Block:
        held = tuple(_taken(arrays, f"{name}_{i:06}", *kind) for name, kind in _ARRAYS.items())
        own: _ids.Ids = _ids.checked(_taken(arrays, f"ids_{i:06}", np.int64, 1))
        if first is not None:
            n = int(own[0]) if len(own) == 1 else -1
            if type(first) is not int or n < 0 or not 0 <= first <= MAX_ID - n:
                raise ValueError("first_ids must be ids")
            own = range(first, first + n)
        _core.check_signatures(held, self.num_words, len(own), self.n_bits)
        alive = None
        if f"alive_{i:06}" in arrays:
            alive = _taken(arrays, f"alive_{i:06}", np.uint8, 1)
            if len(alive) != len(own) or (alive > 1).any():
                raise ValueError("alive must have a 0 or a 1 for each photo")
            alive = alive.view(np.bool_)
        return Block(held, own, alive)


def _taken(arrays: dict[str, NDArray[Any]], name: str, dtype: DTypeLike, ndim: int) -> NDArray[Any]:
    array = arrays.pop(name, None)
    if array is None or array.dtype != dtype or array.ndim != ndim:
        raise ValueError(f"there must be an array {name} of {np.dtype(dtype)}, {ndim}-D")
    return array
