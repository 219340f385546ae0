# SPDX-License-Identifier: Apache-2.0
import itertools
import timeit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import interrupts
import reference
from trouvaille import geometry


def shortlist(rng, *, n=30, sizes=(0, 1, 25, 60), n_words=12, k=3, dims=128, values=256):
    """A query and candidates, some of whose features are noisy copies of the query's."""
    query = rng.integers(0, values, (n, dims), dtype=np.uint8)
    words = np.array([rng.permutation(n_words)[:k] for _ in range(n)], np.uint32).reshape(n, k)
    candidates = []
    for size in sizes:
        rows = rng.integers(0, values, (size, dims), dtype=np.uint8)
        copies = min(n, size) // 2
        rows[:copies] = np.clip(query[:copies] + rng.integers(-3, 4, (copies, dims)), 0, 255)
        candidate_words = rng.integers(0, n_words, size).astype(np.uint32)
        order = np.argsort(candidate_words, kind="stable")
        candidates.append((candidate_words[order], rows[order]))
    return query, words, candidates


def as_lists(result):
    matches, distances, offsets = result
    rows = np.column_stack([matches, distances]).tolist()
    return [[tuple(row) for row in rows[a:b]] for a, b in itertools.pairwise(offsets)]


@pytest.mark.kernel
@pytest.mark.parametrize("dims", [1, 15, 16, 17, 31, 32, 33, 128])
def test_equals_reference(rng, isa, threads, dims):
    query, words, candidates = shortlist(rng, dims=dims)
    bounds = rng.integers(0, dims * 12000, len(query)).astype(np.int32)
    found = geometry.match_shortlist(query, words, candidates, bounds, threads=threads)
    assert as_lists(found) == reference.match_shortlist(query, words, bounds, candidates)


# Words that 64 features of the query and 64 of a candidate have are compared otherwise.
@pytest.mark.kernel
@pytest.mark.parametrize("n_words", [1, 3, 8])
@pytest.mark.parametrize("values", [2, 256])
def test_bursts_equal_reference(rng, isa, threads, n_words, values):
    sizes = (0, 1, 63, 64, 65, 400)
    query, words, candidates = shortlist(
        rng, n=250, sizes=sizes, n_words=n_words, k=min(2, n_words), values=values, dims=10
    )
    words[:20] = 1000  # and some that share none
    bounds = rng.integers(0, 10 * values**2, len(query)).astype(np.int32)
    found = geometry.match_shortlist(query, words, candidates, bounds, threads=threads)
    assert as_lists(found) == reference.match_shortlist(query, words, bounds, candidates)
    assert len(found.matches) > 0


def signed(rng, *, n=25, sizes=(0, 1, 20, 45), n_words=9, k=3, bytes_=16, values=256):
    """A query and candidates, some of whose signatures are nearly the query's for their word."""
    query = rng.integers(0, values, (n, k, bytes_), dtype=np.uint8)
    words = np.array([rng.permutation(n_words)[:k] for _ in range(n)], np.uint32).reshape(n, k)
    candidates = []
    for size in sizes:
        rows = rng.integers(0, values, (size, bytes_), dtype=np.uint8)
        own = rng.integers(0, n_words, size).astype(np.uint32)
        for c in range(min(n, size) // 2):
            j = rng.integers(k)
            rows[c] = query[c, j] ^ (rng.integers(0, 256, bytes_) & rng.integers(0, 2, bytes_))
            own[c] = words[c, j]
        candidates.append((own, rows))
    return query, words, candidates


@pytest.mark.kernel
@pytest.mark.parametrize("bytes_", [1, 7, 8, 13, 16, 32])
@pytest.mark.parametrize("values", [2, 256])
def test_signatures_equal_reference(rng, isa, threads, bytes_, values):
    query, words, candidates = signed(rng, bytes_=bytes_, values=values)
    for bound in (0, bytes_, 3 * bytes_, 2**31 - 1):
        found = geometry.match_signatures(words, query, candidates, bound, threads=threads)
        assert as_lists(found) == reference.match_signatures(words, query, candidates, bound)
    assert len(found.matches) > 0
    assert found.distances.dtype == np.int32


def test_the_nearest_signatures_are_kept(rng):
    query, words, candidates = signed(rng, n=60, sizes=(60,), values=2)
    everything = as_lists(geometry.match_signatures(words, query, candidates, 128))[0]
    few = as_lists(geometry.match_signatures(words, query, candidates, 128, max_matches=7))[0]
    assert few == sorted(sorted(everything, key=lambda match: (match[2], match[0]))[:7])
    assert len(everything) > 7
    empty = geometry.match_signatures(words[:0], query[:0], candidates, 128)
    assert as_lists(empty) == [[]]
    assert as_lists(geometry.match_signatures(words, query, [], 128)) == []


def test_signatures_that_do_not_fit_are_refused(rng):
    query, words, [(own, rows)] = signed(rng, sizes=(9,))
    for arguments, error, message in [
        ((words, query[:-1], [(own, rows)], 9), ValueError, r"query_signatures must have shape"),
        ((words, query[:, 0], [(own, rows)], 9), ValueError, "query_signatures must be 3-D"),
        ((words, query, [(own[1:], rows)], 9), ValueError, r"candidates\[0\] has 8 words for 9"),
        ((words, query, [(own, rows[:, 1:])], 9), ValueError, r"candidates\[0\]: signatures"),
        ((words, query, [(own, rows)], -1), ValueError, "max_distance must be"),
        ((words, query, [(own, rows)], 0.5), TypeError, "max_distance"),
        ((words, query.astype(np.float32) + 0.5, [(own, rows)], 9), ValueError, "query_signatures"),
    ]:
        with pytest.raises(error, match=message):
            geometry.match_signatures(*arguments)


def test_ctrl_c_stops_matching_signatures(rng):
    n = 20_000
    rows = rng.integers(0, 256, (n, 128), dtype=np.uint8)
    words = np.zeros(n, np.uint32)

    def match():
        geometry.match_signatures(words[:, None], rows[:, None], [(words, rows)], 9, threads=1)

    assert interrupts.seconds_to_stop(match) < interrupts.LIMIT


def test_a_burst_costs_no_more_than_all_pairs(rng):
    """5,000 features of one word in either photo: 25 million pairs."""
    n = 5000
    query, rows = rng.integers(0, 256, (2, n, 128), dtype=np.uint8)
    rows[: n // 2] = np.clip(
        query[: n // 2].astype(int) + rng.integers(-9, 10, (n // 2, 128)), 0, 255
    )
    words, bounds = np.zeros(n, np.uint32), np.full(n, 2**31 - 1, np.int32)

    def shared_word():
        return geometry.match_shortlist(
            query, words[:, None], [(words, rows)], bounds, max_matches=n, threads=1
        )

    def all_pairs():
        return geometry.match(query, rows, 1.0, threads=1)

    np.testing.assert_array_equal(shared_word().matches, all_pairs().matches)
    shared, every = (min(timeit.repeat(f, number=1, repeat=3)) for f in (shared_word, all_pairs))
    assert shared < 3 * every  # pair by pair it would be ten times


@pytest.mark.kernel
def test_ties_go_to_the_smaller_feature(rng, isa):
    query, words, candidates = shortlist(rng, values=2, dims=4, n_words=2, k=2)
    bounds = np.full(len(query), 4, np.int32)
    found = geometry.match_shortlist(query, words, candidates, bounds)
    expected = reference.match_shortlist(query, words, bounds, candidates)
    assert as_lists(found) == expected
    assert sum(map(len, expected)) > 0


@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(1, 5), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_matches_are_one_to_one(seed, n, k, n_words):
    rng = np.random.default_rng(seed)
    query, words, candidates = shortlist(rng, n=n, k=min(k, n_words), n_words=n_words, dims=8)
    bounds = np.full(n, 100_000, np.int32)
    for matches in as_lists(geometry.match_shortlist(query, words, candidates, bounds)):
        assert len({q for q, _, _ in matches}) == len(matches)
        assert len({c for _, c, _ in matches}) == len(matches)


def test_at_most_so_many_and_the_nearest(rng):
    query, words, candidates = shortlist(rng, n=80, sizes=(80,))
    bounds = np.full(80, 2**31 - 1, np.int32)
    everything = as_lists(geometry.match_shortlist(query, words, candidates, bounds))[0]
    few = as_lists(geometry.match_shortlist(query, words, candidates, bounds, max_matches=7))[0]
    nearest = sorted(everything, key=lambda match: (match[2], match[0]))[:7]
    assert few == sorted(nearest)
    assert len(everything) > 7


def test_empty_query_and_empty_shortlist(rng):
    query, words, candidates = shortlist(rng)
    bounds = np.zeros(len(query), np.int32)
    nothing = geometry.match_shortlist(query[:0], words[:0], candidates, bounds[:0])
    assert nothing.offsets.tolist() == [0] * 5
    assert geometry.match_shortlist(query, words, [], bounds).offsets.tolist() == [0]


def test_says_what_is_wrong(rng):
    query, words, candidates = shortlist(rng)
    bounds = np.zeros(len(query), np.int32)
    with pytest.raises(ValueError, match="query_words must have 30 rows"):
        geometry.match_shortlist(query, words[:-1], candidates, bounds)
    with pytest.raises(ValueError, match="max_distances must have 30"):
        geometry.match_shortlist(query, words, candidates, bounds[1:])
    wrong = [*candidates[:2], (candidates[2][0], candidates[2][1][:, :64])]
    with pytest.raises(ValueError, match=r"candidates\[2\].*descriptors must have 128 columns"):
        geometry.match_shortlist(query, words, wrong, bounds)
    with pytest.raises(ValueError, match=r"candidates\[0\].*1 words for 25"):
        geometry.match_shortlist(query, words, [(candidates[1][0], candidates[2][1])], bounds)
    with pytest.raises(TypeError, match="complex"):
        geometry.match_shortlist(query.astype(complex), words, candidates, bounds)


@pytest.mark.parametrize("n_candidates", [1, 2])
def test_ctrl_c_stops_within_a_candidate(isa, n_candidates):
    n = 60_000  # all of one word: seconds of work for each candidate
    rows, words = np.zeros((n, 128), np.uint8), np.zeros(n, np.uint32)

    def match():
        candidates = [(words, rows)] * n_candidates
        geometry.match_shortlist(rows, words[:, None], candidates, np.zeros(n, np.int32), threads=2)

    assert interrupts.seconds_to_stop(match) < interrupts.LIMIT
