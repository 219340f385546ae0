# SPDX-License-Identifier: Apache-2.0
"""What values come in, how they are kept, and what comes out again."""

import numpy as np
import pytest
import scipy.sparse as sp

import reference
from index_cases import SELECTION, assert_right, assert_same, counts, floats, options_id
from trouvaille import _core, _sparse
from trouvaille.index import InvertedFile

each_selected = pytest.mark.parametrize("options", SELECTION, ids=options_id)
KINDS = ("auto", "float32", "float16", "uint8")


def frequencies(rng, n, num_words):
    """Term frequencies of 1 in most places, and of everything up to 65,535 in others."""
    X = rng.choice([0, 1], (n, num_words), p=[0.5, 0.5])
    rare = rng.random((n, num_words)) < 0.1
    X[rare] = rng.integers(1, 300, rare.sum())
    X[0], X[1, ::2], X[2, ::3] = 65_535, 65_534, 256
    X[3], X[4, :] = 255, np.arange(num_words) % 300 + 1
    return X


def stored(X, **options):
    """What a collection of dense rows keeps, dense again."""
    return InvertedFile.from_csr(sp.csr_array(X), **options).to_csr().toarray()


# Counts


@each_selected
@pytest.mark.parametrize("n", [30, 700])
def test_many_different_term_frequencies(rng, isa, options, n):
    X = frequencies(rng, n, 40)
    found = InvertedFile.from_csr(sp.csr_array(X), **options)
    np.testing.assert_array_equal(found.to_csr().toarray(), X)
    Q = np.concatenate([X[:6], frequencies(rng, 5, 40)])
    assert_right(found.search(Q, k=20), X, Q, **options)


def test_products_of_large_counts_are_exact(rng, isa):
    X = frequencies(rng, 600, 40)
    dense = reference.inverted_file_scores(X, X[:6])
    found = InvertedFile.from_csr(sp.csr_array(X)).search(X[:6], k=600)
    scores, ids = reference.best(dense, 600)
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.ids, ids)


@pytest.mark.parametrize("value", [1, 2, 255, 256, 65_535, 65_536, 2**24, 0.5, -1, 1.0000001])
def test_every_value_that_float32_has_is_kept(value):
    X = np.array([[value, 1], [0, 1]], np.float32)
    np.testing.assert_array_equal(stored(X), X)
    np.testing.assert_array_equal(stored(X, values="float32"), X)
    assert InvertedFile.from_csr(X).search([[1, 0]], k=1).scores.tolist() in (
        [[float(X[0, 0])]],
        [[0.0]],  # of the other document, where the value is negative
    )


# Rounding


def test_float64_is_rounded_to_float32(rng, isa):
    X = sp.random_array((60, 20), density=0.4, rng=rng, format="csr")
    Q = rng.random((3, 20)) / 3
    found = InvertedFile.from_csr(X)
    np.testing.assert_array_equal(found.to_csr().data, X.data.astype(np.float32))
    assert_same(found.search(Q, k=60), InvertedFile.from_csr(X.astype(np.float32)).search(Q, k=60))
    assert_right(found.search(Q, k=60), X.toarray(), Q)


def test_float16_is_off_by_its_rounding(rng):
    X = floats(rng, 90, 30, density=0.4, negative=True) * rng.choice([0.1, 1, 100], (1, 30))
    kept = stored(X, values="float16")
    assert (np.abs(kept - X) <= np.abs(X) * 2**-11).all()
    assert (kept != np.float32(X)).any()
    exact = counts(rng, 90, 30, largest=2048)
    np.testing.assert_array_equal(stored(exact, values="float16"), exact)


@pytest.mark.parametrize("value", [6e-5, 65_505.0, -1e30])
def test_what_float16_has_not_is_refused(value):
    found = InvertedFile(1, values="float16")
    with pytest.raises(ValueError, match="must be 0 or between"):
        found.add([[value]])
    assert len(found) == 0


@pytest.mark.parametrize("scale", [1e-6, 1, 1e6])
def test_uint8_is_off_by_a_510th_of_the_largest(rng, scale):
    X = floats(rng, 300, 30, density=0.4) * scale
    kept = stored(X, values="uint8")
    assert (np.abs(kept - X) <= X.max() / 510 * (1 + 1e-5)).all()
    assert ((kept != 0) <= (X != 0)).all()
    assert (np.abs(kept - X) > X.max() / 600).any()
    bytes_ = rng.integers(0, 256, (300, 30))
    bytes_[0] = 255
    np.testing.assert_allclose(stored(bytes_, values="uint8"), bytes_, rtol=1e-6)


def test_what_does_not_fit_the_bytes_that_there_are_is_refused():
    found = InvertedFile.from_csr([[255.0, 51.0]], values="uint8")
    for refused, message in ((-1.0, "negative"), (300.0, "uint8|8 bits")):
        with pytest.raises(ValueError, match=message):
            found.add([[1.0, refused]])
    found.add([[2.0, 254.0]])
    np.testing.assert_allclose(found.to_csr().toarray(), [[255, 51], [2, 254]], rtol=1e-6)


@each_selected
@pytest.mark.parametrize("values", ["float16", "uint8"])
def test_a_search_is_exact_for_what_was_kept(rng, isa, options, values):
    X, Q = floats(rng, 200, 30), floats(rng, 3, 30)
    found = InvertedFile.from_csr(sp.csr_array(X), values=values, **options)
    kept = found.to_csr().toarray()
    if ((kept != 0) == (X != 0)).all():  # else a small value is kept as zero, but counts in df
        assert_right(found.search(Q, k=20), kept, Q, **options)
    else:
        assert values == "uint8"


def test_fewer_bits_take_fewer_bytes(rng):
    X = sp.csr_array(floats(rng, 2000, 100, density=0.05))
    sizes = [InvertedFile.from_csr(X, values=v).stats().bytes_a_posting for v in KINDS[1:]]
    assert sizes[0] > sizes[1] + 1.5 > sizes[2] + 2
    ones = sp.csr_array((np.ones(X.nnz), X.indices, X.indptr), X.shape)
    assert InvertedFile.from_csr(ones).stats().bytes_a_posting < sizes[2]


# Extremes


@pytest.mark.parametrize("p", [1.0, 1.5, 8.0])
def test_bytes_when_the_greatest_value_has_left(rng, isa, p):
    """What it fixed stays: 255 steps are then more than any value there is."""
    X = rng.random((2000, 3))
    X[0] = 50
    index = InvertedFile.from_csr(X, metric="lp", p=p, values="uint8")
    before = index.search(X[1:2], 20)
    index.remove([0])
    index.optimize()
    after = index.search(X[1:2], 20)
    np.testing.assert_allclose(after.distances, before.distances, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18, 1e30])
@pytest.mark.parametrize("metric", ["dot", "cosine", "intersection", "hellinger", "lp"])
def test_the_scale_of_the_values_does_not_matter(rng, isa, scale, metric):
    X, Q = floats(rng, 60, 20), floats(rng, 3, 20)
    X, Q = np.float32(X * scale), np.float32(Q * scale)
    options = {"metric": metric} | ({"p": 1.0} if metric == "lp" else {})
    found = InvertedFile.from_csr(sp.csr_array(X), **options).search(Q, k=20)
    assert_right(found, X, Q, **options)


def test_small_values_beside_large_ones(rng, isa):
    """Each product is right to a millionth of its own terms, not of the largest of all."""
    X = np.diag(10.0 ** np.arange(-30, 30, 6))
    Q = np.ones((1, 10))
    assert_right(InvertedFile.from_csr(X).search(Q, k=10), X, Q)


@each_selected
def test_what_is_tiny_beside_the_rest_is_not_lost(isa, options):
    """A document may share nothing with a query but what is next to nothing."""
    X = np.float32([[0, 1, 0, 0], [0, 2, 1e25, 0], [3, 0, 1e25, 0], [0, 3, 0, 1e-20], [1, 0, 0, 2]])
    Q = np.float32([[1, 1e-20, 0, 0], [1, 1, 0, 1], [0, 1e-20, 0, 1e20]])
    for rows in (X, np.float32([[0, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0]])):
        found = InvertedFile.from_csr(rows, **options).search(Q, k=5)
        assert_right(found, rows, Q, **options)


def test_what_was_tiny_does_not_matter_to_joining(rng):
    X = floats(rng, 60, 30)
    X[7] = 0
    X[7, 3] = 1e-30
    joined, apart = InvertedFile.from_csr(X), InvertedFile(30)
    for i in range(0, 60, 7):
        apart.add(X[i : i + 7], ids=np.arange(i, min(i + 7, 60)))
        apart.search(X[:1])
    for index in (joined, apart):
        index.remove([7])
    expected = joined.search(X, k=20)
    joined.optimize()
    for index in (joined, apart):
        for ours, theirs in zip(index.search(X, k=20), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("value", [1e-38, 3.1e38, -1e39, 1e-45, 1e300, 5e-324])
def test_values_that_float32_has_not_are_refused(value):
    found = InvertedFile.from_csr([[1.0, 2.0]])
    for refused in (found.add, found.search):
        with pytest.raises(ValueError, match="must be 0 or between"):
            refused([[1.0, value]])
    assert len(found) == 1


# Views of the collection


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_out_is_what_went_in(rng, kind):
    X = counts(rng, 90, 30, largest=200).astype(float)
    X[5] = 0
    X[0, X[0] > 0] = 255  # bytes of a word whose largest is 255 are exact
    X = np.minimum(X, 255) if kind != "uint8" else np.where(X > 0, 255.0, 0)
    ids = rng.permutation(900)[:90]
    found = InvertedFile.from_csr(sp.csr_array(X[:40]), ids[:40], values=kind, forward=True)
    found.add(sp.csr_array(X[40:]), ids[40:])
    found.remove(ids[[3, 50]])
    kept = np.delete(np.arange(90), [3, 50])
    for _ in range(2):
        out = found.to_csr()
        assert isinstance(out, sp.csr_array)
        assert out.shape == (88, 30)
        assert out.has_canonical_format
        np.testing.assert_allclose(out.toarray(), X[kept], rtol=1e-6)
        np.testing.assert_array_equal(found.ids, ids[kept])
        assert len(found) == 88
        for word in range(30):
            numbers, values = found.postings(word)
            expected = {int(ids[row]): X[row, word] for row in kept if X[row, word]}
            assert dict(zip(numbers.tolist(), values.tolist(), strict=True)) == pytest.approx(
                expected, rel=1e-6
            )
        for row in (0, 5, 39, 40, 89):
            words, values = found.document(int(ids[row]))
            assert words.tolist() == np.flatnonzero(X[row]).tolist()
            np.testing.assert_allclose(values, X[row][X[row] != 0], rtol=1e-6)
        found.optimize()


def test_documents_and_words_that_are_not_there():
    found = InvertedFile.from_csr([[1, 2]], ids=[4], forward=True)
    for number in (0, -1, 5):
        with pytest.raises(ValueError, match=str(number)):
            found.document(number)
    for word in (-1, 2, 2**32):
        with pytest.raises(ValueError, match=str(word)):
            found.postings(word)
    with pytest.raises(ValueError, match="got 0, but the index has no columns"):
        InvertedFile(0).postings(0)
    found.remove([4])
    with pytest.raises(ValueError, match="4"):
        found.document(4)
    with pytest.raises(ValueError, match="forward"):
        InvertedFile.from_csr([[1, 2]]).document(0)


def test_stats(rng):
    X = counts(rng, 300, 30, density=0.3)
    found = InvertedFile.from_csr(sp.csr_array(X), forward=True)
    found.add(sp.csr_array(X))
    found.remove(np.arange(100))
    rows = np.concatenate([X[100:], X])
    stats = found.stats()
    assert (stats.n_documents, stats.num_words) == (500, 30)
    np.testing.assert_array_equal(stats.document_frequencies, (rows != 0).sum(axis=0))
    found.optimize()
    stats = found.stats()
    assert (stats.n_documents, stats.n_removed, stats.n_blocks) == (500, 0, 1)
    assert stats.n_postings == (rows != 0).sum()
    assert stats.longest_list == (rows != 0).sum(axis=0).max()
    assert stats.bytes_a_posting == pytest.approx(stats.postings_bytes / stats.n_postings)
    assert stats.forward_bytes > 0
    assert InvertedFile.from_csr(sp.csr_array(X)).stats().forward_bytes == 0


# Untidy input


def untidy():
    """A CSR with words out of order, given twice, and explicit zeros; and what it means."""
    data = np.array([1.0, 2.0, 4.0, 0.0, 3.0, -3.0, 8.0])
    indices = np.array([2, 0, 2, 1, 1, 1, 0])
    indptr = np.array([0, 4, 6, 6, 7])
    meaning = np.array([[2, 0, 5], [0, 0, 0], [0, 0, 0], [8, 0, 0]])
    return sp.csr_array((data, indices, indptr), shape=(4, 3)), meaning


@pytest.mark.parametrize(
    "options", [{"metric": "dot"}, SELECTION[1], SELECTION[-1]], ids=options_id
)
@pytest.mark.parametrize("kind", ["auto", "float32"])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_untidy_rows_mean_their_sums_and_stay_as_they_are(options, kind, index_dtype):
    X, meaning = untidy()
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    arrays = (X.data, X.indices, X.indptr)
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    if options.get("burstiness") or options.get("weighting") == "bm25":
        X.data = np.abs(X.data)
        meaning = X.toarray()
    actual = InvertedFile.from_csr(X, values=kind, **options)
    tidy = InvertedFile.from_csr(meaning, values=kind, **options)
    np.testing.assert_array_equal(actual.document_frequencies, (meaning != 0).sum(axis=0))
    assert actual.stats().n_postings == tidy.stats().n_postings == (meaning != 0).sum()
    assert_same(actual.search(X, k=4), tidy.search(meaning, k=4))
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


ROWS = {
    "tidy": ([0, 2, 2, 5], [1, 3, 0, 1, 6], [1, -2, 3, 4, 5]),
    "of one row": ([0, 3], [0, 2, 6], [1, 2, 3]),
    "without words": ([0, 0], [], []),
    "of more words than are said": ([0, 2], [1, 3, 2, 2], [1, 2, 3, 4]),
    "unsorted": ([0, 2, 3], [3, 1, 0], [1, 2, 3]),
    "repeated": ([0, 3], [1, 1, 2], [1, 2, 3]),
    "with a zero": ([0, 3], [1, 2, 3], [1, 0, 3]),
    "with a negative word": ([0, 2], [-1, 2], [1, 2]),
    "with a word too many": ([0, 2], [1, 7], [1, 2]),
    "with a word beyond 2^32": ([0, 2], [1, 2**32 + 2], [1, 2]),
    "not a number": ([0, 2], [1, 2], [1, np.nan]),
    "infinite": ([0, 2], [1, 2], [-np.inf, 1]),
    "too small": ([0, 2], [1, 2], [1, -1e-38]),
    "too large": ([0, 2], [1, 2], [1, 3.2e38]),
    "with a large whole number": ([0, 2], [1, 2], [2**53 + 1, -(2**63)]),
    "with fewer values": ([0, 2], [1, 2], [1]),
    "of two axes": ([0, 2], [1, 2], [[1, 2]]),
}
DTYPES = (np.int64, np.float32, np.float64, np.int16, np.float16, np.longdouble, ">f4", bool)


@pytest.mark.parametrize("word_dtype", [np.int32, np.int64, np.uint32, np.uint8, np.float64, ">i4"])
@pytest.mark.parametrize("rows", ROWS)
def test_rows_that_are_taken_at_a_glance_are_those_of_a_closer_look(rows, word_dtype, monkeypatch):
    def looked_at(indptr, indices, data, glance):
        with monkeypatch.context() as patch:
            if not glance:
                patch.setattr(_core, "rows_are_tidy", lambda *_: False)
            matrix = _sparse.Matrix(indptr, indices, data, 7, ("X.indices", "X.data"))
            try:
                return matrix.rows()
            except (TypeError, ValueError) as error:
                return type(error), str(error)

    indptr, indices, data = ROWS[rows]
    for dtype in DTYPES:
        with np.errstate(all="ignore"):  # what has no such number becomes another
            words = np.array(indices).astype(word_dtype)
            values = np.array(data).astype(dtype)
        for step in (1, 2):  # the arrays, and every other place of longer ones
            apart = [np.repeat(array, step)[::step] for array in (words, values)]
            glance = looked_at(np.array(indptr), *apart, glance=True)
            look = looked_at(np.array(indptr), *apart, glance=False)
            assert len(glance) == len(look)
            for one, other in zip(glance, look, strict=True):
                np.testing.assert_array_equal(one, other, strict=isinstance(other, np.ndarray))


def test_sums_of_repeated_entries_do_not_wrap_or_round_early():
    X = sp.csr_array((np.uint8([200, 100]), [0, 0], [0, 2]), shape=(1, 1))
    assert InvertedFile.from_csr(X).search([[1]], k=1).scores.tolist() == [[300]]
    halves = sp.csr_array(([1.0, 2**-25, 2**-25], [0, 0, 0], [0, 3]), shape=(1, 1))
    assert InvertedFile.from_csr(halves).to_csr().data.tolist() == [np.float32(1 + 2**-24)]
    ones = sp.csr_array((np.ones(70_000), np.zeros(70_000, int), [0, 70_000]), shape=(1, 1))
    assert stored(ones).tolist() == [[70_000]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_and_adds_nothing(bad):
    X = sp.csr_array((np.array([1.0, bad]), [0, 1], [0, 1, 2]), shape=(2, 2))
    found = InvertedFile.from_csr([[1, 2]])
    for given in (X, X.toarray()):
        for refused in (found.add, found.search, InvertedFile.from_csr):
            with pytest.raises(ValueError, match="finite"):
                refused(given)
    with pytest.raises(TypeError, match="complex"):
        found.add(X.astype(complex))
    assert len(found) == 1


def test_uint8_has_no_step_before_there_are_values(tmp_path):
    X = np.array([[0.3, 0.1, 0], [0, 0.2, 0.3]])
    found = InvertedFile(3, values="uint8")
    found.add(np.zeros((2, 3)))
    found.search(X)
    found.save(tmp_path / "x")
    expected = stored(X, values="uint8")
    assert (expected[0] > 0.09).tolist() == [True, True, False]
    for index in (found, InvertedFile.load(tmp_path / "x")):
        index.add(X)
        index.add(np.zeros((1, 3)))
        np.testing.assert_array_equal(index.to_csr().toarray()[2:4], expected)
        index.optimize()
        index.save(tmp_path / "y")
        again = InvertedFile.load(tmp_path / "y").to_csr().toarray()
        np.testing.assert_array_equal(again[2:4], expected)
        assert (again[[0, 1, 4]] == 0).all()
        with pytest.raises(ValueError, match="for uint8"):
            index.add([[1.0, 0, 0]])
