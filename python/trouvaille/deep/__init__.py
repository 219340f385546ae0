# SPDX-License-Identifier: Apache-2.0
"""Photo → one vector, by a network: backbones, pooling (MAC, SPoC, GeM, R-MAC), whitening."""

try:
    import torch  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "trouvaille.deep needs PyTorch, which is not installed: pip install 'trouvaille[deep]'",
        name=_error.name,
    ) from None

from ._fused import for_extraction
from .activation import (
    ActivationMap,
    activation_map,
    attention_map,
    draw_activation,
    draw_attention,
)
from .architecture import Architecture, Layer, sequential
from .attention import Attention, NormAttention
from .backbone import Backbone
from .card import Card
from .checkpoints import import_network, load_network, read_card, save_network
from .delf import DELF, DELF_SCALES
from .delf_card import DELFCard
from .delf_detector import DELFDetector
from .descriptor_folder import DescriptorRow, FolderDescriptors
from .extraction import DescriptorReport, extract
from .network import MULTI_SCALE, GlobalDescriptor, off_the_shelf
from .pooling import MAC, CroW, GeM, SPoC
from .projected import Projected
from .receptive_field import ReceptiveField, receptive_field
from .regional import RMAC, RegionalGeM
from .regions import rmac_regions
from .whitening import Whitening

__all__ = [
    "DELF",
    "DELF_SCALES",
    "MAC",
    "MULTI_SCALE",
    "RMAC",
    "ActivationMap",
    "Architecture",
    "Attention",
    "Backbone",
    "Card",
    "CroW",
    "DELFCard",
    "DELFDetector",
    "DescriptorReport",
    "DescriptorRow",
    "FolderDescriptors",
    "GeM",
    "GlobalDescriptor",
    "Layer",
    "NormAttention",
    "Projected",
    "ReceptiveField",
    "RegionalGeM",
    "SPoC",
    "Whitening",
    "activation_map",
    "attention_map",
    "draw_activation",
    "draw_attention",
    "extract",
    "for_extraction",
    "import_network",
    "load_network",
    "off_the_shelf",
    "read_card",
    "receptive_field",
    "rmac_regions",
    "save_network",
    "sequential",
]
