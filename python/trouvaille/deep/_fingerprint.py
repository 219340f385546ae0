# SPDX-License-Identifier: Apache-2.0
"""What tells one network from another: its weights, its layers, and what it is given."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from ._pixels import colours

# What changes a layer's output besides its weights, by the names that PyTorch gives it.
_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "groups", "output_size", "eps")


def fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 of all that a descriptor depends on, but for the photo.

    Layers of other libraries count by their type, weights and usual settings, since how they print
    themselves changes from version to version.
    """
    digest = hashlib.sha256(repr(colours(model)).encode())
    for name, module in model.named_modules():
        own = type(module).__module__.startswith(__package__ or "")
        about = module.extra_repr() if own else ""
        settings = [str(getattr(module, setting, "")) for setting in _SETTINGS]
        digest.update(f"{name}: {type(module).__name__}({about}) {settings}\n".encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}: {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()
