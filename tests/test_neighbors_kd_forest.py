# SPDX-License-Identifier: Apache-2.0
"""Laws of the k-d forest: exact without a budget, the same bits always, and damage is an error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouvaille import _core

UNLIMITED = 2**64 - 1
NODES, ROOTS, ORDERS, ROWS = 3, 4, 5, 1


def build(points, trees=1, leaf_size=8, drawn_from=5, seed=0, threads=1):
    return _core.build_kd_forest(points, trees, leaf_size, drawn_from, seed, threads)


def search(forest, queries, k, checks=UNLIMITED, alive=None, threads=1):
    return _core.search_kd_forest(forest, queries, k, checks, alive, threads)


def clustered(rng, n, dims, dtype, clusters=20):
    """Points around centers: what a tree over few dimensions can sort, as descriptors are."""
    centers = rng.uniform(40, 200, (clusters, dims))
    points = centers[rng.integers(clusters, size=n)] + rng.normal(0, 15, (n, dims))
    return np.clip(points, 0, 255).astype(dtype)


def distances_of(queries, points):
    """In whole numbers for bytes; for floats near enough to rank what is not nearly equal."""
    wide = np.int64 if points.dtype == np.uint8 else np.float64
    differences = queries[:, None, :].astype(wide) - points[None, :, :].astype(wide)
    return (differences**2).sum(axis=2)


def nearest(queries, points, k):
    """The specification: sort by distance, then by row number; -1 and the largest beyond."""
    distances = distances_of(queries, points)
    ids = np.argsort(distances, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(distances, ids, axis=1)
    missing = ((0, 0), (0, k - ids.shape[1]))
    far = np.iinfo(np.int32).max if points.dtype == np.uint8 else np.inf
    return np.pad(distances, missing, constant_values=far), np.pad(ids, missing, constant_values=-1)


@pytest.mark.parametrize("trees", [1, 3])
@pytest.mark.parametrize(("n", "dims", "k"), [(1, 1, 3), (700, 1, 5), (900, 3, 4), (500, 130, 600)])
def test_bytes_without_a_budget_are_exact(rng, isa, threads, n, dims, k, trees):
    points = rng.integers(0, 256, (n, dims), dtype=np.uint8)
    queries = rng.integers(0, 256, (20, dims), dtype=np.uint8)
    forest = build(points, trees, threads=threads)
    _core.check_kd_forest(forest)
    distances, ids = search(forest, queries, k, threads=threads)
    expected_distances, expected_ids = nearest(queries, points, k)
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(ids, expected_ids)


@pytest.mark.parametrize("trees", [1, 3])
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-8, 0), (1e-3, 1000), (1e15, 1e15)])
def test_floats_without_a_budget_are_exact(rng, isa, trees, scale, offset):
    points = (clustered(rng, 800, 40, np.float64) * scale + offset).astype(np.float32)
    queries = points[:30] + np.float32(scale) * rng.normal(0, 9, (30, 40)).astype(np.float32)
    distances, ids = search(build(points, trees), queries, 7)
    exact_distances, exact_ids = _core.exact_neighbors(queries, points, 7, 1)
    np.testing.assert_array_equal(distances, exact_distances)
    np.testing.assert_array_equal(ids, exact_ids)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 30), st.integers(1, 4),
    st.integers(1, 20), st.integers(1, 3)
)  # fmt: skip
def test_few_values_and_many_ties_are_exact(seed, n, dims, values, leaf_size, trees):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, values, (n, dims), dtype=np.uint8) * np.uint8(80)
    forest = build(points, trees, leaf_size, seed=seed)
    _core.check_kd_forest(forest)
    queries = points[: min(n, 5)]
    expected = nearest(queries, points, 10)
    for found, wanted in zip(search(forest, queries, 10), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_within_a_radius_without_a_budget_is_exact(rng, isa, threads, dtype):
    points = clustered(rng, 900, 30, dtype).round()
    queries = points[:25]
    everything = distances_of(queries, points)
    radius = int(np.median(everything))
    offsets, distances, ids = _core.search_kd_forest_within(
        build(points, 2), queries, radius, UNLIMITED, None, threads
    )
    assert offsets[0] == 0
    assert offsets[-1] == len(ids) == (everything <= radius).sum()
    for i, row in enumerate(everything):
        order = np.argsort(row, kind="stable")
        order = order[row[order] <= radius]
        found = slice(offsets[i], offsets[i + 1])
        np.testing.assert_array_equal(ids[found], order)
        np.testing.assert_array_equal(distances[found], row[order])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("trees", [1, 4])
def test_recall_at_a_tenth_of_the_points(rng, trees, dtype):
    points = clustered(rng, 20_000, 64, dtype, clusters=200)
    queries = clustered(np.random.default_rng(0), 20_000, 64, dtype, clusters=200)[:200]
    queries = np.clip(queries + rng.normal(0, 5, queries.shape), 0, 255).astype(dtype)
    _, exact = _core.exact_neighbors(queries, points, 1, 1)
    _, found = search(build(points, trees, 48), queries, 1, checks=2_000)
    assert (found == exact).mean() > 0.9


@pytest.mark.parametrize("trees", [1, 3])
def test_same_bits_for_every_instruction_set_and_thread_count(rng, isa, threads, trees):
    for dtype in (np.uint8, np.float32):
        points = clustered(rng, 5_000, 33, dtype)
        queries = points[::50] // 2
        _core.use_isa("scalar")
        forest = build(points, trees, seed=3)
        expected = search(forest, queries, 5, checks=300)
        _core.use_isa(isa)
        for array, wanted in zip(
            build(points, trees, seed=3, threads=threads), forest, strict=True
        ):
            np.testing.assert_array_equal(array, wanted)
        found = search(forest, queries, 5, checks=300, threads=threads)
        for array, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("trees", [1, 4])
def test_a_budget_ends_with_the_leaf_that_reaches_it_and_no_point_comes_twice(rng, trees):
    points = rng.integers(0, 256, (3_000, 20), dtype=np.uint8)
    forest = build(points, trees, leaf_size=16)
    for checks in (1, 100, 1_000):
        _, ids = search(forest, points[:50], 3_000, checks=checks)
        for row in ids:
            found = row[row >= 0]
            assert checks <= len(found) < checks + 16
            assert len(np.unique(found)) == len(found)
    _, ids = search(forest, points[:5], 1, checks=0)
    assert (ids == -1).all()


@pytest.mark.parametrize("trees", [1, 2])
def test_only_rows_alive_are_found(rng, isa, trees):
    points = clustered(rng, 500, 20, np.uint8)
    rows = np.flatnonzero(rng.random(500) < 0.1)
    bits = np.zeros(512, np.uint8)
    bits[rows] = 1
    alive = np.packbits(bits, bitorder="little").view(np.uint64)
    distances, ids = search(build(points, trees), points[:20], 60, alive=alive)
    expected_distances, expected = nearest(points[:20], points[rows], 60)
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(ids, np.where(expected < 0, -1, rows[expected]))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n", [0, 1, 20_000])
def test_equal_points(isa, n, dtype):
    points = np.full((n, 24), 9, dtype)
    forest = build(points, trees=2)
    _core.check_kd_forest(forest)
    distances, ids = search(forest, np.full((3, 24), 9, dtype), 4)
    found = min(n, 4)
    np.testing.assert_array_equal(ids[:, :found], np.tile(np.arange(found), (3, 1)))
    assert (distances[:, :found] == 0).all()
    assert (ids[:, found:] == -1).all()


@pytest.mark.parametrize("trees", [1, 2, 3, 4])
def test_memory(rng, trees):
    forest = build(clustered(rng, 50_000, 128, np.uint8), trees, leaf_size=48)
    beside = sum(array.nbytes for array in forest[1:6])
    assert beside <= 32 * 50_000


def damaged(forest, which, place, value):
    arrays = [array.copy() for array in forest]
    arrays[which].reshape(-1)[place] = value
    return tuple(arrays)


@pytest.mark.parametrize(
    ("which", "place", "value", "says"),
    [
        (NODES, 0, 2**32 - 1, "child"),
        (NODES, 0, 1, "child"),
        (NODES, 1, 255 << 16, "axis"),
        (NODES, -1, 60_000, "leaves"),
        (NODES, -1, 0, "child"),
        (ROOTS, 1, 0, "roots"),
        (ROOTS, 1, 10**6, "roots"),
        (ROWS, 5, 1_000, "row"),
        (ORDERS, 5, 1_000, "place"),
        (8, 0, 0, "step"),
    ],
)
def test_damage_is_an_error(rng, which, place, value, says):
    forest = build(rng.integers(0, 256, (1_000, 8), dtype=np.uint8), trees=2)
    with pytest.raises(ValueError, match=f"damaged k-d forest: .*{says}"):
        _core.check_kd_forest(damaged(forest, which, place, value))


@pytest.mark.parametrize("which", [ROWS, 2, NODES, ROOTS, ORDERS, 6, 7, 8])
def test_an_array_of_another_size_is_an_error(rng, which):
    forest = list(build(rng.integers(0, 256, (1_000, 8), dtype=np.uint8), trees=2))
    forest[which] = np.ascontiguousarray(forest[which][:-1])
    with pytest.raises(ValueError, match=r"forest|array|shape|bytes"):
        _core.check_kd_forest(tuple(forest))


@given(st.integers(0, 2**32 - 1), st.sampled_from([ROWS, 2, NODES, ROOTS, ORDERS, 6, 7, 8]))
def test_a_flipped_bit_is_an_error_or_harmless(seed, which):
    rng = np.random.default_rng(seed)
    forest = [array.copy() for array in build(rng.integers(0, 256, (200, 6), dtype=np.uint8), 2)]
    bytes_ = forest[which].reshape(-1).view(np.uint8)
    bytes_[rng.integers(len(bytes_))] ^= 1 << rng.integers(8)
    try:
        _core.check_kd_forest(tuple(forest))
    except ValueError:
        return
    _, ids = search(tuple(forest), forest[0][:5], 10)
    assert ids.min() >= -1
    assert ids.max() < 200


def test_what_the_binding_refuses(rng):
    points = rng.integers(0, 256, (100, 8), dtype=np.uint8)
    forest = build(points)
    with pytest.raises(ValueError, match="columns"):
        search(forest, points[:, :5].copy(), 1)
    with pytest.raises(ValueError, match="k must be positive"):
        search(forest, points, 0)
    with pytest.raises(ValueError, match="alive"):
        search(forest, points, 1, alive=np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="radius"):
        _core.search_kd_forest_within(forest, points, -1, UNLIMITED, None, 1)
    with pytest.raises(ValueError, match="out of range"):
        build(points, trees=0)
    with pytest.raises(TypeError, match="another type"):
        search(forest, points.astype(np.float32), 1)
