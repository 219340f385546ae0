# SPDX-License-Identifier: Apache-2.0
"""Made photos: scenes with structure at many scales, and views of them by a known transform.

Gray or RGB.
"""

import numpy as np


def scene(seed, size=(320, 240)):
    """A gray image of `size` (width, height) that looks like no other."""
    import cv2

    rng = np.random.default_rng(seed)
    width, height = size
    image = np.zeros((height, width), np.float32)
    for cells in (6, 12, 24, 48):
        noise = rng.normal(size=(cells, cells)).astype(np.float32)
        image += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC) / cells**0.3
    for _ in range(60):  # corners and edges
        x, y = rng.integers(0, width), rng.integers(0, height)
        w, h = rng.integers(6, 40, 2)
        image[y : y + h, x : x + w] += rng.normal()
    low, high = np.percentile(image, [1, 99])
    return np.clip(255 * (image - low) / (high - low), 0, 255).astype(np.uint8)


def tinted(image, colour):
    """A gray image in the shades of an RGB colour."""
    return (image[..., None] * (np.array(colour) / 255)).astype(np.uint8)


def view(image, transform, size=None):
    """The image seen through `transform` (3x3, from its pixels to the view's)."""
    import cv2

    size = size or (image.shape[1], image.shape[0])
    return cv2.warpPerspective(
        image, np.asarray(transform, float), size, flags=cv2.INTER_AREA, borderValue=(127, 127, 127)
    )


def similarity(scale, degrees, x, y, about=(160, 120)):
    """Scale and turn (clockwise as seen) about a point, then move by x, y."""
    turn = np.deg2rad(degrees)
    a = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    move = np.add(about, (x, y)) - a @ about
    return np.vstack([np.column_stack([a, move]), [0, 0, 1]])


def write(path, image):
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image if image.ndim == 2 else image[..., ::-1]  # OpenCV's are BGR
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path
