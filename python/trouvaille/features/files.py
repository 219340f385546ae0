# SPDX-License-Identifier: Apache-2.0
"""Features as others write them: the Oxford group's text, and the keypoints of COLMAP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _files
from ._types import Features, Regions, as_regions, scales_of

MAX_DIMENSIONS = 65_536


def write_oxford(
    path: str | os.PathLike[str],
    features: Features | Regions | ArrayLike,
    *,
    magnification: float = 1.0,
) -> None:
    """Write features as ``dimensions``, ``number`` and a line ``x y a b c d0 d1 ...`` for each.

    Parameters
    ----------
    path : path
        The file; it appears whole or not at all, and is replaced if it exists.
    features : Features, Regions, or array_like of shape (n, 2, 3)
        What to write; regions and frames have no descriptors, and 1.0 for their dimensions, as is
        usual.
    magnification : float
        The ellipse ``a (u - x)^2 + 2 b (u - x)(v - y) + c (v - y)^2 = 1`` is so many times the
        frame. What is compared by its overlap, by Mikolajczyk's protocol, is the ellipse.

    Notes
    -----
    The format keeps neither the turn of a frame nor its response; their order is kept.
    """
    frames, described = _frames_and_descriptors(features)
    factor = _positive(magnification)
    axes = frames[:, :, :2].astype(np.float64) * factor
    flat = scales_of(frames) == 0
    if flat.any():
        raise ValueError(f"features: feature {int(np.argmax(flat))} is flat, no ellipse")
    shapes = np.linalg.inv(axes @ axes.transpose(0, 2, 1))
    head = f"{described.shape[1] or '1.0'}\n{len(frames)}\n"
    _files.replace(Path(path), [head.encode(), *_lines(frames[:, :, 2], shapes, described)])


def _frames_and_descriptors(
    given: Features | Regions | ArrayLike,
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    frames = as_regions(given, "features").frames
    if not isinstance(given, Features):
        return frames, np.empty((len(frames), 0), np.uint8)
    descriptors = _check.descriptors(given.descriptors, "features' descriptors")
    if len(descriptors) != len(frames):
        raise ValueError(f"features have {len(frames)} frames and {len(descriptors)} descriptors")
    return frames, descriptors


def _lines(centres: NDArray[Any], shapes: NDArray[Any], described: NDArray[Any]) -> Iterator[bytes]:
    for (x, y), shape, row in zip(centres, shapes, described, strict=True):
        ellipse = " ".join(
            f"{value:.9g}" for value in (x, y, shape[0, 0], shape[0, 1], shape[1, 1])
        )
        numbers = "".join(f" {value:.9g}" for value in row.tolist())
        yield f"{ellipse}{numbers}\n".encode()


def read_oxford(path: str | os.PathLike[str], *, magnification: float = 1.0) -> Features:
    """Read features from the text format of the Oxford group.

    Parameters
    ----------
    path : path
        The file.
    magnification : float
        As in `write_oxford`: the frame is the ellipse made smaller by it.

    Returns
    -------
    Features
        In the order of the file; up is up, since the format has no orientation, and each response
        is 0. Descriptors are bytes if all numbers are, and float32 otherwise; of none the width is
        0.

    Raises
    ------
    ValueError
        If the file is not of that format: it names the line.
    """
    factor = _positive(magnification)
    with Path(path).open(encoding="ascii", errors="replace") as file:
        n_dims, n = _head(path, file.readline()), _head(path, file.readline())
        n_dims = 0 if n_dims == 1 else n_dims
        if n_dims > MAX_DIMENSIONS:
            raise ValueError(f"{path}, line 1: {n_dims} dimensions; at most {MAX_DIMENSIONS}")
        rows = [
            _row(path, number, line, 5 + n_dims)
            for number, line in enumerate(file, 3)
            if line.strip()
        ]
    if len(rows) != n:
        raise ValueError(f"{path}, line 2: announces {n} features, the file has {len(rows)}")
    table = np.array(rows, np.float64).reshape(n, 5 + n_dims)
    frames = _frames(path, table[:, :5], factor)
    described = table[:, 5:]
    whole = ((described >= 0) & (described <= 255) & (described == np.rint(described))).all()
    descriptors: NDArray[Any] = described.astype(np.uint8 if whole else np.float32)
    return Features(frames, descriptors, np.zeros(n, np.float32), scales_of(frames))


def _positive(magnification: float) -> float:
    value = float(_check.array(magnification, "magnification", np.float64, ndim=0))
    if value <= 0:
        raise ValueError(f"magnification must be positive, got {value}")
    return value


def _head(path: str | os.PathLike[str], line: str) -> int:
    """Return the whole number of one of the first two lines; some write the first as 1.0."""
    try:
        value = float(line)
        if not (value >= 0 and value == int(value)):
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(
            f"{path}: the first two lines must be whole numbers, got {line[:40]!r}"
        ) from None
    return int(value)


def _row(path: str | os.PathLike[str], number: int, line: str, length: int) -> NDArray[np.float64]:
    try:
        row = np.array(line.split(), np.float64)
    except ValueError:
        row = np.empty(0)
    if len(row) != length or not np.isfinite(row).all():
        raise ValueError(
            f"{path}, line {number}: expected {length} finite numbers, got {line[:40]!r}"
        )
    return row


def _frames(
    path: str | os.PathLike[str], ellipses: NDArray[np.float64], magnification: float
) -> NDArray[np.float32]:
    """Return for x, y, a, b, c the frames of which the second axis points straight down."""
    x, y, a, b, c = ellipses.T
    with np.errstate(all="ignore"):  # of what is no ellipse, or none in float32
        determinant = a * c - b * b
        frames = np.zeros((len(ellipses), 2, 3))
        # The lower triangular L with L L^T = [[a, b], [b, c]]^-1.
        frames[:, 0, 0] = np.sqrt(c / determinant)
        frames[:, 1, 0] = -b / np.sqrt(c * determinant)
        frames[:, 1, 1] = 1 / np.sqrt(c)
        frames[:, :, :2] /= magnification
        frames[:, 0, 2], frames[:, 1, 2] = x, y
        small = frames.astype(np.float32)
    bad = ~((a > 0) & (determinant > 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{path}, feature {at}: a, b, c = {a[at]}, {b[at]}, {c[at]} is no ellipse")
    if not np.isfinite(small).all():
        raise ValueError(f"{path}: an ellipse is too large for float32")
    return small


def from_colmap(keypoints: ArrayLike) -> Regions:
    """Return the keypoints of COLMAP's database as regions, in their order.

    Parameters
    ----------
    keypoints : array_like of shape (n, 2), (n, 4) or (n, 6)
        x, y; with scale and orientation (radians clockwise as seen); or with the frame's four
        numbers, row by row. (0, 0) is the corner of the top-left pixel there, not its centre.

    Returns
    -------
    Regions
        Of scale 1 where there is none; each response is 0.

    Raises
    ------
    ValueError
        If there are other columns.
    """
    table = _check.matrix(keypoints, "keypoints", np.float32)
    n, columns = table.shape
    frames = np.zeros((n, 2, 3), np.float32)
    if columns == 2:
        frames[:, 0, 0] = frames[:, 1, 1] = 1
    elif columns == 4:
        turn = table[:, 3].astype(np.float64)
        frames[:, 0, 0] = frames[:, 1, 1] = table[:, 2] * np.cos(turn)
        frames[:, 1, 0] = table[:, 2] * np.sin(turn)
        frames[:, 0, 1] = -frames[:, 1, 0]
    elif columns == 6:
        frames[:, :, :2] = table[:, 2:].reshape(n, 2, 2)
    else:
        raise ValueError(f"keypoints must have 2, 4 or 6 columns, got shape {table.shape}")
    frames[:, :, 2] = table[:, :2] - np.float32(0.5)
    return Regions(frames, np.zeros(n, np.float32), scales_of(frames))


def to_colmap(features: Features | Regions | ArrayLike) -> NDArray[np.float32]:
    """Return features as keypoints of COLMAP's database: x, y and the frame, shape (n, 6).

    Their descriptors, if they are SIFT, are in COLMAP's order of bins already.
    """
    frames, _ = _frames_and_descriptors(features)
    centres = frames[:, :, 2] + np.float32(0.5)
    return np.hstack([centres, frames[:, :, :2].reshape(-1, 4)])
