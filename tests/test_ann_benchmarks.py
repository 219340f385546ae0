# SPDX-License-Identifier: Apache-2.0
"""The adapter for ann-benchmarks, by a subset of that project's harness."""

import importlib
import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import reference

yaml = pytest.importorskip("yaml", reason="PyYAML, which reads the adapter's config, is missing")

ADAPTER = Path(__file__).parent.parent / "benchmarks" / "ann_benchmarks"
if not ADAPTER.is_dir():
    pytest.skip("the benchmarks are not part of this copy", allow_module_level=True)

BASE = '''
class BaseANN:
    """What an algorithm inherits there, with the defaults that the runner relies on."""

    def done(self): pass
    def get_memory_usage(self): raise AssertionError("the process's, which is not the index's")
    def fit(self, X): pass
    def query(self, q, n): return []
    def batch_query(self, X, n): self.res = [self.query(q, n) for q in X]
    def get_batch_results(self): return self.res
    def get_additional(self): return {}
'''
N_NEIGHBORS = 10


@pytest.fixture
def algorithms(tmp_path, monkeypatch):
    """The package that ann-benchmarks has, with the adapter where its README puts it."""
    folder = tmp_path / "ann_benchmarks" / "algorithms"
    (folder / "base").mkdir(parents=True)
    (folder / "base" / "module.py").write_text(BASE)
    shutil.copytree(ADAPTER, folder / "trouvaille")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "ann_benchmarks"]:
        del sys.modules[name]


def combinations(groups):
    """A list's groups multiplied out; a mapping's values likewise."""
    if isinstance(groups, dict):
        values = (v if isinstance(v, list) else [v] for v in groups.values())
        return [dict(zip(groups, chosen, strict=True)) for chosen in itertools.product(*values)]
    every = (group if isinstance(group, list) else [group] for group in groups)
    return [list(chosen) for chosen in itertools.product(*every)]


def definitions(config, metric):
    """Each (module, constructor, arguments, groups of query arguments)."""
    for algorithm in config["float"]["any"]:
        base = [metric if arg == "@metric" else arg for arg in algorithm["base_args"]]
        for group in algorithm["run_groups"].values():
            args = combinations([combinations(options) for options in group["arg_groups"]])
            budgets = combinations(group.get("query_args", []))
            for chosen in args:
                yield algorithm["module"], algorithm["constructor"], base + chosen, budgets


def run(algorithm, train, test, budgets, batch):
    """What the runner does: fit, then for each budget all queries; yield its results."""
    try:
        before = algorithm.get_memory_usage()
        algorithm.fit(train)
        assert algorithm.get_memory_usage() - before >= train.size / 1024
        for budget in budgets:
            if budget:
                algorithm.set_query_arguments(*budget)
            if batch:
                algorithm.batch_query(test, N_NEIGHBORS)
                results = algorithm.get_batch_results()
            else:
                results = [single(algorithm, query) for query in test]
            assert algorithm.get_additional() == {}
            yield str(algorithm), [[int(i) for i in row] for row in results]
    finally:
        algorithm.done()


def single(algorithm, query):
    """The runner prepares where that is offered, and then never calls `query`."""
    found = algorithm.query(query, N_NEIGHBORS)
    algorithm.prepare_query(query, N_NEIGHBORS)
    algorithm.run_prepared_query()
    prepared = algorithm.get_prepared_query_results()
    np.testing.assert_array_equal(found, prepared)
    return prepared


def photos_like(rng, n):
    """Bytes around a few centres, as floats, as that project's SIFT are."""
    centres = rng.integers(0, 200, (20, 24))
    noise = rng.integers(0, 56, (n, 24))
    return (centres[rng.integers(0, 20, n)] + noise).astype(np.float32)


@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
@pytest.mark.parametrize("metric", ["euclidean", "angular"])
def test_every_definition_is_fitted_queried_and_finds_most(algorithms, rng, metric, batch):
    config = yaml.safe_load((algorithms / "trouvaille" / "config.yml").read_text())
    train, test = photos_like(rng, 1500), photos_like(rng, 20)
    truth = nearest(train, test, metric)
    names = set()
    for module, constructor, arguments, budgets in definitions(config, metric):
        made = getattr(importlib.import_module(f"{module}.module"), constructor)(*arguments)
        for name, results in run(made, train, test, budgets[-1:] or [[]], batch):
            names.add(name)
            assert all(len(row) == N_NEIGHBORS for row in results)
            found = [len(set(row) & set(t)) for row, t in zip(results, truth, strict=True)]
            assert np.mean(found) / N_NEIGHBORS > 0.97, name
    assert "trouvaille Graph(degree=48, build_width=100, width=300)" in names
    assert "trouvaille Exact()" in names
    assert len(names) == 9


def nearest(train, test, metric):
    if metric == "euclidean":
        distances = reference.squared_distances(test.astype(np.uint8), train.astype(np.uint8))
    else:
        lengths = np.linalg.norm(train, axis=1) * np.linalg.norm(test, axis=1)[:, None]
        distances = -(test @ train.T) / lengths
    return np.argsort(distances, axis=1, kind="stable")[:, :N_NEIGHBORS]


def test_a_larger_budget_finds_more(algorithms, rng):
    module = importlib.import_module("ann_benchmarks.algorithms.trouvaille.module")
    train, test = photos_like(rng, 1500), photos_like(rng, 50)
    forest = module.KDForest("euclidean", {"trees": 1, "leaf_size": 8})
    recalls = [
        np.mean([len(set(a) & set(b)) for a, b in zip(rows, truth, strict=True)])
        for truth in [nearest(train, test, "euclidean").tolist()]
        for _, rows in run(forest, train, test, [[10], [200], [1500]], batch=True)
    ]
    assert recalls[0] < recalls[1] <= recalls[2]
    assert recalls[2] == pytest.approx(N_NEIGHBORS, abs=0.2)


def test_fewer_points_than_neighbours_are_what_there_is(algorithms):
    module = importlib.import_module("ann_benchmarks.algorithms.trouvaille.module")
    exact = module.Exact("euclidean")
    assert exact.get_memory_usage() == 0
    exact.fit(np.float32([[0, 0.5], [1, 2]]))
    exact.batch_query(np.float32([[1, 1]]), N_NEIGHBORS)
    assert exact.query(np.float32([1, 1]), N_NEIGHBORS).tolist() == [1, 0]
    assert [row.tolist() for row in exact.get_batch_results()] == [[1, 0]]


def test_another_metric_is_refused(algorithms):
    module = importlib.import_module("ann_benchmarks.algorithms.trouvaille.module")
    with pytest.raises(ValueError, match="euclidean or angular, got 'jaccard'"):
        module.Graph("jaccard")
