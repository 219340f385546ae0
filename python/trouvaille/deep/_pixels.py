# SPDX-License-Identifier: Apache-2.0
"""Pixels of a photo as a network sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .architecture import IMAGENET_MEAN, IMAGENET_STD


def colours(model: nn.Module) -> tuple[Any, Any]:
    """Return mean and deviation of the colours that a network was trained with, or ImageNet's."""
    modules: tuple[Any, ...] = (model, getattr(model, "backbone", None))
    for module in modules:
        if hasattr(module, "mean") and hasattr(module, "std"):
            return module.mean, module.std
    return IMAGENET_MEAN, IMAGENET_STD


def normalised(pixels: NDArray[np.uint8], backbone: nn.Module) -> torch.Tensor:
    """Return RGB pixels (H, W, 3) as (1, 3, H, W), with a backbone's colours, on its device."""
    device = next(backbone.parameters(), torch.empty(0)).device
    mean, std = (torch.tensor(colour, device=device) for colour in colours(backbone))
    bytes_ = torch.from_numpy(np.array(pixels)).to(device)  # a copy, that can be written to
    return ((bytes_.to(torch.float32) / 255 - mean) / std).permute(2, 0, 1)[None]
