# SPDX-License-Identifier: Apache-2.0
"""What holds for every approximate index, whatever it may spend."""

from functools import partial

import numpy as np
import pytest

from neighbor_cases import assert_same
from trouvaille.neighbors import LSH, Exact, Graph, KDForest, KMeansTree

NEW = {
    "graph": partial(Graph, 16, build_width=40),
    "kd tree": KDForest,
    "kd forest": partial(KDForest, 3),
    "k-means tree": KMeansTree,
    "inverted file": partial(KMeansTree, 60, levels=1),
    "lsh": LSH,
    "lsh tables": partial(LSH, 3),
    "lsh p-stable": partial(LSH, 2, family="p-stable"),
}
of_each = pytest.mark.parametrize("new", NEW.values(), ids=list(NEW))
CENTERS = np.random.default_rng(5).uniform(40, 216, (20, 32))


def budget_of(index, checks):
    return {index._budget_name: checks}


def clustered(rng, clusters, n_dims=32):
    """Bytes about a centre each."""
    rows = CENTERS[clusters, :n_dims] + rng.normal(0, 6, (len(clusters), n_dims))
    return np.clip(rows, 0, 255).astype(np.uint8)


def recall(found, exact):
    return (found.distances <= exact.distances[:, -1:]).mean()


@pytest.mark.parametrize("n_dims", [3, 16, 50])  # fewer than a sketch has axes, and more
@of_each
def test_the_scale_of_floats_changes_nothing(rng, new, n_dims):
    centers = rng.normal(size=(30, n_dims))
    rows = centers[rng.integers(0, 30, 3_060)] + 0.3 * rng.normal(size=(3_060, n_dims))
    X, Q = np.split(rows.astype(np.float32), [3_000])
    expected = new().build(X).search(Q, 5, **budget_of(new(), 200))
    for power in (-50, -13, 46):
        scale = np.float32(2.0**power)
        found = new().build(X * scale).search(Q * scale, 5, **budget_of(new(), 200))
        assert_same(found, (expected.distances * scale**2, expected.ids))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e17, 1e20, 3e38])
@of_each
def test_distances_beyond_floats_find_points_too(rng, new, scale):
    X = (rng.uniform(-1, 1, (1_500, 16)) * scale).astype(np.float32)
    found = new().build(X).search(X[:20], 10, **budget_of(new(), 300))
    exact = Exact().build(X).search(X[:20], 10)
    assert (found.ids >= 0).all()
    np.testing.assert_array_equal(found.distances[:, 0], exact.distances[:, 0])


@pytest.mark.parametrize("cols", [5, 16])
@of_each
def test_every_place_is_filled_while_there_are_points(rng, new, cols):
    X = rng.integers(0, 256, (2_500, cols), dtype=np.uint8)
    index = new().build(X)
    for k, budget in ((300, budget_of(index, 20)), (2_400, budget_of(index, 1)), (2_000, {})):
        found = index.search(X[:5], k, **budget)
        assert (found.ids >= 0).all()
        assert all(len(set(ids)) == k for ids in found.ids.tolist())
    index.remove(range(100, 1_100))
    assert (index.search(X[:5], 1_400, **budget_of(index, 20)).ids >= 0).all()


@of_each
def test_points_near_many_that_were_removed_are_found(rng, new):
    clusters = rng.integers(0, 20, 8_000)
    X, gone = clustered(rng, clusters), np.flatnonzero(clusters < 8)
    index = new().build(X)
    budget = budget_of(index, 40 if isinstance(index, Graph) else 700)
    index.remove(gone)
    assert index.stats().n_removed == len(gone)  # only marked
    left = np.setdiff1d(np.arange(8_000), gone)
    Q = X[gone[:200]]
    exact = Exact().build(X[left]).search(Q, 10)
    found = index.search(Q, 10, **budget)
    assert (found.ids >= 0).all()
    assert recall(found, exact) > recall(new().build(X[left]).search(Q, 10, **budget), exact) - 0.2


@pytest.mark.parametrize("new", [KMeansTree, LSH])
def test_checks_of_all_that_are_left_are_exact(rng, new):
    X = rng.integers(0, 256, (1_500, 16), dtype=np.uint8)
    index = new().build(X)
    index.remove(range(0, 1_400, 2))
    left = np.setdiff1d(np.arange(1_500), np.arange(0, 1_400, 2))
    exact = Exact().build(X[left], left).search(X[:50], 20)
    assert_same(index.search(X[:50], 20, checks=len(left)), exact)
