# SPDX-License-Identifier: Apache-2.0
"""Weights of a network from a file, and into a network."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ._torch_file import load as load_torch_file

Weights = str | os.PathLike[str] | None


def imported(module: str, user: str, install: str) -> Any:
    """Return a module that only `user` needs, or say what to install."""
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:  # torchvision beside another torch: RuntimeError
        raise ImportError(
            f"{user} needs {module}, which cannot be imported ({error}): {install}", name=module
        ) from error


def read_weights(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Return the weights that a file holds by name. No code in the file is run.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, or holds anything but tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights must be a file, there is none at {path}")
    try:
        held = _read(path)
    except ImportError:
        raise
    except Exception as error:  # whatever a damaged file makes of two libraries
        raise ValueError(
            f"{path} must hold a network's weights and nothing else, as safetensors or of "
            f"torch.save; it cannot be read ({type(error).__name__}: {str(error)[:200]})"
        ) from None
    tensors = isinstance(held, dict) and all(isinstance(x, torch.Tensor) for x in held.values())
    if not held or not tensors or not all(isinstance(name, str) for name in held):
        raise ValueError(f"{path} must hold tensors by name, and nothing else")
    return dict(held)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        needs = imported("safetensors.torch", str(path), "pip install 'trouvaille[deep]'")
        return needs.load_file(path)
    return load_torch_file(path)


def put_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Put the weights of a file into a network of just these names and shapes."""
    weights = read_weights(path)
    missing, unknown, other = map(sorted, differences(network, weights))
    if missing or unknown or other:
        raise ValueError(
            f"{path} holds weights of another network: {_some(missing)} missing, "
            f"{_some(unknown)} unknown, {_some(other)} of another shape"
        )
    network.load_state_dict(weights, strict=False)


def differences(
    network: nn.Module, weights: Mapping[str, torch.Tensor]
) -> tuple[list[str], list[str], list[str]]:
    """Return which weights a network lacks, which it does not have, and which differ in shape."""
    own = network.state_dict()
    # Files from before PyTorch 0.4.1 have no counts of batches, and nothing here needs them.
    missing = [n for n in own if n not in weights and not n.endswith("num_batches_tracked")]
    unknown = [name for name in weights if name not in own]
    both = [name for name in own if name in weights]
    return missing, unknown, [name for name in both if weights[name].shape != own[name].shape]


def _some(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:2])})" if names else "none"
