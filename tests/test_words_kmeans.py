# SPDX-License-Identifier: Apache-2.0
import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import interrupts
import reference
from trouvaille import _core
from trouvaille.words import KMeans, _sampling, assign
from trouvaille.words._lloyd import Lloyd
from trouvaille.words._points import Points

KINDS = [np.uint8, np.float32]


def points(rng, n, dims, dtype):
    blobs = rng.integers(0, 256, (10, dims))
    x = blobs[rng.integers(0, 10, n)] + rng.integers(-9, 10, (n, dims))
    return np.clip(x, 0, 255).astype(dtype)


def update(X, centers, threads=1):
    distances, ids = assign(X, centers)
    lloyd = Lloyd(Points(X), centers, width=None, random_state=0, threads=threads)
    lloyd.labels, lloyd.distances = ids[:, 0].copy(), distances[:, 0].copy()
    lloyd.update()
    return lloyd.centers


def expected_update(X, centers):
    distances, ids = reference.nearest(reference.squared_distances(X, centers), 1)
    return reference.update_centers(X, ids[:, 0], distances[:, 0], centers)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("dims", [1, 3, 16, 33])
@pytest.mark.parametrize("num_words", [1, 2, 50])
def test_update_equals_reference(rng, threads, dtype, dims, num_words):
    X = points(rng, 300, dims, dtype)
    centers = points(rng, num_words, dims, dtype)  # some stay without points
    updated = update(X, centers, threads)
    assert updated.dtype == dtype
    np.testing.assert_array_equal(updated, expected_update(X, centers))


def test_byte_means_round_halves_up():
    X = np.uint8([[0, 0, 1, 254], [1, 0, 2, 255], [0, 1, 1, 255]])
    centers = update(X[:2], np.zeros((1, 4), np.uint8))
    np.testing.assert_array_equal(centers, [[1, 0, 2, 255]])
    centers = update(X, np.zeros((1, 4), np.uint8))
    np.testing.assert_array_equal(centers, [[0, 0, 1, 255]])


@pytest.mark.parametrize("dtype", KINDS)
def test_an_empty_cluster_takes_the_farthest_point(dtype):
    X = np.array([[0], [1], [9], [9], [20], [40]], dtype)
    centers = np.array([[1], [200], [201], [202]], dtype)
    # 40 is farthest, then 20, then 9, whose copy is passed over.
    updated = update(X, centers)
    np.testing.assert_array_equal(updated[1:, 0], [40, 20, 9])
    assert updated[0, 0] == (3 if dtype == np.uint8 else np.float32(10 / 3))


@pytest.mark.parametrize("dtype", KINDS)
def test_an_empty_cluster_stays_where_no_point_is_left(dtype):
    X = np.array([[5], [5], [9]], dtype)
    centers = np.array([[5], [8], [100], [101]], dtype)
    updated = update(X, centers)  # 5 is at distance 0, and 9 the last of its cluster
    np.testing.assert_array_equal(updated[:, 0], [5, 9, 100, 101])


def test_kernels_refuse_what_does_not_fit(rng):
    X, labels = points(rng, 4, 2, np.uint8), np.zeros(4, np.int64)
    sums, counts, distances = np.zeros((3, 2), np.uint64), np.zeros(3, np.int64), np.zeros(4, "i4")
    for label in (-1, 3):
        wrong = np.full(4, label)
        with pytest.raises(ValueError, match="label"):
            _core.add_to_sums(X, wrong, sums, counts, 1)
        with pytest.raises(ValueError, match="label"):
            _core.repair_empty([X], False, distances, 3, wrong)
    for arguments in [
        (X, labels[:3], sums, counts),
        (X, labels, sums[:2], counts),
        (X, labels, np.zeros((3, 3), np.uint64), counts),
    ]:
        with pytest.raises(ValueError, match="differ"):
            _core.add_to_sums(*arguments, 1)
    for arguments in [
        ([X, X], distances, 3, labels),
        ([X, X[:, :1].copy()], np.zeros(8, "i4"), 3, np.zeros(8, "i8")),
        ([X], distances[:3], 3, labels),
    ]:
        with pytest.raises(ValueError, match="differ"):
            _core.repair_empty(arguments[0], False, *arguments[1:])
    with pytest.raises(ValueError, match="differ"):
        _core.means(sums, counts[:2], X[:3], 1)
    with pytest.raises(ValueError, match="negative"):
        _core.means(sums, counts - 1, X[:3], 1)


@pytest.mark.parametrize("dtype", KINDS)
def test_equals_lloyd_from_the_same_start(rng, dtype):
    X = points(rng, 400, 8, dtype)
    start = KMeans(25, random_state=3)
    model = start.fit(X)
    first = _initial_centers(X, 25, 3)
    centers, rounds = reference.lloyd(X, first, 10)
    np.testing.assert_array_equal(model.cluster_centers_, centers)
    assert model.n_iter_ == rounds
    assert model.cluster_centers_.dtype == dtype
    exact = reference.squared_distances(X, centers).min(axis=1).sum()
    assert model.inertia_ == pytest.approx(exact, rel=0 if dtype == np.uint8 else 1e-6)
    np.testing.assert_array_equal(model.predict(X), assign(X, centers).ids[:, 0])


def _initial_centers(X, num_words, seed):
    """The definition: points by growing random key, copies passed over."""
    keys = np.frombuffer(_core.random_bytes(seed, 0, 2 * len(X)), "<u8")
    chosen = []
    for i in np.argsort(keys, kind="stable"):
        if len(chosen) < num_words and not any((X[i] == X[j]).all() for j in chosen):
            chosen.append(i)
    return X[chosen]


@pytest.mark.parametrize("dtype", KINDS)
def test_same_bits_on_every_instruction_set_and_thread_count(rng, dtype):
    X = points(rng, 3000, 20, dtype)
    models = []
    for name in _core.isas():
        _core.use_isa(name)
        models += [KMeans(40, threads=threads).fit(X) for threads in (1, 2, 5)]
    _core.reset_isa()
    for model in models[1:]:
        assert model.cluster_centers_.tobytes() == models[0].cluster_centers_.tobytes()
        assert (model.inertia_, model.n_iter_) == (models[0].inertia_, models[0].n_iter_)


def test_inertia_never_rises_on_floats(rng):
    X = rng.standard_normal((2000, 12), dtype=np.float32)
    inertias = [KMeans(30, iterations=i).fit(X).inertia_ for i in range(1, 15)]
    assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(inertias))
    assert inertias[-1] < 0.97 * inertias[0]


def test_stops_when_nothing_changes_and_reports_progress():
    X = np.uint8([[0], [1], [100], [101]])
    calls = []
    model = KMeans(2, iterations=50).fit(X, progress=lambda *call: calls.append(call))
    assert model.n_iter_ < 10
    assert calls == [(i, 50) for i in range(1, model.n_iter_ + 1)]
    assert model.inertia_ == 2


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 50), st.integers(1, 4))),
    st.integers(1, 12),
    st.integers(0, 2**63 - 1),
)
@settings(deadline=None)
def test_laws(X, num_words, seed):
    distinct = len(np.unique(X, axis=0))
    model = KMeans(num_words, random_state=seed)
    if distinct < num_words:
        with pytest.raises(ValueError, match=f"num_words={num_words} distinct.*has {distinct}"):
            model.fit(X)
        return
    model.fit(X)
    assert model.cluster_centers_.shape == (num_words, X.shape[1])
    again = KMeans(num_words, random_state=seed).fit(X)
    np.testing.assert_array_equal(again.cluster_centers_, model.cluster_centers_)
    if distinct == num_words:
        assert model.inertia_ == 0


def test_another_seed_starts_elsewhere(rng):
    X = points(rng, 500, 4, np.uint8)
    a, b = (KMeans(5, random_state=seed, iterations=1).fit(X) for seed in (0, 1))
    assert not np.array_equal(a.cluster_centers_, b.cluster_centers_)


def test_zeros_of_either_sign_are_one_point():
    with pytest.raises(ValueError, match="it has 1"):
        KMeans(2).fit([[0.0], [-0.0]])


@pytest.mark.parametrize("num_words", [1, 2])
def test_no_points_at_all(num_words):
    with pytest.raises(ValueError, match="distinct points, it has 0"):
        KMeans(num_words).fit(np.zeros((0, 3), np.uint8))
    for n in (0, 3):
        for init in ("random", "k-means++"):
            with pytest.raises(ValueError, match=rf"at least one column, got shape \({n}, 0\)"):
                KMeans(num_words, init=init).fit(np.zeros((n, 0), np.uint8))


def test_seeds_are_found_among_many_equal_points(rng, monkeypatch):
    X = rng.integers(0, 4, (3000, 2), np.uint8)
    X[rng.permutation(3000)[:2500]] = 0
    expected = _initial_centers(X, 16, 5)
    taken = []
    at = Points.at

    def counting(self, rows):
        taken.append(len(rows))
        return at(self, rows)

    monkeypatch.setattr(Points, "at", counting)
    monkeypatch.setattr(_sampling, "_MOST_MORE", 20)
    rows = _sampling.distinct_rows(Points(X), 16, 5)
    np.testing.assert_array_equal(X[rows], expected)
    assert max(taken) <= 20
    with pytest.raises(ValueError, match="num_words=17 distinct points, it has 16"):
        _sampling.distinct_rows(Points(X), 17, 5)
    assert max(taken) <= 20
    assert sum(taken) >= len(X)


def test_parameters_as_in_scikit_learn():
    model = KMeans(7, iterations=3)
    assert model.get_params() == {
        "num_words": 7,
        "algorithm": "exact",
        "init": "random",
        "iterations": 3,
        "metric": "l2",
        "dtype": None,
        "width": 8,
        "random_state": 0,
        "threads": None,
    }
    assert model.set_params(num_words=8) is model
    assert model.num_words == 8
    with pytest.raises(ValueError, match="no parameter 'clusters'"):
        model.set_params(clusters=3)
    with pytest.raises(ValueError, match="call fit first"):
        model.predict(np.zeros((1, 2)))
    assert repr(model).startswith("KMeans(num_words=8, algorithm='exact', init='random', ")


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"num_words": 0}, ValueError, "num_words must be between"),
        ({"num_words": 2.5}, TypeError, "num_words must be a whole"),
        ({"num_words": 2, "iterations": 0}, ValueError, "iterations must be"),
        ({"num_words": 2, "random_state": -1}, ValueError, "random_state must be"),
        ({"num_words": 2, "threads": 0}, ValueError, "threads must be"),
        ({"num_words": 2, "width": 0}, ValueError, "width must be"),
        ({"num_words": 2, "algorithm": "fast"}, ValueError, "algorithm must be one of 'exact', "),
        ({"num_words": 2, "init": "kmeans++"}, ValueError, "init must be one of 'random', "),
        ({"num_words": 2, "metric": "cosine"}, ValueError, "metric must be one of 'l2', "),
        ({"num_words": 2, "dtype": "float64"}, ValueError, "dtype must be one of None, "),
        ({"num_words": 5, "init": "k-means++"}, ValueError, "num_words=5 distinct points, it has"),
        ({"num_words": 5}, ValueError, "num_words=5 distinct points, it has 3"),
    ],
)
def test_says_what_is_wrong(parameters, error, message):
    with pytest.raises(error, match=message):
        KMeans(**parameters).fit(np.uint8([[1], [2], [3], [3], [2]]))


@pytest.mark.parametrize("dtype", KINDS)
def test_points_at_one_distance_are_taken_as_fast_as_others(dtype):
    X = (np.arange(1 << 15)[:, None] >> np.arange(16) & 1).astype(dtype)  # no two are equal
    labels, clusters = np.zeros(len(X), np.int64), len(X) - 1
    kind = np.int32 if dtype == np.uint8 else np.float32

    def seconds(distances):
        begin = time.perf_counter()
        taken = _core.repair_empty([X], False, distances.astype(kind), clusters, labels.copy())
        assert taken == clusters - 1
        return time.perf_counter() - begin

    apart = min(seconds(np.arange(1, len(X) + 1)) for _ in range(3))
    equal = min(seconds(np.full(len(X), 16)) for _ in range(3))
    assert equal < 10 * apart


@pytest.mark.parametrize("roots", [False, True])
def test_copies_in_many_parts_are_taken_once(rng, roots):
    X = rng.integers(0, 5, (600, 3), np.uint8)
    compared = _core.hellinger_roots(X, 1) if roots else X
    distances, labels = (compared.astype(np.int32) ** 2).sum(axis=1, dtype=np.int32), X[:, 0] % 2
    expected = reference.repair_empty(compared, labels.astype(np.int64), distances, 40)
    for parts in ([X], np.split(X, [0, 1, 1, 7, 300, 599, 600])):
        mine = labels.astype(np.int64)
        repaired = _core.repair_empty(parts, roots, distances, 40, mine)
        np.testing.assert_array_equal(mine, expected)
        assert repaired == np.count_nonzero(mine != labels) > 20


@pytest.mark.parametrize("dtype", KINDS)
def test_ctrl_c_stops_a_repair(rng, dtype):
    X = np.zeros((5_000_000, 1), dtype)
    distances = rng.permutation(np.arange(1, len(X) + 1))
    distances = distances.astype(np.int32 if dtype == np.uint8 else np.float32)
    labels = np.zeros(len(X), np.int64)

    def repair():
        _core.repair_empty([X], False, distances, len(X), labels.copy())

    assert interrupts.seconds_to_stop(repair) < interrupts.LIMIT
