# SPDX-License-Identifier: Apache-2.0
import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interrupts
import reference
from trouvaille import geometry


def shortlist(rng, *, n=40, k=3, n_words=30, sizes=(0, 1, 25, 60, 200), steps=4):
    words = np.array([rng.permutation(n_words)[:k] for _ in range(n)], np.uint32).reshape(n, k)
    weights = rng.integers(0, steps, (n, k)) / 4
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return words, weights, rng.integers(0, n_words, offsets[-1]).astype(np.uint32), offsets


def as_lists(found):
    rows = [(q, c, w) for (q, c), w in zip(found.matches.tolist(), found.weights, strict=True)]
    return [rows[a:b] for a, b in itertools.pairwise(found.offsets)]


def expected(words, weights, candidates, offsets, most):
    parts = (candidates[a:b] for a, b in itertools.pairwise(offsets))
    return [reference.match_words(words, weights, part, most) for part in parts]


@pytest.mark.parametrize("most", [1, 2, 4, 100])
@pytest.mark.parametrize(("k", "n_words"), [(1, 10), (3, 30), (5, 200)])
def test_equals_reference(rng, threads, most, k, n_words):
    words, weights, candidates, offsets = shortlist(rng, k=k, n_words=n_words)
    found = geometry.match_words(
        words,
        candidates,
        offsets,
        weights=weights,
        max_matches_per_feature=most,
        threads=threads,
    )
    assert as_lists(found) == expected(words, weights, candidates, offsets, most)
    assert len(found.matches) > 0
    assert found.weights.dtype == np.float64


def test_weights_are_one_by_default(rng):
    words, _, candidates, offsets = shortlist(rng)
    found = geometry.match_words(words, candidates, offsets)
    assert as_lists(found) == expected(words, np.ones(words.shape), candidates, offsets, 4)


def test_any_words(rng):
    words, weights, candidates, offsets = shortlist(rng)
    spread = (np.arange(30, dtype=np.uint64) * 0x9E3779B1 % 2**32).astype(np.uint32)
    spread[0], spread[1] = 2**32 - 1, 0
    plain = geometry.match_words(words, candidates, offsets, weights=weights)
    found = geometry.match_words(spread[words], spread[candidates], offsets, weights=weights)
    assert as_lists(found) == as_lists(plain)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 12),
    st.integers(0, 4),
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 4),
)
def test_a_feature_is_in_few_matches(seed, n, k, n_words, most, steps):
    rng = np.random.default_rng(seed)
    words, weights, candidates, offsets = shortlist(
        rng, n=n, k=min(k, n_words), n_words=n_words, steps=steps
    )
    found = geometry.match_words(
        words, candidates, offsets, weights=weights, max_matches_per_feature=most
    )
    assert as_lists(found) == expected(words, weights, candidates, offsets, most)
    for pairs in as_lists(found):
        assert len({pair[:2] for pair in pairs}) == len(pairs)
        for side in (0, 1):
            counts = np.bincount([pair[side] for pair in pairs])
            assert counts.max(initial=0) <= most


def test_the_order_of_features_changes_nothing(rng):
    words, weights, candidates, offsets = shortlist(rng, sizes=(90,))
    order, other = rng.permutation(len(words)), rng.permutation(90)
    found = geometry.match_words(words, candidates, offsets, weights=weights)
    moved = geometry.match_words(words[order], candidates[other], offsets, weights=weights[order])
    back = {(order[q], other[c], w) for q, c, w in as_lists(moved)[0]}
    assert back == set(as_lists(found)[0])


def test_a_word_twice_in_a_row_counts_once():
    weights = [[0.0, 2.0, 3.0]]
    found = geometry.match_words([[5, 5, 5]], [5, 5], [0, 2], weights=weights)
    assert as_lists(found) == [[(0, 0, 2.0), (0, 1, 2.0)]]


def test_a_burst_gives_no_match_in_no_time():
    n = 5000
    words, candidates = np.zeros((n, 2), np.uint32), np.zeros(n, np.uint32)
    words[:, 1] = np.arange(1, n + 1)  # each has a word of its own, too
    candidates[:10] = np.arange(1, 11)
    start = time.perf_counter()
    found = geometry.match_words(words, np.tile(candidates, 20), np.arange(21) * n, threads=1)
    seconds = time.perf_counter() - start
    assert as_lists(found) == [[(i, i, 1.0) for i in range(10)]] * 20
    assert seconds < 20 * interrupts.LIMIT  # 500 million pairs would take longer


def test_feeds_verify(rng):
    n = 60
    frames = np.tile(np.float32([[8, 0, 0], [0, 8, 0]]), (n, 1, 1))
    frames[:, :, 2] = rng.uniform(0, 800, (n, 2))
    moved = frames + np.float32([[0, 0, 16], [0, 0, 32]])
    words = rng.permutation(1000)[:n].astype(np.uint32)
    words[:20] = words[0]  # a burst
    offsets = [0, n]
    found = geometry.match_words(words[:, None], words, offsets, weights=np.full((n, 1), 2.5))
    verified = geometry.verify(
        frames, moved, offsets, found.matches, found.offsets, weights=found.weights
    )
    assert verified.n_inliers.tolist() == [n - 20]
    assert verified.scores.tolist() == [2.5 * (n - 20)]


def test_empty_query_and_empty_shortlist(rng):
    words, weights, candidates, offsets = shortlist(rng)
    nothing = geometry.match_words(words[:0], candidates, offsets, weights=weights[:0])
    assert nothing.offsets.tolist() == [0] * 6
    assert geometry.match_words(words[:, :0], candidates, offsets).offsets.tolist() == [0] * 6
    assert geometry.match_words(words, [], [0]).offsets.tolist() == [0]


def test_says_what_is_wrong(rng):
    words, weights, candidates, offsets = shortlist(rng)
    with pytest.raises(ValueError, match="weights must have the shape of query_words"):
        geometry.match_words(words, candidates, offsets, weights=weights[:, :-1])
    with pytest.raises(ValueError, match="weights must not be negative"):
        geometry.match_words(words, candidates, offsets, weights=weights - 1)
    with pytest.raises(ValueError, match="frame_offsets must go from 0 to 286"):
        geometry.match_words(words, candidates, offsets[:-1])
    with pytest.raises(ValueError, match="frame_offsets must not decrease"):
        geometry.match_words(words, candidates, [0, 200, 100, 286])
    with pytest.raises(ValueError, match="max_matches_per_feature must be between"):
        geometry.match_words(words, candidates, offsets, max_matches_per_feature=0)


def test_ctrl_c_stops_within_a_candidate():
    n = 20_000_000
    words = np.arange(n, dtype=np.uint32)

    def match():
        for _ in range(20):
            geometry.match_words(words[: n // 20, None], words, [0, n], threads=2)

    assert interrupts.seconds_to_stop(match) < interrupts.LIMIT
