# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
import scenes
from trouvaille import _core, features


@pytest.fixture(scope="module")
def photo():
    return scenes.scene(2)


@pytest.fixture(scope="module")
def space(photo):
    return _core.ScaleSpace(photo, -1, 1)


def isotropic(x, y, scale, turn=0.0):
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[c, -s, x], [s, c, y]])


def random_frames(n, seed, size=(320, 240)):
    """Affine frames of any shape, some mirrored, some half outside the photo."""
    rng = np.random.default_rng(seed)
    turn = np.stack([isotropic(0, 0, 1, angle)[:, :2] for angle in rng.uniform(0, 7, n)])
    stretch = np.exp(rng.normal(0, 0.3, (n, 2))) * rng.choice([1, -1], (n, 1))
    frames = np.zeros((n, 2, 3), np.float32)
    frames[:, :, :2] = turn * stretch[:, None] @ turn[::-1]
    frames[:, :, :2] *= np.exp(rng.uniform(np.log(0.4), np.log(30), n))[:, None, None]
    frames[:, :, 2] = rng.uniform(-0.05, 1.05, (n, 2)) * size
    return frames


def regions(frames):
    frames = np.asarray(frames, np.float32)
    return features.Regions(frames, np.ones(len(frames), np.float32), np.ones(len(frames), "f4"))


def describe(photo, frames, **options):
    return features.describe_sift(photo, regions(frames), **options).descriptors


def cosines(a, b):
    a, b = a.astype(float), b.astype(float)
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)


# ---- Descriptors


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("magnification", [3.0, 1.0, 7.5])
def test_descriptors_equal_the_reference(isa, space, root, magnification):
    frames, layers = random_frames(120, 1), space.octaves()
    found = _core.describe_sift(space, frames, magnification, root, 1)
    right = np.array([reference.sift(layers, frame, magnification, root) for frame in frames])
    apart = np.abs(found - right)
    assert right.any(1).all()
    assert apart.max() <= 1  # a direction is shared by an arc tangent within 3e-7
    assert np.mean(apart < 0.501) > 0.999  # rounded, and no more


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (7, 9), (2, 33)], ids=str)
def test_descriptors_of_small_photos_equal_the_reference(isa, rng, shape):
    photo = rng.integers(0, 256, shape).astype(np.uint8)
    space = _core.ScaleSpace(photo, -1, 1)
    frames = random_frames(20, 3, shape[::-1])
    found = _core.describe_sift(space, frames, 3, True, 1)
    right = np.array([reference.sift(space.octaves(), frame) for frame in frames])
    smooth = right.sum(1) > 0
    np.testing.assert_allclose(found[smooth], right[smooth], atol=0.51)
    assert not found[~smooth].any()


def test_at_its_own_keypoints_it_is_opencvs(photo):
    theirs = features.opencv_sift(photo, root=False, max_features=400)
    ours = describe(photo, theirs.frames, root=False)
    assert np.median(cosines(ours, theirs.descriptors)) > 0.99


def histograms(photo, turn=0.0):
    return describe(photo, [isotropic(50, 50, 5, turn)], root=False).reshape(4, 4, 8)


def test_the_order_of_cells_is_rows_and_columns_of_the_frame(rng):
    photo = np.full((101, 101), 100, np.uint8)
    photo[20:38, 62:80] = rng.integers(0, 256, (18, 18))  # at the top right
    cells = histograms(photo).any(2)
    assert cells[0, 3]
    assert not cells[3].any()
    assert not cells[:, 0].any()
    # Its x axis down the image, its y axis to the left: top right is top left.
    np.testing.assert_array_equal(histograms(photo, np.pi / 2).any(2), np.rot90(cells))


def test_the_order_of_directions_is_anticlockwise_from_the_x_axis():
    photo = np.repeat(np.arange(200, 99, -1, dtype=np.uint8)[:, None], 101, axis=1)  # up is light
    for turn, direction in [(0, 2), (np.pi / 2, 4), (np.pi, 6), (-np.pi / 2, 0), (np.pi / 4, 3)]:
        found = histograms(photo, turn)
        assert (found.argmax(2) == direction).all()
        assert not np.delete(found, direction, axis=2).any()


@pytest.mark.parametrize("root", [True, False])
def test_descriptors_do_not_see_brightness_and_contrast(isa, photo, root):
    gray = photo.astype(np.float32)
    frames = random_frames(60, 4)
    expected = describe(gray, frames, root=root).astype(int)
    np.testing.assert_array_equal(describe(gray / 4, frames, root=root), expected)
    for other in (gray * 0.37, gray / 2 + 90, 255 - (255 - gray) * 0.6):
        apart = np.abs(describe(other.astype(np.float32), frames, root=root) - expected)
        assert apart.max() <= 1
        assert np.mean(apart) < 0.01


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_photo_with_turned_frames_has_the_same_descriptors(isa, turns):
    photo = scenes.scene(4, (257, 129))
    other = np.ascontiguousarray(np.rot90(photo, -turns))
    transform, (height, width) = np.eye(3), photo.shape
    for _ in range(turns):
        transform = np.array([[0, -1, height - 1], [1, 0, 0], [0, 0, 1]]) @ transform
        height, width = width, height
    frames = random_frames(80, 5, (257, 129))
    there = transform[:2, :2] @ frames + np.pad(transform[:2, 2:], ((0, 0), (2, 0)))
    apart = np.abs(describe(photo, frames).astype(int) - describe(other, there))
    assert np.mean(apart <= 1) > 0.995


def test_a_mirrored_frame_has_a_mirrored_descriptor(photo):
    frames = random_frames(50, 6)
    mirrored = frames * np.float32([[-1, 1, 1]])  # its x axis turned round
    h = describe(photo, frames).reshape(-1, 4, 4, 8)
    there = describe(photo, mirrored).reshape(-1, 4, 4, 8)
    directions = (4 - np.arange(8)) % 8
    apart = np.abs(there.astype(int) - h[:, :, ::-1, directions])
    assert np.mean(apart <= 1) > 0.999


def test_affine_frames_see_through_an_affine_view(photo):
    import cv2

    big = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    found = features.dog(big, orientation="upright", max_features=150)
    linear = np.array([[0.9, 0.35], [-0.15, 0.8]])
    shift = np.array([20.0, 90.0])
    view = cv2.warpAffine(big, np.column_stack([linear, shift]), (800, 560), flags=cv2.INTER_CUBIC)
    # Features larger than what the view's resampling loses, inside both.
    frames = found.frames[found.scales > 3]
    there = linear @ frames + np.pad(shift[:, None], ((0, 0), (2, 0)))
    x, y = there[:, :, 2].T
    reach = 10 * np.abs(there[:, :, :2]).max((1, 2))
    near = 10 * frames[:, 0, 0]
    inside = (x > reach) & (x < 800 - reach) & (y > reach) & (y < 560 - reach)
    inside &= (frames[:, :, 2] > near[:, None]).all(1)
    inside &= (frames[:, :, 2] < np.array([640, 480]) - near[:, None]).all(1)
    assert inside.sum() > 20
    before = describe(big, frames[inside], root=False)
    same = cosines(before, describe(view, there[inside], root=False))
    isotropic_there = there[inside].copy()
    isotropic_there[:, :, :2] = frames[inside][:, :, :2]
    naive = cosines(before, describe(view, isotropic_there, root=False))
    assert np.median(same) > 0.97
    assert np.median(same) > np.median(naive) + 0.05


@pytest.mark.parametrize("gray", [0, 77, 255])
def test_what_is_flat_has_zeros(isa, gray):
    photo = np.full((40, 50), gray, np.uint8)
    assert not describe(photo, random_frames(20, 7, (50, 40))).any()


def test_norms_are_512(space):
    frames = random_frames(100, 8)
    for root in (True, False):
        found = _core.describe_sift(space, frames, 3, root, 1).astype(float)
        norms = np.linalg.norm(found, axis=1)
        unclipped = (found < 255).all(1)
        assert unclipped.sum() > 50
        np.testing.assert_allclose(norms[unclipped], 512, rtol=0.01)


def test_a_descriptor_does_not_depend_on_its_neighbours(isa, space):
    frames = random_frames(131, 9)
    together = _core.describe_sift(space, frames, 3, True, 2)
    for i in (0, 1, 63, 64, 130):
        np.testing.assert_array_equal(
            _core.describe_sift(space, frames[i : i + 1], 3, True, 1)[0], together[i]
        )
    assert _core.describe_sift(space, frames[:0], 3, True, 1).shape == (0, 128)


# ---- Orientation


def test_orientations_equal_the_reference(isa, space):
    frames, layers = random_frames(300, 10), space.octaves()
    turned, sources = _core.orient(space, frames, 4, 1)
    found = [turned[sources == i] for i in range(len(frames))]
    right = [
        [reference.turned(frame, turn) for turn in reference.orientations(layers, frame)]
        for frame in frames
    ]
    assert 1.1 < np.mean([len(r) for r in right]) < 3
    same = [
        len(f) == len(r) and np.allclose(f, r, rtol=0, atol=1e-4 * reference.scale_of(frame))
        for f, r, frame in zip(found, right, frames, strict=True)
    ]
    # A gradient on the border of two directions is of one or the other, and weak peaks come and go.
    assert np.mean(same) > 0.99


@pytest.mark.parametrize("degrees", [0, 5, 33, 90, 135, 222, 270, 355])
def test_the_x_axis_points_to_the_light(isa, degrees):
    """Anticlockwise as seen, while y points down."""
    angle = np.radians(degrees)
    y, x = np.mgrid[:101, :101] - 50.0
    photo = (128 + 1.5 * (np.cos(angle) * x - np.sin(angle) * y)).astype(np.float32)
    frames, sources = _core.orient(
        _core.ScaleSpace(photo, -1, 1), isotropic(50, 50, 4)[None].astype("f4"), 4, 1
    )
    assert sources.tolist() == [0]
    # A histogram of 10 degrees a direction, interpolated.
    axis = frames[0, :, 0] / 4
    apart = np.degrees(np.arccos(np.clip(axis @ [np.cos(angle), -np.sin(angle)], -1, 1)))
    assert apart < 5.01
    np.testing.assert_allclose(frames[0, :, :2].T @ frames[0, :, :2], 16 * np.eye(2), atol=1e-4)
    np.testing.assert_array_equal(frames[0, :, 2], 50)


def test_max_orientations_is_a_prefix_of_each(space):
    frames = random_frames(200, 11)
    turned, sources = _core.orient(space, frames, 36, 1)
    assert (np.diff(sources.astype(int)) >= 0).all()
    assert set(sources.tolist()) == set(range(200))
    for most in (1, 2, 4):
        fewer, from_ = _core.orient(space, frames, most, 1)
        rank = np.arange(len(sources)) - np.searchsorted(sources, sources)
        np.testing.assert_array_equal(fewer, turned[rank < most])
        np.testing.assert_array_equal(from_, sources[rank < most])


def test_without_a_gradient_a_frame_stays(isa):
    frames = random_frames(30, 12)
    space = _core.ScaleSpace(np.full((240, 320), 99, np.uint8), -1, 1)
    turned, sources = _core.orient(space, frames, 4, 1)
    np.testing.assert_array_equal(turned, frames)
    np.testing.assert_array_equal(sources, np.arange(30))


def test_describing_by_dominant_orientation_forgets_how_frames_were_turned(photo):
    found = features.dog(photo, orientation="upright", max_features=200)
    turns = np.random.default_rng(0).uniform(0, 1, len(found.frames))
    turned = [reference.turned(*pair) for pair in zip(found.frames, turns, strict=True)]
    before, after = (
        features.describe_sift(photo, regions(frames), orientation="dominant")
        for frames in (found.frames, turned)
    )
    assert len(before.frames) == len(after.frames) > 200
    assert np.median(cosines(before.descriptors, after.descriptors)) > 0.999
    np.testing.assert_allclose(before.frames[:, :, 2], after.frames[:, :, 2], atol=1e-3)


# ---- Frames that are no regions of the photo


EXTREME = [0, 1e-45, 1e-38, 1e-20, 1e-3, 1, 300, 2**24, 2**31, 1e10, 1e19, 2e19, 1e30, 3e38]
extreme = st.sampled_from(EXTREME) | st.sampled_from([-x for x in EXTREME])
numbers = (
    extreme
    | st.floats(-400, 400, width=32)
    | st.floats(width=32, allow_nan=False, allow_infinity=False)
)
any_frames = st.lists(st.lists(numbers, min_size=6, max_size=6), max_size=9).map(
    lambda rows: np.array(rows, np.float32).reshape(-1, 2, 3)
)


@settings(max_examples=200)
@given(any_frames, st.sampled_from([-1, 0]), st.sampled_from([1e-3, 3.0, 1000.0]))
def test_any_finite_frames_are_described(frames, first_octave, magnification):
    """Bits do not depend on the instruction set, nor on the other frames; nothing is not finite."""
    photo = scenes.scene(3, (61, 40))
    results = []
    for name in _core.isas():
        _core.use_isa(name)
        space = _core.ScaleSpace(photo, first_octave, 1)
        turned, sources = _core.orient(space, frames, 4, 1)
        found = _core.describe_sift(space, frames, magnification, True, 2)
        results.append((turned, sources, found))
    _core.reset_isa()
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()
    turned, sources, found = results[0]
    for i, frame in enumerate(frames):
        one = _core.describe_sift(space, frame[None], magnification, True, 1)
        np.testing.assert_array_equal(one[0], found[i])
        one, _ = _core.orient(space, frame[None], 4, 1)
        np.testing.assert_array_equal(one, turned[sources == i])
    assert not np.isnan(turned).any()


def test_the_layer_of_a_frame_is_that_of_its_scale(space, photo):
    """Also where it is 0, or its square is no float32."""
    layers = space.octaves()
    for scale in (0.3, 1, 100, 1e10, 1e19, 2e19, 1e25):
        frame = isotropic(160.25, 120.25, scale)
        found = _core.describe_sift(space, frame[None].astype("f4"), 3, False, 1)[0]
        np.testing.assert_allclose(found, reference.sift(layers, frame, 3, False), atol=0.51)
    line = np.float32([[[2, 2, 160.25], [2, 2, 120.25]]])  # a frame that has no area: the finest
    right = np.float32([[[2, 2, 160.25], [2, 2 + 1e-5, 120.25]]])
    for first_octave in (-1, 0):
        other = _core.ScaleSpace(photo, first_octave, 1)
        np.testing.assert_allclose(
            _core.describe_sift(other, line, 3, True, 1).astype(int),
            _core.describe_sift(other, right, 3, True, 1).astype(int),
            atol=1,
        )


def test_far_outside_there_is_nothing(space):
    frames = np.array([isotropic(x, y, 3) for x in (-900, 1e6, 1e30) for y in (-1e9, 5000)])
    assert not _core.describe_sift(space, frames.astype("f4"), 3, True, 1).any()


BAD_FRAMES = [np.nan, np.inf, -np.inf]


MOST = np.float32(1e18)


@pytest.mark.parametrize("orientation", ["given", "dominant", "upright"])
@pytest.mark.parametrize(
    "axes", [[[MOST, MOST], [-MOST, MOST]], [[MOST, MOST], [MOST, MOST]], [[1, 0], [MOST, MOST]]]
)
def test_the_greatest_frames_have_finite_features(axes, orientation):
    frames = np.full((1, 2, 3), 5, np.float32)
    frames[:, :, :2] = axes
    found = features.describe_sift(np.eye(20, dtype=np.uint8), frames, orientation=orientation)
    assert all(np.isfinite(part).all() for part in found)


@pytest.mark.parametrize("value", [1.001e18, -3e38])
@pytest.mark.parametrize("call", [features.describe_sift, features.cs_lbp, features.describe])
def test_greater_frames_are_refused(photo, call, value):
    frames = np.float32([isotropic(50, 50, 3)] * 3)
    frames[1, 1, 2] = value
    with pytest.raises(ValueError, match=r"regions must be within 1e\+18, got"):
        call(photo, frames)


@pytest.mark.parametrize("call", [features.describe_sift, features.cs_lbp, features.describe])
@pytest.mark.parametrize("value", ["no", 1, None])
def test_root_is_true_or_false(photo, call, value):
    frames = [isotropic(50, 50, 3)]
    with pytest.raises(TypeError, match="root must be True or False"):
        call(photo, frames, root=value)
    call(photo, frames, root=np.False_)


def test_upright_frames_are_those_of_the_ellipses_whatever_scales_are_told():
    frames = np.float32([[[2, 1, 9], [0, 3, 9]]])
    told = features.Regions(frames, np.ones(1, np.float32), np.float32([1e30]))
    image = np.eye(20, dtype=np.uint8)
    ours = features.describe_sift(image, told, orientation="upright")
    plain = features.describe_sift(image, frames, orientation="upright")
    np.testing.assert_array_equal(ours.frames, plain.frames)


@pytest.mark.parametrize("value", BAD_FRAMES)
@pytest.mark.parametrize("orientation", ["given", "dominant", "upright"])
def test_frames_must_be_finite(photo, value, orientation):
    bad = regions([isotropic(50, 50, 3)] * 3)
    bad.frames[1, 0, 0] = value
    for call in (features.describe_sift, features.describe):
        with pytest.raises(ValueError, match=r"regions.* finite"):
            call(photo, bad, orientation=orientation)
    everything = features.Features(bad.frames, np.zeros((3, 128), np.uint8), *bad[1:])
    for given_ in (everything, bad.frames):
        with pytest.raises(ValueError, match=r"regions.* finite"):
            features.describe(photo, given_)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"frames": np.zeros((3, 2, 2), np.float32)}, ValueError, r"shape \(n, 2, 3\)"),
        ({"frames": np.zeros((3, 6), np.float32)}, ValueError, "3-D"),
        ({"frames": np.zeros((3, 2, 3), complex)}, TypeError, "complex"),
        ({"frames": None}, TypeError, "object"),
        ({"responses": np.zeros(2, np.float32)}, ValueError, "responses"),
        ({"scales": np.zeros(4, np.float32)}, ValueError, "scales"),
    ],
)
def test_regions_must_be_regions(photo, change, error, message):
    bad = regions([isotropic(50, 50, 3)] * 3)._replace(**change)
    for call in (features.describe_sift, features.describe):
        with pytest.raises(error, match=f"regions.*{message}"):
            call(photo, bad)


def test_double_precision_frames_are_converted(photo):
    frames = np.array([isotropic(50, 50, 3)] * 3)
    given_ = features.Regions(frames, np.ones(3), np.full(3, 3.0))
    found = features.describe_sift(photo, given_)
    assert [part.dtype for part in found] == [np.float32, np.uint8, np.float32, np.float32]
    np.testing.assert_array_equal(found.descriptors, describe(photo, frames))


@pytest.mark.parametrize("magnification", [0, -1, np.nan, np.inf, 1001, None, "3", [1, 2]])
def test_magnification_is_a_positive_number(photo, magnification):
    with pytest.raises((ValueError, TypeError), match="magnification"):
        describe(photo, [isotropic(50, 50, 3)], magnification=magnification)
