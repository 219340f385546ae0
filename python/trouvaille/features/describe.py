# SPDX-License-Identifier: Apache-2.0
"""Descriptors: what local features look like."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._opencv import opencv_sift
from ._types import Features

FINGERPRINT = "opencv-sift/rootsift/uint8/128"
"""Names the descriptor that `sift` makes by default; a vocabulary only fits its own."""

DIMENSIONS = 128


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
