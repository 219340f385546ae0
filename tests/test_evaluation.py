# SPDX-License-Identifier: Apache-2.0
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from trouvaille import evaluation
from trouvaille.evaluation import (
    GroundTruth,
    Query,
    average_precision,
    mean_average_precision,
    precision_at,
)


@st.composite
def queries(draw):
    """A ranking of numbers with some positives and some junk, possibly not all of them in it."""
    n = draw(st.integers(1, 12))
    ranking = draw(st.permutations(range(n)))[: draw(st.integers(0, n))]
    labels = draw(st.lists(st.sampled_from("+-j"), min_size=n, max_size=n))
    labels[draw(st.integers(0, n - 1))] = "+"
    positives, junk = ({i for i in range(n) if labels[i] == kind} for kind in "+j")
    return ranking, positives, junk


# Average precision


@pytest.mark.parametrize(
    ("ranking", "positives", "junk", "expected"),
    [
        ("abc", "a", "", 1.0),
        ("xa", "a", "", (0 + 1 / 2) / 2),
        ("xya", "a", "", (0 + 1 / 3) / 2),
        ("axb", "ab", "", (1 + (1 / 2 + 2 / 3) / 2) / 2),
        ("xab", "ab", "", ((0 + 1 / 2) / 2 + (1 / 2 + 2 / 3) / 2) / 2),
        ("ax", "ab", "", 1 / 2),  # b is never found
        ("jaxkb", "ab", "jk", (1 + (1 / 2 + 2 / 3) / 2) / 2),  # as axb
        ("xy", "a", "", 0.0),
        ("", "a", "", 0.0),
    ],
)
def test_average_precision_by_hand(ranking, positives, junk, expected):
    actual = average_precision(list(ranking), list(positives), list(junk))
    assert actual == pytest.approx(expected, abs=1e-15)


@given(queries())
def test_average_precision_equals_reference(query):
    assert average_precision(*query) == pytest.approx(
        reference.average_precision(*query), abs=1e-14
    )


@given(queries())
def test_average_precision_is_one_exactly_for_the_positives_first(query):
    ranking, positives, junk = query
    best = [*positives, *(i for i in ranking if i not in positives)]
    assert average_precision(best, positives, junk) == 1.0
    assert 0.0 <= average_precision(ranking, positives, junk) <= 1.0


@given(queries())
def test_junk_never_counts(query):
    ranking, positives, junk = query
    without = [i for i in ranking if i not in junk]
    assert average_precision(ranking, positives, junk) == average_precision(without, positives)


@given(queries(), st.data())
def test_a_positive_that_moves_up_never_hurts(query, data):
    ranking, positives, junk = query
    pairs = enumerate(itertools.pairwise(ranking))
    falls = [i for i, (a, b) in pairs if a not in positives and b in positives]
    if falls:
        i = data.draw(st.sampled_from(falls))
        better = [*ranking[:i], ranking[i + 1], ranking[i], *ranking[i + 2 :]]
        before = average_precision(ranking, positives, junk)
        after = average_precision(better, positives, junk)
        if ranking[i] in junk:
            assert after == before
        else:
            assert after > before


@given(queries())
def test_wrong_items_at_the_end_change_nothing(query):
    ranking, positives, junk = query
    longer = [*ranking, *range(100, 110)]
    assert average_precision(longer, positives, junk) == average_precision(*query)


def test_no_positives_is_not_a_number():
    assert math.isnan(average_precision(["a"], []))
    assert math.isnan(precision_at(["a"], [], 1))


def test_ids_may_come_from_arrays():
    assert average_precision(np.array([7, 3, 9]), {3}) == average_precision(
        [7, 3, 9], np.array([3])
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("abc", ["a"]), TypeError, "ranking must be ids one by one, got the single str 'abc'"),
        ((["a"], "a"), TypeError, "positives must be ids one by one"),
        ((["a"], ["a"], b"a"), TypeError, "junk must be ids one by one, got the single bytes"),
        (([["a"]], ["a"]), TypeError, "ranking must be one row of hashable ids"),
        ((np.zeros((2, 2)), ["a"]), TypeError, "ranking must be one row of hashable ids"),
        ((3, ["a"]), TypeError, "ranking must be one row of hashable ids"),
        ((["a", "b", "a"], ["a"]), ValueError, "ranking holds 'a' twice, at 0 and 2"),
        ((["a"], ["a"], ["a"]), ValueError, "positives and junk must not overlap, got 'a' in both"),
    ],
)
def test_average_precision_says_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        average_precision(*arguments)


# Means


def test_mean_skips_queries_without_positives():
    rankings = [["a", "b"], ["a", "b"], ["a", "b"]]
    assert mean_average_precision(rankings, [["a"], [], ["b"]]) == (1.0 + 0.25) / 2
    assert mean_average_precision(rankings, [["b"]] * 3, [["a"], [], []]) == (1.0 + 0.25 * 2) / 3
    assert math.isnan(mean_average_precision(rankings, [[], [], []]))
    assert math.isnan(mean_average_precision([], []))


@pytest.mark.parametrize("arguments", [([["a"]], []), ([["a"]], [["a"]], [])])
def test_mean_needs_one_entry_a_query(arguments):
    with pytest.raises(ValueError, match="one entry a query"):
        mean_average_precision(*arguments)


# Precision at k


@pytest.mark.parametrize(
    ("ranking", "positives", "k", "junk", "expected"),
    [
        ("axb", "ab", 1, "", 1.0),
        ("axb", "ab", 2, "", 1 / 2),
        ("axbyz", "ab", 5, "", 2 / 3),  # nothing is asked beyond the last positive
        ("axb", "abc", 5, "", 2 / 5),  # c stands beyond any place
        ("jab", "ab", 2, "j", 1.0),
        ("", "a", 3, "", 0.0),
    ],
)
def test_precision_by_hand(ranking, positives, k, junk, expected):
    assert precision_at(list(ranking), list(positives), k, list(junk)) == pytest.approx(expected)


@given(queries(), st.integers(1, 20))
def test_precision_equals_reference(query, k):
    ranking, positives, junk = query
    assert precision_at(ranking, positives, k, junk) == reference.precision_at(
        ranking, positives, k, junk
    )


@pytest.mark.parametrize(("k", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_precision_refuses_other_k(k, error):
    with pytest.raises(error, match="k must be"):
        precision_at(["a"], ["a"], k)


# Ground truth

CONTENT = {
    "name": "two",
    "note": "by hand",
    "database": ["a", "b", "c", "q"],
    "queries": [
        {"image": "q", "positives": ["a"], "junk": ["b"]},
        {"image": "z", "positives": []},
    ],
}


def write(folder, content):
    path = folder / "gt.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_ground_truth_is_read(tmp_path):
    truth = GroundTruth.load(write(tmp_path, CONTENT))
    assert truth == GroundTruth(
        "two",
        ("a", "b", "c", "q"),
        (Query("q", frozenset("a"), frozenset("b")), Query("z", frozenset())),
        "by hand",
    )
    assert GroundTruth.load(str(write(tmp_path, {"database": [], "queries": []}))).name == ""


def test_a_query_is_left_out_of_its_own_ranking(tmp_path):
    truth = GroundTruth.load(write(tmp_path, CONTENT))
    rankings = [["q", "b", "a", "c"], ["a", "b", "c", "q"]]
    first, second = truth.average_precisions(rankings)
    assert first == 1.0
    assert math.isnan(second)
    assert truth.mean_average_precision(rankings) == 1.0
    assert truth.mean_precision_at(rankings, 1) == 1.0
    assert truth.mean_average_precision([["c", "a"], []]) == 0.25
    assert truth.mean_precision_at([["c", "a"], []], 1) == 0.0
    with pytest.raises(ValueError, match="rankings must have one entry a query, 2, got 1"):
        truth.average_precisions([["a"]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("{", "Expecting property name"),
        ("\xff", "codec can't decode|Expecting value"),
        ("[" * 100_000, "recursion"),
        ([], "the file must be an object, got a list"),
        ({}, "the file lacks 'database', 'queries'"),
        ({**CONTENT, "query": []}, "the file has 'query', which is none of 'database'"),
        ({**CONTENT, "name": 3}, "name must be text, got a number"),
        ({**CONTENT, "database": "abc"}, "database must be a list of file names, got text"),
        ({**CONTENT, "database": ["a", None]}, r"database\[1\] must be text, got null"),
        ({**CONTENT, "database": ["a", "a"]}, "database holds 'a' twice, at 0 and 1"),
        ({**CONTENT, "queries": {}}, "queries must be a list, got an object"),
        ({**CONTENT, "queries": [True]}, r"queries\[0\] must be an object, got a truth value"),
        ({**CONTENT, "queries": [{"image": "q"}]}, r"queries\[0\] lacks 'positives'"),
    ],
)
def test_load_says_what_is_wrong(tmp_path, changes, message):
    path = write(tmp_path, changes)
    with pytest.raises(ValueError, match=message) as error:
        GroundTruth.load(path)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"positives": ["x"]}, r"queries\[0\].positives\[0\], 'x', is not in the database"),
        ({"positives": [], "junk": ["a", "x"]}, r"queries\[0\].junk\[1\], 'x', is not in"),
        ({"positives": ["a", "a"]}, r"queries\[0\].positives holds 'a' twice"),
        ({"positives": ["a"], "junk": ["a"]}, "holds 'a', which is its own image or junk"),
        ({"positives": ["q"]}, "holds 'q', which is its own image or junk"),
        ({"positives": [], "junks": []}, r"queries\[0\] has 'junks', which is none of"),
        ({"positives": [], "image": 1}, r"queries\[0\].image must be text, got a number"),
    ],
)
def test_load_says_which_query_is_wrong(tmp_path, query, message):
    content = {**CONTENT, "queries": [{"image": "q", **query}]}
    with pytest.raises(ValueError, match=message):
        GroundTruth.load(write(tmp_path, content))


def test_load_of_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        GroundTruth.load(tmp_path / "gt.json")


def test_real_ground_truths_are_read(data):
    truth = GroundTruth.load(data / "grocery_packages" / "gt.json")
    assert (len(truth.database), len(truth.queries)) == (288, 117)
    perfect = [[query.image, *query.positives] for query in truth.queries]
    assert truth.mean_average_precision(perfect) == 1.0


def test_the_examples_of_the_documentation():
    import doctest

    modules = (evaluation.ranking, evaluation.ground_truth, evaluation.regions)
    failed, attempted = map(sum, zip(*map(doctest.testmod, modules), strict=True))
    assert failed == 0
    assert attempted >= 7
