# SPDX-License-Identifier: Apache-2.0
"""From the features of photos to the arrays of a segment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..features import Extraction, Features
from .signing import Signer
from .storage import CatalogueRow

MAX_COUNT = np.iinfo(np.uint16).max


class SegmentBuilder:
    """Collects photos, and lays them out as the arrays that a segment stores.

    Within a photo the features are ordered by word: the features of one word are neighbours, and
    what touches them in one order reads the descriptors in order, too. With a signer there are
    lists of signatures, otherwise lists of words' counts.

    Parameters
    ----------
    keep_descriptors : bool
    dimensions : int or None
        Bytes of a feature's descriptor; None where photos have no local features.
    signer : Signer or None
    vector_dimensions : int or None
        Numbers of a photo's vector; None where photos have none.
    """

    def __init__(
        self,
        keep_descriptors: bool,
        dimensions: int | None,
        signer: Signer | None,
        vector_dimensions: int | None = None,
    ) -> None:
        self.rows: list[CatalogueRow] = []
        self._has_features = dimensions is not None
        self._vectors: _Rows | None = None
        if vector_dimensions is not None:
            self._vectors = _Rows(np.empty((0, vector_dimensions), np.float32))
        self._signer = signer
        if signer is not None:
            self._signed_words = _Rows(np.empty((0,), np.uint32))
            self._signed_images = _Rows(np.empty((0,), np.uint16))
            self._signatures = _Rows(np.empty((0, signer.n_bytes), np.uint8))
        self._keep_descriptors = keep_descriptors
        self._words = _Rows(np.empty((0,), np.uint32))
        self._frames = _Rows(np.empty((0, 2, 3), np.float32))
        self._descriptors = _Rows(np.empty((0, dimensions or 0), np.uint8))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_features(self) -> int:
        """Features of all photos so far."""
        return len(self._words)

    def add(
        self,
        id: str,
        path: str | None,
        extraction: Extraction,
        features: Features | None,
        words: NDArray[np.int64],
        vector: NDArray[np.float32] | None = None,
    ) -> None:
        """Add a photo: its features, and their words, shape (n,); its vector, shape (d,)."""
        if self._vectors is not None:
            assert vector is not None  # a photo that cannot be described is not added
            self._vectors.append(vector[None])
        if features is not None:
            self._add_features(features, words)
        self.rows.append(
            CatalogueRow(id, path, *extraction.size, *extraction.work_size, n_features=len(words))
        )

    def _add_features(self, features: Features, words: NDArray[np.int64]) -> None:
        if self._signer is not None:
            signed_words, signatures = self._signer.sign(features.descriptors, words)
            self._signed_words.append(signed_words)
            self._signed_images.append(np.full(len(signed_words), len(self), np.uint16))
            self._signatures.append(signatures)
        order = np.argsort(words, kind="stable")
        self._words.append(words[order])
        self._frames.append(features.frames[order])
        if self._keep_descriptors:
            self._descriptors.append(features.descriptors[order])

    def sections(self, num_words: int) -> dict[str, dict[str, NDArray[Any]]]:
        """Return the arrays of each section, by kind and name; nothing can be added after it."""
        sections = self._sections_of_features(num_words) if self._has_features else {}
        if self._vectors is not None:
            sections["vectors"] = {"vectors": self._vectors.array}
        return sections

    def _sections_of_features(self, num_words: int) -> dict[str, dict[str, NDArray[Any]]]:
        offsets = _starts(np.array([row.n_features for row in self.rows], np.int64))
        words = self._words.array
        sections = {
            "words": {"feature_offsets": offsets, "words": words},
            "frames": {"frames": self._frames.array},
        }
        if self._signer is None:
            sections["postings"] = invert(offsets, words, num_words)
        else:
            sections["signatures"] = self._lists_of_signatures(num_words)
        if self._keep_descriptors:
            sections["descriptors"] = {"descriptors": self._descriptors.array}
        return sections

    def _lists_of_signatures(self, num_words: int) -> dict[str, NDArray[Any]]:
        words = self._signed_words.array
        order = np.argsort(words, kind="stable")
        return {
            "offsets": _starts(np.bincount(words, minlength=num_words)),
            "images": self._signed_images.array[order],
            "signatures": self._signatures.array[order],
        }


class _Rows:
    """Rows in one array that grows, so that they need not be joined, and held twice, at the end."""

    def __init__(self, empty: NDArray[Any]) -> None:
        self._array = empty
        self._end = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows; there is no view of the array yet, since growing moves it."""
        begin, self._end = self._end, self._end + len(rows)
        if self._end > len(self._array):
            capacity = max(self._end, len(self._array) * 5 // 4)
            self._array.resize((capacity, *self._array.shape[1:]), refcheck=False)
        self._array[begin : self._end] = rows

    def __len__(self) -> int:
        return self._end

    @property
    def array(self) -> NDArray[Any]:
        """The rows so far."""
        return self._array[: self._end]


def invert(
    feature_offsets: NDArray[np.uint64], words: NDArray[np.uint32], num_words: int
) -> dict[str, NDArray[Any]]:
    """Return the postings of each word: the images that hold it, ascending, and how often."""
    lengths = np.diff(feature_offsets).astype(np.int64)
    images = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    pairs, counts = np.unique(words.astype(np.uint64) << np.uint64(32) | images, return_counts=True)
    frequencies = np.bincount((pairs >> np.uint64(32)).astype(np.int64), minlength=num_words)
    return {
        "offsets": _starts(frequencies),
        "images": (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        "counts": np.minimum(counts, MAX_COUNT).astype(np.uint16),
    }


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return where each of lists of these lengths begins, and where the last ends."""
    starts = np.zeros(len(lengths) + 1, np.uint64)
    starts[1:] = np.cumsum(lengths)
    return starts
