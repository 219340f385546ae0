# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouvaille import features
from trouvaille.features.detect import SUPPORT

sides = st.integers(1, 300)
scales = st.lists(st.floats(0.5, 20), min_size=1, max_size=4, unique=True)


@given(sides, sides, st.floats(1, 60), scales)
def test_frames_are_an_upright_grid_in_the_middle(height, width, step, scales):
    found = features.dense((height, width), step=step, scales=scales)
    assert [part.dtype for part in found] == [np.float32] * 3
    axes = found.frames[:, :, :2]
    np.testing.assert_array_equal(axes, found.scales[:, None, None] * np.eye(2, dtype=np.float32))
    for scale in np.float32(scales):
        centres = found.frames[found.scales == scale, :, 2].astype(float)
        for axis, side in enumerate((width, height)):
            at = np.unique(centres[:, axis])
            room = side - 1 - 2 * SUPPORT * float(scale)
            if len(at) == 0:
                assert min(height, width) - 1 < 2 * SUPPORT * float(scale) + 1e-4
                continue
            assert at[0] + at[-1] == pytest.approx(side - 1, abs=1e-3)  # in the middle
            assert at[0] >= SUPPORT * scale - 1e-3  # the descriptor is inside
            assert np.allclose(np.diff(at), step, atol=1e-3)
            assert room - (at[-1] - at[0]) < step + 1e-3  # and there is no room for another


@given(sides, sides, st.integers(1, 50), scales)
def test_the_step_grows_until_there_are_few_enough(height, width, most, scales):
    found = features.dense((height, width), step=1, scales=scales, max_features=most)
    assert len(found.frames) <= most
    # The smallest scales are there wherever they fit at all.
    whole = features.dense((height, width), step=50, scales=[min(scales)])
    assert (len(found.frames) > 0) == (len(whole.frames) > 0)


def test_a_mask_keeps_the_frames_within():
    everything = features.dense((100, 120), step=4, scales=[2.0])
    mask = np.zeros((100, 120), np.uint8)
    mask[:, :40] = 255
    kept = features.dense(np.zeros((100, 120, 3)), step=4, scales=[2.0], mask=mask)
    inside = np.rint(everything.frames[:, 0, 2]) < 40
    assert 0 < inside.sum() < len(inside)
    np.testing.assert_array_equal(kept.frames, everything.select(inside).frames)


def test_a_worked_example():
    found = features.dense((64, 64), step=32, scales=[2.0])
    assert found.frames[:, :, 2].tolist() == [
        [15.5, 15.5],
        [47.5, 15.5],
        [15.5, 47.5],
        [47.5, 47.5],
    ]
    assert found.responses.tolist() == [1, 1, 1, 1]
    assert features.dense((1, 1)).frames.shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (np.zeros(5), {}, ValueError, "image must have shape"),
        ((0, 5), {}, ValueError, "height"),
        ((5.5, 5), {}, TypeError, "height"),
        ((9, 9), {"step": 0.5}, ValueError, "step must be at least 1"),
        ((9, 9), {"step": np.nan}, ValueError, "step must be finite"),
        ((9, 9), {"scales": []}, ValueError, "scales must hold"),
        ((9, 9), {"scales": [2, 0]}, ValueError, "scales must be positive, got 0"),
        ((9, 9), {"scales": [2, 1e300]}, ValueError, r"scales must be at most 1e\+18, got 1e\+300"),
        ((9, 9), {"mask": np.ones((9, 8), bool)}, ValueError, "mask must have the image's shape"),
        ((9, 9), {"mask": np.ones((9, 9))}, TypeError, "mask must hold"),
        ((9, 9), {"max_features": 0}, ValueError, "max_features"),
    ],
)
def test_says_what_is_wrong(image, options, error, message):
    with pytest.raises(error, match=message):
        features.dense(image, **options)


def test_regions_can_be_chosen_from():
    found = features.dense((80, 80), step=10, scales=[2.0])
    few = found.select(np.array([2, 0]))
    assert isinstance(few, features.Regions)
    np.testing.assert_array_equal(few.frames, found.frames[[2, 0]])
