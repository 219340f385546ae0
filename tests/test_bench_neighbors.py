# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not part of this copy", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import bench_neighbors  # noqa: E402
import neighbor_methods  # noqa: E402
import sift_data  # noqa: E402


def test_recall_counts_equal_distances_once_and_missing_places_never():
    base = np.uint8([[0, 0], [3, 0], [0, 3], [9, 9]])
    data = SimpleNamespace(base=base, queries=np.uint8([[0, 0], [9, 9]]))
    truth = np.int32([[0, 9], [0, 117]])
    found = bench_neighbors.recalls(np.array([[0, 2], [3, 1]]), data, truth)
    assert found == {"recall@1": 1.0, "recall@10": 1.0}  # row 2 is as near as row 1
    found = bench_neighbors.recalls(np.array([[0, 0], [-1, 3]]), data, truth)
    assert found == {"recall@1": 0.5, "recall@10": 0.5}


def test_speed_at_a_recall_lies_between_two_settings():
    points = [{"recall@10": 0.8, "a second": 10_000}, {"recall@10": 0.9, "a second": 100}]
    assert bench_neighbors.at_recall(points, "recall@10", 0.5) == 10_000
    assert bench_neighbors.at_recall(points, "recall@10", 0.85) == pytest.approx(1000)
    assert bench_neighbors.at_recall(points, "recall@10", 0.95) is None


@pytest.mark.parametrize(
    "method",
    [m for m in neighbor_methods.METHODS if isinstance(m, neighbor_methods.Ours)],
    ids=lambda method: method.name,
)
def test_ours_are_built_kept_and_searched(rng, tmp_path, method):
    try:
        method.available()
    except AttributeError as error:
        pytest.skip(str(error))
    base = rng.integers(0, 256, (300, 16), dtype=np.uint8)
    method.build(base, 1)
    method.save(tmp_path)
    method.load(tmp_path)
    ids = method.search(base, 3, method.budgets[-1], 1)
    assert (ids[:, 0] == np.arange(len(base))).mean() > 0.9


def test_photos_of_one_thing_are_one_group(data):
    for name, n_photos in (("smvs_books", 2), ("smvs_landmarks", 2), ("homography", 6)):
        groups = sift_data.groups(data, name)
        assert {len(group) for group in groups} == {n_photos}
    products = sift_data.groups(data, "grocery_packages")
    for product in products:
        assert len({photo.name.split("__")[0] for photo in product}) == 1
    assert len(products) == 12
    assert sum(len(group) > 1 for group in sift_data.groups(data, "distractors")) == 1
