# SPDX-License-Identifier: Apache-2.0
"""Feature map → one vector: what a network sees anywhere on a photo."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from .. import _check


class Pooling(nn.Module, ABC):
    """A feature map, (B, C, h, w), becomes one vector a photo, (B, C).

    Maps of any shape with a cell, of float16, bfloat16, float32 or float64. The vectors are
    float32 (float64 of float64 maps), and computed so, also under autocast: powers and sums of many
    cells need it.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the vectors of feature maps, (B, C, h, w), as (B, C)."""
        x = checked_map(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._pooled(x)

    @abstractmethod
    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Return the vectors of maps that were checked, in their type or in float32."""


class MAC(Pooling):
    """The largest value of each channel [1]_, [2]_. Not normalised.

    References
    ----------
    .. [1] A. S. Razavian, J. Sullivan, S. Carlsson, A. Maki, "Visual instance retrieval with deep
       convolutional networks", ITE Transactions on Media Technology and Applications 2016.
    .. [2] G. Tolias, R. Sicre, H. Jégou, "Particular object retrieval with integral max-pooling of
       CNN activations", ICLR 2016.

    Examples
    --------
    >>> MAC()(torch.tensor([[[[1.0, 5.0], [2.0, 4.0]]]]))
    tensor([[5.]])
    """

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        return in_float32(x.amax((2, 3)))


class SPoC(Pooling):
    """The mean of each channel [1]_, without the paper's preference for the centre.

    Not normalised.

    References
    ----------
    .. [1] A. Babenko, V. Lempitsky, "Aggregating local deep features for image retrieval", ICCV
       2015.

    Examples
    --------
    >>> SPoC()(torch.tensor([[[[1.0, 5.0], [2.0, 4.0]]]]))
    tensor([[3.]])
    """

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        return in_float32(x).mean((2, 3))


class GeM(Pooling):
    """The power mean of each channel [1]_: ``mean(max(x, eps) ** p) ** (1 / p)``. Not normalised.

    The mean at p = 1, nearly the largest value at a large p.

    Parameters
    ----------
    p : float
        The power.
    eps : float
        Smaller values count as this one, so that powers and their gradients exist.
    trainable : bool
        Whether p is learned with the network.

    References
    ----------
    .. [1] F. Radenović, G. Tolias, O. Chum, "Fine-tuning CNN image retrieval with no human
       annotation", TPAMI 2019.

    Examples
    --------
    >>> GeM(p=2)(torch.tensor([[[[1.0, 7.0]]]]))
    tensor([[5.]])
    """

    p: torch.Tensor

    def __init__(self, p: float = 3.0, *, eps: float = 1e-6, trainable: bool = False) -> None:
        super().__init__()
        add_power(self, p, trainable)
        self.eps = _check.positive(eps, "eps")

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        x = in_float32(x).clamp(min=self.eps)
        return x.pow(self.p).mean((2, 3)).pow(1 / self.p)

    def extra_repr(self) -> str:
        """Return the power, for printing."""
        return f"p={self.p.item():.4g}"


class CroW(Pooling):
    """A weighted sum of each channel [1]_. Not normalised.

    Cells count by the square root of what all channels have there, as a share of the length of the
    map of these sums; then channels by the logarithm of how rarely they are not zero. Values are
    meant not to be negative, as after a ReLU.

    Notes
    -----
    The weights of channels are counts, so no gradient comes through them.

    References
    ----------
    .. [1] Y. Kalantidis, C. Mellina, S. Osindero, "Cross-dimensional weighting for aggregated deep
       convolutional features", ECCV Workshops 2016.

    Examples
    --------
    >>> CroW()(torch.tensor([[[[1.0, 0.0]], [[2.0, 1.0]]]])).numpy().round(3)
    array([[1.07 , 1.018]], dtype=float32)
    """

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        x = in_float32(x)
        least = torch.finfo(x.dtype).tiny
        sums = x.sum(1, keepdim=True)
        length = sums.square().sum((2, 3), keepdim=True).clamp(min=least).sqrt()
        of_cells = (sums / length).clamp(min=least).sqrt()
        present = (x != 0).to(x.dtype).mean((2, 3))
        rarity = (present.sum(1, keepdim=True) / present.clamp(min=least)).log()
        return (x * of_cells).sum((2, 3)) * torch.where(present > 0, rarity, 0)


def add_power(module: nn.Module, p: float, trainable: bool) -> None:
    """Give the module a power ``p``, shape (1,), that is learned or only kept."""
    power = torch.tensor([_check.positive(p, "p")], dtype=torch.float32)
    if _check.boolean(trainable, "trainable"):
        module.p = nn.Parameter(power)
    else:
        module.register_buffer("p", power)


def checked_map(x: torch.Tensor) -> torch.Tensor:
    """Return a feature map, or say why it is none."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        given = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
        raise TypeError(f"x must be a tensor of floats, got {given}")
    if x.ndim != 4 or 0 in x.shape[1:]:
        raise ValueError(f"x must be of shape (B, C, h, w) and have cells, got {tuple(x.shape)}")
    return x


def in_float32(x: torch.Tensor) -> torch.Tensor:
    """Return x in float32; float64 stays."""
    return x if x.dtype == torch.float64 else x.float()
