# SPDX-License-Identifier: Apache-2.0
"""Where a network runs, and why there."""

from __future__ import annotations

from typing import Any

import torch


def chosen_device(device: str | torch.device) -> tuple[Any, str]:
    """Return the device that is meant, and why: "auto" is a GPU if PyTorch can use one.

    Raises
    ------
    TypeError, ValueError
        If it is none.
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
    if wanted.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but {_no_gpu()}")
    return wanted, "it was asked for"


def _found() -> tuple[Any, str]:
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
        return device, f"PyTorch can use a GPU, {torch.cuda.get_device_name(device)}"
    return torch.device("cpu"), _no_gpu()


def _no_gpu() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} was built for the CPU alone"
    return "PyTorch finds no GPU that it can use"
