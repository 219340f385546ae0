# SPDX-License-Identifier: Apache-2.0
"""A photo to search with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _check, images
from ..features import Features
from ..images.pixels import resized
from .settings import Settings

# A query that finds nothing is asked again at so small a part of its size, if its sides are then
# at least so many pixels.
REDUCTION = 3
SMALLEST_SIDE = 100

# Where there are no local features.
NOTHING = Features(
    np.empty((0, 2, 3), np.float32),
    np.empty((0, 0), np.uint8),
    np.empty(0, np.float32),
    np.empty(0, np.float32),
)


@dataclass(frozen=True, eq=False)
class Query:
    """A photo to search with, worked on as those of the collection.

    Attributes
    ----------
    features : Features
        In the pixels worked on.
    size : tuple of int
        Width and height of the whole photo.
    work : ndarray of uint8, shape (h, w), or (h, w, 3)
        The part searched with, as it is worked on.
    to_photo : ndarray of float64, shape (3, 3)
        From the pixels worked on to those of the photo.
    vector : ndarray of float32, shape (d,), or None
        By the collection's network, if it has one.
    """

    features: Features
    size: tuple[int, int]
    work: NDArray[np.uint8]
    to_photo: NDArray[np.float64]
    vector: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls,
        pixels: NDArray[np.uint8],
        box: Sequence[float] | None,
        settings: Settings,
        threads: int | None = None,
    ) -> Query:
        """Return the query for a photo, or for the part of it in a box x1, y1, x2, y2.

        It has no vector yet, and of a collection without local features none of these.
        """
        height, width = pixels.shape[:2]
        x1, y1, x2, y2 = (0, 0, width, height) if box is None else _check.box(box, width, height)
        part = pixels[y1:y2, x1:x2]
        if not settings.has_features:
            return cls(NOTHING, (width, height), part, resized(1, 1))
        work, factors = images.resize_to(part, settings.max_size)
        to_photo = resized(*factors)
        to_photo[:2, 2] += x1, y1
        features = settings.extractor(work, threads=threads)
        return cls(features, (width, height), work, to_photo)

    @property
    def can_be_reduced(self) -> bool:
        """Whether enough is left of its features at a third of its size."""
        if self.features is NOTHING:
            return False
        return bool(min(self.work.shape[:2]) >= REDUCTION * SMALLEST_SIDE)

    def reduced(self, settings: Settings, threads: int | None = None) -> Query:
        """Return the same query at a third of the size, with the vector that it has."""
        work, factors = images.resize_to(self.work, max(self.work.shape[:2]) // REDUCTION)
        features = settings.extractor(work, threads=threads)
        to_photo = self.to_photo @ resized(*factors)
        return Query(features, self.size, work, to_photo, self.vector)


def moved(points: NDArray[np.floating], transform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points, shape (n, 2), after an affine transform."""
    return points @ transform[:2, :2].T + transform[:2, 2]
