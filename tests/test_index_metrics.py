# SPDX-License-Identifier: Apache-2.0
"""Every metric, weighting, norm and burstiness equals the dense computation."""

import numpy as np
import pytest
import scipy.sparse as sp

import reference
from index_cases import (
    NON_NEGATIVE,
    POWERS,
    SELECTION,
    assert_right,
    combinations,
    counts,
    floats,
    options_id,
    signed,
)
from trouvaille.index import InvertedFile

each_selected = pytest.mark.parametrize("options", SELECTION, ids=options_id)
each_power = pytest.mark.parametrize("p", POWERS)


def search(X, Q, k=10, **options):
    return InvertedFile.from_csr(sp.csr_array(X), **options).search(sp.csr_array(Q), k)


def distances_to(query, X, **options):
    """The distance of each document, in the order of the rows."""
    found = search(X, query[None], k=len(X), metric="lp", **options)
    return found.distances[0, np.argsort(found.ids[0], kind="stable")]


@pytest.mark.parametrize("options", combinations(), ids=options_id)
@pytest.mark.parametrize("values", [counts, floats])
def test_every_combination_equals_the_reference(rng, isa, values, options):
    more = {"negative": True} if values is floats and signed(options) else {}
    X, Q = values(rng, 40, 30, **more), values(rng, 3, 30, **more)
    X[7], Q[1] = 0, 0  # an empty document and an empty query
    assert_right(search(X, Q, **options), X, Q, **options)


@each_selected
@pytest.mark.parametrize("n", [1, 15, 16, 17, 63, 64, 65, 1000])
def test_every_size_equals_the_reference(rng, isa, threads, options, n):
    X, Q = floats(rng, n, 40), floats(rng, 2, 40)
    found = InvertedFile.from_csr(sp.csr_array(X), **options).search(Q, 25, threads=threads)
    assert_right(found, X, Q, **options)


@each_selected
@pytest.mark.parametrize("density", [0.05, 0.07, 0.5, 1.0])
def test_lists_of_most_documents(rng, isa, options, density):
    """A list of more than a sixteenth of the documents may be kept in another way."""
    for values in (counts, floats):
        X, Q = values(rng, 600, 8, density=density), values(rng, 2, 8, density=0.8)
        X[:, 0] = 1
        assert_right(search(X, Q, k=30, **options), X, Q, **options)


@each_selected
def test_many_equal_documents_come_in_the_order_of_their_ids(rng, isa, options):
    X = counts(rng, 5, 12, density=0.5)[rng.integers(0, 5, 500)]
    Q, ids = counts(rng, 3, 12, density=0.5), rng.permutation(500) + 2**40
    found = InvertedFile.from_csr(sp.csr_array(X), ids, **options).search(Q, k=120)
    assert_right(found, X, Q, ids=ids, **options)
    rows = {tuple(row): [] for row in X.tolist()}
    for number, row in sorted(zip(ids.tolist(), X.tolist(), strict=True)):
        rows[tuple(row)].append(number)
    for found_ids in found.ids.tolist():  # equal documents: the smallest ids, in order
        for numbers in rows.values():
            returned = [number for number in found_ids if number in numbers]
            assert returned == numbers[: len(returned)]


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 300])
@pytest.mark.parametrize("k", [1, 20, 400])
def test_products_of_counts_are_exact(rng, isa, threads, n, k):
    X, Q = counts(rng, n, 30), counts(rng, 7, 30) - counts(rng, 7, 30)
    dense = reference.inverted_file_scores(X, Q)
    for ids in (None, np.arange(n) * 3 + 2**40, rng.permutation(n)):
        found = InvertedFile.from_csr(sp.csr_array(X), ids).search(Q, k, threads=threads)
        scores, expected = reference.best(dense, k, ids)
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.ids, expected)


# Distances without cancellation


@each_power
@pytest.mark.parametrize("weighting", [None, "tfidf"])
@pytest.mark.parametrize("norm", [None, "l1", "l2"])
@pytest.mark.parametrize("burstiness", [None, "sqrt"])
def test_a_document_is_at_no_distance_from_itself(rng, isa, p, weighting, norm, burstiness):
    options = {"p": p, "weighting": weighting, "norm": norm, "burstiness": burstiness}
    for values in (counts, floats):
        X = values(rng, 60, 300)
        found = search(X, X[:8], k=1, metric="lp", **options)
        assert found.distances.tolist() == [[0]] * 8
        assert found.ids[:, 0].tolist() == list(range(8))


@each_power
@pytest.mark.parametrize("change", [1e-1, 1e-3, 1e-5])
def test_near_documents_are_at_their_exact_distance(rng, isa, p, change):
    X = floats(rng, 60, 300, negative=True)
    X[:30] = X[0]
    query = X[0].copy()
    word = np.flatnonzero(query)[5]
    query[word] *= 1 + change
    actual = distances_to(query, X, p=p)
    near = abs(float(query[word]) - float(X[0, word]))
    np.testing.assert_allclose(actual[:30], near, rtol=1e-4)
    np.testing.assert_allclose(
        actual, reference.inverted_file_scores(X, query[None], "lp", p=p)[0], rtol=1e-4
    )


@each_power
def test_the_nearest_of_many_near_documents_is_found(rng, isa, p):
    """Their distances differ by far more than the rounding of the sums of powers allows."""
    X = np.tile(rng.integers(200, 250, 400).astype(float), (50, 1))
    steps = rng.permutation(50)
    X[np.arange(50), rng.integers(0, 400, 50)] += steps
    found = search(X, X[[np.argmin(steps)]], k=50, metric="lp", p=p)
    assert found.ids[0].tolist() == np.argsort(steps, kind="stable").tolist()
    np.testing.assert_allclose(found.distances[0], np.arange(50), rtol=1e-4)


def documents_of(kind, rng, p):
    """Rows that the sums of p-th powers tell from each other with more or less trouble."""
    X = floats(rng, 400, 60)
    if kind == "steep":  # one value of a row is most of its norm
        X = np.where(X > 0, np.minimum(np.ceil(rng.pareto(1, X.shape) * 3), 700), 0)
    if (
        kind == "alike"
    ):  # multiples of few rows, with small differences and small words of their own
        X = np.tile(X[:20], (20, 1)) * rng.integers(1, 20, (400, 1)) / 7
        X += (rng.random(X.shape) < 0.02) * 10.0 ** -rng.integers(0, 7, X.shape)
    return X, X[:6] + 0.01 * (rng.random((6, 60)) < 0.05)


@pytest.mark.parametrize("kind", ["even", "steep", "alike"])
@pytest.mark.parametrize("p", [0.1, *POWERS, 4.0, 6.0, 8.0, 9.0, 20.0, 100.0])
def test_the_nearest_are_found_whatever_p(rng, isa, kind, p):
    X, Q = documents_of(kind, rng, p)
    dense = reference.inverted_file_scores(X, Q, "lp", p=p)
    nearest = np.sort(dense, 1)[:, :10]
    index = InvertedFile.from_csr(X, metric="lp", p=p)
    found = index.search(Q, 10)
    # 2^-20 of a power, and 0.1 makes ten times that of it.
    np.testing.assert_allclose(found.distances, nearest, rtol=1e-5 if p < 0.5 else 1e-6)
    np.testing.assert_allclose(np.take_along_axis(dense, found.ids, 1), nearest, rtol=1e-5)
    for i, query in enumerate(Q):
        threshold = found.distances[i, 7]
        within = index.range_search(query[None], threshold)
        count = (found.distances[i] <= threshold).sum()
        assert within.ids.tolist() == found.ids[i, :count].tolist()
        assert within.distances.tolist() == found.distances[i, :count].tolist()


@pytest.mark.parametrize("p", [9.0, 80.0, 300.0])
def test_large_p_among_ties_masked_and_removed_rows(rng, p):
    """Distances are all but the greatest difference, which many rows share."""
    for _ in range(60):
        X = np.round(rng.standard_normal((30, 3)), 1) * (rng.random((30, 3)) < 0.7)
        Q, mask = np.round(rng.normal([0, 3, 0], 1, (2, 3)), 1), rng.random(30) < 0.7
        index = InvertedFile.from_csr(X, metric="lp", p=p)
        index.remove([3, 17])
        mask[[3, 17]] = False
        dense = reference.inverted_file_scores(X, Q, "lp", p=p)
        found = index.search(Q, 8, mask=mask)
        nearest = np.sort(np.where(mask, dense, np.inf), 1)[:, :8]
        np.testing.assert_allclose(found.distances, nearest, rtol=1e-6)
        for ids, distances in zip(found.ids, dense, strict=True):
            assert len(set(ids.tolist())) == 8
            assert mask[ids].all()
            np.testing.assert_allclose(distances[ids], np.sort(distances[mask])[:8], rtol=1e-6)


@pytest.mark.parametrize("p", [0.7, 3.0, 20.0, 60.0, 400.0])
def test_an_empty_query_is_nearest_to_the_smallest_rows(p):
    X = np.array([[2e-6, 0], [1e-6, 0], [1.0, 0], [0, 0], [1e-6, 1e-6]])
    found = search(X, np.zeros((1, 2)), k=5, metric="lp", p=p)
    expected = [reference.distance(row, p) for row in np.float32(X).astype(float)]
    np.testing.assert_allclose(found.distances[0], np.sort(expected), rtol=1e-6)
    assert found.ids[0, 0] == 3
    assert sorted(found.ids[0].tolist()) == list(range(5))
    np.testing.assert_allclose(np.array(expected)[found.ids[0]], found.distances[0], rtol=1e-6)


@pytest.mark.parametrize("p", [0.6, 1.1, 2.0, 7.3])
def test_a_query_with_a_value_beyond_all_documents(rng, isa, p):
    X = rng.random((3, 3000))
    X[:, 0] = 0
    query = X[1].copy()
    query[0] = 2.5
    found = search(X, query[None], k=1, metric="lp", p=p)
    assert found.ids.tolist() == [[1]]
    np.testing.assert_allclose(found.distances, 2.5, rtol=1e-6)


@pytest.mark.parametrize("p", [3.0, 8.0, 12.0])
def test_a_small_word_of_a_document_alone_counts(rng, isa, p):
    """Its power is nothing beside those of what the rows have in common."""
    X = np.tile(floats(rng, 1, 60), (3, 1))
    X[:, 0] = [0, 1e-4, 2e-5]
    found = search(X, X[:1], k=3, metric="lp", p=p)
    assert found.ids.tolist() == [[0, 2, 1]]
    np.testing.assert_allclose(found.distances, [[0, 2e-5, 1e-4]], rtol=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.4])
def test_small_p_counts_values_of_all_magnitudes(isa, p):
    X = np.array([[1e-37, 1e-37, 1e30], [1e-37, 0, 1e30], [0, 0, 1e30]])
    found = distances_to(np.zeros(3), X, p=p)
    np.testing.assert_allclose(found, [reference.distance(row, p) for row in X], rtol=1e-5)


@pytest.mark.parametrize(("p", "largest"), [(60.0, 1e6), (500.0, 1.0), (1e9, 1.0)])
def test_powers_beyond_float64_are_refused(p, largest):
    index = InvertedFile.from_csr(np.array([[largest, 0], [0.5, 0.2]]), metric="lp", p=p)
    with pytest.raises(ValueError, match=r"^p = .* is too large for these values"):
        index.search(np.array([[0.2, 0]]))


def test_distances_of_documents_without_a_common_word():
    X = np.array([[0, 4.0, 0], [0, 0, 0]])
    assert distances_to(np.array([3.0, 0, 0]), X).tolist() == [5, 3]
    assert distances_to(np.zeros(2), np.array([[3.0, 4], [0, 0]]), p=1.0).tolist() == [7, 0]


def test_bm25_of_tiny_values(isa):
    X = np.array([[1e-35], [1.0], [2.0]])
    for options in ({"b": 1.0}, {"k1": 0.0}, {"k1": 1e-33, "b": 0.0}):
        found = search(X, [[1.0]], k=3, weighting="bm25", **options)
        dense = reference.inverted_file_scores(X, [[1.0]], weighting="bm25", **options)
        np.testing.assert_allclose(found.scores, -np.sort(-dense), rtol=1e-6)


# By hand


def test_tf_idf_by_hand():
    # Word 0 is in one of four documents, word 1 in two, word 2 in all, word 3 in none.
    X, Q = [[2, 1, 1, 0], [0, 3, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]], [[1, 1, 5, 7]]
    found = InvertedFile.from_csr(X, weighting="tfidf").search(Q, k=4)
    assert found.ids.tolist() == [[0, 1, 2, 3]]
    expected = [2 * np.log(4) ** 2 + np.log(2) ** 2, 3 * np.log(2) ** 2, 0, 0]
    np.testing.assert_allclose(found.scores, [expected], rtol=1e-6)


def test_bm25_by_hand():
    # Two documents of 1 and 3 words; word 0 is in both, word 1 in one.
    found = InvertedFile.from_csr([[1, 0], [1, 2]], weighting="bm25").search([[0, 1]], k=2)
    expected = np.log(1 + 1.5 / 1.5) * 2 / (2 + 1.5 * (0.25 + 0.75 * 3 / 2))
    np.testing.assert_allclose(found.scores, [[expected, 0]], rtol=1e-6)
    assert found.ids.tolist() == [[1, 0]]


def test_intersection_and_hellinger_by_hand():
    X, Q = [[1, 3, 0], [0, 0, 8]], [[2, 2, 0]]
    found = InvertedFile.from_csr(X, metric="intersection").search(Q, k=2)
    assert found.scores.tolist() == [[0.75, 0]]
    found = InvertedFile.from_csr(X, metric="hellinger").search(Q, k=2)
    np.testing.assert_allclose(
        found.scores, [[np.sqrt(0.125) + np.sqrt(0.375), 0]], rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("metric", ["cosine", *NON_NEGATIVE])
def test_a_document_is_most_like_itself(rng, metric):
    X = floats(rng, 50, 40, density=0.3)
    found = search(X, X, k=1, metric=metric, weighting="tfidf")
    np.testing.assert_allclose(found.scores[:, 0], 1, rtol=1e-6)
    assert found.ids[:, 0].tolist() == list(range(50))


def test_l1_norms_do_not_depend_on_the_scale_of_a_row(rng):
    X = counts(rng, 40, 30)
    scaled = X * rng.choice([1, 2, 4, 1024], (40, 1))
    for options in ({"metric": "intersection"}, {"metric": "lp", "p": 1.0, "norm": "l1"}):
        actual, expected = (search(Y, X[:5], k=40, **options) for Y in (scaled, X))
        np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5, atol=1e-6)


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "l2"}, "metric must be"),
        ({"weighting": "idf"}, "weighting must be"),
        ({"norm": "l3"}, "norm must be"),
        ({"burstiness": "inter"}, "burstiness must be"),
        ({"values": "int8"}, "values must be"),
        ({"idf": "thawed"}, "idf"),
        ({"metric": "lp", "p": np.inf}, r"\bp\b"),
        ({"metric": "lp", "p": 0.0}, r"\bp\b"),
        ({"metric": "lp", "p": -1.0}, r"\bp\b"),
        ({"metric": "lp", "p": np.nan}, r"\bp\b"),
        ({"metric": "dot", "p": 1.0}, r"\bp\b"),
        ({"metric": "cosine", "norm": "l1"}, "norm"),
        ({"metric": "cosine", "norm": None}, "norm"),
        ({"metric": "cosine", "weighting": "bm25"}, "bm25"),
        ({"metric": "lp", "weighting": "bm25"}, "bm25"),
        ({"weighting": "bm25", "norm": "l2"}, "bm25"),
        ({"weighting": "bm25", "burstiness": "sqrt"}, "bm25"),
        ({"weighting": "bm25", "k1": -1.0}, "k1"),
        ({"weighting": "bm25", "b": 1.5}, r"\bb\b"),
        ({"idf": [1.0, 2.0]}, "idf"),
        ({"weighting": "tfidf", "idf": [1.0, 2.0, 3.0]}, "idf"),
        ({"weighting": "tfidf", "idf": [1.0, np.nan]}, "idf"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InvertedFile(2, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"metric": "hellinger"},
        {"metric": "intersection"},
        {"burstiness": "sqrt"},
        {"burstiness": "intra"},
        {"weighting": "bm25"},
    ],
    ids=options_id,
)
def test_negative_values_are_refused_where_they_have_no_meaning(options):
    found = InvertedFile.from_csr([[1, 2]], **options)
    for refused in (found.add, found.search):
        with pytest.raises(ValueError, match="negative"):
            refused([[1, -1]])
    assert len(found) == 1
