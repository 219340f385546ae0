# SPDX-License-Identifier: Apache-2.0
"""Hamming search: exactly what counting differing bits in NumPy gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import interrupts
import reference
from trouvaille import _core


def codes(rng, n, n_bytes):
    return rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)


def near_codes(rng, n, n_bytes, flips=0.1):
    """Codes around a few, so that distances tie and lists are of many lengths."""
    bits = rng.integers(0, 2, (5, 8 * n_bytes), dtype=np.uint8)[rng.integers(5, size=n)]
    return np.packbits(bits ^ (rng.random(bits.shape) < flips), axis=1)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def within(distances, radius):
    """Offsets, distances and rows of all within a radius, as the reference has them."""
    order = [np.argsort(row, kind="stable")[: (row <= radius).sum()] for row in distances]
    offsets = np.cumsum([0, *map(len, order)])
    near = [row[own] for row, own in zip(distances, order, strict=True)]
    return offsets, np.concatenate(near), np.concatenate(order)


def bitmap(alive):
    return np.packbits(np.pad(alive, (0, -len(alive) % 64)), bitorder="little").view(np.uint64)


# Of every way to pack: less than a word, whole words, fours of words, and what is left of them.
@pytest.mark.parametrize("n_bytes", [1, 3, 4, 8, 16, 23, 32, 64, 133])
@pytest.mark.parametrize("n", [1, 300])
def test_the_scan_is_exact(rng, isa, threads, n_bytes, n):
    X, Q = near_codes(rng, n, n_bytes), near_codes(rng, 70, n_bytes)
    distances = reference.hamming_distances(Q, X)
    for k in (1, 10, 400):
        found = _core.hamming_neighbors(Q, X, k, threads)
        assert_same(found, reference.nearest(distances, k))
        assert found[0].dtype == np.int32
    for radius in (0, n_bytes, 8 * n_bytes, 2**31 - 1):
        found = _core.hamming_neighbors_within(Q, X, radius, threads)
        assert_same(found, within(distances, radius))


@pytest.mark.parametrize("value", [0, 255])
def test_the_longest_codes_overflow_nothing(isa, value):
    X = np.full((33, _core.max_code_bytes), value, np.uint8)
    distances, ids = _core.hamming_neighbors(~X[:1], X, 2, 1)
    np.testing.assert_array_equal(distances, [[8 * _core.max_code_bytes] * 2])
    np.testing.assert_array_equal(ids, [[0, 1]])


def test_several_slices_and_waves(rng, isa, threads):
    X, Q = near_codes(rng, 2_000, 700), near_codes(rng, 9, 700)
    assert_same(
        _core.hamming_neighbors(Q, X, 50, threads),
        reference.nearest(reference.hamming_distances(Q, X), 50),
    )
    X, Q = near_codes(rng, 9_000, 1), near_codes(rng, 400, 1)  # with all 9,000 places each
    assert_same(
        _core.hamming_neighbors(Q, X, 9_000, threads),
        reference.nearest(reference.hamming_distances(Q, X), 9_000),
    )


# Codes that fill vectors, those that do not, and numbers of queries around the switch from reading
# rows where they lie to packing them; groups are of 64 rows.
@pytest.mark.parametrize("n_bytes", [1, 3, 4, 5, 7, 8, 9, 16, 20, 31, 32, 33, 63, 64, 65, 96, 128])
@pytest.mark.parametrize("n", [1, 64, 577])
def test_few_queries_read_rows_where_they_lie(rng, isa, n_bytes, n):
    points, Q = near_codes(rng, n + 1, n_bytes), near_codes(rng, 33, n_bytes)
    X = points[1:]  # as a row begins anywhere
    alive = rng.random(n) < 0.7
    rows = np.append(np.flatnonzero(alive), -1)
    distances = reference.hamming_distances(Q, X)
    for n_queries in (1, 3, 4, 8, 9, 32, 33):
        own = distances[:n_queries]
        for k in (1, 20, 600):
            found = _core.hamming_neighbors(Q[:n_queries], X, k, 1)
            assert_same(found, reference.nearest(own, k))
        found = _core.hamming_neighbors(Q[:n_queries], X, 20, 1, bitmap(alive))
        nearest, order = reference.nearest(own[:, alive], 20)
        assert_same(found, (nearest, rows[order]))
        found = _core.hamming_neighbors_within(Q[:n_queries], X, 3 * n_bytes, 1)
        assert_same(found, within(own, 3 * n_bytes))


def test_groups_of_rows_that_are_not_alive_are_left_out(rng, isa, threads):
    X, Q = near_codes(rng, 2_000, 8), near_codes(rng, 2, 8)
    alive = np.zeros(2_000, bool)
    alive[[70, 127, 128, 1_290, 1_999]] = True
    distances = reference.hamming_distances(Q, X[alive])
    rows = np.append(np.flatnonzero(alive), -1)
    for k in (1, 3, 7):
        nearest, order = reference.nearest(distances, k)
        found = _core.hamming_neighbors(Q, X, k, threads, bitmap(alive))
        assert_same(found, (nearest, rows[order]))


@pytest.mark.parametrize(("n", "n_bytes"), [(150_000, 4), (30_001, 40)])
def test_few_queries_are_shared_out_by_rows(rng, isa, threads, n, n_bytes):
    X, Q = near_codes(rng, n, n_bytes), near_codes(rng, 3, n_bytes)
    distances = reference.hamming_distances(Q, X)
    for k in (1, 700):
        assert_same(_core.hamming_neighbors(Q, X, k, threads), reference.nearest(distances, k))
    found = _core.hamming_neighbors_within(Q, X, 3 * n_bytes, threads)
    assert_same(found, within(distances, 3 * n_bytes))


@pytest.mark.parametrize("order", ["nearer and nearer", "farther and farther"])
def test_the_order_of_points_does_not_matter(rng, order):
    X, Q = near_codes(rng, 5_000, 4), near_codes(rng, 1, 4)
    by_distance = np.argsort(reference.hamming_distances(Q, X)[0], kind="stable")
    X = X[by_distance[:: -1 if order == "nearer and nearer" else 1]]
    for k in (1, 3, 100, 4_999):
        assert_same(
            _core.hamming_neighbors(Q, X, k, 1),
            reference.nearest(reference.hamming_distances(Q, X), k),
        )


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_points_that_are_not_alive_are_not_found(rng, isa, share):
    X, Q = near_codes(rng, 500, 8), near_codes(rng, 20, 8)
    alive = rng.random(500) < share
    distances = reference.hamming_distances(Q, X[alive])
    rows = np.append(np.flatnonzero(alive), -1)
    expected, order = reference.nearest(distances, 30)
    assert_same(_core.hamming_neighbors(Q, X, 30, 1, bitmap(alive)), (expected, rows[order]))
    offsets, near, order = within(distances, 20)
    found = _core.hamming_neighbors_within(Q, X, 20, 1, bitmap(alive))
    assert_same(found, (offsets, near, rows[order]))


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(0, 80), st.integers(1, 9)), elements=st.integers(0, 3)
    ),
    st.integers(1, 90),
)
def test_ties_go_to_the_smaller_row(X, k):
    distances = reference.hamming_distances(X[:3], X)
    assert_same(_core.hamming_neighbors(X[:3], X, k, 1), reference.nearest(distances, k))


def test_no_points_and_no_queries():
    X = np.zeros((3, 8), np.uint8)
    distances, ids = _core.hamming_neighbors(X, X[:0], 2, 1)
    assert (distances == 2**31 - 1).all()
    assert (ids == -1).all()
    assert _core.hamming_neighbors(X[:0], X, 2, 1)[1].shape == (0, 2)
    assert _core.hamming_neighbors_within(X, X[:0], 2, 1)[0].tolist() == [0, 0, 0, 0]
    assert (
        _core.hamming_neighbors(X[:, :0].copy(), X[:, :0].copy(), 2, 1)[0].tolist() == [[0, 0]] * 3
    )


def test_what_the_binding_refuses():
    X = np.zeros((100, 8), np.uint8)
    with pytest.raises(ValueError, match="columns"):
        _core.hamming_neighbors(X[:, :3].copy(), X, 1, 1)
    with pytest.raises(ValueError, match="k must be positive"):
        _core.hamming_neighbors(X, X, 0, 1)
    with pytest.raises(ValueError, match="radius"):
        _core.hamming_neighbors_within(X, X, -1, 1)
    with pytest.raises(ValueError, match="alive"):
        _core.hamming_neighbors(X, X, 1, 1, np.zeros(1, np.uint64))
    long = np.zeros((1, _core.max_code_bytes + 1), np.uint8)
    with pytest.raises(ValueError, match="max_code_bytes"):
        _core.hamming_neighbors(long, long, 1, 1)


# ---- in lists


def in_lists(rng, n, n_lists):
    """Lists of all points, some of them empty, as starts and members."""
    starts = np.sort(rng.integers(0, n + 1, n_lists - 1))
    return np.int64([0, *starts, n]), rng.permutation(n).astype(np.uint32)


@pytest.mark.parametrize("n_bytes", [1, 3, 8, 16, 23])
@pytest.mark.parametrize("n", [1, 2000])
def test_in_lists_only_their_points_are_found(rng, isa, threads, n_bytes, n):
    X, Q = near_codes(rng, n, n_bytes), near_codes(rng, 30, 4 * n_bytes)
    starts, members = in_lists(rng, n, 6)
    lists = np.stack([rng.permutation(6)[:4] for _ in range(30)])
    list_of = np.empty(n, np.int64)
    list_of[members] = np.repeat(np.arange(6), np.diff(starts))
    for queries in (Q, Q[:, :n_bytes].copy()):
        codes = np.broadcast_to(queries.reshape(30, -1, n_bytes), (30, 4, n_bytes))
        distances = np.full((30, n), 2**31 - 1)
        for i, j in np.ndindex(30, 4):
            own = list_of == lists[i, j]
            distances[i, own] = reference.hamming_distances(codes[i, j : j + 1], X[own])[0]
        for k in (1, 10, n + 2):
            expected, ids = reference.nearest(distances, k)
            ids = np.where(expected == 2**31 - 1, -1, ids)
            args = X, starts, members, queries, lists, k, threads
            assert_same(_core.hamming_neighbors_in_lists(*args), (expected, ids))


def test_a_search_of_lists_can_be_interrupted(rng):
    X = codes(rng, 200_000, 8)
    members, lists = np.arange(200_000, dtype=np.uint32), np.zeros((100_000, 1), np.int64)
    args = X, np.int64([0, 200_000]), members, X[:100_000], lists, 1, 2
    seconds = interrupts.seconds_to_stop(lambda: _core.hamming_neighbors_in_lists(*args))
    assert seconds < interrupts.LIMIT


def test_what_the_binding_of_lists_refuses():
    valid = {
        "points": np.zeros((3, 2), np.uint8),
        "starts": np.int64([0, 1, 3]),
        "members": np.uint32([2, 0, 1]),
        "queries": np.zeros((1, 2), np.uint8),
        "lists": np.int64([[1, 0]]),
        "k": 1,
        "threads": 1,
    }
    wrong = [
        ({"starts": np.int64([])}, "starts"),
        ({"starts": np.int64([1, 1, 3])}, "starts"),
        ({"starts": np.int64([0, 4, 3])}, "starts"),
        ({"starts": np.int64([0, 1, 2])}, "starts"),
        ({"members": np.uint32([2, 0, 3])}, "a list has a point"),
        ({"lists": np.int64([[2, 0]])}, "a query has a list"),
        ({"lists": np.int64([[-1, 0]])}, "a query has a list"),
        ({"lists": np.int64([[1, 0], [0, 1]])}, "differ in rows"),
        ({"queries": np.zeros((1, 3), np.uint8)}, "a code, or one for each"),
        ({"k": 0}, "k must be positive"),
        ({"points": np.zeros((3, 40_000), np.uint8)}, "longer than"),
    ]
    assert _core.hamming_neighbors_in_lists(**valid)[1].tolist() == [[0]]
    for changes, message in wrong:
        with pytest.raises(ValueError, match=message):
            _core.hamming_neighbors_in_lists(**valid | changes)
