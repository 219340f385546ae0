# SPDX-License-Identifier: Apache-2.0
"""Detectors: where local features are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from . import _delf, _opencv
from ._selection import MAX_ORIENTATIONS, chosen, mask_of, positive
from ._types import Regions
from .affine import harris, harris_affine, hessian, hessian_affine
from .registry import Detector, Orientation
from .scale_space import ScaleSpace, scale_space

# A descriptor looks at so many scales around the centre of a feature: four cells of three.
SUPPORT = 6.0


def dog(
    image: ArrayLike | ScaleSpace,
    *,
    max_features: int = 2000,
    contrast_threshold: float = 0.04,
    edge_threshold: float = 10.0,
    orientation: Orientation = "dominant",
    max_orientations: int = MAX_ORIENTATIONS,
    mask: ArrayLike | None = None,
    spread: bool = False,
    threads: int | None = None,
) -> Regions:
    """Find blobs: extrema of the difference of Gaussians over space and scale, as SIFT does.

    Parameters
    ----------
    image : array_like or ScaleSpace
        As `ScaleSpace` takes it.
    max_features : int
        At most this many, those of the greatest response.
    contrast_threshold, edge_threshold : float
        As in OpenCV's SIFT: three times the least difference of two scales, as a share of white;
        and the greatest ratio of the principal curvatures.
    orientation : {"dominant", "upright"}
        Turn each region to its dominant gradients, a region for each of them; or let up be up.
    max_orientations : int
        Regions of one place and scale, at most.
    mask : array_like of shape (h, w), optional
        Regions are kept where it is not 0 at the pixel nearest to the centre.
    spread : bool
        Keep the strongest of each neighbourhood [2]_, rather than the strongest wherever they are:
        fewer in the richest texture, more elsewhere.
    threads : int, optional
        Worker threads; one for each core by default. The result does not depend on it.

    Returns
    -------
    Regions
        In order of response, the greatest absolute difference in gray levels; regions of equal
        response by position. A region's scale is the sigma of the finer Gaussian.

    Raises
    ------
    TypeError, ValueError
        As `ScaleSpace`; and if an argument is none of those that it can be.

    References
    ----------
    .. [1] D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.
    .. [2] M. Brown, R. Szeliski, S. Winder, "Multi-image matching using multi-scale oriented
       patches", CVPR 2005.
    """
    space = scale_space(image, threads)
    contrast = positive([contrast_threshold], "contrast_threshold", minimum=0.0)[0]
    ratio = positive([edge_threshold], "edge_threshold", minimum=1.0)[0]
    ratio = min(ratio, float(np.finfo(np.float32).max))  # an infinite one would refuse all
    frames, responses = _core.detect_dog(
        space._space, contrast / 3 * 255, ratio, _check.threads(threads)
    )
    return chosen(
        space, frames, responses, max_features, orientation, max_orientations, mask, spread, threads
    )


def dense(
    image: ArrayLike | tuple[int, int],
    *,
    step: float = 8.0,
    scales: Sequence[float] = (2.0, 2.8, 4.0, 5.7),
    mask: ArrayLike | None = None,
    max_features: int | None = None,
) -> Regions:
    """Lay a grid of upright frames over an image, one for each scale.

    What the frames look like is not asked: a flat region has as many as a detailed one. Each grid
    lies in the middle of the image, and a descriptor of each frame lies within it.

    Parameters
    ----------
    image : array_like of shape (h, w) or (h, w, channels), or tuple (h, w)
        The image, of which only the shape matters, or its height and width.
    step : float
        Pixels between neighbours.
    scales : sequence of float
        Scales of the frames, in pixels.
    mask : array_like of shape (h, w), optional
        Frames are kept where it is not 0 at the pixel nearest to the centre.
    max_features : int, optional
        At most this many: the step grows until the grids, before the mask, have no more. None if
        there is none, at any step.

    Returns
    -------
    Regions
        By scale, ascending, and row by row; each response is 1.

    Raises
    ------
    TypeError, ValueError
        If the image has no height and width, `step` is below 1, there are no scales or one of them
        is not positive, or the mask has another shape.

    References
    ----------
    .. [1] A. Bosch, A. Zisserman, X. Muñoz, "Image classification using random forests and ferns",
       ICCV 2007.

    Examples
    --------
    >>> dense((64, 64), step=32, scales=[2.0]).frames[:, :, 2].tolist()
    [[15.5, 15.5], [47.5, 15.5], [15.5, 47.5], [47.5, 47.5]]
    """
    height, width = _size(image)
    step = positive([step], "step", minimum=1.0)[0]
    sizes = sorted(positive(scales, "scales", minimum=0.0))
    if sizes[-1] > _check.MAX_FRAME:
        raise ValueError(f"scales must be at most {_check.MAX_FRAME:g}, got {sizes[-1]:g}")
    shape = (height, width)
    kept = None if mask is None else mask_of(mask, shape)
    if max_features is not None:
        limit = _check.count(max_features, "max_features")
        sizes = sizes[:limit]
        while sum(math.prod(_counts(shape, step, scale)) for scale in sizes) > limit:
            step *= 1.01
    frames = np.concatenate([_grid(shape, step, scale) for scale in sizes])
    if kept is not None:
        x, y = np.rint(frames[:, :, 2]).astype(np.intp).T
        frames = frames[kept[y, x]]
    return Regions(frames, np.ones(len(frames), np.float32), frames[:, 0, 0].copy())


def _size(image: ArrayLike | tuple[int, int]) -> tuple[int, int]:
    """Return height and width of an image, or those given as a pair of whole numbers."""
    if isinstance(image, tuple) and len(image) == 2 and all(np.ndim(side) == 0 for side in image):
        height, width = image
    else:
        shape = np.shape(image)
        if len(shape) not in (2, 3):
            raise ValueError(f"image must have shape (h, w) or (h, w, channels), got {shape}")
        height, width = shape[:2]
    return _check.count(height, "image's height"), _check.count(width, "image's width")


def _counts(shape: tuple[int, int], step: float, scale: float) -> tuple[int, int]:
    """Return the rows and columns of the grid of one scale."""
    rows, cols = (int((side - 1 - 2 * SUPPORT * scale) // step) + 1 for side in shape)
    return (rows, cols) if rows > 0 and cols > 0 else (0, 0)


def _grid(shape: tuple[int, int], step: float, scale: float) -> NDArray[np.float32]:
    axes = [
        (side - 1 - step * (count - 1)) / 2 + step * np.arange(count)
        for side, count in zip(shape, _counts(shape, step, scale), strict=True)
    ]
    y, x = np.meshgrid(*axes, indexing="ij")
    frames = np.zeros((x.size, 2, 3), np.float32)
    frames[:, 0, 0] = frames[:, 1, 1] = scale
    frames[:, 0, 2], frames[:, 1, 2] = x.ravel(), y.ravel()
    return frames


_OPTIONS = ("max_orientations", "mask", "spread")


def _of_scale_space(
    name: str, find: Callable[..., Regions], *options: str, affine: bool = False
) -> Detector:
    return Detector(
        name, find, options=(*_OPTIONS, *options), threads=True, scale_space=True, affine=affine
    )


DETECTORS: dict[str, Detector] = {
    row.name: row
    for row in (
        _of_scale_space("dog", dog, "contrast_threshold", "edge_threshold"),
        _of_scale_space("harris", harris, "threshold", "first_octave"),
        _of_scale_space("harris_affine", harris_affine, "threshold", "first_octave", affine=True),
        _of_scale_space("hessian", hessian, "threshold", "first_octave"),
        _of_scale_space("hessian_affine", hessian_affine, "threshold", "first_octave", affine=True),
        Detector("opencv_sift", _opencv.opencv_sift, descriptor="opencv_sift", describes=True),
        Detector(
            "orb", _opencv.find_orb, descriptor="orb", describes=True, orientations=("dominant",)
        ),
        Detector("dense", dense, options=("step", "scales")),
        Detector(
            "delf",
            _delf.find_delf,
            descriptor="delf",
            describes=True,
            orientations=("upright",),
            mode="rgb",
            overlapping=True,
            needs=_delf.NEEDS,
        ),
    )
}
