# SPDX-License-Identifier: Apache-2.0
"""The points of k-means: in memory or mapped, in parts or as one, by Hellinger or as they are."""

import time
import tracemalloc

import numpy as np
import pytest

import reference
from clusterings import blobs, same
from trouvaille import _core
from trouvaille.words import KMeans, _points
from trouvaille.words._points import Points

KINDS = [np.uint8, np.float32]


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("algorithm", ["exact", "approximate"])
def test_parts_and_mapped_files_are_as_one_array(rng, tmp_path, dtype, algorithm):
    X = blobs(rng, 2000, 8, dtype)
    X[-50:] = X[0]
    np.save(tmp_path / "x.npy", X)
    whole = KMeans(70, algorithm=algorithm, iterations=4).fit(X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    same(KMeans(70, algorithm=algorithm, iterations=4).fit(mapped), whole)
    parts = [mapped[:1], mapped[1:1500], X[1500:1500], X[1500:]]
    same(KMeans(70, algorithm=algorithm, iterations=4, threads=3).fit(parts), whole)


def test_rows_of_many_parts(rng):
    X = rng.integers(0, 256, (900, 3), np.uint8)
    some = Points(np.split(X, np.sort(rng.integers(0, 900, 200))))
    for rows in (rng.integers(0, 900, 500), np.empty(0, np.int64), np.arange(899, -1, -1)):
        np.testing.assert_array_equal(some.at(rows), X[rows])


def test_rows_of_many_parts_do_not_take_parts_times_rows():
    part = np.zeros((1, 2), np.uint8)

    def seconds(parts):
        some, rows = Points([part] * parts), np.arange(parts)
        begin = time.perf_counter()
        some.at(rows)
        return time.perf_counter() - begin

    few, many = (min(seconds(parts) for _ in range(3)) for parts in (2_000, 20_000))
    assert many < 30 * few


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([9, 0, 11, 20, 1], [20, 20, 1]),
        ([5, 4, 60, 3, 2], [9, 20, 20, 20, 5]),
        ([20, 20], [20, 20]),
        ([21, 1], [20, 1, 1]),
        ([0, 40, 0], [20, 20]),
        ([0], []),
    ],
)
def test_small_parts_are_read_together(rng, monkeypatch, sizes, expected):
    monkeypatch.setattr(_points, "BLOCK", 20)
    X = rng.integers(0, 256, (sum(sizes), 3), np.uint8)
    points = _points.Points(np.split(X, np.cumsum(sizes)[:-1]))
    found = list(points.blocks())
    assert [len(block) for _, block in found] == expected
    for rows, block in found:
        np.testing.assert_array_equal(block, X[rows])
    assert [rows.start for rows, _ in found] == [0, *np.cumsum(expected)[:-1]][: len(found)]


def test_empty_clusters_are_repaired_across_parts():
    X = np.uint8([[0], [1], [9], [9], [20], [40]])
    distances, labels = (X[:, 0].astype(np.int32) - 1) ** 2, np.zeros(6, np.int64)
    one, two = labels.copy(), labels.copy()
    assert _core.repair_empty([X], False, distances, 4, one) == 3
    assert _core.repair_empty([X[:3], X[3:]], False, distances, 4, two) == 3
    np.testing.assert_array_equal(one, [0, 0, 3, 0, 2, 1])
    np.testing.assert_array_equal(two, one)


def test_parts_must_be_alike():
    X = np.zeros((3, 2), np.uint8)
    with pytest.raises(ValueError, match=r"one dtype and width, got float32 with 2.*uint8 with 2"):
        KMeans(1).fit([X, X.astype(np.float32)])
    with pytest.raises(ValueError, match="uint8 with 2 columns and uint8 with 3"):
        KMeans(1).fit([X, np.zeros((1, 3), np.uint8)])
    np.testing.assert_array_equal(KMeans(1).fit([[0, 0], [2, 4]]).cluster_centers_, [[1, 2]])


def test_hellinger_is_the_distance_of_roots(rng):
    X = blobs(rng, 1000, 16, np.uint8)
    X[3] = 0
    roots = reference.hellinger_roots(X)
    model = KMeans(20, metric="hellinger").fit(X)
    same(KMeans(20).fit(roots), model)
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_array_equal(model.predict([X[:7], X[7:]]), model.labels_)
    rest = KMeans(20, metric="hellinger").fit(X[:500]).partial_fit(X[500:])
    same(KMeans(20).fit(roots[:500]).partial_fit(roots[500:]), rest)
    with pytest.raises(ValueError, match="not be negative"):
        KMeans(1, metric="hellinger").fit([[1.0, -1.0]])


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("dims", [1, 3, 16, 37, 128])
def test_roots_on_every_instruction_set_and_thread_count(rng, dtype, dims):
    X = rng.integers(0, 256, (1500, dims)).astype(dtype) * (rng.random((1500, dims)) < 0.6)
    X = np.ascontiguousarray(X.astype(dtype))
    X[5] = 0
    if dtype == np.float32:
        X[7:9] *= np.float32([[1e-42], [1e35]])
    expected, found = reference.hellinger_roots(X), []
    for name in _core.isas():
        _core.use_isa(name)
        found += [_core.hellinger_roots(X, threads) for threads in (1, 3)]
    _core.reset_isa()
    for roots in found:
        assert roots.tobytes() == found[0].tobytes()
        np.testing.assert_allclose(roots, expected, rtol=0 if dtype == np.uint8 else 2e-7)
    lengths = np.linalg.norm(found[0].astype(np.float64), axis=1)
    assert found[0][5].max() == lengths[5] == 0
    if dtype == np.float32:
        np.testing.assert_allclose(lengths[lengths > 0], 1, rtol=1e-6)


def test_copies_are_copies_of_what_is_compared():
    X = np.uint8([[4, 0], [2, 2], [9, 9], [1, 3], [0, 7]])  # the second and third are one point
    distances, labels = np.int32([1, 9, 9, 4, 2]), np.zeros(5, np.int64)
    given, roots = labels.copy(), labels.copy()
    assert _core.repair_empty([X], False, distances, 4, given) == 3
    assert _core.repair_empty([X[:2], X[2:]], True, distances, 4, roots) == 3
    np.testing.assert_array_equal(given, [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(roots, [0, 1, 0, 2, 3])


@pytest.mark.parametrize("dtype", KINDS)
def test_hellinger_reads_mapped_files_by_blocks(rng, tmp_path, monkeypatch, dtype):
    X = blobs(rng, 40_000, 64, np.uint8).astype(dtype)
    np.save(tmp_path / "x.npy", X)
    whole = KMeans(30, metric="hellinger", iterations=2).fit(X)
    monkeypatch.setattr(_points, "BLOCK", 1000)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    model = KMeans(30, metric="hellinger", iterations=2)
    tracemalloc.start()
    model.fit([mapped[:100], mapped[100:]])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    same(model, whole)
    assert peak < X.nbytes / 2 + 28 * len(X)  # they are not converted all at once


def test_float_centers_of_bytes_are_not_rounded(rng):
    X = blobs(rng, 2000, 8, np.uint8)
    bytes_, floats = KMeans(30, iterations=3), KMeans(30, iterations=3, dtype="float32")
    bytes_.fit(X)
    floats.fit(X)
    assert floats.cluster_centers_.dtype == np.float32
    members = [X[bytes_.labels_ == c].mean(axis=0) for c in range(30)]
    np.testing.assert_allclose(floats.cluster_centers_, members, rtol=1e-6)
    expected = reference.squared_distances(X.astype(np.float32), floats.cluster_centers_)
    assert floats.inertia_ == pytest.approx(expected.min(axis=1).sum(), rel=1e-5)
    assert floats.inertia_ < bytes_.inertia_
    with pytest.raises(ValueError, match="dtype 'uint8' needs points that are bytes"):
        KMeans(2, dtype="uint8").fit(X.astype(np.float32))
