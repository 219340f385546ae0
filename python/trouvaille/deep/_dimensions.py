# SPDX-License-Identifier: Apache-2.0
"""How many numbers a descriptor has, told by the layers that make it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn


def dimensions_of(backbone: nn.Module, *layers: nn.Module | None) -> int | None:
    """Return how many numbers the last of the layers makes, such as of a pooling and a whitening.

    None if neither the backbone nor a layer says so; a ValueError where a layer takes another count
    than it is given.
    """
    channels: Any = getattr(backbone, "channels", None)
    count = channels if isinstance(channels, int) else None
    for layer in layers:
        for name, linear in _linear(layer):
            if count not in (None, linear.in_features):
                raise ValueError(f"its {name} takes {linear.in_features} numbers, not {count}")
            count = int(linear.out_features)
    return count


def _linear(layer: Any) -> Iterator[tuple[str, nn.Linear]]:
    """Yield what changes the count of numbers in a layer, in the order of its work."""
    if isinstance(layer, nn.Linear):
        yield "whitening", layer
    elif layer is not None:
        yield from _linear(getattr(layer, "pooling", None))
        for name in ("whitening", "linear"):
            part = getattr(layer, name, None)
            if isinstance(part, nn.Linear):
                yield f"{name} of the pooling", part
