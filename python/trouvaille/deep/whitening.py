# SPDX-License-Identifier: Apache-2.0
"""Whitening as a layer of a network, so that it can be trained with the rest."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn
from torch.nn import functional

from .. import _check
from ..aggregate import LearnedWhitening, PCAWhitening
from ..aggregate._projection import Projection


class Whitening(nn.Linear):
    """A linear layer with a bias, and division by the length: ``unit((x - center) W' + bias)``.

    Made from what `PCAWhitening` or `LearnedWhitening` learned, it gives the same numbers, and can
    be trained further [1]_.

    Parameters
    ----------
    in_features, out_features : int
        Numbers of a vector before and after.
    norm : {"l2", None}
        Whether vectors get length 1 in the end.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,)
    center : Tensor, shape (in_features,)
        A fixed part of the bias, subtracted before anything is multiplied: where directions of
        little variance are made large, a bias alone would lose digits. Zeros in a new layer.

    Notes
    -----
    A vector of zeros, which stands for a photo or a region without anything, stays one. Computed in
    the type of the weights, also under autocast.

    References
    ----------
    .. [1] A. Gordo, J. Almazán, J. Revaud, D. Larlus, "End-to-end learning of deep visual
       representations for image retrieval", IJCV 2017.

    Examples
    --------
    >>> from trouvaille.aggregate import PCAWhitening
    >>> X = torch.randn(100, 8)
    >>> learned = PCAWhitening(4).fit(X)
    >>> whitened = Whitening.from_pca(learned)(X)
    >>> torch.allclose(whitened, torch.from_numpy(learned.transform(X)), atol=1e-5)
    True
    """

    center: torch.Tensor

    def __init__(self, in_features: int, out_features: int, *, norm: str | None = "l2") -> None:
        if norm not in ("l2", None):
            raise ValueError(f"norm must be 'l2' or None, got {norm!r}")
        super().__init__(
            _check.count(in_features, "in_features"), _check.count(out_features, "out_features")
        )
        self.norm = norm
        self.register_buffer("center", torch.zeros(in_features))

    @classmethod
    def from_pca(cls, learned: PCAWhitening) -> Self:
        """Return the layer that gives the numbers of a fitted `PCAWhitening`."""
        return cls._from(learned, PCAWhitening)

    @classmethod
    def from_learned(cls, learned: LearnedWhitening) -> Self:
        """Return the layer that gives the numbers of a fitted `LearnedWhitening`."""
        return cls._from(learned, LearnedWhitening)

    @classmethod
    def _from(cls, learned: Projection, kind: type[Projection]) -> Self:
        if not isinstance(learned, kind):
            raise TypeError(f"learned must be a {kind.__name__}, got {type(learned).__name__}")
        mean, weights = learned.learned_mean_and_weights()
        layer = cls(*weights.shape, norm=learned.norm)
        center = torch.from_numpy(mean).to(layer.center)
        rounded_off = center.double().numpy() - mean
        with torch.no_grad():
            layer.center.copy_(center)
            layer.weight.copy_(torch.from_numpy(weights.T))
            layer.bias.copy_(torch.from_numpy(rounded_off @ weights))
        return layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return vectors (..., in_features) as vectors (..., out_features)."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.weight.dtype)
            whitened = functional.linear(x - self.center, self.weight, self.bias)
            whitened = whitened * (x != 0).any(-1, keepdim=True)
            return functional.normalize(whitened, dim=-1) if self.norm else whitened


def as_layer(whitening: nn.Module | PCAWhitening | LearnedWhitening | None) -> nn.Module | None:
    """Return what whitens as a layer; None stays None."""
    if whitening is None or isinstance(whitening, nn.Module):
        return whitening
    if isinstance(whitening, LearnedWhitening):
        return Whitening.from_learned(whitening)
    if isinstance(whitening, PCAWhitening):
        return Whitening.from_pca(whitening)
    raise TypeError(
        "whitening must be a module, a PCAWhitening, a LearnedWhitening or None, "
        f"got {type(whitening).__name__}"
    )
