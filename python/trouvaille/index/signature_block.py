# SPDX-License-Identifier: Apache-2.0
"""A block of photos with a binary signature for each feature, and their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _bitmap, _core, _ids
from .._bitmap import Bitmap
from .._ids import Ids

MAX_PHOTOS = _core.max_signature_photos


class SignatureRows(NamedTuple):
    """Features of photos: photo i has rows ``offsets[i]`` to ``offsets[i + 1]``."""

    offsets: NDArray[np.int64]
    words: NDArray[np.uint32]
    signatures: NDArray[np.uint8]
    """Packed bits, shape (n, n_bytes)."""

    def photos(self, begin: int, end: int) -> SignatureRows:
        """Return some of the photos."""
        offsets = self.offsets[begin : end + 1]
        part = slice(int(offsets[0]), int(offsets[-1]))
        return SignatureRows(offsets - offsets[0], self.words[part], self.signatures[part])


@dataclass(frozen=True, eq=False)
class Block:
    """Some photos of an index. Immutable: what removes a photo makes a new one.

    Attributes
    ----------
    arrays : tuple of ndarray
        Words, starts, photos and signatures of the postings; see cpp/index/signatures.hpp.
    ids : range or ndarray of int64
        One a photo, removed ones included.
    alive : ndarray of bool, or None
        Which photos were not removed; None: all.
    kept : dict
        What was computed of the postings and the ids, whichever photos are alive.
    """

    arrays: tuple[NDArray[Any], ...]
    ids: Ids
    alive: NDArray[np.bool_] | None = None
    kept: dict[str, NDArray[Any] | None] = field(default_factory=dict)

    @property
    def n_alive(self) -> int:
        """How many photos can be found."""
        return len(self.ids) if self.alive is None else int(np.count_nonzero(self.alive))

    @property
    def n_postings(self) -> int:
        """How many features the photos have, removed ones included."""
        return len(self.arrays[2])

    def bitmap(self) -> Bitmap:
        """Return the photos that can be found, as the kernels take them; nothing: all."""
        return np.zeros(0, np.uint64) if self.alive is None else _bitmap.packed(self.alive)

    def live_ids(self) -> Ids:
        """Return the ids of photos that can be found, in their order."""
        return self.ids if self.alive is None else _ids.as_array(self.ids)[self.alive]

    def find(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the photos of ids, -1 where there is none that can be found."""
        if len(self.ids) == 0:
            return np.full(len(wanted), -1, np.int64)
        if "order" not in self.kept:  # photos may come and go one by one
            self.kept["order"] = _ids.order(self.ids)
        found = _ids.find(self.ids, self.kept["order"], wanted)
        return found if self.alive is None else np.where(self.alive[found], found, -1)

    def without(self, photos: NDArray[np.int64]) -> Block:
        """Return the block without some photos that can be found."""
        alive = np.ones(len(self.ids), np.bool_) if self.alive is None else self.alive.copy()
        alive[photos] = False
        return replace(self, alive=alive)

    def postings(self) -> tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.uint8]]:
        """Return words, photos and signatures of photos that can be found, numbered anew."""
        words, starts, photos, signatures = self.arrays
        listed = words if len(words) + 1 == len(starts) else np.arange(len(starts) - 1)
        of_each = np.repeat(listed.astype(np.uint32), np.diff(starts).astype(np.int64))
        if self.alive is None:
            return of_each, photos, signatures
        kept = self.alive[photos]
        numbers = (np.cumsum(self.alive) - 1).astype(np.uint16)
        return of_each[kept], numbers[photos[kept]], signatures[kept]


def built(rows: SignatureRows, ids: Ids, num_words: int) -> Iterator[Block]:
    """Yield blocks of all the photos, in their order."""
    for begin in range(0, len(ids), MAX_PHOTOS):
        part = rows.photos(begin, min(begin + MAX_PHOTOS, len(ids)))
        n_photos = len(part.offsets) - 1
        photos = np.repeat(np.arange(n_photos).astype(np.uint16), np.diff(part.offsets))
        arrays = _core.build_signatures(part.words, photos, part.signatures, num_words)
        yield Block(arrays, _ids.compact(ids[begin : begin + n_photos]))


def joined(blocks: Sequence[Block], num_words: int) -> Block:
    """Return one block of all photos that can be found, which must be few enough for one."""
    parts = [block.postings() for block in blocks]
    begins = np.cumsum([0, *(block.n_alive for block in blocks)])
    photos = [part[1] + np.uint16(begin) for part, begin in zip(parts, begins[:-1], strict=True)]
    arrays = _core.build_signatures(
        np.concatenate([part[0] for part in parts]),
        np.concatenate(photos),
        np.concatenate([part[2] for part in parts]),
        num_words,
    )
    return Block(arrays, _ids.joined([_ids.compact(block.live_ids()) for block in blocks]))


def tidied(blocks: Sequence[Block], num_words: int, most: int | None = None) -> tuple[Block, ...]:
    """Return the blocks, the last ones joined while they are not much smaller than those before.

    So a photo is written again O(log photos) times, and never to a block of more than `most`
    postings, if there is such a limit. Blocks of which half is gone are made anew.
    """
    kept = [
        block if 2 * block.n_alive >= len(block.ids) else joined([block], num_words)
        for block in blocks
    ]
    kept = [block for block in kept if len(block.ids) > 0]
    while len(kept) > 1 and _belong_together(kept[-2], kept[-1], most):
        kept[-2:] = [joined(kept[-2:], num_words)]
    return tuple(kept)


def _belong_together(a: Block, b: Block, most: int | None) -> bool:
    fits = a.n_alive + b.n_alive <= MAX_PHOTOS
    fits = fits and (most is None or a.n_postings + b.n_postings <= most)
    return fits and a.n_postings + len(a.ids) < 2 * (b.n_postings + len(b.ids))
