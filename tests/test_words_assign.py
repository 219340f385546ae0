# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import interrupts
import reference
from trouvaille import _core
from trouvaille.words import Neighbors, assign

DIMS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 127, 128, 129, 512]
KINDS = [np.uint8, np.float32]


def rows(rng, n, dims, dtype):
    """Random rows, a third of them copies of others, so that there are ties."""
    x = rng.integers(0, 256, (n, dims)).astype(dtype)
    if dtype == np.float32:
        x += rng.standard_normal((n, dims), dtype=np.float32)
    return x[rng.integers(0, max(1, 2 * n // 3), n)] if n else x


def check(actual, X, words):
    """Equal to the reference; distances of floats within the tolerance that assign states."""
    exact = reference.squared_distances(X, words)
    k = actual.ids.shape[1]
    distances, ids = reference.nearest(exact, k)
    assert actual.ids.dtype == np.int64
    if X.dtype == np.uint8:
        assert actual.distances.dtype == np.int32
        np.testing.assert_array_equal(actual.distances, distances)
        np.testing.assert_array_equal(actual.ids, ids)
        return
    assert actual.distances.dtype == np.float32
    tolerance = (X.shape[1] / 16 + 8) * 2.0**-24
    np.testing.assert_allclose(actual.distances, distances, rtol=tolerance)
    found = actual.ids[:, : min(k, len(words))]
    assert all(len(set(row)) == len(row) for row in found.tolist())
    by_id = np.take_along_axis(exact, found, axis=1)
    np.testing.assert_allclose(actual.distances[:, : found.shape[1]], by_id, rtol=tolerance)
    here, after = actual.distances[:, :-1], actual.distances[:, 1:]
    assert ((here < after) | (actual.ids[:, :-1] < actual.ids[:, 1:]) | (after == np.inf)).all()


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_equals_reference_for_every_length(rng, isa, dtype, dims, k):
    X, words = rows(rng, 31, dims, dtype), rows(rng, 150, dims, dtype)
    check(assign(X, words, k, threads=1), X, words)


# Around the sizes of a register tile, a panel and a block on each instruction set.
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("n_queries", [1, 5, 6, 7, 11, 12, 13, 191, 192, 193, 400])
@pytest.mark.parametrize("n_words", [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129])
def test_equals_reference_around_every_boundary(rng, isa, dtype, n_queries, n_words):
    X, words = rows(rng, n_queries, 6, dtype), rows(rng, n_words, 6, dtype)
    check(assign(X, words, 2, threads=2), X, words)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("k", [1, 3, 100, 299, 300, 301, 1000])
def test_any_k_and_any_number_of_threads(rng, isa, threads, dtype, k):
    X, words = rows(rng, 500, 20, dtype), rows(rng, 300, 20, dtype)
    check(assign(X, words, k, threads=threads), X, words)


@pytest.mark.parametrize("dtype", KINDS)
def test_many_slices_of_the_words(rng, isa, threads, dtype):
    """More words than are packed at once, and more queries than a wave."""
    words = rng.integers(0, 256, (21_000, 64)).astype(dtype)
    X = words[rng.permutation(21_000)[:700]]
    nearest = assign(X, words, 3, threads=threads)
    check(Neighbors(nearest.distances[:40], nearest.ids[:40]), X[:40], words)
    assert (nearest.distances[:, 0] == 0).all()
    many = assign(np.tile(X[:, :8], (20, 1)), words[:50, :8], threads=threads)
    assert (many.ids.reshape(20, 700) == many.ids[:700, 0]).all()
    check(Neighbors(many.distances[:700], many.ids[:700]), X[:, :8].copy(), words[:50, :8].copy())


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("k", [1, 4])
def test_ties_go_to_the_smaller_id(isa, dtype, k):
    words = np.full((200, 9), 7, dtype)
    nearest = assign(np.full((20, 9), 9, dtype), words, k)
    assert (nearest.ids == np.arange(k)).all()
    assert (nearest.distances == 36).all()


@pytest.mark.parametrize("dims", [4, 129, 3000])
@pytest.mark.parametrize(("x", "w"), [(0, 0), (255, 255), (0, 255), (255, 0)])
def test_extreme_bytes_do_not_saturate(isa, dims, x, w):
    X, words = np.full((7, dims), x, np.uint8), np.full((70, dims), w, np.uint8)
    nearest = assign(X, words, 2)
    assert (nearest.distances == dims * (x - w) ** 2).all()
    assert (nearest.ids == [0, 1]).all()


def test_longest_rows_of_bytes(isa):
    dims = _core.max_byte_dims
    words = np.zeros((3, dims), np.uint8)
    words[1] = 255
    words[2] = 254
    X = np.stack([words[1], words[0]])
    nearest = assign(X, words, 3)
    assert nearest.ids.tolist() == [[1, 2, 0], [0, 2, 1]]
    far, near = dims * 255**2, dims * 254**2
    assert nearest.distances.tolist() == [[0, dims, far], [0, near, far]]
    wider = np.zeros((1, dims + 1), np.uint8)
    with pytest.raises(ValueError, match="32768"):
        assign(wider, wider)
    assert assign(wider.astype(np.float32), wider).distances[0, 0] == 0


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("n", [0, 5])
@pytest.mark.parametrize("m", [0, 5])
@pytest.mark.parametrize("dims", [0, 3])
def test_empty_sets(isa, dtype, n, m, dims):
    distances, ids = assign(np.zeros((n, dims), dtype), np.zeros((m, dims), dtype), 7)
    assert distances.shape == ids.shape == (n, 7)
    assert (distances[:, :m] == 0).all()
    assert (ids[:, :m] == np.arange(m)).all()
    assert (ids[:, m:] == -1).all()
    assert (distances[:, m:] == (np.iinfo(np.int32).max if dtype == np.uint8 else np.inf)).all()


def test_floats_are_the_same_bits_on_every_instruction_set(rng):
    X = rng.standard_normal((300, 77), dtype=np.float32)
    words = rng.standard_normal((1000, 77), dtype=np.float32)
    found = []
    for name in _core.isas():
        _core.use_isa(name)
        found.append(assign(X, words, 4))
    _core.reset_isa()
    for other in found[1:]:
        np.testing.assert_array_equal(other.distances, found[0].distances)
        np.testing.assert_array_equal(other.ids, found[0].ids)


def test_floats_far_from_the_origin_keep_their_order(rng, isa):
    """Where q.w - |w|^2 / 2 in float32 knows nothing of the distances."""
    words = (rng.standard_normal((300, 16)) + 10_000).astype(np.float32)
    X = (rng.standard_normal((50, 16)) + 10_000).astype(np.float32)
    check(assign(X, words, 3), X, words)


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e-15, 1e15, 1e18])
def test_floats_of_any_scale(rng, isa, scale):
    words = (rng.standard_normal((100, 5)) * scale).astype(np.float32)
    X = words[::3]
    nearest = assign(X, words)
    assert (nearest.distances == 0).all()
    if scale > 1e-16:  # smaller squares are denormal or zero, and then everything ties
        assert (nearest.ids[:, 0] == np.arange(100)[::3]).all()
        check(assign(X + X[::-1], words, 2), X + X[::-1], words)


def test_distances_beyond_float32_are_infinite(isa):
    words = np.float32([[3e38], [-3e38], [1e38]])
    nearest = assign(np.float32([[3e38]]), words, 4)
    assert nearest.ids.tolist() == [[0, 1, 2, -1]]
    assert nearest.distances.tolist() == [[0, np.inf, np.inf, np.inf]]


def test_near_ties_of_floats_are_decided_by_the_distance_returned(rng, isa):
    """Rows one unit in the last place apart: the smallest float32 distance wins, exactly."""
    base = rng.standard_normal(64).astype(np.float32)
    steps = rng.integers(-2, 3, (500, 64)).astype(np.float32)
    words = (base + steps * np.spacing(base)).astype(np.float32)
    X = (base + rng.integers(-2, 3, (20, 64)) * np.spacing(base)).astype(np.float32)
    check(assign(X, words, 5), X, words)


def test_bytes_and_floats_mix_as_floats(rng, isa):
    X, words = rows(rng, 9, 33, np.uint8), rows(rng, 40, 33, np.uint8)
    exact, mixed = assign(X, words, 3), assign(X, words.astype(np.float64), 3)
    assert mixed.distances.dtype == np.float32
    np.testing.assert_array_equal(mixed.distances, exact.distances)
    np.testing.assert_array_equal(mixed.ids, exact.ids)


def test_accepts_views_without_changing_them(rng, isa):
    words = rows(rng, 80, 40, np.uint8)
    X = words[::-2, ::2]
    before = words.copy()
    X.flags.writeable = False
    check(assign(X, words[:, ::2], 2), X, words[:, ::2])
    np.testing.assert_array_equal(words, before)


byte_matrices = st.integers(1, 40).flatmap(
    lambda dims: st.tuples(
        *(hnp.arrays(np.uint8, st.tuples(st.integers(1, 90), st.just(dims))) for _ in range(2))
    )
)


@given(byte_matrices, st.integers(1, 6))
@settings(deadline=None)
def test_laws_of_bytes(pair, k):
    X, words = pair
    check(assign(X, words, k), X, words)
    one, more = assign(X, words, k), assign(X, words, k + 1)
    np.testing.assert_array_equal(one.ids, more.ids[:, :k])  # a larger k only adds
    itself = assign(words, words)
    assert (itself.distances == 0).all()
    # A query's answer does not depend on its company.
    np.testing.assert_array_equal(assign(X[-1:], words, k).ids, one.ids[-1:])


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 60), st.just(3)),
        elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
    )
)
@settings(deadline=None)
def test_laws_of_floats(words):
    nearest = assign(words, words, 2)
    assert (nearest.distances[:, 0] == 0).all()
    first = [next(j for j, w in enumerate(words) if np.array_equal(w, x)) for x in words]
    close = np.array([((words - x).astype(np.float32) ** 2).sum() == 0 for x in words])
    assert all(nearest.ids[i, 0] <= first[i] for i in np.flatnonzero(close))
    exact = reference.squared_distances(words, words)
    np.testing.assert_allclose(
        nearest.distances, reference.nearest(exact, 2)[0], rtol=1e-6, atol=1e-37
    )


@pytest.mark.parametrize(
    ("X", "words", "options", "error", "message"),
    [
        (np.zeros(4), np.zeros((2, 4)), {}, ValueError, "X must be 2-D"),
        (np.zeros((2, 4)), np.zeros((2, 5)), {}, ValueError, "words must have the 4 columns"),
        (np.full((2, 4), np.nan), np.zeros((2, 4)), {}, ValueError, "X must be finite"),
        (np.zeros((2, 4)), np.full((2, 4), np.inf), {}, ValueError, "words must be finite"),
        (np.full((1, 1), 0.1), np.zeros((1, 1)), {}, ValueError, "do not fit exactly"),
        (np.zeros((2, 4), complex), np.zeros((2, 4)), {}, TypeError, "X must hold"),
        (np.zeros((2, 4)), np.zeros((2, 4), object), {}, TypeError, "words must hold"),
        (np.zeros((2, 4)), np.zeros((2, 4)), {"k": 0}, ValueError, "k must be between"),
        (np.zeros((2, 4)), np.zeros((2, 4)), {"k": 1.5}, TypeError, "k must be a whole"),
        (np.zeros((2, 4)), np.zeros((2, 4)), {"threads": 0}, ValueError, "threads"),
    ],
)
def test_says_what_is_wrong(X, words, options, error, message):
    with pytest.raises(error, match=message):
        assign(X, words, **options)


@pytest.mark.parametrize("dtype", KINDS)
def test_interrupt_within_200_milliseconds(rng, isa, dtype):
    X = rng.integers(0, 256, (80_000, 128)).astype(dtype)
    words = rng.integers(0, 256, (100_000, 128)).astype(dtype)  # seconds of work
    assert interrupts.seconds_to_stop(lambda: assign(X, words)) < interrupts.LIMIT
