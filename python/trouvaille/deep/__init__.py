# SPDX-License-Identifier: Apache-2.0
"""Photo → one vector, by a network: backbones, pooling (MAC, SPoC, GeM, R-MAC), whitening."""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "trouvaille.deep needs PyTorch, which is not installed: pip install 'trouvaille[deep]'",
        name=_error.name,
    ) from None

from .architecture import Architecture, Layer, sequential
from .backbone import Backbone
from .descriptor_folder import DescriptorRow, FolderDescriptors
from .extraction import DescriptorReport, extract
from .network import MULTI_SCALE, GlobalDescriptor, off_the_shelf
from .pooling import MAC, CroW, GeM, SPoC
from .regional import RMAC, RegionalGeM
from .regions import rmac_regions
from .whitening import Whitening

__all__ = [
    "MAC",
    "MULTI_SCALE",
    "RMAC",
    "Architecture",
    "Backbone",
    "CroW",
    "DescriptorReport",
    "DescriptorRow",
    "FolderDescriptors",
    "GeM",
    "GlobalDescriptor",
    "Layer",
    "RegionalGeM",
    "SPoC",
    "Whitening",
    "extract",
    "off_the_shelf",
    "rmac_regions",
    "sequential",
]
