# SPDX-License-Identifier: Apache-2.0
"""What holds for every index of neighbours."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neighbor_cases import CASES, assert_same
from trouvaille.errors import IndexCorruptError

IN_FLOATS = [name for name, case in CASES.items() if case.dtype == "float32"]


@pytest.fixture(params=list(CASES))
def case(request):
    return CASES[request.param]


def build(case, X, *arguments, **options):
    return case.new().build(X, *arguments, **options)


@pytest.mark.parametrize("n", [1, 2, 37, 500])
@pytest.mark.parametrize("k", [1, 10, 600])
def test_finds_the_nearest(rng, case, n, k):
    X, Q = case.points(rng, n), case.queries(rng, 9)
    found = build(case, X).search(Q, k, **case.budget)
    assert_same(found, case.nearest(X, Q, k))
    assert found.distances.dtype == (np.int32 if case.dtype == "uint8" else np.float32)
    assert found.ids.dtype == np.int64


@pytest.mark.parametrize("name", IN_FLOATS)
def test_finds_the_nearest_of_fractions(rng, name):
    case = CASES[name]
    X, Q = (rng.normal(size=(n, 16)).astype(np.float32) for n in (300, 9))
    found = build(case, X).search(Q, 7, **case.budget)
    distances, ids = case.nearest(X, Q, 7)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 5), st.integers(1, 70))
@settings(max_examples=15)
def test_ties_go_to_the_smaller_row(case, seed, n, n_dims, k):
    rng = np.random.default_rng(seed)
    X, Q = case.points(rng, n, n_dims, 4), case.queries(rng, 3, n_dims, 4)
    assert_same(build(case, X).search(Q, k, **case.budget), case.nearest(X, Q, k))


def test_the_same_bits_for_any_number_of_threads(rng, case, threads):
    X, Q = case.points(rng, 700), case.queries(rng, 150)
    one = build(case, X, threads=1)
    many = build(case, X, threads=threads)
    few = dict.fromkeys(case.budget, 50)
    for budget in (case.budget, few):
        expected = one.search(Q, 5, threads=1, **budget)
        assert_same(many.search(Q, 5, threads=threads, **budget), expected)
    expected = one.radius_search(Q, 1000, threads=1, **few)
    assert_same(many.radius_search(Q, 1000, threads=threads, **few), expected)


def test_all_points_equal(case):
    X = np.full((3000, 8), 7, case.dtype)
    found = build(case, X).search(X[:2].astype(float), 3, **case.budget)
    distance = 8 * 49 if case.metric == "ip" else 0
    assert_same(found, (np.full((2, 3), distance), np.tile([0, 1, 2], (2, 1))))


def test_points_have_the_ids_they_were_given(rng, case):
    X, Q = case.points(rng, 100), case.queries(rng, 5)
    ids = rng.permutation(1000)[:100]
    index = build(case, X, ids)
    assert_same(index.search(Q, 4, **case.budget), case.nearest(X, Q, 4, ids))
    with pytest.raises(ValueError, match="twice"):
        build(case, X[:2], [3, 3])
    with pytest.raises(ValueError, match="twice"):
        index.add(X[:1], ids[:1])


def test_added_points_are_found(rng, case):
    X, Q = case.points(rng, 300), case.queries(rng, 5)
    index = build(case, X[:100])
    for begin in range(100, 300, 50):
        index.add(X[begin : begin + 50])
    assert len(index) == 300
    assert_same(index.search(Q, 8, **case.budget), case.nearest(X, Q, 8))
    index.add(X[:0])
    assert len(index) == 300
    assert_same(case.new().add(X).search(Q, 8, **case.budget), case.nearest(X, Q, 8))


@pytest.mark.parametrize("share", [0.1, 0.6, 1.0])
def test_removed_points_are_not_found(rng, case, share):
    X, Q = case.points(rng, 200), case.queries(rng, 5)
    index = build(case, X)
    gone = rng.permutation(200)[: int(200 * share)]
    index.remove(gone)
    left = np.setdiff1d(np.arange(200), gone)
    assert len(index) == len(left) == index.stats().n_points
    assert_same(index.search(Q, 30, **case.budget), case.nearest(X[left], Q, 30, left))
    with pytest.raises(ValueError, match="no point of id"):
        index.remove(gone[:1])
    assert len(index) == len(left)  # all or none
    index.add(X[gone], gone)
    found = index.search(Q, 1, **case.budget)
    np.testing.assert_array_equal(found.distances, case.nearest(X, Q, 1)[0])


def test_ids_are_not_given_twice(rng, case, tmp_path):
    X = case.points(rng, 12)
    index = build(case, X[:10])
    index.remove([9])
    index.add(X[10:11])
    index.remove(np.r_[np.arange(9), 10])
    index.save(tmp_path / "index")
    opened = case.opened_by.load(tmp_path / "index").add(X[11:])
    assert opened.search(X[11:], 1, **case.budget).ids.tolist() == [[11]]


def test_nothing_is_removed_of_nothing(rng, case):
    index = build(case, np.empty((0, 8), case.dtype))
    index.remove([])
    assert len(index) == 0
    index.add(case.points(rng, 3, 8)).remove([0, 1, 2])
    index.remove([])
    assert len(index) == 0


def test_a_radius_search_finds_all_within(rng, case):
    X, Q = case.points(rng, 400), case.queries(rng, 6)
    index = build(case, X)
    distances = case.nearest(X, Q, 400)[0]
    middle = float(np.median(distances))
    for radius in (-1, distances[0, 0], middle, np.nextafter(middle, 0), 1e300, -1e300):
        found = index.radius_search(Q, radius, **case.budget)
        assert_same(found, case.within(X, Q, radius))
    index.remove(np.arange(0, 180, 2))
    left = np.setdiff1d(np.arange(400), np.arange(0, 180, 2))
    found = index.radius_search(Q, middle, **case.budget)
    assert_same(found, case.within(X[left], Q, middle, left))


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("own_ids", [False, True])
def test_a_saved_index_answers_as_before(rng, case, tmp_path, mmap, own_ids):
    X, Q = case.points(rng, 300), case.queries(rng, 20)
    index = build(case, X, rng.permutation(5000)[:300] if own_ids else None)
    index.remove(np.unique(index.search(X[:10], 1, **case.budget).ids))
    index.save(tmp_path / "index")
    opened = case.opened_by.load(tmp_path / "index", mmap=mmap)
    assert repr(opened) == repr(index)
    before = index.search(Q, 9, **case.budget)
    assert_same(opened.search(Q, 9, **case.budget), before)
    assert_same(
        opened.radius_search(Q, before.distances[0, 3], **case.budget),
        index.radius_search(Q, before.distances[0, 3], **case.budget),
    )
    assert opened.stats() == index.stats()
    opened.add(Q)
    opened.remove(opened.search(Q, 1, **case.budget).ids[:1, 0])
    assert_same(index.search(Q, 9, **case.budget), before)  # the other was not touched


def test_an_index_that_was_emptied_is_saved_too(rng, case, tmp_path):
    index = build(case, case.points(rng, 3))
    index.remove([0, 1, 2])
    index.save(tmp_path / "index")
    opened = case.opened_by.load(tmp_path / "index")
    assert len(opened) == 0
    assert (opened.search(case.queries(rng, 2), 4, **case.budget).ids == -1).all()
    assert len(opened.add(case.points(rng, 5))) == 5


def test_a_damaged_file_is_refused(rng, case, tmp_path):
    path = tmp_path / "index"
    build(case, case.points(rng, 50)).save(path)
    whole = path.read_bytes()
    for at in [*rng.integers(len(whole), size=40), len(whole) - 1]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IndexCorruptError):
            case.opened_by.load(path)
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(IndexCorruptError):
            case.opened_by.load(path)


def test_what_does_not_fit_is_refused(rng, case):
    X = case.points(rng, 10)
    index = build(case, X)
    with pytest.raises(ValueError, match="16 columns"):
        index.search(X[:, :3])
    with pytest.raises(ValueError, match="16 columns"):
        index.add(X[:, :3])
    with pytest.raises(ValueError, match="Q"):
        index.search(X.astype(float) + 1e-9)
    with pytest.raises(ValueError, match="k must"):
        index.search(X, 0)
    with pytest.raises(ValueError, match="radius"):
        index.radius_search(X, np.nan)
    with pytest.raises(ValueError, match="NaN"):
        case.new().build(np.float32([[np.nan]]))
    with pytest.raises(ValueError, match="ids must be 10"):
        case.new().build(X, [1])
    with pytest.raises(ValueError, match="build it"):
        case.new().search(X)
    with pytest.raises(ValueError, match="2-D"):
        case.new().build(X[0])
    assert len(index) == 10
    assert index.search(X[:0], 3, **case.budget).ids.shape == (0, 3)
    assert len(case.new().build(X[:0])) == 0


def test_ids_end_with_the_largest_there_can_be(rng, case):
    X = case.points(rng, 4)
    for ids in ([2**63 - 2, 2**63 - 1], [5, 2**63 - 1]):
        index = build(case, X[:2], ids)
        with pytest.raises(ValueError, match="ids must be given"):
            index.add(X[2:])
        assert len(index.add(X[2:], [8, 9])) == 4


def test_places_beyond_all_points_take_no_search(rng, case):
    X, Q = case.points(rng, 20), case.queries(rng, 2)
    assert_same(build(case, X).search(Q, 100_000, **case.budget), case.nearest(X, Q, 100_000))


class Holder:
    """What lends the array that it holds."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return self.x


@pytest.mark.parametrize("form", [lambda x: x, Holder, lambda x: x[:, :]])
def test_points_are_copied(rng, case, form):
    X, Q = case.points(rng, 60), case.queries(rng, 5)
    given, more, expected = X[:40].copy(), X[40:].copy(), case.nearest(X, Q, 9)
    index = build(case, form(given)).add(form(more))
    emptied = build(case, form(given))
    emptied.remove(range(40))
    emptied.add(form(more))
    given[:], more[:] = 1, 1
    assert_same(index.search(Q, 9, **case.budget), expected)
    found = emptied.search(Q, 9, **case.budget)
    assert_same(found, case.nearest(X[40:], Q, 9, np.arange(40, 60)))


def test_copies_have_the_whole_index(rng, case):
    index = case.new().build(case.points(rng, 60))
    index.remove([3])
    Q = case.queries(rng, 5)
    other = copy.deepcopy(index)
    assert_same(other.search(Q, 7, **case.budget), index.search(Q, 7, **case.budget))
    other.add(case.points(rng, 2))
    assert len(other) == len(index) + 2


def test_an_answer_of_nothing_but_empty_places_is_refused(rng, case):
    index = case.new().build(case.points(rng, 10))
    with pytest.raises(ValueError, match=r"k is 2147483647, of 10 points: places for 1 .* 24 GiB"):
        index.search(case.queries(rng, 1), 2**31 - 1, **case.budget)
