# SPDX-License-Identifier: Apache-2.0
"""The index of binary codes: what every index of neighbours does, for each of its methods."""

import numpy as np
import pytest

import reference
from test_neighbors_hamming import assert_same, near_codes, within
from trouvaille.errors import IndexCorruptError
from trouvaille.neighbors import Hamming, hamming
from trouvaille.neighbors.hamming import METHODS


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


def nearest(X, Q, k, ids=None):
    distances, rows = reference.nearest(reference.hamming_distances(Q, X), k)
    ids = np.arange(len(X)) if ids is None else np.asarray(ids)
    return distances, np.append(ids, -1)[rows]


@pytest.mark.parametrize("n_bytes", [1, 8, 16, 40])
@pytest.mark.parametrize("k", [1, 10, 3_000])
def test_finds_the_nearest(rng, method, threads, n_bytes, k):
    X, Q = near_codes(rng, 2_000, n_bytes), near_codes(rng, 20, n_bytes)
    index = Hamming(method).build(X, threads=threads)
    assert_same(index.search(Q, k, threads=threads), nearest(X, Q, k))
    distances = reference.hamming_distances(Q, X)
    for radius in (-1, 0, 2.5, 10, 1e9):
        assert_same(index.radius_search(Q, radius, threads=threads), within(distances, radius))


def test_points_are_added_and_removed(rng, method):
    X, Q = near_codes(rng, 900, 8), near_codes(rng, 20, 8)
    ids = rng.permutation(5_000)[:900]
    index = Hamming(method).build(X[:500], ids[:500]).add(X[500:], ids[500:])
    assert_same(index.search(Q, 9), nearest(X, Q, 9, ids))
    for gone in (200, 700):
        index.remove(ids[len(X) - len(index) : gone])
        assert len(index) == 900 - gone
        assert_same(index.search(Q, 300), nearest(X[gone:], Q, 300, ids[gone:]))
        offsets, near, rows = within(reference.hamming_distances(Q, X[gone:]), 14)
        assert_same(index.radius_search(Q, 14), (offsets, near, ids[gone:][rows]))
    index.remove(ids[700:])
    assert (index.search(Q, 3).ids == -1).all()
    assert len(index.radius_search(Q, 64).ids) == 0
    found = index.add(X).search(Q, 9)  # ids go on from the largest that ever was
    assert_same(found, nearest(X, Q, 9, np.arange(900) + ids.max() + 1))


@pytest.mark.parametrize("mmap", [False, True])
def test_a_saved_index_answers_as_before(rng, method, tmp_path, mmap):
    X, Q = near_codes(rng, 800, 8), near_codes(rng, 20, 8)
    index = Hamming(method).build(X)
    index.remove(range(0, 100, 3))
    index.save(tmp_path / "index")
    opened = Hamming.load(tmp_path / "index", mmap=mmap)
    assert opened.method == method
    assert opened.stats() == index.stats()
    assert_same(opened.search(Q, 9), index.search(Q, 9))
    opened.add(X)
    assert len(index) == len(X) - 34  # the other was not touched


def test_a_damaged_file_is_refused(rng, method, tmp_path):
    path = tmp_path / "index"
    Hamming(method).build(near_codes(rng, 50, 8)).save(path)
    whole = path.read_bytes()
    for at in [*range(0, len(whole), max(len(whole) // 100, 1)), len(whole) - 1]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IndexCorruptError):
            Hamming.load(path)


def test_all_codes_equal(method):
    X = np.full((5_000, 16), 7, np.uint8)
    found = Hamming(method).build(X).search(~X[:2], 3)
    assert_same(found, ([[128] * 3] * 2, [[0, 1, 2]] * 2))


def test_what_does_not_fit_is_refused(rng, method):
    X = near_codes(rng, 10, 8)
    index = Hamming(method).build(X)
    with pytest.raises(ValueError, match="8 columns"):
        index.search(X[:, :3])
    with pytest.raises(ValueError, match="uint8"):
        index.search(X + 0.5)
    with pytest.raises(ValueError, match="uint8"):
        Hamming(method).build(X - 300.0)
    with pytest.raises(ValueError, match="k must"):
        index.search(X, 0)
    with pytest.raises(ValueError, match="NaN"):
        index.radius_search(X, np.nan)
    with pytest.raises(ValueError, match="build it"):
        Hamming(method).search(X)
    with pytest.raises(ValueError, match=r"one of auto.*'hashes'"):
        Hamming("hashes")
    assert index.search(X[:0], 3).ids.shape == (0, 3)


def test_the_automatic_method_is_by_size(rng, monkeypatch):
    monkeypatch.setattr(hamming, "_LEAST_POINTS", 500)
    for n, n_bytes, tables in ((500, 8, 8), (499, 8, 0), (500, 9, 0)):
        X, Q = near_codes(rng, n, n_bytes), near_codes(rng, 9, n_bytes)
        index = Hamming().build(X)
        assert len(index._state.arrays["rows"]) == tables
        assert_same(index.search(Q, 5), nearest(X, Q, 5))


def test_tables_of_too_much_memory_are_not_built(rng):
    long = rng.integers(0, 256, (50, 256), dtype=np.uint8)
    short = rng.integers(0, 256, (50, 16), dtype=np.uint8)
    for codes, has_tables in ((long, False), (short, True)):
        index = Hamming("multi-index").build(codes)
        stats = index.stats()
        assert (stats.bytes_a_point > codes.shape[1]) == has_tables
        assert stats.bytes_a_point < 40 * codes.shape[1] + 100_000
        np.testing.assert_array_equal(index.search(codes, 1).ids[:, 0], np.arange(50))
