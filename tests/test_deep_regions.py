# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import reference_deep
from deep_cases import deep

rmac_levels, rmac_regions = deep.regions.rmac_levels, deep.rmac_regions

SIDES = range(1, 65)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_regions_are_the_rules_on_every_shape(levels):
    for height in SIDES:
        for width in SIDES:
            expected = reference_deep.regions(height, width, levels)
            np.testing.assert_array_equal(
                rmac_regions(height, width, levels), expected, f"{height}x{width}"
            )


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
def test_regions_of_other_overlaps(overlap):
    for height in SIDES[::3]:
        for width in SIDES:
            for whole in False, True:
                expected = reference_deep.regions(height, width, 3, overlap, whole)
                given = rmac_regions(height, width, 3, overlap, whole)
                np.testing.assert_array_equal(given, expected, f"{height}x{width}")


def test_the_squares_of_a_photo_by_hand():
    # 9x5 cells: with one more square neighbours overlap by 1 - 4/5, with two by 1 - 2/5: both are
    # 0.2 from what is wanted, so it is one. Sides are 5, 3, 2.
    level = rmac_levels(5, 9, 3, 0.4)
    assert [found.size for found in level] == [5, 3, 2]
    assert [found.lefts for found in level] == [(0, 4), (0, 3, 6), (0, 2, 4, 7)]
    assert [found.tops for found in level] == [(0,), (0, 2), (0, 1, 3)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 313), (2, 3), (20, 15), (64, 64)])
def test_regions_lie_on_the_map_and_touch_its_edges(shape):
    height, width = shape
    found = rmac_regions(height, width)
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2] <= width).all()
    assert (found[:, 3] <= height).all()
    assert (found[:, 2] > found[:, 0]).all()
    assert [found[:, 0].min(), found[:, 2].max()] == [0, width]
    assert [found[:, 1].min(), found[:, 3].max()] == [0, height]


def test_a_turned_map_has_turned_regions():
    for height, width in [(3, 11), (20, 15), (7, 35)]:
        turned = rmac_regions(width, height)[:, [1, 0, 3, 2]]
        assert set(map(tuple, turned)) == set(map(tuple, rmac_regions(height, width)))


def test_regions_cannot_be_changed_by_who_got_them():
    with pytest.raises(ValueError, match="read-only"):
        rmac_regions(4, 4)[0, 0] = 1


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((0, 4), ValueError, "height must be between 1"),
        ((4, 2.5), TypeError, "width must be a whole number"),
        ((4, 4, 0), ValueError, "levels must be between 1"),
        ((4, 4, 3, 1), ValueError, "overlap must be less than 1"),
        ((4, 4, 3, -0.1), ValueError, "overlap must be between 0 and 1"),
        ((4, 4, 3, float("nan")), ValueError, "overlap"),
        ((4, 4, 3, 0.4, "no"), TypeError, "include_global must be True or False"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, said):
    with pytest.raises(error, match=said):
        rmac_regions(*arguments)
