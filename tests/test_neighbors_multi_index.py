# SPDX-License-Identifier: Apache-2.0
"""Multi-index hashing: what a scan gives, bit for bit; damaged tables are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_neighbors_hamming import assert_same, bitmap, near_codes
from trouvaille import _core


def points_and_queries(rng, n, n_bytes):
    """Queries that are near some points, so that the tables answer; and some far from all."""
    X = near_codes(rng, n, n_bytes, flips=0.3)
    near = X[rng.integers(n, size=30)] ^ np.packbits(rng.random((30, 8 * n_bytes)) < 0.02, axis=1)
    return X, np.concatenate([near, near_codes(rng, 5, n_bytes, flips=0.5)])


@pytest.mark.parametrize(
    ("n_bytes", "tables"), [(1, 1), (1, 8), (2, 1), (3, 2), (3, 5), (8, 3), (8, 4), (8, 7), (13, 9)]
)
@pytest.mark.parametrize("share", [1, 0.6])
def test_finds_what_a_scan_finds(rng, isa, n_bytes, tables, share):
    X, Q = points_and_queries(rng, 30_000, n_bytes)
    alive = bitmap(rng.random(len(X)) < share) if share < 1 else np.empty(0, np.uint64)
    index = _core.build_multi_index(X, tables, 2)
    _core.check_multi_index(X, *index)
    for k in (1, 10, 300):
        expected = _core.hamming_neighbors(Q, X, k, 1, alive)
        assert_same(_core.search_multi_index(X, *index, Q, k, 2, alive), expected)
    for radius in (0, 1, 5, 8 * n_bytes):
        expected = _core.hamming_neighbors_within(Q, X, radius, 1, alive)
        found = _core.search_multi_index_within(X, *index, Q, radius, 2, alive)
        assert_same(found, expected)


def test_the_same_for_any_number_of_threads(rng, threads):
    X, Q = points_and_queries(rng, 30_000, 8)
    index = _core.build_multi_index(X, 4, threads)
    assert_same(index, _core.build_multi_index(X, 4, 1))
    expected = _core.hamming_neighbors(Q, X, 10, 1)
    assert_same(_core.search_multi_index(X, *index, Q, 10, threads), expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5_000), st.data())
def test_any_codes_and_tables(seed, n_bytes, n, data):
    tables = data.draw(st.integers(-(-n_bytes // 2), 8 * n_bytes))
    rng = np.random.default_rng(seed)
    X = rng.integers(0, data.draw(st.integers(1, 256)), (n, n_bytes), dtype=np.uint8)
    Q = X[:4] ^ np.uint8(data.draw(st.integers(0, 255)))
    index = _core.build_multi_index(X, tables, 1)
    _core.check_multi_index(X, *index)
    for k in (1, 7):
        expected = _core.hamming_neighbors(Q, X, k, 1)
        assert_same(_core.search_multi_index(X, *index, Q, k, 1), expected)


def test_tables_have_all_points_by_value(rng, threads):
    X = near_codes(rng, 3_000, 3)
    rows, codes, directories = _core.build_multi_index(X, 2, threads)
    values = X.astype(np.uint32) @ np.uint32([1, 256, 65_536])
    for t, value in enumerate((values & 4095, values >> 12)):
        np.testing.assert_array_equal(rows[t], np.argsort(value, kind="stable"))
        np.testing.assert_array_equal(codes[3_000 * t : 3_000 * (t + 1)], X[rows[t]])
        counts = np.bincount(value, minlength=4096)
        own = directories[4097 * t : 4097 * (t + 1)]
        np.testing.assert_array_equal(own, [0, *np.cumsum(counts)])


def test_advised_tables_have_about_log2_points_bits():
    assert _core.advised_tables(64, 1_000_000) == 4
    assert _core.advised_tables(16, 1_000_000) == 1
    assert _core.advised_tables(256, 2**25) == 11  # of at most 25 bits
    assert _core.advised_tables(64, 1) == 64
    assert _core.advised_tables(64, 2**31) == 3


def test_damaged_tables_are_refused(rng):
    X = near_codes(rng, 100, 2)
    rows, codes, directories = _core.build_multi_index(X, 2, 1)
    too_large = rows.copy()
    too_large[1, 5] = 100
    descending, short, long = directories.copy(), directories.copy(), directories.copy()
    descending[5] = 101
    short[256] -= 1
    long[-1] += 1
    with pytest.raises(ValueError, match="does not exist"):
        _core.check_multi_index(X, too_large, codes, directories)
    for damaged in (descending, short, long):
        with pytest.raises(ValueError, match="must ascend"):
            _core.check_multi_index(X, rows, codes, damaged)
    with pytest.raises(ValueError, match="place for each value"):
        _core.check_multi_index(X, rows, codes, directories[:-1].copy())
    with pytest.raises(ValueError, match="all points"):
        _core.check_multi_index(X[:-1].copy(), rows, codes, directories)
    with pytest.raises(ValueError, match="all codes"):
        _core.check_multi_index(X, rows, codes[:-1].copy(), directories)
    with pytest.raises(ValueError, match="a table for"):
        _core.check_multi_index(X, rows[:0].copy(), codes[:0].copy(), directories)


def test_what_the_binding_refuses(rng):
    X = near_codes(rng, 100, 8)
    for tables in (0, 2, 65):
        with pytest.raises(ValueError, match="tables"):
            _core.build_multi_index(X, tables, 1)
    index = _core.build_multi_index(X, 4, 1)
    with pytest.raises(ValueError, match="columns"):
        _core.search_multi_index(X, *index, X[:, :3].copy(), 1, 1)
    with pytest.raises(ValueError, match="k must be positive"):
        _core.search_multi_index(X, *index, X, 0, 1)
    with pytest.raises(ValueError, match="radius"):
        _core.search_multi_index_within(X, *index, X, -1, 1)
    with pytest.raises(ValueError, match="alive"):
        _core.search_multi_index(X, *index, X, 1, 1, np.zeros(1, np.uint64))
