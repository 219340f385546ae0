# SPDX-License-Identifier: Apache-2.0
"""Hessian and Harris regions, and affine shapes."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

import reference
from interrupts import LIMIT, seconds_to_stop
from trouvaille import _core, features

DETECTORS = {
    name: getattr(features, name)
    for name in ("hessian", "harris", "hessian_affine", "harris_affine")
}
KERNELS = {"hessian": (_core.detect_hessian, 25.0), "harris": (_core.detect_harris, 10.0)}


@pytest.fixture(params=DETECTORS)
def detector(request):
    return DETECTORS[request.param]


def made_photo(height=150, width=203, seed=3):
    """Structure at many scales, in gray levels."""
    rng = np.random.default_rng(seed)
    image = sum(
        sigma * gaussian_filter(rng.normal(size=(height, width)), sigma) for sigma in (1, 2, 4, 8)
    )
    image -= image.min()
    return np.rint(255 * image / image.max()).astype(np.uint8)


@pytest.fixture(scope="module")
def photo():
    return made_photo()


def measure(name):
    def hessian(octave, k):
        image, sigma, step = octave[k]
        return reference.hessian_determinant(image, sigma / step)

    def harris(octave, k):
        (image, below, step), (_, sigma, _) = octave[k - 1 : k + 1]
        return reference.harris_measure(image, below / step, sigma / step)

    return {"hessian": hessian, "harris": harris}[name]


def share_within(rows, others, tolerance):
    """The share of the rows that have another one so near."""
    distances = np.abs((rows[:, None] - others) / np.maximum(np.abs(rows[:, None]), 20))
    return (distances.max(axis=2).min(axis=1) < tolerance).mean()


@functools.cache  # the reference is slow, and the same on every CPU
def expected_keypoints(name, first_octave):
    octaves = reference.scale_space(made_photo(), first_octave)
    return reference.thin(reference.laplace_selected(octaves, measure(name), KERNELS[name][1]))


@pytest.mark.parametrize("first_octave", [-1, 0])
@pytest.mark.parametrize("name", KERNELS)
def test_keypoints_are_those_of_the_reference(name, first_octave, photo, isa, threads):
    kernel, threshold = KERNELS[name]
    space = _core.ScaleSpace(photo, first_octave, 1)
    frames, responses = kernel(space, 0, threshold, threads)
    expected = expected_keypoints(name, first_octave)
    assert len(expected) > (100 if first_octave < 0 else 30)
    found = np.column_stack([frames[:, :, 2], frames[:, 0, 0], responses])
    # A few are within rounding (or a sampled Gaussian's tail) of not being there.
    assert share_within(found, expected, 0.01) > 0.97
    assert share_within(expected, found, 0.01) > 0.97
    np.testing.assert_array_equal(frames[:, 0, 1], 0)
    np.testing.assert_array_equal(frames[:, 1, 0], 0)
    np.testing.assert_array_equal(frames[:, 1, 1], frames[:, 0, 0])


@pytest.mark.parametrize("width", [11, 12, 33, 64, 203])
@pytest.mark.parametrize("name", KERNELS)
def test_the_same_bits_everywhere(name, width, isa, threads):
    """Of every width modulo a vector's; the first instruction set and one thread are the rule."""
    photo, (kernel, _) = made_photo(width=width), KERNELS[name]

    def found(n_threads):
        space = _core.ScaleSpace(photo, -1, n_threads)
        frames, responses = kernel(space, 0, 1e-3, n_threads)
        return frames, responses, *_core.affine_shapes(space, frames, 16, 0.1, 6.0, n_threads)

    actual = found(threads)
    _core.use_isa(_core.isas()[0])
    for part, expected in zip(actual, found(1), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert width == 11 or len(actual[0]) > 0


def test_first_octaves_may_be_left_out(photo):
    space = _core.ScaleSpace(photo, -1, 1)
    everything, _ = _core.detect_hessian(space, 0, 25.0, 1)
    coarse, _ = _core.detect_hessian(space, 1, 25.0, 1)
    only, _ = _core.detect_hessian(_core.ScaleSpace(photo, 0, 1), 0, 25.0, 1)
    assert len(only) == pytest.approx(len(coarse), rel=0.05)
    assert everything[:, 0, 0].min() < 1.3 < 1.7 < coarse[:, 0, 0].min()
    assert len(_core.detect_hessian(space, 100, 25.0, 1)[0]) == 0


def test_affine_shapes_are_those_of_the_reference(photo, isa, threads):
    octaves = reference.scale_space(photo)
    rng = np.random.default_rng(5)
    frames = np.zeros((200, 2, 3), np.float32)
    frames[:, 0, 0] = frames[:, 1, 1] = 2 ** rng.uniform(1, 4, 200)
    frames[:, 0, 2], frames[:, 1, 2] = rng.uniform(0, [[202], [149]], (2, 200))
    space = _core.ScaleSpace(photo, -1, 1)
    shapes, outcomes = _core.affine_shapes(space, frames, 16, 0.1, 6.0, threads)
    agree = 0
    for frame, shape, outcome in zip(frames, shapes, outcomes, strict=True):
        axes, expected = reference.affine_shape(octaves, frame)
        agree += features.affine.OUTCOMES[outcome] == expected
        if features.affine.OUTCOMES[outcome] == expected == "converged":
            np.testing.assert_allclose(shape[:, :2], axes, atol=2e-3 * frame[0, 0])
            np.testing.assert_array_equal(shape[:, 2], frame[:, 2])
        elif outcome != 0:
            np.testing.assert_array_equal(shape, frame)
    assert agree >= 198  # one may be within rounding of another iteration
    assert (outcomes == 0).sum() > 100


def scale_of_ellipse(a, b):
    """The sigma at which the Laplacian of a Gaussian of these axes is greatest."""
    t = np.linspace(0.1, 2, 2000) * a * b
    laplacian = t * (1 / (t + a**2) + 1 / (t + b**2)) / np.sqrt((t + a**2) * (t + b**2))
    return np.sqrt(t[laplacian.argmax()])


@given(
    ratio=st.floats(1, 2.5),
    angle=st.floats(0, np.pi),
    size=st.floats(4, 8),
    shift=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    dark=st.booleans(),
)
def test_a_gaussian_blob_gives_its_ellipse(ratio, angle, size, shift, dark):
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    axes = axes @ np.diag([size * ratio**0.5, size / ratio**0.5])
    y, x = np.mgrid[:161, :161]
    center = 80 + np.array(shift)
    offsets = np.einsum(
        "ij,jkl->ikl", np.linalg.inv(axes), np.stack([x, y]) - center[:, None, None]
    )
    blob = np.exp(-(offsets**2).sum(axis=0) / 2)
    image = np.where(dark, 200 - 150 * blob, 50 + 150 * blob).astype(np.float32)
    found = features.hessian_affine(image, orientation="upright")
    frame = found.frames[0].astype(float)
    np.testing.assert_allclose(frame[:, 2], center, atol=0.2)
    expected = scale_of_ellipse(size * ratio**0.5, size / ratio**0.5)
    np.testing.assert_allclose(found.scales[0], expected, rtol=0.05)
    # As covariance matrices of one area: the image's blur makes the ellipse somewhat rounder.
    covariance = frame[:, :2] @ frame[:, :2].T / found.scales[0] ** 2
    np.testing.assert_allclose(covariance, axes @ axes.T / size**2, atol=0.25 * ratio)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_turned_photo_has_turned_regions(photo, quarter_turns, mirror, detector):
    height, width = photo.shape
    move = np.eye(3)
    for _ in range(quarter_turns):
        move = np.array([[0, -1, height - 1], [1, 0, 0], [0, 0, 1]]) @ move  # clockwise as seen
        height, width = width, height
    moved_photo = np.rot90(photo, -quarter_turns)
    if mirror:
        move, moved_photo = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]) @ move, moved_photo.T
    before = detector(photo, orientation="upright").frames.astype(float)
    after = detector(moved_photo, orientation="upright").frames.astype(float)
    # Octaves sample every second pixel: only where both sides are odd do the samples agree.
    expected = move[:2, :2] @ before + np.pad(move[:2, 2:], ((0, 0), (2, 0)))
    covariance, moved = (f[:, :, :2] @ f[:, :, :2].transpose(0, 2, 1) for f in (after, expected))
    area = np.sqrt(np.linalg.det(moved))[:, None, None, None]
    near = np.abs(after[:, :, 2] - expected[:, None, :, 2]).max(axis=2) < 0.5
    alike = np.abs(covariance - moved[:, None]).max(axis=(2, 3)) < 0.3 * area[..., 0, 0]
    assert (near & alike).any(axis=1).mean() > 0.8


def test_regions_are_what_they_should_be(photo, detector):
    regions = detector(photo, max_features=100, orientation="upright")
    assert [part.dtype for part in regions] == [np.float32] * 3
    assert regions.frames.shape == (100, 2, 3)
    assert (np.diff(regions.responses) <= 0).all()
    areas = np.linalg.det(regions.frames[:, :, :2].astype(float))
    np.testing.assert_allclose(np.sqrt(areas), regions.scales, rtol=1e-4)
    np.testing.assert_array_equal(regions.frames[:, 0, 1], 0)
    everything = detector(photo, max_features=100_000, orientation="upright")
    np.testing.assert_array_equal(regions.responses, everything.responses[:100])
    mask = np.arange(photo.shape[1]) < 100
    left = detector(photo, mask=np.broadcast_to(mask, photo.shape), orientation="upright")
    assert 0 < len(left.frames) < len(everything.frames)
    assert left.frames[:, 0, 2].max() < 99.5
    turned = detector(photo, max_features=100)
    assert len(np.unique(turned.frames[:, :, 2], axis=0)) > 50
    assert np.abs(turned.frames[:, 0, 1]).max() > 1


def test_no_region_is_there_twice(photo, detector):
    regions = detector(photo, max_features=10_000, orientation="upright")
    centers, scales = regions.frames[:, :, 2].astype(float), regions.scales.astype(float)
    apart = np.linalg.norm(centers[:, None] - centers, axis=2)
    similar = np.abs(np.log(scales[:, None] / scales)) < np.log(1.39)
    np.fill_diagonal(similar, False)
    assert apart[similar].min() > 0.49 * scales.min()
    stronger = regions.responses[:, None] >= regions.responses
    assert not (similar & stronger & (apart < 0.49 * scales[:, None])).any()


def test_dropped_shapes_are_counted():
    stretched = np.repeat(made_photo(150, 30), 8, axis=1)
    space = features.ScaleSpace(stretched)
    found = features.hessian(space, orientation="upright")
    shapes = features.affine_shapes(space, found)
    assert len(shapes.kept) + sum(shapes.dropped.values()) == len(found.frames)
    assert len(shapes.kept) == len(shapes.regions.frames)
    assert shapes.dropped["elongated"] > 0
    np.testing.assert_array_equal(shapes.regions.responses, found.responses[shapes.kept])
    centers = found.frames[shapes.kept][:, :, 2]
    np.testing.assert_array_equal(shapes.regions.frames[:, :, 2], centers)
    np.testing.assert_allclose(shapes.regions.scales, found.scales[shapes.kept], rtol=1e-5)


@pytest.mark.parametrize(
    ("frame", "outcome"),
    [
        ([[3, 0, -1], [0, 3, 50]], "outside"),
        ([[3, 0, 50], [0, 3, 1e18]], "outside"),
        ([[0, 0, 50], [0, 0, 50]], "outside"),
        ([[1e18, 0, 50], [0, 1e18, 50]], "outside"),
        ([[1e-30, 0, 50], [0, 1e-30, 50]], "unstructured"),
        ([[3, 3, 50], [3, 3, 50]], "outside"),
        ([[3, 0, 50], [0, 3, 20]], "unstructured"),
        ([[3, 0, 50], [0, 3, 75]], "unstructured"),  # in the middle of a straight edge
        ([[201, 0, 50], [0, 201, 50]], "outside"),
    ],
)
def test_hopeless_frames_are_dropped_and_named(frame, outcome, isa):
    image = np.full((100, 100), 50, np.uint8)
    image[75:] = 200
    shapes = features.affine_shapes(image, np.array([frame], np.float32))
    assert shapes.dropped[outcome] == 1
    assert len(shapes.kept) == 0


def test_not_finite_frames_are_outside(photo):
    frames = np.full((3, 2, 3), 5, np.float32)
    frames[0, 0, 0], frames[1, 0, 2], frames[2, 1, 2] = np.nan, np.nan, np.inf
    space = _core.ScaleSpace(photo, 0, 1)
    _, outcomes = _core.affine_shapes(space, frames, 16, 0.1, 6.0, 1)
    assert [features.affine.OUTCOMES[outcome] for outcome in outcomes] == ["outside"] * 3


def test_regions_of_any_kind_are_checked_and_taken(photo):
    found = features.hessian(photo, max_features=9)
    expected = features.affine_shapes(photo, found).regions
    doubled = features.Regions(*(part.astype(np.float64) for part in found))
    for same in (doubled, features.describe_sift(photo, found)):
        for part, other in zip(features.affine_shapes(photo, same).regions, expected, strict=True):
            np.testing.assert_array_equal(part, other)
    for wrong in (
        found._replace(responses=found.responses[:2]),
        found._replace(frames=found.frames * np.nan),
        found._replace(frames=found.frames[:, :, :2]),
    ):
        with pytest.raises(ValueError, match="regions"):
            features.affine_shapes(photo, wrong)


def test_too_few_iterations_do_not_converge(photo):
    found = features.hessian(photo, orientation="upright")
    dropped = features.affine_shapes(photo, found, max_iterations=1, convergence=1e-6).dropped
    assert dropped["unconverged"] > 100


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 2), (11, 11), (64, 64)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_photo_has_no_regions(shape, value, detector):
    found = detector(np.full(shape, value, np.uint8))
    assert [part.shape for part in found] == [(0, 2, 3), (0,), (0,)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (10, 300), (300, 11), (17, 17)])
def test_photos_of_every_shape_are_searched(shape, detector, isa):
    noise = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    found = detector(noise, threshold=1e-3)
    assert np.isfinite(found.frames).all()
    assert len(found.frames) == 0 or min(shape) > 10


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threshold": 0}, ValueError, "threshold"),
        ({"threshold": np.nan}, ValueError, "threshold"),
        ({"first_octave": 1}, ValueError, "first_octave"),
        ({"first_octave": True}, ValueError, "first_octave"),
        ({"max_features": 0}, ValueError, "max_features"),
        ({"orientation": "given"}, ValueError, "orientation"),
        ({"mask": np.ones((2, 2), bool)}, ValueError, "mask"),
    ],
)
def test_says_what_is_wrong(options, error, message, photo, detector):
    with pytest.raises(error, match=message):
        detector(photo, **options)


def test_a_space_without_the_finest_octave_has_the_scales_it_has(photo, detector):
    space = features.ScaleSpace(photo, first_octave=0)
    found = detector(space, first_octave=-1)
    for first_octave in (0, 0.0, np.int8(0)):
        for part, other in zip(detector(space, first_octave=first_octave), found, strict=True):
            np.testing.assert_array_equal(part, other)
    assert found.scales.min() > 1.6


@pytest.mark.parametrize("name", ["max_iterations", "convergence", "max_anisotropy"])
def test_shape_options_are_checked(name, photo):
    with pytest.raises(ValueError, match=name):
        features.affine_shapes(photo, np.ones((1, 2, 3)), **{name: 0})


@pytest.mark.parametrize("name", ["hessian_affine", "harris_affine"])
def test_they_are_detectors_by_name(name, photo):
    found = features.extract(photo, detector=name, max_features=50).features
    assert found.descriptors.shape == (50, 128)
    np.testing.assert_array_equal(found.frames, DETECTORS[name](photo, max_features=50).frames)


@pytest.mark.parametrize("name", KERNELS)
def test_ctrl_c_stops_it(name):
    kernel, _ = KERNELS[name]
    space = _core.ScaleSpace(made_photo(600, 800), -1, 1)
    frames = np.tile(np.float32([[[5, 0, 300], [0, 5, 300]]]), (3_000_000, 1, 1))
    calls = {
        "hessian": lambda: _core.affine_shapes(space, frames, 16, 1e-6, 6.0, 1),
        "harris": lambda: [kernel(space, 0, 1e-3, 1) for _ in range(500)],
    }
    assert seconds_to_stop(calls[name]) < LIMIT
