# SPDX-License-Identifier: Apache-2.0
"""Descriptors: what local features look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from . import _delf
from ._opencv import describe_opencv_sift
from ._selection import MAX_ORIENTATIONS
from ._types import Features, Regions, as_regions, scales_of, turned_up
from .detect import dog
from .registry import DESCRIPTOR_ALIASES, Descriptor, Orientation, row_of
from .scale_space import ScaleSpace, scale_space

FINGERPRINT = "trouvaille-sift/rootsift/uint8/128"
"""Names the descriptor that `sift` makes by default; a vocabulary only fits its own."""

DIMENSIONS = 128


def sift(
    image: ArrayLike | ScaleSpace,
    *,
    max_features: int = 2000,
    root: bool = True,
    threads: int | None = None,
    **options: Any,
) -> Features:
    """Detect SIFT features and describe them in bytes.

    Parameters
    ----------
    image : array_like or ScaleSpace
        As `ScaleSpace` takes it.
    max_features : int
        At most this many, those of the greatest response.
    root : bool
        RootSIFT [2]_, ``round(512 * sqrt(x / sum(x)))`` clipped at 255, so that the Euclidean
        distance compares histograms by the Hellinger kernel; plain SIFT if false.
    threads : int, optional
        Worker threads; one for each core by default. The result does not depend on it.
    **options
        Further options of `dog`.

    Returns
    -------
    Features
        In order of response; features of equal response by position. None at all for an image
        without structure.

    Raises
    ------
    TypeError, ValueError
        As `dog`.

    References
    ----------
    .. [1] D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.
    .. [2] R. Arandjelović, A. Zisserman, "Three things everyone should know to improve object
       retrieval", CVPR 2012.
    """
    space = scale_space(image, threads)
    regions = dog(space, max_features=max_features, threads=threads, **options)
    return describe_sift(space, regions, root=root, threads=threads)


def describe_sift(
    image: ArrayLike | ScaleSpace,
    regions: Regions | Features | ArrayLike,
    *,
    orientation: Orientation = "given",
    root: bool = True,
    magnification: float = 3.0,
    threads: int | None = None,
) -> Features:
    """Describe regions of any affine shape by SIFT, in OpenCV's order of bins.

    The image is sampled in each region's own plane, from the scale of the region, at 32 x 32 places
    over 5 x 5 cells; their gradients are shared between 4 x 4 cells of 8 directions.

    Parameters
    ----------
    image : array_like or ScaleSpace
        As `ScaleSpace` takes it.
    regions : Regions, Features, or array_like of shape (n, 2, 3)
        Where; frames alone have a response of 1.
    orientation : {"given", "dominant", "upright"}
        As in `describe`.
    root : bool
        As in `sift`.
    magnification : float
        Side of a cell, in units of the region's scale.
    threads : int, optional
        Worker threads; one for each core by default.

    Returns
    -------
    Features
        In the order of the regions. What is flat has a descriptor of zeros.

    Raises
    ------
    TypeError, ValueError
        As `ScaleSpace`; and if an argument is none of those that it can be.
    """
    return _described(
        _core.describe_sift, image, regions, orientation, root, magnification, threads
    )


def cs_lbp(
    image: ArrayLike | ScaleSpace,
    regions: Regions | Features | ArrayLike,
    *,
    orientation: Orientation = "given",
    root: bool = True,
    magnification: float = 3.0,
    threads: int | None = None,
) -> Features:
    """Describe regions of any affine shape by centre-symmetric local binary patterns [1]_.

    The image is sampled in each region's own plane, from half the region's scale, at 48 x 48
    places. Eight neighbours lie around each of the inner 44 x 44, on a circle of two samples; a
    pattern says of each of the four pairs of opposite ones whether the first is brighter, by more
    than a hundredth of the gray levels' range. The 16 patterns are counted in 4 x 4 cells. What
    only changes brightness and contrast changes no pattern, and other monotonic changes few.

    Parameters
    ----------
    image : array_like or ScaleSpace
        As `ScaleSpace` takes it.
    regions : Regions, Features, or array_like of shape (n, 2, 3)
        Where; frames alone have a response of 1.
    orientation : {"given", "dominant", "upright"}
        As in `describe`.
    root : bool
        ``round(512 * sqrt(x / sum(x)))`` of the counts, as `sift` does it; else they are scaled to
        a length of 512 as in [1]_, the largest cut off. The roots match more precisely.
    magnification : float
        Side of a cell, in units of the region's scale.
    threads : int, optional
        Worker threads; one for each core by default. The result does not depend on it.

    Returns
    -------
    Features
        In the order of the regions, with 256 bytes each. What is flat has a descriptor of zeros.

    Raises
    ------
    TypeError, ValueError
        As `ScaleSpace`; and if the regions are no frames, or an option is none that it can be.

    References
    ----------
    .. [1] M. Heikkilä, M. Pietikäinen, C. Schmid, "Description of interest regions with local
       binary patterns", Pattern Recognition 2009.
    """
    return _described(
        _core.describe_cs_lbp, image, regions, orientation, root, magnification, threads
    )


def _described(
    kernel: Callable[..., NDArray[np.uint8]],
    image: ArrayLike | ScaleSpace,
    given: Regions | Features | ArrayLike,
    orientation: Orientation,
    root: bool,
    magnification: float,
    threads: int | None,
) -> Features:
    """Turn regions and describe them by a kernel that looks at patches."""
    root = _check.boolean(root, "root")
    regions = as_regions(given)
    space = scale_space(image, threads)
    size = _check.array([magnification], "magnification", np.float64, ndim=1)[0]
    if not 0 < size <= 1000:
        raise ValueError(f"magnification must be positive, up to 1,000, got {magnification!r}")
    turned = _turned(space, regions, orientation, threads)
    workers = _check.threads(threads)
    descriptors = kernel(space._space, turned.frames, float(size), root, workers)
    return Features(turned.frames, descriptors, *turned[1:])


def _turned(
    space: ScaleSpace, regions: Regions, orientation: Orientation, threads: int | None
) -> Regions:
    if orientation == "given":
        return regions
    if orientation == "upright":
        return turned_up(regions)
    if orientation != "dominant":
        raise ValueError(
            f'orientation must be "given", "dominant" or "upright", got {orientation!r}'
        )
    frames, sources = _core.orient(
        space._space, turned_up(regions).frames, MAX_ORIENTATIONS, _check.threads(threads)
    )
    return Regions(frames, regions.responses[sources], scales_of(frames))


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
    root = _check.boolean(root, "root")
    return row.describe(image, as_regions(regions), orientation=orientation, root=root, **options)


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
        Descriptor(
            "sift",
            describe_sift,
            "trouvaille-sift",
            128,
            ("given", "dominant", "upright"),
            options=("magnification",),
            threads=True,
            scale_space=True,
            detector="dog",
        ),
        Descriptor(
            "cs_lbp",
            cs_lbp,
            "trouvaille-cs-lbp",
            256,
            ("given", "dominant", "upright"),
            ("root", "plain"),
            max_distance=235.0,
            options=("magnification",),
            threads=True,
            scale_space=True,
        ),
        Descriptor(
            "opencv_sift",
            describe_opencv_sift,
            "opencv-sift",
            128,
            ("given", "upright"),
            affine=False,
        ),
        Descriptor("orb", None, "opencv-orb", 32, ("dominant",), ("bits",), bits=True),
        Descriptor(
            "delf",
            None,
            f"delf-{_delf.BACKBONE}-{_delf.LAYER}",
            _delf.DIMENSIONS,
            ("upright",),
            ("l2",),
        ),
    )
}
