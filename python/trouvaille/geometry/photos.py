# SPDX-License-Identifier: Apache-2.0
"""Two photos -> what they have in common: features, matches and a model, in one call."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import images
from ..features import Extractor, Photo
from ..features.extraction import extractor_of, load
from ..features.extractor import DescriptorLike, DetectorLike
from ..features.registry import Orientation
from ..images.pixels import resized
from .estimation import Estimate, estimate
from .matching import match


class PhotoMatches(NamedTuple):
    """What `match_photos` found, in pixels of the photos as they were given.

    Attributes
    ----------
    frames1, frames2 : ndarray of float64, shapes (n, 2, 3) and (m, 2, 3)
        The photos' features, the strongest first.
    matches : ndarray of int32, shape (t, 2)
        Pairs (feature of the first photo, feature of the second).
    ratios : ndarray of float32, shape (t,)
        The distance of a match divided by that of the second nearest.
    estimate : Estimate
        The model, the matches that it explains, and why there is none if there is none.
    """

    frames1: NDArray[np.float64]
    frames2: NDArray[np.float64]
    matches: NDArray[np.int32]
    ratios: NDArray[np.float32]
    estimate: Estimate

    @property
    def x1(self) -> NDArray[np.float64]:
        """Where the matches are in the first photo, shape (t, 2)."""
        return self.frames1[self.matches[:, 0], :, 2]

    @property
    def x2(self) -> NDArray[np.float64]:
        """Where the matches are in the second photo, shape (t, 2)."""
        return self.frames2[self.matches[:, 1], :, 2]


def match_photos(
    photo1: Photo,
    photo2: Photo,
    model: Literal["similarity", "affine", "homography", "fundamental"] = "homography",
    *,
    detector: DetectorLike | Extractor = "sift",
    descriptor: DescriptorLike | None = None,
    orientation: Orientation = "dominant",
    max_features: int = 2000,
    max_size: int | None = 1024,
    ratio: float = 0.8,
    residual_threshold: float = 3.0,
    random_state: int = 0,
    threads: int | None = None,
) -> PhotoMatches:
    """Match two photos: extract features, `match` them, and `estimate` what most agree on.

    Parameters
    ----------
    photo1, photo2 : path, bytes or ndarray of uint8
        The photos.
    model : {"similarity", "affine", "homography", "fundamental"}
        See `estimate`. A homography fits flat scenes, and cameras that only turned.
    detector, descriptor, orientation, max_features
        See `features.Extractor`, which can be given whole, as `detector`.
    max_size : int, optional
        Longest side, in pixels, at which to work; a smaller photo is not enlarged. None: as it is.
    ratio : float
        Of Lowe's test; see `match`. The smaller a match's ratio, the sooner `estimate` tries it.
    residual_threshold : float
        See `estimate`; in pixels of the second photo as it is worked on.
    random_state : int
        Seed of `estimate`.
    threads : int, optional
        Worker threads; one per core by default. The result does not depend on it.

    Returns
    -------
    PhotoMatches
        ``(frames1, frames2, matches, ratios, estimate)``, and the ends of the matches as `x1` and
        `x2`: what `draw_matches` takes.

    Raises
    ------
    ImageError, OSError
        If a photo cannot be read.
    TypeError, ValueError
        If an argument has the wrong type or is out of range; the message names it.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    >>> photo = noise.repeat(4, axis=0).repeat(4, axis=1)
    >>> found = match_photos(photo, photo[20:, 40:], "similarity")
    >>> found.estimate.model.round(2) + 0.0
    array([[  1.,   0., -40.],
           [  0.,   1., -20.],
           [  0.,   0.,   1.]])
    """
    extractor = extractor_of(detector, descriptor, max_features, orientation, True, {})
    frames1, descriptors1, to_photo1 = _extracted(photo1, extractor, max_size, threads)
    frames2, descriptors2, to_photo2 = _extracted(photo2, extractor, max_size, threads)
    metric: Literal["hamming", "euclidean"] = "hamming" if extractor.bits else "euclidean"
    matches, _, ratios = match(descriptors1, descriptors2, ratio, metric=metric, threads=threads)
    found = estimate(
        model,
        frames1[matches[:, 0], :, 2],
        frames2[matches[:, 1], :, 2],
        quality=-ratios,
        residual_threshold=residual_threshold,
        random_state=random_state,
    )
    return PhotoMatches(
        _to_photo(frames1, to_photo1),
        _to_photo(frames2, to_photo2),
        matches,
        ratios,
        found._replace(model=_between_photos(found.model, model, to_photo1, to_photo2)),
    )


def _extracted(
    photo: Photo, extractor: Extractor, max_size: int | None, threads: int | None
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.float64]]:
    """Return frames, descriptors, and the map from the pixels worked on to the photo's."""
    pixels = load(photo, extractor.mode)
    factors = 1.0, 1.0
    if max_size is not None:
        pixels, factors = images.resize_to(pixels, max_size)
    found = extractor(pixels, threads=threads)
    return found.frames.astype(np.float64), found.descriptors, resized(*factors)


def _to_photo(frames: NDArray[np.float64], to_photo: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = to_photo[:2, :2] @ frames
    moved[:, :, 2] += to_photo[:2, 2]
    return moved


def _between_photos(
    found: NDArray[np.float64],
    model: str,
    to_photo1: NDArray[np.float64],
    to_photo2: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return a model of the pixels worked on as one of the photos', and as `estimate` scales it."""
    from_photo1 = np.linalg.inv(to_photo1)
    if model == "fundamental":
        between = np.linalg.inv(to_photo2).T @ found @ from_photo1
        return np.asarray(between / np.linalg.norm(between))
    between = to_photo2 @ found @ from_photo1
    last, norm = between[2, 2], np.linalg.norm(between)
    return np.asarray(between / (last if abs(last) > 1e-9 * norm else norm))
