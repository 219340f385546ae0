# SPDX-License-Identifier: Apache-2.0
"""OpenCV's features and networks as detectors."""

import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scenes
from trouvaille import features


@pytest.fixture(scope="module")
def photo():
    return scenes.scene(4)


@pytest.mark.parametrize(
    ("make", "fingerprint"),
    [
        (lambda: cv2.ORB_create(300), "opencv-orb/bits/uint8/32"),
        (lambda: cv2.SIFT_create(300), "opencv-sift/sift/uint8/128"),
    ],
)
def test_opencvs_detectors(photo, make, fingerprint):
    adapted = features.opencv(make())
    assert adapted.fingerprint == fingerprint
    found = adapted(photo)
    keypoints, described = make().detectAndCompute(photo, None)
    assert len(found.frames) == len(keypoints)
    assert found.descriptors.dtype == np.uint8
    assert (np.diff(found.responses) <= 0).all()
    rows = {tuple(row) for row in described.astype(np.uint8).tolist()}
    assert {tuple(row) for row in found.descriptors.tolist()} == rows
    for part, same in zip(features.opencv(make)(photo), found, strict=True):
        np.testing.assert_array_equal(part, same)
    empty = adapted(np.full((40, 40), 7, np.uint8))
    assert empty.descriptors.shape == (0, found.descriptors.shape[1])
    assert empty.descriptors.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2)])
def test_tiny_photos_have_none(shape):
    tiny = np.full(shape, 7, np.uint8)
    for find in (features.orb, features.opencv(cv2.ORB_create), features.opencv(cv2.SIFT_create)):
        assert len(find(tiny).frames) == 0
    for orientation in ("dominant", "upright"):
        found = features.opencv_sift(tiny, orientation=orientation)
        assert [part.shape for part in found] == [(0, 2, 3), (0, 128), (0,), (0,)]


def test_a_photo_that_opencv_refuses_does_not_end_the_run(photo):
    deep = features.opencv(lambda: cv2.ORB_create(100, nlevels=20))
    tiny = np.full((8, 8), 7, np.uint8)
    with pytest.raises(ValueError, match=r"OpenCV refuses an image of shape \(8, 8\)"):
        deep(tiny)
    rows = list(features.extract_all([photo, tiny, photo], deep, workers=2))
    assert [row.status for row in rows] == ["ok", "unsupported", "ok"]
    assert "OpenCV refuses" in rows[1].error


def test_an_adapted_detector_extracts(photo):
    found = features.extract(photo, features.opencv(cv2.ORB_create), max_features=40).features
    assert len(found.frames) == 40
    assert features.fingerprint(features.opencv(cv2.ORB_create)) == "opencv-orb/bits/uint8/32"
    rows = list(features.extract_all([photo] * 6, features.opencv(cv2.ORB_create()), workers=3))
    for row in rows:
        np.testing.assert_array_equal(row.features.descriptors, rows[0].features.descriptors)


def test_one_object_is_used_by_one_thread_at_a_time():
    inside, most = [0], []

    class Slow:
        def detectAndCompute(self, image, mask):  # noqa: N802 (OpenCV's name)
            inside[0] += 1
            most.append(inside[0])
            threading.Event().wait(0.01)
            inside[0] -= 1
            return [cv2.KeyPoint(1, 2, 3)], np.ones((1, 4), np.float32)

    adapted = features.opencv(Slow(), fingerprint="slow/l2/float32/4")
    rows = list(features.extract_all([np.zeros((9, 9), np.uint8)] * 8, adapted, workers=4))
    assert all(row.status == "ok" for row in rows)
    assert max(most) == 1


@pytest.mark.parametrize(
    ("detector", "fingerprint", "error", "message"),
    [
        (5, None, TypeError, "must have detectAndCompute"),
        (list, None, TypeError, "makes list, which has no detectAndCompute"),
        (cv2.ORB_create(), "orb", ValueError, "fingerprint must be flavour"),
        (type("Own", (), {"detectAndCompute": None})(), None, TypeError, "does not say what"),
    ],
)
def test_what_is_no_detector(detector, fingerprint, error, message):
    with pytest.raises(error, match=message):
        features.opencv(detector, fingerprint=fingerprint)


def test_a_fingerprint_that_lies_is_found_out(photo):
    with pytest.raises(ValueError, match="descriptors must have 64 columns"):
        features.opencv(cv2.ORB_create(), fingerprint="orb/bits/uint8/64")(photo)


coordinate = st.floats(-1000, 1000, width=32)


@given(
    st.lists(
        st.tuples(
            coordinate, coordinate, st.floats(0.5, 500), st.floats(0, 359.5), st.floats(0, 9)
        ),
        max_size=5,
    )
)
def test_keypoints_and_frames_round_trip(rows):
    keypoints = [cv2.KeyPoint(*map(float, row)) for row in rows]
    regions = features.from_keypoints(keypoints)
    assert regions.frames.shape == (len(rows), 2, 3)
    again = features.to_keypoints(regions)
    for before, after in zip(keypoints, again, strict=True):
        assert after.pt == before.pt
        assert after.size == pytest.approx(before.size, rel=1e-6)
        assert np.cos(np.deg2rad(after.angle - before.angle)) == pytest.approx(1, abs=1e-6)
        assert after.response == before.response


def test_a_keypoint_without_an_angle_is_upright():
    (frame,) = features.from_keypoints([cv2.KeyPoint(3.0, 4.0, 10.0)]).frames
    assert frame.tolist() == [[5, 0, 3], [0, 5, 4]]


def test_regions_for_keypoints_are_checked(photo):
    frames = features.dog(photo, max_features=5).frames
    assert [k.response for k in features.to_keypoints(frames)] == [1] * 5
    with pytest.raises(ValueError, match="5 frames and 2 responses"):
        features.to_keypoints(features.Regions(frames, np.ones(2), np.ones(5)))


def test_turning_a_frame_turns_its_keypoint():
    """Angles run clockwise as seen, from x to y."""
    (keypoint,) = features.to_keypoints(
        features.Regions(
            np.float32([[[0, -2, 7], [2, 0, 8]]]), np.ones(1, "f4"), np.full(1, 2, "f4")
        )
    )
    assert keypoint.angle == pytest.approx(90)
    assert keypoint.size == 4


class FakeTensor:
    """What the adapter may ask of a tensor, on another device and with a gradient."""

    def __init__(self, array, detached=False, on_cpu=False):
        self.array, self.detached, self.on_cpu = array, detached, on_cpu

    def detach(self):
        return FakeTensor(self.array, True, self.on_cpu)

    def cpu(self):
        return FakeTensor(self.array, self.detached, True)

    def __array__(self, dtype=None, copy=None):
        if not (self.detached and self.on_cpu):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return self.array


def fake_model(image):
    """Two keypoints of the image, whose descriptors are made of the pixels there."""
    points = np.float32([[3, 5], [10, 2]])
    pixels = image[points[:, 1].astype(int), points[:, 0].astype(int)].reshape(2, -1) / 255
    return {
        "keypoints": FakeTensor(points[None]),
        "descriptors": FakeTensor(pixels[None].astype(np.float64)),
        "scores": FakeTensor(np.float32([[0.25, 0.5]])),
    }


def test_a_network_is_a_detector():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    adapted = features.network(fake_model, "fake/l2/float32/3", scale=2.5)
    found = features.extract(image, adapted).features
    assert found.responses.tolist() == [0.5, 0.25]  # the strongest first
    assert found.frames.tolist() == [[[2.5, 0, 10], [0, 2.5, 2]], [[2.5, 0, 3], [0, 2.5, 5]]]
    np.testing.assert_allclose(found.descriptors[0], image[2, 10] / 255, rtol=1e-6)
    assert found.descriptors.dtype == np.float32
    corner = features.network(fake_model, "fake/l2/float32/3", origin="corner")(image)
    np.testing.assert_array_equal(corner.frames[0, :, 2], [9.5, 1.5])
    gray = features.network(fake_model, "fake/l2/float32/1", mode="gray")(image)
    assert gray.descriptors.shape == (2, 1)
    alone = features.extract(image, adapted, max_features=1).features
    assert len(alone.frames) == 1


def test_the_scales_of_a_network_are_taken():
    def model(image):
        return [{**fake_model(image), "scales": np.float32([7, 9])}]

    found = features.network(model, "fake/l2/float32/3")(np.zeros((20, 30, 3), np.uint8))
    assert found.scales.tolist() == [9, 7]
    np.testing.assert_array_equal(found.frames[:, 1, 1], [9, 7])


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (None, TypeError, "must return a mapping, got NoneType"),
        ({"keypoints": np.zeros((1, 2))}, ValueError, "must return descriptors; it returned"),
        ({"scores": np.zeros(2)}, ValueError, "as many of each"),
        ({"keypoints": np.zeros((1, 3))}, ValueError, "keypoints must have 2 columns"),
        ({"descriptors": np.zeros((1, 8))}, ValueError, "descriptors must have 3 columns"),
        ({"scores": np.float32([np.nan])}, ValueError, "scores must be finite"),
        ({"scales": np.float32([0])}, ValueError, "scales of the network must be positive"),
    ],
)
def test_answers_of_another_form(answer, error, message):
    good = {"keypoints": np.ones((1, 2)), "descriptors": np.ones((1, 3)), "scores": np.ones(1)}
    if message.startswith("must return descriptors") or answer is None:
        good = {}
    model = (lambda image: {**good, **answer}) if answer is not None else (lambda image: None)
    with pytest.raises(error, match=message):
        features.network(model, "fake/l2/float32/3")(np.zeros((9, 9, 3), np.uint8))


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("alike", {}, TypeError, "model must be callable"),
        (len, {"mode": "bgr"}, ValueError, "mode must be"),
        (len, {"origin": "left"}, ValueError, "origin must be"),
        (len, {"scale": 0}, ValueError, "scale must be positive"),
        (len, {"fingerprint": "alike"}, ValueError, "fingerprint must be"),
    ],
)
def test_network_says_what_is_wrong(model, options, error, message):
    with pytest.raises(error, match=message):
        features.network(model, **{"fingerprint": "a/l2/float32/3", **options})


def test_a_torch_module_is_given_a_tensor():
    torch = pytest.importorskip("torch")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, image):
            assert image.shape == (1, 3, 20, 30)
            assert torch.is_inference_mode_enabled()
            point = torch.tensor([[[3.0, 5.0]]])
            return {
                "keypoints": point,
                "descriptors": self.weight * image[:, :, 5, 3][None],
                "keypoint_scores": torch.ones(1, 1),
            }

    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    found = features.network(Model(), "fake/l2/float32/3", tensor=True)(image)
    np.testing.assert_allclose(found.descriptors[0], image[5, 3] / 255, rtol=1e-6)


def test_torch_and_opencv_are_not_imported_before_they_are_used():
    code = (
        "import sys; from trouvaille import features; features.network(len, 'a/l2/float32/3');"
        "features.Extractor('dense', orientation='upright');"
        "assert not {'torch', 'cv2', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
