# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import reference
from estimate_cases import (
    MAPS,
    MODELS,
    SAMPLE,
    SIZE,
    THRESHOLD,
    assert_consistent,
    assert_right,
    assert_same_bits,
    clear_problem,
    error,
    limit,
    problem,
    simulated_quality,
    successes,
)
from trouvaille import _core
from trouvaille.geometry import estimate


@pytest.mark.parametrize("n", [8, 20, 100])
@pytest.mark.parametrize("model", MODELS)
def test_recovers_a_model_exactly_from_exact_matches(rng, isa, model, n):
    for _ in range(10):
        case = problem(rng, model, n=n, share=1, noise=0)
        found = estimate(model, case.x1, case.x2)
        assert_consistent(model, found, case.x1, case.x2)
        assert found.inliers.all()
        assert error(model, found.model, case.exact) < 1e-6


@pytest.mark.parametrize("model", MODELS)
def test_a_smallest_sample_is_fitted_exactly(rng, model):
    for _ in range(10):
        case = problem(rng, model, n=SAMPLE[model], share=1, noise=0)
        found = estimate(model, case.x1, case.x2)
        assert found.inliers.all()
        residuals = reference.estimate_residuals(model, found.model, case.x1, case.x2)
        assert residuals.max() < 1e-6
        if model == "fundamental":
            possible = reference.estimate_fundamental_from_seven(case.x1, case.x2)
            away = [np.abs(found.model - s * f).max() for f in possible for s in (1, -1)]
            assert min(away) < 1e-6


@pytest.mark.parametrize(("scoring", "loss"), [("msac", 1.05), ("magsac", 1.25)])
@pytest.mark.parametrize("model", MODELS)
def test_fits_right_matches_as_well_as_least_squares(rng, model, scoring, loss):
    fit = getattr(reference, f"estimate_{model}")
    ours, best = [], []
    for _ in range(100):
        case = problem(rng, model, n=100, share=1, noise=0.7)
        found = estimate(model, case.x1, case.x2, scoring=scoring)
        ours.append(error(model, found.model, case.exact))
        best.append(error(model, fit(case.x1, case.x2), case.exact))
    assert np.mean(ours) < loss * np.mean(best)


@pytest.mark.parametrize("model", MODELS)
def test_fits_as_well_among_wrong_matches(model):
    """With a noise of a third of the threshold, as if the right matches were known."""
    fit = getattr(reference, f"estimate_{model}")
    ours, best = [], []
    for seed in range(100):
        case = problem(np.random.default_rng(seed), model, share=0.5)
        ours.append(error(model, estimate(model, case.x1, case.x2).model, case.exact))
        known = fit(case.x1[case.right], case.x2[case.right])
        best.append(error(model, known, case.exact))
    assert np.median(ours) < 1.25 * np.median(best)


@pytest.mark.parametrize(
    ("model", "share", "needed"),
    [(model, 0.5, 1.0) for model in MODELS]
    + [("similarity", 0.1, 0.99), ("affine", 0.2, 0.99), ("homography", 0.2, 0.99)]
    + [("fundamental", 0.4, 0.96)],
)
def test_finds_a_model_among_wrong_matches(isa, model, share, needed):
    cases = [problem(np.random.default_rng(i), model, share=share) for i in range(100)]
    assert successes(model, cases, lambda p: estimate(model, p.x1, p.x2)) >= needed


@pytest.mark.parametrize(("model", "share"), [*((m, 0.1) for m in MAPS), ("fundamental", 0.3)])
def test_quality_finds_in_few_trials_what_chance_does_not(model, share):
    cases = [problem(np.random.default_rng(i), model, share=share) for i in range(50)]

    def guided(case):
        quality = simulated_quality(np.random.default_rng(0), case.right)
        return estimate(model, case.x1, case.x2, quality=quality, max_trials=2000)

    assert successes(model, cases, guided) >= 0.9


@pytest.mark.parametrize("model", MODELS)
def test_a_misleading_quality_delays_but_does_not_prevent(model):
    cases = [problem(np.random.default_rng(i), model, share=0.6) for i in range(20)]

    def misled(case):
        return estimate(model, case.x1, case.x2, quality=-case.right.astype(float))

    assert successes(model, cases, misled) >= 0.95


@pytest.mark.parametrize("model", MODELS)
def test_equal_quality_is_as_good_as_none(rng, model):
    case = clear_problem(rng, model)
    found = estimate(model, case.x1, case.x2, quality=np.ones(len(case.right)))
    assert_right(model, found.inliers, case.right)


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_same_bits_whenever_and_wherever(rng, model, guided):
    cases = [problem(rng, model, n=n, share=0.5) for n in (7, 8, 33, 300)]
    qualities = [simulated_quality(rng, case.right) if guided else None for case in cases]

    def run(i):
        case = cases[i % len(cases)]
        return estimate(model, case.x1, case.x2, quality=qualities[i % len(cases)])

    expected = [run(i) for i in range(len(cases))]
    for i in reversed(range(len(cases))):
        assert_same_bits(run(i), expected[i])
    for name in _core.isas():
        _core.use_isa(name)
        try:
            for i, found in enumerate(expected):
                assert_same_bits(run(i), found)
        finally:
            _core.reset_isa()
    with ThreadPoolExecutor(4) as pool:
        for i, found in enumerate(pool.map(run, range(24))):
            assert_same_bits(found, expected[i % len(cases)])


def test_random_state_is_the_only_luck(rng):
    case = problem(rng, "homography", share=0.3)
    answers = [estimate("homography", case.x1, case.x2, random_state=i) for i in range(20)]
    assert len({found.trials for found in answers}) > 1
    for found in answers:
        assert error("homography", found.model, case.exact) < limit("homography")


@pytest.mark.parametrize("model", MODELS)
def test_arguments_are_left_as_they_were(rng, model):
    case = problem(rng, model)
    given = (case.x1, case.x2, np.arange(300.0))
    before = [x.copy() for x in given]
    for x in given:
        x.flags.writeable = False
    estimate(model, given[0], given[1], quality=given[2])
    assert_same_bits(given, before)


@pytest.mark.parametrize("scale", [0.01, 1, 100])
@pytest.mark.parametrize("move", [0, 1e4])
@pytest.mark.parametrize("model", MODELS)
def test_moved_and_scaled_points_give_the_moved_and_scaled_model(rng, model, move, scale):
    case = clear_problem(rng, model, n=200, share=0.6)
    x1, x2 = (scale * x + move for x in (case.x1, case.x2))
    found = estimate(model, x1, x2, residual_threshold=scale * THRESHOLD)
    assert_right(model, found.inliers, case.right)
    to = np.array([[scale, 0, move], [0, scale, move], [0, 0, 1]])
    back = np.linalg.inv(to)
    moved = to.T @ found.model @ to if model == "fundamental" else back @ found.model @ to
    alone = estimate(model, case.x1, case.x2).model
    errors = error(model, moved, case.exact), error(model, alone, case.exact)
    assert max(errors) < limit(model)
    assert errors[0] == pytest.approx(errors[1], abs=0.1)


@pytest.mark.parametrize("model", ["similarity", "affine"])
def test_few_matches_that_stand_still_do_not_outvote_those_that_turn(model):
    """A watermark: exact copies in both photos, on whole pixels."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x1 = 16 * rng.integers(0, 41, (65, 2)).astype(float)
        x2 = rng.permutation(x1)
        x2[:13] = x1[:13] @ [[0, -1], [1, 0]] + [640, 0]
        x2[13:19] = x1[13:19]
        assert estimate(model, x1, x2, random_state=seed).inliers[:13].all()


@pytest.mark.parametrize("model", MODELS)
def test_scores_of_better_matches_are_better(rng, model):
    scores = [
        estimate(model, case.x1, case.x2).score
        for case in (
            problem(np.random.default_rng(0), model, share=share, noise=noise)
            for share, noise in [(0.5, 2.0), (0.5, 0.2), (0.9, 0.2)]
        )
    ]
    assert scores == sorted(scores)


def test_finds_a_mirrored_homography():
    mirrored = np.array([[-0.9, 0.1, 900], [0.05, 1.1, -20], [1e-4, -5e-5, 1]])
    assert np.linalg.det(mirrored) < 0
    cases = [
        problem(np.random.default_rng(i), "homography", share=0.3, truth=mirrored)
        for i in range(20)
    ]
    assert successes("homography", cases, lambda p: estimate("homography", p.x1, p.x2)) == 1


@pytest.mark.parametrize("visible", [1, -1])
def test_points_behind_the_horizon_are_no_inliers(rng, visible):
    """Those right of x = 600 in image 1 satisfy the equations, but no camera sees both sides."""
    truth = np.array([[0.8, 0.1, 30], [-0.1, 0.9, 40], [-1 / 600, 0, 1]])
    x1 = rng.uniform(0, [1024, 768], (400, 2))
    x1 = x1[np.abs(x1[:, 0] - 600) > 100]
    if visible == 1:
        chosen = np.r_[np.flatnonzero(x1[:, 0] < 600), np.flatnonzero(x1[:, 0] > 600)[:60]]
    else:  # then also the origin is behind it
        chosen = np.r_[np.flatnonzero(x1[:, 0] < 600)[:60], np.flatnonzero(x1[:, 0] > 600)]
    x1 = x1[chosen]
    projected = reference.estimate_homogeneous(x1) @ truth.T
    x2 = projected[:, :2] / projected[:, 2:]
    found = estimate("homography", x1, x2)
    assert_consistent("homography", found, x1, x2)
    np.testing.assert_array_equal(found.inliers, np.sign(projected[:, 2]) == visible)


@pytest.mark.parametrize("guided", [False, True])
def test_a_plane_and_a_few_points_off_it_give_the_epipolar_geometry(guided):
    """Most samples of seven lie on the plane, and fit a wrong matrix to it (DEGENSAC)."""
    solved = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        case = problem(rng, "fundamental", n=300, share=0.6, noise=0.3, planar=0.85)
        quality = simulated_quality(rng, case.right) if guided else None
        found = estimate("fundamental", case.x1, case.x2, quality=quality)
        assert_consistent("fundamental", found, case.x1, case.x2)
        solved += error("fundamental", found.model, case.exact) < limit("fundamental")
    assert solved >= 38


def test_a_plane_alone_gives_a_geometry_that_holds_it():
    for seed in range(10):
        case = problem(np.random.default_rng(seed), "fundamental", share=0.6, noise=0.3, planar=1)
        found = estimate("fundamental", case.x1, case.x2)
        assert_consistent("fundamental", found, case.x1, case.x2)
        assert found.reason or found.inliers[case.right].mean() > 0.95


@pytest.mark.parametrize("model", MODELS)
def test_seldom_claims_a_model_of_pure_noise(model):
    claims = 0
    for seed in range(100):
        case = problem(np.random.default_rng(seed), model, share=0)
        found = estimate(model, case.x1, case.x2, max_trials=2000)
        assert_consistent(model, found, case.x1, case.x2)
        claims += not found.reason
    assert claims <= 1


def repeated(rng, x1, x2):
    """Features with three orientations each: near copies of a third of the matches."""
    third = rng.integers(0, len(x1) // 3, len(x1))
    return tuple(x[third] + rng.normal(0, 0.3, x.shape) for x in (x1, x2))


def wild(rng, x1, x2):
    """One point far beyond the photo."""
    return x1, np.r_[[[1e6, 1e6]], x2[1:]]


def hub(rng, x1, x2):
    """A texture that is nearest to a third of all features."""
    third = len(x2) // 3
    return x1, np.r_[x2[0] + rng.normal(0, 2, (third, 2)), x2[third:]]


def crowded(rng, x1, x2):
    """Features in five corners of the photos."""
    return tuple(
        rng.uniform(0, SIZE, (5, 2))[rng.integers(0, 5, len(x))] + rng.normal(0, 15, x.shape)
        for x in (x1, x2)
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n", [30, 100])
@pytest.mark.parametrize("change", [repeated, wild, hub, crowded])
def test_noise_that_looks_like_more_is_noise(model, n, change):
    claims = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x1, x2 = change(rng, *rng.uniform(0, SIZE, (2, n, 2)))
        claims += not estimate(model, x1, x2, max_trials=2000).reason
    assert claims <= 2


@pytest.mark.parametrize(
    ("model", "right", "n"), [("similarity", 4, 6), ("affine", 5, 7), ("homography", 6, 8)]
)
@pytest.mark.parametrize("threshold", [3, 8])
def test_few_right_matches_are_enough(model, right, n, threshold):
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        case = problem(rng, model, n=n, share=right / n, noise=0.5)
        answer = estimate(model, case.x1, case.x2, residual_threshold=threshold)
        found += answer.inliers[case.right].all()
    assert found >= 32


@pytest.mark.parametrize("model", MODELS)
def test_trials_are_bounded_and_end_once_confident(rng, model):
    noise = problem(rng, model, share=0)
    assert estimate(model, noise.x1, noise.x2, max_trials=128).trials <= 128
    easy = problem(rng, model, share=0.9)
    assert estimate(model, easy.x1, easy.x2, max_trials=100_000).trials < 200
    low, high = (
        np.mean(
            [
                estimate(model, p.x1, p.x2, confidence=confidence).trials
                for p in (problem(np.random.default_rng(i), model, share=0.5) for i in range(20))
            ]
        )
        for confidence in (0.5, 0.9999)
    )
    assert low < high


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n", [10, 20, 60])
def test_few_matches_that_are_all_right_end_it_at_once(rng, model, n):
    """What right hypotheses explain is not taken for what chance explains."""
    case = problem(rng, model, n=n, share=1, noise=0.5)
    found = estimate(model, case.x1, case.x2)
    assert found.n_inliers == n
    assert found.trials <= 64


def test_few_matches_are_searched_with_the_confidence_that_was_asked_for():
    """Samples are drawn without replacement: of few matches, fewer of them are of inliers alone."""
    missed = clear = 0
    for seed in range(180):
        case = problem(np.random.default_rng(seed), "fundamental", n=20, share=0.6, noise=0.3)
        sure = estimate("fundamental", case.x1, case.x2, confidence=1 - 1e-15)
        if sure.reason:
            continue
        clear += 1
        missed += estimate("fundamental", case.x1, case.x2).score < 0.98 * sure.score
    assert clear >= 60
    assert missed <= clear // 10
