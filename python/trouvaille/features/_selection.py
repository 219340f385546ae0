# SPDX-License-Identifier: Apache-2.0
"""What every detector of a scale space does in the end: keep the strongest, and turn them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from ._types import Regions, scales_of
from .registry import Orientation
from .scale_space import ScaleSpace

# A keypoint may have so many dominant gradients, each a feature of its own.
MAX_ORIENTATIONS = 4


def chosen(
    space: ScaleSpace,
    frames: NDArray[np.float32],
    responses: NDArray[np.float32],
    max_features: int,
    orientation: Orientation,
    max_orientations: int,
    mask: ArrayLike | None,
    spread: bool,
    threads: int | None,
) -> Regions:
    """Keep the strongest of what a detector found, under the mask, and turn them.

    What every detector does in the end; the parameters are those of `dog`.
    """
    max_features = _check.count(max_features, "max_features")
    max_orientations = _check.count(max_orientations, "max_orientations", maximum=36)
    if orientation not in ("dominant", "upright"):
        raise ValueError(f'orientation must be "dominant" or "upright", got {orientation!r}')
    spread = _check.boolean(spread, "spread")
    shape = space.height, space.width
    inside = None if mask is None else np.ascontiguousarray(mask_of(mask, shape)).view(np.uint8)
    kept = _core.select(frames, responses, space.width, space.height, max_features, inside, spread)
    frames, responses = frames[kept], responses[kept]
    if orientation == "dominant":
        frames, sources = _core.orient(
            space._space, frames, max_orientations, _check.threads(threads)
        )
        frames, responses = frames[:max_features], responses[sources[:max_features]]
    return Regions(frames, responses, scales_of(frames))


def positive(values: Sequence[float], name: str, minimum: float) -> list[float]:
    numbers: NDArray[np.float64] = _check.array(values, name, np.float64, ndim=1)
    if numbers.size == 0:
        raise ValueError(f"{name} must hold at least one number, got none")
    if not (numbers > 0).all() or (numbers < minimum).any():
        least = f"at least {minimum:g}" if minimum > 0 else "positive"
        raise ValueError(f"{name} must be {least}, got {numbers.min():g}")
    return [float(number) for number in numbers]


def mask_of(mask: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    given = _check.as_array(mask, "mask")
    if given.shape != shape:
        raise ValueError(f"mask must have the image's shape {shape}, got {given.shape}")
    if given.dtype.kind not in "bui":
        raise TypeError(f"mask must hold whole numbers or booleans, got dtype {given.dtype}")
    inside: NDArray[np.bool_] = given != 0
    return inside
