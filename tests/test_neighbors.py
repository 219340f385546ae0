# SPDX-License-Identifier: Apache-2.0
"""What holds for every index of neighbours."""

import threading
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import reference
from trouvaille.errors import IndexCorruptError
from trouvaille.neighbors import LSH, Exact, Graph, KDForest, KMeansTree

# Each with a budget that finds all: whatever is exact then is exact.
STRUCTURES = {
    "exact": (Exact, {}),
    "graph": (partial(Graph, 16), {"width": None}),
    "kd forest": (partial(KDForest, 3), {"checks": None}),
    "k-means tree": (partial(KMeansTree, 4), {"checks": None}),
    "lsh": (partial(LSH, 2), {"checks": None}),
}


@pytest.fixture(params=list(STRUCTURES))
def structure(request):
    return STRUCTURES[request.param]


def opened_by(structure):
    """The class, whatever its arguments."""
    return getattr(structure, "func", structure)


def points(rng, n, dtype=np.uint8, n_dims=16):
    if dtype == np.uint8:
        return rng.integers(0, 256, (n, n_dims), dtype=np.uint8)
    return rng.normal(size=(n, n_dims)).astype(np.float32)


def nearest(X, Q, k, ids=None):
    """Of bytes, by NumPy; in the order of the rows among equals."""
    distances = reference.squared_distances(Q, X)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(distances, order, axis=1)
    pad = ((0, 0), (0, k - order.shape[1]))
    rows = np.pad(order, pad, constant_values=-1)
    if ids is not None:
        rows = np.where(rows < 0, -1, np.append(ids, -1)[rows])
    return np.pad(found, pad, constant_values=2**31 - 1), rows


def assert_found(found, expected):
    np.testing.assert_array_equal(found.distances, expected[0])
    np.testing.assert_array_equal(found.ids, expected[1])


@pytest.mark.parametrize("n", [1, 2, 37, 500])
@pytest.mark.parametrize("k", [1, 10, 600])
def test_finds_the_nearest(rng, structure, n, k):
    Structure, budget = structure
    X, Q = points(rng, n), points(rng, 9)
    assert_found(Structure().build(X).search(Q, k, **budget), nearest(X, Q, k))


def test_finds_the_nearest_of_floats(rng, structure):
    Structure, budget = structure
    X, Q = points(rng, 300, np.float32), points(rng, 9, np.float32)
    found = Structure().build(X).search(Q, 7, **budget)
    distances = ((Q[:, None].astype(float) - X[None]) ** 2).sum(2)
    np.testing.assert_array_equal(found.ids, np.argsort(distances, axis=1)[:, :7])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :7], rtol=1e-5)
    assert found.distances.dtype == np.float32


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 5)), elements=st.integers(0, 3)
    ),
    st.integers(1, 70),
)
@settings(max_examples=50)
def test_ties_go_to_the_smaller_row(X, k):
    for Structure, budget in STRUCTURES.values():
        assert_found(Structure().build(X).search(X[:3], k, **budget), nearest(X, X[:3], k))


def test_the_same_bits_for_any_number_of_threads(rng, structure, threads):
    Structure, budget = structure
    X, Q = points(rng, 2000), points(rng, 300)
    one = Structure().build(X, threads=1).search(Q, 5, threads=1, **budget)
    many = Structure().build(X, threads=threads).search(Q, 5, threads=threads, **budget)
    assert_found(many, one)


def test_all_points_equal(structure):
    Structure, budget = structure
    X = np.full((5000, 8), 7, np.uint8)
    found = Structure().build(X).search(X[:2], 3, **budget)
    assert_found(found, (np.zeros((2, 3)), np.tile([0, 1, 2], (2, 1))))


def test_points_have_the_ids_they_were_given(rng, structure):
    Structure, budget = structure
    X, Q = points(rng, 100), points(rng, 5)
    ids = rng.permutation(1000)[:100]
    index = Structure().build(X, ids)
    assert_found(index.search(Q, 4, **budget), nearest(X, Q, 4, ids))
    with pytest.raises(ValueError, match="twice"):
        Structure().build(X[:2], [3, 3])
    with pytest.raises(ValueError, match="twice"):
        index.add(X[:1], ids[:1])


def test_added_points_are_found(rng, structure):
    Structure, budget = structure
    X, Q = points(rng, 300), points(rng, 5)
    index = Structure().build(X[:100])
    for begin in range(100, 300, 50):
        index.add(X[begin : begin + 50])
    assert len(index) == 300
    assert_found(index.search(Q, 8, **budget), nearest(X, Q, 8))
    index.add(X[:0])
    assert len(index) == 300
    assert_found(Structure().add(X).search(Q, 8, **budget), nearest(X, Q, 8))


@pytest.mark.parametrize("share", [0.1, 0.6, 1.0])
def test_removed_points_are_not_found(rng, structure, share):
    Structure, budget = structure
    X, Q = points(rng, 200), points(rng, 5)
    index = Structure().build(X)
    gone = rng.permutation(200)[: int(200 * share)]
    index.remove(gone)
    left = np.setdiff1d(np.arange(200), gone)
    assert len(index) == len(left) == index.stats().n_points
    assert_found(index.search(Q, 30, **budget), nearest(X[left], Q, 30, left))
    with pytest.raises(ValueError, match="no point of id"):
        index.remove(gone[:1])
    assert len(index) == len(left)  # all or none
    index.add(X[gone], gone)
    found = index.search(Q, 1, **budget)
    np.testing.assert_array_equal(found.distances, nearest(X, Q, 1)[0])


def test_ids_are_not_given_twice(rng, structure, tmp_path):
    Structure, budget = structure
    X = points(rng, 12)
    index = Structure().build(X[:10])
    index.remove([9])
    index.add(X[10:11])
    index.remove(np.r_[np.arange(9), 10])
    index.save(tmp_path / "index")
    opened = opened_by(Structure).load(tmp_path / "index").add(X[11:])
    assert opened.search(X[11:], 1, **budget).ids.tolist() == [[11]]


def test_nothing_is_removed_of_nothing(rng, structure):
    Structure, _ = structure
    index = Structure().build(np.empty((0, 8), np.uint8))
    index.remove([])
    assert len(index) == 0
    index.add(points(rng, 3, n_dims=8)).remove([0, 1, 2])
    index.remove([])
    assert len(index) == 0


def test_a_radius_beyond_float32_finds_all(rng, structure):
    Structure, budget = structure
    X = points(rng, 30, np.float32)
    assert Structure().build(X).radius_search(X[:2], 1e300, **budget).offsets[-1] == 60


def test_a_radius_search_finds_all_within(rng, structure):
    Structure, budget = structure
    X, Q = points(rng, 400), points(rng, 6)
    distances = reference.squared_distances(Q, X)
    for radius in (-1, int(distances[0].min()), int(np.median(distances)), 10**9):
        found = Structure().build(X).radius_search(Q, radius, **budget)
        for i in range(len(Q)):
            own = slice(found.offsets[i], found.offsets[i + 1])
            rows = np.flatnonzero(distances[i] <= radius)
            order = rows[np.argsort(distances[i][rows], kind="stable")]
            np.testing.assert_array_equal(found.ids[own], order)
            np.testing.assert_array_equal(found.distances[own], distances[i][order])


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("own_ids", [False, True])
def test_a_saved_index_answers_as_before(rng, structure, tmp_path, mmap, own_ids):
    Structure, budget = structure
    X, Q = points(rng, 300), points(rng, 20)
    index = Structure().build(X, rng.permutation(5000)[:300] if own_ids else None)
    index.remove(index.search(X[:10], 1, **budget).ids[:, 0])
    index.save(tmp_path / "index")
    opened = opened_by(Structure).load(tmp_path / "index", mmap=mmap)
    assert_found(opened.search(Q, 9, **budget), index.search(Q, 9, **budget))
    assert opened.stats() == index.stats()
    opened.add(Q)
    opened.remove(opened.search(Q, 1, **budget).ids[:1, 0])
    assert index.search(Q, 1, **budget).distances.min() > 0  # the other was not touched


def test_an_index_that_was_emptied_is_saved_too(rng, structure, tmp_path):
    Structure, budget = structure
    index = Structure().build(points(rng, 3))
    index.remove([0, 1, 2])
    index.save(tmp_path / "index")
    opened = opened_by(Structure).load(tmp_path / "index")
    assert len(opened) == 0
    assert (opened.search(points(rng, 2), 4, **budget).ids == -1).all()
    assert len(opened.add(points(rng, 5))) == 5


def test_a_damaged_file_is_refused(rng, structure, tmp_path):
    Structure, _budget = structure
    path = tmp_path / "index"
    Structure().build(points(rng, 50)).save(path)
    whole = path.read_bytes()
    for at in [*range(0, len(whole), max(len(whole) // 200, 1)), len(whole) - 1]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IndexCorruptError):
            opened_by(Structure).load(path)
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(IndexCorruptError):
            opened_by(Structure).load(path)


def test_searches_see_the_index_from_when_they_began(rng, structure):
    Structure, budget = structure
    X, Q = points(rng, 600), points(rng, 40)
    index = Structure().build(X[:300])
    answers = [nearest(X[:n], Q, 3) for n in range(300, 601, 50)]
    failures = []

    def search():
        for _ in range(20):
            found = index.search(Q, 3, threads=1, **budget)
            if not any(np.array_equal(found.ids, ids) for _, ids in answers):
                failures.append(found)

    searchers = [threading.Thread(target=search) for _ in range(8)]
    for thread in searchers:
        thread.start()
    for begin in range(300, 600, 50):
        index.add(X[begin : begin + 50])
    for thread in searchers:
        thread.join()
    assert not failures


def test_what_does_not_fit_is_refused(rng, structure):
    Structure, budget = structure
    X = points(rng, 10)
    index = Structure().build(X)
    with pytest.raises(ValueError, match="16 columns"):
        index.search(X[:, :3])
    with pytest.raises(ValueError, match="Q"):
        index.search(X + 0.5)
    with pytest.raises(ValueError, match="k must"):
        index.search(X, 0)
    with pytest.raises(ValueError, match="NaN"):
        Structure().build(np.float32([[np.nan]]))
    with pytest.raises(ValueError, match="ids must be 10"):
        Structure().build(X, [1])
    with pytest.raises(ValueError, match="build it"):
        Structure().search(X)
    with pytest.raises(ValueError, match="2-D"):
        Structure().build(X[0])
    assert index.search(X[:0], 3, **budget).ids.shape == (0, 3)
    assert len(Structure().build(X[:0])) == 0


def test_ids_end_with_the_largest_there_can_be(rng, structure):
    Structure, _budget = structure
    X = points(rng, 4)
    for ids in ([2**63 - 2, 2**63 - 1], [5, 2**63 - 1]):
        index = Structure().build(X[:2], ids)
        with pytest.raises(ValueError, match="ids must be given"):
            index.add(X[2:])
        assert len(index.add(X[2:], [8, 9])) == 4


def test_places_beyond_all_points_take_no_search(rng, structure):
    Structure, budget = structure
    X = points(rng, 20)
    found = Structure().build(X).search(X[:2], 100_000, **budget)
    assert_found(found, nearest(X, X[:2], 100_000))
