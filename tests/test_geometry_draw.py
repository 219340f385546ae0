# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import scenes
from trouvaille import geometry, images

GRAY = np.full((100, 160), 100, np.uint8)
GAP = 8
SECOND = 160 + GAP  # where the second photo begins
FRAMES = np.float64([[[9, 0, 20], [0, 9, 30]], [[9, 0, 80], [0, 9, 70]]])
POINTS = FRAMES[:, :, 2]
NONE = np.empty((0, 2))


def draw(x1=NONE, x2=NONE, photo1=GRAY, photo2=GRAY, dim=0, **options):
    return geometry.draw_matches(photo1, photo2, x1, x2, dim=dim, **options)


def drawn(picture, plain=100):
    """Where something is drawn, of both photos: points x, y."""
    y, x = np.nonzero((picture != plain).any(axis=2))
    photos = (x < (picture.shape[1] - GAP) // 2) | (x >= (picture.shape[1] + GAP) // 2)
    return np.column_stack([x, y])[photos]


def brightness(picture, points):
    return np.abs(picture.astype(int) - 100).sum(2)[tuple(np.transpose(points)[::-1])]


def on_segment(a, b):
    """Pixels on a segment, ends included."""
    return np.rint(np.linspace(a, b, 200)).astype(int)


def distances(points, a, b):
    """From each point to the line through a and b."""
    (dx, dy), moved = np.subtract(b, a), points - np.asarray(a)
    return np.abs(moved[:, 0] * dy - moved[:, 1] * dx) / np.hypot(dx, dy)


def test_photos_are_side_by_side():
    first, second = scenes.scene(0), scenes.scene(1)
    before = first.copy()
    picture = draw(photo1=first, photo2=second)
    assert picture.shape == (240, 320 + GAP + 320, 3)
    np.testing.assert_array_equal(picture[:, :320, 0], first)
    np.testing.assert_array_equal(picture[:, 320 + GAP :, 2], second)
    assert not picture[:, 320 : 320 + GAP].any()
    dark = draw(photo1=first, photo2=second, dim=0.5)
    np.testing.assert_allclose(dark[:, :320, 0], first / 2, atol=1)
    np.testing.assert_array_equal(first, before)


def test_a_match_is_a_line_between_dots():
    picture = draw(POINTS[:1], POINTS[1:])
    a, b = (20, 30), (SECOND + 80, 70)
    on = on_segment(a, b)
    assert (brightness(picture, on[(on[:, 0] < 160) | (on[:, 0] >= SECOND)]) > 100).all()
    points = drawn(picture)
    near_ends = np.minimum(*(np.linalg.norm(points - end, axis=1) for end in (a, b))) < 4.5
    assert (distances(points, a, b)[~near_ends] < 1.5).all()
    for end in (a, b):
        assert (brightness(picture, [np.add(end, step) for step in ((0, 2), (0, -2))]) > 100).all()
    assert points.min(0) == pytest.approx((17, 27), abs=1)
    assert points.max(0) == pytest.approx((SECOND + 83, 73), abs=1)


def test_frames_are_drawn_as_their_centres():
    np.testing.assert_array_equal(draw(FRAMES, FRAMES), draw(POINTS, POINTS))


def test_neighbours_differ_in_colour():
    x1 = np.column_stack([np.full(5, 20), np.arange(10, 91, 20)])
    ends = draw(x1, x1)[x1[:, 1], 20]
    assert len(np.unique(ends, axis=0)) == 5
    shuffled = np.array([3, 0, 4, 1, 2])
    np.testing.assert_array_equal(draw(x1[shuffled], x1[shuffled])[x1[:, 1], 20], ends)


def test_wrong_matches_are_dim_or_left_out():
    x1, x2 = np.float64([[20, 20], [20, 80]]), np.float64([[140, 20], [140, 80]])
    picture = draw(x1, x2, inliers=[True, False])
    right, wrong = brightness(picture, [(90, 20), (90, 80)])
    assert right > 2 * wrong > 0
    assert not brightness(picture, [(20, 82), (20, 78)]).any(), "a wrong match has no dots"
    only = draw(x1, x2, inliers=[True, False], outliers=False)
    np.testing.assert_array_equal(only, draw(x1[:1], x2[:1]))
    crossed = draw(x1, x2[::-1], inliers=np.array([True, False]))
    alone = draw(x1[:1], x2[1:])
    crossing = 50, (20 + SECOND + 140) // 2
    np.testing.assert_allclose(crossed[crossing], alone[crossing], atol=40)
    assert alone[crossing].max() > 200


def test_so_many_of_each_are_drawn_spread_evenly():
    x1 = np.column_stack([np.full(8, 20), np.arange(10, 90, 10)])
    inliers = np.arange(8) % 2 == 0
    few = draw(x1, x1, inliers=inliers, max_matches=2)
    seen = brightness(few, np.column_stack([np.full(8, 90), x1[:, 1]])) > 0
    assert np.flatnonzero(seen).tolist() == [0, 1, 4, 5]
    np.testing.assert_array_equal(draw(x1, x1, max_matches=8), draw(x1, x1))


def test_photos_are_scaled_to_one_height():
    small = np.full((50, 40), 100, np.uint8)
    picture = draw([[20, 30]], [[10, 10]], photo2=small)
    assert picture.shape == (100, 160 + GAP + 80, 3)
    for x, y in ((20, 30), (SECOND + 20.5, 20.5)):
        assert brightness(picture, [(round(x), round(y))]) > 100
    assert draw(photo2=small, height=50).shape == (50, 80 + GAP + 40, 3)
    large = np.zeros((1440, 900), np.uint8)
    assert draw(photo1=large).shape == (720, 450 + GAP + 1152, 3)
    assert draw(photo1=large, height=1440).shape[0] == 1440
    # A strip that would be 5,040,000 pixels wide, and one that would have no width at all.
    strip = np.zeros((1, 7000), np.uint8)
    assert max(draw(photo1=strip, photo2=large).shape) <= 2**14
    assert draw(photo1=strip.T).shape[:2] == (720, 1 + GAP + 1152)
    assert draw(photo1=np.zeros((1, 40_000), np.uint8)).shape[0] == 1


def border(picture):
    """Points of the outline: white, and in the second photo."""
    points = drawn(picture)
    assert (points[:, 0] >= SECOND).all()
    return points - (SECOND, 0)


def test_the_border_is_outlined_where_the_model_takes_it():
    half = np.float64([[0.5, 0, 40], [0, 0.5, 20], [0, 0, 1]])
    for model in half, 7 * half, -half:
        points = border(draw(model=model))
        assert points.min(0) == pytest.approx((39.75, 19.75), abs=3)
        assert points.max(0) == pytest.approx((119.75, 69.75), abs=3)
        from_edges = np.hstack([points - (39.75, 19.75), points - (119.75, 69.75)])
        assert (np.abs(from_edges).min(axis=1) < 3).all()
    np.testing.assert_array_equal(draw(model=half), draw(model=half.astype(np.float32)))


def test_what_is_beyond_the_photo_is_not_outlined():
    moved = np.float64([[1, 0, 60], [0, 1, -40], [0, 0, 1]])
    points = border(draw(model=moved))
    left, bottom = (np.abs(points - 59.5) < 3).T
    assert (left | bottom).all()
    assert left.sum() > 100
    assert bottom.sum() > 150
    around = np.float64([[9, 0, -99], [0, 9, -99], [0, 0, 1]])
    assert len(border(draw(model=around))) == 0
    assert len(border(draw(model=[[1, 0, 1e18], [0, 1, 0], [0, 0, 1]]))) == 0


def test_an_outline_ends_at_the_horizon():
    """Left of x = 80 the first photo is mapped far to the right, right of it to the left of 40."""
    turned = np.float64([[1, 0, 0], [0, 1, -50], [-1 / 80, 0, 1]])
    model = np.float64([[1, 0, 200], [0, 1, 0], [0, 0, 1]]) @ turned
    hidden = np.float64([[-99, 50]])  # of a match that says which side is seen, and is not drawn
    for same in model, -3 * model:
        assert len(border(draw([[10, 50]], hidden, model=same))) == 0
        points = border(draw([[150, 50]], hidden, model=same))
        edge = distances(points, (39.5, 0), (39.5, 9)) < 3
        ray = distances(points, (39.5, 50.8), (0, 75.8)) < 3
        assert (edge | ray).all()
        assert edge.sum() > 50
        assert ray.sum() > 39
        assert points[:, 1].max() < 79


@pytest.mark.parametrize("x1", [NONE, [[10, 50]], [[150, 50]]])
@pytest.mark.parametrize("seed", range(20))
def test_any_model_is_drawn_within_the_second_photo(seed, x1):
    rng = np.random.default_rng(seed)
    model = rng.normal(size=(3, 3)) * np.exp(rng.normal(0, 5 * (seed % 4), (3, 3)))
    points = border(draw(x1, np.full_like(x1, -99), model=model))
    assert len(points) < 160 * 100


@pytest.mark.parametrize(
    "model",
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 1]],
        [[1, 2, 3], [2, 4, 6], [3, 6, 9]],
        [[1e308, 0, 1e308], [0, -1e308, 1e308], [1e308, 1e308, -1e308]],
        [[5e-324, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1e-300]],
    ],
)
def test_singular_and_huge_models_do_no_harm(model):
    assert draw(POINTS, POINTS, model=model).shape == (100, 328, 3)
    assert draw(POINTS, POINTS, fundamental=model).shape == (100, 328, 3)


def test_epipolar_lines_go_through_both_ends():
    x1, x2 = np.float64([[40, 30]]), np.float64([[100, 60]])
    rng = np.random.default_rng(0)
    p, q = np.append(x1, 1), np.append(x2, 1)
    fundamental = rng.normal(size=(3, 3))
    fundamental -= np.outer(q, p) * (q @ fundamental @ p) / (q @ q * (p @ p))
    picture = draw(x1, x2, fundamental=fundamental)
    without = draw(x1, x2)
    y, x = np.nonzero((picture != without).any(2))
    for line, left in ((fundamental.T @ q, 0), (fundamental @ p, SECOND)):
        mine = (x >= left) & (x < left + 160)
        assert mine.sum() > 60
        points = np.column_stack([x[mine] - left, y[mine], np.ones(mine.sum())])
        assert (np.abs(points @ line) / np.hypot(*line[:2]) < 1.5).all()
    many = np.repeat(x1, 100, 0), np.repeat(x2, 100, 0)
    assert (draw(*many, fundamental=fundamental)[y, x] != without[y, x]).any(1).all()


def test_where_nothing_was_found():
    found = geometry.estimate("homography", NONE, NONE)
    assert found.reason
    picture = draw(inliers=found.inliers, model=found.model, fundamental=found.model)
    np.testing.assert_array_equal(picture, draw())


def test_a_match_outside_of_a_photo_is_left_out():
    far = np.float64([[1e18, 0], [-1e18, 5], [-1, 50], [160, 50], [50, 100], [50, -0.6]])
    near = np.full((6, 2), 50.0)
    np.testing.assert_array_equal(draw(far, near), draw())
    np.testing.assert_array_equal(draw(near, far, inliers=np.zeros(6, bool)), draw())
    corner = np.float64([[159.4, 99.4]])
    assert brightness(draw(corner, corner), [(159, 99)]) > 0


def test_photos_are_read_and_the_picture_is_written(tmp_path):
    paths = [scenes.write(tmp_path / f"{i}.png", scenes.scene(i)) for i in range(2)]
    for name in ("out.png", "out.jpg", "out.jpeg", "out.webp"):
        picture = geometry.draw_matches(*paths, POINTS, POINTS, path=tmp_path / name)
        written = images.decode(tmp_path / name, mode="rgb")
        assert written.shape == picture.shape == (240, 320 + GAP + 320, 3)
        assert np.abs(written.astype(int) - picture).mean() < (12 if name != "out.png" else 1e-9)
    colour = np.zeros((9, 9, 3), np.uint8)
    colour[:, :, 0] = 200
    assert draw(photo1=colour)[0, 0].tolist() == [200, 0, 0]
    with pytest.raises(OSError, match="nothing"):
        geometry.draw_matches(paths[0], tmp_path / "nothing.png", POINTS, POINTS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x1": POINTS[:1]}, ValueError, "x1 and x2 must be equally many, got 1 and 2"),
        ({"x1": np.zeros((2, 3))}, ValueError, "x1 must be points"),
        ({"x2": np.full((2, 2), np.nan)}, ValueError, "x2 must be finite"),
        ({"x2": "ab"}, TypeError, "x2 must hold"),
        ({"inliers": [True]}, ValueError, "inliers must be 2 booleans"),
        ({"inliers": [1, 0]}, ValueError, "inliers must be 2 booleans, one a match; got int64"),
        ({"model": np.eye(2)}, ValueError, r"model must have shape \(3, 3\)"),
        ({"model": np.zeros((3, 3))}, ValueError, "model must not be all zeros"),
        ({"model": np.diag([1, np.nan, 1])}, ValueError, "model must be finite"),
        ({"model": np.eye(3)[0]}, ValueError, "model must be 2-D"),
        ({"model": "homography"}, TypeError, "model must hold"),
        ({"fundamental": np.zeros((3, 3))}, ValueError, "fundamental must not be all zeros"),
        ({"outliers": "no"}, TypeError, "outliers must be True or False"),
        ({"max_matches": 0}, ValueError, "max_matches"),
        ({"height": 0}, ValueError, "height"),
        ({"height": 10**6}, ValueError, "height"),
        ({"height": 99.5}, TypeError, "height"),
        ({"dim": 2}, ValueError, "dim must be"),
        ({"path": "picture.bmp"}, ValueError, "path must end in .png"),
    ],
)
def test_says_what_is_wrong(options, error, message):
    with pytest.raises(error, match=message):
        draw(**({"x1": POINTS, "x2": POINTS} | options))
