# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from trouvaille import _core, features

# Around the widths of vectors (4 to 64 values a step), thin, tiny, and long.
SHAPES = [(1, 1), (1, 70), (70, 1), (2, 2), (3, 400), (7, 9), (8, 8), (16, 15), (33, 400)]
SHAPES += [(19, 16 * k + tail) for k in (1, 3, 4) for tail in (-1, 0, 1)]
# Of the largest magnitude: a blur's sums are within 1e-6 of those of its taps, and these within
# 1e-6 of the integrals that they stand for; what is rough is smoothed by the blurs that follow.
TOLERANCE = 4e-6


def assert_layers_equal(space, expected):
    assert [len(octave) for octave in space] == [len(octave) for octave in expected]
    for octave, right in zip(space, expected, strict=True):
        for (image, sigma, step), (right_image, right_sigma, right_step) in zip(
            octave, right, strict=True
        ):
            assert (sigma, step) == (np.float32(right_sigma), right_step)
            np.testing.assert_allclose(image, right_image, rtol=0, atol=255 * TOLERANCE)


@pytest.mark.parametrize("first_octave", [-1, 0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layers_equal_the_reference(rng, isa, shape, first_octave):
    photo = rng.integers(0, 256, shape).astype(np.uint8)
    space = _core.ScaleSpace(photo, first_octave, 1).octaves()
    assert_layers_equal(space, reference.scale_space(photo, first_octave))


@settings(max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_any_size_equals_the_reference(isa, height, width, seed):
    photo = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    space = _core.ScaleSpace(photo, -1, 2).octaves()
    assert_layers_equal(space, reference.scale_space(photo))


def test_bytes_and_floats_of_the_same_gray_levels_agree(rng):
    photo = rng.integers(0, 256, (40, 50)).astype(np.uint8)
    spaces = [_core.ScaleSpace(x, -1, 1).octaves() for x in (photo, photo.astype(np.float32))]
    layers = ([layer[0] for octave in space for layer in octave] for space in spaces)
    for a, b in zip(*layers, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("gray", [0, 1, 128, 255])
def test_a_flat_photo_stays_flat(isa, gray):
    for octave in _core.ScaleSpace(np.full((50, 70), gray, np.uint8), -1, 1).octaves():
        for image, *_ in octave:
            np.testing.assert_allclose(image, gray, rtol=TOLERANCE)


def test_the_blur_of_a_layer_is_its_sigma(isa):
    """By the spread of a lone pixel. The finest taps end at 6 pixels, amid the ripples that a cut
    spectrum has: what they leave out is nearly made up for by half of the last one."""
    photo = np.zeros((121, 121), np.uint8)
    photo[60, 60] = 255
    for octave in _core.ScaleSpace(photo, -1, 1).octaves()[:2]:
        for image, sigma, step in octave:
            profile = image.astype(float).sum(0)
            assert profile.sum() == pytest.approx(255, rel=1e-4)
            variance = profile @ (np.arange(121) - 60) ** 2 / 255
            assert step == 1
            actual = np.sqrt(variance + 0.35**2)  # the photo is taken to have that blur
            assert 0.99 < actual / sigma < 1.01


def test_a_smooth_gaussian_is_smoothed_to_a_gaussian(isa):
    y, x = np.mgrid[:96, :101]
    distances, sigma = (x - 50) ** 2 + (y - 48) ** 2, 2.5
    photo = (255 * np.exp(-distances / (2 * sigma**2))).astype(np.float32)
    for octave in _core.ScaleSpace(photo, -1, 1).octaves()[:3]:
        for image, scale, step in octave:
            variance = sigma**2 + scale**2 - 0.35**2
            expected = 255 * sigma**2 / variance * np.exp(-distances / (2 * variance))
            every = slice(None, None, int(step))
            # 0.6 % of what is left of the peak, as the sigmas are short.
            np.testing.assert_allclose(
                image, expected[every, every], atol=0.007 * expected.max(), rtol=0
            )


def test_the_photo_is_not_touched(rng):
    photo = rng.integers(0, 256, (40, 50)).astype(np.uint8)
    before = photo.copy()
    features.ScaleSpace(photo)
    np.testing.assert_array_equal(photo, before)


def test_a_space_outlives_its_photo_and_its_layers_outlive_it(rng):
    photo = rng.integers(0, 256, (40, 50)).astype(np.uint8)
    space = _core.ScaleSpace(photo, -1, 1)
    expected = space.octaves()[0][3][0].copy()
    photo[:] = 0
    layer = space.octaves()[0][3][0]
    del space
    np.testing.assert_array_equal(layer, expected)


def test_the_public_space_says_what_it_is():
    space = features.ScaleSpace(np.zeros((20, 30), np.uint8), first_octave=0)
    assert (space.width, space.height, space.first_octave) == (30, 20, 0)
    assert repr(space) == "ScaleSpace(30x20, first_octave=0)"


@pytest.mark.parametrize("first_octave", [1, -2, 0.5, True, None, "0"])
def test_there_are_two_first_octaves(first_octave):
    with pytest.raises(ValueError, match="first_octave must be -1 or 0"):
        features.ScaleSpace(np.zeros((20, 30), np.uint8), first_octave=first_octave)
