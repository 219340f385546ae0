# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hostile
import reference
from trouvaille.evaluation import matching_score, repeatability
from trouvaille.evaluation.overlap import overlap_errors

SIZE = (800, 640)
IDENTITY = np.eye(3)
PERSPECTIVE = np.array([[0.9, 0.2, -30.0], [-0.25, 1.05, 60.0], [2e-4, -1e-4, 1.0]])


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def disc(x, y, radius=4.0):
    return [[radius, 0.0, x], [0.0, radius, y]]


def random_frames(n, seed=0, size=SIZE):
    rng = np.random.default_rng(seed)
    scales = np.exp(rng.uniform(np.log(1.6), np.log(12), n))
    stretch = np.exp(rng.uniform(-0.5, 0.5, n))
    axes = [
        rotation(a) @ np.diag([s * t, s / t]) @ rotation(b)
        for a, b, s, t in zip(*rng.uniform(0, 6, (2, n)), scales, stretch, strict=True)
    ]
    centers = rng.uniform(0, size, (n, 2))
    return np.concatenate([np.reshape(axes, (n, 2, 2)), centers[:, :, None]], axis=2)


def mapped(frames, homography):
    """Map frames by the affine map that touches the homography, found by differences."""

    def point(p):
        x, y, w = homography @ [*p, 1.0]
        return np.array([x, y]) / w

    out = np.empty_like(frames)
    for frame, result in zip(frames, out, strict=True):
        center = frame[:, 2]
        result[:, 2] = point(center)
        for k in range(2):
            step = 1e-4 * frame[:, k]
            result[:, k] = (point(center + step) - point(center - step)) / 2e-4
    return out


def shaken(frames, seed=1, shift=2.0):
    """Move, turn and stretch frames by a little."""
    rng = np.random.default_rng(seed)
    out = frames.copy()
    out[:, :, :2] = out[:, :, :2] @ (np.eye(2) + rng.normal(0, 0.08, (len(frames), 2, 2)))
    out[:, :, 2] += rng.normal(0, shift, (len(frames), 2))
    return out


def descriptors_for(n, seed=2, d=16):
    return np.random.default_rng(seed).integers(0, 256, (n, d)).astype(np.uint8)


# The overlap of two ellipses


def lens(radius, distance):
    """Area that the unit disc and another one have in common."""
    if distance <= abs(1 - radius):
        return math.pi * min(1, radius) ** 2
    if distance >= 1 + radius:
        return 0.0
    first = math.acos((distance**2 + 1 - radius**2) / (2 * distance))
    second = math.acos((distance**2 + radius**2 - 1) / (2 * distance * radius))
    kite = (-distance + 1 + radius) * (distance + 1 - radius)
    kite *= (distance - 1 + radius) * (distance + 1 + radius)
    return first + radius**2 * second - math.sqrt(kite) / 2


@given(st.floats(0.2, 5), st.floats(0, 1.2), st.floats(0, 7))
def test_overlap_of_discs_is_that_of_the_formula(radius, share, angle):
    distance = share * (1 + radius)
    offset = [[distance * math.cos(angle), distance * math.sin(angle)]]
    (error,) = overlap_errors(np.eye(2)[None] * radius, np.array(offset))
    common = lens(radius, distance)
    assert error == pytest.approx(1 - common / (math.pi * (1 + radius**2) - common), abs=1e-4)


def pairs_of_ellipses(n, seed=0):
    rng = np.random.default_rng(seed)
    first, second = (random_frames(n, seed + k)[:, :, :2] for k in range(2))
    return first, second, rng.normal(0, 6, (n, 2))


def errors_of(first, second, offsets):
    inverse = np.linalg.inv(first)
    return overlap_errors(inverse @ second, (inverse @ offsets[:, :, None])[:, :, 0])


def test_overlap_equals_the_reference():
    first, second, offsets = pairs_of_ellipses(30)
    expected = [
        reference.ellipse_overlap_error(*pair) for pair in zip(first, second, offsets, strict=True)
    ]
    np.testing.assert_allclose(errors_of(first, second, offsets), expected, atol=2e-3)
    assert 0.1 < np.min(expected) < 0.5 < np.max(expected) <= 1


def test_overlap_is_affine_invariant_and_symmetric():
    first, second, offsets = pairs_of_ellipses(5000)
    expected = errors_of(first, second, offsets)
    change = np.array([[2.0, 0.7], [-0.3, 0.4]])
    actual = errors_of(change @ first, change @ second, offsets @ change.T)
    np.testing.assert_allclose(actual, expected, atol=2e-4)
    np.testing.assert_allclose(errors_of(second, first, -offsets), expected, atol=4e-4)
    turned = first @ rotation(1.0)  # another frame of the same ellipse
    np.testing.assert_allclose(errors_of(turned, second, offsets), expected, atol=4e-4)


def test_overlap_of_one_ellipse_within_another_is_exact():
    axes = np.array([[[0.5, 0.2], [-0.1, 0.3]], [[30.0, 1.0], [0.0, 20.0]], [[1.0, 0.0], [0, 1]]])
    areas = np.abs(np.linalg.det(axes))
    expected = 1 - np.minimum(areas, 1) / np.maximum(areas, 1)
    actual = overlap_errors(axes, np.array([[0.2, -0.1], [3.0, 5.0], [0.0, 0.0]]))
    np.testing.assert_allclose(actual, expected, atol=1e-12)


# Repeatability


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("overlap_error", [0.2, 0.4, 0.6])
def test_repeatability_equals_the_reference(seed, overlap_error):
    frames1 = random_frames(80, seed)
    frames2 = np.concatenate([shaken(mapped(frames1, PERSPECTIVE), seed, 4), random_frames(30, 9)])
    arguments = frames1, frames2, PERSPECTIVE, SIZE, (760, 650)
    result = repeatability(*arguments, overlap_error=overlap_error)
    n_common, expected = reference.repeatability(*arguments, overlap_error)
    assert result.n_common == n_common
    assert 5 < result.n_correspondences == len(expected) < n_common
    assert {tuple(pair) for pair in result.correspondences.tolist()} == set(expected)
    assert result.repeatability == len(expected) / n_common
    errors = [expected[i, j] for i, j in result.correspondences.tolist()]
    np.testing.assert_allclose(result.overlap_errors, errors, atol=2e-3)
    assert (np.diff(result.overlap_errors) >= 0).all()


def test_the_same_regions_repeat():
    frames = random_frames(500)
    result = repeatability(frames, frames, IDENTITY, SIZE, SIZE)
    assert result.repeatability == 1.0
    assert 400 < result.n_common == result.n_correspondences < 500
    np.testing.assert_array_equal(result.correspondences[:, 0], result.correspondences[:, 1])
    assert result.overlap_errors.max() < 1e-12


def test_regions_mapped_by_the_homography_repeat():
    frames = random_frames(300)
    result = repeatability(frames, mapped(frames, PERSPECTIVE), PERSPECTIVE, SIZE, SIZE)
    assert result.repeatability == 1.0
    assert 200 < result.n_common < 300
    assert result.overlap_errors.max() < 1e-5


@pytest.mark.parametrize("radius", [2.0, 4.0, 40.0])
@pytest.mark.parametrize("shift", [0.0, 1.0, 6.0, 11.0])
def test_overlap_is_that_of_discs_of_thirty_pixels(radius, shift):
    frames1, frames2 = [disc(200, 200, radius)], [disc(200 + shift, 200, radius)]
    result = repeatability(frames1, frames2, IDENTITY, SIZE, SIZE)
    if shift >= 4 * radius:
        assert result.repeatability == 0.0
    else:
        common = lens(1.0, shift / 30)
        assert result.overlap_errors == pytest.approx(
            [1 - common / (2 * math.pi - common)], abs=1e-4
        )


@pytest.mark.parametrize(("radius", "repeats"), [(4 * 0.78, True), (4 * 0.77, False)])
def test_areas_may_differ_by_the_overlap_error(radius, repeats):
    # One disc within the other: the error is 1 - 0.775^2 = 0.4 at the limit.
    for frames in (
        ([disc(99, 99)], [disc(99, 99, radius)]),
        ([disc(99, 99, radius)], [disc(99, 99)]),
    ):
        assert repeatability(*frames, IDENTITY, SIZE, SIZE).repeatability == repeats


def test_the_limit_of_the_overlap_error_is_not_allowed():
    frames = [disc(99, 99)], [disc(104, 99)]
    (error,) = repeatability(*frames, IDENTITY, SIZE, SIZE).overlap_errors
    for bound, expected in ((error, 0), (math.nextafter(error, 1), 1)):
        result = repeatability(*frames, IDENTITY, SIZE, SIZE, overlap_error=bound)
        assert result.n_correspondences == expected


@pytest.mark.parametrize(
    ("x", "y", "inside"),
    [(3.5, 3.5, True), (3.4, 9, False), (9, 3.4, False), (95.5, 75.5, True), (95.6, 9, False)],
)
def test_regions_that_leave_their_image_do_not_count(x, y, inside):
    # Pixels have a side of 1 about their centres, so an image begins at -0.5.
    frames = [disc(x, y)]
    assert repeatability(frames, frames, IDENTITY, (100, 80), (100, 80)).n_common == inside


def test_regions_outside_the_other_image_do_not_count():
    frames = [disc(30, 30), disc(60, 30)]
    for shift in (50.0, -50.0):
        moved = np.array([[1, 0, shift], [0, 1, 0], [0, 0, 1.0]])
        result = repeatability(frames, frames, moved, (100, 80), (100, 80))
        assert result.n_common == 1  # 30 + 50, or 60 - 50
        assert result.n_correspondences == 0
        nowhere = repeatability(
            frames, frames, moved * [[1, 1, 9], [1, 1, 1], [1, 1, 1]], (99, 80), (99, 80)
        )
        assert nowhere.n_common == 0
        assert math.isnan(nowhere.repeatability)


def test_regions_at_the_horizon_do_not_count():
    horizon = np.array([[1, 0, 0], [0, 1, 0], [-1 / 50, 0, 1.0]])  # x = 50 goes to infinity
    there = mapped(np.array([disc(10, 40)]), horizon)
    result = repeatability([disc(50, 40), disc(10, 40)], there, horizon, SIZE, SIZE)
    assert result.n_common == 1
    np.testing.assert_array_equal(result.correspondences, [[1, 0]])


def test_correspondences_are_one_to_one_and_the_best_first():
    frames1 = [disc(100, 100), disc(103, 100)]
    frames2 = [disc(104, 100), disc(105, 100), disc(300, 100)]
    result = repeatability(frames1, frames2, IDENTITY, SIZE, SIZE)
    # 103-104 is the nearest, which leaves 100-105.
    np.testing.assert_array_equal(result.correspondences, [[1, 0], [0, 1]])
    assert (result.n_common, result.repeatability) == (2, 1.0)


def test_many_regions_of_one_place():
    frames = np.array([disc(100, 100)] * 40)
    result = repeatability(frames, frames[:30], IDENTITY, SIZE, SIZE)
    np.testing.assert_array_equal(
        result.correspondences, np.repeat(np.arange(30), 2).reshape(-1, 2)
    )


def test_order_does_not_matter():
    frames1 = random_frames(300)
    frames2 = shaken(frames1)
    expected = repeatability(frames1, frames2, IDENTITY, SIZE, SIZE)
    order1, order2 = (np.random.default_rng(seed).permutation(300) for seed in (3, 4))
    result = repeatability(frames1[order1], frames2[order2], IDENTITY, SIZE, SIZE)
    assert result.repeatability == expected.repeatability
    renamed = np.stack([order1[result.correspondences[:, 0]], order2[result.correspondences[:, 1]]])
    np.testing.assert_array_equal(renamed.T, expected.correspondences)


def similarity(scale, angle, x, y):
    out = np.eye(3)
    out[:2, :2] = scale * rotation(angle)
    out[:2, 2] = x, y
    return out


def test_image_2_may_be_any_similar_image():
    frames1 = random_frames(300)
    frames2 = shaken(frames1)
    expected = repeatability(frames1, frames2, IDENTITY, SIZE, SIZE)
    # A quarter of a turn and twice the size: pixel corners stay corners.
    turn = similarity(2.0, math.pi / 2, 2 * SIZE[1] - 1.5, 0.5)
    result = repeatability(frames1, mapped(frames2, turn), turn, SIZE, (2 * SIZE[1], 2 * SIZE[0]))
    assert result.n_common == expected.n_common
    np.testing.assert_array_equal(result.correspondences, expected.correspondences)
    np.testing.assert_allclose(result.overlap_errors, expected.overlap_errors, atol=1e-6)


def test_both_images_may_be_turned():
    frames1 = random_frames(300)
    frames2 = shaken(frames1)
    expected = repeatability(frames1, frames2, IDENTITY, SIZE, SIZE)
    turn = similarity(1.0, math.pi / 2, SIZE[1] - 1, 0)
    result = repeatability(
        mapped(frames1, turn), mapped(frames2, turn), IDENTITY, SIZE[::-1], SIZE[::-1]
    )
    assert result.n_common == expected.n_common
    np.testing.assert_array_equal(result.correspondences, expected.correspondences)
    np.testing.assert_allclose(result.overlap_errors, expected.overlap_errors, atol=1e-4)


def test_images_may_be_swapped_where_regions_are_of_one_size():
    frames1 = random_frames(300)
    frames1[:, :, :2] /= np.sqrt(np.abs(np.linalg.det(frames1[:, :, :2])))[:, None, None] / 5
    frames2 = frames1.copy()
    frames2[:, :, :2] = rotation(0.2) @ frames2[:, :, :2]
    frames2[:, :, 2] += np.random.default_rng(5).normal(0, 3, (300, 2))
    turn = similarity(1.0, 0.3, 20, -30)
    frames2 = mapped(frames2, turn)
    there = repeatability(frames1, frames2, turn, SIZE, SIZE)
    back = repeatability(frames2, frames1, np.linalg.inv(turn), SIZE, SIZE)
    assert (there.n_common, there.n_correspondences) == (back.n_common, back.n_correspondences)
    assert {tuple(p) for p in there.correspondences} == {
        tuple(p[::-1]) for p in back.correspondences
    }


def test_a_homography_is_known_up_to_a_factor():
    frames = random_frames(100)
    arguments = frames, mapped(frames, PERSPECTIVE)
    expected = repeatability(*arguments, PERSPECTIVE, SIZE, SIZE)
    for factor in (-1.0, 1e6, 1e-6):
        result = repeatability(*arguments, factor * PERSPECTIVE, SIZE, SIZE)
        np.testing.assert_array_equal(result.correspondences, expected.correspondences)


def test_a_looser_bound_never_loses_regions():
    frames1, frames2 = random_frames(300), shaken(random_frames(300), shift=5.0)
    counts = [
        repeatability(
            frames1, frames2, IDENTITY, SIZE, SIZE, overlap_error=bound / 20
        ).n_correspondences
        for bound in range(1, 20)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[5] < counts[-1]


# Matching score


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_matching_score_equals_the_reference(seed, dtype):
    rng = np.random.default_rng(seed)
    frames1 = random_frames(80, seed)
    frames2 = np.concatenate([shaken(mapped(frames1, PERSPECTIVE), seed, 4), random_frames(30, 9)])
    first = rng.integers(0, 100, (80, 16))
    second = np.concatenate(
        [first + rng.integers(0, 60, first.shape), rng.integers(0, 160, (30, 16))]
    )
    first, second = first.astype(dtype), second.astype(dtype)
    arguments = frames1, first, frames2, second, PERSPECTIVE, SIZE, (760, 650)
    result = matching_score(*arguments)
    n_correct, n_common, n_matches = reference.matching_score(*arguments, 0.4)
    assert (result.n_correct, result.n_common, result.n_matches) == (n_correct, n_common, n_matches)
    assert 5 < n_correct < n_matches < n_common
    assert result.matching_score == n_correct / n_common
    assert result.precision == n_correct / n_matches


def test_the_same_features_match():
    frames, rows = random_frames(300), descriptors_for(300)
    result = matching_score(frames, rows, frames, rows, IDENTITY, SIZE, SIZE)
    assert result.matching_score == result.precision == 1.0
    assert 200 < result.n_correct == result.n_matches == result.n_common < 300


def test_features_that_match_elsewhere_are_wrong():
    frames, rows = random_frames(300), descriptors_for(300)
    result = matching_score(frames, rows, frames, rows[::-1], IDENTITY, SIZE, SIZE)
    assert result.n_matches > 200
    assert result.n_correct <= 2
    assert result.precision == result.n_correct / result.n_matches


def test_features_outside_the_common_part_never_match():
    frames = np.array([disc(50, 50), disc(1, 1)])
    rows = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    # Of the common part, the first of each is left; their descriptors differ, and they match.
    result = matching_score(frames, rows, frames, rows[::-1], IDENTITY, (100, 100), (100, 100))
    assert result == (1, 1, 1.0, 1, 1.0)


def test_a_correct_match_need_not_be_the_correspondence():
    # Two orientations of one region have the same ellipse.
    frames = np.array([disc(50, 50), disc(50, 50)])
    frames[1, :, :2] = frames[1, :, :2] @ rotation(1.0)
    rows = np.array([[0.0, 9.0], [9.0, 0.0]], np.float32)
    result = matching_score(frames, rows, frames, rows[::-1], IDENTITY, (100, 100), (100, 100))
    assert result == (2, 2, 1.0, 2, 1.0)


def test_order_does_not_matter_to_the_matching_score():
    frames1 = random_frames(300)
    frames2, rows = shaken(frames1, shift=4.0), descriptors_for(300)
    expected = matching_score(frames1, rows, frames2, rows, IDENTITY, SIZE, SIZE)
    order = np.random.default_rng(3).permutation(300)
    result = matching_score(frames1[order], rows[order], frames2, rows, IDENTITY, SIZE, SIZE)
    assert result == expected
    assert 0.3 < result.matching_score < 1


# Edges and errors


@pytest.mark.parametrize(("n1", "n2"), [(0, 0), (0, 3), (3, 0)])
def test_no_regions(n1, n2):
    frames1, frames2 = random_frames(n1), random_frames(n2)
    result = repeatability(frames1, frames2, IDENTITY, SIZE, SIZE)
    assert (result.n_correspondences, result.n_common) == (0, 0)
    assert math.isnan(result.repeatability)
    assert (result.correspondences.shape, result.correspondences.dtype) == ((0, 2), np.int64)
    assert (result.overlap_errors.shape, result.overlap_errors.dtype) == ((0,), np.float64)
    rows1, rows2 = descriptors_for(n1), descriptors_for(n2)
    score = matching_score(frames1, rows1, frames2, rows2, IDENTITY, SIZE, SIZE)
    assert (score.n_correct, score.n_common, score.n_matches) == (0, 0, 0)
    assert math.isnan(score.matching_score)
    assert math.isnan(score.precision)


VALID = {
    "frames1": np.array([disc(20, 20), disc(50, 30)]),
    "descriptors1": np.array([[1, 2], [3, 4]], np.float32),
    "frames2": np.array([disc(20, 20), disc(50, 30)]),
    "descriptors2": np.array([[1, 2], [3, 4]], np.float32),
    "homography": np.eye(3),
    "size1": (100, 80),
    "size2": (100, 80),
}
ARRAYS = [name for name, value in VALID.items() if isinstance(value, np.ndarray)]


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("form", sorted(set(hostile.FORMS)))
def test_arrays_may_come_in_any_form(name, form):
    changed = hostile.FORMS[form](VALID[name])
    assert matching_score(**VALID | {name: changed}) == matching_score(**VALID)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("case", sorted(hostile.NO_NUMBERS))
def test_what_is_no_array_of_numbers_is_refused(name, case):
    with pytest.raises(TypeError, match=name):
        matching_score(**VALID | {name: hostile.NO_NUMBERS[case](VALID[name])})


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("case", sorted(hostile.NO_VALUES))
def test_what_is_not_finite_or_in_no_shape_is_refused(name, case):
    with pytest.raises(ValueError, match=name):
        matching_score(**VALID | {name: hostile.NO_VALUES[case](VALID[name])})


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        (
            "frames1",
            np.zeros((2, 2, 3)),
            ValueError,
            "frames1 must have areas above 0 .* got 0.0 at 0",
        ),
        ("frames2", np.full((2, 2, 3), 1e200), ValueError, "frames2 must have areas"),
        ("frames2", np.ones((2, 3, 3)), ValueError, r"frames2 must have shape \(n, 2, 3\)"),
        ("homography", np.ones((3, 3)), ValueError, "homography must have an inverse"),
        ("homography", np.ones((2, 3)), ValueError, r"homography must have shape \(3, 3\)"),
        ("homography", np.eye(3) * 1e-320, ValueError, "homography must have a"),
        ("size1", (100,), TypeError, r"size1 must be \(width, height\), got \(100,\)"),
        ("size2", 100, TypeError, "size2 must be"),
        ("size1", (100, 0), ValueError, "size1 must be between 1"),
        ("size2", (1.5, 10), TypeError, "size2 must be a whole number"),
        ("overlap_error", 0.0, ValueError, "overlap_error must be between 0 and 1"),
        ("overlap_error", 1.0, ValueError, "overlap_error must be between 0 and 1"),
        ("overlap_error", math.nan, ValueError, "overlap_error must be between 0 and 1"),
        ("overlap_error", "0.4", TypeError, "overlap_error must be a number"),
        ("overlap_error", True, TypeError, "overlap_error must be a number"),
        ("descriptors1", np.ones((3, 2)), ValueError, "descriptors1 must have one row a frame"),
        ("descriptors2", np.ones((1, 2)), ValueError, "descriptors2 must have one row a frame"),
        (
            "descriptors2",
            np.ones((2, 3)),
            ValueError,
            "descriptors1 and descriptors2 must be equally",
        ),
    ],
)
def test_errors_name_the_argument(name, value, error, message):
    with pytest.raises(error, match=message):
        matching_score(**VALID | {name: value})


@pytest.mark.parametrize("size", [1e-150, 1e-30, 1e30, 1e150])
def test_frames_of_extreme_size_and_shape(size):
    for frame in (
        [[size, 0, 50], [0, size, 50]],
        [[size, 0, 50], [0, 1 / size, 50]],
        [[1, 0, size], [0, 1, 50]],
    ):
        frames = np.array([frame, disc(50, 50)])
        result = repeatability(frames, frames, IDENTITY, (100, 100), (100, 100))
        assert result.n_common in (1, 2)
        assert result.repeatability == 1.0
