# SPDX-License-Identifier: Apache-2.0
"""Photo → one vector, by a network: backbones, pooling (MAC, SPoC, GeM, R-MAC), whitening."""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "trouvaille.deep needs PyTorch, which is not installed: pip install 'trouvaille[deep]'",
        name=_error.name,
    ) from None

from .pooling import MAC, CroW, GeM, SPoC
from .regional import RMAC, RegionalGeM
from .regions import rmac_regions
from .whitening import Whitening

__all__ = [
    "MAC",
    "RMAC",
    "CroW",
    "GeM",
    "RegionalGeM",
    "SPoC",
    "Whitening",
    "rmac_regions",
]
