# SPDX-License-Identifier: Apache-2.0
"""One committed state of a collection, ready to be searched."""

from __future__ import annotations

import math
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .. import _core, geometry
from ..features import Features
from ..features._types import scales_of
from ..neighbors import Neighbors
from ..words import HammingEmbedding, Vocabulary
from .query import Query
from .ranker import Ranking, ranker_of
from .settings import Settings
from .signing import check, embedding_of
from .storage import CatalogueRow, Segment, Snapshot

# The words of a query feature: a match whose two features lie in neighbouring words is found, too.
# It must be nearer than the last of these words is. That distance goes with how near unrelated
# features are, and comes from the vocabulary, not from the photos: Lowe's ratio to the second
# nearest in the same photo would refuse structure that repeats, and one to other photos the true
# matches in them. It is capped, by what the descriptor says, where words are few, and so far apart.
QUERY_WORDS = 30

# Those in which signatures are compared, where no descriptors are kept: each of them adds
# coincidences. On three sets of photos 10 and 30 find up to 0.016 mAP less, 5 up to 0.045.
MATCHED_WORDS = 20

# A match at distance d of a feature with bound b weighs 1 - (d / (WEIGHT_SCALE * b))**2.
WEIGHT_SCALE = 1.25

# Matches of a candidate that are verified, the nearest first.
MAX_MATCHES = 200

# A photo is verified if its inliers would not come about by chance: see `by_chance`.
MAX_LOG10_FALSE_ALARMS = -2.0

# Pixels, at the size at which photos are worked on.
RESIDUAL_THRESHOLD = 8.0

# Of a feature's radius: overlapping features (`features.Extractor.overlapping`) within a square of
# this side are one witness. With less, what verification confirms of DELF's features is wrong more
# often than right; seen on 50 book covers and 50 buildings, where it was chosen.
WITNESS_SIDE = 0.5

Place = tuple[Segment, int]  # a photo: its segment, and its number there


class Seconds(dict[str, float]):
    """Time spent, by stage; a stage may be entered several times."""

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self[stage] = self.get(stage, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, eq=False)
class VerifiedPhoto:
    """What geometry says of a photo; coordinates are in pixels as the photos were worked on.

    Attributes
    ----------
    score : float
        Weight of the inliers.
    transform : ndarray of float64, shape (3, 3)
        From the query to the photo.
    inliers : ndarray of float32, shape (n, 4)
        x, y in the query, x, y in the photo.
    query_box, box : ndarray of float64, shape (4,)
        Bounds of the inliers' frames in the query, and of where they are in the photo.
    """

    score: float
    transform: NDArray[np.float64]
    inliers: NDArray[np.float32]
    query_box: NDArray[np.float64]
    box: NDArray[np.float64]


class Searcher:
    """The collection as of one commit. Immutable; any number of threads may search at once."""

    def __init__(self, snapshot: Snapshot, settings: Settings) -> None:
        check(snapshot, settings)
        words = snapshot.vocabulary
        self.snapshot = snapshot
        self.vocabulary = None if words is None else Vocabulary(words, settings.fingerprint)
        self._max_distance = settings.extractor.max_distance
        self._overlapping = settings.extractor.overlapping
        frequencies = np.maximum(snapshot.document_frequencies.astype(np.float64), 1)
        # A word that every photo has says nothing; so do words of a collection of one photo.
        self._idf = np.log(np.maximum(snapshot.n_images, 1) / frequencies)
        self._ranker = ranker_of(snapshot, settings, self._idf)
        self._rows: dict[int, CatalogueRow] = {}

    def words(self, features: Features, threads: int | None) -> Neighbors | None:
        """Return the nearest words of each feature, shape (n, QUERY_WORDS).

        None where there are no words: in a collection without local features, or without photos.
        """
        if self.vocabulary is None:
            return None
        k = min(QUERY_WORDS, self.vocabulary.num_words)
        return self.vocabulary.assign(features.descriptors, k, threads=threads)

    def rank(self, query: Query, words: Neighbors | None, n: int, threads: int | None) -> Ranking:
        """Return the first `n` photos, at most as many as there are, before any verification."""
        return self._ranker.rank(query, words, min(n, self.snapshot.n_images), threads)

    def verify(
        self,
        features: Features,
        words: Neighbors,
        numbers: NDArray[np.int64],
        threads: int | None,
        seconds: Seconds,
    ) -> dict[int, VerifiedPhoto]:
        """Return those of the photos that geometry confirms, by number."""
        with seconds.of("match"):
            matched, weights = self.match(features, words, numbers, threads)
        with seconds.of("verify"):
            return self._confirmed(features, numbers, matched, weights, threads)

    def match(
        self,
        features: Features,
        words: Neighbors,
        numbers: NDArray[np.int64],
        threads: int | None,
    ) -> tuple[geometry.ShortlistMatches, NDArray[np.float64]]:
        """Return the tentative matches with those photos, and what each of them weighs."""
        places = [self._place(int(number)) for number in numbers]
        kept = all("descriptors" in segment.sections for segment, _ in places)
        if kept:
            match = self._match_descriptors
        else:
            signed = self.snapshot.embedding is not None
            match = self._match_signatures if signed else self._match_words
        return match(features, words, places, threads)

    def frames(self, numbers: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """Return the local affine frames of each of those photos."""
        return [_frames(*self._place(int(number))) for number in numbers]

    def _confirmed(
        self,
        features: Features,
        numbers: NDArray[np.int64],
        matched: geometry.ShortlistMatches,
        weights: NDArray[np.float64],
        threads: int | None,
    ) -> dict[int, VerifiedPhoto]:
        frames = self.frames(numbers)
        verified = geometry.verify(
            features.frames,
            np.concatenate([np.empty((0, 2, 3), np.float32), *frames]),
            np.cumsum([0, *map(len, frames)]),
            matched.matches,
            matched.offsets,
            weights=weights,
            residual_threshold=RESIDUAL_THRESHOLD,
            threads=threads,
        )
        result = {}
        for i, number in enumerate(numbers):
            if verified.n_inliers[i] == 0:
                continue
            rows = slice(*matched.offsets[i : i + 2])
            queried = features.frames[matched.matches[rows, 0]]
            shown = frames[i][matched.matches[rows, 1]]
            inliers, row = verified.inliers[rows], self.row(int(number))
            if self._is_by_chance(shown, inliers, row):
                continue
            result[int(number)] = VerifiedPhoto(
                float(verified.scores[i]),
                verified.transforms[i],
                np.hstack([queried[inliers, :, 2], shown[inliers, :, 2]]),
                _bounds(queried[inliers]),
                verified.boxes[i],
            )
        return result

    def _is_by_chance(
        self, frames: NDArray[np.float32], inliers: NDArray[np.bool_], row: CatalogueRow
    ) -> bool:
        points, area = frames[:, :, 2], row.work_width * row.work_height
        if not self._overlapping:
            return by_chance(points, inliers, area)
        side = max(WITNESS_SIDE * float(np.median(scales_of(frames[inliers]))), 1.0)
        residual = max(RESIDUAL_THRESHOLD, side / math.sqrt(math.pi))  # a square is as near
        return by_chance(*one_a_place(points, inliers, side), area, residual)

    def _match_descriptors(
        self, features: Features, words: Neighbors, places: list[Place], threads: int | None
    ) -> tuple[geometry.ShortlistMatches, NDArray[np.float64]]:
        bounds = np.minimum(words.distances[:, -1], self._max_distance**2)
        matched = geometry.match_shortlist(
            features.descriptors,
            words.ids,
            [(_words(*place), _descriptors(*place)) for place in places],
            bounds.astype(np.int32),
            max_matches=MAX_MATCHES,
            threads=threads,
        )
        # A bound of 0 is a feature that is its own word; what matches it is at distance 0.
        scale = WEIGHT_SCALE**2 * np.maximum(bounds[matched.matches[:, 0]], 1)
        return matched, 1 - matched.distances / scale

    def _match_signatures(
        self, features: Features, words: Neighbors, places: list[Place], threads: int | None
    ) -> tuple[geometry.ShortlistMatches, NDArray[np.float64]]:
        """Match by the signatures that photos are ranked by, which weigh as there."""
        nearest = np.ascontiguousarray(words.ids[:, :MATCHED_WORDS])
        bits = self._embedding.n_bits
        matched = geometry.match_signatures(
            nearest,
            self._embedding.transform(features.descriptors, nearest, threads=threads),
            [(_words(*place), _signatures(*place)) for place in places],
            3 * bits // 8,
            max_matches=MAX_MATCHES,
            threads=threads,
        )
        return matched, np.exp(-((matched.distances / (bits / 4)) ** 2))

    @cached_property
    def _embedding(self) -> HammingEmbedding:
        return embedding_of(self.snapshot)

    def _match_words(
        self, features: Features, words: Neighbors, places: list[Place], threads: int | None
    ) -> tuple[geometry.ShortlistMatches, NDArray[np.float64]]:
        """Match by words alone: one match a word, weighed by the word's rarity."""
        own = words.ids[:, 0]
        listed = [_words(*place) for place in places]
        matched = geometry.match_shortlist(
            np.empty((len(own), 0), np.uint8),  # no bytes: whatever shares a word is as near
            own[:, None],
            [(found, np.empty((len(found), 0), np.uint8)) for found in listed],
            np.zeros(len(own), np.int32),
            max_matches=MAX_MATCHES,
            threads=threads,
        )
        rarity = self._idf[own[matched.matches[:, 0]]] / max(float(self._idf.max()), 1e-9)
        return matched, np.maximum(rarity, 0.01)  # a word that all photos have still is a witness

    def _place(self, number: int) -> Place:
        i = int(np.searchsorted(self.snapshot.bases, number, side="right")) - 1
        return self.snapshot.segments[i], number - self.snapshot.bases[i]

    def numbers(self, ids: Iterable[str]) -> set[int]:
        """Return the numbers of the photos of those ids that there are."""
        found = (self.snapshot.find(id) for id in ids)
        return {self.snapshot.bases[place[0]] + place[1] for place in found if place is not None}

    def row(self, number: int) -> CatalogueRow:
        """Return what the catalogue says of a photo; what was asked once is kept."""
        if number not in self._rows:
            segment, place = self._place(number)
            self._rows[number] = segment.catalogue.row(place)
        return self._rows[number]


def _bounds(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return x1, y1, x2, y2 of the ellipses of some frames, together."""
    reach = np.linalg.norm(frames[:, :, :2].astype(np.float64), axis=2)
    low, high = (frames[:, :, 2] - reach).min(axis=0), (frames[:, :, 2] + reach).max(axis=0)
    return np.concatenate([low, high])


def _feature_range(segment: Segment, place: int) -> tuple[int, int]:
    begin, end = segment.sections["words"].rows("feature_offsets", place, place + 2)
    return int(begin), int(end)


def _frames(segment: Segment, place: int) -> NDArray[np.float32]:
    return segment.sections["frames"].rows("frames", *_feature_range(segment, place))


def _words(segment: Segment, place: int) -> NDArray[np.uint32]:
    return segment.sections["words"].rows("words", *_feature_range(segment, place))


def _descriptors(segment: Segment, place: int) -> NDArray[np.uint8]:
    return segment.sections["descriptors"].rows("descriptors", *_feature_range(segment, place))


def _signatures(segment: Segment, place: int) -> NDArray[np.uint8]:
    section = segment.sections["signatures"]
    starts, images, rows = map(section.array, ("offsets", "images", "signatures"))
    block = np.empty(0, np.uint32), starts, images, rows
    try:
        return _core.signatures_of(block, place, _words(segment, place))
    except ValueError as error:  # whole, and of other features
        raise section.corrupt("images", 0, str(error)) from None


def one_a_place(
    points: NDArray[np.float32], inliers: NDArray[np.bool_], side: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the squares of that side in which matches are, and in which of them inliers are.

    Parameters
    ----------
    points : ndarray of float32, shape (m, 2)
        Where the matches are in the photo, in pixels.
    inliers : ndarray of bool, shape (m,)
    side : float
        In pixels.

    Returns
    -------
    points : ndarray of float32, shape (n, 2)
        The middles of the squares.
    inliers : ndarray of bool, shape (n,)
    """
    squares, place = np.unique(np.floor(points / side), axis=0, return_inverse=True)
    held = np.zeros(len(squares), np.bool_)
    held[place.ravel()[inliers]] = True
    return ((squares + 0.5) * side).astype(np.float32), held


def by_chance(
    points: NDArray[np.float32],
    inliers: NDArray[np.bool_],
    area: int,
    residual_threshold: float = RESIDUAL_THRESHOLD,
) -> bool:
    """Say whether so many inliers among the matches of a photo may well be an accident.

    They may if that many are expected by chance over the whole photo, or in the part of it where
    most of the inliers lie. The second is what tells two rose windows apart: where structure is
    crowded, a transform that fits two matches finds more within its tolerance.

    Parameters
    ----------
    points : ndarray of float32, shape (m, 2)
        Where the matches are in the photo, in the pixels worked on.
    inliers : ndarray of bool, shape (m,)
        Which of them agree on the transform.
    area : int
        Of the photo, in the same pixels.
    residual_threshold : float
        How near to where the transform says an inlier is, in the same pixels.
    """
    distinct = len(np.unique(points[inliers], axis=0))  # one place, two orientations: one witness
    whole = log10_false_alarms(distinct, len(points), residual_threshold**2 * math.pi / area)
    if whole > MAX_LOG10_FALSE_ALARMS:
        return True
    distances = np.linalg.norm(points - np.median(points[inliers], axis=0), axis=1)
    radius = 2 * float(np.median(distances[inliers]))
    inside = distances <= radius
    distinct = len(np.unique(points[inliers & inside], axis=0))
    density = (residual_threshold / max(radius, residual_threshold)) ** 2
    local = log10_false_alarms(distinct, int(inside.sum()), density)
    return local > MAX_LOG10_FALSE_ALARMS


def log10_false_alarms(n_inliers: int, n_matches: int, probability: float) -> float:
    """Return the logarithm of how many transforms would have as many inliers by chance.

    Each pair of matches stands for a transform; each other match agrees with it by chance with
    `probability`.

    L. Moisan, B. Stival, "A probabilistic criterion to detect rigid point matches between two
    images and estimate the fundamental matrix", IJCV 2004.
    """
    others, needed = n_matches - 2, n_inliers - 2
    if needed <= 0:
        return math.inf
    proposals = math.log(n_matches * (n_matches - 1) / 2)
    choices = math.lgamma(others + 1) - math.lgamma(needed + 1) - math.lgamma(others - needed + 1)
    return (proposals + choices + needed * math.log(min(probability, 1.0))) / math.log(10)


def without(ranking: Ranking, numbers: Container[int], n: int) -> Ranking:
    """Return the first `n` of a ranking that are not among `numbers`."""
    kept = [place for place, number in enumerate(ranking.numbers.tolist()) if number not in numbers]
    return Ranking(ranking.numbers[kept[:n]], ranking.scores[kept[:n]])
