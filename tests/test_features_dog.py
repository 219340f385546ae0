# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
import scenes
from trouvaille import _core, features

THRESHOLD, EDGE = 0.04 / 3 * 255, 10.0  # OpenCV's


@pytest.fixture(scope="module")
def photo():
    return scenes.scene(1)


def dog(photo, threshold=THRESHOLD, edge=EDGE, first_octave=-1, threads=1):
    return _core.detect_dog(
        _core.ScaleSpace(photo, first_octave, threads), threshold, edge, threads
    )


def upright(photo, **options):
    return features.dog(photo, orientation="upright", max_features=100_000, **options)


def blob(x, y, sigma, amplitude, shape):
    """A Gaussian blob on gray, as floats."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    squared = (cols - x) ** 2 + (rows - y) ** 2
    return (128 + amplitude * np.exp(-squared / (2 * sigma**2))).astype(np.float32)


def scale_of_blob(sigma):
    """The scale at which a blob's difference of Gaussians is extremal.

    s^2 (1 / (s^2 + k^2 t) - 1 / (s^2 + t)) is, of all t, where t = s^2 / k; k = 2^(1/3). The photo
    is taken to have some blur already.
    """
    return np.sqrt(sigma**2 - 0.35**2) / 2 ** (1 / 6)


def distances(frames, others):
    """From each frame to the nearest of the others: the greatest difference of their numbers."""
    return np.abs(frames[:, None] - others[None]).max((2, 3)).min(1)


# ---- Against the reference


@pytest.mark.parametrize("first_octave", [-1, 0])
@pytest.mark.parametrize(("threshold", "edge"), [(THRESHOLD, EDGE), (0.5, 10), (0.5, 1e6), (8, 3)])
def test_extrema_of_a_scale_space_equal_the_reference(isa, photo, first_octave, threshold, edge):
    """Of the same layers: the same extrema, to rounding."""
    part = photo[60:180, 50:200].copy()
    space = _core.ScaleSpace(part, first_octave, 1)
    frames, responses = _core.detect_dog(space, threshold, edge, 1)
    right, right_responses = reference.detect_dog(space.octaves(), threshold, edge)
    assert len(frames) == len(right) > 5
    nearest = np.abs(frames[:, None] - right[None]).max((2, 3)).argmin(1)
    assert len(set(nearest)) == len(right)
    np.testing.assert_allclose(frames, right[nearest], rtol=0, atol=3e-4)
    np.testing.assert_allclose(responses, right_responses[nearest], rtol=1e-4)


def test_detection_in_float32_equals_the_reference_in_float64(photo):
    """From the photo on: some extrema near a threshold, or near two pixels, may differ."""
    frames, _ = dog(photo)
    right, _ = reference.detect_dog(reference.scale_space(photo), THRESHOLD, EDGE)
    assert abs(len(frames) - len(right)) <= 0.005 * len(right)
    assert np.mean(distances(frames, right) < 1e-3) > 0.99
    assert np.mean(distances(right, frames) < 1e-3) > 0.99


def textures(height, width, seed):
    """Hard images: noise, checkerboards, plateaus, stripes, lone pixels, and repeated tiles."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    size = rng.integers(1, 7)
    tile = rng.integers(0, 256, (12, 12))
    choices = [
        rng.integers(0, 256, (height, width)),
        255 * ((x // size + y // size) % 2),
        60 * (rng.integers(0, 4, (height // 8 + 1, width // 8 + 1))[y // 8, x // 8]),
        255 * (x // size % 2),
        np.where(rng.random((height, width)) < 0.01, 255, 0),
        tile[y % 12, x % 12],
        np.maximum(0, 255 - 8 * np.maximum(np.abs(x - width // 2), np.abs(y - height // 2))),
    ]
    return choices[rng.integers(len(choices))].astype(np.uint8)


hard_images = st.builds(
    textures, st.integers(11, 70), st.integers(11, 70), st.integers(0, 2**32 - 1)
)


@settings(max_examples=60)
@given(hard_images, st.sampled_from([0.01, 0.3, 3.4]))
def test_extrema_of_hard_images_equal_the_reference(isa, photo, threshold):
    """Ties too. A quadratic that is nearly singular may be solved elsewhere, so 1 % may differ."""
    space = _core.ScaleSpace(photo, -1, 1)
    frames, responses = _core.detect_dog(space, threshold, EDGE, 1)
    right, _ = reference.detect_dog(space.octaves(), threshold, EDGE)
    assert abs(len(frames) - len(right)) <= 0.01 * len(right)
    if len(right) and len(frames):
        assert np.mean(distances(frames, right) < 1e-2) >= 0.99
    assert np.isfinite(frames).all()
    assert (responses >= threshold).all()


# ---- Laws


@settings(max_examples=60)
@given(hard_images)
def test_regions_are_different_ordered_and_inside(isa, photo):
    found = upright(photo, contrast_threshold=1e-4)
    height, width = photo.shape
    x, y = found.frames[:, 0, 2], found.frames[:, 1, 2]
    assert len(np.unique(found.frames.reshape(-1, 6), axis=0)) == len(found.frames)
    order = np.lexsort((found.scales, x, y, -found.responses))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    assert ((x >= 4.3) & (x <= width - 5.15) & (y >= 4.3) & (y <= height - 5.15)).all()
    np.testing.assert_array_equal(found.frames[:, [0, 1], [1, 0]], 0)
    np.testing.assert_array_equal(found.frames[:, 0, 0], found.frames[:, 1, 1])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("layer", [-2, -1, 0, 1, 2, 3, 6])
def test_a_blob_is_found_once_where_it_is(isa, rng, layer, sign):
    """At the scale of some layer (the first three are those of the finest octave, interpolated
    between its pixels), at any part of a pixel that is no tie between two."""
    sigma = np.sqrt((1.6 * 2 ** (layer / 3 + 1 / 6)) ** 2 + 0.35**2)
    step = max(1, 2 ** ((layer - 1) // 3))
    half = int(12 * sigma) + 12
    for dx, dy in rng.uniform(-0.35, 0.35, (6, 2)) * step:
        x, y = half + step + dx - half % step, half + dy - half % step
        image = blob(x, y, sigma, 100 * sign, (2 * half, 2 * half + 5))
        found = upright(image)
        assert len(found.frames) == 1
        error = np.hypot(found.frames[0, 0, 2] - x, found.frames[0, 1, 2] - y)
        assert error < 0.035 * sigma
        assert found.scales[0] == pytest.approx(scale_of_blob(sigma), rel=0.04)
        # A quadratic's peak is a little lower than the blob's.
        k, s2, t = 2 ** (1 / 3), sigma**2 - 0.35**2, scale_of_blob(sigma) ** 2
        peak = 100 * sigma**2 * (1 / (s2 + t) - 1 / (s2 + k * k * t))
        assert found.responses[0] == pytest.approx(peak, rel=0.02)


def test_most_blobs_are_found_at_any_scale_and_place(rng):
    """Between two places each one's quadratic may put the blob nearer to the other, and steps go to
    and fro; between two octaves, both may find it."""
    found = []
    for _ in range(150):
        sigma = np.exp(rng.uniform(np.log(1.3), np.log(5)))
        half = int(10 * sigma) + 12
        x, y = half + rng.uniform(-2, 2, 2)
        found.append(len(upright(blob(x, y, sigma, 100, (2 * half, 2 * half))).frames))
    assert set(found) <= {0, 1, 2}
    assert np.mean(np.array(found) == 1) > 0.98


MOVES = {
    "transposed": (lambda image: image.T, [[0, 1, 0], [1, 0, 0]]),
    "mirrored": (lambda image: image[:, ::-1], [[-1, 0, 1], [0, 1, 0]]),
    "upside down": (lambda image: image[::-1], [[1, 0, 0], [0, -1, 1]]),
    "turned": (lambda image: np.rot90(image, -1), [[0, -1, 1], [1, 0, 0]]),
    "turned twice": (lambda image: np.rot90(image, -2), [[-1, 0, 1], [0, -1, 1]]),
}


@pytest.mark.parametrize("name", MOVES)
def test_regions_move_with_the_photo(isa, name):
    """Sides of 2^k + 1: the pixels of the coarse octaves are mirrored onto each other."""
    move, transform = MOVES[name]
    photo = scenes.scene(4, (257, 129))
    before, after = upright(photo), upright(np.ascontiguousarray(move(photo)))
    linear, shift = np.array(transform, float)[:, :2], np.array(transform, float)[:, 2]
    height, width = move(photo).shape
    expected = before.frames[:, :, 2] @ linear.T + shift * [width - 1, height - 1]
    expected = np.column_stack([expected, before.scales])
    actual = np.column_stack([after.frames[:, :, 2], after.scales])
    apart = np.abs(expected[:, None] - actual[None]).max(2).min(1)
    assert len(before.frames) > 100
    assert abs(len(before.frames) - len(after.frames)) <= 0.01 * len(before.frames)
    assert np.mean(apart < 2e-3) > 0.98


def test_a_lighter_photo_has_the_same_regions(isa, photo):
    dark = photo // 2
    before, after = upright(dark), upright(dark + 100)
    assert abs(len(before.frames) - len(after.frames)) <= 0.005 * len(before.frames)
    assert np.mean(distances(before.frames, after.frames) < 2e-3) > 0.99


@pytest.mark.parametrize("factor", [0.5, 0.125])
def test_contrast_scales_responses(isa, photo, factor):
    """By a power of 2 to the bit: nothing but sums and products with constants."""
    full = photo.astype(np.float32)
    frames, responses = dog(full)
    less, less_responses = dog(full * np.float32(factor), THRESHOLD * factor)
    np.testing.assert_array_equal(less, frames)
    np.testing.assert_array_equal(less_responses, responses * np.float32(factor))


def test_a_higher_threshold_keeps_some_of_the_same(photo):
    frames, responses = dog(photo, 1)
    fewer, fewer_responses = dog(photo, 6)
    everything = {frame.tobytes() for frame in frames}
    assert {frame.tobytes() for frame in fewer} <= everything
    assert (fewer_responses >= 6).all()
    # A weak sample may interpolate to a strong extremum: half the threshold is asked of it.
    assert len(fewer) >= 0.99 * np.sum(responses >= 6)


def test_a_greater_edge_ratio_keeps_all_of_the_same(photo):
    few, many = dog(photo, 2, 3), dog(photo, 2, 30)
    assert {f.tobytes() for f in few[0]} < {f.tobytes() for f in many[0]}


def test_a_straight_edge_is_none(isa):
    image = np.zeros((80, 90), np.uint8)
    image[:, 45:] = 200
    assert len(upright(image).frames) == 0


def test_thresholds_of_any_size(photo):
    assert len(upright(photo, contrast_threshold=1e300).frames) == 0
    assert len(upright(photo, edge_threshold=1e300).frames) > 400
    for name in ("contrast_threshold", "edge_threshold"):
        for value in (0, -1, np.nan, np.inf):
            with pytest.raises(ValueError, match=name):
                features.dog(photo, **{name: value})


# ---- Select


def test_max_features_is_a_prefix(photo):
    for orientation in ("upright", "dominant"):
        everything = features.dog(photo, orientation=orientation, max_features=10**6)
        for most in (1, 2, 50, len(everything.frames) - 1, len(everything.frames)):
            few = features.dog(photo, orientation=orientation, max_features=most)
            for a, b in zip(few, everything, strict=True):
                np.testing.assert_array_equal(a, b[:most])


def test_a_mask_keeps_the_regions_within(photo):
    everything = upright(photo)
    mask = np.zeros(photo.shape, np.uint8)
    mask[40:150, 33:200] = 1
    x, y = np.rint(everything.frames[:, :, 2]).astype(int).T
    inside = mask[y, x] > 0
    assert 20 < inside.sum() < len(inside) - 20
    for other in (mask, mask.astype(bool), mask.astype(np.int64) * -5, np.asfortranarray(mask)):
        np.testing.assert_array_equal(upright(photo, mask=other).frames, everything.frames[inside])
    assert len(upright(photo, mask=mask * 0).frames) == 0
    few = features.dog(photo, orientation="upright", max_features=9, mask=mask)
    np.testing.assert_array_equal(few.frames, everything.frames[inside][:9])


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        (np.ones((240, 319), bool), ValueError),
        (np.ones((240, 320)), TypeError),
        (np.ones(320, bool), ValueError),
        ("mask", ValueError),
        ([[1], [1, 0]], ValueError),
        (np.ma.masked_all((240, 320), bool), TypeError),
    ],
)
def test_a_mask_that_is_none(photo, mask, error):
    with pytest.raises(error, match="mask"):
        features.dog(photo, mask=mask)


def frames_at(x, y):
    frames = np.zeros((len(x), 2, 3), np.float32)
    frames[:, 0, 0] = frames[:, 1, 1] = 1
    frames[:, 0, 2], frames[:, 1, 2] = x, y
    return frames


def spread_law(frames, responses, kept, most):
    """None kept lies near a stronger one that is kept, and none is left out but for being near."""
    assert len(kept) == min(most, len(frames))
    assert len(set(kept.tolist())) == len(kept)
    assert (np.diff(responses[kept].astype(float)) <= 0).all()
    assert kept[0] == np.argmax(responses)
    apart = np.abs(frames[:, None, :, 2] - frames[None, kept][..., 2]).max(2)  # of all, of the kept
    among = apart[kept] + np.where(np.eye(len(kept), dtype=bool), np.inf, 0)
    nearest = among.min()
    if nearest < 1:  # they are so dense that nothing was spread
        return
    # Cells of half the distance, and all within two of them: it reaches to at most one and a half.
    stronger = responses[:, None] < responses[None, kept]
    reach = np.where(stronger, apart, np.inf).min(1)
    left_out = np.setdiff1d(np.flatnonzero(responses > responses[kept].min()), kept)
    assert (reach[left_out] <= 1.5 * nearest * (1 + 1e-6)).all()


@settings(max_examples=150)
@given(
    st.integers(1, 200),
    st.integers(1, 120),
    st.integers(1, 2000),
    st.integers(1, 2000),
    st.integers(0, 2**32 - 1),
)
def test_spread_keeps_the_strongest_of_each_neighbourhood(n, most, width, height, seed):
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform(0, 1, (2, 1)), rng.choice([1, 0.1])
    places = np.clip(centre + size * rng.uniform(-1, 1, (2, n)), 0, 1) * [[width - 1], [height - 1]]
    frames, responses = frames_at(*places), rng.permutation(n).astype(np.float32)
    distinct = len(np.unique(places.astype(np.float32), axis=1).T)
    kept = _core.select(frames, responses, width, height, most, None, True)
    if distinct == n:
        spread_law(frames, responses, kept, most)


def test_spread_covers_the_photo(photo):
    plain, spread = (
        features.dog(photo, max_features=80, orientation="upright", spread=on)
        for on in (False, True)
    )
    assert len(plain.frames) == len(spread.frames) == 80

    def nearest(frames):
        apart = np.abs(frames[:, None, :, 2] - frames[None, :, :, 2]).max(2)
        return (apart + 1e9 * np.eye(len(frames))).min()

    assert nearest(spread.frames) > 8 > nearest(plain.frames)
    # Where there are no more, spreading them changes nothing.
    n = len(upright(photo).frames)
    everything = upright(photo, spread=True)
    np.testing.assert_array_equal(everything.frames, upright(photo).frames)
    nearly = features.dog(photo, max_features=n - 1, orientation="upright", spread=True)
    assert len(nearly.frames) == n - 1


def test_of_equal_responses_the_first_by_row_column_and_scale():
    frames = frames_at([3, 1, 2, 1, 1], [5, 5, 4, 5, 5])
    frames[[1, 3], [0, 0], [0, 0]] = [2, 1]
    frames[1, 1, 1], frames[4] = 2, frames[3]
    kept = _core.select(frames, np.ones(5, np.float32), 9, 9, 9, None, False)
    assert kept.tolist() == [2, 3, 1, 0]  # of the equal frames 3 and 4, one
