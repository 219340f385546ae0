# SPDX-License-Identifier: Apache-2.0
"""Photo → one vector, by a network: backbones, pooling (MAC, SPoC, GeM, R-MAC), whitening."""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "trouvaille.deep needs PyTorch, which is not installed: pip install 'trouvaille[deep]'",
        name=_error.name,
    ) from None

from .regions import rmac_regions

__all__ = [
    "rmac_regions",
]
