# SPDX-License-Identifier: Apache-2.0
"""Networks of torchvision."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import torch
from torch import nn

from ._weights import Weights, imported, put_weights
from .architecture import Architecture, sequential
from .pooling import Pooling, SPoC

NAMES = ("resnet18", "resnet50", "resnet101", "resnet152", "vgg16", "alexnet")
_SMALLEST = {"vgg16": 32, "alexnet": 63}  # sides of which a cell is left after the last pooling
_LICENCE = "BSD-3-Clause (torchvision)"


class FullyConnected(Pooling):
    """The activations of the last layer but one of a network whose classifier has several.

    Its first layer takes a fixed number of cells, to which the map is averaged.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.to(next(self.layers.parameters()).dtype))


def torchvision_network(name: str, weights: Weights) -> Architecture:
    """Return a network of torchvision by its name there."""
    models = imported("torchvision", name, "pip install 'trouvaille[vision]'").models
    if weights == "auto":
        weights = _in_the_cache(name, models.get_model_weights(name).IMAGENET1K_V1.url)
    network = models.get_model(name, weights=None)
    if weights is not None:
        put_weights(network, weights)
    if name.startswith("resnet"):
        layers = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
        modules = {layer: getattr(network, layer) for layer in layers}
        return sequential(name, modules, "layer4", SPoC(), licence=_LICENCE)
    modules = _by_their_names_in_papers(network.features, blocks=name == "vgg16")
    last_pooling = modules.pop(list(modules)[-1])
    classifier = list(network.classifier.children())[:-1]
    return sequential(
        name,
        modules,
        list(modules)[-1],
        FullyConnected(last_pooling, network.avgpool, nn.Flatten(), *classifier),
        smallest_side=_SMALLEST[name],
        licence=_LICENCE,
    )


def _by_their_names_in_papers(layers: nn.Sequential, blocks: bool) -> dict[str, nn.Module]:
    """Return conv1, relu1, pool1, conv2 ...; or, in blocks, conv1_1, relu1_1, conv1_2 ... pool1."""
    kinds = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}
    named, block, number = {}, 1, 0
    for layer in layers:
        kind = kinds[type(layer)]
        number += kind == "conv"
        if not blocks:
            named[f"{kind}{number}"] = layer
        elif kind == "pool":
            named[f"pool{block}"] = layer
            block, number = block + 1, 0
        else:
            named[f"{kind}{block}_{number}"] = layer
    return named


def _in_the_cache(name: str, url: str) -> Path:
    """Return where PyTorch keeps what was downloaded from a URL; here nothing is."""
    path = Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(url).name)
    if not path.is_file():
        raise FileNotFoundError(
            f"weights of {name} are not at {path}, where PyTorch keeps those of {url}; download "
            "them, give the path of a file as weights, or None for random ones"
        )
    return path
