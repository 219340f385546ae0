# SPDX-License-Identifier: Apache-2.0
"""Which candidates of a shortlist show the query, and where."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core

_MODELS = ("similarity", "affine", "homography")  # in the order of TransformModel in C++


class Verification(NamedTuple):
    """What `verify` found, one row a candidate.

    Attributes
    ----------
    n_inliers : ndarray of int64, shape (c,)
        Matches that the transform explains; 0 where a candidate has fewer than `min_inliers`.
    scores : ndarray of float64, shape (c,)
        Sums of the inliers' weights; 0 where not verified. Comparable between candidates, and
        between queries if the weights are: no candidate's score depends on another, or on how many
        matches it has.
    transforms : ndarray of float64, shape (c, 3, 3)
        From pixels of the query to pixels of the candidate, acting on columns (x, y, 1); NaN where
        not verified. The last row is (0, 0, 1), but for a homography (h31, h32, 1): divide by the
        third coordinate.
    inliers : ndarray of bool, shape (t,)
        One a match, in the order of `matches`.
    boxes : ndarray of float64, shape (c, 4)
        x1, y1, x2, y2 in the candidate: bounds of the ellipses of the inliers' query frames, after
        the transform (exact, for a homography too). The matched region, not the whole query; it may
        reach beyond the photo. NaN where not verified.
    """

    n_inliers: NDArray[np.int64]
    scores: NDArray[np.float64]
    transforms: NDArray[np.float64]
    inliers: NDArray[np.bool_]
    boxes: NDArray[np.float64]


def verify(
    query_frames: ArrayLike,
    candidate_frames: ArrayLike,
    frame_offsets: ArrayLike,
    matches: ArrayLike,
    match_offsets: ArrayLike,
    *,
    model: Literal["affine", "similarity", "homography"] = "affine",
    weights: ArrayLike | None = None,
    residual_threshold: float = 8.0,
    min_inliers: int = 4,
    threads: int | None = None,
) -> Verification:
    """Verify one query against a shortlist of candidates by the geometry of their matches.

    Parameters
    ----------
    query_frames : array_like of float32, shape (n, 2, 3)
        Local affine frames of the query, ``[[a11, a12, x], [a21, a22, y]]`` in pixels.
    candidate_frames : array_like of float32, shape (m, 2, 3)
        Those of all candidates, one candidate after the other.
    frame_offsets : array_like of int64, shape (c + 1,)
        Candidate i owns the frames ``frame_offsets[i]`` to ``frame_offsets[i + 1]``. Begins with 0,
        does not decrease, ends with m.
    matches : array_like of int32, shape (t, 2)
        Pairs (query feature, feature of the candidate counted from the candidate's first). Many to
        many is fine: visual words give that.
    match_offsets : array_like of int64, shape (c + 1,)
        Candidate i owns the matches ``match_offsets[i]`` to ``match_offsets[i + 1]``.
    model : {"affine", "similarity", "homography"}
        Largest family of transforms to consider. "affine" still answers with a similarity where the
        inliers do not determine an affine map (fewer than four, or near one line), or where it
        explains them no better than a similarity does. "homography" likewise answers with what
        "affine" finds, unless the inliers determine a homography (at least five) and it explains
        them better by more than chance would (1 in 100).
    weights : array_like of float64, shape (t,), optional
        What each match counts in `scores`, not negative: idf, say. 1 by default.
    residual_threshold : float
        Pixels of the candidate by which the query's feature, mapped, may miss its match.
    min_inliers : int
        Candidates with fewer are reported as not verified. So many of them must be at different
        places, more than `residual_threshold` apart in both photos (counted greedily): a corner
        that is detected many times says no more than once. What chance explains grows with the
        matches: of 100 random ones 4 in a few candidates of 1,000, of 1,000 random ones 4 in every
        second; ask for more where there are many.
    threads : int, optional
        Worker threads; one per core by default.

    Returns
    -------
    Verification
        A named tuple ``(n_inliers, scores, transforms, inliers, boxes)``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or shape, holds NaN or infinity, or contradicts another;
        the message names it.

    Notes
    -----
    Transforms are proposed by pairs and triples of matches, whose centres determine a similarity or
    an affine map that their frames must roughly agree with, and by single matches, whose two frames
    determine one each; those with the most support are scored against all matches, and the best
    refined by least squares while the threshold shrinks.

    An inlier lies within `residual_threshold` in the candidate, and its frames agree with the
    transform within 0.75 in the logarithm of scale and 36 degrees in rotation (three times the
    noise of a usual detector). Each query feature and each candidate feature is in one inlier at
    most, the closest. Matches of singular or mirrored frames are never inliers. Transforms that
    mirror, scale by more than 20 or tilt by more than 8, anywhere among the inliers, are not
    considered, nor homographies whose horizon crosses the inliers' region of the query.

    The result is the same for any number of threads and any order of candidates. Of more than 128
    matches of a candidate the 64 of the greatest weight propose (equal weights in a fixed random
    order), and if fewer than 12 of all, or than `min_inliers`, come to be inliers, 1,024, or 180 of
    them where more than 150 or so agree, so that time is linear in the number of matches beyond
    that; all are fitted and counted.

    References
    ----------
    .. [1] J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, "Object retrieval with large
       vocabularies and fast spatial matching", CVPR 2007.
    .. [2] O. Chum, J. Matas, J. Kittler, "Locally optimized RANSAC", DAGM 2003.

    Examples
    --------
    The candidate is the query, moved by (10, 20):

    >>> frames = np.tile(np.eye(2, 3, dtype=np.float32), (5, 1, 1))
    >>> frames[:, :, 2] = [[0, 0], [90, 0], [0, 70], [80, 60], [40, 30]]
    >>> moved = frames + np.float32([[0, 0, 10], [0, 0, 20]])
    >>> matches = np.int32([[0, 0], [1, 1], [2, 2], [3, 3], [4, 4]])
    >>> found = verify(frames, moved, [0, 5], matches, [0, 5])
    >>> found.n_inliers
    array([5])
    >>> found.transforms[0].round(3) + 0.0
    array([[ 1.,  0., 10.],
           [ 0.,  1., 20.],
           [ 0.,  0.,  1.]])
    """
    query_frames = _check.frames(query_frames, "query_frames")
    candidate_frames = _check.frames(candidate_frames, "candidate_frames")
    matches = _check.matrix(matches, "matches", np.int32, cols=2)
    frame_offsets = _check.offsets(frame_offsets, "frame_offsets", len(candidate_frames), "frames")
    match_offsets = _check.offsets(match_offsets, "match_offsets", len(matches), "matches")
    if len(frame_offsets) != len(match_offsets):
        raise ValueError(
            "frame_offsets and match_offsets must be of equal length, one more than there are "
            f"candidates, got {len(frame_offsets)} and {len(match_offsets)}"
        )
    if model not in _MODELS:
        raise ValueError(f"model must be one of {_MODELS}, got {model!r}")
    found = _core.verify(
        query_frames,
        candidate_frames,
        frame_offsets,
        matches,
        match_offsets,
        _MODELS.index(model),
        _weights(weights, len(matches)),
        _check.positive(residual_threshold, "residual_threshold"),
        _check.count(min_inliers, "min_inliers"),
        _check.threads(threads),
    )
    return Verification(*found)


def _weights(x: ArrayLike | None, n_matches: int) -> NDArray[np.float64]:
    if x is None:
        return np.empty(0)
    weights = _check.array(x, "weights", np.float64, ndim=1)
    if len(weights) != n_matches:
        raise ValueError(f"weights must be one a match, {n_matches}, got {len(weights)}")
    if (weights < 0).any():
        raise ValueError(f"weights must not be negative, got {weights.min()}")
    return weights
