# SPDX-License-Identifier: Apache-2.0
"""Photos → one vector each: a backbone, a pooling, a whitening, and several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from .. import _check
from ..aggregate import LearnedWhitening, PCAWhitening
from ._weights import Weights
from .backbone import Backbone, load
from .pooling import in_float32
from .whitening import as_layer

MULTI_SCALE = (1.0, 2**-0.5, 0.5)
"""The scales of the literature: halves of the area, and of that again."""

LARGEST_SCALE = 4  # a photo of 16 times the pixels; a damaged card must not ask for more


class GlobalDescriptor(nn.Module):
    """Photos → vectors of length 1, whose dot product says how alike the photos are.

    At each scale the photo's map is pooled and normalised. The scales' vectors are averaged and
    normalised [1]_, then whitened.

    Parameters
    ----------
    backbone : Module
        Normalised photos, (B, 3, H, W) → maps, (B, C, h, w): a `Backbone`, or another one.
    pooling : Module
        Maps → vectors, (B, D): `RMAC`, `GeM` and the like.
    whitening : Module, PCAWhitening, LearnedWhitening, optional
        Of the vector in the end. `RMAC` can whiten each region besides.
    scales : sequence of float
        Of the sides of the photo, by bilinear interpolation; for `MULTI_SCALE`, the literature's
        three, it takes 1.75 times as long.
    scale_power : float
        The scales' mean is a power mean; signs are kept. The literature takes GeM's power with GeM,
        and else 1.

    Notes
    -----
    It begins in evaluation mode. Photos of a batch have one shape: none is padded, so none's vector
    depends on another one. A photo without any activation has a vector of zeros.

    References
    ----------
    .. [1] F. Radenović, G. Tolias, O. Chum, "Fine-tuning CNN image retrieval with no human
       annotation", TPAMI 2019.

    Examples
    --------
    >>> from trouvaille.deep import RMAC
    >>> model = GlobalDescriptor(Backbone("efficientnet_lite0", weights=None), RMAC())
    >>> with torch.no_grad():
    ...     vectors = model(torch.zeros(2, 3, 96, 128))
    >>> vectors.shape
    torch.Size([2, 1280])
    """

    def __init__(
        self,
        backbone: nn.Module,
        pooling: nn.Module,
        whitening: nn.Module | PCAWhitening | LearnedWhitening | None = None,
        scales: Sequence[float] = (1.0,),
        *,
        scale_power: float = 1.0,
    ) -> None:
        super().__init__()
        for name, module in (("backbone", backbone), ("pooling", pooling)):
            if not isinstance(module, nn.Module):
                raise TypeError(f"{name} must be a module, got {type(module).__name__}")
        self.scales = _checked_scales(scales)
        self.scale_power = _check.positive(scale_power, "scale_power")
        self.backbone, self.pooling = backbone, pooling
        self.whitening = as_layer(whitening)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the vectors of normalised photos, (B, 3, H, W), as (B, D) of float32."""
        vectors = self._of_scale(x, self.scales[0])
        if len(self.scales) > 1:
            powers = _signed_power(vectors, self.scale_power)
            for scale in self.scales[1:]:
                powers = powers + _signed_power(self._of_scale(x, scale), self.scale_power)
            mean = _signed_power(powers / len(self.scales), 1 / self.scale_power)
            vectors = functional.normalize(mean, dim=1)
        if self.whitening is None:
            return vectors
        return functional.normalize(in_float32(self.whitening(vectors)), dim=1)

    def _of_scale(self, x: torch.Tensor, scale: float) -> torch.Tensor:
        if scale != 1:
            height, width = (max(int(side * scale), 1) for side in x.shape[2:])
            x = functional.interpolate(x, (height, width), mode="bilinear", align_corners=False)
        return functional.normalize(in_float32(self.pooling(self.backbone(x))), dim=1)

    def extra_repr(self) -> str:
        """Return the scales, for printing."""
        return f"scales={self.scales}, scale_power={self.scale_power:g}"


def off_the_shelf(
    name: str, weights: Weights = "auto", *, random_state: int = 0
) -> GlobalDescriptor:
    """Return what a network was trained to classify by, as a descriptor.

    The last layer but one [1]_, [2]_: fc7 of AlexNet and VGG16; the mean of the last map of the
    others.

    Parameters
    ----------
    name, weights, random_state
        See `Backbone`.

    References
    ----------
    .. [1] A. Babenko, A. Slesarev, A. Chigorin, V. Lempitsky, "Neural codes for image retrieval",
       ECCV 2014.
    .. [2] A. S. Razavian, H. Azizpour, J. Sullivan, S. Carlsson, "CNN features off-the-shelf: an
       astounding baseline for recognition", CVPR Workshops 2014.

    Examples
    --------
    >>> model = off_the_shelf("efficientnet_lite0", weights=None)
    >>> with torch.no_grad():
    ...     model(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 1280])
    """
    whole = load(name, weights, random_state)
    return GlobalDescriptor(Backbone(whole, whole.classified), whole.penultimate)


def _checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    if not isinstance(scales, Sequence) or not len(scales):
        raise TypeError(f"scales must be a sequence of numbers, of at least one, got {scales!r}")
    checked = tuple(_check.positive(scale, "scales") for scale in scales)
    if max(checked) > LARGEST_SCALE:
        raise ValueError(f"scales must be {LARGEST_SCALE} at most, got {max(checked):g}")
    return checked


def _signed_power(x: torch.Tensor, power: float) -> torch.Tensor:
    return x if power == 1 else x.sign() * x.abs().pow(power)
