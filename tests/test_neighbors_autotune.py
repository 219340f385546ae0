# SPDX-License-Identifier: Apache-2.0
"""What `autotune` chooses keeps its limits, on the sample and on all points."""

import numpy as np
import pytest

from trouvaille.neighbors import LSH, Exact, Graph, Hamming, KDForest, autotune


def clustered(rng, n, n_dims=24):
    centers = np.random.default_rng(99).uniform(40, 216, (40, n_dims))
    rows = centers[rng.integers(0, 40, n)] + rng.normal(0, 12, (n, n_dims))
    return np.clip(rows, 0, 255).round().astype(np.uint8)


def precision(found, truth):
    return (found.distances <= truth.distances[:, -1:]).mean()


def candidates():
    return Exact(), KDForest(), Graph(16, build_width=30)


@pytest.mark.parametrize("target", [0.5, 0.9, 1.0])
def test_the_chosen_index_is_as_precise_as_asked(rng, target):
    X, Q = clustered(rng, 4000), clustered(rng, 200)
    tuned = autotune(X, target, k=5, queries=Q, candidates=candidates(), sample_size=1500)
    found = tuned.index.search(Q, 5, **tuned.budget)
    assert precision(found, Exact().build(X).search(Q, 5)) == tuned.chosen.precision >= target
    assert len(tuned.index) == len(X)
    assert tuned.n_sampled == 1500
    assert [type(trial.index) for trial in tuned.trials] == [Exact, KDForest, Graph]
    assert [trial.verdict for trial in tuned.trials].count("chosen") == 1
    assert tuned.chosen.verdict == "chosen"
    assert tuned.chosen.query_seconds > 0 < tuned.chosen.bytes_a_point


def test_queries_that_are_points_do_not_find_themselves(rng):
    X = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[:, None], 3, axis=1)
    tuned = autotune(X, 1.0, k=1, candidates=[Exact()])
    assert tuned.chosen.precision == 1
    # A budget of one leaf finds oneself, and that must not count.
    leaf = KDForest(leaf_size=1)
    tuned = autotune(X, 1.0, k=2, candidates=[leaf], ids=np.arange(100) + 7)
    assert tuned.budget["checks"] > 2
    assert tuned.index.search(X[:3], 1, **tuned.budget).ids.tolist() == [[7], [8], [9]]


def test_limits_of_memory_and_of_all_time(rng):
    X = clustered(rng, 2000)
    tuned = autotune(X, 0.8, candidates=candidates(), max_bytes_a_point=24)
    assert type(tuned.index) is Exact
    assert {trial.verdict for trial in tuned.trials} == {"chosen", "too large"}
    slow = Graph(16, build_width=400)
    assert type(autotune(X, 0.8, candidates=[slow, Exact()], expected_queries=1).index) is Exact
    with pytest.raises(ValueError, match=r"no candidate .*\n.*too large"):
        autotune(X, 0.8, candidates=candidates(), max_bytes_a_point=5)


def test_ids_count_as_memory_and_are_checked_first(rng):
    X = clustered(rng, 2000)
    ids = rng.permutation(10_000)[:2000]
    n_bytes = Exact().build(X).stats().bytes_a_point
    limit = {"candidates": [Exact()], "max_bytes_a_point": n_bytes + 1}
    assert autotune(X, 0.8, **limit).chosen.bytes_a_point == n_bytes
    with pytest.raises(ValueError, match=r"no candidate .*\n.*too large over all points: 32 "):
        autotune(X, 0.8, ids=ids, **limit)

    def never(*_):
        raise AssertionError("ids must be checked before any work")

    with pytest.raises(ValueError, match="ids"):
        autotune(X, 0.8, ids=ids[1:], progress=never)


def test_floats_and_few_points(rng):
    X = rng.normal(size=(300, 8)).astype(np.float32)
    tuned = autotune(X, 0.9, candidates=candidates())
    assert tuned.chosen.precision >= 0.9
    assert tuned.index.search(X[:2], 400, **tuned.budget).ids.shape == (2, 400)
    for n in (2, 3):
        assert autotune(X[:n], candidates=candidates()).chosen.precision == 1


def test_it_says_what_it_tried(rng):
    said = []
    tuned = autotune(
        clustered(rng, 500),
        candidates=candidates(),
        progress=lambda stage, done, total: said.append((stage, done, total)),
    )
    assert [done for _, done, _ in said] == [0, 1, 2, 3, 4]
    assert {total for *_, total in said} == {4}
    assert "Graph(degree=16" in said[2][0]
    text = str(tuned)
    assert "KDForest(trees=1" in text
    assert "chosen" in text
    assert "500 points" in text


def test_candidates_are_left_as_they_are(rng):
    X = clustered(rng, 500)
    graph = Graph(16).build(X[:50])
    autotune(X, candidates=[graph])
    assert len(graph) == 50


def test_what_does_not_fit_is_refused(rng):
    X = clustered(rng, 100)
    for wrong, error, match in [
        ({"target_precision": 1.1}, ValueError, "target_precision must be between"),
        ({"k": 0}, ValueError, "k must be"),
        ({"queries": X[:0]}, ValueError, "queries must hold"),
        ({"queries": X[:, :3]}, ValueError, "24 columns"),
        ({"candidates": []}, TypeError, "candidates must be"),
        ({"candidates": Exact()}, TypeError, "candidates must be"),
        ({"candidates": [3]}, TypeError, "candidates must be"),
        ({"max_bytes_a_point": 0}, ValueError, "max_bytes_a_point must be positive"),
        ({"expected_queries": 0}, ValueError, "expected_queries must be"),
        ({"sample_size": 0}, ValueError, "sample_size must be"),
    ]:
        with pytest.raises(error, match=match):
            autotune(X, **wrong)
    with pytest.raises(ValueError, match="two points"):
        autotune(X[:1])


def test_bits_and_inner_products(rng):
    X = rng.integers(0, 256, (600, 8), dtype=np.uint8)
    bits = [Hamming(), LSH(metric="hamming")]
    tuned = autotune(X, 0.7, candidates=bits)
    assert len(tuned.trials) == 2
    assert tuned.chosen.precision >= 0.7
    products = autotune(rng.normal(size=(200, 8)).astype(np.float16), candidates=[Exact("ip")])
    assert products.chosen.precision == 1
    with pytest.raises(ValueError, match="one metric"):
        autotune(X, candidates=[Exact(), Hamming()])
