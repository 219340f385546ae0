# SPDX-License-Identifier: Apache-2.0
"""Convolutions that pad a photo unevenly ("same", as TensorFlow), without a padded copy of it.

Where the padding is odd, one side gets a cell more, and a convolution pads both alike: so the
padded map is made first, by all who do this, which on large maps takes as long as the convolution.
Here the kernel gets a row or column of zeros in front instead, and both sides the larger padding.
With a kernel of 3 and a stride of 2, an even side is padded 0 and 1; with 4, of which the first is
zero, 1 and 1, and each window sees what it saw.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_BY_SIZE = ("Conv2dDynamicSamePadding", "Conv2dSame")  # of efficientnet-lite-pytorch, and of timm
_FIXED = "Conv2dStaticSamePadding"  # of efficientnet-lite-pytorch


class SamePadding(nn.Conv2d):
    """A convolution of ceil(side / stride) cells."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map of x."""
        padding = [
            max((-(-side // stride) - 1) * stride + (size - 1) * dilation + 1 - side, 0)
            for side, size, stride, dilation in zip(
                x.shape[2:], self.kernel_size, self.stride, self.dilation, strict=True
            )
        ]
        if max(self.dilation) > 1 and any(p % 2 for p in padding):
            x = functional.pad(x, [p for q in padding[::-1] for p in (q // 2, q - q // 2)])
            padding, weight = [0, 0], self.weight
        else:
            weight = functional.pad(self.weight, (padding[1] % 2, 0, padding[0] % 2, 0))
        both = [(p + 1) // 2 for p in padding]
        return functional.conv2d(
            x, weight, self.bias, self.stride, both, self.dilation, self.groups
        )


def replace_same_padding(model: nn.Module) -> None:
    """Let the convolutions of a copy for extraction pad so."""
    for module in list(model.modules()):
        if not isinstance(module, nn.Conv2d):
            continue
        if type(module).__name__ in _BY_SIZE:
            module.__class__ = SamePadding
        elif type(module).__name__ == _FIXED:
            _pad_evenly(module)


def _pad_evenly(module: nn.Conv2d) -> None:
    """Make a convolution that is given a padded copy one that pads by itself."""
    padding = getattr(module.static_padding, "padding", (0, 0, 0, 0))  # left, right, top, bottom
    left, right, top, bottom = padding
    if max(module.dilation) > 1 or left > right or top > bottom:
        return
    weight = functional.pad(module.weight, (right - left, 0, bottom - top, 0))
    module.weight = nn.Parameter(weight, requires_grad=False)
    module.kernel_size = weight.shape[2], weight.shape[3]
    module.padding = bottom, right
    del module.static_padding
    module.__class__ = nn.Conv2d
