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


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def random_frames(n, seed, size=(320, 240)):
    """Affine frames of any shape, some mirrored, some half outside the photo."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((n, 2, 3), np.float32)
    for frame in frames:
        stretch = np.exp(rng.normal(0, 0.3, 2)) * [rng.choice([1, -1]), 1]
        shape = rotation(rng.uniform(0, 7)) @ np.diag(stretch) @ rotation(rng.uniform(0, 7))
        frame[:, :2] = shape * np.exp(rng.uniform(np.log(0.4), np.log(30)))
        frame[:, 2] = rng.uniform(-0.05, 1.05, 2) * size
    return frames


def describe(photo, frames, **options):
    return features.cs_lbp(photo, np.asarray(frames, np.float32), **options).descriptors


def distances(a, b):
    return np.linalg.norm(a.astype(float) - b.astype(float), axis=1)


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("magnification", [3.0, 1.0, 7.5])
def test_descriptors_equal_the_reference(isa, space, root, magnification):
    frames, layers = random_frames(60, 1), space.octaves()
    found = _core.describe_cs_lbp(space, frames, magnification, root, 1)
    right = np.array([reference.cs_lbp(layers, frame, magnification, root) for frame in frames])
    assert found.shape == (60, 256)
    assert right.any(1).all()
    # A difference near the threshold falls to either side: a few patterns in 1,936.
    assert np.mean(np.abs(found - right) < 0.501) > 0.97
    assert distances(found, right).max() < 30


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (7, 9), (2, 33)], ids=str)
def test_descriptors_of_small_photos_equal_the_reference(isa, rng, shape):
    photo = rng.integers(0, 256, shape).astype(np.uint8)
    space = _core.ScaleSpace(photo, -1, 1)
    frames = random_frames(20, 3, shape[::-1])
    found = _core.describe_cs_lbp(space, frames, 3, True, 1)
    right = np.array([reference.cs_lbp(space.octaves(), frame) for frame in frames])
    assert distances(found, right).max() < 30


def test_every_instruction_set_and_number_of_threads_has_the_same_bits(isa, space, threads):
    frames = random_frames(150, 2)
    found = _core.describe_cs_lbp(space, frames, 3, True, threads)
    _core.use_isa("scalar")
    np.testing.assert_array_equal(found, _core.describe_cs_lbp(space, frames, 3, True, 1))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 70), width=st.integers(1, 70))
def test_any_photo_has_the_same_bits(isa, seed, height, width):
    rng = np.random.default_rng(seed)
    photo = rng.uniform(0, rng.choice([0.01, 2, 255]), (height, width)).astype(np.float32)
    frames = random_frames(9, seed, (width, height))
    space = _core.ScaleSpace(photo, -1, 1)
    found = _core.describe_cs_lbp(space, frames, 3, True, 2)
    _core.use_isa("scalar")
    np.testing.assert_array_equal(found, _core.describe_cs_lbp(space, frames, 3, True, 1))
    _core.use_isa(isa)


def test_a_descriptor_does_not_depend_on_its_neighbours(isa, space):
    frames = random_frames(131, 9)
    together = _core.describe_cs_lbp(space, frames, 3, True, 2)
    for i in (0, 1, 63, 64, 130):
        alone = _core.describe_cs_lbp(space, frames[i : i + 1], 3, True, 1)
        np.testing.assert_array_equal(alone[0], together[i])
    assert _core.describe_cs_lbp(space, frames[:0], 3, True, 1).shape == (0, 256)


# ---- Laws


@pytest.mark.parametrize("root", [True, False])
def test_descriptors_do_not_see_brightness_and_contrast(isa, photo, root):
    gray = photo.astype(np.float32)
    frames = random_frames(60, 4)
    expected = describe(gray, frames, root=root)
    np.testing.assert_array_equal(describe(gray / 4, frames, root=root), expected)
    for other in (gray * 0.37, gray / 2 + 90):
        found = describe(other.astype(np.float32), frames, root=root)
        assert distances(found, expected).max() < 30  # of 512


@pytest.mark.parametrize("gamma", [0.6, 1.7])
def test_descriptors_hardly_see_other_monotonic_changes(photo, gamma):
    gray = photo.astype(np.float32)
    found = features.dog(gray, max_features=300, orientation="upright")
    bent = (255 * (gray / 255) ** gamma).astype(np.float32)
    before, after = describe(gray, found.frames), describe(bent, found.frames)
    apart, others = distances(before, after), distances(before[1:], after[:-1])
    assert np.median(apart) < 0.35 * np.median(others)


@pytest.mark.parametrize("gray", [0, 77, 255])
def test_what_is_flat_has_zeros(isa, gray):
    photo = np.full((40, 50), gray, np.uint8)
    assert not describe(photo, random_frames(20, 7, (50, 40))).any()


def test_a_frame_beyond_the_photo_has_zeros(photo):
    assert not describe(photo, [[[2, 0, -500], [0, 2, -500]]]).any()


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
    assert np.mean(apart <= 1) > 0.97


def test_a_frame_turned_by_half_has_opposite_patterns(photo):
    """What exceeded is exceeded: pattern 15 - p, but for differences below the threshold."""
    frames = random_frames(50, 6)
    turned = frames * np.float32([[-1, -1, 1]])
    h = describe(photo, frames).reshape(-1, 4, 4, 16).astype(int)
    there = describe(photo, turned).reshape(-1, 4, 4, 16)[:, ::-1, ::-1]
    edges = [1, 3, 7, 15]  # patterns of gradients: all differences are large
    opposite = [14, 12, 8, 0]
    swapped = np.abs(there[..., edges[:-1]] - h[..., opposite[:-1]])
    kept = np.abs(there[..., edges[:-1]] - h[..., edges[:-1]])
    assert swapped.mean() < 0.5 * kept.mean()


def test_the_order_of_patterns_is_anticlockwise_from_the_x_axis():
    y, x = np.mgrid[:101, :101]
    for degrees in (0, 90, 180, 270):
        angle = np.radians(degrees + 10)  # the light comes from there: no difference is 0
        photo = (128 + np.cos(angle) * (x - 50) - np.sin(angle) * (y - 50)).astype(np.float32)
        h = describe(photo, [[[3, 0, 50], [0, 3, 50]]]).reshape(16, 16)
        above = [np.cos(angle - np.pi / 4 * i) > 0 for i in range(4)]
        expected = sum(1 << i for i, bit in enumerate(above) if bit)
        assert (h.argmax(1) == expected).all()
        assert not np.delete(h, expected, axis=1).any()


def test_the_order_of_cells_is_rows_and_columns_of_the_frame(rng):
    photo = np.full((101, 101), 100, np.uint8)
    photo[20:38, 62:80] = rng.integers(0, 256, (18, 18))  # at the top right
    frame = np.array([[5, 0, 50], [0, 5, 50]])
    turned = np.column_stack([5 * rotation(np.pi / 2), [50, 50]])
    cells = describe(photo, [frame]).reshape(4, 4, 16)[:, :, 1:].any(2)
    assert cells[0, 3]
    assert not cells[3].any()
    assert not cells[:, 0].any()
    # Its x axis down the image, its y axis to the left: top right is top left.
    there = describe(photo, [turned]).reshape(4, 4, 16)[:, :, 1:].any(2)
    np.testing.assert_array_equal(there, np.rot90(cells))


def test_norms_are_512(space):
    frames = random_frames(100, 8)
    for root in (True, False):
        found = _core.describe_cs_lbp(space, frames, 3, root, 1).astype(float)
        norms = np.linalg.norm(found[(found < 255).all(1)], axis=1)
        assert len(norms) > 50
        np.testing.assert_allclose(norms, 512, rtol=0.02)


def test_degenerate_frames_are_defined(isa, photo, threads):
    rng = np.random.default_rng(0)
    frames = np.zeros((70, 2, 3), np.float32)
    frames[10:] = rng.normal(size=(60, 2, 3))
    frames[10:30] *= 1e17
    frames[30:50] *= 1e-30
    frames[50:60, :, 1] = frames[50:60, :, 0]
    found = describe(photo, frames, threads=threads)
    assert not found[:10].any()  # one point: flat
    _core.use_isa("scalar")
    np.testing.assert_array_equal(found, describe(photo, frames, threads=1))


# ---- The Python face


def test_it_describes_what_a_detector_finds(photo, threads):
    space = features.ScaleSpace(photo)
    found = features.dog(space, max_features=200)
    own = features.cs_lbp(space, found, threads=threads)
    assert own.descriptors.shape == (len(found.frames), 256)
    assert own.descriptors.dtype == np.uint8
    for part in ("frames", "responses", "scales"):
        np.testing.assert_array_equal(getattr(own, part), getattr(found, part))
    for same in (
        features.describe(photo, found, "cs_lbp"),
        features.cs_lbp(photo, features.describe_sift(space, found)),
        features.cs_lbp(photo, found.frames),
    ):
        np.testing.assert_array_equal(same.descriptors, own.descriptors)


def test_orientations(photo):
    found = features.dog(photo, max_features=100, orientation="upright")
    dominant = features.cs_lbp(photo, found, orientation="dominant")
    assert len(dominant.frames) >= 100
    upright = features.cs_lbp(photo, dominant, orientation="upright")
    assert (upright.frames[:, 0, 1] == 0).all()
    with pytest.raises(ValueError, match="orientation"):
        features.cs_lbp(photo, found, orientation="north")


def test_it_joins_in_extraction(photo):
    extractor = features.Extractor("sift", "cs_lbp", max_features=100)
    assert extractor.fingerprint == "trouvaille-cs-lbp/root/uint8/256/dog"
    assert extractor(photo).descriptors.shape == (100, 256)
    assert features.fingerprint("sift", "cs_lbp", root=False).split("/")[1] == "plain"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"magnification": 0}, ValueError, "magnification"),
        ({"magnification": 2000}, ValueError, "magnification"),
        ({"magnification": "3"}, TypeError, "magnification"),
        ({"threads": 0}, ValueError, "threads"),
        ({"regions": np.zeros((3, 2))}, ValueError, "regions"),
        ({"regions": np.full((3, 2, 3), np.nan)}, ValueError, "regions"),
        ({"image": np.zeros((5, 5), bool)}, TypeError, "bool"),
    ],
)
def test_says_what_is_wrong(photo, options, error, message):
    with pytest.raises(error, match=message):
        features.cs_lbp(**{"image": photo, "regions": np.eye(2, 3)[None]} | options)
