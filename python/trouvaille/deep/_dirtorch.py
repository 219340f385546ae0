# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of dirtorch (deep-image-retrieval), which lie in zip archives.

``{"model_options": {arch, out_dim, pooling, gemp, norm_features, without_fc, center_bias, ...},
"state_dict": {...}, "pca": {dataset: PCA of scikit-learn}, "preprocess": {mean, std, ...}}``, where

- ``conv1.``, ``bn1.``, ``layer1.`` ... are those of a ResNet, behind ``module.`` or not,
- ``adpool.p`` is the power of GeM, and ``fc.`` a linear layer.

The PCA whitens with a power of the variances that is chosen when descriptors are made. Its pickle
is read as data: scikit-learn need not be there, and nothing of it is run.
"""

from __future__ import annotations

from typing import Any

from .. import _check
from ._imported import Choices, Imported, linear_size, renamed, weights_of
from ._pickled_values import PickledObject
from .architecture import IMAGENET_MEAN, IMAGENET_STD
from .network import GlobalDescriptor
from .pooling import MAC, GeM, SPoC
from .projected import Projected
from .whitening import Whitening

_ARCHITECTURES = ("resnet18", "resnet50", "resnet101", "resnet152")
_SUFFIX = "_rmac"
_POOLINGS = {"max": MAC, "avg": SPoC, "gem": GeM}


def is_of_dirtorch(content: Any) -> bool:
    """Whether a file's content has this layout."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("model_options"), dict)
        and "state_dict" in content
    )


def from_dirtorch(content: dict[str, Any], choices: Choices) -> Imported:
    """Return the network of a file's content."""
    options, weights = content["model_options"], weights_of(content, choices)
    architecture = choices.text(options.get("arch"), "arch").removesuffix(_SUFFIX)
    preprocess = content.get("preprocess")
    given = preprocess if isinstance(preprocess, dict) else {}
    colours = choices.colours_of(given.get("mean", IMAGENET_MEAN), given.get("std", IMAGENET_STD))
    backbone = choices.backbone_of(architecture, _ARCHITECTURES)
    if choices.flag(options.get("center_bias"), "center_bias"):
        raise choices.refusal("prefers the centre of photos, which no network here does")
    name = choices.text(options.get("pooling", "gem"), "pooling")
    if name.startswith("gem"):
        name = "gem"
    if name not in _POOLINGS:
        raise choices.refusal(f"pools by {name[:80]!r}; built here are {', '.join(_POOLINGS)}")
    pooling, inner = _POOLINGS[name](), "pooling."
    if choices.flag(options.get("without_fc"), "without_fc"):
        weights = {n: value for n, value in weights.items() if not n.startswith("fc.")}
    else:
        sizes = linear_size(weights, "fc", choices)
        unit = choices.flag(options.get("norm_features"), "norm_features")
        pooling = Projected(pooling, *sizes, unit=unit)
        inner = "pooling.pooling."
    prefixes = {"adpool.": inner, "fc.": "pooling.linear."}
    layers = getattr(backbone, "layers", backbone)
    prefixes |= {f"{n}.": f"backbone.layers.{n}." for n, _ in layers.named_children()}
    model = GlobalDescriptor(backbone, pooling, _learned(content, choices), choices.scales)
    own = {n: value for n, value in model.state_dict().items() if n.startswith("whitening.")}
    return Imported(model, own | renamed(weights, prefixes), colours)


def _learned(content: dict[str, Any], choices: Choices) -> Whitening | None:
    if choices.whitening is None:
        return None
    pca = choices.chosen(content.get("pca"))
    if not isinstance(pca, PickledObject) or pca.kind != "PCA":
        raise choices.refusal(f"has a whitening {choices.whitening!r} that is no PCA")
    try:
        mean, components = (choices.array(pca.state[name]) for name in ("mean_", "components_"))
        variances = choices.array(pca.state["explained_variance_"])
    except KeyError as error:
        raise choices.refusal(f"has a PCA without {error}") from None
    power = _check.between(choices.whitening_power, "whitening_power", 0, 1)
    if components.ndim != 2 or variances.shape != components.shape[:1] or not (variances > 0).all():
        raise choices.refusal("has a PCA whose variances do not fit")
    if not choices.flag(pca.state.get("whiten", True), "whiten"):
        power = 0.0
    return choices.layer(mean, components * variances[:, None] ** -power)
