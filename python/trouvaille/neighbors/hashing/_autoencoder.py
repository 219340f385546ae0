# SPDX-License-Identifier: Apache-2.0
"""The training of semantic hashing's network: the only part that needs PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BATCH = 256
_RATE = 1e-3  # the largest of its cycle

Layers = list[tuple[NDArray[np.float64], NDArray[np.float64]]]


def trained_encoder(
    X: NDArray[np.float32], sizes: Sequence[int], *, noise: float, epochs: int, seed: int
) -> Layers:
    """Return weights and offsets, as `_core.project` takes them, of layers of so many units.

    The units of all layers but the last are rectified. `X` has a mean of 0 and a variance of 1.
    """
    torch = _torch()
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are left alone
        torch.manual_seed(seed)
        encoder = _perceptron(torch, [X.shape[1], *sizes])
        decoder = _perceptron(torch, [X.shape[1], *sizes][::-1])
        _train(torch, encoder, decoder, torch.from_numpy(X), noise, epochs)
    linear = [layer for layer in encoder if isinstance(layer, torch.nn.Linear)]
    return [
        (_array(layer.weight).T, -_array(layer.bias))  # offsets are what is subtracted
        for layer in linear
    ]


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "SemanticHashing.fit needs PyTorch, which is not installed: "
            'pip install "trouvaille[deep]", or torch',
            name=error.name,
        ) from None
    return torch


def _perceptron(torch: Any, sizes: Sequence[int]) -> Any:
    layers: list[Any] = []
    for before, after in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _train(torch: Any, encoder: Any, decoder: Any, X: Any, noise: float, epochs: int) -> None:
    parameters = [*encoder.parameters(), *decoder.parameters()]
    steps = epochs * -(-len(X) // _BATCH)
    optimizer = torch.optim.Adam(parameters, lr=_RATE)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps + 1)
    step = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(_BATCH):
            x = X[rows]
            units = encoder(x)
            noisy = units + noise * step / steps * torch.randn_like(units)
            restored = decoder(torch.tanh(noisy / 2))  # a sigmoid, from -1 to 1
            optimizer.zero_grad()
            (restored - x).square().mean().backward()
            optimizer.step()
            rate.step()
            step += 1


def _array(parameter: Any) -> NDArray[np.float64]:
    return np.asarray(parameter.detach().numpy(), np.float64)
