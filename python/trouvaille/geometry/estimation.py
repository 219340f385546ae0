# SPDX-License-Identifier: Apache-2.0
"""The transform, or the epipolar geometry, that most of two photos' matches agree on."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core

_MODELS = ("similarity", "affine", "homography", "fundamental")
_SCORINGS = ("msac", "magsac")


class Estimate(NamedTuple):
    """What `estimate` found.

    Attributes
    ----------
    model : ndarray of float64, shape (3, 3)
        Acts on columns (x, y, 1) of the first photo; NaN where nothing was found.
    inliers : ndarray of bool, shape (n,)
        The matches that the model explains.
    n_inliers : int
        How many these are.
    score : float
        The sum of what the inliers are worth, from 0 (at the threshold) to 1 (exact).
    trials : int
        Samples that were drawn.
    reason : str
        Why nothing was found; empty if something was.
    """

    model: NDArray[np.float64]
    inliers: NDArray[np.bool_]
    n_inliers: int
    score: float
    trials: int
    reason: str


def estimate(
    model: Literal["similarity", "affine", "homography", "fundamental"],
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    quality: ArrayLike | None = None,
    residual_threshold: float = 3.0,
    max_trials: int = 10_000,
    confidence: float = 0.999,
    scoring: Literal["msac", "magsac"] = "msac",
    random_state: int = 0,
) -> Estimate:
    """Estimate a model robustly from matches of which many are wrong.

    Parameters
    ----------
    model : {"similarity", "affine", "homography", "fundamental"}
        What maps the points of the first photo to those of the second; or the fundamental matrix F,
        with ``x2.T @ F @ x1 == 0`` for columns (x, y, 1), where the scene is not flat and the
        camera has moved.
    x1, x2 : array_like of float64, shape (n, 2) or (n, 2, 3)
        Points that match, in pixels; or their local affine frames, ``[[a11, a12, x],
        [a21, a22, y]]``. One pair of frames determines a similarity or an affine map, two a
        homography, three a fundamental matrix: far fewer samples are needed where inliers are
        rare [4]_.
    quality : array_like of float64, shape (n,), optional
        The higher, the likelier is a match right (minus the ratio of its distances, say): the best
        are then tried first (PROSAC [2]_), which is faster.
    residual_threshold : float
        An inlier's residual is at most so many pixels: the distance in the second photo from where
        the model maps the point; for the fundamental matrix Sampson's distance.
    max_trials : int
        Samples at the most, rounded up to a multiple of 16.
    confidence : float
        In (0, 1): with this probability no better model is missed by chance. The rarer inliers are,
        the more samples that takes, until `max_trials` ends it.
    scoring : {"msac", "magsac"}
        What an inlier is worth: one minus its squared residual over the threshold; or by MAGSAC++
        [3]_, where `residual_threshold` should be generous (four times the noise or more): nearer
        matches then count more, and how much noise there is need not be known.
    random_state : int
        Seed. The result depends on the arguments alone: not on threads, other calls or the
        processor's instruction set.

    Returns
    -------
    Estimate
        A named tuple ``(model, inliers, n_inliers, score, trials, reason)``. A map has 1 for its
        last entry (norm 1 where that entry is near 0); a fundamental matrix has norm 1.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, holds NaN or infinity, or is out of range; the
        message names it.

    Notes
    -----
    Where there is nothing to be found, the result says so: too few matches, all on one line, or
    none that explains more matches than a random model might by chance (a contrario). But as many
    different matches as determine a model, if there are no others, are always explained.

    Hypotheses are made from minimal samples, sixteen at a time, and given up early by Wald's
    sequential test; the best are refined by iteratively reweighted least squares [1]_. Coordinates
    are float32 while hypotheses are compared: a threshold below a 100,000th of the photo's size
    is not resolved.

    References
    ----------
    .. [1] O. Chum, J. Matas, J. Kittler, "Locally optimized RANSAC", DAGM 2003.
    .. [2] O. Chum, J. Matas, "Matching with PROSAC - progressive sample consensus", CVPR 2005.
    .. [3] D. Barath, J. Noskova, M. Ivashechkin, J. Matas, "MAGSAC++, a fast, reliable and accurate
       robust estimator", CVPR 2020.
    .. [4] D. Barath, M. Polic, W. Foerstner, T. Sattler, T. Pajdla, Z. Kukelova, "Making affine
       correspondences work in camera geometry computation", ECCV 2020.

    Examples
    --------
    Eight of ten points are moved by (10, 20):

    >>> x1 = np.float64([[0, 0], [90, 0], [0, 70], [80, 60], [40, 30], [10, 50], [70, 20],
    ...                  [30, 80], [5, 5], [60, 60]])
    >>> x2 = x1 + (10, 20)
    >>> x2[3:5] = [[300, 8], [9, 400]]
    >>> found = estimate("similarity", x1, x2)
    >>> found.n_inliers
    8
    >>> found.model.round(6) + 0.0
    array([[ 1.,  0., 10.],
           [ 0.,  1., 20.],
           [ 0.,  0.,  1.]])
    """
    if model not in _MODELS:
        raise ValueError(f"model must be one of {_MODELS}, got {model!r}")
    if scoring not in _SCORINGS:
        raise ValueError(f"scoring must be one of {_SCORINGS}, got {scoring!r}")
    first, second = _matches(x1, "x1"), _matches(x2, "x2")
    if first.shape != second.shape:
        raise ValueError(f"x1 and x2 must have one shape, got {first.shape} and {second.shape}")
    return Estimate(
        *_core.estimate(
            model,
            first,
            second,
            _quality(quality, len(first)),
            scoring == "magsac",
            _check.positive(residual_threshold, "residual_threshold"),
            _check.count(max_trials, "max_trials"),
            _fraction(confidence, "confidence"),
            _check.seed(random_state),
        )
    )


def _matches(x: ArrayLike, name: str) -> NDArray[np.float64]:
    points = _check.array(x, name, np.float64)
    if points.ndim not in (2, 3) or points.shape[1:] not in ((2,), (2, 3)):
        raise ValueError(f"{name} must be points (n, 2) or frames (n, 2, 3), got {points.shape}")
    if points.size and max(points.max(), -points.min()) > _check.MAX_FRAME:
        raise ValueError(f"{name} must be between -{_check.MAX_FRAME:g} and {_check.MAX_FRAME:g}")
    return points


def _quality(x: ArrayLike | None, n: int) -> NDArray[np.float64]:
    if x is None:
        return np.empty(0)
    quality = _check.array(x, "quality", np.float64, ndim=1)
    if len(quality) != n:
        raise ValueError(f"quality must be one a match, {n}, got {len(quality)}")
    return quality


def _fraction(x: float, name: str) -> float:
    value = _check.positive(x, name)
    if value >= 1:
        raise ValueError(f"{name} must be below 1, got {value}")
    return value
