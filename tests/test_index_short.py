# SPDX-License-Identifier: Apache-2.0
"""Short queries, whose frequent words are looked up and not walked: the same bits as of a scan.

A search for more documents than there are has to go through all of them, so its first k are right.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from index_cases import assert_same
from trouvaille.index import InvertedFile

NUM_WORDS = 400
OPTIONS = [
    {"weighting": "bm25"},
    {"weighting": "bm25", "k1": 0.0},
    {"weighting": "tfidf"},
    {"weighting": "tfidf", "burstiness": "sqrt"},
    {"metric": "cosine", "weighting": "tfidf"},
    {"metric": "hellinger", "weighting": "tfidf"},
    {"metric": "intersection"},
    {"metric": "lp", "p": 1.0, "norm": "l1"},
]


def collection(rng, n, kind="counts"):
    """Words from one that nearly all documents have to such that hardly any has."""
    chance = np.minimum(0.9, 3 / np.arange(1, NUM_WORDS + 1))
    rows, words = np.nonzero(rng.random((n, NUM_WORDS)) < chance)
    values = np.minimum(rng.geometric(0.6, len(words)), 9).astype(np.float32)
    if kind == "ties":
        values[:] = 1
    if kind in ("floats", "signed"):
        values = np.float32(rng.random(len(words)) + 0.1)
    if kind == "signed":
        values *= rng.choice([-1, 1], len(words), p=[0.1, 0.9])
    return sp.csr_array((values, (rows, words)), (n, NUM_WORDS))


def queries(rng, n, largest=1):
    """Frequent words and rare ones, alone and together."""
    Q = np.zeros((n, NUM_WORDS))
    for row in Q:
        size = rng.integers(1, 11)
        place = np.unique((NUM_WORDS ** rng.random(size)).astype(int) - 1)
        row[place] = rng.integers(1, largest + 1, len(place))
    return sp.csr_array(Q)


def assert_first(index, Q, k, **how):
    """The k best are the first of all."""
    every = index.search(Q, max(k, len(index.ids) + 1), **how)
    assert_same(index.search(Q, k, **how), type(every)(*(part[:, :k] for part in every)))


def blocks(X, cuts=(3000, 3500), **options):
    """An index of three blocks."""
    index = InvertedFile(X.shape[1], **options)
    for begin, end in zip((0, *cuts), (*cuts, X.shape[0]), strict=True):
        index.add(X[begin:end])
        index.stats()
    return index


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["counts", "ties", "floats"])
def test_the_best_are_the_first_of_all(rng, isa, options, kind):
    index = blocks(collection(rng, 6000, kind), **options)
    Q = queries(rng, 25, largest=3)
    for k in (1, 10, 100):
        assert_first(index, Q, k, threads=1)


@pytest.mark.parametrize("kind", ["counts", "ties"])
@pytest.mark.parametrize("b", [0.0, 0.75])  # 0: thousands have the same score
def test_bm25_of_counts_is_bm25_of_the_same_numbers(rng, isa, kind, b):
    """Counts are sketched first, other numbers are not."""
    X, Q = collection(rng, 6000, kind), queries(rng, 25, largest=3).tolil()
    for row, words in enumerate((63, 64, 65)):  # more than 64 are not sketched
        Q[row] = np.arange(NUM_WORDS) < words
    mask = rng.random(6000) < 0.3
    expected = blocks(X, weighting="bm25", b=b, values="float32")
    index = blocks(X, weighting="bm25", b=b)
    for found in (expected, index):
        found.remove(np.arange(0, 6000, 7))
    for k in (1, 10, 100, 500):
        assert_same(index.search(Q, k), expected.search(Q, k))
        assert_same(index.search(Q, k, mask=mask), expected.search(Q, k, mask=mask))


def test_threads_and_batches_do_not_matter(rng, threads):
    index = blocks(collection(rng, 6000), weighting="bm25")
    Q = queries(rng, 12)
    expected = index.search(Q, 10, threads=1)
    assert_same(index.search(Q, 10, threads=threads), expected)
    for i in range(12):
        alone = index.search(Q[[i]], 10, threads=threads)  # parts may be searched apart
        assert_same(alone, type(expected)(*(part[[i]] for part in expected)))


@pytest.mark.parametrize("values", ["float32", "float16", "uint8"])
def test_values_kept_in_other_ways(rng, values):
    X = collection(rng, 4000, "floats")
    for options in ({}, {"weighting": "bm25"}, {"metric": "cosine"}, {"metric": "intersection"}):
        assert_first(blocks(X, **options, values=values), queries(rng, 25), 10)


def test_what_is_removed_or_masked_is_not_found(rng):
    X = collection(rng, 6000)
    index = blocks(X, weighting="bm25")
    Q = queries(rng, 25)
    best = index.search(Q, 3).ids
    index.remove(np.unique(best))
    assert_first(index, Q, 10)
    assert not np.isin(index.search(Q, 10).ids, best).any()
    mask = rng.random(6000) < 0.3
    for k in (1, 20):
        assert_first(index, Q, k, mask=mask)
        found = index.search(Q, k, mask=mask).ids
        assert mask[found[found >= 0]].all()
    assert_first(index, Q, 20, mask=index.ids[::997])  # fewer than k


def test_more_frequent_words_than_are_looked_up(rng):
    X = np.zeros((4000, 101), np.float32)
    X[:, :100] = rng.random((4000, 100)) < 0.3
    X[::70, 100] = 1
    index = blocks(sp.csr_array(X))
    Q = np.ones((1, 101))
    Q[0, 100] = 1000
    assert_first(index, Q, 30, threads=1)
    np.testing.assert_array_equal(
        index.search(Q, 30, threads=1).scores[0], np.sort(X @ Q[0])[:-31:-1]
    )


def test_ids_that_do_not_ascend_decide_ties(rng):
    X = collection(rng, 5000, "ties")
    index = InvertedFile(NUM_WORDS)
    ids = rng.permutation(5000)
    for part in (slice(0, 2000), slice(2000, 5000)):
        index.add(X[part], ids=ids[part])
        index.stats()
    for k in (1, 10, 100):
        assert_first(index, queries(rng, 25), k)


def test_negative_values_and_weights(rng):
    index = blocks(collection(rng, 4000, "signed"))
    assert_first(index, queries(rng, 25), 10)
    positive = blocks(collection(rng, 4000))
    assert_first(positive, -queries(rng, 25), 10)
    mixed = queries(rng, 25)
    mixed.data *= rng.choice([-1, 1], len(mixed.data))
    assert_first(positive, mixed, 10)


def test_more_places_than_documents_that_match(rng):
    X = collection(rng, 4000).tolil()
    X[:, [7, 8]] = 0
    X[[5, 3999], 7] = 2
    index = blocks(sp.csr_array(X), weighting="bm25")
    Q = np.zeros((2, NUM_WORDS))
    Q[0, 7] = Q[1, 8] = 1
    scores, ids = index.search(Q, 4)
    assert set(ids[0, :2].tolist()) == {5, 3999}
    assert (scores[0, :2] > 0).all()
    assert ids[0, 2:].tolist() == [0, 1]  # the smallest of those with nothing
    assert ids[1].tolist() == [0, 1, 2, 3]
    assert (scores[1] == 0).all()


def test_a_copy_in_a_later_block_does_not_displace_the_first(rng):
    X = collection(rng, 3000)
    index = InvertedFile.from_csr(X, weighting="bm25")
    index.add(X)
    for k in (1, 9, 10):
        assert_first(index, queries(rng, 25), k)


@settings(max_examples=60)
@given(st.data())
def test_any_short_query(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    options = data.draw(st.sampled_from(OPTIONS))
    kind = data.draw(st.sampled_from(["counts", "ties", "floats"]))
    n = data.draw(st.integers(1, 3000))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2)))
    index = blocks(collection(rng, n, kind), cuts, **options)
    if data.draw(st.booleans()):
        index.remove(rng.permutation(n)[: n // 3])
    mask = rng.random(n) < 0.5 if data.draw(st.booleans()) else None
    k = data.draw(st.sampled_from([1, 2, 10, 50]))
    assert_first(index, queries(rng, 6, largest=2), k, mask=mask)
