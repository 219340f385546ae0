# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import interrupts
import reference
from trouvaille import _core
from trouvaille.geometry import match

KINDS = [np.uint8, np.float32]


def photos(rng, n, m, dims, values=256):
    """Two photos; half of the second's rows are noisy copies of the first's, some exact ones."""
    x = rng.integers(0, values, (n, dims))
    y = rng.integers(0, values, (m, dims))
    copies = min(n, m) // 2
    noise = rng.integers(-3, 4, (copies, dims)) * (rng.random((copies, 1)) < 0.8)
    y[:copies] = np.clip(x[rng.permutation(n)[:copies]] + noise, 0, values - 1)
    return x.astype(np.uint8), y.astype(np.uint8)


def as_list(found):
    assert found.matches.dtype == np.int32
    assert found.ratios.dtype == np.float32
    assert found.matches.shape == (len(found.distances), 2)
    return [
        (q, row, distance, ratio)
        for (q, row), distance, ratio in zip(
            found.matches.tolist(), found.distances.tolist(), found.ratios, strict=True
        )
    ]


@pytest.mark.parametrize("mutual", [True, False])
@pytest.mark.parametrize("dims", [1, 3, 4, 15, 16, 127, 128, 130])
def test_equals_reference_for_every_length(rng, isa, mutual, dims):
    x, y = photos(rng, 70, 150, dims)
    for ratio in (0.5, 0.8, 1.0):
        found = match(x, y, ratio, mutual, threads=1)
        assert as_list(found) == reference.match(x, y, ratio, mutual)
    assert len(found.matches) > 0
    assert found.distances.dtype == np.int32


# Around the sizes of a register tile, a panel and a block on each instruction set.
@pytest.mark.parametrize("n", [1, 3, 4, 5, 6, 7, 13, 191, 192, 193, 400])
@pytest.mark.parametrize("m", [1, 2, 15, 16, 17, 63, 64, 65, 129])
def test_equals_reference_around_every_boundary(rng, isa, n, m):
    for values in (4, 256):
        x, y = photos(rng, n, m, 6, values)
        assert as_list(match(x, y, 1.0, threads=2)) == reference.match(x, y, 1.0, True)


@pytest.mark.parametrize(("n", "m", "dims"), [(900, 21_000, 64), (12_500, 40, 8)])
def test_many_slices_and_many_waves(rng, isa, threads, n, m, dims):
    """More rows than are packed at once; more queries than a wave."""
    x, y = photos(rng, n, m, dims)
    found = match(x, y, 1.0, threads=threads)
    forward = _core.exact_neighbors(x, y, 1, 1)[1][:, 0]
    back = _core.exact_neighbors(y, x, 1, 1)[1][:, 0]
    expected = np.flatnonzero(back[forward] == np.arange(n))
    np.testing.assert_array_equal(found.matches[:, 0], expected)
    np.testing.assert_array_equal(found.matches[:, 1], forward[expected])
    assert len(expected) > min(n, m) // 4


@pytest.mark.parametrize("dtype", KINDS)
def test_ties_go_to_the_smaller_number(isa, threads, dtype):
    x = np.full((400, 9), 7, dtype)
    found = match(x, x[:300], 1.0, threads=threads)
    assert as_list(found) == [(0, 0, 0, 1)]
    every = match(x, x[:300], 1.0, mutual=False, threads=threads)
    assert every.matches.tolist() == [[q, 0] for q in range(400)]


@pytest.mark.parametrize("dims", [4, 129, 3000])
@pytest.mark.parametrize(("a", "b"), [(0, 255), (255, 0), (255, 255), (0, 0)])
def test_extreme_bytes_do_not_wrap(isa, dims, a, b):
    x, y = np.full((7, dims), a, np.uint8), np.full((70, dims), b, np.uint8)
    y[:, 0] = np.arange(70)
    x[:, 0] = np.arange(7)[::-1]
    found = match(x, y, 1.0)
    assert as_list(found) == reference.match(x, y, 1.0, True)


def test_longest_rows_of_bytes(isa):
    dims = _core.max_byte_dims
    x = np.zeros((2, dims), np.uint8)
    x[1] = 255
    y = 255 - x[::-1]
    y[1, 0] = 1
    assert as_list(match(x, y)) == reference.match(x, y, 0.8, True)
    far = match(x[:1], x[1:])  # the largest distance there is
    assert far.distances.tolist() == [dims * 255**2]
    assert far.matches.tolist() == [[0, 0]]
    wider = np.zeros((2, dims + 1), np.uint8)
    with pytest.raises(ValueError, match="query has 32769 columns"):
        match(wider, wider)
    as_floats = match(wider.astype(np.float32), wider.astype(np.float32), 1.0)
    assert as_floats.distances.dtype == np.float32


def test_ratio_is_of_distances_not_of_squares(isa):
    x = np.uint8([[0, 0]])
    y = np.uint8([[0, 4], [0, 5]])
    assert as_list(match(x, y, 0.8)) == [(0, 0, 16, np.float32(0.8))]  # the limit is within
    assert as_list(match(x, y, 0.7999)) == []
    bits = match(np.uint8([[0b1111]]), np.uint8([[0], [0b1111_0000]]), 0.5, metric="hamming")
    assert as_list(bits) == [(0, 0, 4, np.float32(0.5))]


def test_no_second_row_and_equal_rows(isa):
    x = np.uint8([[3, 3], [9, 9]])
    one = match(x, x[:1] + 1, 0.01)
    assert as_list(one) == [(0, 0, 2, 0)]  # without a rival: 0
    twice = x[[0, 0, 1]]
    assert as_list(match(x, twice, 0.99)) == [(1, 2, 0, 0)]
    assert as_list(match(x, twice, 1.0)) == [(0, 0, 0, 1), (1, 2, 0, 0)]  # 0 / 0: 1


def test_distance_limit(rng, isa):
    x, y = photos(rng, 60, 80, 16)
    everything = match(x, y, 1.0)
    for limit in (0, 100, 5000, 10**7):
        found = match(x, y, 1.0, max_distance=limit)
        assert as_list(found) == [m for m in as_list(everything) if m[2] <= limit]
    assert len(match(x, y, 1.0, max_distance=100).matches) not in (0, len(everything.matches))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("mutual", [True, False])
@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0), (1, 1)])
@pytest.mark.parametrize("dims", [0, 3])
def test_empty_photos(isa, dtype, mutual, n, m, dims):
    found = match(np.zeros((n, dims), dtype), np.zeros((m, dims), dtype), mutual=mutual)
    assert as_list(found) == ([(0, 0, 0, 0)] if n == m == 1 else [])


def test_whole_numbers_are_bytes_in_any_dtype(rng):
    x, y = photos(rng, 50, 60, 20)
    expected = match(x, y)
    for kind in (np.float32, np.float64, np.int64, np.float16):
        found = match(x.astype(kind), y.tolist())
        assert found.distances.dtype == np.int32
        assert as_list(found) == as_list(expected)


@pytest.mark.parametrize("scale", [0.5, 1 / 512, 300.0, -1.0])
@pytest.mark.parametrize("mutual", [True, False])
def test_floats(rng, isa, threads, scale, mutual):
    """Distances of scaled bytes are exact in float32, so that the answer must be that of bytes."""
    x, y = photos(rng, 80, 150, 33)
    x[0, 0] = 255
    factor = np.float32(2.0 ** np.round(np.log2(abs(scale))) * np.sign(scale))
    found = match(x * factor, y * factor, mutual=mutual, threads=threads)
    exact = match(x, y, mutual=mutual)
    assert found.distances.dtype == np.float32
    np.testing.assert_array_equal(found.matches, exact.matches)
    np.testing.assert_array_equal(found.distances, exact.distances * factor.astype(float) ** 2)
    np.testing.assert_array_equal(found.ratios, exact.ratios)


def test_bytes_meet_fractions_as_floats(rng, isa):
    x, y = photos(rng, 40, 50, 12)
    found = match(x, y + np.float32(0.25), 1.0)
    assert found.distances.dtype == np.float32
    expected = reference.match(x, y + np.float32(0.25), 1.0, True)
    assert found.matches.tolist() == [[q, row] for q, row, _, _ in expected]


def test_distances_beyond_float32_are_infinite_and_no_number_is_lost(isa):
    x = np.float32([[3e38, 0.5]])
    found = match(x, np.float32([[-3e38, 0], [-3e38, 1]]), 1.0)
    assert as_list(found) == [(0, 0, np.inf, 1)]
    assert as_list(match(x, -x, 1.0)) == [(0, 0, np.inf, 0)]
    assert as_list(match(x, -x, max_distance=1e300)) == []


@pytest.mark.parametrize("mutual", [True, False])
@pytest.mark.parametrize("size", [1, 7, 32, 64])
def test_hamming(rng, isa, threads, mutual, size):
    x, y = rng.integers(0, 256, (2, 90, size), dtype=np.uint8)
    y[:40] = x[:40] ^ (1 << rng.integers(0, 8, (40, size))).astype(np.uint8)
    for ratio in (0.6, 1.0):
        found = match(x, y, ratio, mutual, metric="hamming", threads=threads)
        bits = np.unpackbits(x, axis=1), np.unpackbits(y, axis=1)
        assert as_list(found) == reference.match(*bits, ratio, mutual, squared=False)
    first = found.matches[0]
    differing = int.from_bytes(x[first[0]].tobytes()) ^ int.from_bytes(y[first[1]].tobytes())
    assert found.distances[0] == differing.bit_count()


byte_pairs = st.integers(0, 12).flatmap(
    lambda dims: st.tuples(
        *(
            hnp.arrays(
                np.uint8,
                st.tuples(st.integers(0, 80), st.just(dims)),
                elements=st.sampled_from([0, 1, 2, 128, 255]),
            )
            for _ in range(2)
        )
    )
)


@given(byte_pairs, st.floats(0, 1), st.booleans(), st.integers(1, 3))
@settings(deadline=None)
def test_equals_reference(isa, pair, ratio, mutual, threads):
    x, y = pair
    found = match(x, y, ratio, mutual, threads=threads)
    assert as_list(found) == reference.match(x, y, ratio, mutual)


@given(byte_pairs, st.floats(0, 1), st.integers(0, 70_000))
@settings(deadline=None)
def test_laws(isa, pair, ratio, limit):
    x, y = pair
    found = match(x, y, ratio, max_distance=limit)
    assert (np.diff(found.matches[:, 0]) > 0).all()  # sorted, and one to one
    assert len(set(found.matches[:, 1].tolist())) == len(found.matches)
    assert (found.ratios <= np.float32(ratio)).all()
    assert (found.distances <= limit).all()
    of_either = set(map(tuple, match(x, y, ratio, False, max_distance=limit).matches.tolist()))
    assert set(map(tuple, found.matches.tolist())) <= of_either
    # Without the ratio test, and where nothing ties, mutual matches are the same from either side.
    distances = reference.squared_distances(x, y)
    if all(len(set(line)) == len(line) for side in (distances, distances.T) for line in side):
        back = match(y, x, 1.0).matches[:, ::-1]
        assert sorted(match(x, y, 1.0).matches.tolist()) == sorted(back.tolist())


@pytest.mark.parametrize("dtype", KINDS)
def test_the_same_bits_on_every_instruction_set(rng, dtype):
    x, y = (side.astype(dtype) + dtype(0.3) for side in photos(rng, 300, 500, 77))
    found = []
    for name in _core.isas():
        _core.use_isa(name)
        found.append(as_list(match(x, y, 0.9)))
    _core.reset_isa()
    assert all(other == found[0] for other in found)
    assert found[0]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.zeros(4), np.zeros((2, 4))), {}, ValueError, "query must be 2-D"),
        ((np.zeros((2, 4)), np.zeros((2, 5))), {}, ValueError, "equally many columns"),
        ((np.full((2, 4), np.nan), np.zeros((2, 4))), {}, ValueError, "query must be finite"),
        ((np.zeros((2, 4)), np.zeros((2, 4), complex)), {}, TypeError, "database must hold"),
        ((np.zeros((2, 4)),) * 2, {"ratio": 1.01}, ValueError, "ratio must be between 0 and 1"),
        ((np.zeros((2, 4)),) * 2, {"ratio": np.nan}, ValueError, "ratio must be between"),
        ((np.zeros((2, 4)),) * 2, {"ratio": "1"}, TypeError, "ratio must be a number"),
        ((np.zeros((2, 4)),) * 2, {"ratio": None}, TypeError, "ratio must be a number"),
        ((np.zeros((2, 4)),) * 2, {"max_distance": -1}, ValueError, "max_distance must be"),
        ((np.zeros((2, 4)),) * 2, {"mutual": 1}, TypeError, "mutual must be True or False"),
        ((np.zeros((2, 4)),) * 2, {"metric": "l1"}, ValueError, "metric must be one of"),
        ((np.full((2, 4), 0.5),) * 2, {"metric": "hamming"}, ValueError, "query must be uint8"),
        ((np.zeros((2, 4)),) * 2, {"threads": 0}, ValueError, "threads"),
    ],
)
def test_says_what_is_wrong(arguments, options, error, message):
    with pytest.raises(error, match=message):
        match(*arguments, **options)


@pytest.mark.parametrize("dtype", KINDS)
def test_ctrl_c_stops_within_200_milliseconds(rng, isa, dtype):
    x = rng.integers(0, 256, (20_000, 128)).astype(np.uint8)
    y = rng.integers(0, 256, (100_000, 128)).astype(np.uint8)  # seconds of work
    if dtype == np.float32:
        x, y = x / np.float32(2), y / np.float32(2)
    assert interrupts.seconds_to_stop(lambda: match(x, y)) < interrupts.LIMIT


def test_docstring_examples():
    import doctest

    from trouvaille.geometry import matching

    failed, attempted = doctest.testmod(matching)
    assert failed == 0
    assert attempted > 0
