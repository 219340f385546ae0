# SPDX-License-Identifier: Apache-2.0
"""Networks before anything is cut off: their layers by name, and what is known of them."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Color = tuple[float, float, float]


class Layer(NamedTuple):
    """A place where a network can be cut: channels of its map, and pixels from cell to cell."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True)
class Architecture:
    """A network whose layers have names.

    Parameters
    ----------
    name : str
    layers : tuple of Layer
        Where it can be cut, in the order of its work.
    cut : callable
        Returns the module that ends with the layer of a name.
    last : str
        The layer whose map is pooled, unless another one is asked for.
    penultimate : Module
        The map of `classified` → what the network's classifier sees, (B, D).
    smallest_side : int
        Of a photo; smaller ones are padded.
    mean, std : tuple of 3 float
        Of the colours (R, G, B, from 0 to 1) that it was trained with.
    licence : str
        Of its code, and of its weights where that is known.
    classified : str, optional
        The layer that `penultimate` takes; `last` by default.
    """

    name: str
    layers: tuple[Layer, ...]
    cut: Callable[[str], nn.Module]
    last: str
    penultimate: nn.Module
    smallest_side: int = 1
    mean: Color = IMAGENET_MEAN
    std: Color = IMAGENET_STD
    licence: str = "unknown"
    classified: str | None = None


def sequential(
    name: str,
    modules: Mapping[str, nn.Module],
    last: str,
    penultimate: nn.Module,
    *,
    smallest_side: int = 1,
    mean: Color = IMAGENET_MEAN,
    std: Color = IMAGENET_STD,
    licence: str = "unknown",
) -> Architecture:
    """Return a network of modules, each of which is given what the one before it returns."""
    return Architecture(
        name=name,
        layers=_measured(modules),
        cut=partial(_up_to, modules),
        last=last,
        penultimate=penultimate,
        smallest_side=smallest_side,
        mean=mean,
        std=std,
        licence=licence,
    )


def _up_to(modules: Mapping[str, nn.Module], layer: str) -> nn.Module:
    names = list(modules)
    kept = names[: names.index(layer) + 1]
    return nn.Sequential(OrderedDict((name, modules[name]) for name in kept))


def _measured(modules: Mapping[str, nn.Module]) -> tuple[Layer, ...]:
    """Return channels and strides from the shapes of two photos' maps, without computing any.

    Maps lose cells at their edges, so that only the difference of two maps tells the stride.
    """
    sides = 1024, 2048
    maps = [torch.empty(1, 3, side, side, device="meta") for side in sides]
    layers = []
    with torch.no_grad():
        for name, module in modules.items():
            shape_only = copy.deepcopy(module).to("meta").eval()
            maps = [shape_only(x) for x in maps]
            smaller, larger = (x.shape[3] for x in maps)
            stride = round((sides[1] - sides[0]) / (larger - smaller))
            layers.append(Layer(name, maps[0].shape[1], stride))
    return tuple(layers)
