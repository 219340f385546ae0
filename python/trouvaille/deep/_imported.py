# SPDX-License-Identifier: Apache-2.0
"""What the importers of checkpoints share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import _check
from ..errors import CheckpointError
from .backbone import Backbone
from .whitening import Whitening

Weights = dict[str, Any]


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

    def backbone_of(self, name: str, known: tuple[str, ...], mean: Any, std: Any) -> nn.Module:
        """Return where the weights go, with the colours that it was trained with."""
        backbone = self.backbone
        if backbone is None:
            if name not in known:
                raise self.refusal(
                    f"is of the architecture {name[:80]!r}; built here are {', '.join(known)}. "
                    "Give another one as backbone"
                )
            backbone = Backbone(name, weights=None)
        backbone.mean, backbone.std = self._colour(mean), self._colour(std)
        return backbone

    def _colour(self, given: Any) -> tuple[float, ...]:
        if not isinstance(given, list | tuple) or len(given) != 3:
            raise self.refusal("has no mean and deviation of three colours")
        colour = tuple(_check.number(part, "mean and std") for part in given)
        if not np.isfinite(colour).all():
            raise self.refusal("has a mean or deviation that is not finite")
        return colour

    def chosen(self, whitenings: Any) -> Any:
        """Return the whitening that is wanted, of those in the file."""
        found = whitenings if isinstance(whitenings, dict) else {}
        if self.whitening not in found:
            listed = ", ".join(map(str, found)) or "none at all"
            raise self.refusal(f"has no whitening {self.whitening!r}; it has {listed}")
        return found[self.whitening]

    def layer(self, mean: Any, weight: Any) -> Whitening:
        """Return ``unit(weight (x - mean))`` as a layer, of as many rows as are wanted."""
        mean, weight = self._array(mean).reshape(-1), self._array(weight)
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
        return layer

    def _array(self, given: Any) -> NDArray[np.float64]:
        if isinstance(given, torch.Tensor):
            given = given.numpy()
        if not isinstance(given, np.ndarray) or given.dtype.kind != "f":
            raise self.refusal("has a whitening that is none")
        return given.astype(np.float64)


def weights_of(content: Mapping[str, Any], choices: Choices) -> Weights:
    """Return the tensors of a file by name, without what DataParallel puts in front."""
    weights = content.get("state_dict")
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in weights.items()
    ):
        raise choices.refusal("has a state_dict that holds more than tensors by name")
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
