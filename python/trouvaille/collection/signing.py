# SPDX-License-Identifier: Apache-2.0
"""The signatures by which a collection ranks photos: made when photos are added."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import IndexCorruptError
from ..index import ASMK
from ..words import HammingEmbedding, neighborhood_means
from .settings import Settings
from .storage import Snapshot


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


def new_embedding(settings: Settings, words: NDArray[np.uint8]) -> dict[str, NDArray[Any]] | None:
    """Return what the signatures of a collection with these words are made by, to be stored."""
    if settings.ranking != "hamming" or settings.signature_bits is None:
        return None
    means = neighborhood_means(words)
    embedding = HammingEmbedding.from_means(means, settings.signature_bits)
    return {"means": means, "projection": embedding.projection_}


def embedding_of(snapshot: Snapshot) -> HammingEmbedding:
    """Return the Hamming embedding of a collection that has one."""
    assert snapshot.embedding is not None  # see `check`
    means, projection = snapshot.embedding
    return HammingEmbedding.from_means(means, projection=projection)


def check(snapshot: Snapshot, settings: Settings) -> None:
    """Refuse a collection that lacks what its settings need, or has it of another width.

    Raises
    ------
    IndexCorruptError
        At the first thing that is wrong: what wrote the collection would not have written it.
    """
    if settings.has_vectors:
        _check_vectors(snapshot, settings)
    if not settings.has_features:
        return
    snapshot.check_descriptors(settings.dimensions)
    if snapshot.vocabulary is None:
        return
    kind = "postings" if settings.ranking == "tfidf" else "signatures"
    bits = settings.signature_bits or settings.dimensions
    if settings.ranking == "hamming":
        if snapshot.embedding is None:
            reason = "names no file of the kind 'embedding', which signatures are made by"
            raise IndexCorruptError(snapshot.path, "manifest", 0, reason)
        found = snapshot.embedding[1].shape[1]
        if found != bits:
            reason = f"the projection has {found} columns, the settings say {bits} bits"
            raise IndexCorruptError(snapshot.path, "embedding.projection", 0, reason)
    for segment in snapshot.segments:
        section = segment.sections[kind]
        if kind == "signatures" and section.shapes[kind][1] != -(-bits // 8):
            reason = f"must be of {bits} bits, as the settings say, got {section.shapes[kind]}"
            raise section.corrupt(kind, 0, reason)


def _check_vectors(snapshot: Snapshot, settings: Settings) -> None:
    if snapshot.network is None:
        reason = "names no file of the kind 'network', which vectors are made by"
        if not snapshot.segments:
            reason += ": the collection was not made to its end; remove it, and make it again"
        raise IndexCorruptError(snapshot.path, "manifest", 0, reason)
    for segment in snapshot.segments:
        section = segment.sections["vectors"]
        shape = section.shapes["vectors"]
        if shape[1] != settings.vector_dimensions:
            reason = f"must have {settings.vector_dimensions} columns, as the settings say"
            raise section.corrupt("vectors", 0, f"{reason}, got {shape}")


def signer_of(settings: Settings, snapshot: Snapshot) -> Signer | None:
    """Return what makes the signatures of a collection, or None where it has none."""
    words = snapshot.vocabulary
    if words is None or settings.ranking == "tfidf" or not settings.has_features:
        return None
    if settings.ranking == "asmk":
        return AsmkSigner(words)
    return HammingSigner(embedding_of(snapshot))
