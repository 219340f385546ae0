# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import interrupts
import reference
from estimate_cases import random_frames, rotations
from trouvaille import _core
from trouvaille.geometry import verify

SIZE = np.array([1024.0, 768.0])
CORNERS = np.array([[0, 0, 1], [1024, 0, 1], [1024, 768, 1], [0, 768, 1.0]])


def random_transform(rng, model):
    linear = rng.uniform(0.6, 1.5) * rotations(np.radians(rng.uniform(-40, 40)))
    if model != "similarity":
        linear = linear @ (np.eye(2) + rng.uniform(-0.15, 0.15, (2, 2)))
    affine = np.c_[linear, SIZE / 2 - linear @ SIZE / 2 + rng.uniform(-80, 80, 2)]
    return bent(rng, affine) if model == "homography" else affine


def bent(rng, affine):
    """A homography that touches the map at the centre; depths in the corners of 0.8 to 1.2."""
    angle = rng.uniform(0, 2 * np.pi)
    slope = 0.2 / np.linalg.norm(SIZE / 2) * np.array([np.cos(angle), np.sin(angle)])
    depth = np.r_[slope, 1 - slope @ SIZE / 2]
    centre = affine @ np.r_[SIZE / 2, 1]
    rows = affine + np.outer(centre, depth - [0, 0, 1])
    return np.r_[rows, [depth]] / depth[2]


def moved(frames, transform):
    linear, centres = reference.tangents(transform, frames[:, :, 2])
    return np.concatenate([linear @ frames[:, :, :2], centres[:, :, None]], axis=2)


def disturbed(rng, frames):
    """The noise of a detector: 1 px, 0.25 in log-scale, 12 degrees."""
    n = len(frames)
    noise = np.exp(rng.normal(0, 0.25, n))[:, None, None] * rotations(
        np.radians(rng.normal(0, 12, n))
    )
    linear = noise @ frames[:, :, :2]
    centres = frames[:, :, 2] + rng.normal(0, 1, (n, 2))
    return np.concatenate([linear, centres[:, :, None]], 2)


def shortlist(rng, counts, n=100, model="affine", noise=True):
    """A query and len(counts) candidates of n matches, of which counts[i] are right."""
    query = random_frames(rng, 2 * n)
    frames, matches, truth, right = [], [], [], []
    for count in counts:
        chosen = rng.permutation(2 * n)[:n]
        mask = rng.permutation(n) < count
        transform = random_transform(rng, model)
        image = moved(query[chosen], transform)
        image = disturbed(rng, image) if noise else image
        frames.append(np.where(mask[:, None, None], image, random_frames(rng, n)))
        matches.append(np.c_[chosen, np.arange(n)])
        truth.append(transform)
        right.append(mask)
    offsets = np.arange(len(counts) + 1) * n
    arguments = {
        "query_frames": query.astype(np.float32),
        "candidate_frames": np.concatenate(frames).astype(np.float32),
        "frame_offsets": offsets,
        "matches": np.concatenate(matches).astype(np.int32),
        "match_offsets": offsets,
    }
    return arguments, np.array(truth), np.concatenate(right)


def corner_errors(transforms, truth):
    return np.linalg.norm(corners(transforms) - corners(truth), axis=2).mean(1)


def corners(transforms):
    images = CORNERS @ np.asarray(transforms).swapaxes(1, 2)
    return images[:, :, :2] / images[:, :, 2:] if images.shape[2] == 3 else images


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("model", ["similarity", "affine", "homography"])
def test_recovers_a_transform_exactly_from_exact_matches(rng, isa, model):
    arguments, truth, right = shortlist(rng, [20, 50, 100], model=model, noise=False)
    found = verify(**arguments, model=model)
    assert corner_errors(found.transforms, truth).max() < 0.01
    assert (found.inliers >= right).all()
    assert (found.transforms[:, 2, 2] == 1).all()
    assert (found.transforms[:, 2, :2] != 0).any() == (model == "homography")


@pytest.mark.parametrize("model", ["similarity", "affine"])
def test_finds_five_noisy_matches_among_a_hundred(rng, model):
    arguments, truth, right = shortlist(rng, [5] * 200, model=model)
    found = verify(**arguments, model=model)
    assert (corner_errors(found.transforms, truth) < 20).mean() > 0.95
    correct = (found.inliers & right).sum()
    assert 2 * correct / (found.inliers.sum() + right.sum()) > 0.97


def test_seldom_verifies_pure_chance(rng):
    arguments, _, _ = shortlist(rng, [0] * 1000)
    found = verify(**arguments)
    assert (found.n_inliers >= 4).mean() < 0.02
    assert (found.n_inliers >= 6).sum() == 0


@pytest.mark.parametrize("model", ["similarity", "affine", "homography"])
@pytest.mark.parametrize("n", [12, 40, 90])
def test_equals_reference(isa, model, n):
    rng = np.random.default_rng(n)
    counts = [0, 4, 5, 8, n // 2, n]
    arguments, _, _ = shortlist(rng, counts, n=n, model=model)
    found = verify(**arguments, model=model)
    for i in range(len(counts)):
        own = slice(i * n, (i + 1) * n)
        transform, inliers = reference.verify(
            arguments["query_frames"],
            arguments["candidate_frames"][own],
            arguments["matches"][own],
            model,
            threshold=8.0,
            min_inliers=4,
        )
        np.testing.assert_array_equal(found.inliers[own], inliers)
        assert found.n_inliers[i] == inliers.sum()
        if transform is not None:
            rows = found.transforms[i, : len(transform)]
            np.testing.assert_allclose(
                rows,
                transform / transform[-1, -1] if len(rows) == 3 else transform,
                rtol=1e-3,
                atol=1e-3,
            )


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_same_bits_on_every_instruction_set(rng, model):
    arguments, _, _ = shortlist(rng, [0, 5, 5, 10, 50, 100], model=model)
    results = []
    for name in _core.isas():
        _core.use_isa(name)
        results.append(verify(**arguments, model=model))
    _core.reset_isa()
    for other in results[1:]:
        assert_same(results[0], other)


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_same_bits_for_any_number_of_threads(rng, threads, model):
    arguments, _, _ = shortlist(rng, [5] * 150 + [30] * 50, model=model)
    expected = verify(**arguments, model=model, threads=1)
    assert_same(verify(**arguments, model=model, threads=threads), expected)


def test_candidates_do_not_influence_each_other(rng):
    arguments, _, _ = shortlist(rng, [0, 5, 30, 7])
    together = verify(**arguments)
    for i in range(4):
        own = slice(100 * i, 100 * (i + 1))
        alone = verify(
            arguments["query_frames"],
            arguments["candidate_frames"][own],
            [0, 100],
            arguments["matches"][own],
            [0, 100],
        )
        np.testing.assert_array_equal(alone.transforms[0], together.transforms[i])
        np.testing.assert_array_equal(alone.boxes[0], together.boxes[i])
        np.testing.assert_array_equal(alone.inliers, together.inliers[own])


def test_each_feature_is_in_one_inlier(rng):
    # A repeated structure: every query feature matches everything within 6 px of its image.
    query = random_frames(rng, 30)
    query[10:20] = query[:10]
    copies = np.repeat(query, 4, axis=0)
    copies[:, :, 2] += rng.uniform(-4, 4, (120, 2))
    matches = np.array([(i, 4 * j + k) for i in range(30) for j in range(30) for k in range(4)])
    found = verify(*as_float32(query, copies), [0, 120], matches, [0, len(matches)])
    chosen = matches[found.inliers]
    assert found.n_inliers[0] == len(chosen) >= 20
    assert len(set(chosen[:, 0])) == len(set(chosen[:, 1])) == len(chosen)


def test_one_feature_matched_often_verifies_nothing(rng):
    query = random_frames(rng, 1)
    candidate = disturbed(rng, np.repeat(query, 50, axis=0))
    matches = np.c_[np.zeros(50, int), np.arange(50)]
    found = verify(*as_float32(query, candidate), [0, 50], matches, [0, 50])
    assert found.n_inliers.tolist() == [0]


def as_float32(*arrays):
    return [a.astype(np.float32) for a in arrays]


def test_collinear_matches_give_a_similarity(rng):
    query = random_frames(rng, 12)
    query[:, :, 2] = np.linspace(0, 900, 12)[:, None] * [1, 0.5] + 20
    transform = random_transform(rng, "similarity")
    candidate = disturbed(rng, moved(query, transform))
    matches = np.c_[np.arange(12), np.arange(12)]
    found = verify(*as_float32(query, candidate), [0, 12], matches, [0, 12]).transforms[0]
    assert found[0, 0] == found[1, 1]
    assert found[0, 1] == -found[1, 0]
    assert corner_errors(found[None], transform[None])[0] < 10


def test_affine_frames_under_a_strong_tilt(rng):
    query = random_frames(rng, 60)
    linear = np.array([[0.9, 0.3], [-0.2, 0.4]])
    transform = np.c_[linear, [100.0, 200.0]]
    candidate = moved(query, transform)
    candidate[10:] = random_frames(rng, 50)
    matches = np.c_[np.arange(60), np.arange(60)]
    found = verify(*as_float32(query, candidate), [0, 60], matches, [0, 60])
    assert corner_errors(found.transforms, transform[None])[0] < 0.1


def test_weights_are_what_inliers_count(rng):
    arguments, _, _ = shortlist(rng, [30, 0])
    weights = rng.uniform(0, 5, 200)
    found = verify(**arguments, weights=weights)
    assert found.scores[0] == pytest.approx(weights[found.inliers].sum())
    assert found.scores[1] == 0
    assert verify(**arguments).scores[0] == found.n_inliers[0]


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_box_bounds_the_inliers_ellipses(rng, model):
    arguments, _, _ = shortlist(rng, [100], model=model, noise=False)
    found = verify(**arguments, model=model)
    frames = arguments["query_frames"][arguments["matches"][found.inliers, 0]].astype(float)
    angles = np.linspace(0, 2 * np.pi, 3601)
    circle = np.stack([np.cos(angles), np.sin(angles), np.ones(len(angles))])
    points = reference.tangents(
        found.transforms[0], (frames @ circle).swapaxes(1, 2).reshape(-1, 2)
    )[1]
    expected = [*points.min(0), *points.max(0)]
    np.testing.assert_allclose(found.boxes[0], expected, atol=1e-3)


def test_too_few_inliers_are_none(rng):
    arguments, _, _ = shortlist(rng, [10])
    found = verify(**arguments, min_inliers=11)
    assert found.n_inliers.tolist() == [0]
    assert found.scores.tolist() == [0]
    assert np.isnan(found.transforms).all()
    assert np.isnan(found.boxes).all()
    assert not found.inliers.any()


def is_homography(found):
    return (found.n_inliers > 0) & (found.transforms[:, 2, :2] != 0).any(1)


def test_a_homography_explains_what_an_affine_map_cannot(rng):
    arguments, truth, right = shortlist(rng, [20, 30, 60, 100] * 25, model="homography")
    found = verify(**arguments, model="homography")
    affine = verify(**arguments)
    errors, affine_errors = (corner_errors(x.transforms, truth) for x in (found, affine))
    assert is_homography(found).mean() > 0.95
    assert np.median(errors) < 3
    assert np.median(errors) < np.median(affine_errors) / 5
    assert (found.inliers & right).sum() > 1.2 * (affine.inliers & right).sum()
    assert (found.inliers & ~right).sum() < 0.03 * right.sum()


def test_a_homography_is_no_worse_than_an_affine_map_where_that_is_true(rng):
    arguments, truth, _ = shortlist(rng, [0, 5, 10, 30] * 100)
    affine, found = (verify(**arguments, model=model) for model in ("affine", "homography"))
    assert (found.n_inliers >= affine.n_inliers).all()
    assert is_homography(found).mean() < 0.03
    same = ~is_homography(found)
    for one, other in zip(found[:3], affine[:3], strict=True):
        np.testing.assert_array_equal(one[same], other[same])
    errors, affine_errors = (
        corner_errors(x.transforms, truth)[x.n_inliers > 0] for x in (found, affine)
    )
    assert (errors < 10).sum() >= (affine_errors < 10).sum() - 2


@pytest.mark.parametrize("shape", ["four points", "a line", "a line and a point", "two spots"])
def test_degenerate_matches_give_no_homography(rng, shape):
    query = random_frames(rng, 4 if shape == "four points" else 12)
    if shape.startswith("a line"):
        query[:, :, 2] = np.linspace(50, 900, 12)[:, None] * [1, 0.5] + 20
        query[:1, :, 2] += [0, 250] if shape == "a line and a point" else 0
    if shape == "two spots":
        query[:, :, 2] = np.where(np.arange(12)[:, None] < 6, [300, 300], [600, 500])
    candidate = disturbed(rng, moved(query, random_transform(rng, "homography")))
    own = np.arange(len(query))
    found = verify(
        *as_float32(query, candidate),
        [0, len(query)],
        np.c_[own, own],
        [0, len(query)],
        model="homography",
    )
    assert not is_homography(found).any()


def test_no_inlier_is_beyond_the_horizon(rng, isa):
    query = random_frames(rng, 200)
    truth = np.array([[0.9, 0.1, 50], [-0.1, 0.8, 80], [-1 / 900, 0, 1]])  # the line x = 900
    beyond = np.arange(200) >= 150
    query[:, 0, 2] = np.where(beyond, rng.uniform(950, 1000, 200), rng.uniform(0, 500, 200))
    candidate = moved(query, truth)
    candidate[beyond, :, 0] *= -1  # mirrored frames would be no inliers anyway
    own = np.arange(200)
    found = verify(
        *as_float32(query, candidate), [0, 200], np.c_[own, own], [0, 200], model="homography"
    )
    np.testing.assert_allclose(found.transforms[0], truth, rtol=1e-2, atol=1e-4)
    np.testing.assert_array_equal(found.inliers, ~beyond)
    assert found.boxes[0, 0] > -1000


@pytest.mark.parametrize("min_inliers", [1, 2, 3])
def test_few_inliers_suffice_if_asked(rng, min_inliers):
    query = random_frames(rng, min_inliers)
    transform = random_transform(rng, "similarity")
    own = np.arange(min_inliers)
    found = verify(
        *as_float32(query, moved(query, transform)),
        [0, min_inliers],
        np.c_[own, own],
        [0, min_inliers],
        min_inliers=min_inliers,
    )
    assert found.n_inliers.tolist() == [min_inliers]
    assert corner_errors(found.transforms, transform[None])[0] < 0.1


def test_beyond_the_limit_of_proposers(rng, isa):
    arguments, truth, right = shortlist(rng, [300], n=5000)
    found = verify(**arguments)
    assert corner_errors(found.transforms, truth)[0] < 3
    assert (found.inliers & right).sum() > 280


@pytest.mark.parametrize("model", ["similarity", "affine", "homography"])
def test_many_that_agree_are_all_found(rng, isa, model):
    # More than 16,384 pairs of matches support each other: a few matches propose for all.
    arguments, truth, right = shortlist(rng, [300, 600], n=600, model=model)
    found = verify(**arguments, model=model)
    assert corner_errors(found.transforms, truth).max() < 1
    assert (found.inliers & right).sum() > 0.99 * right.sum()
    assert (found.inliers & ~right).sum() <= 2


def test_weights_choose_the_proposers(rng):
    arguments, truth, right = shortlist(rng, [12], n=5000)
    found = verify(**arguments, weights=np.where(right, 2.0, 1.0))
    assert corner_errors(found.transforms, truth)[0] < 10


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.diag([1, -1.0]), np.diag([1e30, 1e-30])])
def test_singular_and_mirrored_frames_are_no_inliers(rng, bad):
    arguments, truth, _ = shortlist(rng, [100])
    arguments["candidate_frames"][:50, :, :2] = bad
    found = verify(**arguments)
    assert not found.inliers[:50].any()
    assert corner_errors(found.transforms, truth)[0] < 5


def test_no_candidates_and_no_matches():
    none = np.zeros((0, 2, 3), np.float32)
    no_matches = np.zeros((0, 2), np.int32)
    empty = verify(none, none, [0], no_matches, [0])
    assert [len(x) for x in empty] == [0, 0, 0, 0, 0]
    assert empty.transforms.shape == (0, 3, 3)
    silent = verify(none, none, [0, 0, 0], no_matches, [0, 0, 0])
    assert silent.n_inliers.tolist() == [0, 0]
    assert np.isnan(silent.boxes).all()


def test_accepts_any_layout_and_exact_dtype(rng):
    arguments, _, _ = shortlist(rng, [20, 0])
    expected = verify(**arguments)
    other = dict(arguments)
    other["query_frames"] = np.asfortranarray(arguments["query_frames"])
    other["candidate_frames"] = np.repeat(arguments["candidate_frames"], 2, axis=0)[::2]
    other["matches"] = arguments["matches"].astype(float)[:, ::-1][:, ::-1]
    other["frame_offsets"] = [0, 100, 200]
    other["match_offsets"] = np.uint8([0, 100, 200])
    assert_same(verify(**other), expected)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"frame_offsets": [1, 100]}, ValueError, "frame_offsets must go from 0 to 100"),
        ({"frame_offsets": [0, 99]}, ValueError, "frame_offsets must go from 0 to 100"),
        ({"frame_offsets": []}, ValueError, "frame_offsets must go from 0"),
        ({"match_offsets": [0, 60, 50, 100]}, ValueError, "match_offsets must not decrease"),
        ({"match_offsets": [0, 50, 100]}, ValueError, "frame_offsets and match_offsets"),
        ({"matches": np.zeros((100, 3), int)}, ValueError, "matches must have 2 columns"),
        ({"matches": np.full((100, 2), -1)}, ValueError, "matches must name features of the query"),
        ({"matches": np.full((100, 2), 2**31)}, ValueError, "matches must be int32"),
        ({"matches": np.tile([0, 100], (100, 1))}, ValueError, "of their candidate"),
        ({"matches": np.tile([200, 0], (100, 1))}, ValueError, "from 0 to 199"),
        ({"query_frames": np.full((200, 2, 3), np.nan)}, ValueError, "query_frames must be finite"),
        ({"query_frames": np.zeros((200, 3, 3))}, ValueError, "query_frames must have shape"),
        ({"candidate_frames": np.full((100, 2, 3), np.inf)}, ValueError, "candidate_frames"),
        ({"candidate_frames": np.zeros((100, 2, 3), complex)}, TypeError, "candidate_frames"),
        ({"model": "projective"}, ValueError, "model must be one of"),
        ({"weights": np.ones(99)}, ValueError, "weights must be one a match, 100, got 99"),
        ({"weights": np.full(100, -1.0)}, ValueError, "weights must not be negative"),
        ({"weights": np.full(100, np.nan)}, ValueError, "weights must be finite"),
        ({"residual_threshold": 0}, ValueError, "residual_threshold must be positive"),
        ({"residual_threshold": -1}, ValueError, "residual_threshold must be positive"),
        ({"residual_threshold": np.nan}, ValueError, "residual_threshold must be positive"),
        ({"residual_threshold": np.inf}, ValueError, "residual_threshold must be positive"),
        ({"residual_threshold": "wide"}, TypeError, "residual_threshold must be a number"),
        ({"min_inliers": 0}, ValueError, "min_inliers must be between"),
        ({"min_inliers": 2.5}, TypeError, "min_inliers must be a whole number"),
        ({"threads": 0}, ValueError, "threads must be between"),
    ],
)
def test_says_what_is_wrong(rng, change, error, message):
    arguments, _, _ = shortlist(rng, [10])
    with pytest.raises(error, match=message):
        verify(**{**arguments, **change})


wild = st.floats(width=32, allow_nan=False, allow_infinity=False)
tame = st.floats(-1000, 1000, width=32)


@settings(max_examples=200, deadline=None)
@given(
    frames=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.just(2), st.just(3)),
        elements=st.one_of(wild, tame),
    ),
    threshold=st.floats(1e-30, 1e30),
    min_inliers=st.integers(1, 5),
    model=st.sampled_from(["affine", "similarity", "homography"]),
    data=st.data(),
)
def test_survives_anything_and_keeps_its_laws(frames, threshold, min_inliers, model, data):
    n = len(frames)
    features = st.integers(0, n - 1)
    matches = data.draw(
        hnp.arrays(np.int32, st.tuples(st.integers(0, 40), st.just(2)), elements=features)
    )
    found = verify(
        frames,
        frames,
        [0, n],
        matches,
        [0, len(matches)],
        model=model,
        residual_threshold=threshold,
        min_inliers=min_inliers,
    )
    chosen = matches[found.inliers]
    assert found.n_inliers[0] == len(chosen) == found.scores[0]
    assert len(chosen) == 0 or len(chosen) >= min_inliers
    assert len(set(chosen[:, 0])) == len(set(chosen[:, 1])) == len(chosen)
    assert np.isfinite(found.transforms).all() == (len(chosen) > 0)


def test_lets_ctrl_c_through(rng):
    arguments, _, _ = shortlist(rng, [20], n=100_000)
    copies = 50
    offsets = np.arange(copies + 1) * 100_000
    large = {
        "query_frames": arguments["query_frames"],
        "candidate_frames": np.tile(arguments["candidate_frames"], (copies, 1, 1)),
        "matches": np.tile(arguments["matches"], (copies, 1)),
        "frame_offsets": offsets,
        "match_offsets": offsets,
    }

    def verify_for_ever():
        while True:
            verify(**large, threads=2)

    assert interrupts.seconds_to_stop(verify_for_ever, after=1) < interrupts.LIMIT


@pytest.mark.parametrize("after", [0.1, 0.3, 0.5])
def test_ctrl_c_stops_within_a_candidate(rng, after):
    n = 4_000_000  # more than a second of work, in which one step follows another
    frames = np.tile(np.float32([4, 0, 0, 0, 4, 0]), (n, 1))
    frames[:, 2::3] = rng.uniform(0, 1000, (n, 2))
    matches = np.arange(n, dtype=np.int32).repeat(2).reshape(n, 2)
    offsets = np.array([0, n])

    def verify_for_ever():  # without the checks of the Python face, which would take a part
        while True:
            _core.verify(frames, frames, offsets, matches, offsets, 1, np.ones(n), 8.0, 4, 1)

    assert interrupts.seconds_to_stop(verify_for_ever, after) < interrupts.LIMIT


@pytest.mark.parametrize("times", [4, 20])
def test_one_place_that_is_found_many_times_is_no_evidence(rng, times):
    verified = 0
    for _ in range(20):
        arguments, _, _ = shortlist(rng, [0], n=60)
        query, candidate = arguments["query_frames"], arguments["candidate_frames"]
        chosen = arguments["matches"][:times, 0]
        for frames, rows, centre in ((query, chosen, 300), (candidate, slice(times), 500)):
            frames[rows] = 8 * np.exp(rng.normal(0, 0.1, (times, 1, 1))) * np.eye(2, 3)
            frames[rows, :, 2] = centre + rng.normal(0, 1, (times, 2))
        verified += verify(**arguments).n_inliers[0] > 0
    assert verified <= 1
    assert verify(**arguments, min_inliers=1).n_inliers[0] > 0


def plain(points, linear=None):
    linear = np.eye(2) if linear is None else linear
    linear = np.broadcast_to(3 * linear, (len(points), 2, 2))
    return np.concatenate([linear, points[:, :, None]], 2).astype(np.float32)


def two_motions(rng, first, n_junk=60):
    """Matches of `first`, moved; of many more, turned by a right angle; and of no use."""
    turn = np.array([[0, -1], [1, 0.0]])
    many, junk = rng.uniform(0, 600, (100, 2)), rng.uniform(0, 600, (n_junk, 2))
    query = plain(np.concatenate([first, many, junk]))
    candidate = np.concatenate(
        [
            plain(first + np.array([200, 100])),
            plain(many @ turn.T + np.array([700, 300]), turn),
            plain(rng.uniform(0, 600, (n_junk, 2)), rotations(rng.uniform(0, 6, n_junk))),
        ]
    )
    n = len(query)
    weights = np.r_[np.full(len(first), 5.0), np.ones(100), np.full(n_junk, 2.0)]
    return (query, candidate, [0, n], np.tile(np.arange(n)[:, None], 2), [0, n]), weights


def test_heavy_matches_do_not_hide_the_many_that_are_asked_for(rng):
    arguments, weights = two_motions(rng, rng.uniform(0, 600, (14, 2)))
    assert verify(*arguments, weights=weights, min_inliers=30).n_inliers[0] >= 95


def test_a_heavy_burst_does_not_hide_what_is_spread(rng):
    places = np.array([[100, 100], [400, 150], [250, 450.0]])
    burst = np.repeat(places, 5, axis=0) + rng.uniform(-2, 2, (15, 2))
    arguments, weights = two_motions(rng, burst)
    assert verify(*arguments, weights=weights).n_inliers[0] >= 95


@pytest.mark.parametrize("place", [0, 2, 4])
def test_one_more_right_match_verifies_no_less(place):
    """Of five, four are apart; the one in the middle of two does not count instead of both."""
    four = np.array([[44, 50], [56, 50], [150, 50], [50, 150.0]])
    frames = plain(np.insert(four, place, [50, 50], axis=0))
    matches = np.tile(np.arange(5)[:, None], 2)
    assert verify(frames, frames, [0, 5], matches, [0, 5]).n_inliers[0] == 5
