# SPDX-License-Identifier: Apache-2.0
"""Exact neighbours: what sorting all distances gives, by every metric and of every dtype."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from trouvaille import _core
from trouvaille.errors import IndexCorruptError
from trouvaille.neighbors import Exact

METRICS = ("l2", "ip", "l1", "hamming")
KINDS = [(m, d) for m in METRICS for d in ("uint8", "float32", "float16")][:-2]  # bits are bytes


@pytest.fixture(params=KINDS, ids=" of ".join)
def kind(request):
    return request.param


def query_type(dtype):
    return "float32" if dtype == "float16" else dtype


def whole_numbers(rng, shape, dtype, limit=256):
    """Numbers whose products any of the dtypes sums exactly."""
    if dtype == "uint8":
        return rng.integers(0, limit, shape, dtype=np.uint8)
    return rng.integers(-limit // 16, limit // 16 + 1, shape).astype(dtype)


def fractions(rng, shape, dtype="float32"):
    return rng.normal(size=shape).astype(dtype)


def key(distances, metric):
    return -distances if metric == "ip" else distances


def nearest(distances, k, metric):
    rows = np.argsort(key(distances, metric), axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(distances, rows, axis=1)
    pad = ((0, 0), (0, k - rows.shape[1]))
    return found, np.pad(rows, pad, constant_values=-1)


def assert_found(found, distances, k, metric):
    expected, rows = nearest(distances, k, metric)
    np.testing.assert_array_equal(found.ids, rows)
    kept = expected.shape[1]
    np.testing.assert_array_equal(found.distances[:, :kept], expected)
    limits = {"i": (-(2**31), 2**31 - 1), "f": (-np.inf, np.inf)}[found.distances.dtype.kind]
    missing = limits[metric != "ip"]
    assert (found.distances[:, kept:] == missing).all()


def assert_within(found, distances, radius, metric):
    near = distances >= radius if metric == "ip" else distances <= radius
    np.testing.assert_array_equal(np.diff(found.offsets), near.sum(axis=1))
    for i, own in enumerate(near):
        part = slice(found.offsets[i], found.offsets[i + 1])
        rows = np.flatnonzero(own)
        rows = rows[np.argsort(key(distances[i, rows], metric), kind="stable")]
        np.testing.assert_array_equal(found.ids[part], rows)
        np.testing.assert_array_equal(found.distances[part], distances[i, rows])


# Around 8 queries, where points begin to be packed, and panels of 8 to 64 rows; a small limit
# makes ties.
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 7, 16, 17, 70, 130]),
    st.sampled_from([1, 7, 8, 13, 30]),
    st.integers(1, 200),
    st.integers(1, 210),
    st.sampled_from([16, 32, 256]),
)
@settings(max_examples=30)
def test_equals_sorting_all_distances(isa, kind, seed, n_dims, n_queries, n, k, limit):
    metric, dtype = kind
    rng = np.random.default_rng(seed)
    X = whole_numbers(rng, (n, n_dims), dtype, limit)
    Q = whole_numbers(rng, (n_queries, n_dims), query_type(dtype), limit)
    distances = reference.neighbor_distances(Q, X, metric)
    index = Exact(metric).build(X)
    assert_found(index.search(Q, k), distances, k, metric)
    for radius in (np.median(distances), distances.min() - 0.5, distances.max() + 1):
        assert_within(index.radius_search(Q, radius), distances, radius, metric)


@pytest.mark.parametrize("metric", ["l2", "ip", "l1"])
@pytest.mark.parametrize("n_dims", [3, 16, 100])
def test_sums_of_fractions_have_one_order(isa, rng, metric, n_dims):
    X, Q = fractions(rng, (150, n_dims), "float16"), fractions(rng, (20, n_dims))
    wide = X.astype(np.float32)
    # A database of one row cannot prefer another: its distance is taken as it is.
    one_by_one = [Exact(metric).build(wide[i : i + 1]).search(Q, 1).distances for i in range(150)]
    distances = np.hstack(one_by_one)
    exact = reference.neighbor_distances(Q.astype(float), wide.astype(float), metric)
    size = np.linalg.norm(Q, axis=1)[:, None] * np.linalg.norm(wide, axis=1)
    bound = (n_dims / 16 + 8) * 2.0**-24 * (size if metric == "ip" else exact)
    assert (np.abs(distances - exact) <= bound).all()
    for points in (X, wide):
        index = Exact(metric).build(points)
        assert_found(index.search(Q, 12), distances, 12, metric)
        for i in range(3):  # by itself a query is compared with rows as they lie
            assert_found(index.search(Q[i : i + 1], 12), distances[i : i + 1], 12, metric)
        radius = float(np.median(distances))
        assert_within(index.radius_search(Q, radius), distances, radius, metric)


@pytest.mark.parametrize("n_queries", [5, 400])
def test_the_same_bits_on_every_processor(rng, kind, n_queries):
    metric, dtype = kind
    draw = whole_numbers if dtype == "uint8" else fractions
    X, Q = draw(rng, (3000, 37), dtype), draw(rng, (n_queries, 37), query_type(dtype))
    index = Exact(metric).build(X)
    expected = index.search(Q, 9, threads=1)
    within = index.radius_search(Q, float(np.median(expected.distances)), threads=1)
    try:
        for name in _core.isas():
            _core.use_isa(name)
            for n_threads in (1, 3):
                found = index.search(Q, 9, threads=n_threads)
                for a, b in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(a, b)
                radius = float(np.median(expected.distances))
                found = index.radius_search(Q, radius, threads=n_threads)
                for a, b in zip(found, within, strict=True):
                    np.testing.assert_array_equal(a, b)
    finally:
        _core.reset_isa()


@pytest.mark.parametrize("mmap", [False, True])
def test_a_saved_index_keeps_its_metric_and_dtype(rng, tmp_path, kind, mmap):
    metric, dtype = kind
    X = whole_numbers(rng, (50, 9), dtype)
    Q = whole_numbers(rng, (11, 9), query_type(dtype))
    index = Exact(metric).build(X, np.arange(50) * 3)
    index.save(tmp_path / "index")
    opened = Exact.load(tmp_path / "index", mmap=mmap)
    assert opened.metric == metric
    assert opened.stats() == index.stats()
    assert opened.stats().dtype == dtype
    for a, b in zip(opened.search(Q, 60), index.search(Q, 60), strict=True):
        np.testing.assert_array_equal(a, b)


def test_points_come_and_go(rng, kind):
    metric, dtype = kind
    X = whole_numbers(rng, (60, 9), dtype)
    Q = whole_numbers(rng, (11, 9), query_type(dtype))
    index = Exact(metric).build(X[:40]).add(X[40:])
    index.remove(np.arange(10))
    found = index.search(Q, 70)
    expected, rows = nearest(reference.neighbor_distances(Q, X[10:], metric), 70, metric)
    np.testing.assert_array_equal(found.ids, np.where(rows < 0, -1, rows + 10))
    np.testing.assert_array_equal(found.distances[:, :50], expected)
    index.remove(np.arange(10, 60))
    found = index.search(Q, 2)
    assert (found.ids == -1).all()
    assert_found(found, np.empty((11, 0)), 2, metric)
    assert index.radius_search(Q, 0).offsets.tolist() == [0] * 12


def test_a_radius_is_not_rounded():
    X = np.float32([[1.0], [0.1]])
    index = Exact("l1").build(X)
    assert index.radius_search(np.float32([[0]]), 0.1).ids.tolist() == []  # float32 of it is more
    assert index.radius_search(np.float32([[0]]), float(np.float32(0.1))).ids.tolist() == [1]
    index = Exact("ip").build(X)
    assert index.radius_search(np.float32([[1]]), 0.1).ids.tolist() == [0, 1]
    assert index.radius_search(np.float32([[1]]), 0.1000001).ids.tolist() == [0]
    index = Exact().build(np.uint8([[0], [255]]))
    assert index.radius_search(np.uint8([[0]]), 1e300).ids.tolist() == [0, 1]
    assert index.radius_search(np.uint8([[0]]), -1e300).ids.tolist() == []


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
@pytest.mark.parametrize("metric", ["l2", "ip", "l1"])
@pytest.mark.parametrize("n_queries", [1, 5, 9])
def test_ties_of_slices_that_end_in_any_order(metric, dtype, n_queries):
    X = np.full((40_000, 8), 7, dtype)
    index = Exact(metric).build(X)
    for _ in range(10):
        found = index.search(X[:n_queries], 3, threads=4)
        np.testing.assert_array_equal(found.ids, np.tile([0, 1, 2], (n_queries, 1)))


@pytest.mark.parametrize("metric", ["l2", "l1"])
@pytest.mark.parametrize("n_queries", [1, 20])
def test_distances_that_overflow_are_infinite(isa, metric, n_queries):
    X = np.float32([[3e38, 3e38], [1, 0], [-3e38, 0]])
    found = Exact(metric).build(X).search(np.tile(np.float32([[-3e38, 0]]), (n_queries, 1)), 4)
    assert found.ids[:, 0].tolist() == [2] * n_queries
    assert found.distances[:, 0].tolist() == [0] * n_queries
    assert (found.distances[:, 2:] == np.inf).all()
    assert (np.sort(found.ids, axis=1) == [-1, 0, 1, 2]).all()


@pytest.mark.parametrize("metric", ["l2", "l1", "hamming"])
def test_a_ratio_search_refuses_what_has_a_rival(rng, metric):
    X, Q = whole_numbers(rng, (40, 6), "uint8"), whole_numbers(rng, (200, 6), "uint8")
    Q[:40] = X
    index = Exact(metric).build(X, np.arange(40) + 7)
    distances, rows = nearest(reference.neighbor_distances(Q, X, metric), 2, metric)
    for ratio in (0, 0.5, 0.8, 1):
        plain = np.sqrt(distances) if metric == "l2" else distances
        taken = plain[:, 0] < ratio * plain[:, 1]
        found = index.ratio_search(Q, ratio)
        np.testing.assert_array_equal(found.ids, np.where(taken, rows[:, 0] + 7, -1))
        missing = np.iinfo(np.int32).max
        np.testing.assert_array_equal(found.distances, np.where(taken, distances[:, 0], missing))


def test_a_ratio_search_of_few_points():
    X = np.float32([[1, 2], [1, 2]])
    assert Exact().build(X).ratio_search(X, 1).ids.tolist() == [-1, -1]  # equal ones
    alone = Exact().build(X[:1]).ratio_search(X + 1)
    assert alone.ids.tolist() == [0, 0]
    assert alone.distances.tolist() == [2, 2]
    none = Exact().build(X[:0]).ratio_search(X)
    assert none.ids.tolist() == [-1, -1]
    assert none.distances.tolist() == [np.inf, np.inf]


def test_what_is_not_exact_is_refused():
    with pytest.raises(ValueError, match="metric must be one of l2, ip, l1, hamming"):
        Exact("cosine")
    with pytest.raises(ValueError, match="X must be finite"):
        Exact().build(np.float16([[np.inf]]))
    index = Exact().build(np.float16([[1, 2]]))
    with pytest.raises(ValueError, match="X must be float16"):
        index.add(np.float32([[1e5, 0]]))
    with pytest.raises(ValueError, match="X must be float16"):
        index.add(np.float32([[0.1, 0]]))
    assert index.search(np.float32([[1e5, 0]])).distances[0, 0] == np.float32(1e5 - 1) ** 2 + 4
    with pytest.raises(ValueError, match="Q must be finite"):
        index.search(np.float32([[np.nan, 0]]))
    with pytest.raises(ValueError, match="within 1e"):
        Exact("ip").build(np.float32([[-1e16]]))
    with pytest.raises(ValueError, match="within 1e"):
        Exact("ip").build(np.float32([[1]])).search(np.float32([[1e16]]))
    with pytest.raises(ValueError, match="X must be uint8"):
        Exact("hamming").build(np.float32([[0.5]]))
    with pytest.raises(ValueError, match="inner products"):
        Exact("ip").build(np.float32([[1]])).ratio_search(np.float32([[1]]))
    for ratio in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="ratio"):
            Exact().build(np.float32([[1]])).ratio_search(np.float32([[1]]), ratio)
    with pytest.raises(ValueError, match="radius"):
        index.radius_search(np.float32([[1, 1]]), np.nan)


def test_a_file_of_another_metric_is_refused(tmp_path):
    path = tmp_path / "index"
    Exact().build(np.zeros((2, 3), np.float32)).save(path)
    metadata, arrays = Exact._format.read(path, False)
    for metric, message in (("hamming", "no points"), ("cosine", "metric must be")):
        metadata["parameters"] = {"metric": metric}
        Exact._format.write(path, metadata, arrays)
        with pytest.raises(IndexCorruptError, match=message):
            Exact.load(path)
