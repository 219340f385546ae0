# SPDX-License-Identifier: Apache-2.0
"""Masks inside the search, and the search by a threshold."""

import numpy as np
import pytest
import scipy.sparse as sp

from index_cases import SELECTION, assert_right, assert_same, counts, floats, options_id
from trouvaille import index
from trouvaille.index import InvertedFile

each_selected = pytest.mark.parametrize("options", SELECTION, ids=options_id)


def collection(rng, **options):
    """Rows with ids that are not their numbers, some removed; and their ids."""
    X = np.concatenate([floats(rng, 150, 25), counts(rng, 150, 25)])
    ids = rng.permutation(400)[:300]
    found = InvertedFile.from_csr(sp.csr_array(X[:200]), ids[:200], **options)
    found.add(X[200:], ids[200:])
    return found, X, ids


def without(result, allowed):
    """Take from the whole answer what is allowed."""
    values, ids = result
    places = [np.flatnonzero(np.isin(row, allowed)) for row in ids]
    return [values[i, p] for i, p in enumerate(places)], [ids[i, p] for i, p in enumerate(places)]


# Masks


@each_selected
@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_a_mask_leaves_the_best_of_the_allowed(rng, isa, threads, options, share):
    found, X, _ = collection(rng, **options)
    Q = np.concatenate([X[:3], np.zeros((1, 25))])
    allowed = np.flatnonzero(rng.random(400) < share)  # some of them are no ids
    everything = found.search(Q, k=300)
    for k in (1, 10, 300):
        result = found.search(Q, k, threads=threads, mask=allowed)
        for i, (values, expected) in enumerate(zip(*without(everything, allowed), strict=True)):
            n = min(k, len(expected))
            assert result.ids[i].tolist() == [*expected[:n], *[-1] * (k - n)]
            np.testing.assert_array_equal(result[0][i, :n], values[:n])
        as_bools = np.zeros(400, bool)
        as_bools[allowed] = True
        assert_same(found.search(Q, k, mask=as_bools), result)
        assert_same(found.search(Q, k, mask=np.repeat(rng.permutation(allowed), 2)), result)
        assert_same(found.search(Q, k, mask=allowed.tolist()), result)


@each_selected
def test_k_results_come_back_where_k_are_allowed(rng, options):
    """The allowed ones are the worst of all."""
    found, X, _ = collection(rng, **options)
    worst = found.search(X[:1], k=300).ids[0, -10:]
    result = found.search(X[:1], k=10, mask=worst)
    assert result.ids[0].tolist() == worst.tolist()
    assert found.search(X[:1], k=4, mask=worst).ids[0].tolist() == worst[:4].tolist()


@each_selected
def test_a_mask_of_nothing_and_one_of_everything(rng, options):
    found, X, ids = collection(rng, **options)
    nothing = found.search(X[:2], k=3, mask=np.zeros(400, bool))
    assert nothing.ids.tolist() == [[-1] * 3] * 2
    missing = np.inf if options["metric"] == "lp" else -np.inf
    assert nothing[0].tolist() == [[missing] * 3] * 2
    assert_same(found.search(X[:2], k=3, mask=np.zeros(0, np.int64)), nothing)
    everything = found.search(X[:2], k=30)
    assert_same(found.search(X[:2], k=30, mask=np.ones(1000, bool)), everything)
    assert_same(found.search(X[:2], k=30, mask=ids), everything)


@each_selected
def test_a_mask_does_not_bring_back_what_was_removed(rng, options):
    found, X, ids = collection(rng, **options)
    found.remove(ids[:100])
    result = found.search(X[:3], k=300, mask=ids[50:150])
    assert sorted(result.ids[0][result.ids[0] >= 0]) == sorted(ids[100:150])
    kept = InvertedFile.from_csr(sp.csr_array(X[100:]), ids[100:], **options)
    assert_same(result, kept.search(X[:3], k=300, mask=ids[100:150]))


def test_masks_do_not_change_the_weights(rng):
    options = {"metric": "cosine", "weighting": "tfidf"}
    found, X, ids = collection(rng, **options)
    result = found.search(X[:3], k=50, mask=np.sort(ids)[:50])
    rows = {int(number): row for row, number in enumerate(ids)}
    for i in range(3):
        alone = found.search(X[i : i + 1], k=300)
        scores = dict(zip(alone.ids[0].tolist(), alone.scores[0].tolist(), strict=True))
        assert [scores[number] for number in result.ids[i].tolist()] == result.scores[i].tolist()
    assert set(result.ids.ravel().tolist()) <= rows.keys()


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones(7, bool), ValueError, "mask"),  # the largest id is 7
        (np.ones((2, 8), bool), ValueError, "mask"),
        ([-1], ValueError, "mask"),
        ([0.5], TypeError, "mask"),
        ([[7]], ValueError, "mask"),
        ("all", TypeError, "mask"),
    ],
)
def test_a_wrong_mask_is_refused(mask, error, message):
    found = InvertedFile.from_csr([[1], [2]], ids=[7, 5])
    for search in (found.search, lambda Q, **given: found.range_search(Q, 1.0, **given)):
        with pytest.raises(error, match=message):
            search([[1]], mask=mask)


# range_search


def cut(everything, threshold, lp):
    """The whole answer as range_search gives it."""
    values, ids = everything
    good = (values <= threshold) if lp else (values >= threshold)
    offsets = np.concatenate([[0], np.cumsum(good.sum(axis=1))])
    return offsets, values[good], ids[good]


def assert_range(result, everything, threshold, lp):
    assert type(result) is (index.RangeDistances if lp else index.RangeResult)
    assert [part.dtype for part in result] == [np.int64, np.float64, np.int64]
    for actual, expected in zip(result, cut(everything, threshold, lp), strict=True):
        np.testing.assert_array_equal(actual, expected)


@each_selected
def test_a_range_is_the_answer_up_to_the_threshold(rng, isa, threads, options):
    found, X, ids = collection(rng, **options)
    Q = np.concatenate([X[:4], X[298:], np.zeros((1, 25))])
    lp = options["metric"] == "lp"
    everything = found.search(Q, k=300)
    assert_right(everything, X, Q, ids=ids, **options)
    for place in (0, 3, 40, 299):  # exactly the value of a document, which is in
        threshold = float(everything[0][1, place])
        result = found.range_search(Q, threshold, threads=threads)
        assert_range(result, everything, threshold, lp)
        assert everything.ids[1, place] in result.ids[slice(*result.offsets[1:3])]
        beyond = np.nextafter(threshold, -np.inf if lp else np.inf)
        assert_range(found.range_search(Q, beyond), everything, beyond, lp)


@each_selected
def test_ranges_with_masks_after_removal(rng, options):
    found, X, ids = collection(rng, **options)
    found.remove(ids[:100])
    everything = found.search(X[:5], k=200, mask=ids[50:250])
    inside = everything.ids >= 0
    assert inside.sum() == 5 * 150
    threshold = float(everything[0][0, 70])
    result = found.range_search(X[:5], threshold, mask=ids[50:250])
    trimmed = tuple(part[:, :150] for part in everything)
    assert_range(result, trimmed, threshold, options["metric"] == "lp")


@pytest.mark.parametrize("threshold", [-np.inf, -1.0, 0.0, 1e300, np.inf])
def test_thresholds_that_everything_or_nothing_passes(rng, threshold):
    for options in ({"metric": "dot"}, {"metric": "lp", "p": 1.0}):
        found, X, _ = collection(rng, **options)
        everything = found.search(X[:2], k=300)
        result = found.range_search(X[:2], threshold)
        assert_range(result, everything, threshold, options["metric"] == "lp")


def test_documents_without_a_common_word_are_in_the_range_of_zero():
    found = InvertedFile.from_csr([[1, 0], [0, 1], [0, -1]])
    assert found.range_search([[0, 1]], 0.0).ids.tolist() == [1, 0]
    assert found.range_search([[0, 1]], -1.0).ids.tolist() == [1, 0, 2]
    assert found.range_search(np.zeros((0, 2)), 0.0).offsets.tolist() == [0]


@pytest.mark.parametrize(
    ("threshold", "error"), [(np.nan, ValueError), ("1", TypeError), (None, TypeError)]
)
def test_a_wrong_threshold_is_refused(threshold, error):
    with pytest.raises(error, match="threshold"):
        InvertedFile.from_csr([[1]]).range_search([[1]], threshold)
