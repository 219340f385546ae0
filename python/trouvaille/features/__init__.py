# SPDX-License-Identifier: Apache-2.0
"""Photos -> local features: where they are, and what they look like."""

from ._network import network
from ._opencv import from_keypoints, opencv, opencv_sift, orb, to_keypoints
from ._types import Features, Photo, Regions
from .affine import (
    AffineShapes,
    affine_shapes,
    harris,
    harris_affine,
    hessian,
    hessian_affine,
)
from .describe import DESCRIPTORS, DIMENSIONS, FINGERPRINT, cs_lbp, describe, describe_sift, sift
from .detect import DETECTORS, dense, dog
from .drawing import draw
from .extraction import Extraction, extract, extract_all
from .extractor import Extractor, fingerprint
from .files import from_colmap, read_oxford, to_colmap, write_oxford
from .flavours import SIFT_FLAVOURS, convert_sift
from .folder import FolderReport, extract_folder
from .folder_files import FolderFeatures, PhotoRow
from .listing import MAX_ID_LENGTH, expand, id_problem, list_photos, printable, shown
from .registry import Descriptor, Detector, parse_fingerprint
from .scale_space import ScaleSpace

__all__ = [
    "DESCRIPTORS",
    "DETECTORS",
    "DIMENSIONS",
    "FINGERPRINT",
    "MAX_ID_LENGTH",
    "SIFT_FLAVOURS",
    "AffineShapes",
    "Descriptor",
    "Detector",
    "Extraction",
    "Extractor",
    "Features",
    "FolderFeatures",
    "FolderReport",
    "Photo",
    "PhotoRow",
    "Regions",
    "ScaleSpace",
    "affine_shapes",
    "convert_sift",
    "cs_lbp",
    "dense",
    "describe",
    "describe_sift",
    "dog",
    "draw",
    "expand",
    "extract",
    "extract_all",
    "extract_folder",
    "fingerprint",
    "from_colmap",
    "from_keypoints",
    "harris",
    "harris_affine",
    "hessian",
    "hessian_affine",
    "id_problem",
    "list_photos",
    "network",
    "opencv",
    "opencv_sift",
    "orb",
    "parse_fingerprint",
    "printable",
    "read_oxford",
    "shown",
    "sift",
    "to_colmap",
    "to_keypoints",
    "write_oxford",
]
