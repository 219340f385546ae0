# SPDX-License-Identifier: Apache-2.0
"""Learned hashing: descriptors → packed bits, for `trouvaille.neighbors.Hamming`."""

from .itq import ITQ
from .random_hyperplanes import RandomHyperplanes
from .semantic import SemanticHashing
from .spectral import SpectralHashing

__all__ = ["ITQ", "RandomHyperplanes", "SemanticHashing", "SpectralHashing"]
