# SPDX-License-Identifier: Apache-2.0
import signal
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import interrupts
import reference
from trouvaille import index
from trouvaille.index import InvertedFile

OPTIONS = [
    {"metric": metric, "weighting": weighting}
    for metric in ("dot", "cosine")
    for weighting in (None, "tfidf")
]
each_option = pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: f"{o['metric']}-{o['weighting']}"
)


def counts(rng, n, num_words, density=0.2, largest=4):
    """Small counts, so that there are many ties."""
    present = rng.random((n, num_words)) < density
    return present * rng.integers(1, largest, (n, num_words))


def assert_equal(actual, expected):
    """Bit for bit."""
    np.testing.assert_array_equal(actual.scores, expected.scores)
    np.testing.assert_array_equal(actual.ids, expected.ids)


def assert_best(actual, dense):
    """Each score is that of its document, and they are the best ones, to rounding."""
    k = actual.ids.shape[1]
    expected, _ = reference.best(dense, k)
    np.testing.assert_allclose(actual.scores, expected, rtol=1e-6, atol=1e-7)
    for row, found, scores in zip(dense, actual.ids, actual.scores, strict=True):
        found = found[found >= 0]
        assert len(found) == len(set(found)) == min(k, dense.shape[1])
        np.testing.assert_allclose(scores[: len(found)], row[found], rtol=1e-6, atol=1e-7)


# Results


@each_option
@pytest.mark.parametrize("n", [1, 63, 64, 65, 300])  # around a group of documents
def test_equals_reference(rng, isa, threads, options, n):
    X = sp.random_array((n, 50), density=0.2, rng=rng, format="csr")
    Q = sp.random_array((7, 50), density=0.2, rng=rng, format="csr")
    actual = InvertedFile.from_csr(X, **options).search(Q, k=20, threads=threads)
    assert actual.scores.dtype == np.float64
    assert actual.ids.dtype == np.int64
    assert_best(actual, reference.inverted_file_scores(X.toarray(), Q.toarray(), **options))


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 300])
@pytest.mark.parametrize("k", [1, 20, 400])
def test_counts_are_exact_and_ties_go_to_the_smaller_id(rng, isa, threads, n, k):
    X, Q = counts(rng, n, 30), counts(rng, 7, 30) - counts(rng, 7, 30)
    dense = reference.inverted_file_scores(X, Q)
    for ids in (None, np.arange(n) * 3 + 2**40, rng.permutation(n)):
        actual = InvertedFile.from_csr(sp.csr_array(X), ids).search(
            sp.csr_array(Q), k, threads=threads
        )
        scores, found = reference.best(dense, k, ids)
        np.testing.assert_array_equal(actual.scores, scores)
        np.testing.assert_array_equal(actual.ids, found)


@pytest.mark.parametrize("shuffled", [False, True])
def test_many_blocks_of_documents(rng, isa, threads, shuffled):
    n = 40_000
    X = sp.random_array((n, 500), density=0.01, rng=rng, format="csr")
    X.data = np.ceil(X.data * 3)
    ids = rng.permutation(n) if shuffled else None
    Q = X[[5, 20_000, 39_999]]
    actual = InvertedFile.from_csr(X, ids).search(Q, k=50, threads=threads)
    scores, found = reference.best((Q @ X.T).toarray(), 50, ids)
    np.testing.assert_array_equal(actual.scores, scores)
    np.testing.assert_array_equal(actual.ids, found)


def test_documents_without_a_common_word_score_zero_and_beat_negative_ones():
    result = InvertedFile.from_csr(np.array([[1, 0], [0, 1], [0, -1]])).search([[0, 1]], k=3)
    assert result.scores.tolist() == [[1, 0, -1]]
    assert result.ids.tolist() == [[1, 0, 2]]


def test_missing_places():
    result = InvertedFile.from_csr(np.eye(2)).search(np.eye(2)[1:], k=4)
    assert result.scores.tolist() == [[1, 0, -np.inf, -np.inf]]
    assert result.ids.tolist() == [[1, 0, -1, -1]]


@each_option
def test_an_empty_query_or_row_scores_zero(options):
    found = InvertedFile.from_csr([[0, 0], [1, 2], [0, 3]], **options)
    empty = found.search(sp.csr_array((1, 2)), k=3)
    assert empty.scores.tolist() == [[0, 0, 0]]
    assert empty.ids.tolist() == [[0, 1, 2]]
    assert 0 in found.search([[1, 1]], k=3).ids
    assert found.search([[1, 1]], k=3).scores.min() == 0


def test_cosine_of_a_row_with_itself_is_one(rng):
    X = sp.random_array((50, 40), density=0.3, rng=rng, format="csr")
    result = InvertedFile.from_csr(X, metric="cosine", weighting="tfidf").search(X, k=1)
    np.testing.assert_allclose(result.scores[:, 0], 1, rtol=1e-6)
    assert result.ids[:, 0].tolist() == list(range(50))


def test_tf_idf_by_hand():
    # Word 0 is in one of four documents, word 1 in two, word 2 in all, word 3 in none.
    X = [[2, 1, 1, 0], [0, 3, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    result = InvertedFile.from_csr(X, weighting="tfidf").search([[1, 1, 5, 7]], k=4)
    assert result.ids.tolist() == [[0, 1, 2, 3]]
    expected = [2 * np.log(4) ** 2 + np.log(2) ** 2, 3 * np.log(2) ** 2, 0, 0]
    np.testing.assert_allclose(result.scores, [expected], rtol=1e-6)


@st.composite
def collections(draw):
    num_words = draw(st.integers(0, 6))
    row = st.lists(st.integers(-2, 3), min_size=num_words, max_size=num_words)
    X, Q = draw(st.lists(row, max_size=12)), draw(st.lists(row, max_size=3))
    return (np.array(m, int).reshape(len(m), num_words) for m in (X, Q))


@given(collections(), st.integers(1, 15), st.sampled_from(OPTIONS), st.data())
def test_parts_and_batches_do_not_matter(matrices, k, options, data):
    X, Q = matrices
    whole = InvertedFile.from_csr(sp.csr_array(X), **options)
    cut = data.draw(st.integers(0, len(X)))
    parts = InvertedFile(X.shape[1], **options)
    for part in (X[:cut], X[cut:]):
        parts.add(sp.csr_array(part))
        if data.draw(st.booleans()):
            parts.search(Q)
    expected = whole.search(sp.csr_array(Q), k)
    assert_equal(parts.search(sp.csr_array(Q), k), expected)
    dense = reference.inverted_file_scores(X, Q, **options)
    assert_best(expected, dense)
    for i, row in enumerate(Q):
        alone = whole.search(sp.csr_array(row[None]), k, threads=1)
        assert_equal(alone, index.SearchResult(expected.scores[[i]], expected.ids[[i]]))


@each_option
def test_the_weights_follow_the_collection(rng, options):
    X, Q = counts(rng, 40, 20), counts(rng, 3, 20)
    grown = InvertedFile.from_csr(X[:10], **options)
    assert_best(grown.search(Q, k=9), reference.inverted_file_scores(X[:10], Q, **options))
    grown.add(X[10:11])
    grown.add(X[11:])
    assert len(grown) == 40
    np.testing.assert_array_equal(grown.document_frequencies, (X != 0).sum(axis=0))
    assert_best(grown.search(Q, k=9), reference.inverted_file_scores(X, Q, **options))


# Inputs


def untidy():
    """A CSR with words out of order, given twice, and explicit zeros; and what it means."""
    data = np.array([1.0, 2.0, 4.0, 0.0, 3.0, -3.0, 8.0])
    indices = np.array([2, 0, 2, 1, 1, 1, 0])
    indptr = np.array([0, 4, 6, 6, 7])
    return sp.csr_array((data, indices, indptr), shape=(4, 3)), np.array(
        [[2, 0, 5], [0, 0, 0], [0, 0, 0], [8, 0, 0]]
    )


@each_option
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_untidy_rows_mean_their_sums_and_stay_as_they_are(options, index_dtype):
    X, meaning = untidy()
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    before = [X.data.copy(), X.indices.copy(), X.indptr.copy()]
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    actual = InvertedFile.from_csr(X, **options)
    np.testing.assert_array_equal(actual.document_frequencies, [2, 0, 1])
    assert_equal(
        actual.search(X, k=4), InvertedFile.from_csr(meaning, **options).search(meaning, k=4)
    )
    for array, old in zip((X.data, X.indices, X.indptr), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_sums_of_repeated_entries_do_not_wrap():
    X = sp.csr_array((np.uint8([200, 100]), [0, 0], [0, 2]), shape=(1, 1))
    assert InvertedFile.from_csr(X).search([[1]], k=1).scores.tolist() == [[300]]


@pytest.mark.parametrize("kind", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
@pytest.mark.parametrize("interface", [sp.csr_array, sp.csr_matrix])
def test_other_sparse_formats(rng, kind, interface):
    X, Q = counts(rng, 20, 12), counts(rng, 4, 12)
    expected = InvertedFile.from_csr(X).search(Q, k=5)
    actual = InvertedFile.from_csr(interface(X).asformat(kind))
    assert_equal(actual.search(interface(Q).asformat(kind), k=5), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, np.float16, np.float32, ">f8"])
def test_any_real_dtype(rng, dtype):
    X = counts(rng, 20, 12)
    expected = InvertedFile.from_csr(X).search(X, k=5)
    typed = sp.csr_array(X)
    typed.data = typed.data.astype(dtype)
    assert_equal(InvertedFile.from_csr(typed).search(typed, k=5), expected)
    assert_equal(InvertedFile.from_csr(X.astype(dtype)[:, ::-1]).search(X[:, ::-1], k=5), expected)


def test_one_query_as_a_pair(rng):
    found = InvertedFile.from_csr(counts(rng, 20, 12))
    expected = found.search([[0, 3, 0, 0, 1] + [0] * 7], k=5)
    assert_equal(found.search(([4, 1], [1.0, 3.0]), k=5), expected)
    assert_equal(found.search((np.uint8([4, 1, 1]), np.float32([1, 1, 2])), k=5), expected)
    assert found.search(([], []), k=2).ids.tolist() == [[0, 1]]


def test_values_are_kept_as_float32():
    given = [1, 65535, 65536, -1, 0.5, 0.1, 2**24 + 1, 1 / 3]
    found = InvertedFile.from_csr(np.transpose([given]))
    ids, values = found.postings(0)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.float32(given))
    assert ids.tolist() == list(range(len(given)))


def test_what_is_added_may_be_reused_at_once():
    X = sp.csr_array(np.eye(2))
    ids = np.array([7, 8])
    found = InvertedFile(2)
    found.add(X, ids)
    X.data[:], X.indptr[:], X.indices[:], ids[:] = 9, 0, 0, 0
    result = found.search([[1, 2]], k=2)
    assert (result.scores.tolist(), result.ids.tolist()) == ([[2, 1]], [[8, 7]])


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_search(shape):
    found = InvertedFile.from_csr(sp.csr_array(shape), metric="cosine", weighting="tfidf")
    result = found.search(sp.csr_array((2, shape[1])), k=4)
    assert result.ids.tolist() == [[*range(shape[0]), *[-1] * (4 - shape[0])]] * 2
    assert found.search(sp.csr_array((0, shape[1])), k=4).scores.shape == (0, 4)


# Errors


def csr(data=(1.0,), indices=(0,), indptr=(0, 1), shape=(1, 2)):
    """A CSR that SciPy has not checked."""
    X = sp.csr_array(shape)
    X.data, X.indices, X.indptr = np.array(data), np.array(indices), np.array(indptr)
    return X


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones((1, 3)), ValueError, r"must have the 2 columns of the index, got shape \(1, 3\)"),
        (sp.csr_array((1, 3)), ValueError, r"must have the 2 columns of the index"),
        (np.ones(2), ValueError, "must be 2-D, got shape"),
        (sp.coo_array(np.ones(2)), ValueError, "must be 2-D, got shape"),
        (csr(data=[np.nan]), ValueError, "data must be finite, got NaN"),
        ([[0, np.inf]], ValueError, "must be finite"),
        (csr(data=[1e39]), ValueError, r"must be 0 or between 1e-37 and 3e\+38"),
        (csr(data=[-1e-38]), ValueError, "in magnitude, got -1e-38"),
        (csr(data=[2**53 + 1]), ValueError, "int64 values do not fit exactly"),
        (csr(data=[2**64 - 1]), ValueError, "uint64 values do not fit exactly"),
        (csr(data=[1j]), TypeError, "data must hold float64 numbers, got dtype complex128"),
        (csr(data=[True]), TypeError, "got dtype bool"),
        ([["a", "b"]], TypeError, "got dtype"),
        (csr(indices=[2]), ValueError, r"indices must be from 0 to 1, got 2"),
        (csr(indices=[-1]), ValueError, r"indices must be from 0 to 1, got -1"),
        (csr(indptr=[0, 2]), ValueError, r"indptr ends at 2, but there are 1 indices and 1 values"),
        (csr(indptr=[1, 1]), ValueError, "indptr must rise from 0 and have 2 entries"),
        (csr(indptr=[0, 1, 1]), ValueError, "indptr must rise from 0 and have 2 entries"),
        (csr(indptr=[0, 1, 0, 1], shape=(3, 2)), ValueError, "indptr must rise from 0"),
        (csr(indptr=[]), ValueError, "indptr must rise from 0"),
    ],
)
def test_a_wrong_matrix_is_refused_and_adds_nothing(X, error, message):
    found = InvertedFile.from_csr([[1, 2]])
    with pytest.raises(error, match=message):
        found.add(X)
    with pytest.raises(error, match=message):
        found.search(X)
    assert len(found) == 1
    assert found.search([[1, 0]], k=2).ids.tolist() == [[0, -1]]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1], "ids must be 2, one a row, got 1"),
        ([1, -1], "ids must not be negative, got -1"),
        ([3, 3], "ids must be distinct, got 3 twice"),
        ([9, 8], "ids must be new to the index, 8 is in it already"),
        ([[1, 2]], "ids must be 1-D"),
        ([0.5, 1], "ids must be int64"),
        (None, "ids must be new to the index, 3 is in it already"),
    ],
)
def test_wrong_ids_are_refused_and_add_nothing(ids, message):
    found = InvertedFile.from_csr([[1, 2], [3, 4], [5, 6]], ids=[10, 8, 3])
    with pytest.raises(ValueError, match=message):
        found.add([[7, 8], [9, 9]], ids)
    assert len(found) == 3
    assert found.search([[1, 1]], k=4).ids.tolist() == [[3, 8, 10, -1]]


def test_row_numbers_go_on_after_given_ids():
    found = InvertedFile.from_csr([[1], [2]], ids=[7, 5])
    found.add([[3]])
    found.add([[0]], ids=[6])
    found.add([[5], [4]], ids=[0, 1])
    assert found.search([[1]], k=6).ids.tolist() == [[0, 1, 2, 5, 7, 6]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "l2"}, "metric must be 'dot', 'cosine', .* or 'intersection', got 'l2'"),
        ({"weighting": "idf"}, "weighting must be None, 'tfidf', .* or 'bm25', got 'idf'"),
        ({"p": 1.0}, "p belongs to metric 'lp', not to 'dot'; got 1.0"),
        ({"metric": "lp", "p": np.inf}, "p must be above 0 and finite, got inf"),
    ],
)
def test_an_unsupported_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        InvertedFile.from_csr([[1]], **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 0}, ValueError, "k must be between 1"),
        ({"k": 2**31}, ValueError, "k must be between 1"),
        ({"k": 1.5}, TypeError, "k must be a whole number"),
        ({"threads": 0}, ValueError, "threads must be between 1"),
        ({"Q": ([0, 1], [1.0])}, ValueError, "Q has 2 word numbers, but 1 values"),
        ({"Q": ([2], [1.0])}, ValueError, r"Q\[0\] must be from 0 to 1, got 2"),
        ({"Q": ([0], [np.nan])}, ValueError, r"Q\[1\] must be finite"),
    ],
)
def test_search_says_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        InvertedFile.from_csr([[1, 2]]).search(**{"Q": [[1, 2]], **arguments})


# Threads and signals


def test_searching_while_another_thread_adds(rng):
    X = counts(rng, 200, 30)
    found, results = InvertedFile(30), []

    def add():
        for row in X:
            found.add(row[None])

    adder = threading.Thread(target=add)
    adder.start()
    while adder.is_alive() and len(results) < 100:
        results.append(found.search(X[:1], k=len(X), threads=1))
    adder.join()
    assert_equal(found.search(X[:1]), InvertedFile.from_csr(X).search(X[:1]))
    dense = reference.inverted_file_scores(X, X[:1])
    for result in results:
        n = (result.ids >= 0).sum()
        scores, ids = reference.best(dense[:, :n], len(X))
        np.testing.assert_array_equal(result.ids, ids)
        np.testing.assert_array_equal(result.scores, scores)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")
def test_ctrl_c_stops_a_search(rng, threads):
    X = sp.random_array((50_000, 100), density=0.05, rng=rng, format="csr")
    found = InvertedFile.from_csr(X)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            found.search(X, k=1, threads=threads)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert found.search(X[:1], k=1, threads=threads).ids.shape == (1, 1)


def test_ctrl_c_stops_within_a_query(threads):
    n = 1_500_000  # all are asked for, and sorted
    values = np.arange(n) * 7919 % n + 1.0
    found = InvertedFile.from_csr(sp.csr_array((values, np.zeros(n, int), np.arange(n + 1))))
    queries = np.ones((6, 1))
    found.search(queries[:1], k=1)  # so that the blocks are there

    def search():
        while True:
            found.search(queries, k=n, threads=threads)

    assert interrupts.seconds_to_stop(search, after=0.5) < interrupts.LIMIT


def test_the_examples_of_the_documentation():
    import doctest

    from trouvaille.index import inverted_file

    failed, attempted = doctest.testmod(inverted_file)
    assert failed == 0
    assert attempted >= 2
