# SPDX-License-Identifier: Apache-2.0
"""The answers are the same bits for any instruction set, thread count, batch and layout."""

import numpy as np
import pytest
import scipy.sparse as sp

import interrupts
from index_cases import SELECTION, assert_right, assert_same, counts, floats, options_id, parts
from trouvaille import _core
from trouvaille.index import InvertedFile

each_selected = pytest.mark.parametrize("options", SELECTION, ids=options_id)


def collection(rng, n=700, num_words=50):
    """Counts and floats, equal documents, empty ones, and queries of both kinds."""
    X = np.concatenate([floats(rng, n // 2, num_words), counts(rng, n - n // 2, num_words)])
    X[n // 3 :: 7], X[5::90] = X[n // 3], 0
    Q = np.concatenate([X[:3], floats(rng, 3, num_words), np.zeros((1, num_words))])
    return sp.csr_array(X), sp.csr_array(Q)


def grown(X, cuts, searched=(), **options):
    """Add a part after the other, with a search after some of them."""
    found = InvertedFile(X.shape[1], **options)
    for i, part in enumerate(parts(X, cuts)):
        found.add(part)
        if i in searched:
            found.search(X[:1], k=1)
    return found


@each_selected
def test_threads_batches_and_instruction_sets_do_not_matter(rng, options):
    X, Q = collection(rng)
    found = InvertedFile.from_csr(X, **options)
    expected = found.search(Q, 40, threads=1)
    assert_right(expected, X.toarray(), Q.toarray(), **options)
    try:
        for isa in _core.isas():
            _core.use_isa(isa)
            built = InvertedFile.from_csr(X, **options, threads=2)
            for threads in (1, 2, 5):
                assert_same(built.search(Q, 40, threads=threads), expected)
                assert_same(found.search(Q, 40, threads=threads), expected)
            for i in range(Q.shape[0]):
                alone = found.search(Q[[i]], 40, threads=5)
                assert_same(alone, type(expected)(*(part[[i]] for part in expected)))
    finally:
        _core.reset_isa()


@each_selected
def test_a_large_batch_is_its_queries(rng, isa, options):
    X, _ = collection(rng)
    found = InvertedFile.from_csr(X, **options)
    whole = found.search(X, 5)
    for begin, end in ((0, 1), (1, 9), (9, 73), (73, 400), (400, 700)):
        part = found.search(X[begin:end], 5)
        assert_same(part, type(whole)(*(part[begin:end] for part in whole)))


@each_selected
@pytest.mark.parametrize(
    ("cuts", "searched"),
    [([1], [0, 1]), ([1, 2, 3, 4, 5], range(6)), ([350], []), ([0, 64, 64, 699], [1, 3])],
)
def test_the_parts_of_a_collection_do_not_matter(rng, isa, options, cuts, searched):
    X, Q = collection(rng)
    expected = InvertedFile.from_csr(X, **options).search(Q, 40)
    found = grown(X, cuts, searched, **options)
    assert_same(found.search(Q, 40), expected)
    found.optimize()
    assert_same(found.search(Q, 40, threads=2), expected)
    np.testing.assert_array_equal(found.document_frequencies, (X != 0).sum(axis=0))


@each_selected
def test_removing_optimizing_and_loading_change_no_answer(rng, isa, options, tmp_path):
    X, Q = collection(rng)
    kept = np.flatnonzero(rng.random(X.shape[0]) < 0.6)
    expected = InvertedFile.from_csr(X[kept], kept, **options).search(Q, 40)
    found = grown(X, [100, 300, 301], [1], **options)
    found.remove(np.setdiff1d(np.arange(X.shape[0]), kept))
    assert_same(found.search(Q, 40), expected)
    found.save(tmp_path / "removed")
    found.optimize()
    assert_same(found.search(Q, 40), expected)
    found.save(tmp_path / "optimized")
    for name in ("removed", "optimized"):
        for mmap in (True, False):
            loaded = InvertedFile.load(tmp_path / name, mmap=mmap)
            assert_same(loaded.search(Q, 40), expected)
            np.testing.assert_array_equal(loaded.ids, kept)


@each_selected
def test_the_order_of_the_documents_does_not_matter(rng, options):
    X, Q = collection(rng)
    order = rng.permutation(X.shape[0])
    expected = InvertedFile.from_csr(X, **options).search(Q, 40)
    assert_same(InvertedFile.from_csr(X[order], order, **options).search(Q, 40), expected)


@each_selected
def test_a_collection_of_more_than_a_block(rng, options):
    """A block has at most 65,536 documents; here they are in two, and in many."""
    n = 70_000
    words = rng.integers(0, 300, (n, 3))
    values, offsets = rng.integers(1, 4, 3 * n), np.arange(0, 3 * n + 1, 3)
    X = sp.csr_array((values, words.ravel(), offsets), (n, 300))
    X.sum_duplicates()
    Q = X[[5, 65_535, 65_536, 69_999]]
    found = InvertedFile.from_csr(X, **options)
    assert found.stats().n_blocks >= 2
    expected = found.search(Q, 30, threads=1)
    in_parts = grown(X, [1000, 66_000], [0], **options)
    assert_same(in_parts.search(Q, 30), expected)
    if options == {"metric": "dot"}:
        scores = (Q @ X.T).toarray()
        order = np.lexsort((np.broadcast_to(np.arange(n), scores.shape), -scores), axis=1)[:, :30]
        np.testing.assert_array_equal(expected.ids, order)
        np.testing.assert_array_equal(expected.scores, np.take_along_axis(scores, order, 1))


@pytest.mark.parametrize("k", [1, 2, 10, 699, 700, 701, 5000])
def test_the_k_best_are_the_first_of_more(rng, isa, k):
    X, Q = collection(rng)
    for options in SELECTION[::3]:
        found = InvertedFile.from_csr(X, **options)
        all_of_them = found.search(Q, X.shape[0])
        best = found.search(Q, k)
        n = min(k, X.shape[0])
        for actual, expected in zip(best, all_of_them, strict=True):
            np.testing.assert_array_equal(actual[:, :n], expected[:, :n])
        assert (best.ids[:, n:] == -1).all()


@pytest.mark.parametrize("num_words", [10_000_000, 2**32 - 1])
@pytest.mark.parametrize("options", SELECTION[:6:2] + SELECTION[-2:], ids=options_id)
def test_many_words_with_few_postings(rng, num_words, options):
    X = floats(rng, 40, 30)
    words = np.concatenate([[0], np.sort(rng.choice(num_words - 3, 27, replace=False)) + 1])
    words = np.concatenate([words, [num_words - 2, num_words - 1]])
    narrow = sp.csr_array(X)
    wide = sp.csr_array((narrow.data, words[narrow.indices], narrow.indptr), (40, num_words))
    found = InvertedFile.from_csr(wide, **options)
    assert_right(found.search(wide[:3], 12), X, X[:3], **options)
    first = wide[[0]]
    assert_right(found.search((first.indices, first.data), 12), X, X[:1], **options)
    for word in (0, 5, 29):
        assert found.postings(int(words[word]))[0].tolist() == np.flatnonzero(X[:, word]).tolist()
    assert found.postings(int(words[5]) - 1)[0].tolist() == []


# Ctrl-C


def large(rng, n=60_000, num_words=200):
    return sp.random_array((n, num_words), density=0.1, rng=rng, format="csr", dtype=np.float32)


@pytest.mark.parametrize("options", [SELECTION[0], SELECTION[5], SELECTION[-1]], ids=options_id)
def test_ctrl_c_stops_a_search(rng, threads, options):
    X = large(rng)
    found = InvertedFile.from_csr(X, **options)
    expected = found.search(X[:2], 3)

    def search():
        while True:
            found.search(X, 100, threads=threads)

    assert interrupts.seconds_to_stop(search) < interrupts.LIMIT
    assert_same(found.search(X[:2], 3), expected)


def test_ctrl_c_stops_a_build_and_adds_nothing(rng, threads):
    X = large(rng)

    def build():
        while True:
            InvertedFile.from_csr(X, threads=threads)

    assert interrupts.seconds_to_stop(build) < interrupts.LIMIT
