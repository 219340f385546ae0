# SPDX-License-Identifier: Apache-2.0
import threading

import numpy as np
import pytest

from trouvaille import features


@pytest.fixture(scope="module")
def photo():
    """A made image with structure at many scales."""
    rng = np.random.default_rng(3)
    image = np.zeros((240, 320))
    for cells in (4, 8, 16, 32, 64):
        noise = rng.normal(size=(cells, cells))
        rows = np.linspace(0, cells - 1, 240).round().astype(int)
        cols = np.linspace(0, cells - 1, 320).round().astype(int)
        image += noise[np.ix_(rows, cols)] / cells**0.25
    image -= image.min()
    return (255 * image / image.max()).astype(np.uint8)


def test_shapes_dtypes_and_order(photo):
    found = features.sift(photo)
    n = len(found.frames)
    assert n > 100
    assert found.frames.shape == (n, 2, 3)
    assert found.frames.dtype == np.float32
    assert found.descriptors.shape == (n, 128)
    assert found.descriptors.dtype == np.uint8
    assert (np.diff(found.responses) <= 0).all()
    area = np.linalg.det(found.frames[:, :, :2].astype(float))
    np.testing.assert_allclose(np.sqrt(area), found.scales, rtol=1e-4)


def test_max_features_keeps_the_strongest(photo):
    everything, few = (
        features.sift(photo, max_features=100_000),
        features.sift(photo, max_features=50),
    )
    assert len(few.frames) == 50
    np.testing.assert_array_equal(few.responses, everything.responses[:50])


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_turned_photo_has_turned_frames(photo, quarter_turns):
    """Pins the sense of rotation and the origin: the frames of the turned photo are the turned
    frames, for most features (interpolation moves some)."""
    turned_photo = np.rot90(photo, -quarter_turns)  # clockwise as seen
    before, after = features.sift(photo), features.sift(turned_photo)
    height, width = photo.shape
    turn = np.eye(3)
    for _ in range(quarter_turns):
        turn = np.array([[0, -1, height - 1], [1, 0, 0], [0, 0, 1]]) @ turn
        height, width = width, height
    expected = turn[:2, :2] @ before.frames + np.pad(turn[:2, 2:], ((0, 0), (2, 0)))
    same = [np.abs(after.frames - frame).max(axis=(1, 2)).min() < 0.5 for frame in expected]
    assert np.mean(same) > 0.85


def test_colour_and_gray_views_agree(photo):
    colour = np.repeat(photo[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(features.sift(colour).frames, features.sift(photo).frames)
    strided = np.repeat(np.repeat(photo, 2, axis=0), 2, axis=1)[::2, ::2]
    np.testing.assert_array_equal(features.sift(strided).frames, features.sift(photo).frames)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 200), (200, 3), (64, 64)])
def test_an_image_without_structure_has_no_features(shape):
    found = features.sift(np.full(shape, 128, np.uint8))
    assert [part.shape for part in found] == [(0, 2, 3), (0, 128), (0,), (0,)]


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (np.zeros((10, 10), np.int16), {}, TypeError, "uint8"),
        (np.full((10, 10), np.nan, np.float32), {}, ValueError, "finite"),
        (np.full((10, 10), 0.5), {}, ValueError, "multiply it by 255"),
        (np.full((10, 10), -1.0), {}, ValueError, "gray levels"),
        (np.zeros((10, 10, 3)), {}, ValueError, "gray"),
        (np.zeros((0, 10)), {}, ValueError, "0"),
        (np.zeros((10, 10), bool), {}, TypeError, "bool"),
        (np.zeros(10, np.uint8), {}, ValueError, "shape"),
        (np.zeros((10, 10, 2), np.uint8), {}, ValueError, "shape"),
        (np.zeros((0, 10), np.uint8), {}, ValueError, "0"),
        (np.zeros((10, 10), np.uint8), {"max_features": 0}, ValueError, "max_features"),
        (np.zeros((10, 10), np.uint8), {"max_features": 1.5}, TypeError, "max_features"),
    ],
)
def test_says_what_is_wrong(image, options, error, message):
    with pytest.raises(error, match=message):
        features.sift(image, **options)


def test_the_same_from_many_threads(photo):
    expected = features.sift(photo, max_features=300)
    found = []
    workers = [
        threading.Thread(target=lambda: found.append(features.sift(photo, max_features=300)))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 4
    for one in found:
        np.testing.assert_array_equal(one.descriptors, expected.descriptors)


def test_extract_all_keeps_the_order_and_reports_bad_photos(photo, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a photo")
    photos = [photo, tmp_path / "broken.jpg", photo[::2], tmp_path / "missing.jpg", tmp_path]
    rows = list(features.extract_all(photos * 4, workers=3, max_features=100))
    assert [row.status == "ok" for row in rows] == [True, False, True, False, False] * 4
    assert all(row.error for row in rows if row.status != "ok")
    assert rows[3].status == "missing"
    assert rows[0].work_size == (320, 240)
    assert rows[0].features is not None
    assert len(rows[0].features.frames) == 100


def test_extract_reduces_large_photos(photo):
    row = features.extract(photo, max_size=160)
    assert (row.size, row.work_size) == ((320, 240), (160, 120))
    assert features.extract(photo, max_size=None).work_size == (320, 240)
    assert features.extract(photo, max_size=4000).work_size == (320, 240)


def test_a_file_that_is_there_and_cannot_be_read_is_not_missing(tmp_path):
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    too_long = tmp_path / ("x" * 300 + ".jpg")
    photos = [tmp_path / "loop.jpg", too_long, tmp_path / "no.jpg", tmp_path]
    assert [photo for _, photo in features.list_photos(photos[:3])] == photos[:3]
    rows = list(features.extract_all(photos))
    assert [row.status for row in rows] == ["unreadable", "unreadable", "missing", "unreadable"]


def test_arguments_are_named(photo):
    with pytest.raises(ValueError, match="workers must be between 1 and"):
        next(features.extract_all([photo], workers=0))
    for photos in (None, 5):
        with pytest.raises(TypeError, match="photos must be paths"):
            features.expand(photos)


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("caf\udce9.jpg", r"'caf\\udce9\.jpg' is not text that UTF-8 can hold"),
        ("a\0b", r"'a\\x00b' holds a NUL"),
        ("x" * 5000, r"'x{60}'\.\.\. \(5000 characters\) has 5000 characters; .* at most 4096"),
    ],
)
def test_ids_that_cannot_be_stored_are_refused(photo, id, message):
    with pytest.raises(ValueError, match=message):
        features.list_photos([photo], [id])


def test_photos_are_named_by_their_place(photo, tmp_path):
    import cv2

    for name in ("b.png", "a/c.png", "a/d.JPG"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(cv2.imencode(".png", photo)[1].tobytes())
    folder = [id for id, _ in features.list_photos(tmp_path)]
    assert folder == ["a/c.png", "a/d.JPG", "b.png"]
    assert [id for id, _ in features.list_photos(tmp_path / "a/c.png")] == ["c.png"]
    assert [id for id, _ in features.list_photos([photo, photo], ids=["x", "y"])] == ["x", "y"]
    with pytest.raises(ValueError, match="ids must be given"):
        features.list_photos(photo)
    with pytest.raises(ValueError, match=r"two photos have the id 'b.png'"):
        features.list_photos([tmp_path / "b.png", tmp_path])
    with pytest.raises(ValueError, match="got 1 for 3"):
        features.list_photos(tmp_path, ids=["x"])
    with pytest.raises(FileNotFoundError):
        features.list_photos(tmp_path / "nothing")
    with pytest.raises(TypeError, match="paths, bytes or arrays"):
        features.list_photos([3.5])


def test_examples_are_true():
    """Those of the docstrings of every module of the stage."""
    import doctest
    import importlib
    import pkgutil

    modules = [
        importlib.import_module(f"trouvaille.features.{module.name}")
        for module in pkgutil.iter_modules(features.__path__)
    ]
    failed, attempted = map(sum, zip(*map(doctest.testmod, modules), strict=True))
    assert failed == 0
    assert attempted >= 10
