# SPDX-License-Identifier: Apache-2.0
"""What cards of all kinds of networks say, and what of it can be true."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from torch import nn

VERSION = 2
_OF_BEFORE = 1  # the same, when EfficientNet-Lite0 was padded by a photo's size
# Of a layer: what a damaged card must not make us allocate.
_MAX_FEATURES, _MAX_WEIGHTS = 1 << 20, 1 << 27
_LARGEST = 1e30  # of a number
Plain = dict[str, Any]


def written(card: Plain) -> str:
    """Return a card as text."""
    return json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def read(text: str) -> Plain:
    """Return the card of a text."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its card is no JSON: {error}") from None
    if not isinstance(given, dict) or given.get("version") not in (_OF_BEFORE, VERSION):
        raise ValueError(f"its card must be of version {_OF_BEFORE} or {VERSION}")
    return given


def checked(given: Plain, names: Collection[str]) -> Plain:
    """Return a card of these names, what all cards have checked and with numbers as tuples."""
    if given.keys() != set(names):
        raise ValueError(f"its card must have {', '.join(sorted(names))}")
    texts = ("architecture", "layer", "licence", "source")
    if not all(isinstance(given[name], str) for name in texts):
        raise ValueError(f"{', '.join(texts)} of its card must be text")
    if given["version"] == _OF_BEFORE and given["architecture"] == "efficientnet_lite0":
        raise ValueError(
            "its EfficientNet-Lite0 pads by a photo's size, which this version does not: make it "
            "anew from its weights"
        )
    found = given | {name: numbers(given[name]) for name in ("scales", "mean", "std")}
    found["version"] = VERSION
    if len(found["mean"]) != 3 or len(found["std"]) != 3:
        raise ValueError("mean and std of its card must be 3 numbers")
    if min(found["std"]) <= 0:
        raise ValueError(f"std of its card must be positive, got {given['std']}")
    count(found["outputdim"])
    return found


def of_backbone(backbone: nn.Module) -> Plain:
    """Return what a card says of a `Backbone`."""
    named: Plain = {n: getattr(backbone, n, None) for n in ("name", "layer", "mean", "std")}
    if None in named.values():
        raise TypeError(f"model must have a Backbone, got {type(backbone).__name__}")
    return {
        "architecture": str(named["name"]),
        "layer": str(named["layer"]),
        "mean": numbers([float(number) for number in named["mean"]]),
        "std": numbers([float(number) for number in named["std"]]),
    }


def numbers(given: Any) -> tuple[float, ...]:
    if not isinstance(given, list | tuple):
        raise ValueError(f"its card must have numbers, got {given!r}")
    if not all(type(number) in (int, float) and abs(number) < _LARGEST for number in given):
        raise ValueError(f"its card must have finite numbers, got {str(given)[:80]}")
    return tuple(float(number) for number in given)


def layer_sizes(in_features: Any, out_features: Any) -> tuple[int, int]:
    """Return the sizes of a linear layer, whose weights must not be too many either."""
    sizes = count(in_features), count(out_features)
    if sizes[0] * sizes[1] > _MAX_WEIGHTS:
        raise ValueError(f"sizes of its card make a layer of {sizes[0]} x {sizes[1]} weights")
    return sizes


def count(given: Any) -> int:
    if type(given) is not int or not 1 <= given <= _MAX_FEATURES:
        raise ValueError(f"sizes of its card must be from 1 to {_MAX_FEATURES}, got {given!r}")
    return given
