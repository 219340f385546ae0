# SPDX-License-Identifier: Apache-2.0
"""How good a detector of regions is: repeatability and matching score of a pair of images.

The protocol of Mikolajczyk et al. for two images of a plane, related by a homography. Its steps:

1. A region is the ellipse that its frame makes of the unit disc. It is mapped into the other image
   by the affine map that touches the homography at its centre.
2. Only the *common part* counts: regions whose bounding box lies in their own image, and whose
   mapped bounding box lies in the other image.
3. Two regions are compared in image 1. Both are scaled, each about its own centre, by the number
   that gives the region of image 1 a radius (square root of the product of the half axes) of 30
   pixels, and their overlap error is 1 - intersection / union. So small regions are judged no
   more severely than large ones, and it is the distance in pixels between the centres that counts.
   Centres as far apart as four (unscaled) radii of the region of image 1 have an error of 1.
4. Correspondences are one to one: the pair of the smallest overlap error first.

The distances in pixels make the measures depend on image 1's resolution, and on which of the images
is the first; image 2 may be scaled at will. Steps 2 and 3 look at the radius as it is given:
compare detectors by frames of one convention, here the scale of the detection.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .overlap import Floats
from .pairs import Pair, candidates, common_part, determinant, one_to_one, pair_errors


class Repeatability(NamedTuple):
    """How many regions of a pair of images are found in both.

    Attributes
    ----------
    n_correspondences : int
        Pairs of regions, one to one, whose overlap error is small enough.
    n_common : int
        The smaller of the two images' numbers of regions in the common part.
    repeatability : float
        Their ratio, from 0 to 1; NaN if an image has no region in the common part.
    correspondences : ndarray of int64, shape (n_correspondences, 2)
        Rows of `frames1` and of `frames2`, in order of the overlap error.
    overlap_errors : ndarray of float64, shape (n_correspondences,)
        Their overlap errors.
    """

    n_correspondences: int
    n_common: int
    repeatability: float
    correspondences: NDArray[np.int64]
    overlap_errors: NDArray[np.float64]


class MatchingScore(NamedTuple):
    """How many regions of a pair of images their descriptors match correctly.

    Attributes
    ----------
    n_correct : int
        Matches whose overlap error is small enough.
    n_common : int
        The smaller of the two images' numbers of regions in the common part.
    matching_score : float
        ``n_correct / n_common``, from 0 to 1; NaN if an image has no region in the common part.
    n_matches : int
        Pairs of regions that are each other's nearest neighbours.
    precision : float
        ``n_correct / n_matches``, from 0 to 1; NaN if there is no match.
    """

    n_correct: int
    n_common: int
    matching_score: float
    n_matches: int
    precision: float


def repeatability(
    frames1: ArrayLike,
    frames2: ArrayLike,
    homography: ArrayLike,
    size1: tuple[int, int],
    size2: tuple[int, int],
    *,
    overlap_error: float = 0.4,
) -> Repeatability:
    """Count the regions that were detected in both of two images, by the protocol of [1]_.

    Parameters
    ----------
    frames1, frames2 : array_like of float, shapes (n1, 2, 3) and (n2, 2, 3)
        Local affine frames, whose first two columns make the region of the unit disc, and whose
        last one is the centre (x, y) in pixels; (0, 0) is the centre of the top-left pixel.
    homography : array_like of float, shape (3, 3)
        Maps (x, y, 1) of image 1 to image 2.
    size1, size2 : (width, height)
        Sizes of the images in pixels.
    overlap_error : float
        Regions correspond if their overlap error is smaller; between 0 and 1.

    Returns
    -------
    Repeatability
        Correspondences are made in order of the overlap error (known to 2e-4); of equal ones, that
        of the smaller row of `frames1`, then of `frames2`, comes first.

    Raises
    ------
    TypeError
        If an argument is of another kind.
    ValueError
        If it has another shape or holds NaN or infinity, a frame has no area, or the homography
        has no inverse.

    References
    ----------
    .. [1] K. Mikolajczyk, T. Tuytelaars, C. Schmid, A. Zisserman, J. Matas, F. Schaffalitzky,
       T. Kadir, L. Van Gool, "A comparison of affine region detectors", IJCV 2005.

    Examples
    --------
    A disc of radius 4, and one 6 pixels beside it; which after scaling are discs of radius 30:

    >>> disc = [[4, 0, 50], [0, 4, 50]]
    >>> beside = [[4, 0, 56], [0, 4, 50]]
    >>> identity = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    >>> result = repeatability([disc], [beside], identity, (100, 100), (100, 100))
    >>> result.repeatability, result.overlap_errors.round(3)
    (1.0, array([0.226]))
    """
    bound = _bound(overlap_error)
    pair = _regions(frames1, frames2, homography, size1, size2)
    first, second, errors = candidates(pair, bound)
    chosen = one_to_one(first, second, errors)
    rows = np.stack([pair.rows1[first[chosen]], pair.rows2[second[chosen]]], axis=1)
    ratio = len(chosen) / pair.n_common if pair.n_common else math.nan
    return Repeatability(len(chosen), pair.n_common, ratio, rows, errors[chosen])


def matching_score(
    frames1: ArrayLike,
    descriptors1: ArrayLike,
    frames2: ArrayLike,
    descriptors2: ArrayLike,
    homography: ArrayLike,
    size1: tuple[int, int],
    size2: tuple[int, int],
    *,
    overlap_error: float = 0.4,
) -> MatchingScore:
    """Count the regions that their descriptors match correctly, by the protocol of [1]_.

    Two regions of the common part match if each is the other's nearest neighbour, by the Euclidean
    distance of their descriptors, among the regions of the common part; of equally near ones, that
    of the smaller row is taken. A match is correct if its overlap error is small enough, whether
    or not it is the correspondence that `repeatability` would choose.

    Parameters
    ----------
    frames1, frames2, homography, size1, size2, overlap_error
        As in `repeatability`.
    descriptors1, descriptors2 : array_like of uint8 or float32, shapes (n1, d) and (n2, d)
        One row a frame.

    Returns
    -------
    MatchingScore

    Raises
    ------
    TypeError, ValueError
        As `repeatability`; and if there is not one descriptor a frame, or those of the two images
        differ in length.

    References
    ----------
    .. [1] K. Mikolajczyk, C. Schmid, "A performance evaluation of local descriptors", PAMI 2005.
    """
    bound = _bound(overlap_error)
    pair = _regions(frames1, frames2, homography, size1, size2)
    rows1 = _rows(descriptors1, "descriptors1", len(pair.inside1), "frames1")
    rows2 = _rows(descriptors2, "descriptors2", len(pair.inside2), "frames2")
    if rows1.shape[1] != rows2.shape[1]:
        raise ValueError(
            "descriptors1 and descriptors2 must be equally long, "
            f"got {rows1.shape[1]} and {rows2.shape[1]} columns"
        )
    first, second = _mutually_nearest(rows1[pair.inside1], rows2[pair.inside2])
    correct = int((pair_errors(pair, first, second, bound) < bound).sum())
    return MatchingScore(
        n_correct=correct,
        n_common=pair.n_common,
        matching_score=correct / pair.n_common if pair.n_common else math.nan,
        n_matches=len(first),
        precision=correct / len(first) if len(first) else math.nan,
    )


def _bound(overlap_error: float) -> float:
    bound = _check.number(overlap_error, "overlap_error")
    if not 0 < bound < 1:
        raise ValueError(f"overlap_error must be between 0 and 1, got {bound}")
    return bound


def _regions(
    frames1: ArrayLike,
    frames2: ArrayLike,
    homography: ArrayLike,
    size1: tuple[int, int],
    size2: tuple[int, int],
) -> Pair:
    return common_part(
        _frames(frames1, "frames1"),
        _frames(frames2, "frames2"),
        *_both_ways(homography),
        _size(size1, "size1"),
        _size(size2, "size2"),
    )


def _frames(x: ArrayLike, name: str) -> Floats:
    frames: Floats = _check.array(x, name, np.float64, ndim=3)
    if frames.shape[1:] != (2, 3):
        raise ValueError(f"{name} must have shape (n, 2, 3), got {frames.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        area = np.abs(determinant(frames))
    if not ((area > 0) & np.isfinite(area)).all():
        bad = int(np.flatnonzero(~((area > 0) & np.isfinite(area)))[0])
        raise ValueError(f"{name} must have areas above 0 and finite, got {area[bad]} at {bad}")
    return frames


def _both_ways(homography: ArrayLike) -> tuple[Floats, Floats]:
    forward: Floats = _check.matrix(homography, "homography", np.float64, cols=3)
    if forward.shape != (3, 3):
        raise ValueError(f"homography must have shape (3, 3), got {forward.shape}")
    try:
        backward = np.linalg.inv(forward)
    except np.linalg.LinAlgError:
        raise ValueError("homography must have an inverse, got a singular matrix") from None
    if not np.isfinite(backward).all():
        raise ValueError("homography must have a finite inverse, got a nearly singular matrix")
    return forward, backward.astype(np.float64)


def _size(size: tuple[int, int], name: str) -> NDArray[np.int64]:
    try:
        width, height = size
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be (width, height), got {size!r}") from None
    return np.array([_check.count(width, name), _check.count(height, name)])


def _rows(x: ArrayLike, name: str, n: int, frames: str) -> Floats:
    rows = _check.descriptors(x, name).astype(np.float64)
    if len(rows) != n:
        raise ValueError(f"{name} must have one row a frame of {frames}, {n}, got {len(rows)}")
    return rows


def _mutually_nearest(rows1: Floats, rows2: Floats) -> tuple[Any, Any]:
    """Rows of the pairs that are each other's nearest."""
    if not len(rows1) or not len(rows2):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    distances = rows1 @ rows2.T  # squared, and exact for bytes
    distances *= -2
    distances += (rows1**2).sum(axis=1)[:, None]
    distances += (rows2**2).sum(axis=1)
    nearest2, nearest1 = distances.argmin(axis=1), distances.argmin(axis=0)
    mutual = np.flatnonzero(nearest1[nearest2] == np.arange(len(rows1)))
    return mutual, nearest2[mutual]
