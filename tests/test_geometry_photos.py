# SPDX-License-Identifier: Apache-2.0
import doctest

import cv2
import numpy as np
import pytest

import scenes
from trouvaille import features, geometry, images
from trouvaille.geometry import photos

TILTED = np.float64([[0.8, -0.25, 60], [0.2, 0.85, 5], [2e-4, -1e-4, 1]])
SCENE = scenes.scene(0)
VIEW = scenes.view(SCENE, TILTED)


def misses(model, truth, size=(320, 240)):
    """How far the corners of a photo are from where they should be."""
    corners = np.float64([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]) * (*size, 1)
    ours, right = (corners @ m.T for m in (model, truth))
    return np.linalg.norm(ours[:, :2] / ours[:, 2:] - right[:, :2] / right[:, 2:], axis=1)


def test_the_view_is_found():
    found = geometry.match_photos(SCENE, VIEW)
    assert misses(found.estimate.model, TILTED).max() < 1
    assert found.estimate.reason == ""
    assert found.estimate.n_inliers > 50
    assert found.x1.shape == found.x2.shape == (len(found.matches), 2)
    mapped = cv2.perspectiveTransform(found.x1[None], found.estimate.model)[0]
    residuals = np.linalg.norm(mapped - found.x2, axis=1)
    np.testing.assert_array_equal(residuals <= 3, found.estimate.inliers)
    for threads in 1, 3:
        again = geometry.match_photos(SCENE, VIEW, threads=threads)
        for one, other in zip(found[:4], again[:4], strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(found.estimate.model, again.estimate.model)


def test_it_is_the_stages_one_after_the_other():
    found = geometry.match_photos(SCENE, VIEW, "affine", max_features=300, ratio=0.7)
    first, second = (features.sift(photo, max_features=300) for photo in (SCENE, VIEW))
    np.testing.assert_array_equal(found.frames1, first.frames)
    np.testing.assert_array_equal(found.frames2, second.frames)
    matched = geometry.match(first.descriptors, second.descriptors, 0.7)
    np.testing.assert_array_equal(found.matches, matched.matches)
    np.testing.assert_array_equal(found.ratios, matched.ratios)
    estimated = geometry.estimate("affine", found.x1, found.x2, quality=-matched.ratios)
    np.testing.assert_array_equal(found.estimate.inliers, estimated.inliers)
    np.testing.assert_allclose(found.estimate.model, estimated.model, rtol=1e-12)


@pytest.mark.parametrize("model", ["similarity", "homography", "fundamental"])
def test_what_is_worked_on_small_is_of_the_photos_own_pixels(model):
    """The first photo is worked on at a third of its size, the second one as it is."""
    large = np.kron(SCENE, np.ones((3, 3), np.uint8))
    small = scenes.view(SCENE, scenes.similarity(0.9, 25, 5, 5)) if model == "similarity" else VIEW
    whole = geometry.match_photos(SCENE, small, model, max_size=320)
    found = geometry.match_photos(large, small, model, max_size=320)
    enlarged = images.pixels.resized(3, 3)
    np.testing.assert_allclose(found.x1, whole.x1 * 3 + 1, atol=1e-3)
    np.testing.assert_allclose(found.frames1[:, :, :2], whole.frames1[:, :, :2] * 3, rtol=1e-6)
    np.testing.assert_array_equal(found.x2, whole.x2)
    back = found.estimate.model @ enlarged
    back *= whole.estimate.model[2, 2] / back[2, 2]
    np.testing.assert_allclose(back, whole.estimate.model, rtol=1e-6, atol=1e-9)
    norm = np.linalg.norm(found.estimate.model) if model == "fundamental" else found[4].model[2, 2]
    assert norm == pytest.approx(1)


def test_epipolar_geometry_holds_in_the_photos_own_pixels():
    large = np.kron(VIEW, np.ones((3, 3), np.uint8))
    found = geometry.match_photos(SCENE, large, "fundamental", max_size=320)
    x1, x2 = (np.column_stack([x, np.ones(len(x))]) for x in (found.x1, found.x2))
    lines = x1 @ found.estimate.model.T
    off = np.abs((x2 * lines).sum(1)) / np.hypot(lines[:, 0], lines[:, 1])
    assert (off[found.estimate.inliers] < 3 * 5).all()
    assert found.estimate.n_inliers > 50


@pytest.mark.parametrize(
    "options",
    [
        {"detector": "hessian_affine"},
        {"detector": "hessian", "orientation": "upright"},
        {"detector": "harris", "descriptor": "cs_lbp"},
        {"detector": "orb"},
        {"detector": features.Extractor("orb", max_features=400)},
        {"detector": features.opencv(cv2.ORB_create)},
    ],
)
def test_other_features(options):
    moved = scenes.view(SCENE, [[1, 0, 24], [0, 1, -16], [0, 0, 1]])
    found = geometry.match_photos(SCENE, moved, "similarity", **options)
    np.testing.assert_allclose(found.estimate.model, [[1, 0, 24], [0, 1, -16], [0, 0, 1]], atol=0.5)


def test_photos_of_different_things():
    found = geometry.match_photos(SCENE, scenes.scene(1), ratio=1)
    assert len(found.matches) > 100
    assert found.estimate.reason
    assert np.isnan(found.estimate.model).all()
    flat = geometry.match_photos(SCENE, np.full((90, 90), 7, np.uint8), "fundamental")
    assert len(flat.frames2) == len(flat.matches) == len(flat.x1) == 0
    assert flat.estimate.reason


def test_photos_are_read(tmp_path):
    path = scenes.write(tmp_path / "view.png", VIEW)
    for photo in path, str(path), path.read_bytes():
        found = geometry.match_photos(SCENE, photo)
        assert misses(found.estimate.model, TILTED).max() < 1
    with pytest.raises(OSError, match="nothing"):
        geometry.match_photos(path, tmp_path / "nothing.png")
    with pytest.raises(images.ImageError):
        geometry.match_photos(path, b"nothing")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "essential"}, ValueError, "model must be one of"),
        ({"detector": "surf"}, ValueError, "detector 'surf' is unknown"),
        ({"descriptor": "surf"}, ValueError, "descriptor 'surf' is unknown"),
        ({"orientation": "up"}, ValueError, "orientation must be"),
        ({"detector": features.Extractor(), "max_features": 9}, TypeError, "is an Extractor"),
        ({"max_features": 0}, ValueError, "max_features"),
        ({"max_size": 0}, ValueError, "max_size"),
        ({"ratio": 1.5}, ValueError, "ratio"),
        ({"residual_threshold": 0}, ValueError, "residual_threshold"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"threads": 0}, ValueError, "threads"),
    ],
)
def test_says_what_is_wrong(options, error, message):
    with pytest.raises(error, match=message):
        geometry.match_photos(SCENE, VIEW, **options)


def test_the_examples_run():
    failed, attempted = doctest.testmod(photos)
    assert attempted > 0
    assert failed == 0
