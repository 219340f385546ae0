# SPDX-License-Identifier: Apache-2.0
"""What this machine offers besides its CPU."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._cuda import Device


def cuda_devices() -> tuple[Device, ...]:
    """Return the GPUs that the CUDA kernels can use; `cuda_reason` says why there is none."""
    return _probe()[0]


def cuda_reason() -> str:
    """Return why the CUDA kernels cannot be used; empty if they can."""
    return _probe()[1]


def _probe() -> tuple[tuple[Device, ...], str]:
    try:
        cuda = importlib.import_module(f"{__package__}._cuda")
    except ModuleNotFoundError:
        return (), "this installation has no CUDA module; `make cuda` builds one"
    except ImportError as error:
        return (), f"the CUDA module does not load: {error}"
    try:
        devices = tuple(cuda.devices())
    except RuntimeError as error:
        return (), f"the CUDA driver does not answer: {error}"
    return devices, "" if devices else "no GPU is visible (CUDA_VISIBLE_DEVICES may hide them)"
