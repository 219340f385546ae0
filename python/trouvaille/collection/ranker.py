# SPDX-License-Identifier: Apache-2.0
"""The first stage of a search: all photos, ranked by what their features or vectors have alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _check, _core
from ..index import ASMK, HammingIndex, InvertedFile
from ..neighbors import Neighbors
from ..words import HammingEmbedding
from .query import Query
from .settings import Settings
from .signing import embedding_of
from .storage import Section, Segment, Snapshot

# Nearest words of a query's feature in which signatures are compared: it may lie in another cell
# than what it matches.
SIGNED_WORDS = 5

# Of a word that all photos have, and of every word of a collection of one photo, the idf would be
# 0. But signatures still tell matches in it from others.
LEAST_IDF = 0.1


class Ranking(NamedTuple):
    """Photos by number, the best first, with their scores."""

    numbers: NDArray[np.int64]
    scores: NDArray[np.float64]


class Ranker(Protocol):
    """Ranks the photos of a snapshot, numbered as there."""

    def rank(self, query: Query, words: Neighbors | None, n: int, threads: int | None) -> Ranking:
        """Return the `n` best photos for a query whose features have these nearest words."""
        ...  # pragma: no cover


class TfidfRanker:
    """By the cosine of tf-idf vectors."""

    def __init__(self, segments: Sequence[Segment], idf: NDArray[np.float64]) -> None:
        import scipy.sparse

        # The square root damps bursts: a word seen four times says twice as much, not four times.
        self._index = InvertedFile(
            len(idf), metric="cosine", weighting="tfidf", burstiness="sqrt", idf=idf
        )
        for segment in segments:
            section = segment.sections["postings"]
            counts, images, offsets = map(section.array, ("counts", "images", "offsets"))
            shape = segment.n_images, len(idf)
            self._index.add(scipy.sparse.csc_array((counts, images, offsets), shape=shape).tocsr())

    def rank(self, query: Query, words: Neighbors | None, n: int, threads: int | None) -> Ranking:
        """Return the `n` photos of the greatest cosine with the query's words."""
        assert words is not None  # see `Searcher.words`
        found, counts = np.unique(words.ids[:, 0], return_counts=True)
        scores, numbers = self._index.search(
            (found, counts), min(n, len(self._index)), threads=threads
        )
        return Ranking(numbers[0], scores[0])


class HammingRanker:
    """By features whose signatures are near."""

    def __init__(
        self,
        segments: Sequence[Segment],
        idf: NDArray[np.float64],
        embedding: HammingEmbedding,
        burstiness: str | None = "both",
    ) -> None:
        self._embedding = embedding
        self._index = HammingIndex(
            len(idf), embedding.n_bits, idf=np.maximum(idf, LEAST_IDF), burstiness=burstiness
        )
        _add_segments(self._index, segments)

    def rank(self, query: Query, words: Neighbors | None, n: int, threads: int | None) -> Ranking:
        """Return the `n` photos that match best."""
        assert words is not None  # see `Searcher.words`
        nearest = np.ascontiguousarray(words.ids[:, :SIGNED_WORDS])
        descriptors = query.features.descriptors
        signatures = self._embedding.transform(descriptors, nearest, threads=threads)
        scores, numbers = self._index.search([(nearest, signatures)], n, threads=threads)
        return Ranking(numbers[0], scores[0])


class AsmkRanker:
    """By one signature a word."""

    def __init__(
        self, segments: Sequence[Segment], idf: NDArray[np.float64], words: NDArray[np.uint8]
    ) -> None:
        self._index = ASMK(words, idf=np.maximum(idf, LEAST_IDF))
        _add_segments(self._index, segments)

    def rank(self, query: Query, words: Neighbors | None, n: int, threads: int | None) -> Ranking:
        """Return the `n` photos of the greatest kernel."""
        assert words is not None  # see `Searcher.words`
        scores, numbers = self._index.search(
            [query.features.descriptors], n, nearest=words.ids[:, :SIGNED_WORDS], threads=threads
        )
        return Ranking(numbers[0], scores[0])


class GlobalRanker:
    """By the cosine of vectors."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        # The files as they are mapped: an index would copy them.
        self._vectors = [segment.sections["vectors"].array("vectors") for segment in segments]

    def rank(self, query: Query, words: Neighbors | None, n: int, threads: int | None) -> Ranking:
        """Return the `n` photos of the greatest cosine with the query's vector."""
        assert query.vector is not None  # see `Collection.search`
        asked = np.ascontiguousarray(query.vector[None])
        base, numbers, scores = 0, [np.empty(0, np.int64)], [np.empty(0)]
        for vectors in self._vectors:
            products, ids = _core.exact_neighbors(
                asked, vectors, min(n, len(vectors)), _check.threads(threads), "ip"
            )
            numbers.append(ids[0] + base)
            scores.append(products[0].astype(np.float64))
            base += len(vectors)
        merged = Ranking(np.concatenate(numbers), np.concatenate(scores))
        order = np.argsort(-merged.scores, kind="stable")[:n]
        return Ranking(merged.numbers[order], merged.scores[order])


class InterleavedRanker:
    """By two rankings in turn, the first of which begins; a photo counts where it comes first.

    The one finds what the other does not, and their scores cannot be compared. Verification tells
    which of the photos that either puts first are right. Photos of which the second knows nothing,
    whose score is 0, are left to the first.
    """

    def __init__(self, first: Ranker, second: Ranker) -> None:
        self._rankers = first, second

    def rank(self, query: Query, words: Neighbors | None, n: int, threads: int | None) -> Ranking:
        """Return the `n` photos that come first; their scores are one over their places."""
        first, second = (ranker.rank(query, words, n, threads) for ranker in self._rankers)
        return interleaved(first.numbers, second.numbers[second.scores > 0], n)


def interleaved(first: NDArray[np.int64], second: NDArray[np.int64], n: int) -> Ranking:
    """Return the first `n` of two lists in turn, each number once, where it comes first."""
    m = min(len(first), len(second))
    turns = np.stack([first[:m], second[:m]], axis=1).ravel()
    both = np.concatenate([turns, first[m:], second[m:]])
    places = np.sort(np.unique(both, return_index=True)[1])[:n]
    return Ranking(both[places], 1 / np.arange(1.0, len(places) + 1))


def ranker_of(snapshot: Snapshot, settings: Settings, idf: NDArray[np.float64]) -> Ranker:
    """Return what ranks the photos of a collection."""
    if not settings.has_vectors:
        return _local_ranker(snapshot, settings, idf)
    by_vectors = GlobalRanker(snapshot.segments)
    if not settings.has_features:
        return by_vectors
    return InterleavedRanker(by_vectors, _local_ranker(snapshot, settings, idf))


def _local_ranker(snapshot: Snapshot, settings: Settings, idf: NDArray[np.float64]) -> Ranker:
    words = snapshot.vocabulary
    if words is None or settings.ranking == "tfidf":
        return TfidfRanker(snapshot.segments, idf)
    if settings.ranking == "asmk":
        return AsmkRanker(snapshot.segments, idf, words)
    return HammingRanker(snapshot.segments, idf, embedding_of(snapshot))


def _add_segments(index: ASMK | HammingIndex, segments: Sequence[Segment]) -> None:
    for segment in segments:
        section = segment.sections["signatures"]
        starts, images, rows = map(section.array, ("offsets", "images", "signatures"))
        if isinstance(index, ASMK):
            _check_distinct(section, starts, images)
        try:
            index.add_lists(starts, images, rows, segment.n_images)
        except ValueError as error:  # whole, and of another collection
            raise section.corrupt("signatures", 0, str(error)) from None


def _check_distinct(section: Section, starts: NDArray[Any], images: NDArray[Any]) -> None:
    """Refuse a list that names an image twice: what it is like would take quadratic time."""
    repeated = images[1:] == images[:-1]
    begins = starts[(starts > 0) & (starts < len(images))].astype(np.intp)
    repeated[begins - 1] = False  # a new list begins here
    if repeated.any():
        raise section.corrupt("images", 0, "a list names an image twice")
