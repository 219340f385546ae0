# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of cirtorch (cnnimageretrieval-pytorch).

``{"meta": {architecture, pooling, local_whitening, regional, whitening, mean, std, outputdim,
"Lw": {dataset: {"ss", "ms"}: {"m", "P"}}}, "state_dict": {...}}``, where

- ``features.<i>.`` is the i-th layer of the backbone,
- ``pool.p`` the power of GeM, which is ``pool.rpool.p`` in regions,
- ``pool.whiten.`` the linear layer of regions, and ``whiten.`` that of the photo's vector,
- ``lwhiten.`` that of cells, which no network here has.

``P (x - m)``, normalised, is a whitening learned afterwards: ``ss`` for one scale, ``ms`` for
three.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from ._dimensions import dimensions_of
from ._imported import Choices, Imported, Weights, linear_size, renamed, weights_of
from .network import GlobalDescriptor
from .pooling import MAC, GeM, SPoC
from .projected import Projected
from .regional import RMAC, RegionalGeM
from .whitening import Whitening

_ARCHITECTURES = ("alexnet", "vgg16", "resnet18", "resnet50", "resnet101", "resnet152")


def is_of_cirtorch(content: Any) -> bool:
    """Whether a file's content has this layout."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("meta"), dict)
        and isinstance(content["meta"].get("architecture"), str)
        and "state_dict" in content
    )


def from_cirtorch(content: dict[str, Any], choices: Choices) -> Imported:
    """Return the network of a file's content."""
    meta, weights = content["meta"], weights_of(content, choices)
    if choices.flag(meta.get("local_whitening"), "local_whitening"):
        raise choices.refusal("whitens each cell of a map, which no network here does")
    colours = choices.colours_of(meta.get("mean"), meta.get("std"))
    backbone = choices.backbone_of(meta["architecture"], _ARCHITECTURES)
    prefixes = _of_layers(backbone, choices)
    pooling, inner = _pooling(meta, weights, choices), "pooling."
    if choices.flag(meta.get("whitening"), "whitening"):
        pooling, inner = _projected(pooling, weights, choices), "pooling.pooling."
    _compare(meta.get("outputdim"), dimensions_of(backbone, pooling), choices)
    prefixes |= {
        "pool.rpool.": inner,
        "pool.whiten.": f"{inner}whitening.",
        "pool.": inner,
        "whiten.": "pooling.linear.",
    }
    model = GlobalDescriptor(
        backbone,
        pooling,
        _learned(meta, choices),
        choices.scales,
        scale_power=_scale_power(meta, pooling, weights, choices),
    )
    own = {name: value for name, value in model.state_dict().items() if _is_ours(name)}
    return Imported(model, own | renamed(weights, prefixes), colours)


def _compare(outputdim: Any, count: int | None, choices: Choices) -> None:
    """Refuse a network of another number of dimensions than its file says, if it does."""
    if outputdim is None or count is None or (type(outputdim) is int and outputdim == count):
        return
    said = outputdim if type(outputdim) is int else "no number"
    raise choices.refusal(f"says that its outputdim is {said}, but its network's is {count}")


def _is_ours(name: str) -> bool:
    """Whether only a network of ours has it: centers, and a whitening learned afterwards."""
    return name.startswith("whitening.") or name.endswith("whitening.center")


def _of_layers(backbone: nn.Module, choices: Choices) -> dict[str, str]:
    layers = getattr(backbone, "layers", None)
    if not isinstance(layers, nn.Sequential):
        raise choices.refusal("needs a backbone whose layers are a Sequential")
    names = [name for name, _ in layers.named_children()]
    return {f"features.{i}.": f"backbone.layers.{name}." for i, name in enumerate(names)}


def _pooling(meta: dict[str, Any], weights: Weights, choices: Choices) -> nn.Module:
    name = choices.text(meta.get("pooling"), "pooling")
    in_regions = choices.flag(meta.get("regional"), "regional")
    whitening = None
    if in_regions:
        whitening = Whitening(*linear_size(weights, "pool.whiten", choices))
    if name == "gem" and in_regions:
        return RegionalGeM(include_global=True, whitening=whitening)
    if (name == "rmac" and not in_regions) or (name == "mac" and in_regions):
        return RMAC(include_global=True, whitening=whitening)
    if name in _PLAIN and not in_regions:
        return _PLAIN[name]()
    raise choices.refusal(
        f"pools by {name[:80]!r}{' in regions' * in_regions}, which is not built here"
    )


_PLAIN = {"mac": MAC, "spoc": SPoC, "gem": GeM}


def _projected(pooling: nn.Module, weights: Weights, choices: Choices) -> nn.Module:
    return Projected(pooling, *linear_size(weights, "whiten", choices), unit=True)


def _learned(meta: dict[str, Any], choices: Choices) -> Whitening | None:
    if choices.whitening is None:
        return None
    kind = "ms" if len(choices.scales) > 1 else "ss"
    of_scales = choices.chosen(meta.get("Lw"))
    learned = of_scales.get(kind) if isinstance(of_scales, dict) else None
    if not isinstance(learned, dict) or not {"m", "P"} <= learned.keys():
        raise choices.refusal(f"has a whitening {choices.whitening!r} without {kind}: m and P")
    return choices.layer(learned["m"], learned["P"])


def _scale_power(
    meta: dict[str, Any], pooling: nn.Module, weights: Weights, choices: Choices
) -> float:
    """Return GeM's power where cirtorch takes the scales' power mean, and 1 elsewhere."""
    if not isinstance(pooling, GeM) or len(choices.scales) == 1:
        return 1.0
    power = weights.get("pool.p")
    if power is None or power.numel() != 1 or not power.item() > 0:
        raise choices.refusal("is of another architecture; missing: pool.p, the power of GeM")
    return float(power.item())
