# SPDX-License-Identifier: Apache-2.0
"""Pixels of a photo as a network sees them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .architecture import IMAGENET_MEAN, IMAGENET_STD


def normalised(pixels: NDArray[np.uint8], backbone: nn.Module) -> torch.Tensor:
    """Return RGB pixels (H, W, 3) as (1, 3, H, W), with the colours that a backbone is given.

    Those of ImageNet where it names none; on its device.
    """
    first = next(backbone.parameters(), torch.empty(0))
    mean, std = (
        torch.tensor(getattr(backbone, name, usual), device=first.device)
        for name, usual in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD))
    )
    bytes_ = torch.from_numpy(np.array(pixels)).to(first.device)  # a copy, that can be written to
    return ((bytes_.to(torch.float32) / 255 - mean) / std).permute(2, 0, 1)[None]
