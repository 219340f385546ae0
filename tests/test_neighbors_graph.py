# SPDX-License-Identifier: Apache-2.0
"""The kernels of the graph: exact where the width is unlimited, near enough where it is not."""

import numpy as np
import pytest

import reference
from trouvaille import _bitmap, _core

FARTHEST = np.iinfo(np.int32).max


def clustered(rng, n, n_dims=32, clusters=40, dtype=np.uint8):
    """Points about centres, the same ones for all."""
    centers = np.random.default_rng(99).uniform(40, 216, (clusters, n_dims))
    rows = centers[rng.integers(0, clusters, n)] + rng.normal(0, 12, (n, n_dims))
    return (
        np.clip(rows, 0, 255).round().astype(np.uint8) if dtype == np.uint8 else rows.astype(dtype)
    )


def extend(points, old=None, *, degree=24, width=60, alpha=1.2, seed=0, threads=1):
    none = np.empty((0, degree), np.uint32), 0, np.empty(0, np.uint64)
    return _core.extend_graph(points, *(old or none), degree, width, alpha, seed, threads)


def search(points, graph, queries, k, *, width=60, alive=None, threads=1):
    bits = None if alive is None else _bitmap.packed(alive)
    return _core.search_graph(points, *graph, queries, k, width, bits, threads)


def recall(ids, truth):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(ids, truth, strict=True)])


def reached(graph):
    """The points to which edges lead from the entry, by NumPy; and those that are copies."""
    neighbors, entry, copies = graph
    met = np.zeros(len(neighbors), bool)
    front = np.array([entry])
    while len(front):
        met[front] = True
        ends = np.unique(neighbors[front])
        ends = ends[ends < len(neighbors)]
        front = ends[~met[ends]]
    is_copy = np.zeros(len(neighbors), bool)
    is_copy[(copies & 0xFFFFFFFF).astype(np.int64)] = True
    return met, is_copy


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n_dims", [1, 15, 16, 17, 63, 64, 65, 128, 130])
def test_a_width_of_all_points_is_exact(rng, isa, threads, dtype, n_dims):
    X = rng.integers(0, 256, (700, n_dims)).astype(dtype)
    Q = rng.integers(0, 256, (20, n_dims)).astype(dtype)
    found = search(X, extend(X), Q, 9, width=len(X), threads=threads)
    assert_same(found, _core.exact_neighbors(Q, X, 9, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_walk_finds_most_neighbors_at_their_distances(rng, isa, threads, dtype):
    X, Q = clustered(rng, 5000, dtype=dtype), clustered(rng, 100, dtype=dtype)
    graph = extend(X, threads=threads)
    distances, ids = search(X, graph, Q, 10, threads=threads)
    exact, truth = _core.exact_neighbors(Q, X, 10, 1)
    assert recall(ids, truth) >= 0.97
    expected = reference.squared_distances(Q, X)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, ids, 1), rtol=1e-5)
    assert (np.diff(distances, axis=1) >= 0).all()
    same = ids == truth
    np.testing.assert_array_equal(distances[same], exact[same])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_same_bits_everywhere(rng, isa, threads, dtype):
    X, Q = clustered(rng, 3000, dtype=dtype), clustered(rng, 70, dtype=dtype)
    _core.use_isa("scalar")
    expected = extend(X)
    found = search(X, expected, Q, 10)
    _core.use_isa(isa)
    graph = extend(X, threads=threads)
    assert_same(graph, expected)
    assert_same(search(X, graph, Q, 10, threads=threads), found)
    alone = [search(X, graph, Q[i : i + 1], 10) for i in range(len(Q))]
    assert_same([np.concatenate(rows) for rows in zip(*alone, strict=True)], found)


def test_every_point_can_be_reached(rng):
    X = clustered(rng, 6000)
    graph = extend(X)
    met, is_copy = reached(graph)
    np.testing.assert_array_equal(met, ~is_copy)
    neighbors = graph[0]
    for i in range(0, len(X), 97):  # distinct ones, no point its own, nothing behind the end
        row = neighbors[i][neighbors[i] != 0xFFFFFFFF]
        assert len(set(row)) == len(row)
        assert i not in row
        assert (neighbors[i][len(row) :] == 0xFFFFFFFF).all()


@pytest.mark.parametrize("degree", [1, 2, 4, 8])
def test_every_point_of_far_clusters_can_be_reached(rng, threads, degree):
    """Where all edges of near points are taken by nearer ones."""
    centers = rng.uniform(0, 256, (60, 1, 32))
    X = np.clip(centers + rng.normal(0, 2, (60, 50, 32)), 0, 255).astype(np.uint8).reshape(-1, 32)
    graph = extend(X[:2_500], degree=degree, width=10, threads=threads)
    for grown in (graph, extend(X, graph, width=10, threads=threads)):
        met, is_copy = reached(grown)
        np.testing.assert_array_equal(met, ~is_copy)
        for i, row in enumerate(grown[0]):
            ends = row[row != 0xFFFFFFFF]
            assert len(set(ends)) == len(ends)
            assert i not in ends


@pytest.mark.parametrize("step", [1, 37, 1000])
def test_points_are_added(rng, threads, step):
    X, Q = clustered(rng, 2000), clustered(rng, 100)
    begin = 2000 - min(3 * step, 1000)
    graph = extend(X[:begin])
    for stop in range(begin + step, 2001, step):
        graph = extend(X[:stop], graph, threads=threads)
    found = search(X[:stop], graph, Q, 10)[1]
    assert recall(found, _core.exact_neighbors(Q, X[:stop], 10, 1)[1]) >= 0.97
    assert_same(extend(X[:stop], graph), graph)  # nothing to add


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_removed_points_are_walked_through(rng, threads, share):
    X, Q = clustered(rng, 4000), clustered(rng, 100)
    alive = rng.uniform(size=len(X)) >= share
    _distances, ids = search(X, extend(X), Q, 10, width=300, alive=alive, threads=threads)
    assert (ids >= 0).all()
    assert alive[ids].all()
    rows = np.flatnonzero(alive)
    truth = rows[_core.exact_neighbors(Q, X[alive], 10, 1)[1]]
    assert recall(ids, truth) >= 0.95


def test_no_point_is_alive(rng):
    X = clustered(rng, 500)
    for width in (20, 500):
        distances, ids = search(X, extend(X), X[:3], 2, width=width, alive=np.zeros(500, bool))
        assert (ids == -1).all()
        assert (distances == FARTHEST).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_copies_are_found_with_their_point(rng, threads, dtype):
    X = clustered(rng, 3000, dtype=dtype)
    X[1000:2500] = X[7]
    X[2500:] = X[:500]
    graph = extend(X[:2000], threads=threads)
    graph = extend(X, graph, threads=threads)
    copies = {(int(c) >> 32, int(c) & 0xFFFFFFFF) for c in graph[2]}
    assert copies >= {(7, i) for i in [*range(1000, 2500), 2507]}
    assert len(copies) >= 1990  # of 2,000: a walk misses few
    alive = np.ones(3000, bool)
    alive[[7, 1000, 1002]] = False
    distances, ids = search(X, graph, X[7:8], 1600, threads=threads)
    np.testing.assert_array_equal(ids[0, :1502], [7, *range(1000, 2500), 2507])
    assert (distances[0, :1502] == 0).all()
    assert (distances[0, 1502:] > 0).all()
    ids = search(X, graph, X[7:8], 4, width=20, alive=alive, threads=threads)[1]
    np.testing.assert_array_equal(ids, [[1001, 1003, 1004, 1005]])
    Q = X[:50]
    found = search(X, graph, Q, 10, width=100)
    assert recall(found[1], _core.exact_neighbors(Q, X, 10, 1)[1]) >= 0.97


@pytest.mark.parametrize("n", [0, 1, 2, 5000])
def test_all_points_equal(n, threads):
    X = np.full((n, 8), 7, np.uint8)
    graph = extend(X, threads=threads)
    assert len(graph[2]) == max(n - 1, 0)
    for width in (1, 6000):
        distances, ids = search(X, graph, np.zeros((2, 8), np.uint8), 3, width=width)
        places = np.arange(3)
        np.testing.assert_array_equal(ids, np.tile(np.where(places < n, places, -1), (2, 1)))
        np.testing.assert_array_equal(
            distances, np.tile(np.where(places < n, 8 * 49, FARTHEST), (2, 1))
        )


def test_floats_whose_squares_vanish(threads):
    X = np.linspace(0, 1e-30, 300, dtype=np.float32)[:, None]
    distances, ids = search(X, extend(X, threads=threads), X[:2], 300)
    np.testing.assert_array_equal(np.sort(ids), np.tile(np.arange(300), (2, 1)))
    assert (distances == 0).all()


def test_zero_has_no_sign():
    X = np.float32([[0.0], [-0.0], [1.0]])
    np.testing.assert_array_equal(extend(X)[2], [1])  # 1 is a copy of 0


@pytest.mark.parametrize("degree", [1, 2])
def test_few_neighbors(rng, degree):
    X = clustered(rng, 300)
    graph = extend(X, degree=degree)
    assert graph[0].shape == (300, degree)
    _core.check_graph(*graph, 300)
    Q = clustered(rng, 40)
    for width in (1, 20, 299, 300):
        distances, ids = search(X, graph, Q, 3, width=width)
        assert (ids[:, 0] >= 0).all()  # where the walk begins, if nothing else
        found = ids >= 0
        assert (found[:, :-1] >= found[:, 1:]).all()
        assert (distances[~found] == FARTHEST).all()
        expected = np.take_along_axis(reference.squared_distances(Q, X), np.maximum(ids, 0), 1)
        np.testing.assert_array_equal(distances[found], expected[found])
        np.testing.assert_array_equal(np.lexsort((ids, distances)), np.tile(np.arange(3), (40, 1)))
        assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in ids)
    assert_same((distances, ids), _core.exact_neighbors(Q, X, 3, 1))


def test_check_refuses_what_leads_out_of_the_arrays(rng):
    X = clustered(rng, 200)
    X[100:110] = X[3]
    neighbors, entry, copies = extend(X)
    _core.check_graph(neighbors, entry, copies, 200)
    wrong = neighbors.copy()
    wrong[17, 5] = 200
    for bad in [
        (wrong, entry, copies, 200),
        (neighbors, 200, copies, 200),
        (neighbors, entry, copies[::-1].copy(), 200),
        (neighbors, entry, copies + np.uint64(200 << 32), 200),
        (neighbors, entry, copies + np.uint64(200), 200),
        (neighbors, entry, copies, 199),
        (neighbors[:, :0].copy(), entry, copies, 200),
    ]:
        with pytest.raises(ValueError, match="the graph"):
            _core.check_graph(*bad)


def test_any_edges_that_pass_the_check_are_safe(rng):
    X = clustered(rng, 400)
    for _ in range(30):
        neighbors = rng.integers(0, 401, (400, 6), dtype=np.uint32)
        neighbors[neighbors == 400] = 0xFFFFFFFF
        pairs = rng.integers(0, 400, (20, 2)).astype(np.uint64)
        copies = np.unique(pairs[:, 0] << np.uint64(32) | pairs[:, 1])
        graph = neighbors, int(rng.integers(400)), copies[copies > 0]
        _core.check_graph(*graph, 400)
        distances, ids = search(X, graph, X[:20], 12, width=20, alive=rng.uniform(size=400) < 0.8)
        assert (ids >= -1).all()
        assert (ids < 400).all()
        assert (np.diff(distances, axis=1) >= 0).all()
        X2 = np.concatenate([X, X[:50] ^ 1])
        _core.check_graph(*extend(X2, graph), 450)


def test_wrong_arguments(rng):
    X = clustered(rng, 50)
    graph = extend(X)
    for change in ({"degree": 0}, {"width": 0}, {"alpha": 0.9}, {"alpha": float("nan")}):
        with pytest.raises(ValueError, match="must be"):
            extend(X, **change)
    with pytest.raises(ValueError, match="missing"):
        extend(X[:40], graph)
    with pytest.raises(ValueError, match="fit"):
        search(X, graph, X[:2, :5].copy(), 3)
    with pytest.raises(ValueError, match="fit"):
        search(X[:40], graph, X[:2], 3)
    with pytest.raises(ValueError, match="words"):
        _core.search_graph(X, *graph, X[:2], 3, 10, np.empty(0, np.uint64), 1)


def test_aligned_rows_are_a_copy_that_begins_at_a_cache_line(rng):
    for X in (clustered(rng, 70), clustered(rng, 70, dtype=np.float32), np.empty((0, 4), np.uint8)):
        rows = _core.aligned_rows(X)
        np.testing.assert_array_equal(rows, X)
        assert rows.ctypes.data % 64 == 0
        assert not np.shares_memory(rows, X)
