# SPDX-License-Identifier: Apache-2.0
"""Orders of SIFT's bins: by their definitions, and against the programs that are at hand."""

import warnings

import numpy as np
import pytest

import scenes
from trouvaille import features

CELL = 24  # pixels
OURS = ["sift", "opencv_sift"]  # the order of bins is the same


FRAME = np.float32([[[CELL / 3, 0, 100], [0, CELL / 3, 100]]])


@pytest.mark.parametrize("descriptor", OURS)
@pytest.mark.parametrize("direction", range(8))
def test_a_slope_fills_the_direction_of_the_definition(descriptor, direction):
    """VLFeat counts directions clockwise as seen (as angles run where y points down), OpenCV and
    Lowe anticlockwise; in all of them directions are the fastest."""
    y, x = np.mgrid[-100:100, -100:100]
    angle = direction * np.pi / 4
    image = np.rint(128 + 0.8 * (x * np.cos(angle) + y * np.sin(angle))).astype(np.uint8)
    described = features.describe(image, FRAME, descriptor, root=False).descriptors
    vlfeat = features.convert_sift(described, "opencv", "vlfeat")
    assert (vlfeat.reshape(16, 8).argmax(axis=1) == direction).all()
    assert (described.reshape(16, 8).argmax(axis=1) == -direction % 8).all()


@pytest.mark.parametrize("descriptor", OURS)
@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("col", range(4))
def test_what_is_in_one_cell_fills_the_cell_of_the_definition(rng, descriptor, row, col):
    """Row by row, for all of them."""
    image = np.full((200, 200), 128, np.uint8)
    top, left = 52 + row * CELL, 52 + col * CELL
    image[top + 6 : top + 18, left + 6 : left + 18] = rng.integers(0, 256, (12, 12))
    described = features.describe(image, FRAME, descriptor, root=False).descriptors
    for flavour in ("opencv", "vlfeat"):
        converted = features.convert_sift(described, "opencv", flavour)
        assert converted.reshape(16, 8).sum(axis=1).argmax() == 4 * row + col


@pytest.mark.parametrize("source", features.SIFT_FLAVOURS)
@pytest.mark.parametrize("target", features.SIFT_FLAVOURS)
def test_conversions_are_permutations_that_go_back(rng, source, target):
    for dtype in (np.uint8, np.float32):
        given = rng.integers(0, 256, (5, 128)).astype(dtype)
        there = features.convert_sift(given, source, target)
        assert there.dtype == dtype
        assert not np.shares_memory(there, given)
        np.testing.assert_array_equal(np.sort(there), np.sort(given))
        np.testing.assert_array_equal(features.convert_sift(there, target, source), given)


def correlation(one, other):
    rows = [(part - part.mean(axis=1, keepdims=True)) for part in (one, other)]
    norms = [np.linalg.norm(part, axis=1) for part in rows]
    return np.median((rows[0] * rows[1]).sum(axis=1) / (norms[0] * norms[1]))


@pytest.mark.parametrize("descriptor", OURS)
def test_hesaff_on_an_image(tmp_path, descriptor):
    """Its descriptors, converted, are like ours at the same places; unconverted, or with the
    cells transposed, they are not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyhesaff = pytest.importorskip("pyhesaff")
        image = scenes.scene(0, (640, 480))
        path = scenes.write(tmp_path / "image.png", image)
        keypoints, described = pyhesaff.detect_feats(str(path), affine_invariance=False)
    # Its patch is of 5 cells and reaches as far as the circle; a cell has three scales.
    scale = 2 * keypoints[:, 2] / 5 / 3
    reach = keypoints[:, 2]
    x, y = keypoints[:, 0], keypoints[:, 1]
    inside = (reach > 12) & (np.minimum(x, y) > reach) & (x < 640 - reach) & (y < 480 - reach)
    assert inside.sum() > 50
    frames = np.zeros((inside.sum(), 2, 3), np.float32)
    frames[:, 0, 0] = frames[:, 1, 1] = scale[inside]
    frames[:, :, 2] = keypoints[inside, :2]
    ours = features.describe(image, frames, descriptor, root=False).descriptors.astype(float)
    converted = features.convert_sift(described[inside], "hesaff", "opencv").astype(float)
    assert correlation(ours, converted) > 0.95
    assert correlation(ours, described[inside].astype(float)) < 0.4
    transposed = converted.reshape(-1, 4, 4, 8).transpose(0, 2, 1, 3).reshape(-1, 128)
    assert correlation(ours, transposed) < 0.6


@pytest.mark.parametrize(
    ("descriptors", "flavours", "message"),
    [
        (np.zeros((2, 64), np.uint8), ("vlfeat", "opencv"), "descriptors must have 128 columns"),
        (np.zeros((2, 128), np.uint8), ("vl", "opencv"), "source must be one of .*vlfeat"),
        (np.zeros((2, 128), np.uint8), ("vlfeat", None), "target must be one of"),
    ],
)
def test_says_what_is_wrong(descriptors, flavours, message):
    with pytest.raises(ValueError, match=message):
        features.convert_sift(descriptors, *flavours)
