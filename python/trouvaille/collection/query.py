# SPDX-License-Identifier: Apache-2.0
"""Search: the words propose, the geometry disposes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
        number of its verified matches; up to 1, it is the cosine of the two photos' visual words.
    rank : int
        Place in the result, from 1.
    n_inliers : int
        Verified matches: those that agree on one transform. 0 if the photo is not verified.
    transform : ndarray of float64, shape (3, 3), or None
        From pixels of the query to pixels of this photo; None if the photo is not verified.
    query_box, box : tuple of float, or None
        x1, y1, x2, y2 of the region that matched, in pixels of the query and of this photo.
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
        Time of each stage: ``extract``, ``words``, ``search``, ``match``, ``verify``.
    query_size : tuple of int
        Width and height of the query, in pixels.
    n_features : int
        Local features of the query, or of the part of it searched with.
    words_ranking : list of str
        Ids as the visual words alone rank them, as far as they were asked.
    """

    def __init__(
        self,
        hits: list[Hit],
        *,
        seconds: dict[str, float],
        query_size: tuple[int, int],
        n_features: int,
        words_ranking: list[str],
    ) -> None:
        super().__init__(hits)
        self.seconds = seconds
        self.query_size = query_size
        self.n_features = n_features
        self.words_ranking = words_ranking
