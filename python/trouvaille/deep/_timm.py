# SPDX-License-Identifier: Apache-2.0
"""Networks of timm: those that have a feature map."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ._weights import Weights, imported, put_weights
from .architecture import Architecture, Layer
from .pooling import SPoC

_INSTALL = "pip install 'trouvaille[vision]'"
_FILES = ("model.safetensors", "pytorch_model.bin")


class _Features(nn.Module):
    """All of a network but its classifier, or what comes out of its i-th stage."""

    def __init__(self, network: nn.Module, stage: int | None) -> None:
        super().__init__()
        self.network, self.stage = network, stage

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stage is not None:
            (x,) = self.network.forward_intermediates(
                x, indices=[self.stage], stop_early=True, intermediates_only=True
            )
            return x
        x = self.network.forward_features(x)
        return x.permute(0, 3, 1, 2) if _channels_are_last(self.network) else x


def timm_network(name: str, weights: Weights) -> Architecture:
    """Return the network that timm has by the name behind ``timm/``."""
    timm = imported("timm", name, _INSTALL)
    model = name.removeprefix("timm/")
    if not timm.is_model(model):
        raise ValueError(f"name must be of a network of timm {timm.__version__}, got {name!r}")
    network = timm.create_model(model, pretrained=False)
    config = network.pretrained_cfg
    stages = list(getattr(network, "feature_info", None) or ())
    if not stages or not hasattr(network, "forward_intermediates"):
        raise ValueError(f"name must be of a network with feature maps, {name} has none")
    if config.get("fixed_input_size"):
        raise ValueError(f"name must be of a network for photos of any size, not so {name}")
    if weights == "auto":
        weights = _in_the_cache(name, config)
    if weights is not None:
        put_weights(network, weights)
    layers = [
        Layer(f"stage_{i}", stage["num_chs"], stage["reduction"]) for i, stage in enumerate(stages)
    ]
    layers.append(Layer("features", network.num_features, layers[-1].stride))

    def cut(layer: str) -> nn.Module:
        stage = None if layer == "features" else int(layer.removeprefix("stage_"))
        return _Features(network, stage)

    return Architecture(
        name=name,
        layers=tuple(layers),
        cut=cut,
        last="features",
        penultimate=SPoC(),
        smallest_side=layers[-1].stride,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        licence=config.get("license") or "unknown",
    )


def _channels_are_last(network: Any) -> bool:
    return str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC")


def _in_the_cache(name: str, config: Any) -> str:
    """Return where the hub's cache has the weights; here nothing is downloaded."""
    hub = imported("huggingface_hub", f"{name} (weights='auto')", _INSTALL)
    repository = config.get("hf_hub_id")
    for file in _FILES if repository else ():
        path = hub.try_to_load_from_cache(repository, file)
        if isinstance(path, str):
            return path
    raise FileNotFoundError(
        f"weights of {name} are not in the hub's cache ({repository or 'it has none'}); download "
        "them, give the path of a file as weights, or None for random ones"
    )
