# SPDX-License-Identifier: Apache-2.0
"""Laws of LSH: exact where all is compared, the same bits always, and damage is an error."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from trouvaille import _core
from trouvaille.errors import IndexCorruptError
from trouvaille.neighbors import LSH, Exact

ALL = 2**64 - 1
ROWS, SLOTS, ORDERS, PANELS, CENTER, DIRECTIONS, OFFSETS, MULTIPLIERS, SETTINGS = range(1, 10)
FAMILIES = [("l2", "hyperplanes"), ("l2", "p-stable"), ("hamming", "bits")]
EVERY = [*FAMILIES, ("hamming", "hyperplanes"), ("hamming", "p-stable")]


def build(
    points, tables=1, functions=6, sketch=16, family="hyperplanes", bits=False, threads=1, seed=0
):
    return _core.build_lsh(points, tables, functions, sketch, family, 0.0, bits, seed, threads)


def search(lsh, queries, k, checks=ALL, probes=0, comparisons=0, alive=None, threads=1):
    return _core.search_lsh(lsh, queries, k, checks, probes, comparisons, alive, threads)


def clustered(rng, n, dims, dtype=np.uint8, clusters=200):
    """Points around centers, as descriptors are: near ones are much nearer than most."""
    centers = rng.uniform(40, 200, (clusters, dims))
    points = centers[rng.integers(clusters, size=n)] + rng.normal(0, 15, (n, dims))
    return np.clip(points, 0, 255).astype(dtype)


def clustered_bits(rng, n, n_bytes=32, clusters=200):
    centers = rng.integers(0, 2, (clusters, 8 * n_bytes), dtype=np.uint8)
    flips = rng.random((n, 8 * n_bytes)) < 0.12
    return np.packbits(centers[rng.integers(clusters, size=n)] ^ flips, axis=1)


def drawn(rng, n, metric):
    return clustered(rng, n, 32) if metric == "l2" else clustered_bits(rng, n)


def nearest(queries, points, k, metric="l2"):
    """The specification: sort by distance, then by row number; -1 and the largest beyond."""
    if metric == "l2":
        distances = reference.squared_distances(queries, points)
    else:
        distances = np.bitwise_count(queries[:, None] ^ points[None]).sum(axis=2, dtype=np.int64)
    ids = np.argsort(distances, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(distances, ids, axis=1)
    missing = ((0, 0), (0, k - ids.shape[1]))
    return (
        np.pad(distances, missing, constant_values=np.iinfo(np.int32).max),
        np.pad(ids, missing, constant_values=-1),
    )


def assert_same(found, expected):
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize(("metric", "family"), EVERY)
@pytest.mark.parametrize(("n", "dims", "k"), [(1, 1, 3), (500, 1, 5), (700, 5, 600)])
def test_without_a_budget_all_is_compared(rng, isa, threads, metric, family, n, dims, k):
    points = rng.integers(0, 256, (n, dims), dtype=np.uint8)
    queries = rng.integers(0, 256, (40, dims), dtype=np.uint8)
    lsh = build(points, 2, family=family, bits=metric == "hamming", threads=threads)
    _core.check_lsh(lsh)
    assert_same(search(lsh, queries, k, threads=threads), nearest(queries, points, k, metric))


@pytest.mark.parametrize(("metric", "family"), EVERY)
def test_with_a_check_less_than_there_are_points_nearly_all_is_compared(rng, isa, metric, family):
    points, queries = drawn(rng, 900, metric), drawn(rng, 20, metric)
    lsh = build(points, family=family, bits=metric == "hamming")
    found = search(lsh, queries, 4, checks=899, comparisons=ALL)
    assert (found[1] == nearest(queries, points, 4, metric)[1]).mean() > 0.99


def values_of(lsh, x):
    """Of the functions of the first table: what they say of rows of `x`."""
    y = (x.astype(float) - lsh[CENTER]) @ lsh[DIRECTIONS].astype(float) - lsh[OFFSETS]
    return y[:, : len(lsh[MULTIPLIERS])]


@pytest.mark.parametrize(("family", "functions"), [("hyperplanes", 7), ("p-stable", 4)])
@pytest.mark.parametrize("probes", [1, 5, 20])
def test_the_cheapest_buckets_are_looked_into(rng, family, functions, probes):
    """All sets of steps, sorted: but that costs within a sixteenth may come in any order."""
    points, queries = clustered(rng, 1_500, 24), clustered(rng, 20, 24)
    lsh = build(points, functions=functions, family=family)
    reach = lsh[SETTINGS][1]
    _, ids = search(lsh, queries, 1_500, checks=1_499, probes=probes, comparisons=ALL)
    cells = np.clip(np.floor(values_of(lsh, points)), -reach, reach - 1)
    for y, found in zip(values_of(lsh, queries), ids, strict=True):
        own = np.clip(np.floor(y), -reach, reach - 1)
        steps = np.array(list(itertools.product((-1, 0, 1), repeat=functions)))
        steps = steps[((own + steps >= -reach) & (own + steps < reach)).all(axis=1)]
        off = np.where(steps < 0, y - own, 1 - (y - own))
        costs = ((steps != 0) * off**2).sum(axis=1)
        last = np.sort(costs)[min(probes, len(costs)) - 1]
        of_bucket = dict(zip(map(tuple, own + steps), costs, strict=True))
        of_point = np.array([of_bucket.get(tuple(cell), np.inf) for cell in cells])
        was_found = np.isin(np.arange(1_500), found)
        assert was_found[of_point < last * 15 / 16 - 1e-4].all()
        assert not was_found[of_point > last * 17 / 16 + 1e-4].any()


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1e-20, 0), (1e-3, 1000), (1e15, 1e15)])
def test_floats_are_compared_as_exact_search_does(rng, isa, scale, offset):
    points = (clustered(rng, 800, 40, np.float64) * scale + offset).astype(np.float32)
    queries = points[:30] + np.float32(scale) * rng.normal(0, 9, (30, 40)).astype(np.float32)
    index = LSH(2).build(points)
    expected = Exact().build(points).search(queries, 7)
    assert_same(index.search(queries, 7, checks=None), expected)
    found = index.search(queries, 7, checks=400, rerank=200)
    assert (found.ids == expected.ids).mean() > 0.8


@pytest.mark.parametrize(("metric", "family"), EVERY)
@pytest.mark.parametrize("tables", [1, 4])
def test_recall_at_a_tenth_of_the_points(rng, metric, family, tables):
    points = drawn(np.random.default_rng(0), 20_000, metric)
    queries = drawn(np.random.default_rng(0), 20_000, metric)[:200]
    noise = rng.integers(0, 10, queries.shape, dtype=np.uint8)
    queries = (
        np.clip(queries.astype(int) + noise, 0, 255) if metric == "l2" else queries ^ (noise == 0)
    )
    queries = queries.astype(np.uint8)
    index = LSH(tables, metric=metric, family=family).build(points)
    exact = Exact(metric).build(points).search(queries, 1)
    found = index.search(queries, 1, checks=2_000)
    assert (found.distances == exact.distances).mean() > 0.9


@pytest.mark.parametrize("tables", [1, 3])
def test_more_checks_find_more(rng, tables):
    points = clustered(rng, 5_000, 32, clusters=5)
    queries = clustered(rng, 100, 32, clusters=5)
    index = LSH(tables).build(points)
    exact = Exact().build(points).search(queries, 5)
    recalls = [
        (
            index.search(queries, 5, checks=c, rerank=5_000).distances <= exact.distances[:, -1:]
        ).mean()
        for c in (100, 400, 1_600, 4_999)
    ]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1]


@pytest.mark.parametrize(("metric", "family"), EVERY)
def test_same_bits_for_every_instruction_set_and_thread_count(rng, isa, threads, metric, family):
    points, queries = drawn(rng, 4_000, metric), drawn(rng, 100, metric)
    sets = [points, points.astype(np.float32)] if metric == "l2" else [points]
    for x in sets:
        _core.use_isa("scalar")
        expected = build(x, 2, family=family, bits=metric == "hamming")
        wanted = search(expected, queries.astype(x.dtype), 5, checks=300, comparisons=20)
        _core.use_isa(isa)
        lsh = build(x, 2, family=family, bits=metric == "hamming", threads=threads)
        assert_same(lsh, expected)
        found = search(lsh, queries.astype(x.dtype), 5, checks=300, comparisons=20, threads=threads)
        assert_same(found, wanted)


@pytest.mark.parametrize("tables", [1, 4])
def test_checks_and_probes_bound_what_is_looked_at_and_no_point_comes_twice(rng, tables):
    points = clustered(rng, 3_000, 20)
    lsh = build(points, tables, functions=8)
    largest = np.diff(lsh[SLOTS][:, :, 1].astype(np.int64)).max()  # bucket
    for checks in (1, 100, 1_000):
        _, ids = search(lsh, points[:50], 3_000, checks=checks, comparisons=ALL)
        _, few = search(lsh, points[:50], 5, checks=checks, comparisons=ALL)
        assert (few[:, : min(checks, 5)] >= 0).all()
        for row in ids:
            found = row[row >= 0]
            assert checks <= len(found) <= checks + (largest if tables > 1 else 0)
            assert len(np.unique(found)) == len(found)
    _, ids = search(lsh, points[:50], 3_000, checks=2_999, probes=1, comparisons=ALL)
    slots = lsh[SLOTS][0, :, 1]
    assert set((ids >= 0).sum(axis=1)) <= set(np.diff(slots)) | {0}
    assert (ids[:, 0] >= 0).all()  # a point is in the bucket of its equal


def test_a_query_far_from_all_looks_at_all(rng):
    points = clustered(rng, 2_000, 16, np.float32)
    far = np.full((3, 16), -1e6, np.float32)
    for family in ("hyperplanes", "p-stable"):
        index = LSH(bits=20, family=family).build(points)
        found = index.search(far, 5, checks=500, rerank=2_000)
        assert (found.ids >= 0).all()
        assert (index.search(far, 5, checks=500, probes=1).ids == -1).any()


@pytest.mark.parametrize("tables", [1, 2])
def test_only_rows_alive_are_found(rng, isa, tables):
    points = clustered(rng, 500, 20)
    rows = np.flatnonzero(rng.random(500) < 0.1)
    bits = np.zeros(512, np.uint8)
    bits[rows] = 1
    alive = np.packbits(bits, bitorder="little").view(np.uint64)
    expected_distances, expected = nearest(points[:20], points[rows], 60)
    expected = np.where(expected < 0, -1, rows[expected])
    lsh = build(points, tables)
    assert_same(search(lsh, points[:20], 60, alive=alive), (expected_distances, expected))
    _, ids = search(lsh, points[:20], 60, checks=400, comparisons=ALL, alive=alive)
    assert np.isin(ids, [*rows, -1]).all()
    assert (ids >= 0).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("family", ["hyperplanes", "p-stable"])
@pytest.mark.parametrize("n", [1, 20_000])
def test_equal_points(isa, n, dtype, family):
    points = np.full((n, 24), 9, dtype)
    index = LSH(2, family=family).build(points)
    found = index.search(points[:1], 4, checks=100)
    assert (found.distances[:, : min(n, 4)] == 0).all()
    assert (found.ids[:, min(n, 4) :] == -1).all()
    assert len(np.unique(found.ids)) == min(n, 4) + (n < 4)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 9), st.integers(1, 4),
    st.integers(1, 32), st.integers(1, 3), st.sampled_from(EVERY),
)  # fmt: skip
def test_few_values_and_many_ties_are_exact(seed, n, dims, values, functions, tables, kind):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, values, (n, dims), dtype=np.uint8) * np.uint8(80)
    metric, family = kind
    lsh = build(points, tables, functions, 2, family, metric == "hamming", seed=seed)
    _core.check_lsh(lsh)
    queries = points[: min(n, 5)]
    expected = nearest(queries, points, 10, metric)
    assert_same(search(lsh, queries, 10), expected)
    distances, ids = search(lsh, queries, 10, checks=max(n - 1, 1), comparisons=ALL)
    found = ids >= 0
    every = nearest(queries, points, n, metric)
    for i in range(len(queries)):
        of_row = dict(zip(every[1][i], every[0][i], strict=True))
        assert [of_row[row] for row in ids[i, found[i]]] == distances[i, found[i]].tolist()


def test_memory(rng):
    points = clustered(rng, 50_000, 128)
    for tables in (1, 2):
        stats = LSH(tables).build(points).stats()
        assert stats.other_bytes < tables * 21 * 50_000 + 128 * 4 * (160 + 32)


def damaged(lsh, which, place, value):
    arrays = [array.copy() for array in lsh]
    arrays[which].reshape(-1)[place] = value
    return tuple(arrays)


@pytest.mark.parametrize(
    ("which", "place", "value", "says"),
    [
        (SLOTS, 1, 1, "buckets"),
        (SLOTS, 31, 10**9, "buckets"),
        (SLOTS, -1, 999, "buckets"),
        (ROWS, 5, 1_000, "row"),
        (ROWS, slice(2), 7, "twice"),
        (ORDERS, 5, 1_000, "place"),
        (SETTINGS, 0, 24, "sketch"),
        (SETTINGS, 0, 64, "fit"),
        (SETTINGS, 1, 0, "cells"),
        (SETTINGS, 2, 1, "fit"),
    ],
)
def test_damage_is_an_error(rng, which, place, value, says):
    lsh = build(clustered(rng, 1_000, 8), tables=2)
    with pytest.raises(ValueError, match=f"damaged LSH tables: .*{says}"):
        _core.check_lsh(damaged(lsh, which, place, value))


def test_a_directory_without_an_empty_place_is_an_error(rng):
    lsh = list(build(clustered(rng, 1_000, 8)))
    places = lsh[SLOTS].shape[1]
    lsh[SLOTS] = lsh[SLOTS].copy()
    lsh[SLOTS][0, :, 1] = np.append(np.arange(places - 1), 1_000)
    with pytest.raises(ValueError, match="empty"):
        _core.check_lsh(tuple(lsh))


@pytest.mark.parametrize("which", range(1, 10))
def test_an_array_of_another_size_is_an_error(rng, which):
    lsh = list(build(clustered(rng, 1_000, 8), tables=2))
    axis = 1 if which in (SLOTS, ORDERS, PANELS) else 0
    lsh[which] = np.ascontiguousarray(np.delete(lsh[which], -1, axis))
    with pytest.raises(ValueError, match=r"damaged|shapes"):
        _core.check_lsh(tuple(lsh))


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from(EVERY))
def test_a_flipped_bit_is_an_error_or_harmless(seed, which, kind):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 256, (200, 6), dtype=np.uint8)
    metric, family = kind
    lsh = [array.copy() for array in build(points, 2, 4, 4, family, metric == "hamming")]
    bytes_ = lsh[which].reshape(-1).view(np.uint8)
    bytes_[rng.integers(len(bytes_))] ^= 1 << rng.integers(8)
    try:
        _core.check_lsh(tuple(lsh))
    except ValueError:
        return
    _, ids = search(tuple(lsh), points[:5], 10, checks=150, comparisons=50)
    assert ids.min() >= -1
    assert ids.max() < 200


def test_numbers_that_are_none_in_a_file_are_harmless(rng):
    for value in (np.nan, np.inf, -np.inf, 3e38):
        for which in (CENTER, DIRECTIONS, OFFSETS):
            lsh = build(clustered(rng, 300, 8))
            lsh[which][...] = value
            _core.check_lsh(lsh)
            _, ids = search(lsh, lsh[0][:5], 3, checks=100)
            assert ids.max() < 300


def test_an_index_of_bits_is_saved_and_grows(rng, tmp_path):
    points, queries = clustered_bits(rng, 400), clustered_bits(rng, 9)
    for family in ("bits", "hyperplanes"):
        index = LSH(2, metric="hamming", family=family, random_state=3).build(points[:300])
        index.add(points[300:]).save(tmp_path / "index")
        opened = LSH.load(tmp_path / "index")
        assert (opened.metric, opened.family, opened.tables) == ("hamming", family, 2)
        expected = nearest(queries, points, 8, "hamming")
        assert_same(opened.search(queries, 8, checks=None), expected)
        assert_same(opened.search(queries, 8, checks=99), index.search(queries, 8, checks=99))
        within = opened.radius_search(queries, 60, checks=None)
        assert within.offsets[-1] == (nearest(queries, points, 400, "hamming")[0] <= 60).sum()


def test_a_file_of_another_metric_is_refused(rng, tmp_path):
    index = LSH().build(clustered(rng, 50, 4))
    index._metric = LSH(metric="hamming")._metric
    index.save(tmp_path / "index")
    with pytest.raises(IndexCorruptError, match="metric"):
        LSH.load(tmp_path / "index")


def test_what_does_not_fit_is_refused(rng):
    for arguments in (
        {"metric": "cosine"}, {"family": "bits"}, {"family": "planes"}, {"tables": 0}, {"bits": 33},
        {"width": 1.0}, {"family": "p-stable", "width": 0.0},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(reversed(arguments))):
            LSH(**arguments)
    points = clustered(rng, 100, 8)
    lsh = build(points)
    with pytest.raises(ValueError, match="columns"):
        search(lsh, points[:, :5].copy(), 1)
    with pytest.raises(ValueError, match="k must be positive"):
        search(lsh, points, 0)
    with pytest.raises(ValueError, match="alive"):
        search(lsh, points, 1, alive=np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="out of range"):
        build(points, functions=33)
    with pytest.raises(TypeError, match="another type"):
        search(lsh, points.astype(np.float32), 1)
    with pytest.raises(ValueError, match="checks"):
        LSH().build(points).search(points, checks=0)
    with pytest.raises(ValueError, match="uint8"):
        LSH(metric="hamming").build(points + 0.5)
