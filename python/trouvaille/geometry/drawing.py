# SPDX-License-Identifier: Apache-2.0
"""A picture of matches: two photos side by side, and what connects them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _picture, images
from ..features import Photo
from .estimation import _matches

_GAP = 8  # pixels between the photos
_HEIGHT = 720  # of a picture of larger photos, so that its lines are seen
_WIDEST = 2**14  # pixels
_WRONG = (130, 60, 60)
_OUTLINE = (255, 255, 255)
_EPIPOLAR_LINES = 8
_FAR = 1e9  # pixels


def draw_matches(
    photo1: Photo,
    photo2: Photo,
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    inliers: ArrayLike | None = None,
    model: ArrayLike | None = None,
    fundamental: ArrayLike | None = None,
    outliers: bool = True,
    max_matches: int = 100,
    height: int | None = None,
    dim: float = 0.35,
    path: str | os.PathLike[str] | None = None,
) -> NDArray[np.uint8]:
    """Draw two photos side by side, and a line from each point to its match.

    Parameters
    ----------
    photo1, photo2 : path, bytes or ndarray of uint8
        The photos at the size at which the points were found. They are scaled to a common height.
    x1, x2 : array_like of float64, shape (n, 2) or (n, 2, 3)
        Points that match, or their frames, as `estimate` takes them. A match with an end outside of
        its photo is left out.
    inliers : array_like of bool, shape (n,), optional
        Which matches are right; all by default. Right ones are bright lines between dots, in
        colours that alternate from top to bottom.
    model : array_like of float64, shape (3, 3), optional
        A map from the first photo to the second: where it takes the first one's border is outlined
        in white. Only what is in the second photo is drawn, and on this side of the horizon.
    fundamental : array_like of float64, shape (3, 3), optional
        A fundamental matrix: through both ends of some right matches, the epipolar lines.
    outliers : bool
        Whether to draw the wrong matches, thin and dim, below the right ones.
    max_matches : int
        Draw at most so many right ones, and as many wrong ones, spread evenly over all of them.
    height : int, optional
        Of the picture, in pixels; by default that of the taller photo, 720 at the most. Less where
        the picture would be wider than 16,384.
    dim : float
        How much darker and grayer the photos become, from 0 to 1, so that lines stand out.
    path : path, optional
        Write the picture to this file, too: a PNG, a JPEG or a WebP by its name.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        RGB.

    Raises
    ------
    ImageError, OSError
        If a photo cannot be read.
    TypeError, ValueError
        If an argument has the wrong type or shape, or is out of range; the message names it.

    Notes
    -----
    A `model` or `fundamental` of NaN, which is what `estimate` returns where it finds nothing, is
    not drawn.
    """
    points1, points2 = _points(x1, "x1"), _points(x2, "x2")
    if len(points1) != len(points2):
        raise ValueError(f"x1 and x2 must be equally many, got {len(points1)} and {len(points2)}")
    right = _mask(inliers, len(points1))
    border_map, epipolar = _matrix(model, "model"), _matrix(fundamental, "fundamental")
    most = _check.count(max_matches, "max_matches")
    wrong = ~right & _check.boolean(outliers, "outliers")
    picture, first, second = _side_by_side(
        images.load_rgb(photo1), images.load_rgb(photo2), height, dim
    )

    inside = first.holds(points1) & second.holds(points2)
    ends = np.stack([first.place(points1), second.place(points2)], axis=1)
    for i in _some(np.flatnonzero(inside & wrong), most):
        _picture.draw_line(picture, ends[i], _WRONG)
    shown = _some(np.flatnonzero(inside & right), most)
    shown = shown[np.argsort(points1[shown, 1], kind="stable")]
    if epipolar is not None:
        few = _some(shown, _EPIPOLAR_LINES)
        _draw_epipolar_lines(picture, first, epipolar.T, points2[few])
        _draw_epipolar_lines(picture, second, epipolar, points1[few])
    for rank, i in enumerate(shown):
        _draw_right(picture, ends[i], _picture.COLOURS[rank % len(_picture.COLOURS)])
    if border_map is not None:
        seen = points1[right] if right.any() else first.corners().mean(axis=0, keepdims=True)
        _draw_border(picture, first, second, border_map, seen)
    if path is not None:
        _picture.write(Path(path), picture)
    return picture


def _some(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many, evenly spread."""
    return rows if len(rows) <= most else rows[np.arange(most) * len(rows) // most]


class _Side(NamedTuple):
    """A photo's place in the picture."""

    size: tuple[int, int]  # of the photo: width, height
    scale: tuple[float, float]
    left: int

    @classmethod
    def of(cls, photo: NDArray[np.uint8], part: NDArray[np.uint8], left: int) -> _Side:
        """Return the place of a photo that is shown as `part`, so many pixels from the left."""
        (height, width), (rows, columns) = photo.shape[:2], part.shape[:2]
        return cls((width, height), (columns / width, rows / height), left)

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points of the photo are in the picture."""
        placed: NDArray[np.float64] = (points + 0.5) * self.scale - 0.5 + (self.left, 0)
        return placed

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which points are in the photo."""
        within = (points >= -0.5) & (points <= np.array(self.size) - 0.5)
        return within[:, 0] & within[:, 1]

    def corners(self) -> NDArray[np.float64]:
        """Return the outer corners of the photo, clockwise from the top left."""
        return np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * self.size - 0.5

    def clip(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the ends, shape (2, 2), of what the photo holds of a segment.

        Its ends are homogeneous, (x, y, w), and it may cross the horizon, where w is 0: the photo
        is where four linear functions of (x, y, w) are not negative, and w is the sum of two.
        """
        width, height = self.size
        sides = np.array([(1, 0, 0.5), (-1, 0, width - 0.5), (0, 1, 0.5), (0, -1, height - 0.5)])
        at_a, at_b = sides @ a, sides @ b
        start, end = 0.0, 1.0
        for f, g in zip(at_a.tolist(), at_b.tolist(), strict=True):
            if f < 0 and g < 0:
                return None
            if f < 0:
                start = max(start, f / (f - g))
            elif g < 0:
                end = min(end, f / (f - g))
        ends = np.array([a + t * (b - a) for t in (start, end)])
        if start > end or (ends[:, 2] <= 0).any():
            return None
        clipped: NDArray[np.float64] = ends[:, :2] / ends[:, 2:]
        return clipped


def _side_by_side(
    photo1: NDArray[np.uint8], photo2: NDArray[np.uint8], height: int | None, dim: float
) -> tuple[NDArray[np.uint8], _Side, _Side]:
    """Return the picture without lines, and where each photo is in it."""
    wanted = min(max(len(photo1), len(photo2)), _HEIGHT)
    if height is not None:
        wanted = _check.count(height, "height", maximum=_WIDEST)
    breadth = sum(photo.shape[1] / len(photo) for photo in (photo1, photo2))  # times the height
    wanted = max(1, min(wanted, int((_WIDEST - _GAP) / breadth)))
    left, right = (_picture.dimmed(_of_height(photo, wanted), dim) for photo in (photo1, photo2))
    gap = np.zeros((wanted, _GAP, 3), np.uint8)
    first = _Side.of(photo1, left, 0)
    second = _Side.of(photo2, right, left.shape[1] + _GAP)
    return np.hstack([left, gap, right]), first, second


def _of_height(photo: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    import cv2

    if len(photo) == height:
        return photo
    width = max(1, round(photo.shape[1] * height / len(photo)))
    how = cv2.INTER_AREA if height < len(photo) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, (width, height), interpolation=how), np.uint8)


def _draw_right(
    picture: NDArray[np.uint8], ends: NDArray[np.float64], colour: _picture.Colour
) -> None:
    _picture.draw_line(picture, ends, colour)
    for end in ends:
        _picture.draw_dot(picture, end, colour, 2.5)


def _draw_border(
    picture: NDArray[np.uint8],
    first: _Side,
    second: _Side,
    model: NDArray[np.float64],
    seen: NDArray[np.float64],
) -> None:
    """Outline the first photo in the second; what the map takes `seen` to is before the camera."""
    if np.median(seen @ model[2, :2] + model[2, 2]) < 0:
        model = -model
    corners = np.column_stack([first.corners(), np.ones(4)]) @ model.T
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if (ends := second.clip(a, b)) is not None:
            _picture.draw_line(picture, second.place(ends), _OUTLINE, 2)


def _draw_epipolar_lines(
    picture: NDArray[np.uint8],
    side: _Side,
    fundamental: NDArray[np.float64],
    others: NDArray[np.float64],
) -> None:
    """Draw in one photo the epipolar lines of points of the other."""
    centre, reach = np.array(side.size) / 2, 2.0 * sum(side.size)
    for x, y, offset in np.column_stack([others, np.ones(len(others))]) @ fundamental.T:
        length = np.hypot(x, y)
        if length * _FAR <= abs(offset):  # of no direction, or nowhere near
            continue
        normal = np.array([x, y]) / length
        foot = centre - normal * (normal @ centre + offset / length)
        along = reach * np.array([-normal[1], normal[0]])
        ends = side.clip(np.append(foot - along, 1), np.append(foot + along, 1))
        if ends is not None:
            _picture.draw_line(picture, side.place(ends), _OUTLINE)


def _points(x: ArrayLike, name: str) -> NDArray[np.float64]:
    points = _matches(x, name)
    return points[:, :, 2] if points.ndim == 3 else points


def _mask(x: ArrayLike | None, n: int) -> NDArray[np.bool_]:
    if x is None:
        return np.ones(n, bool)
    mask = _check.as_array(x, "inliers")
    if mask.dtype != bool or mask.shape != (n,):
        raise ValueError(
            f"inliers must be {n} booleans, one a match; got {mask.dtype} of shape {mask.shape}"
        )
    return mask


def _matrix(x: ArrayLike | None, name: str) -> NDArray[np.float64] | None:
    """Return a matrix with a greatest entry of 1, or None where there is none."""
    if x is None:
        return None
    given = _check.as_array(x, name)
    if given.dtype.kind == "f" and np.isnan(given).all():
        return None
    matrix = _check.array(given, name, np.float64, ndim=2)
    if matrix.shape != (3, 3):
        raise ValueError(f"{name} must have shape (3, 3), got {matrix.shape}")
    greatest = np.abs(matrix).max()
    if greatest == 0:
        raise ValueError(f"{name} must not be all zeros")
    scaled: NDArray[np.float64] = matrix / greatest
    return scaled
