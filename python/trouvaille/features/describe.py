# SPDX-License-Identifier: Apache-2.0
"""Descriptors: what local features look like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from ._opencv import SIFT_DIMENSIONS, describe_opencv_sift, opencv_sift
from ._types import Features, Regions, scales_of
from .registry import DESCRIPTOR_ALIASES, Descriptor, Orientation, row_of

FINGERPRINT = "opencv-sift/rootsift/uint8/128"
"""Names the descriptor that `sift` makes by default; a vocabulary only fits its own."""

DIMENSIONS = SIFT_DIMENSIONS


def sift(image: ArrayLike, *, max_features: int = 2000, root: bool = True) -> Features:
    """Detect SIFT features and describe them in bytes.

    Parameters
    ----------
    image : array_like of uint8, shape (h, w) or (h, w, 3) or (h, w, 4)
        Gray, or RGB(A), which is made gray.
    max_features : int
        At most this many, those of the greatest response.
    root : bool
        RootSIFT [2]_, ``round(512 * sqrt(x / sum(x)))`` clipped at 255, so that the Euclidean
        distance compares histograms by the Hellinger kernel; plain SIFT if false.

    Returns
    -------
    Features
        In order of response; features of equal response by position. None at all for an image
        without structure.

    Raises
    ------
    TypeError
        If the image is not bytes.
    ValueError
        If it has another shape, is empty, or `max_features` is not positive.

    References
    ----------
    .. [1] D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.
    .. [2] R. Arandjelović, A. Zisserman, "Three things everyone should know to improve object
       retrieval", CVPR 2012.
    """
    # Until the library has a kernel of its own, this is OpenCV's.
    return opencv_sift(image, max_features=max_features, root=root)


def describe(
    image: ArrayLike,
    regions: Regions | Features | ArrayLike,
    descriptor: str = "sift",
    *,
    orientation: Orientation = "given",
    root: bool = True,
    **options: Any,
) -> Features:
    """Describe regions that were found by any means.

    Parameters
    ----------
    image : array_like of uint8, shape (h, w) or (h, w, 3) or (h, w, 4)
        Gray, or RGB(A), which is made gray.
    regions : Regions, Features, or array_like of shape (n, 2, 3)
        Where; frames alone have a response of 1.
    descriptor : str
        One of `describe.DESCRIPTORS`.
    orientation : {"given", "dominant", "upright"}
        As the frames are turned; to their dominant gradients, which may make several features of
        one region; or up is up.
    root : bool
        RootSIFT, where the descriptor is SIFT.
    **options
        Those of the descriptor.

    Returns
    -------
    Features
        In the order of the regions.

    Raises
    ------
    TypeError, ValueError
        If the descriptor is unknown, cannot describe regions that another detector found, has no
        such orientation or option, or an array is none of frames.
    """
    row = row_of(descriptor, DESCRIPTORS, DESCRIPTOR_ALIASES, "descriptor")
    check_orientation(row, orientation)
    if row.describe is None:
        raise ValueError(
            f"descriptor {row.name!r} describes what its own detector finds; "
            f"extract(photo, {row.name!r}) does both"
        )
    if unknown := sorted(options.keys() - {*row.options, *(("threads",) if row.threads else ())}):
        known = ", ".join(row.options) or "none"
        raise TypeError(f"descriptor {row.name!r} has no option {unknown[0]!r}; it has {known}")
    return row.describe(image, _as_regions(regions), orientation=orientation, root=root, **options)


def _as_regions(given: Regions | Features | ArrayLike) -> Regions:
    if isinstance(given, Regions):
        return given
    if isinstance(given, Features):
        return Regions(given.frames, given.responses, given.scales)
    frames = _check.frames(given, "regions")
    return Regions(frames, np.ones(len(frames), np.float32), scales_of(frames))


def check_orientation(row: Descriptor, orientation: object) -> None:
    """Refuse an orientation that a descriptor does not have."""
    if orientation not in row.orientations:
        has = " or ".join(map(repr, row.orientations))
        raise ValueError(
            f"orientation must be {has} for the descriptor {row.name!r}, got {orientation!r}"
        )


DESCRIPTORS: dict[str, Descriptor] = {
    row.name: row
    for row in (
        Descriptor("opencv_sift", describe_opencv_sift, "opencv-sift", 128, ("given", "upright")),
        Descriptor("orb", None, "opencv-orb", 32, ("dominant",), ("bits",), bits=True),
    )
}
