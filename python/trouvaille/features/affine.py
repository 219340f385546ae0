# SPDX-License-Identifier: Apache-2.0
"""Detectors of scale-selected and affine-covariant regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from ._selection import MAX_ORIENTATIONS, chosen, positive
from ._types import Features, Regions, as_regions, scales_of
from .registry import Orientation
from .scale_space import ScaleSpace, scale_space

OUTCOMES = ("converged", "unconverged", "elongated", "unstructured", "outside")
"""What may become of a region whose affine shape is sought; all but the first drop it."""

Found = tuple[NDArray[np.float32], NDArray[np.float32]]  # frames and responses


class AffineShapes(NamedTuple):
    """Regions with their affine shapes, and what became of the others.

    Attributes
    ----------
    regions : Regions
        Those that have an affine shape.
    kept : ndarray of int64, shape (n,)
        The row of each in the regions given.
    dropped : dict of str to int
        How many were dropped, by reason: ``unconverged``, ``elongated`` (an edge), ``unstructured``
        (a gradient of one direction, or none) and ``outside`` (the centre is not in the image, or
        the scale is greater than it or zero).
    """

    regions: Regions
    kept: NDArray[np.int64]
    dropped: dict[str, int]


def hessian(
    image: ArrayLike | ScaleSpace,
    *,
    max_features: int = 2000,
    threshold: float = 25.0,
    first_octave: int = 0,
    orientation: Orientation = "dominant",
    max_orientations: int = MAX_ORIENTATIONS,
    mask: ArrayLike | None = None,
    spread: bool = False,
    threads: int | None = None,
) -> Regions:
    """Find blobs: maxima of the Hessian's determinant, at their own scale (Hessian-Laplace [1]_).

    Parameters
    ----------
    image : array_like or ScaleSpace
        As `ScaleSpace` takes it.
    max_features : int
        At most this many, those of the greatest response.
    threshold : float
        Of the response: ``sigma^4 (Lxx Lyy - Lxy^2)``, in squared gray levels.
    first_octave : {0, -1}
        Where scales begin: 0 at sigma = 2 pixels, -1 at 1: more and smaller regions, which a
        sharp photo from another viewpoint shows again, and a blurred one does not. A ScaleSpace
        that begins at 0 has none of those.
    orientation : {"dominant", "upright"}
        Turn each region to its dominant gradients, a region for each of them; or let up be up.
    max_orientations : int
        Regions of one place and scale, at most.
    mask : array_like of shape (h, w), optional
        Regions are kept where it is not 0 at the pixel nearest to the centre.
    spread : bool
        As in `dog`.
    threads : int, optional
        Worker threads; one for each core by default. The result does not depend on it.

    Returns
    -------
    Regions
        In order of response; regions of equal response by position.

    Raises
    ------
    TypeError, ValueError
        As `ScaleSpace`; and if an argument is none of those that it can be.

    References
    ----------
    .. [1] K. Mikolajczyk, C. Schmid, "Scale and affine invariant interest point detectors",
       IJCV 2004.
    """
    return _detect(
        _core.detect_hessian, False, image, max_features, threshold, first_octave, orientation,
        max_orientations, mask, spread, threads,
    )  # fmt: skip


def harris(
    image: ArrayLike | ScaleSpace,
    *,
    max_features: int = 2000,
    threshold: float = 10.0,
    first_octave: int = -1,
    orientation: Orientation = "dominant",
    max_orientations: int = MAX_ORIENTATIONS,
    mask: ArrayLike | None = None,
    spread: bool = False,
    threads: int | None = None,
) -> Regions:
    """Find corners: maxima of the Harris measure, at their own scale (Harris-Laplace [1]_).

    Parameters
    ----------
    image, max_features, orientation, max_orientations, mask, spread, threads
        As in `hessian`.
    threshold : float
        Of the response ``det M - 0.04 trace(M)^2``, M being the second moments of the gradients
        times sigma; in gray levels to the fourth power.
    first_octave : {-1, 0}
        Where scales begin: -1 at sigma = 1 pixel, 0 at 2, where there are few corners. A
        ScaleSpace that begins at 0 has no others.

    Returns
    -------
    Regions
        In order of response; regions of equal response by position.

    Raises
    ------
    TypeError, ValueError
        As `hessian`.

    References
    ----------
    .. [1] K. Mikolajczyk, C. Schmid, "Scale and affine invariant interest point detectors",
       IJCV 2004.
    """
    return _detect(
        _core.detect_harris, False, image, max_features, threshold, first_octave, orientation,
        max_orientations, mask, spread, threads,
    )  # fmt: skip


def hessian_affine(
    image: ArrayLike | ScaleSpace,
    *,
    max_features: int = 2000,
    threshold: float = 25.0,
    first_octave: int = 0,
    orientation: Orientation = "dominant",
    max_orientations: int = MAX_ORIENTATIONS,
    mask: ArrayLike | None = None,
    spread: bool = False,
    threads: int | None = None,
) -> Regions:
    """Find the blobs of `hessian`, and their affine shapes; those that have none are dropped.

    The blobs are those that `hessian` finds in a scale space from octave -1, wherever
    `first_octave` lets their scales begin: shapes are measured in it. Parameters, Returns and
    Raises as `hessian`. `affine_shapes` says how many are dropped, and why:
    ``affine_shapes(space, hessian(space, max_features=10**6, orientation="upright")).dropped``.

    Examples
    --------
    A dark ellipse, twice as wide as it is high, and a little less in the blurred image in which
    it is measured:

    >>> y, x = np.mgrid[:100, :100]
    >>> image = 200 - 150 * np.exp(-(((x - 50) / 10) ** 2 + ((y - 50) / 5) ** 2) / 2)
    >>> frame = hessian_affine(image.astype(np.float32), orientation="upright").frames[0]
    >>> bool(1.7 < frame[0, 0] / frame[1, 1] < 1.8)
    True
    """
    return _detect(
        _core.detect_hessian, True, image, max_features, threshold, first_octave, orientation,
        max_orientations, mask, spread, threads,
    )  # fmt: skip


def harris_affine(
    image: ArrayLike | ScaleSpace,
    *,
    max_features: int = 2000,
    threshold: float = 10.0,
    first_octave: int = -1,
    orientation: Orientation = "dominant",
    max_orientations: int = MAX_ORIENTATIONS,
    mask: ArrayLike | None = None,
    spread: bool = False,
    threads: int | None = None,
) -> Regions:
    """Find the corners of `harris`, and their affine shapes; those that have none are dropped.

    Parameters, Returns and Raises as `harris`. `affine_shapes` says how many are dropped, and why:
    ``affine_shapes(space, harris(space, max_features=10**6, orientation="upright")).dropped``.
    """
    return _detect(
        _core.detect_harris, True, image, max_features, threshold, first_octave, orientation,
        max_orientations, mask, spread, threads,
    )  # fmt: skip


def affine_shapes(
    image: ArrayLike | ScaleSpace,
    regions: Regions | Features | ArrayLike,
    *,
    max_iterations: int = 16,
    convergence: float = 0.1,
    max_anisotropy: float = 6.0,
    threads: int | None = None,
) -> AffineShapes:
    """Find the affine shape of regions by the second moments of their gradients.

    Baumberg's iteration [1]_: the shape is sought through which the region has no preferred
    direction. Center and scale stay as they are; the shape given does not matter.

    Parameters
    ----------
    image : array_like or ScaleSpace
        As `ScaleSpace` takes it.
    regions : Regions, Features, or array_like of shape (n, 2, 3)
        Where; frames alone have a response of 1.
    max_iterations : int
        A region whose shape still changes after so many is dropped.
    convergence : float
        The shape has converged when an iteration changes the ratio of its axes by less.
    max_anisotropy : float
        A region of a greater ratio of axes is dropped.
    threads : int, optional
        Worker threads; one for each core by default. The result does not depend on it.

    Returns
    -------
    AffineShapes
        In the order of the regions. Frames are upright: the y axis is the image's [2]_.

    Raises
    ------
    TypeError, ValueError
        As `ScaleSpace`; and if an argument is none of those that it can be.

    References
    ----------
    .. [1] A. Baumberg, "Reliable feature matching across widely separated views", CVPR 2000.
    .. [2] M. Perdoch, O. Chum, J. Matas, "Efficient representation of local geometry for large
       scale object retrieval", CVPR 2009.
    """
    space = scale_space(image, threads)
    frames, responses, _ = as_regions(regions)
    adapted, outcomes = _core.affine_shapes(
        space._space,
        frames,
        _check.count(max_iterations, "max_iterations", maximum=1000),
        positive([convergence], "convergence", minimum=0.0)[0],
        positive([max_anisotropy], "max_anisotropy", minimum=1.0)[0],
        _check.threads(threads),
    )
    kept = np.flatnonzero(outcomes == 0)
    counts = np.bincount(outcomes, minlength=len(OUTCOMES))
    dropped = {OUTCOMES[i]: int(counts[i]) for i in range(1, len(OUTCOMES))}
    frames = adapted[kept]
    return AffineShapes(Regions(frames, responses[kept], scales_of(frames)), kept, dropped)


def _detect(
    kernel: Callable[..., Found],
    affine: bool,
    image: ArrayLike | ScaleSpace,
    max_features: int,
    threshold: float,
    first_octave: int,
    orientation: Orientation,
    max_orientations: int,
    mask: ArrayLike | None,
    spread: bool,
    threads: int | None,
) -> Regions:
    least = positive([threshold], "threshold", minimum=0.0)[0]
    if first_octave not in (-1, 0) or isinstance(first_octave, bool):
        raise ValueError(f"first_octave must be -1 or 0, got {first_octave!r}")
    # Affine shapes are measured at half a region's scale: they gain by the finest octave even where
    # no region is looked for in it.
    space = scale_space(image, threads, first_octave=-1 if affine else first_octave)
    skipped = max(int(first_octave) - space.first_octave, 0)
    frames, responses = kernel(space._space, skipped, least, _check.threads(threads))
    if affine:
        found = Regions(frames, responses, scales_of(frames))
        frames, responses, _ = affine_shapes(space, found, threads=threads).regions
    return chosen(
        space, frames, responses, max_features, orientation, max_orientations, mask, spread, threads
    )
