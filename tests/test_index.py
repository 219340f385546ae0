# SPDX-License-Identifier: Apache-2.0
import dataclasses
import inspect

import numpy as np
import pytest
import scipy.sparse as sp

import interrupts
import reference
from trouvaille.index import InvertedFile
from trouvaille.index.options import Options

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


# Results


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


# Inputs


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


def test_the_two_ways_to_make_an_index_take_the_same_options():
    """They are written out twice, as help() and type checkers see no others."""
    made, from_csr = (
        {
            name: (parameter.default, parameter.annotation)
            for name, parameter in inspect.signature(maker).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        for maker in (InvertedFile, InvertedFile.from_csr)
    )
    assert list(from_csr) == [*made, "threads", "progress"]
    assert from_csr.items() >= made.items()
    kept = {field.name: field.default for field in dataclasses.fields(Options)}
    assert {name: default for name, (default, _) in made.items()} == kept
    for name, other in {
        "metric": "lp",
        "p": 3.0,
        "weighting": "tfidf",
        "norm": "l1",
        "burstiness": "intra",
        "idf": "frozen",
        "values": "float16",
        "forward": True,
    }.items():
        needed = {"metric": "lp"} if name == "p" else {}
        options = needed | {name: other}
        found = InvertedFile.from_csr([[1, 2]], **options).options
        assert getattr(found, name) == other != made[name][0]
    bm25 = InvertedFile.from_csr([[1, 2]], weighting="bm25", k1=1.25, b=0.5).options
    assert (bm25.k1, bm25.b) == (1.25, 0.5)


def test_options_can_be_read_and_not_set():
    found = InvertedFile(3, metric="lp", p=1.0, weighting="tfidf")
    assert (found.metric, found.p, found.weighting) == ("lp", 1.0, "tfidf")
    for name in ("metric", "p", "weighting"):
        with pytest.raises(AttributeError):
            setattr(found, name, None)


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


# Signals


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
