# SPDX-License-Identifier: Apache-2.0
"""Laws of the inverted file, for any shapes, any sparsity and any history."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import reference
from index_cases import assert_right, assert_same, combinations, parts, signed
from trouvaille.index import InvertedFile

options_drawn = st.sampled_from(combinations())
whole_numbers = st.one_of(st.just(0), st.integers(0, 3), st.sampled_from([255, 256, 65_535]))
fractions = st.one_of(
    st.just(0.0), st.floats(2**-10, 1e3, width=32), st.sampled_from([0.5, 1.0, 2.0])
)


@st.composite
def collections(draw, options, elements=None, most=12):
    """Documents, queries."""
    num_words = draw(st.integers(0, 6))
    elements = draw(st.sampled_from([whole_numbers, fractions])) if elements is None else elements
    if signed(options):
        elements = st.builds(lambda value, sign: value * sign, elements, st.sampled_from([1, -1]))
    row = st.lists(elements, min_size=num_words, max_size=num_words)
    X, Q = draw(st.lists(row, max_size=most)), draw(st.lists(row, max_size=3))
    if X and draw(st.booleans()):
        Q = [*Q[:2], X[0]]
    return tuple(np.array(m, float).reshape(len(m), num_words) for m in (X, Q))


@settings(max_examples=400)
@given(st.data(), st.integers(1, 15))
def test_any_collection_equals_the_reference(data, k):
    options = data.draw(options_drawn)
    X, Q = data.draw(collections(options))
    found = InvertedFile.from_csr(sp.csr_array(X), **options)
    assert_right(found.search(sp.csr_array(Q), k), X, Q, **options)


@settings(max_examples=200)
@given(st.data(), st.integers(1, 15))
def test_parts_batches_and_threads_do_not_matter(data, k):
    options = data.draw(options_drawn)
    X, Q = data.draw(collections(options))
    expected = InvertedFile.from_csr(sp.csr_array(X), **options).search(sp.csr_array(Q), k)
    grown = InvertedFile(X.shape[1], **options)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(X)), max_size=3)))
    for part in parts(X, cuts):
        grown.add(sp.csr_array(part))
        if data.draw(st.booleans()):
            grown.search(sp.csr_array(Q))
    if data.draw(st.booleans()):
        grown.optimize()
    assert_same(
        grown.search(sp.csr_array(Q), k, threads=data.draw(st.sampled_from([1, 3]))), expected
    )
    for i, row in enumerate(Q):
        alone = grown.search(sp.csr_array(row[None]), k, threads=1)
        assert_same(alone, type(expected)(*(part[[i]] for part in expected)))


@given(st.data())
def test_the_order_of_the_words_does_not_matter(data):
    options = data.draw(options_drawn)
    X, Q = data.draw(collections(options))
    order = data.draw(st.permutations(range(X.shape[1])))
    a, b = (
        InvertedFile.from_csr(sp.csr_array(left), **options).search(sp.csr_array(right), 20)
        for left, right in ((X, Q), (X[:, order], Q[:, order]))
    )
    assert_right(a, X, Q, **options)
    assert_right(b, X, Q, **options)
    if (options["metric"], options["weighting"], options.get("norm")) == ("dot", None, "auto"):
        assert_same(a, b)


@given(st.data())
def test_a_range_is_the_search_up_to_the_threshold(data):
    options = data.draw(options_drawn)
    X, Q = data.draw(collections(options))
    found = InvertedFile.from_csr(sp.csr_array(X), **options)
    values, ids = found.search(sp.csr_array(Q), len(X) + 1)
    lp = options["metric"] == "lp"
    thresholds = [0.0, 1.0, *np.unique(values[np.isfinite(values)]).tolist()]
    threshold = data.draw(st.sampled_from(thresholds))
    result = found.range_search(sp.csr_array(Q), threshold)
    inside = ((values <= threshold) if lp else (values >= threshold)) & (ids >= 0)
    np.testing.assert_array_equal(result.offsets[1:], np.cumsum(inside.sum(axis=1)))
    np.testing.assert_array_equal(result.ids, ids[inside])
    np.testing.assert_array_equal(result[1], values[inside])


@given(st.data())
def test_a_row_may_be_given_in_any_pieces(data):
    """Entries of one place add up, in any order, and zeros are absent."""
    entries = data.draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-2, 2)), max_size=30)
    )
    X = np.zeros((4, 5))
    for row, word, value in entries:
        X[row, word] += value
    entries.sort(key=lambda entry: entry[0])
    offsets = np.searchsorted([entry[0] for entry in entries], range(5))
    data_, indices = (np.array([e[i] for e in entries], float) for i in (2, 1))
    untidy = sp.csr_array((data_, indices.astype(int), offsets), (4, 5))
    actual = InvertedFile.from_csr(untidy, weighting="tfidf")
    expected = InvertedFile.from_csr(X, weighting="tfidf")
    assert_same(actual.search(np.eye(5), k=4), expected.search(np.eye(5), k=4))
    np.testing.assert_array_equal(actual.to_csr().toarray(), X)
    assert actual.stats().n_postings == (X != 0).sum()


@given(st.data())
def test_l1_and_intersection_belong_together(data):
    """Of L1-normed rows that are not empty, |q - d| = 2 - 2 min(q, d) (Swain and Ballard 1991)."""
    X, Q = data.draw(collections({"metric": "intersection"}))
    X, Q = X[X.any(axis=1)], Q[Q.any(axis=1)]
    scores = InvertedFile.from_csr(X, metric="intersection").search(Q, k=12)
    distances = InvertedFile.from_csr(X, metric="lp", p=1.0, norm="l1").search(Q, k=12)
    there = scores.ids >= 0
    np.testing.assert_allclose(
        2 - 2 * scores.scores[there], distances.distances[there], rtol=1e-5, atol=1e-5
    )


class History(RuleBasedStateMachine):
    """Adding, removing, optimizing, saving and loading, beside a plain dict of rows."""

    @initialize(options=options_drawn, kind=st.sampled_from([whole_numbers, fractions]))
    def begin(self, options, kind):
        self.options, self.rows, self.next, self.kind = options, {}, 0, kind
        self.found = InvertedFile(4, forward=True, **options)

    @rule(data=st.data())
    def add(self, data):
        row = st.lists(self.kind, min_size=4, max_size=4)
        X = np.array(data.draw(st.lists(row, max_size=5)), float).reshape(-1, 4)
        self.found.add(sp.csr_array(X))
        self.rows |= {self.next + i: np.float32(x) for i, x in enumerate(X)}
        self.next += len(X)

    @rule(data=st.data())
    def remove(self, data):
        if self.rows:
            gone = data.draw(st.lists(st.sampled_from(sorted(self.rows)), unique=True, max_size=4))
            self.found.remove(np.array(gone, np.int64))
            for number in gone:
                del self.rows[number]

    @rule()
    def optimize(self):
        self.found.optimize()

    @rule(data=st.data())
    def search(self, data):
        row = st.lists(self.kind, min_size=4, max_size=4)
        Q = np.array(data.draw(st.lists(row, min_size=1, max_size=2)), float)
        X = np.array(list(self.rows.values())).reshape(-1, 4)
        result = self.found.search(sp.csr_array(Q), data.draw(st.integers(1, 12)))
        assert_right(result, X, Q, ids=list(self.rows), **self.options)

    @rule(data=st.data())
    def read(self, data):
        if self.rows:
            number = data.draw(st.sampled_from(sorted(self.rows)))
            words, values = self.found.document(number)
            expected = self.rows[number]
            assert words.tolist() == np.flatnonzero(expected).tolist()
            assert values.tolist() == expected[expected != 0].tolist()

    @rule(data=st.data())
    def replace(self, data):
        if self.rows:
            number = data.draw(st.sampled_from(sorted(self.rows)))
            with pytest.raises(ValueError, match=f"{number} is in it"):
                self.found.add(np.ones((1, 4)), ids=[number])
            self.found.remove([number])
            with pytest.raises(ValueError, match=f"{number} is not"):
                self.found.remove([number])
            x = np.array(data.draw(st.lists(self.kind, min_size=4, max_size=4)), float)
            self.found.add(x[None], ids=[number])
            del self.rows[number]
            self.rows[number] = np.float32(x)

    @invariant()
    def it_has_so_many_documents(self):
        if hasattr(self, "rows"):
            assert len(self.found) == len(self.rows)

    @rule()
    def count(self):  # no invariant, as it makes what waits part of the collection
        assert self.found.ids.tolist() == list(self.rows)
        X = np.array(list(self.rows.values())).reshape(-1, 4)
        np.testing.assert_array_equal(self.found.document_frequencies, (X != 0).sum(axis=0))


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)


def test_the_reference_knows_its_laws():
    """The specification itself, against what is known of it."""
    rng = np.random.default_rng(0)
    X = rng.random((6, 5))
    two = reference.inverted_file_scores(X, X, "lp", p=2.0, norm="l2")
    cosine = reference.inverted_file_scores(X, X, "cosine")
    np.testing.assert_allclose(two**2, 2 - 2 * cosine, atol=1e-12)
    roots = reference.inverted_file_scores(X, X, "dot", burstiness="sqrt")
    hellinger = reference.inverted_file_scores(X, X, "hellinger", norm=None)
    np.testing.assert_allclose(roots, hellinger)
