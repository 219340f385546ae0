# SPDX-License-Identifier: Apache-2.0
"""Vocabularies of other programs: DBoW2 and DBoW3, fbow, COLMAP."""

from .colmap import ColmapVocabulary, from_colmap
from .dbow import from_dbow
from .fbow import from_fbow

__all__ = ["ColmapVocabulary", "from_colmap", "from_dbow", "from_fbow"]
