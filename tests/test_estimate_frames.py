# SPDX-License-Identifier: Apache-2.0
"""`geometry.estimate` from local affine frames, which need fewer correspondences than points."""

import numpy as np
import pytest

import reference
from estimate_cases import (
    FRAMES,
    MAPS,
    MODELS,
    assert_consistent,
    assert_right,
    assert_same_bits,
    clear_problem,
    error,
    limit,
    problem,
    random_frames,
    simulated_quality,
)
from trouvaille import _core
from trouvaille.geometry import estimate


@pytest.mark.parametrize("model", ["similarity", "affine"])
def test_one_frame_gives_a_similarity_or_an_affine_map(rng, model):
    for _ in range(10):
        case = problem(rng, model, n=1, share=1, noise=0)
        found = estimate(model, case.frames1, case.frames2)
        assert found.n_inliers == 1
        assert error(model, found.model, case.exact) < 1e-3  # of float32, which nothing refines


@pytest.mark.parametrize("n", [2, 3])
def test_two_frames_give_a_homography(rng, n):
    for _ in range(10):
        case = problem(rng, "homography", n=n, share=1, noise=0)
        found = estimate("homography", case.frames1, case.frames2)
        assert found.inliers.all()
        # Small frames far from the corners: they extrapolate, and a frame may stand for points.
        residuals = reference.estimate_residuals("homography", found.model, case.x1, case.x2)
        assert residuals.max() < 0.5


@pytest.mark.parametrize("model", MODELS)
def test_too_few_frames_find_nothing(rng, model):
    case = problem(rng, model, n=FRAMES[model] - 1, share=1)
    found = estimate(model, case.frames1, case.frames2)
    assert_consistent(model, found, case.x1, case.x2)
    assert "match" in found.reason


@pytest.mark.parametrize("n", [9, 60])
@pytest.mark.parametrize("model", MODELS)
def test_recovers_a_model_exactly_from_exact_frames(rng, isa, model, n):
    for _ in range(10):
        case = problem(rng, model, n=n, share=1, noise=0)
        found = estimate(model, case.frames1, case.frames2)
        assert_consistent(model, found, case.x1, case.x2, frames=True)
        assert found.inliers.all()
        assert error(model, found.model, case.exact) < 1e-6


NOISY = [  # (model, share of right matches, noise of the frames: 1 is 12 degrees and 25 %)
    *((model, share, noise) for model in MAPS for share, noise in [(0.05, 0.3), (0.2, 1.0)]),
    ("fundamental", 0.2, 0.1),
    ("fundamental", 0.5, 0.3),
]


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize(("model", "share", "noise"), NOISY)
def test_noisy_frames_find_what_points_cannot(model, share, noise, guided):
    """In fewer trials than points would need."""
    solved = 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        case = problem(rng, model, share=share, frame_noise=noise)
        quality = simulated_quality(rng, case.right) if guided else None
        found = estimate(model, case.frames1, case.frames2, quality=quality, max_trials=2000)
        assert_consistent(model, found, case.x1, case.x2, frames=True)
        solved += error(model, found.model, case.exact) < 2 * limit(model)
    assert solved >= 45


@pytest.mark.parametrize("model", MODELS)
def test_the_answer_fits_centres_not_frames(rng, model):
    """However wrong the frames are, matches whose centres agree are inliers."""
    noise = 0.1 if model == "fundamental" else 0.5
    case = clear_problem(rng, model, share=0.6, frame_noise=noise)
    found = estimate(model, case.frames1, case.frames2)
    assert_right(model, found.inliers, case.right)


@pytest.mark.parametrize("model", MODELS)
def test_same_bits_on_every_instruction_set(rng, model):
    case = problem(rng, model, share=0.3, frame_noise=1.0)
    expected = estimate(model, case.frames1, case.frames2)
    for name in _core.isas():
        _core.use_isa(name)
        try:
            assert_same_bits(estimate(model, case.frames1, case.frames2), expected)
        finally:
            _core.reset_isa()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("model", MODELS)
def test_frames_of_any_dtype_and_layout(rng, model, dtype):
    case = problem(rng, model, n=80, share=0.5)
    one, two = case.frames1.astype(dtype), case.frames2.astype(dtype)
    expected = estimate(model, one.astype(float), two.astype(float))
    assert_same_bits(estimate(model, one, two), expected)
    strided = np.zeros((160, 2, 6), dtype)[::2, :, ::2]
    strided[:] = one
    assert_same_bits(estimate(model, strided, np.asfortranarray(two)), expected)


SINGULAR = {
    "zero": np.zeros((2, 2)),
    "rank one": np.array([[2.0, 4], [1, 2]]),
    "tiny": np.full((2, 2), 5e-324),
}


@pytest.mark.parametrize("name", SINGULAR)
@pytest.mark.parametrize("where", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("model", MODELS)
def test_singular_frames_propose_nothing(rng, model, where, name):
    """The regular ones find the model, whose inliers may include the singular ones' centres."""
    case = clear_problem(rng, model, n=100, share=0.8)
    frames = [case.frames1, case.frames2]
    for i in where:
        frames[i][::2, :, :2] = SINGULAR[name]
    found = estimate(model, *frames)
    assert_consistent(model, found, case.x1, case.x2, frames=True, masked=True)
    assert error(model, found.model, case.exact) < limit(model)
    assert found.inliers[1::2][case.right[1::2]].all()
    for frame in frames:
        frame[:, :, :2] = SINGULAR[name]
    found = estimate(model, *frames)
    assert_consistent(model, found, case.x1, case.x2, frames=True, masked=True)


@pytest.mark.parametrize("model", MODELS)
def test_mirrored_frames_are_frames(rng, model):
    """A photo seen in a mirror: every frame is, and the map is too."""
    case = problem(rng, model, n=100, share=1, noise=0)
    mirrored = case.frames2.copy()
    mirrored[:, 0] *= -1
    mirrored[:, 0, 2] += 1024
    found = estimate(model, case.frames1, mirrored)
    if model == "similarity":  # which is never a reflection
        assert found.n_inliers < 10
        return
    assert found.inliers.all()
    exact = case.exact[0], case.exact[1] * [-1, 1] + [1024, 0]
    assert error(model, found.model, exact) < 1e-6


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        (lambda a, b: (a, b[:, :, 2]), "x2"),
        (lambda a, b: (a[:, :, :2], b[:, :, :2]), "x1"),
        (lambda a, b: (a, b[:-1]), "x2"),
        (lambda a, b: (np.where(np.arange(3) == 0, np.nan, a), b), "x1"),
        (lambda a, b: (a, np.where(np.arange(3) == 1, np.inf, b)), "x2"),
    ],
    ids=["points", "no centres", "fewer", "nan", "inf"],
)
def test_bad_frames_are_refused(rng, change, argument):
    case = problem(rng, "affine", n=20)
    with pytest.raises(ValueError, match=argument):
        estimate("affine", *change(case.frames1, case.frames2))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n", [10, 100, 300])
def test_seldom_claims_a_model_of_random_frames(model, n):
    """A refined model goes through two to seven points, however few frames it was made from."""
    claims = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = estimate(model, random_frames(rng, n), random_frames(rng, n), max_trials=2000)
        claims += not found.reason
    assert claims <= 2


@pytest.mark.parametrize(("model", "right"), [("similarity", 6), ("affine", 6), ("homography", 7)])
def test_few_precise_frames_among_many_matches_are_enough(model, right):
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        case = problem(rng, model, n=60, share=right / 60, noise=0.5, frame_noise=0.2)
        found += estimate(model, case.frames1, case.frames2).inliers[case.right].all()
    assert found >= 30


def test_two_frames_are_not_refused_for_being_on_a_line(rng):
    for _ in range(30):
        case = problem(rng, "homography", n=2, share=0)
        assert "one line" not in estimate("homography", case.frames1, case.frames2).reason
