# SPDX-License-Identifier: Apache-2.0
"""A linear layer right behind a pooling, as networks trained from end to end have it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .. import _check


class Projected(nn.Module):
    """A pooled vector through a linear layer with a bias [1]_, [2]_. Not normalised.

    Unlike the whitening of `GlobalDescriptor`, it is applied at each scale, before the scales are
    averaged.

    Parameters
    ----------
    pooling : Module
        Maps → vectors, (B, in_features).
    in_features, out_features : int
    unit : bool
        Whether the pooled vector gets length 1 before.

    References
    ----------
    .. [1] A. Gordo, J. Almazán, J. Revaud, D. Larlus, "End-to-end learning of deep visual
       representations for image retrieval", IJCV 2017 (unit=False).
    .. [2] F. Radenović, G. Tolias, O. Chum, "Fine-tuning CNN image retrieval with no human
       annotation", TPAMI 2019 (unit=True).

    Examples
    --------
    >>> from trouvaille.deep import GeM
    >>> Projected(GeM(), 32, 16)(torch.rand(2, 32, 5, 7)).shape
    torch.Size([2, 16])
    """

    def __init__(
        self, pooling: nn.Module, in_features: int, out_features: int, *, unit: bool = True
    ) -> None:
        super().__init__()
        self.unit = _check.boolean(unit, "unit")
        self.pooling = pooling
        self.linear = nn.Linear(
            _check.count(in_features, "in_features"), _check.count(out_features, "out_features")
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the vectors of feature maps, (B, C, h, w), as (B, out_features)."""
        pooled = self.pooling(x)
        with torch.autocast(x.device.type, enabled=False):
            pooled = pooled.to(self.linear.weight.dtype)
            return self.linear(functional.normalize(pooled, dim=1) if self.unit else pooled)

    def extra_repr(self) -> str:
        """Return whether vectors get length 1, for printing."""
        return f"unit={self.unit}"
