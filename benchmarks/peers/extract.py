# SPDX-License-Identifier: Apache-2.0
"""What the peers' scripts share: photos in, features in .npz files out.

python peers/NAME.py VARIANT MAX_FEATURES OUT PHOTO...

writes OUT/<folder>_<stem>.npz for each photo: frames (n, 2, 3) float32, whose radius is the scale
(standard deviation) of the detection and (0, 0) the centre of the top-left pixel, and descriptors
(n, 128), plain SIFT. Each script runs with an interpreter that has its peer.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Extract = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def main(extractor: Callable[..., Extract], **variants: dict[str, Any]) -> None:
    """Write the features of the photos of the command line.

    They are extractor(max_features, **variants[name])(gray).
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("variant", choices=variants)
    parser.add_argument("max_features", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    arguments = parser.parse_args()
    extract = extractor(arguments.max_features, **variants[arguments.variant])
    arguments.out.mkdir(parents=True, exist_ok=True)
    for photo in arguments.photos:
        gray = cv2.imread(str(photo), cv2.IMREAD_GRAYSCALE)
        frames, descriptors = extract(gray)
        if not len(frames) == len(descriptors) <= arguments.max_features:
            raise ValueError(f"{photo}: {len(frames)} frames, {len(descriptors)} descriptors")
        name = f"{photo.parent.name}_{photo.stem}.npz"
        np.savez(arguments.out / name, frames=frames.astype(np.float32), descriptors=descriptors)


def circles(x: np.ndarray, y: np.ndarray, radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Frames of circles, turned by an angle in radians from x to y."""
    cosine, sine = radius * np.cos(angle), radius * np.sin(angle)
    return np.stack([cosine, -sine, x, sine, cosine, y], axis=1).reshape(-1, 2, 3)
