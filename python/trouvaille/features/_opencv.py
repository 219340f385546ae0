# SPDX-License-Identifier: Apache-2.0
"""OpenCV's features: its SIFT, any other of its detectors, and its keypoints as frames."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, images
from ._types import Features, Regions, as_regions, scales_of, turned_up
from .registry import Orientation, parse_fingerprint

SIFT_DIMENSIONS = 128

# Of SIFT's pyramid: the blur of its base, and layers an octave.
_SIGMA, _LAYERS = 1.6, 3

_local = threading.local()


def opencv_sift(
    image: ArrayLike,
    *,
    max_features: int = 2000,
    root: bool = True,
    orientation: Orientation = "dominant",
) -> Features:
    """Detect and describe SIFT features by OpenCV.

    Parameters
    ----------
    image : array_like of uint8, shape (h, w) or (h, w, 3) or (h, w, 4)
        Gray, or RGB(A), which is made gray.
    max_features : int
        At most this many, those of the greatest response.
    root : bool
        RootSIFT in bytes, as in `sift`; plain SIFT if false.
    orientation : {"dominant", "upright"}
        Turned to its dominant gradients, a feature for each of them; or up is up.

    Returns
    -------
    Features
        In order of response; features of equal response by position.
    """
    gray = images.as_gray(image)
    max_features = _check.count(max_features, "max_features")
    detector = _sift(max_features)
    if orientation == "dominant":
        keypoints, described = detector.detectAndCompute(gray, None)
    elif orientation == "upright":
        keypoints, described = _upright(detector.detect(gray, None)), None
        if keypoints:  # without one OpenCV fails on a photo too small for an octave
            keypoints, described = detector.compute(gray, keypoints)
    else:
        raise ValueError(f'orientation must be "dominant" or "upright", got {orientation!r}')
    if described is None:
        keypoints, described = (), np.empty((0, SIFT_DIMENSIONS), np.float32)

    # OpenCV may keep more than was asked for (all of the last one's response).
    regions, order = _ordered(keypoints, max_features)
    return Features(regions.frames, sift_bytes(described[order], root), *regions[1:])


def describe_opencv_sift(
    image: ArrayLike,
    regions: Regions,
    *,
    orientation: Orientation = "given",
    root: bool = True,
) -> Features:
    """Describe regions by OpenCV's SIFT, which knows no affine shapes.

    Parameters
    ----------
    image : array_like of uint8
        As for `opencv_sift`.
    regions : Regions
        Their frames must be similarities (circles, turned), centred within the image.
    orientation : {"given", "upright"}
        As the frames are turned, or up is up.
    root : bool
        As for `opencv_sift`.

    Returns
    -------
    Features
        As many, in the same order.
    """
    gray = images.as_gray(image)
    regions = regions if orientation == "given" else turned_up(regions)
    _check_circles(regions.frames, gray.shape)
    keypoints = to_keypoints(regions)
    top = max(min(gray.shape).bit_length() - 3, 0)
    for keypoint, octave in zip(keypoints, _packed_octaves(regions.scales, top), strict=True):
        keypoint.octave = int(octave)
    described = np.empty((0, SIFT_DIMENSIONS), np.float32)
    if keypoints:
        described = _sift(1).compute(gray, keypoints)[1]
    return Features(regions.frames, sift_bytes(described, root), *regions[1:])


def _sift(max_features: int) -> Any:
    """Return this thread's detector: making one allocates, and one must not be shared."""
    detectors = _local.__dict__.setdefault("sift", {})
    if max_features not in detectors:
        import cv2

        # Without "precise upscale" every position is off by a quarter of a pixel.
        detectors[max_features] = cv2.SIFT_create(  # type: ignore[attr-defined]
            nfeatures=max_features, enable_precise_upscale=True
        )
    return detectors[max_features]


def _upright(keypoints: Sequence[Any]) -> list[Any]:
    """Return the keypoints turned up, one for each place and size."""
    kept: dict[tuple[float, ...], Any] = {}
    for keypoint in keypoints:
        keypoint.angle = 0.0
        kept.setdefault((*keypoint.pt, keypoint.size), keypoint)
    return list(kept.values())


def _check_circles(frames: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    axes, centres = frames[:, :, :2].astype(np.float64), frames[:, :, 2]
    square = scales_of(frames).astype(np.float64) ** 2
    products = axes.transpose(0, 2, 1) @ axes - square[:, None, None] * np.eye(2)
    round_ = (np.abs(products).max(axis=(1, 2)) <= 1e-3 * square) & (np.linalg.det(axes) > 0)
    inside = ((centres >= -0.5) & (centres <= np.array(shape[::-1]) - 0.5)).all(axis=1)
    if not round_.all():
        raise ValueError(
            "regions: OpenCV's SIFT describes circles only, and the frame of feature "
            f"{int(np.argmin(round_))} is none: {frames[np.argmin(round_), :, :2].tolist()}"
        )
    if not inside.all():
        raise ValueError(
            f"regions: feature {int(np.argmin(inside))} is not within the image: "
            f"{centres[np.argmin(inside)].tolist()}"
        )


def _packed_octaves(scales: NDArray[np.float32], top: int) -> NDArray[np.int64]:
    """Return for each scale the octave and the layer of the pyramid, as OpenCV packs them."""
    layers = np.rint(_LAYERS * np.log2(np.maximum(scales, 1e-3) / _SIGMA)).astype(np.int64)
    octaves = np.clip((layers - 1) // _LAYERS, -1, top)
    packed: NDArray[np.int64] = octaves & 255
    packed |= np.clip(layers - _LAYERS * octaves, 1, _LAYERS) << 8
    return packed


def _ordered(keypoints: Sequence[Any], most: int) -> tuple[Regions, NDArray[np.intp]]:
    """Return the strongest keypoints as regions, and which they are; ties by position."""
    table = np.array([(*k.pt, k.size, k.angle, k.response) for k in keypoints], np.float32)
    x, y, size, angle, response = table.reshape(-1, 5).T
    order = np.lexsort((angle, size, y, x, -response))[:most]
    return from_keypoints(keypoints).select(order), order


def from_keypoints(keypoints: Sequence[Any]) -> Regions:
    """Return OpenCV's keypoints as regions, in their order.

    Parameters
    ----------
    keypoints : sequence of cv2.KeyPoint
        The scale of a region is half of its keypoint's `size`, a diameter. A keypoint without an
        angle (-1) is upright.

    Returns
    -------
    Regions
    """
    table = np.array([(*k.pt, k.size, k.angle, k.response) for k in keypoints], np.float32)
    x, y, size, angle, response = table.reshape(-1, 5).T
    scales = (size / 2).astype(np.float32)
    frames = _similarity_frames(x, y, scales, np.where(angle < 0, np.float32(0), angle))
    return Regions(frames, response.astype(np.float32), scales)


def to_keypoints(regions: Regions | Features | ArrayLike) -> list[Any]:
    """Return regions as OpenCV's keypoints, in their order.

    Parameters
    ----------
    regions : Regions, Features, or array_like of shape (n, 2, 3)
        A keypoint has no affine shape: of a frame it keeps the centre, the scale, and the direction
        of the first axis as its angle.

    Returns
    -------
    list of cv2.KeyPoint
    """
    import cv2

    frames, responses, scales = as_regions(regions)
    angles = np.rad2deg(np.arctan2(frames[:, 1, 0], frames[:, 0, 0])) % 360
    table = np.column_stack([frames[:, :, 2], 2 * scales, angles, responses])
    return [cv2.KeyPoint(*map(float, row)) for row in table]


def _similarity_frames(
    x: NDArray[Any], y: NDArray[Any], scales: NDArray[Any], angle: NDArray[Any]
) -> NDArray[np.float32]:
    """Return frames turned by `angle`, in degrees clockwise as seen (y points down)."""
    turn = np.deg2rad(angle)
    cosine, sine = scales * np.cos(turn), scales * np.sin(turn)
    rows = np.stack([cosine, -sine, x, sine, cosine, y], axis=1)
    return rows.reshape(-1, 2, 3).astype(np.float32, copy=False)


def sift_bytes(histograms: NDArray[Any], root: bool) -> NDArray[np.uint8]:
    """Return SIFT of OpenCV, whole numbers in float32, as bytes: RootSIFT, or as it is."""
    if not _check.boolean(root, "root"):
        return histograms.astype(np.uint8)
    total = histograms.sum(axis=1, keepdims=True)
    rooted = 512 * np.sqrt(histograms / np.maximum(total, 1))  # bytes: a sum below 1 is 0
    descriptors: NDArray[np.uint8] = np.minimum(np.rint(rooted), 255).astype(np.uint8)
    return descriptors


class OpenCVFeatures:
    """A detector of OpenCV's as the library calls one; made by `opencv`.

    Attributes
    ----------
    fingerprint : str
        Names its descriptor.
    mode : str
        It works on gray pixels.
    """

    mode: Literal["gray", "rgb"] = "gray"

    def __init__(self, make: Callable[[], Any], shared: Any, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self._make = make
        self._shared = shared
        self._lock = threading.Lock()
        self._own = threading.local()

    def __call__(self, image: ArrayLike) -> Features:
        """Return the features of an image, the strongest first; see `opencv`."""
        found, described = self._run(images.as_gray(image))
        kind = parse_fingerprint(self.fingerprint)
        if described is None:
            found, described = (), np.empty((0, kind.dimensions), kind.dtype)
        regions, order = _ordered(found, len(found))
        described = _check.matrix(described, "descriptors", kind.dtype, kind.dimensions)
        return Features(regions.frames, described[order], *regions[1:])

    def _run(self, gray: NDArray[np.uint8]) -> tuple[Sequence[Any], Any]:
        """Return keypoints and descriptors; an ImageError where OpenCV cannot look at the image."""
        import cv2

        if min(gray.shape) == 1:  # nothing is to be found there; ORB's pyramid would end in none
            return (), None
        try:
            if self._shared is not None:
                with self._lock:
                    return self._shared.detectAndCompute(gray, None)  # type: ignore[no-any-return]
            if not hasattr(self._own, "detector"):
                self._own.detector = self._make()
            return self._own.detector.detectAndCompute(gray, None)  # type: ignore[no-any-return]
        except cv2.error as error:
            raise images.ImageError(
                f"OpenCV refuses an image of shape {gray.shape}: {str(error).strip()}",
                "unsupported",
            ) from error


def opencv(detector: Any, *, fingerprint: str | None = None) -> OpenCVFeatures:
    """Adapt a detector of OpenCV's, or whatever has its `detectAndCompute`.

    Parameters
    ----------
    detector : object or callable
        With ``detectAndCompute(gray, mask)``, as ``cv2.ORB_create(2000)``: it is used by one thread
        at a time. Or a function that makes one, as ``cv2.ORB_create``: then every thread has its
        own.
    fingerprint : str, optional
        Names the descriptor: ``flavour/normalisation/dtype/dimensions``; bytes are ``uint8``, other
        numbers ``float32``. By default what the object says of itself, as
        ``"opencv-orb/bits/uint8/32"``.

    Returns
    -------
    callable
        ``image -> Features``, the strongest first; `extract` takes it for a detector.
        Bits stay packed in bytes (ORB, BRISK, AKAZE), and SIFT's whole numbers become bytes.

    Raises
    ------
    TypeError
        If it is no detector, or does not say what its descriptor is and no fingerprint is given.
    ImageError
        When called, if OpenCV cannot look at the image, as one too small for so many levels.

    Examples
    --------
    >>> import cv2
    >>> opencv(cv2.ORB_create).fingerprint
    'opencv-orb/bits/uint8/32'
    """
    shared: Any = None
    make: Callable[[], Any] = detector
    if hasattr(detector, "detectAndCompute"):
        shared, make = detector, lambda: detector
    elif not callable(detector):
        raise TypeError(
            "detector must have detectAndCompute, or be a function that makes one that has it, "
            f"got {type(detector).__name__}"
        )
    example = make()
    if not hasattr(example, "detectAndCompute"):
        raise TypeError(f"detector makes {type(example).__name__}, which has no detectAndCompute")
    name = _fingerprint(example) if fingerprint is None else fingerprint
    parse_fingerprint(name)
    return OpenCVFeatures(make, shared, name)


def _fingerprint(detector: Any) -> str:
    try:
        name = str(detector.getDefaultName()).split(".")[-1].lower()
        size, kind, norm = (
            detector.descriptorSize(),
            detector.descriptorType(),
            detector.defaultNorm(),
        )
    except AttributeError:
        raise TypeError(
            f"detector: {type(detector).__name__} does not say what its descriptor is; "
            'name it: fingerprint="flavour/normalisation/dtype/dimensions"'
        ) from None
    import cv2

    bits = norm in (cv2.NORM_HAMMING, cv2.NORM_HAMMING2)
    whole = kind == cv2.CV_8U or name == "sift"
    return f"opencv-{name}/{'bits' if bits else name}/{'uint8' if whole else 'float32'}/{size}"


def orb(image: ArrayLike, *, max_features: int = 2000) -> Features:
    """Detect and describe ORB features by OpenCV: 256 bits each, packed in 32 bytes.

    Parameters
    ----------
    image : array_like of uint8
        As for `opencv_sift`.
    max_features : int
        At most this many, those of the greatest response.

    Returns
    -------
    Features
    """
    max_features = _check.count(max_features, "max_features")
    detectors = _local.__dict__.setdefault("orb", {})
    if max_features not in detectors:
        import cv2

        detectors[max_features] = opencv(cv2.ORB_create(max_features))  # type: ignore[attr-defined]
    found: Features = detectors[max_features](image)
    return found.select(np.arange(len(found.frames))[:max_features])


def find_orb(
    image: ArrayLike, *, max_features: int, orientation: Orientation, root: bool
) -> Features:
    """Return `orb` as a row of the table of detectors calls it: it has one way, turned."""
    return orb(image, max_features=max_features)
