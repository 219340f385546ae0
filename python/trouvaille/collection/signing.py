# SPDX-License-Identifier: Apache-2.0
"""The signatures by which a collection ranks photos: made when photos are added."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import IndexCorruptError
from ..index import ASMK
from ..words import HammingEmbedding
from .settings import Settings
from .storage import Snapshot

_SEED = 0  # of the projection; another would need to be stored


class Signed(NamedTuple):
    """The postings of a photo."""

    words: NDArray[np.uint32]
    signatures: NDArray[np.uint8]
    """One a word, shape (n, n_bytes)."""


class Signer(Protocol):
    """Makes the signatures of a photo's features."""

    n_bytes: int

    def sign(self, descriptors: NDArray[np.uint8], words: NDArray[np.int64]) -> Signed:
        """Return the postings of features, each of which has a word."""
        ...  # pragma: no cover


class HammingSigner:
    """A signature for each feature."""

    def __init__(self, embedding: HammingEmbedding) -> None:
        self._embedding = embedding
        self.n_bytes = -(-embedding.n_bits // 8)

    def sign(self, descriptors: NDArray[np.uint8], words: NDArray[np.int64]) -> Signed:
        """Return a posting for each feature."""
        return Signed(words.astype(np.uint32), self._embedding.transform(descriptors, words))


class AsmkSigner:
    """A signature for all features of a word."""

    def __init__(self, words: NDArray[np.uint8]) -> None:
        self._kernel = ASMK(words)
        self.n_bytes = -(-words.shape[1] // 8)

    def sign(self, descriptors: NDArray[np.uint8], words: NDArray[np.int64]) -> Signed:
        """Return a posting for each word that the photo has."""
        rows = self._kernel.signatures([descriptors], nearest=words)
        return Signed(rows.words, rows.signatures)


def embedding_of(settings: Settings, snapshot: Snapshot) -> HammingEmbedding:
    """Return the Hamming embedding of a collection, the same whenever it is asked for.

    Raises
    ------
    IndexCorruptError
        If the collection lacks what it is made of.
    """
    assert settings.signature_bits is not None  # of collections that have an embedding
    means = snapshot.word_means
    if means is None:
        reason = "names no file of the kind 'word_means', which its signatures need"
        raise IndexCorruptError(snapshot.path, "manifest", 0, reason)
    return HammingEmbedding.from_means(means, settings.signature_bits, random_state=_SEED)


def signer_of(settings: Settings, snapshot: Snapshot) -> Signer | None:
    """Return what makes the signatures of a collection, or None where it has none."""
    words = snapshot.vocabulary
    if words is None or settings.ranking == "tfidf":
        return None
    if settings.ranking == "asmk":
        return AsmkSigner(words)
    return HammingSigner(embedding_of(settings, snapshot))
