# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import scenes
from trouvaille import features, images

GRAY = np.full((100, 160), 100, np.uint8)
FRAME = np.float32([[[10, 0, 80], [0, 5, 50]]])


def changed(picture, plain=100):
    """Where something is drawn: rows and columns."""
    return np.nonzero((picture != plain).any(axis=2))


def test_an_ellipse_is_drawn_where_it_is():
    picture = features.draw(GRAY, FRAME, magnification=2, dim=0)
    y, x = changed(picture)
    assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((60, 100, 40, 60), abs=1.01)
    distance = ((x - 80) / 20) ** 2 + ((y - 50) / 10) ** 2
    tick = (np.abs(y - 50) <= 1) & (x >= 79)
    assert (np.abs(distance[~tick] - 1) < 0.35).all()
    assert tick.sum() >= 20


def test_the_tick_is_along_the_first_axis():
    turned = np.float32([[[0, -8, 80], [8, 0, 50]]])  # x's axis points down
    picture = features.draw(GRAY, turned, magnification=2, dim=0)
    assert (picture[52:62, 80] != 100).any(axis=1).all()
    assert (picture[38:48, 80] == 100).all()
    assert (picture[50, 66:78] == 100).all()


def test_lines_are_smooth():
    """Anti-aliased: between the photo and the colour are many shades."""
    picture = features.draw(GRAY, FRAME, colour=(255, 255, 255), dim=0)
    assert len(np.unique(picture)) > 10


def test_colours_go_with_the_scale():
    frames = np.zeros((3, 2, 3), np.float32)
    for frame, scale, x in zip(frames, (2, 6, 18), (20, 60, 120), strict=True):
        frame[0, 0] = frame[1, 1] = scale
        frame[:, 2] = x, 50
    picture = features.draw(GRAY, frames, magnification=1, dim=0)
    tips = picture[50, [21, 63, 130]].astype(int)  # on the ticks
    assert tips[0, 0] > tips[0, 2]  # yellow
    assert tips[2, 2] > tips[2, 0]  # blue
    one = features.draw(GRAY, frames, magnification=1, dim=0, colour=(0, 255, 0))
    np.testing.assert_allclose(one[50, [21, 63, 130]], [(0, 255, 0)] * 3, atol=16)
    few = features.draw(GRAY, frames, magnification=1, dim=0, max_features=1)
    assert changed(few)[1].max() < 30


def test_the_photo_is_dimmed_and_the_callers_stays():
    photo = scenes.scene(0)
    before = photo.copy()
    picture = features.draw(photo, np.empty((0, 2, 3)), dim=0.5)
    np.testing.assert_allclose(picture[:, :, 1], photo / 2, atol=1)
    np.testing.assert_array_equal(photo, before)
    colour = np.zeros((9, 9, 3), np.uint8)
    colour[:, :, 0] = 200
    assert features.draw(colour, np.empty((0, 2, 3)), dim=0)[0, 0].tolist() == [200, 0, 0]


def test_features_of_a_photo_are_written(tmp_path):
    path = scenes.write(tmp_path / "photo.png", scenes.scene(1))
    found = features.extract(path, max_features=100).features
    for name in ("out.png", "out.jpg", "out.webp"):
        picture = features.draw(path, found, path=tmp_path / name)
        written = images.decode(tmp_path / name, mode="rgb")
        assert written.shape == picture.shape == (240, 320, 3)
        assert np.abs(written.astype(int) - picture).mean() < (12 if name != "out.png" else 1e-9)


def test_what_cannot_be_seen_is_left_out():
    frames = np.repeat(FRAME, 4, axis=0)
    frames[0, :, 2] = -1e9, 1e9
    frames[1, 0, 0] = 3e38
    frames[2, :, 2] = 500, 500
    np.testing.assert_array_equal(
        features.draw(GRAY, frames, colour=(9, 9, 9)), features.draw(GRAY, FRAME, colour=(9, 9, 9))
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dim": 2}, ValueError, "dim must be"),
        ({"dim": np.nan}, ValueError, "dim must be finite"),
        ({"dim": "dark"}, TypeError, "dim must hold"),
        ({"dim": None}, TypeError, "dim must hold"),
        ({"magnification": 0}, ValueError, "magnification must be"),
        ({"magnification": np.inf}, ValueError, "magnification must be finite"),
        ({"magnification": "2"}, TypeError, "magnification must hold"),
        ({"colour": (1, 2)}, ValueError, "colour must be red, green and blue"),
        ({"colour": (1, 2, 256)}, ValueError, "colour must be uint8"),
        ({"max_features": 0}, ValueError, "max_features"),
        ({"path": "picture.bmp"}, ValueError, "path must end in .png"),
    ],
)
def test_says_what_is_wrong(options, error, message):
    with pytest.raises(error, match=message):
        features.draw(GRAY, FRAME, **options)
    with pytest.raises(ValueError, match="features must have shape"):
        features.draw(GRAY, np.zeros((3, 2, 2)))
