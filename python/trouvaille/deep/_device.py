# SPDX-License-Identifier: Apache-2.0
"""Where a network runs, and why there."""

from __future__ import annotations

from typing import Any

import torch

_KINDS = "cuda", "xpu", "mps"  # of devices beside the CPU


def chosen_device(device: str | torch.device) -> tuple[Any, str]:
    """Return the device that is meant, and why: "auto" is a GPU if PyTorch can use one.

    Raises
    ------
    TypeError, ValueError
        If it is none, or none that there is; it says which there are.
    """
    if device == "auto":
        return _found()
    if not isinstance(device, str | torch.device):
        raise TypeError(f"device must be text or a torch.device, got {type(device).__name__}")
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto' or one of PyTorch's, got {device!r}: {error}"
        ) from None
    if wanted.type != "cpu" and (wanted.index or 0) >= _count(wanted.type):
        why = _no_gpu() if wanted.type == "cuda" and not _count("cuda") else "there is none"
        raise ValueError(f"device is {str(device)!r}, but {why}; use {' or '.join(_there())}")
    return wanted, "it was asked for"


def _count(kind: str) -> int:
    """Return how many devices of a kind PyTorch can compute on."""
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    module: Any = getattr(torch, kind, None)  # torch.cuda, torch.xpu, or of a package that adds one
    available = getattr(module, "is_available", None)
    return int(module.device_count()) if available is not None and available() else 0


def _there() -> list[str]:
    """Return the devices that there are."""
    return ["cpu", *(f"{kind}:{i}" for kind in _KINDS for i in range(_count(kind)))]


def _found() -> tuple[Any, str]:
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
        return device, f"PyTorch can use a GPU, {torch.cuda.get_device_name(device)}"
    return torch.device("cpu"), _no_gpu()


def _no_gpu() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} was built for the CPU alone"
    return "PyTorch finds no GPU that it can use"
