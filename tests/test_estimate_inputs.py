# SPDX-License-Identifier: Apache-2.0
"""`geometry.estimate` on poor and on wrong input, and laws for any input."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimate_cases import (
    FRAMES,
    MODELS,
    SAMPLE,
    SIZE,
    assert_consistent,
    assert_right,
    assert_same_bits,
    clear_problem,
    error,
    limit,
    problem,
    simulated_quality,
)
from trouvaille.geometry import estimate


def assert_nothing(model, x1, x2, reason, **options):
    found = estimate(model, x1, x2, **options)
    assert_consistent(model, found, x1, x2)
    assert re.search(reason, found.reason)
    assert not found.inliers.any()


# Poor input: nothing is found, and why is said.


@pytest.mark.parametrize("model", MODELS)
def test_too_few_matches(rng, model):
    for n in range(SAMPLE[model]):
        case = problem(rng, model, n=n, share=1)
        needed = SAMPLE[model]
        assert_nothing(
            model, case.x1, case.x2, rf"no matches|{n} match.* {needed} |fewer than {needed} "
        )


@pytest.mark.parametrize("which", ["both", "first", "second"])
@pytest.mark.parametrize("model", MODELS)
def test_equal_points(rng, model, which):
    x1, x2 = rng.uniform(0, SIZE, (2, 30, 2))
    if which != "second":
        x1[:] = x1[0]
    if which != "first":
        x2[:] = x2[0]
    assert_nothing(model, x1, x2, "point")


def on_a_line(rng, n):
    start, step = rng.uniform(0, 300, (2, 2))
    return start + rng.uniform(0, 2, (n, 1)) * step


@pytest.mark.parametrize("which", ["both", "first", "second"])
@pytest.mark.parametrize("model", MODELS[1:])
def test_points_on_a_line(rng, model, which):
    for _ in range(10):
        x1, x2 = rng.uniform(0, SIZE, (2, 30, 2))
        if which != "second":
            x1 = on_a_line(rng, 30)
        if which != "first":
            x2 = on_a_line(rng, 30)
        if which == "both":
            x2 = 0.9 * x1 + [20, 40]
        assert_nothing(model, x1, x2, "line")


def test_points_on_a_line_give_a_similarity(rng):
    x1 = on_a_line(rng, 30)
    truth = np.array([[0.9, -0.3, 20], [0.3, 0.9, 5], [0, 0, 1]])
    found = estimate("similarity", x1, x1 @ truth[:2, :2].T + truth[:2, 2])
    assert found.inliers.all()
    np.testing.assert_allclose(found.model, truth, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_one_match_again_and_again_is_one_match(rng, model):
    """Copies fill a sample, but determine no model."""
    n = SAMPLE[model] - 1
    case = problem(rng, model, n=n, share=1)
    copies = np.arange(60) % n
    found = estimate(model, case.x1[copies], case.x2[copies])
    assert_consistent(model, found, case.x1[copies], case.x2[copies])
    assert found.reason


@pytest.mark.parametrize("model", MODELS)
def test_copies_among_other_matches_do_no_harm(rng, model):
    case = clear_problem(rng, model, n=60, share=0.6)
    copies = np.r_[np.arange(len(case.right)), rng.integers(0, len(case.right), 60)]
    found = estimate(model, case.x1[copies], case.x2[copies])
    assert_right(model, found.inliers, case.right[copies])


def test_a_line_and_too_few_points_off_it(rng):
    """Any homography that maps the line fits: with one point off it, none is determined."""
    line = on_a_line(rng, 40)
    x1 = np.r_[line, [[900, 100]]]
    found = estimate("homography", x1, x1 + 5)
    assert_consistent("homography", found, x1, x1 + 5)
    assert found.reason


# Valid input of every kind gives the same answer.


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint32, np.float16, np.float32, ">f8"])
@pytest.mark.parametrize("model", MODELS)
def test_any_real_dtype(rng, model, dtype):
    case = problem(rng, model, share=0.6)
    x1, x2 = (x.clip(0).astype(dtype) for x in (case.x1, case.x2))
    expected = estimate(model, x1.astype(float), x2.astype(float))
    assert not expected.reason
    assert_same_bits(estimate(model, x1, x2), expected)


@pytest.mark.parametrize("model", MODELS)
def test_any_layout(rng, model):
    case = problem(rng, model)
    x1, x2 = case.x1, case.x2
    expected = estimate(model, x1, x2)
    spaced = np.full((600, 4), np.nan)
    spaced[::2, ::2] = x1
    backwards = x2[::-1].copy()[::-1]
    assert_same_bits(estimate(model, spaced[::2, ::2], backwards), expected)
    assert_same_bits(estimate(model, np.asfortranarray(x1), x2.tolist()), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.int32])
def test_quality_of_any_dtype_and_layout(rng, dtype):
    case = problem(rng, "homography", share=0.3)
    quality = (100 * simulated_quality(rng, case.right)).astype(dtype)
    expected = estimate("homography", case.x1, case.x2, quality=quality.astype(float))
    strided = np.repeat(quality, 3)[::3]
    assert_same_bits(estimate("homography", case.x1, case.x2, quality=strided), expected)


# Wrong input is refused by name.


BAD_POINTS = {
    "nan": lambda x: np.where(np.arange(2) == 0, np.nan, x),
    "one nan": lambda x: np.where(np.arange(len(x))[:, None] == 7, np.nan, x),
    "inf": lambda x: np.where(np.arange(len(x))[:, None] == 0, np.inf, x),
    "-inf": lambda x: np.where(np.arange(len(x))[:, None] == 0, -np.inf, x),
    "three columns": lambda x: np.c_[x, x[:, 0]],
    "transposed": lambda x: x.T,
    "flat": lambda x: x.ravel(),
    "too deep": lambda x: x[None],
    "scalar": lambda x: 3.0,
    "fewer": lambda x: x[:-1],
    "complex": lambda x: x + 1j,
    "text": lambda x: x.astype(str),
    "objects": lambda x: np.array([[None, None]] * len(x)),
    "None": lambda x: None,
    "ragged": lambda x: [[1, 2], [3]],
}


@pytest.mark.parametrize("argument", ["x1", "x2"])
@pytest.mark.parametrize("name", BAD_POINTS)
@pytest.mark.parametrize("model", MODELS)
def test_bad_points_are_refused(rng, model, name, argument):
    case = problem(rng, model, n=20)
    arguments = {"x1": case.x1, "x2": case.x2}
    arguments[argument] = BAD_POINTS[name](arguments[argument])
    blamed = "x[12]" if name == "fewer" else argument
    with pytest.raises((ValueError, TypeError), match=rf"\b{blamed}\b"):
        estimate(model, **arguments)


BAD_OPTIONS = [
    *(("residual_threshold", value) for value in (0, -1.0, np.nan, -np.inf, "3", None, 1j, [3])),
    *(("max_trials", value) for value in (0, -1, 1.5, np.nan, "10", None, 2**80)),
    *(("confidence", value) for value in (0, 1, -0.1, 1.1, np.nan, np.inf, "0.9", None)),
    *(("random_state", value) for value in (-1, 1.5, "0", np.nan)),
    *(("scoring", value) for value in ("lmeds", None, 1)),
    *(("model", value) for value in ("rigid", "", "Homography", None, 3)),
]


@pytest.mark.parametrize(("argument", "value"), BAD_OPTIONS)
def test_bad_options_are_refused(rng, argument, value):
    case = problem(rng, "homography", n=20)
    arguments = {"model": "homography", "x1": case.x1, "x2": case.x2, argument: value}
    with pytest.raises((ValueError, TypeError), match=rf"\b{argument}\b"):
        estimate(**arguments)


@pytest.mark.parametrize(
    "quality",
    [np.ones(19), np.ones((20, 1)), np.r_[np.ones(19), np.nan], 1.0, np.ones(20) * 1j, ["a"] * 20],
    ids=["fewer", "deep", "nan", "scalar", "complex", "text"],
)
def test_bad_quality_is_refused(rng, quality):
    case = problem(rng, "affine", n=20)
    with pytest.raises((ValueError, TypeError), match=r"\bquality\b"):
        estimate("affine", case.x1, case.x2, quality=quality)


@pytest.mark.parametrize("model", MODELS)
def test_wrong_options_are_refused_of_too_few_matches_too(model):
    nothing = np.empty((0, 2))
    with pytest.raises(ValueError, match="residual_threshold"):
        estimate(model, nothing, nothing, residual_threshold=0)
    with pytest.raises(ValueError, match="quality"):
        estimate(model, nothing, nothing, quality=np.ones(3))


# Laws.


seeds = st.integers(0, 2**32 - 1)


@given(
    seeds,
    st.sampled_from(MODELS),
    st.integers(0, 60),
    st.floats(0, 1),
    st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    st.sampled_from([1e-6, 0.5, 3.0, 50.0, 1e4]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=200)
def test_the_mask_says_what_the_model_says(seed, model, n, share, noise, threshold, frames, guided):
    rng = np.random.default_rng(seed)
    case = problem(rng, model, n=n, share=share, noise=noise, frame_noise=noise)
    one, two = (case.frames1, case.frames2) if frames else (case.x1, case.x2)
    options = {
        "quality": simulated_quality(rng, case.right) if guided else None,
        "residual_threshold": threshold,
        "max_trials": 500,
        "random_state": seed,
    }
    found = estimate(model, one, two, **options)
    assert_consistent(model, found, case.x1, case.x2, threshold, frames=frames)
    assert_same_bits(found, estimate(model, one, two, **options))
    if n < (FRAMES if frames else SAMPLE)[model]:
        assert found.reason


@given(seeds, st.sampled_from(MODELS), st.booleans())
@settings(max_examples=60)
def test_the_order_of_matches_does_not_matter_to_the_answer(seed, model, guided):
    rng = np.random.default_rng(seed)
    case = clear_problem(rng, model, n=150, share=0.6)
    quality = simulated_quality(rng, case.right) if guided else None
    order = rng.permutation(len(case.right))
    moved = case.select(order)
    found = estimate(model, case.x1, case.x2, quality=quality)
    again = estimate(model, moved.x1, moved.x2, quality=None if quality is None else quality[order])
    assert_right(model, found.inliers, case.right)
    assert_right(model, again.inliers, case.right[order])
    assert abs(again.score / found.score - 1) < (0.1 if model == "fundamental" else 0.02)
    errors = [error(model, answer.model, case.exact) for answer in (found, again)]
    assert max(errors) < limit(model)
    assert abs(errors[0] - errors[1]) < (1 if model == "fundamental" else 0.2)


@given(seeds, st.sampled_from(MODELS), st.floats(0.1, 30))
@settings(max_examples=60)
def test_exact_matches_are_all_inliers_at_any_threshold(seed, model, threshold):
    rng = np.random.default_rng(seed)
    case = problem(rng, model, n=40, share=1, noise=0)
    found = estimate(model, case.x1, case.x2, residual_threshold=threshold)
    assert found.inliers.all()


@pytest.mark.parametrize("model", ["similarity", "affine"])
def test_an_affine_map_keeps_its_last_row_far_from_the_origin(rng, model):
    x1 = rng.uniform(0, 1000, (50, 2))
    found = estimate(model, x1 - 1e12, x1 + 1e12)
    assert found.n_inliers == 50
    np.testing.assert_array_equal(found.model[2], [0, 0, 1])


@pytest.mark.parametrize("model", MODELS)
def test_the_reason_for_noise_is_chance(rng, model):
    x1, x2 = rng.uniform(0, 1000, (2, 5000, 2))
    assert "chance" in estimate(model, x1, x2, max_trials=200).reason


def test_the_least_confidence_draws_samples_too(rng):
    x1 = rng.uniform(0, 1000, (50, 2))
    assert estimate("affine", x1, x1 + 5, confidence=1e-17).n_inliers == 50
