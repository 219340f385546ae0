# SPDX-License-Identifier: Apache-2.0
"""Laws of the k-means tree: exact without a budget, the same bits always, damage an error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouvaille import _core
from trouvaille.errors import IndexCorruptError
from trouvaille.neighbors import Exact, KMeansTree

ALL = 2**64 - 1
ARRAYS = ("points", *KMeansTree._arrays)[:-1]


def build(points, branching=4, levels=2, iterations=3, seed=0, threads=1):
    return _core.build_kmeans_tree(points, branching, levels, iterations, seed, threads)


def search(tree, queries, k, checks=ALL, alive=None, threads=1):
    return _core.search_kmeans_tree(tree, queries, k, checks, alive, threads)


def clustered(rng, n, dims, dtype, clusters=20):
    """Points around centers, as descriptors are."""
    centers = rng.uniform(40, 200, (clusters, dims))
    points = centers[rng.integers(clusters, size=n)] + rng.normal(0, 15, (n, dims))
    return np.clip(points, 0, 255).astype(dtype)


def lists_of(tree):
    """Rows of each list, of its starts, which are the last."""
    rows, starts, blocks = tree[1], tree[3], tree[6]
    return np.split(rows, starts[-len(blocks) :][1:-1])


def centers_of(tree, dims):
    """Of lists of bytes, as the panels have them."""
    panels = int(tree[2][-1])
    units = -(-dims // 4)
    bytes_ = tree[5].reshape(-1, (units + 1) * 64)[-panels:, : units * 64]
    return bytes_.reshape(panels, units, 16, 4).swapaxes(1, 2).reshape(-1, units * 4)[:, :dims]


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize(("n", "dims", "k"), [(1, 1, 3), (700, 1, 5), (900, 3, 4), (500, 130, 600)])
def test_bytes_without_a_budget_are_exact(rng, isa, threads, n, dims, k, levels):
    points = rng.integers(0, 256, (n, dims), dtype=np.uint8)
    queries = rng.integers(0, 256, (20, dims), dtype=np.uint8)
    tree = build(points, levels=levels, threads=threads)
    _core.check_kmeans_tree(tree)
    exact = _core.exact_neighbors(queries, points, k, 1)
    for found, expected in zip(search(tree, queries, k, threads=threads), exact, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-8, 0), (1e-3, 1000), (1e15, 1e15)])
def test_floats_without_a_budget_are_exact(rng, isa, scale, offset):
    points = (clustered(rng, 800, 40, np.float64) * scale + offset).astype(np.float32)
    queries = points[:30] + np.float32(scale) * rng.normal(0, 9, (30, 40)).astype(np.float32)
    exact = _core.exact_neighbors(queries, points, 7, 1)
    for found, expected in zip(search(build(points), queries, 7), exact, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_lists_hold_every_point_once(rng, levels):
    points = clustered(rng, 3_000, 20, np.uint8)
    tree = build(points, 7, levels)
    np.testing.assert_array_equal(np.sort(tree[1]), np.arange(3_000))
    np.testing.assert_array_equal(tree[0], points[tree[1]])
    lists = [rows for rows in lists_of(tree) if len(rows)]
    assert all((np.diff(rows.astype(np.int64)) > 0).all() for rows in lists)
    assert 0.7 * 7**levels < len(lists) < 1.5 * 7**levels + 16


@pytest.mark.parametrize("levels", [1, 2])
def test_points_are_in_the_list_of_a_near_center(rng, levels):
    points = clustered(rng, 4_000, 30, np.uint8, clusters=200)
    tree = build(points, 64 if levels == 1 else 8, levels)
    lists = lists_of(tree)
    filled = np.flatnonzero([len(rows) > 0 for rows in lists])
    _, nearest = _core.exact_neighbors(points, centers_of(tree, 30)[filled].copy(), 1, 1)
    own = np.empty(4_000, int)
    for i in filled:
        own[lists[i]] = i
    assert (own == filled[nearest[:, 0]]).mean() > (0.99 if levels == 1 else 0.6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("dims", [3, 64, 128])
@pytest.mark.parametrize("levels", [1, 2])
def test_recall_at_a_tenth_of_the_points(rng, levels, dims, dtype):
    points = clustered(rng, 20_000, dims, dtype, clusters=200)
    queries = np.clip(points[:200] + rng.normal(0, 5, (200, dims)), 0, 255).astype(dtype)
    exact = _core.exact_neighbors(queries, points, 10, 1)[0]
    tree = build(points, 160 if levels == 1 else 13, levels)
    found = search(tree, queries, 10, checks=2_000)[0]
    assert (found <= exact[:, -1:]).mean() > 0.9


def test_recall_of_axes_of_very_different_spread(rng):
    points = (rng.normal(size=(20_000, 96)) * 0.9 ** np.arange(96) * 1000).astype(np.float32)
    queries = points[:100] + rng.normal(0, 20, (100, 96)).astype(np.float32)
    exact = _core.exact_neighbors(queries, points, 10, 1)[0]
    found = search(build(points, 13), queries, 10, checks=5_000)[0]
    assert (found <= exact[:, -1:]).mean() > 0.9


@pytest.mark.parametrize("dims", [64, 200])
def test_points_without_structure_are_found_where_they_are_looked_at(rng, dims):
    """Sketches see little of them, so that many are compared themselves."""
    points = rng.normal(size=(4_000, dims)).astype(np.float32)
    queries = rng.normal(size=(50, dims)).astype(np.float32)
    exact = _core.exact_neighbors(queries, points, 10, 1)[0]
    tree = build(points, 8)
    for checks, least in ((2_000, 0.6), (3_900, 0.9), (4_000, 1)):
        assert (search(tree, queries, 10, checks)[0] <= exact[:, -1:]).mean() >= least


def test_more_checks_find_more(rng):
    points = clustered(rng, 10_000, 40, np.uint8, clusters=300)
    tree = build(points, 10)
    exact = _core.exact_neighbors(points[:200], points, 10, 1)[0]
    recalls = [
        (search(tree, points[:200], 10, checks)[0] <= exact[:, -1:]).mean()
        for checks in (1, 100, 1_000, 10_000, ALL)
    ]
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.9
    assert recalls[-1] == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_same_bits_for_every_instruction_set_and_thread_count(rng, isa, threads, dtype):
    points = clustered(rng, 3_000, 33, dtype)
    queries = points[::50] // 2
    _core.use_isa("scalar")
    tree = build(points, 6)
    expected = search(tree, queries, 5, checks=300)
    _core.use_isa(isa)
    again = build(points, 6, threads=threads)
    for array, same in zip(tree, again, strict=True):
        np.testing.assert_array_equal(array.view(np.uint8), same.view(np.uint8))
    for found, wanted in zip(
        search(again, queries, 5, checks=300, threads=threads), expected, strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 60), st.integers(1, 4),
    st.integers(1, 20), st.integers(1, 3), st.integers(1, 400)
)  # fmt: skip
def test_few_values_and_many_ties(seed, n, dims, values, branching, levels, checks):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, values, (n, dims), dtype=np.uint8) * np.uint8(80)
    tree = build(points, branching, levels, seed=seed)
    _core.check_kmeans_tree(tree)
    queries = points[: min(n, 5)]
    exact = _core.exact_neighbors(queries, points, 10, 1)
    for found, wanted in zip(search(tree, queries, 10), exact, strict=True):
        np.testing.assert_array_equal(found, wanted)
    distances, ids = search(tree, queries, 10, checks)
    assert (distances >= exact[0]).all()
    assert (ids[:, : min(checks, n, 10)] >= 0).all()  # as many as it looked at


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_all_points_equal_with_a_budget(dtype):
    points = np.full((5_000, 8), 7, dtype)
    distances, ids = search(build(points, 6), points[:2], 3, checks=100)
    np.testing.assert_array_equal(distances, 0)
    assert (ids >= 0).all()
    assert all(len(set(row)) == 3 for row in ids.tolist())


def test_huge_floats_are_found_without_a_budget(rng):
    points = (rng.normal(size=(500, 20)) * 1e30).astype(np.float32)
    tree = build(points)
    _core.check_kmeans_tree(tree)
    search(tree, points, 3, checks=100)
    assert (search(tree, points[:3], 500)[1] >= 0).all()


@pytest.mark.parametrize("checks", [500, ALL])
def test_removed_points_make_room(rng, checks):
    points = clustered(rng, 3_000, 16, np.uint8)
    tree = build(points, 6)
    removed = search(tree, points[:1], 200)[1][0]
    alive = np.ones(3_008, bool)
    alive[removed] = False
    bits = np.packbits(alive, bitorder="little").view(np.uint64)
    distances, ids = search(tree, points[:1], 20, checks, bits)
    left = np.setdiff1d(np.arange(3_000), removed)
    assert np.isin(ids, left).all()
    if checks == ALL:
        exact = _core.exact_neighbors(points[:1], points[left], 20, 1)
        np.testing.assert_array_equal(distances, exact[0])
        np.testing.assert_array_equal(ids, left[exact[1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_tree_that_grew_is_that_of_all_points_but_for_its_centers(rng, threads, dtype):
    points = clustered(rng, 3_000, 50, dtype)
    old = build(points[:2_000], 6)
    before = [array.copy() for array in old]
    tree = old
    for begin, end in ((2_000, 2_001), (2_001, 2_900), (2_900, 3_000)):
        tree = _core.grow_kmeans_tree(tree, points[begin:end].copy(), threads)
        _core.check_kmeans_tree(tree)
    at_once = _core.grow_kmeans_tree(old, points[2_000:].copy(), 1)
    for array, same in zip(tree, at_once, strict=True):
        np.testing.assert_array_equal(array.view(np.uint8), same.view(np.uint8))
    for array, same in zip(old, before, strict=True):
        np.testing.assert_array_equal(array.view(np.uint8), same.view(np.uint8))
    np.testing.assert_array_equal(tree[0], points[tree[1]])
    exact = _core.exact_neighbors(points[:50], points, 10, 1)
    for found, wanted in zip(search(tree, points[:50], 10), exact, strict=True):
        np.testing.assert_array_equal(found, wanted)
    found = search(tree, points[2_000:], 1, 600)[1][:, 0]
    assert (found == np.arange(2_000, 3_000)).mean() > 0.95


def test_centers_are_trained_again_with_four_times_the_points(rng):
    points = clustered(rng, 2_000, 16, np.uint8)
    index = KMeansTree(4).build(points[:500])
    centers = index._state.arrays["centers"]
    index.add(points[500:1_900])
    np.testing.assert_array_equal(index._state.arrays["centers"], centers)
    index.add(points[1_900:])
    again = KMeansTree(4).build(points)._state.arrays
    for name, array in again.items():
        np.testing.assert_array_equal(index._state.arrays[name], array)


def test_the_default_has_lists_of_some_120_points(rng):
    points = clustered(rng, 30_000, 16, np.uint8, clusters=500)
    for levels in (1, 2, 3):
        index = KMeansTree(levels=levels, iterations=1).build(points)
        lists = lists_of((index._state.points, *index._state.arrays.values()))
        assert 30_000 / 240 < sum(len(rows) > 0 for rows in lists) < 30_000 / 60


def test_memory_beside_the_points_is_at_most_forty_bytes_a_point(rng):
    index = KMeansTree().build(clustered(rng, 50_000, 128, np.uint8, clusters=3_000))
    assert index.stats().other_bytes <= 40 * 50_000


def test_a_file_of_other_parts_is_refused(rng, tmp_path):
    index = KMeansTree(4).build(rng.integers(0, 256, (100, 8), dtype=np.uint8))
    arrays = dict(index._state.arrays)
    object.__setattr__(index._state, "arrays", {**arrays, "trained_on": np.zeros(2, np.uint32)})
    index.save(tmp_path / "two numbers")
    with pytest.raises(IndexCorruptError, match="trained on"):
        KMeansTree.load(tmp_path / "two numbers")
    object.__setattr__(index._state, "arrays", {**arrays, "rows": arrays["rows"] + 100})
    index.save(tmp_path / "other rows")
    with pytest.raises(IndexCorruptError, match="a row out of range"):
        KMeansTree.load(tmp_path / "other rows")


@pytest.mark.parametrize(
    "arguments",
    [
        {"branching": 0}, {"branching": 2.5}, {"levels": 0}, {"levels": 9}, {"iterations": -1},
        {"random_state": -1},
    ],
)  # fmt: skip
def test_what_the_constructor_refuses(arguments):
    with pytest.raises((TypeError, ValueError), match=next(iter(arguments))):
        KMeansTree(**arguments)


def test_checks_must_be_a_number(rng):
    index = KMeansTree().build(rng.integers(0, 256, (100, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match="checks"):
        index.search(np.zeros((1, 8)), checks=0)


def test_a_radius_search_looks_at_its_checks(rng):
    points = clustered(rng, 2_000, 16, np.uint8)
    index, exact = KMeansTree(6).build(points), Exact().build(points)
    few = index.radius_search(points[:20], 40_000, checks=200)
    every = index.radius_search(points[:20], 40_000, checks=None)
    np.testing.assert_array_equal(every.ids, exact.radius_search(points[:20], 40_000).ids)
    assert 0 < len(few.ids) < len(every.ids)


def damaged(tree, name, place, value):
    arrays = [array.copy() for array in tree]
    arrays[ARRAYS.index(name)].reshape(-1)[place] = value
    return tuple(arrays)


@pytest.mark.parametrize(
    ("name", "place", "value", "says"),
    [
        ("rows", 5, 1_000, "row"),
        ("rows", slice(5, 7), 3, "twice"),
        ("panels", 0, 0, "starts"),
        ("panels", 1, 2**32 - 1, "starts"),
        ("starts", 0, 1, "starts"),
        ("starts", 3, 2**32 - 1, "starts"),
        ("starts", -1, 999, "points"),
        ("children", 1, 100, "children"),
        ("children", 2, 0, "children"),
        ("children", -1, 100, "children"),
        ("blocks", 0, 1, "blocks"),
        ("blocks", 7, 2**32 - 1, "blocks"),
        ("blocks", -1, 10**6, "blocks"),
        ("steps", 3, -1, "steps"),
        ("steps", 3, np.nan, "steps"),
        ("unseen", 0, np.nan, "unseen"),
        ("unseen", 0, 1.5, "unseen"),
    ],
)
def test_damage_is_an_error(rng, name, place, value, says):
    tree = build(rng.integers(0, 256, (1_000, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match=f"damaged k-means tree: .*{says}"):
        _core.check_kmeans_tree(damaged(tree, name, place, value))


@pytest.mark.parametrize("name", ARRAYS[1:])
def test_an_array_of_another_size_is_an_error(rng, name):
    tree = list(build(rng.integers(0, 256, (1_000, 8), dtype=np.uint8)))
    which = ARRAYS.index(name)
    tree[which] = np.ascontiguousarray(tree[which][:-1])
    with pytest.raises(ValueError, match="damaged k-means tree"):
        _core.check_kmeans_tree(tuple(tree))


@given(st.integers(0, 2**32 - 1), st.sampled_from(ARRAYS[1:]), st.sampled_from([1, 50, ALL]))
def test_a_flipped_bit_is_an_error_or_harmless(seed, name, checks):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 256, (200, 6)).astype(rng.choice([np.uint8, np.float32]))
    tree = [array.copy() for array in build(points)]
    bytes_ = tree[ARRAYS.index(name)].reshape(-1).view(np.uint8)
    bytes_[rng.integers(len(bytes_))] ^= 1 << rng.integers(8)
    try:
        _core.check_kmeans_tree(tuple(tree))
    except ValueError:
        return
    _, ids = search(tuple(tree), points[:5], 10, checks)
    assert ids.min() >= -1
    assert ids.max() < 200
    _core.grow_kmeans_tree(tuple(tree), points[:20].copy(), 1)


def test_what_the_binding_refuses(rng):
    points = rng.integers(0, 256, (100, 8), dtype=np.uint8)
    tree = build(points)
    with pytest.raises(ValueError, match="columns"):
        search(tree, points[:, :5].copy(), 1)
    with pytest.raises(ValueError, match="columns"):
        _core.grow_kmeans_tree(tree, points[:, :5].copy(), 1)
    with pytest.raises(ValueError, match="k must be positive"):
        search(tree, points, 0)
    with pytest.raises(ValueError, match="alive"):
        search(tree, points, 1, alive=np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="out of range"):
        build(points, branching=0)
    with pytest.raises(ValueError, match="out of range"):
        build(points, levels=9)
    with pytest.raises(ValueError, match="twelve"):
        search(tree[:-1], points, 1)
    with pytest.raises(TypeError, match="another type"):
        search(tree, points.astype(np.float32), 1)
