# SPDX-License-Identifier: Apache-2.0
"""What is made of a network once, and again when the network has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import torch
from torch import nn

T = TypeVar("T")


class Prepared(Generic[T]):
    """What `make` returns of a network, kept until the network is another one.

    It is another one where a weight, a layer or a setting of a layer is: a copy of the weights is
    compared each time, in some 2 ms of EfficientNet-Lite0. (PyTorch counts changes of a tensor, but
    not those by way of its ``data``.) Several threads may ask at once; a copy of the object has
    nothing yet.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: tuple[list[Any], list[torch.Tensor], T] | None = None

    def of(self, network: nn.Module) -> T:
        """Return what belongs to the network as it is now."""
        with self._lock:
            layers, numbers = _layers(network), list(_numbers(network))
            kept = self._kept
            if kept is None or kept[0] != layers or not _equal(kept[1], numbers):
                self._kept = None  # before there are two
                kept = layers, [x.detach().clone() for x in numbers], self._make(network)
                self._kept = kept
            return kept[2]

    def __reduce__(self) -> Any:
        return type(self), (self._make,)


def _layers(network: nn.Module) -> list[Any]:
    """Return the layers by name, and the settings of each that are plain values."""
    return [
        (name, type(module), [(k, _plain(v)) for k, v in vars(module).items() if k != "training"])
        for name, module in network.named_modules()
    ]


def _plain(value: Any) -> Any:
    """Return a value that does not change; of one that is not plain, nothing."""
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    return value if isinstance(value, bool | int | float | str) else None


def _numbers(network: nn.Module) -> Iterator[torch.Tensor]:
    """Yield all tensors, those that are but attributes of a layer, too."""
    yield from network.parameters()
    yield from network.buffers()
    for module in network.modules():
        yield from (value for value in vars(module).values() if isinstance(value, torch.Tensor))


def _equal(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    def kinds(tensors: list[torch.Tensor]) -> list[Any]:
        return [(x.shape, x.dtype, x.device) for x in tensors]

    return kinds(some) == kinds(others) and all(map(torch.equal, some, others))
