# SPDX-License-Identifier: Apache-2.0
"""What a search finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.pixels import resized
from .query import Query, moved
from .ranker import Ranking
from .searcher import Searcher, VerifiedPhoto
from .storage import CatalogueRow

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Hit:
    """A photo found.

    Attributes
    ----------
    id : str
        The photo's id.
    score : float
        Never rises with rank. Above 1, the photo is verified, and the score is 1 plus the weighted
        number of its verified matches; up to 1, it says how alike the two photos' visual words are,
        and the signatures of their features; of the pipeline "global", it is the cosine of their
        vectors, of "local+global" one over the place in the first ranking, before any is excluded.
    rank : int
        Place in the result, from 1.
    n_inliers : int
        Verified matches: those that agree on one transform, at most 200, of which each stands for
        one feature of either photo. 0 if the photo is not verified.
    transform : ndarray of float64, shape (3, 3), or None
        From pixels of the query to pixels of this photo; None if the photo is not verified.
    query_box, box : tuple of float, or None
        x1, y1, x2, y2 of the region that matched, in pixels of the query and of this photo: the
        bounds of the verified features, and of where the transform takes them.
    matches : ndarray of float32, shape (n_inliers, 4)
        The verified matches: x, y in the query, x, y in this photo.
    """

    id: str
    score: float
    rank: int
    n_inliers: int = 0
    transform: NDArray[np.float64] | None = None
    query_box: Box | None = None
    box: Box | None = None
    matches: NDArray[np.float32] = field(
        default_factory=lambda: np.empty((0, 4), np.float32), repr=False
    )


class Hits(list[Hit]):
    """The photos found, best first.

    Attributes
    ----------
    seconds : dict of str to float
        Time of each stage: ``extract`` (decoding included), ``describe`` (by a network), ``words``,
        ``search``, ``match``, ``verify``, ``collect`` (making these results). Their sum is the
        whole query.
    query_size : tuple of int
        Width and height of the query, in pixels.
    n_features : int
        Local features of the query, or of the part of it searched with.
    """

    def __init__(
        self,
        hits: list[Hit],
        *,
        seconds: dict[str, float],
        query_size: tuple[int, int],
        n_features: int,
        first: Callable[[], list[str]],
    ) -> None:
        super().__init__(hits)
        self.seconds = seconds
        self.query_size = query_size
        self.n_features = n_features
        self._first = first

    @property
    def first_ranking(self) -> list[str]:
        """Ids as they rank before verification, as many as were asked for that."""
        return self._first()

    def __getstate__(self) -> dict[str, Any]:
        # Sent to another process, it takes the ids along and leaves the collection behind.
        return {**self.__dict__, "_first": partial(list, self.first_ranking)}


@dataclass(frozen=True, eq=False)
class Found:
    """What is ranked first, and what geometry confirms of it for a query."""

    ranking: Ranking
    verified: dict[int, VerifiedPhoto]
    query: Query


def hits_of(searcher: Searcher, found: Found, k: int) -> list[Hit]:
    """Return the first `k`: the verified by weight, then the others as they ranked first."""
    alike = dict(zip(found.ranking.numbers.tolist(), found.ranking.scores.tolist(), strict=True))
    verified = found.verified
    first = sorted(
        verified,
        key=lambda number: (-verified[number].score, -alike.get(number, 0.0), number),
    )
    order = first + [number for number in alike if number not in verified]
    return [
        _verified_hit(searcher.row(number), verified[number], found.query, rank)
        if number in verified
        else Hit(searcher.row(number).id, min(alike[number], 1.0), rank)
        for rank, number in enumerate(order[:k], start=1)
    ]


def _verified_hit(row: CatalogueRow, photo: VerifiedPhoto, query: Query, rank: int) -> Hit:
    from_work = resized(row.width / row.work_width, row.height / row.work_height)
    seen = moved(photo.inliers[:, :2], query.to_photo)
    shown = moved(photo.inliers[:, 2:], from_work)
    return Hit(
        row.id,
        1 + photo.score,
        rank,
        len(photo.inliers),
        from_work @ photo.transform @ np.linalg.inv(query.to_photo),
        _box(photo.query_box, query.to_photo),
        _box(photo.box, from_work),
        np.hstack([seen, shown]).astype(np.float32),
    )


def _box(corners: NDArray[np.float64], transform: NDArray[np.float64]) -> Box:
    """Return a box in the pixels of a photo; the transform only scales and moves."""
    x1, y1, x2, y2 = moved(corners.reshape(2, 2), transform).ravel().tolist()
    return x1, y1, x2, y2
