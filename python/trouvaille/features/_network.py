# SPDX-License-Identifier: Apache-2.0
"""Networks that find and describe keypoints, ALIKE's kind, as detectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, images
from ._types import Features
from .registry import parse_fingerprint

Output = Mapping[str, Any]


class NetworkFeatures:
    """A network as the library calls a detector; made by `network`.

    Attributes
    ----------
    fingerprint : str
        Names its descriptor.
    mode : str
        Which pixels it is given.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        fingerprint: str,
        mode: Literal["gray", "rgb"],
        tensor: bool,
        scale: float,
        origin: float,
    ) -> None:
        self.fingerprint = fingerprint
        self.mode: Literal["gray", "rgb"] = mode
        self._model = model
        self._tensor = tensor
        self._scale = scale
        self._origin = origin

    def __call__(self, image: ArrayLike) -> Features:
        """Return the features of an image, the strongest first; see `network`."""
        pixels = images.as_gray(image) if self.mode == "gray" else images.as_rgb(image)
        output = self._run(_as_tensor(pixels)) if self._tensor else self._model(pixels)
        kind = parse_fingerprint(self.fingerprint)
        found = _columns(output, kind.dimensions, kind.dtype)
        scales = found.get("scales")
        if scales is None:
            scales = np.full(len(found["scores"]), self._scale, np.float32)
        elif not (scales > 0).all():
            raise ValueError("scales of the network must be positive")
        frames = np.zeros((len(scales), 2, 3), np.float32)
        frames[:, 0, 0] = frames[:, 1, 1] = scales
        frames[:, :, 2] = found["keypoints"] - np.float32(self._origin)
        order = np.lexsort((frames[:, 0, 2], frames[:, 1, 2], -found["scores"]))
        return Features(frames, found["descriptors"], found["scores"], scales).select(order)

    def _run(self, tensor: Any) -> Any:
        import torch

        parameters = getattr(self._model, "parameters", None)
        first = next(iter(parameters()), None) if parameters is not None else None
        with torch.inference_mode():
            return self._model(tensor if first is None else tensor.to(first.device))


def network(
    model: Callable[..., Any],
    fingerprint: str,
    *,
    mode: Literal["gray", "rgb"] = "rgb",
    tensor: bool = False,
    scale: float = 4.0,
    origin: Literal["centre", "corner"] = "centre",
) -> NetworkFeatures:
    """Adapt a network that finds and describes keypoints, as ALIKE, SuperPoint or XFeat.

    Parameters
    ----------
    model : callable
        Given an image it returns a mapping, or the one mapping of a list, with ``keypoints`` (n, 2)
        in pixels, x first, ``descriptors`` (n, d), ``scores`` (n,) and, if it has them, ``scales``
        (n,): arrays or tensors, of which a first axis of length 1 is a batch of one. The singular
        ``keypoint_scores`` of SuperPoint is taken for ``scores``.
    fingerprint : str
        Names the descriptor: ``flavour/normalisation/dtype/dimensions``, as
        ``"alike-t/l2/float32/64"``.
    mode : {"rgb", "gray"}
        Which pixels it is given.
    tensor : bool
        Give it a float32 tensor (1, channels, h, w) of [0, 1] on the device of its parameters, in
        inference mode; otherwise an array of bytes, (h, w, 3) or (h, w). Only then is torch needed.
    scale : float
        Radius in pixels of features of a network that tells none.
    origin : {"centre", "corner"}
        What (0, 0) is for the network: the centre of the top-left pixel, as here, or its corner.

    Returns
    -------
    callable
        ``image -> Features``, upright, the strongest first; `extract` takes it for a detector.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of those; when called, if the network's answer has another form.
    """
    if not callable(model):
        raise TypeError(f"model must be callable, got {type(model).__name__}")
    if mode not in ("gray", "rgb"):
        raise ValueError(f'mode must be "gray" or "rgb", got {mode!r}')
    if origin not in ("centre", "corner"):
        raise ValueError(f'origin must be "centre" or "corner", got {origin!r}')
    if not (np.ndim(scale) == 0 and 0 < float(scale) < float("inf")):
        raise ValueError(f"scale must be positive, got {scale!r}")
    parse_fingerprint(fingerprint)
    moved = 0.5 if origin == "corner" else 0.0
    return NetworkFeatures(model, fingerprint, mode, tensor, float(scale), moved)


def _as_tensor(pixels: NDArray[np.uint8]) -> Any:
    import torch

    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    return torch.from_numpy(np.ascontiguousarray(planes[None], np.float32) / np.float32(255))


def _columns(output: Any, dimensions: int, dtype: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a network's answer, checked."""
    if isinstance(output, (list, tuple)) and len(output) == 1:
        output = output[0]
    if not isinstance(output, Mapping):
        raise TypeError(f"the network must return a mapping, got {type(output).__name__}")
    output = dict(output)
    output.setdefault("scores", output.get("keypoint_scores"))
    widths = {"keypoints": 2, "descriptors": dimensions, "scores": None, "scales": None}
    found = {}
    for name, width in widths.items():
        if output.get(name) is None:
            if name == "scales":
                continue
            raise ValueError(f"the network must return {name}; it returned {sorted(output)}")
        kind = dtype if name == "descriptors" else "float32"
        found[name] = _column(output[name], name, width, kind)
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"the network must return as many of each, got {lengths}")
    return found


def _column(given: Any, name: str, width: int | None, dtype: str) -> NDArray[Any]:
    if hasattr(given, "detach"):  # a tensor: of any device, with a gradient or without
        given = given.detach().cpu()
    array = np.asarray(given)
    axes = 1 if width is None else 2
    if array.ndim == axes + 1 and array.shape[0] == 1:
        array = array[0]
    if axes == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if dtype == "float32" and array.dtype.kind == "f":
        array = array.astype(np.float32)
    if width is None:
        return _check.array(array, name, dtype, ndim=1)
    return _check.matrix(array, name, dtype, width)
