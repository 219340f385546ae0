# SPDX-License-Identifier: Apache-2.0
"""Collections for the tests of the inverted file, and when its answer is right."""

import itertools

import numpy as np

import reference

POWERS = (0.5, 1.0, 1.5, 2.0, 3.0, 7.3)
NON_NEGATIVE = ("hellinger", "intersection")


def options_id(options):
    return "-".join(str(value) for value in options.values()) or "default"


def goes_together(options):
    """Leave out what is said twice, or is refused."""
    if options["metric"] == "cosine":
        return options["norm"] == "auto"
    return options["norm"] != {"dot": None, "lp": None}.get(options["metric"], "l1")


def combinations():
    """Return every metric with every weighting, norm and burstiness that goes with it."""
    metrics = [{"metric": name} for name in ("dot", "cosine", *NON_NEGATIVE)]
    metrics += [{"metric": "lp", "p": p} for p in POWERS]
    names, others = (
        ("weighting", "norm", "burstiness"),
        [
            (None, "tfidf", "tfidf_smooth"),
            ("auto", None, "l1", "l2"),
            (None, "sqrt", "intra"),
        ],
    )
    every = [
        {**metric, **dict(zip(names, choice, strict=True))}
        for metric in metrics
        for choice in itertools.product(*others)
    ]
    bm25 = {"metric": "dot", "weighting": "bm25"}
    return [*filter(goes_together, every), bm25, {**bm25, "k1": 0.9, "b": 0.3}]


# One of each kernel, and each option at least once.
SELECTION = [
    {"metric": "dot"},
    {"metric": "dot", "weighting": "tfidf", "burstiness": "intra"},
    {"metric": "cosine", "weighting": "tfidf_smooth", "burstiness": "sqrt"},
    {"metric": "dot", "weighting": "bm25"},
    {"metric": "hellinger", "weighting": "tfidf"},
    {"metric": "intersection"},
    {"metric": "lp", "p": 0.5, "norm": "l1"},
    {"metric": "lp", "p": 1.0, "norm": "l1", "weighting": "tfidf"},
    {"metric": "lp", "p": 2.0, "norm": "l2", "burstiness": "sqrt"},
    {"metric": "lp", "p": 3.0},
]


def signed(options):
    """Say whether negative values are allowed."""
    return (
        options.get("metric") not in NON_NEGATIVE
        and options.get("burstiness") is None
        and options.get("weighting") != "bm25"
    )


def counts(rng, n, num_words, density=0.2, largest=4):
    """Small counts, so that there are many ties."""
    present = rng.random((n, num_words)) < density
    return present * rng.integers(1, largest, (n, num_words))


def floats(rng, n, num_words, density=0.2, negative=False):
    """Values of several magnitudes."""
    values = rng.random((n, num_words)) ** 3 + 1e-3
    if negative:
        values *= rng.choice([-1, 1], (n, num_words))
    return np.float32((rng.random((n, num_words)) < density) * values)


def assert_same(actual, expected):
    """Bit for bit."""
    assert type(actual) is type(expected)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        np.testing.assert_array_equal(a, e)


def tolerances(X, Q, relative=1e-6, metric="dot", p=2.0, **options):
    """How far a score (lp: the p-th power of a distance) may be from the dense one."""
    documents, queries = (np.abs(m) for m in reference.inverted_file_rows(X, Q, metric, **options))
    if metric == "lp":
        # Weighted values are rounded to float32. That is nearly all of a difference of two that
        # are equal but for it, and a small power makes it large.
        relative = max(relative, 2 ** (-23 * p))
        sizes = (queries**p).sum(axis=1)[:, None] + (documents**p).sum(axis=1)
        # Opposite signs make the distance larger than both.
        sizes = np.maximum(sizes, reference.inverted_file_scores(X, Q, "lp", p=p, **options) ** p)
    elif metric in NON_NEGATIVE:
        sizes = reference.inverted_file_scores(X, Q, metric, **options)
    else:
        sizes = queries @ documents.T
    return relative * sizes


def assert_right(actual, X, Q, ids=None, relative=1e-6, **options):
    """The answer is that of the dense computation, to the stated tolerance.

    Each value is that of its document; they are in order, and ties in that of the ids; and none
    that was left out is better than one that was returned. So the ids are exact wherever the gap
    to the next exceeds the tolerance.
    """
    lp = options.get("metric") == "lp"
    ids = np.arange(len(X)) if ids is None else np.asarray(ids)
    place = {int(number): row for row, number in enumerate(ids)}
    power = (lambda values: values ** options.get("p", 2.0)) if lp else (lambda values: -values)
    dense = power(reference.inverted_file_scores(X, Q, **options))  # the smaller the better
    allowed = tolerances(X, Q, relative, **options)
    values, found = actual
    assert values.dtype == np.float64
    assert found.dtype == np.int64
    assert values.shape == found.shape
    assert len(values) == len(Q)
    for q in range(len(Q)):
        n = min(found.shape[1], len(X))
        assert (found[q, n:] == -1).all()
        assert (values[q, n:] == (np.inf if lp else -np.inf)).all()
        rows = [place[int(number)] for number in found[q, :n]]
        assert len(set(rows)) == n
        got = power(values[q, :n])
        assert (np.abs(got - dense[q, rows]) <= allowed[q, rows]).all()
        order = np.lexsort((found[q, :n], values[q, :n] if lp else -values[q, :n]))
        assert (order == np.arange(n)).all()
        rest = np.setdiff1d(np.arange(len(X)), rows)
        if n and len(rest):
            worst = dense[q, rows] - allowed[q, rows]
            assert (dense[q, rest] + allowed[q, rest] >= worst.max()).all()


def parts(X, cuts):
    """Cut rows into consecutive parts."""
    bounds = [0, *cuts, X.shape[0]]
    return [X[begin:end] for begin, end in itertools.pairwise(bounds)]
