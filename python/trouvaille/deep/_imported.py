# SPDX-License-Identifier: Apache-2.0
"""What the importers of checkpoints share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import _check
from ..errors import CheckpointError
from .architecture import Color
from .backbone import Backbone
from .network import GlobalDescriptor
from .whitening import Whitening

Weights = dict[str, Any]
Colours = tuple[Color, Color]

_LARGEST = 1e30  # of a number of a colour, as in a card


@dataclass(frozen=True)
class Choices:
    """What a caller wants of a file; see `import_network`."""

    path: Path
    whitening: str | None
    n_components: int | None
    whitening_power: float
    scales: tuple[float, ...]
    backbone: nn.Module | None

    def text(self, value: Any, name: str) -> str:
        """Return a value that must be text; what else a file may hold is not even printed."""
        if type(value) is not str:
            raise self.refusal(f"has a {name} that is no text, but a {type(value).__name__}")
        return value

    def refusal(self, reason: str) -> CheckpointError:
        """Return an error that names the file."""
        return CheckpointError(self.path, reason)

    def backbone_of(self, name: str, known: tuple[str, ...]) -> nn.Module:
        """Return where the weights go."""
        if self.backbone is not None:
            return self.backbone
        if name not in known:
            raise self.refusal(
                f"is of the architecture {name[:80]!r}; built here are {', '.join(known)}. "
                "Give another one as backbone"
            )
        return Backbone(name, weights=None)

    def colours_of(self, mean: Any, std: Any) -> Colours:
        """Return the mean and the deviation of the colours that a network was trained with."""
        colours = self._colour(mean), self._colour(std)
        if min(colours[1]) <= 0:
            raise self.refusal(f"has a deviation of colours that is not positive: {colours[1]}")
        return colours

    def _colour(self, given: Any) -> Color:
        if not isinstance(given, list | tuple) or len(given) != 3:
            raise self.refusal("has no mean and deviation of three colours")
        if not all(type(part) in (int, float) or isinstance(part, np.floating) for part in given):
            raise self.refusal("has a mean or deviation of colours that is no number")
        red, green, blue = given
        if not all(-_LARGEST < part < _LARGEST for part in given):
            raise self.refusal("has a mean or deviation of colours that is not finite")
        return float(red), float(green), float(blue)

    def flag(self, value: Any, name: str) -> bool:
        """Return whether something is set; of a tensor Python cannot tell."""
        if not isinstance(value, bool | int | float | str | np.generic | NoneType):
            raise self.refusal(f"has a {name} that is neither true nor false")
        return bool(value)

    def chosen(self, whitenings: Any) -> Any:
        """Return the whitening that is wanted, of those in the file."""
        found = whitenings if isinstance(whitenings, dict) else {}
        if self.whitening not in found:
            listed = ", ".join(map(str, found)) or "none at all"
            raise self.refusal(f"has no whitening {self.whitening!r}; it has {listed}")
        return found[self.whitening]

    def layer(self, mean: Any, weight: Any) -> Whitening:
        """Return ``unit(weight (x - mean))`` as a layer, of as many rows as are wanted."""
        mean, weight = self.array(mean).reshape(-1), self.array(weight)
        if weight.ndim != 2 or weight.shape[1:] != mean.shape or 0 in weight.shape:
            raise self.refusal(f"has a whitening of shapes {mean.shape} and {weight.shape}")
        if self.n_components is not None:
            count = _check.count(self.n_components, "n_components", maximum=len(weight))
            weight = weight[:count]
        layer = Whitening(weight.shape[1], weight.shape[0])
        center = torch.from_numpy(mean).to(layer.center)
        rounded_off = center.double().numpy() - mean
        with torch.no_grad():
            layer.center.copy_(center)
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(weight @ rounded_off))
        if not all(torch.isfinite(tensor).all() for tensor in layer.state_dict().values()):
            raise self.refusal("has a whitening that is not finite in float32")
        return layer

    def array(self, given: Any) -> NDArray[np.float64]:
        """Return the numbers of a whitening."""
        if isinstance(given, torch.Tensor) and given.is_floating_point():
            given = given.double().numpy()  # which knows no bfloat16
        if not isinstance(given, np.ndarray) or given.dtype.kind != "f":
            raise self.refusal("has a whitening that is none")
        if not np.isfinite(given).all():
            raise self.refusal("has a whitening with NaN or infinity in it")
        return given.astype(np.float64)


class Imported(NamedTuple):
    """A network, its weights by the names that it has for them, and its colours."""

    model: GlobalDescriptor
    weights: Weights
    colours: Colours


def weights_of(content: Mapping[str, Any], choices: Choices) -> Weights:
    """Return the tensors of a file by name, without what DataParallel puts in front."""
    weights = content.get("state_dict")
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in weights.items()
    ):
        raise choices.refusal("has a state_dict that holds more than tensors by name")
    for name, tensor in weights.items():
        if not torch.isfinite(tensor.float()).all():  # as the network will have them
            raise choices.refusal(f"has NaN or infinity among its weights, in {name[:200]!r}")
    return {name.removeprefix("module."): tensor for name, tensor in weights.items()}


def linear_size(weights: Weights, name: str, choices: Choices) -> tuple[int, int]:
    """Return how many numbers a linear layer takes and makes."""
    weight = weights.get(f"{name}.weight")
    if weight is None or weight.ndim != 2 or 0 in weight.shape:
        raise choices.refusal(f"is of another architecture; missing: {name}.weight")
    return weight.shape[1], weight.shape[0]


def renamed(weights: Weights, prefixes: Mapping[str, str]) -> Weights:
    """Return weights whose names begin otherwise; what is not known stays, to be complained of."""
    names: Weights = {}
    for name, tensor in weights.items():
        old = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        names[name if old is None else prefixes[old] + name.removeprefix(old)] = tensor
    return names
