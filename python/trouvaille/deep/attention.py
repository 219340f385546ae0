# SPDX-License-Identifier: Apache-2.0
"""How much each cell of a feature map matters."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .. import _check


class Attention(nn.Module):
    """How much each cell of a map matters: two 1x1 convolutions, ReLU between, softplus at the end.

    Parameters
    ----------
    channels : int
        Of the map.
    hidden : int
        Channels between.

    Notes
    -----
    (B, C, h, w) → (B, 1, h, w), positive. Weights are random until they are trained.

    Examples
    --------
    >>> Attention(8)(torch.zeros(2, 8, 3, 4)).shape
    torch.Size([2, 1, 3, 4])
    """

    def __init__(self, channels: int, hidden: int = 512) -> None:
        super().__init__()
        channels, hidden = _check.count(channels, "channels"), _check.count(hidden, "hidden")
        self.hidden = nn.Conv2d(channels, hidden, 1)
        self.score = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the attention of each cell of maps."""
        return functional.softplus(self.score(functional.relu(self.hidden(x))))


class NormAttention(nn.Module):
    """How much each cell matters, before anything is trained: the length of its vector."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the length of the vector of each cell, (B, C, h, w) → (B, 1, h, w)."""
        return torch.linalg.vector_norm(x, dim=1, keepdim=True)
