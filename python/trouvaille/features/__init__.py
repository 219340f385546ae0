# SPDX-License-Identifier: Apache-2.0
"""Photos -> local features: where they are, and what they look like."""

from ._opencv import opencv_sift
from ._types import Features, Photo, Regions
from .describe import DIMENSIONS, FINGERPRINT, sift
from .detect import dense
from .extraction import Extraction, extract, extract_all
from .listing import MAX_ID_LENGTH, expand, id_problem, list_photos, shown

__all__ = [
    "DIMENSIONS",
    "FINGERPRINT",
    "MAX_ID_LENGTH",
    "Extraction",
    "Features",
    "Photo",
    "Regions",
    "dense",
    "expand",
    "extract",
    "extract_all",
    "id_problem",
    "list_photos",
    "opencv_sift",
    "shown",
    "sift",
]
