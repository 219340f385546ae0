# SPDX-License-Identifier: Apache-2.0
"""OpenCV's features."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, images
from ._types import Features

SIFT_DIMENSIONS = 128


def opencv_sift(image: ArrayLike, *, max_features: int = 2000, root: bool = True) -> Features:
    """Detect and describe SIFT features by OpenCV.

    Parameters
    ----------
    image : array_like of uint8, shape (h, w) or (h, w, 3) or (h, w, 4)
        Gray, or RGB(A), which is made gray.
    max_features : int
        At most this many, those of the greatest response.
    root : bool
        RootSIFT in bytes, as in `sift`; plain SIFT if false.

    Returns
    -------
    Features
        In order of response; features of equal response by position.
    """
    gray = images.as_gray(image)
    max_features = _check.count(max_features, "max_features")
    keypoints, described = _detector(max_features).detectAndCompute(gray, None)
    if described is None:
        keypoints, described = (), np.empty((0, SIFT_DIMENSIONS), np.float32)

    # OpenCV may keep more than was asked for (all of the last one's response).
    table = np.array([(*k.pt, k.size, k.angle, k.response) for k in keypoints], np.float32)
    x, y, size, angle, response = table.reshape(-1, 5).T
    order = np.lexsort((angle, size, y, x, -response))[:max_features]
    x, y, size, angle, response = (column[order] for column in (x, y, size, angle, response))
    scales = (size / 2).astype(np.float32)  # OpenCV's size is a diameter
    descriptors = _root(described[order]) if root else described[order].astype(np.uint8)
    frames = _similarity_frames(x, y, scales, angle)
    return Features(frames, descriptors, response.astype(np.float32), scales)


_local = threading.local()


def _detector(max_features: int) -> Any:
    """Return this thread's detector: making one allocates, and one must not be shared."""
    detectors = _local.__dict__.setdefault("detectors", {})
    if max_features not in detectors:
        import cv2

        # Without "precise upscale" every position is off by a quarter of a pixel.
        detectors[max_features] = cv2.SIFT_create(  # type: ignore[attr-defined]
            nfeatures=max_features, enable_precise_upscale=True
        )
    return detectors[max_features]


def _similarity_frames(
    x: NDArray[Any], y: NDArray[Any], scales: NDArray[Any], angle: NDArray[Any]
) -> NDArray[np.float32]:
    """Return frames turned by `angle`, in degrees clockwise as seen (y points down)."""
    turn = np.deg2rad(angle)
    cosine, sine = scales * np.cos(turn), scales * np.sin(turn)
    rows = np.stack([cosine, -sine, x, sine, cosine, y], axis=1)
    return rows.reshape(-1, 2, 3).astype(np.float32, copy=False)


def _root(described: NDArray[Any]) -> NDArray[np.uint8]:
    total = described.sum(axis=1, keepdims=True)
    rooted = 512 * np.sqrt(described / np.maximum(total, 1))  # bytes: a sum below 1 is 0
    descriptors: NDArray[np.uint8] = np.minimum(np.rint(rooted), 255).astype(np.uint8)
    return descriptors
