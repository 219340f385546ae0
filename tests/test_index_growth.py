# SPDX-License-Identifier: Apache-2.0
"""A collection that grows and shrinks: weights, ids, removal, and searching meanwhile."""

import threading
import tracemalloc
import weakref

import numpy as np
import pytest
import scipy.sparse as sp

import reference
from index_cases import SELECTION, assert_right, assert_same, counts, floats, options_id
from trouvaille import _core
from trouvaille.index import InvertedFile, by_word
from trouvaille.index.content import Content

each_selected = pytest.mark.parametrize("options", SELECTION, ids=options_id)
WEIGHTED = [
    {"weighting": "tfidf"},
    {"weighting": "tfidf_smooth", "metric": "cosine"},
    {"weighting": "bm25"},
    {"weighting": "tfidf", "metric": "lp", "p": 1.0, "norm": "l1"},
    {"weighting": "tfidf", "metric": "intersection", "burstiness": "sqrt"},
]
each_weighted = pytest.mark.parametrize("options", WEIGHTED, ids=options_id)


# Weights


@pytest.fixture(params=[by_word.MANY, 10], ids=["of all words", "of those that occur"])
def kept(request, monkeypatch):
    """Numbers are kept of all 20 words, or of those that occur, as if 20 were very many."""
    monkeypatch.setattr(by_word, "MANY", request.param)


@each_selected
@pytest.mark.usefixtures("kept")
def test_the_weights_follow_the_collection(rng, options):
    X, Q = floats(rng, 60, 20), floats(rng, 3, 20)
    found = InvertedFile(20, **options)
    for begin, end in ((0, 10), (10, 11), (11, 60)):
        found.add(X[begin:end])
        assert len(found) == end
        assert_right(found.search(Q, k=9), X[:end], Q, **options)
    gone = rng.choice(60, 25, replace=False)
    kept = np.setdiff1d(np.arange(60), gone)
    for part in (gone[:1], gone[1:]):
        found.remove(part)
    assert_right(found.search(Q, k=50), X[kept], Q, ids=kept, **options)
    np.testing.assert_array_equal(found.document_frequencies, (X[kept] != 0).sum(axis=0))
    found.add(X[:5], ids=np.arange(100, 105))
    rows = [*kept, *range(5)]
    ids = [*kept, *range(100, 105)]
    assert_right(found.search(Q, k=50), X[rows], Q, ids=ids, **options)


@each_weighted
@pytest.mark.usefixtures("kept")
def test_frozen_weights_are_those_of_the_first_part(rng, options, tmp_path):
    X, Q = counts(rng, 60, 20), counts(rng, 3, 20)
    X[:15, 3] = 0  # a word that comes later
    frozen = reference.word_weights(X[:15], options["weighting"])
    found = InvertedFile(20, idf="frozen", **options)
    found.add(np.zeros((0, 20)))
    found.add(X[:15])
    assert_right(found.search(Q, k=9), X[:15], Q, **options)
    found.add(X[15:])
    assert_right(found.search(Q, k=9), X, Q, idf=frozen, **options)
    following = reference.inverted_file_scores(X, Q, **options)
    assert not np.allclose(reference.inverted_file_scores(X, Q, idf=frozen, **options), following)
    found.remove(np.arange(10))
    kept = np.arange(10, 60)
    assert_right(found.search(Q, k=9), X[10:], Q, ids=kept, idf=frozen, **options)
    found.save(tmp_path / "frozen")
    loaded = InvertedFile.load(tmp_path / "frozen")
    loaded.add(X[:10], ids=np.arange(10))
    assert_right(loaded.search(Q, k=9), X, Q, idf=frozen, **options)


@each_weighted
def test_given_weights_stay(rng, options, tmp_path):
    X, Q, idf = floats(rng, 60, 20), floats(rng, 3, 20), rng.random(20) * 5
    idf[4] = 0
    found = InvertedFile.from_csr(sp.csr_array(X[:15]), idf=idf, **options)
    expected = idf.copy()
    idf[:] = 9  # the caller's memory
    assert_right(found.search(Q, k=9), X[:15], Q, idf=expected, **options)
    found.add(X[15:])
    assert_right(found.search(Q, k=9), X, Q, idf=expected, **options)
    found.save(tmp_path / "given")
    loaded = InvertedFile.load(tmp_path / "given")
    assert_same(loaded.search(Q, k=9), found.search(Q, k=9))


@pytest.mark.parametrize("options", [*WEIGHTED, {"weighting": "tfidf", "idf": "frozen"}])
def test_memory_goes_with_the_words_that_occur(rng, options, tmp_path):
    words = np.sort(rng.choice(2**31, (40, 10), replace=False))
    rows = np.ones(400, np.float32), words.ravel(), np.arange(0, 401, 10)
    X = sp.csr_array(rows, shape=(40, 2**31))
    tracemalloc.start()
    try:
        found = InvertedFile.from_csr(X, **options)
        found.add(X[[0]], ids=[100])
        found.remove([3])
        assert found.search(X[[5]], k=1).ids.tolist() == [[5]]
        assert len(found.ids) == 40
        found.save(tmp_path / "x")
        loaded = InvertedFile.load(tmp_path / "x")
        assert loaded.postings(int(words[0, 0]))[0].tolist() == [0, 100]
        assert_same(loaded.search(X, k=3), found.search(X, k=3))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_listed_weights_of_words_are_checked():
    X = sp.csr_array(([1.0, 2.0, 1.0], ([0, 0, 1], [5, 2**30, 2**31 - 1])), shape=(2, 2**31))
    index = InvertedFile.from_csr(X, weighting="tfidf", idf="frozen")
    metadata, arrays = index._state()
    for words in ([5, 5, 7], [7, 5, 9], [5, 6, 2**31]):
        with pytest.raises(ValueError, match="idf_words must ascend, and be below"):
            InvertedFile._from_state(metadata, arrays | {"idf_words": np.array(words, np.uint32)})
    two = np.array([5, 6], np.uint32)
    with pytest.raises(ValueError, match="idf must have 3 entries, got 4"):
        InvertedFile._from_state(metadata, arrays | {"idf_words": two})


def test_a_query_without_words_may_be_at_any_address():
    nothing = np.zeros(1, np.uint8)[1:].view(np.float32)
    found = InvertedFile.from_csr([[1, 0]]).search((np.zeros(0, np.int64), nothing), k=1)
    assert found.scores.tolist() == [[0]]


def test_a_word_that_all_documents_have_weighs_nothing():
    found = InvertedFile.from_csr([[1, 0], [1, 2]], weighting="tfidf")
    assert found.search([[1, 0]], k=2).scores.tolist() == [[0, 0]]
    found.add([[0, 1]])
    assert found.search([[1, 0]], k=1).scores[0, 0] == pytest.approx(np.log(1.5) ** 2)


@pytest.mark.parametrize("p", [1.5, 2.0, 12.0])
@pytest.mark.parametrize("norm", [None, "l2"])
def test_sums_of_powers_are_those_of_the_documents_there_are(rng, p, norm):
    """They are kept from one search to the next; a greater value or sum changes their unit."""
    options = {"metric": "lp", "p": p, "norm": norm}
    X, Q = floats(rng, 40, 20), floats(rng, 3, 20)
    Q[2] = 0
    X[20:30] *= 9
    X[30, :15] = 8
    index = InvertedFile.from_csr(X[:10], **options)
    index.search(Q, 5)
    for end in (20, 30, 40):
        index.add(X[end - 10 : end])
        index.search(Q, 5)
    index.remove([2, 33])
    kept = np.delete(np.arange(40), [2, 33])
    fresh = InvertedFile.from_csr(X[kept], ids=kept, **options)
    found = index.search(Q, 38)
    assert_same(found, fresh.search(Q, 38))
    assert_right(found, X[kept], Q, ids=kept, **options)


# Ids


def test_default_ids_are_never_used_again():
    found = InvertedFile.from_csr([[1], [2], [3]])
    found.remove([1, 2])
    found.add([[4]])
    assert found.ids.tolist() == [0, 3]
    found.remove([3])
    found.optimize()
    found.add([[5], [6]])
    assert found.ids.tolist() == [0, 4, 5]
    assert found.search([[1]], k=4).ids.tolist() == [[5, 4, 0, -1]]


def test_default_ids_follow_the_largest_there_ever_was():
    found = InvertedFile.from_csr([[1], [2]], ids=[7, 5])
    found.add([[3]], ids=[6])
    found.remove([7])
    found.add([[4]])
    assert found.ids.tolist() == [5, 6, 8]


def test_row_numbers_go_on_after_given_ids():
    found = InvertedFile.from_csr([[1], [2]], ids=[7, 5])
    found.add([[3]])
    found.add([[0]], ids=[6])
    assert found.ids.tolist() == [7, 5, 2, 6]
    with pytest.raises(ValueError, match="distinct"):
        found.add([[9], [9]], ids=[8, 8])
    with pytest.raises(ValueError, match="5 is in it"):
        found.add([[9], [9]], ids=[8, 5])
    assert found.search([[1]], k=5).ids.tolist() == [[2, 5, 7, 6, -1]]


def test_a_removed_id_may_be_given_again():
    found = InvertedFile.from_csr([[1], [2]], ids=[7, 5])
    found.remove([7])
    found.add([[3]], ids=[7])
    result = found.search([[1]], k=3)
    assert (result.ids.tolist(), result.scores.tolist()) == ([[7, 5, -1]], [[3, 2, -np.inf]])
    found.remove([7])
    assert found.search([[1]], k=2).ids.tolist() == [[5, -1]]


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([3, 99], ValueError, "99"),
        ([3, 20], ValueError, "20"),  # removed before
        ([-1], ValueError, "-1"),
        ([3, 3], ValueError, "3"),
        ([[3]], ValueError, "1-D"),
        ([0.5], ValueError, "ids"),
        (None, TypeError, "ids"),
    ],
)
def test_ids_that_cannot_be_removed_are_named_and_none_is(ids, error, message):
    found = InvertedFile.from_csr([[1], [2], [3]], ids=[10, 3, 20])
    found.remove([20])
    with pytest.raises(error, match=message):
        found.remove(ids)
    assert found.search([[1]], k=3).ids.tolist() == [[3, 10, -1]]
    assert len(found) == 2


@each_weighted
@pytest.mark.parametrize("shuffled", [False, True])
def test_many_removals_and_one_are_the_same(rng, options, shuffled, monkeypatch):
    X, Q = counts(rng, 300, 20), counts(rng, 3, 20)
    ids = rng.permutation(300) * 2 if shuffled else np.arange(300)
    gone = rng.permutation(ids)[:200]
    found, at_once = (InvertedFile.from_csr(X[:250], ids[:250], **options) for _ in range(2))
    before = found.search(Q, k=300)
    reader = found._writer.reader(1)
    keeping, calls = Content.keeping, []
    monkeypatch.setattr(Content, "keeping", lambda *args: calls.append(args) or keeping(*args))
    found.add(X[250:], ids[250:])
    for id in gone:  # of those that wait, too
        found.remove([id])
        with pytest.raises(ValueError, match=f"{id} is not"):
            found.remove([id])
    assert len(found) == 100
    at_once.add(X[250:], ids[250:])
    at_once.remove(gone)
    assert_same(found.search(Q, k=300), at_once.search(Q, k=300))
    np.testing.assert_array_equal(found.ids, ids[~np.isin(ids, gone)])
    np.testing.assert_array_equal(found.document_frequencies, at_once.document_frequencies)
    assert len(calls) <= 3  # the collection is not written again at every call
    assert_same(tuple(before), reader.search(found._queries(Q), 300, 1, None))


def test_a_removal_that_waits_is_saved(tmp_path):
    found = InvertedFile.from_csr([[1], [2], [3]])
    found.remove([1])
    found.save(tmp_path / "x")
    assert InvertedFile.load(tmp_path / "x").ids.tolist() == [0, 2]


@each_selected
def test_a_collection_without_documents(options):
    found = InvertedFile(3, **options)
    for _ in range(2):
        result = found.search([[1, 0, 2]], k=2)
        missing = np.inf if options["metric"] == "lp" else -np.inf
        assert result.ids.tolist() == [[-1, -1]]
        assert result[0].tolist() == [[missing, missing]]
        assert len(found) == 0
        found.optimize()
        found.add([[1, 2, 0], [0, 0, 0]])
        found.remove(found.ids)
        found.optimize()
    assert found.search(np.zeros((0, 3)), k=2).ids.shape == (0, 2)


# Searching while another thread adds and removes


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
    assert_same(found.search(X[:1]), InvertedFile.from_csr(X).search(X[:1]))
    dense = reference.inverted_file_scores(X, X[:1])
    for result in results:
        n = (result.ids >= 0).sum()
        scores, ids = reference.best(dense[:, :n], len(X))
        np.testing.assert_array_equal(result.ids, ids)
        np.testing.assert_array_equal(result.scores, scores)


def test_many_threads_search_one_collection_that_changes(rng):
    """Each answer is that of one moment: weights, documents and ids belong together."""
    X = counts(rng, 64, 30) + np.eye(64, 30, dtype=int)
    options = {"metric": "cosine", "weighting": "tfidf"}
    found = InvertedFile.from_csr(X, **options)
    query = X[:1]
    allowed = [InvertedFile.from_csr(X[n:], np.arange(n, 64), **options) for n in range(64)]
    allowed = {answer(one, query) for one in allowed}
    results, errors = [], []

    def search():
        try:
            results.extend(answer(found, query) for _ in range(60))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(50):
        found.remove([n])
        if n % 16 == 0:
            found.optimize()
    for thread in threads:
        thread.join()
    assert not errors
    assert set(results) <= allowed


def answer(found, query):
    result = found.search(query, k=70, threads=1)
    return result.scores.tobytes(), result.ids.tobytes()


@pytest.mark.parametrize("change", ["add", "remove", "optimize"])
def test_what_was_searched_before_a_change_is_let_go(rng, change):
    found = InvertedFile.from_csr(counts(rng, 90, 20))
    found.remove([7])
    found.search(counts(rng, 2, 20))
    reader = weakref.ref(found._writer._reader)
    if change == "add":
        found.add(counts(rng, 1024, 20), ids=np.arange(1000, 2024))
        assert len(found.ids) == 1113
    elif change == "remove":
        found.remove([8])
    else:
        found.optimize()
    assert reader() is None


def test_add_that_is_interrupted_adds_nothing(monkeypatch):
    found = InvertedFile(3)
    build, calls = _core.build_blocks, []

    def interrupted(*args):
        calls.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr(_core, "build_blocks", interrupted)
    added = 0
    while not calls:  # rows wait until they are many
        try:
            found.add([[1, 2, 3]])
            added += 1
        except KeyboardInterrupt:
            assert len(found) == added
    monkeypatch.setattr(_core, "build_blocks", build)
    found.add([[1, 2, 3]])
    np.testing.assert_array_equal(found.ids, np.arange(added + 1))
