# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouvaille import features
from trouvaille.features import Features, Regions


@st.composite
def described(draw):
    seed, n = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 6))
    dimensions, whole = draw(st.sampled_from([2, 32, 128])), draw(st.booleans())
    rng = np.random.default_rng(seed)
    frames = rng.uniform(-900, 900, (n, 2, 3)).astype(np.float32)
    turns = [np.linalg.qr(rng.normal(size=(n, 2, 2)))[0] for _ in range(2)]
    half_axes = 10 ** rng.uniform(-1, 2, (n, 1, 1)) * rng.uniform(1, 30, (n, 1, 2))
    frames[:, :, :2] = turns[0] * half_axes @ turns[1]
    descriptors = rng.integers(0, 256, (n, dimensions)).astype(np.uint8)
    if not whole:
        descriptors = rng.normal(size=(n, dimensions)).astype(np.float32)
    scales = np.sqrt(np.abs(np.linalg.det(frames[:, :, :2]))).astype(np.float32)
    return Features(frames, descriptors, np.ones(n, np.float32), scales)


@given(described(), st.sampled_from([1.0, 3.0, 5.196]))
def test_ellipses_and_descriptors_round_trip(tmp_path, found, magnification):
    path = tmp_path / "photo.hesaff.sift"
    features.write_oxford(path, found, magnification=magnification)
    again = features.read_oxford(path, magnification=magnification)
    np.testing.assert_array_equal(again.frames[:, :, 2], found.frames[:, :, 2])
    np.testing.assert_array_equal(again.descriptors, found.descriptors)
    if len(found.frames):
        assert again.descriptors.dtype == found.descriptors.dtype
    np.testing.assert_allclose(again.scales, found.scales, rtol=1e-4)
    for before, after in zip(found.frames, again.frames, strict=True):
        shape, same = (axes.astype(float) @ axes.T for axes in (before[:, :2], after[:, :2]))
        np.testing.assert_allclose(same, shape, atol=2e-3 * np.abs(shape).max())
    np.testing.assert_array_equal(again.frames[:, 0, 1], 0)  # up is up


def test_the_file_is_as_others_write_it(tmp_path):
    path = tmp_path / "a.txt"
    frames = np.float32([[[4, 0, 10], [0, 2, 20]]])
    found = Features(frames, np.uint8([[7, 255]]), np.ones(1, np.float32), np.ones(1, np.float32))
    features.write_oxford(path, found)
    assert path.read_text() == "2\n1\n10 20 0.0625 0 0.25 7 255\n"
    features.write_oxford(path, Regions(frames, found.responses, found.scales), magnification=2)
    assert path.read_text() == "1.0\n1\n10 20 0.015625 0 0.0625\n"
    again = features.read_oxford(path, magnification=2)
    np.testing.assert_array_equal(again.frames, frames)
    assert again.descriptors.shape == (1, 0)


def test_a_turned_ellipse(tmp_path):
    """Half axes 4 and 2, the long one at 45 degrees: x^2 and y^2 have the same coefficient."""
    path = tmp_path / "a.txt"
    path.write_text("1.0\n1\n5 6 0.15625 -0.09375 0.15625\n")
    (frame,) = features.read_oxford(path).frames
    shape = frame[:, :2] @ frame[:, :2].T
    np.testing.assert_allclose(np.linalg.eigvalsh(shape), [4, 16], rtol=1e-5)
    assert shape[0, 1] > 0  # x and y grow together


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first two lines"),
        ("x\n1\n", "first two lines"),
        ("inf\n1\n", "first two lines"),
        ("-1\n1\n", "first two lines"),
        ("99999999\n1\n", "line 1: 99999999 dimensions"),
        ("2\n2\n1 1 1 0 1 5 5\n", "announces 2 features, the file has 1"),
        ("2\n1\n1 1 1 0 1 5\n", "line 3: expected 7 finite numbers"),
        ("2\n1\n1 1 1 0 1 5 five\n", "line 3: expected 7"),
        ("1.0\n1\n1 1 nan 0 1\n", "line 3: expected 5"),
        ("1.0\n1\n1 1 1 2 1\n", "feature 0: a, b, c = .* is no ellipse"),
        ("1.0\n1\n1 1 -1 0 -1\n", "is no ellipse"),
        ("1.0\n1\n1 1 1e-100 0 1e-90\n", "too large"),
        ("\xff\xfe\n1\n", "first two lines"),
    ],
)
def test_what_is_no_such_file(tmp_path, text, message):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        features.read_oxford(path)


def test_the_magnification_is_checked(tmp_path):
    with pytest.raises(ValueError, match="magnification must be positive"):
        features.read_oxford(tmp_path / "none", magnification=0)


def test_a_flat_frame_is_no_ellipse(tmp_path):
    flat = Regions(np.zeros((1, 2, 3), np.float32), np.ones(1, "f4"), np.zeros(1, "f4"))
    with pytest.raises(ValueError, match="feature 0 is flat"):
        features.write_oxford(tmp_path / "a.txt", flat)
    assert not (tmp_path / "a.txt").exists()


def test_frames_alone_are_written(tmp_path):
    frames = np.float32([[[4, 0, 10], [0, 2, 20]]])
    alone = Regions(frames, np.ones(1, np.float32), np.float32([8**0.5]))
    for name, given_ in (("regions", alone), ("frames", frames.tolist())):
        features.write_oxford(tmp_path / name, given_)
    assert (tmp_path / "frames").read_bytes() == (tmp_path / "regions").read_bytes()
    np.testing.assert_array_equal(features.to_colmap(frames), features.to_colmap(alone))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"descriptors": np.zeros((3, 4), np.uint8)}, ValueError, "2 frames and 3 descriptors"),
        ({"descriptors": np.zeros(2, np.uint8)}, ValueError, "features' descriptors must be 2-D"),
        ({"descriptors": np.zeros((2, 4), bool)}, TypeError, "features' descriptors"),
        ({"responses": np.zeros(3, np.float32)}, ValueError, "2 frames and 3 responses"),
        ({"frames": np.zeros((2, 3, 2), np.float32)}, ValueError, "features must have shape"),
    ],
)
def test_features_must_be_features(tmp_path, change, error, message):
    frames = np.float32([[[4, 0, 10], [0, 2, 20]]] * 2)
    right = Features(frames, np.zeros((2, 4), np.uint8), np.ones(2, "f4"), np.ones(2, "f4"))
    bad = right._replace(**change)
    for call in (features.to_colmap, lambda given_: features.write_oxford(tmp_path / "a", given_)):
        with pytest.raises(error, match=message):
            call(bad)
    assert not (tmp_path / "a").exists()


@given(described())
def test_colmaps_keypoints_round_trip(found):
    table = features.to_colmap(found)
    assert table.dtype == np.float32
    again = features.from_colmap(table)
    np.testing.assert_array_equal(again.frames[:, :, :2], found.frames[:, :, :2])
    np.testing.assert_allclose(again.frames[:, :, 2], found.frames[:, :, 2], atol=1e-4)
    np.testing.assert_allclose(again.scales, found.scales, rtol=1e-5)


def test_colmaps_half_pixel_and_columns():
    """The centre of the top-left pixel is (0.5, 0.5) there; four columns have scale and angle."""
    (upright,) = features.from_colmap([[0.5, 1.5]]).frames
    assert upright.tolist() == [[1, 0, 0], [0, 1, 1]]
    (turned,) = features.from_colmap([[10.5, 20.5, 3, np.float32(np.pi / 2)]]).frames
    np.testing.assert_allclose(turned, [[0, -3, 10], [3, 0, 20]], atol=1e-6)
    (affine,) = features.from_colmap([[10.5, 20.5, 1, 2, 3, 4]]).frames
    assert affine.tolist() == [[1, 2, 10], [3, 4, 20]]
    assert features.from_colmap(np.empty((0, 6))).frames.shape == (0, 2, 3)
    with pytest.raises(ValueError, match="2, 4 or 6 columns"):
        features.from_colmap(np.zeros((2, 5)))
