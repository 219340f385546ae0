# SPDX-License-Identifier: Apache-2.0
"""Files of indexes whose checksums are right, and whose contents are not: made to do harm.

Such a file is refused, or what is found in it exists and is as far as it says: never a crash, and
nothing from outside of the arrays.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from neighbor_cases import CASES, of_each
from trouvaille.errors import IndexCorruptError

N_POINTS, N_DIMS = 150, 8
IN_FLOATS = {name: case for name, case in CASES.items() if case.dtype != "uint8"}
FLOATS = (np.nan, np.inf, -np.inf, 3e38, -3e38, 0)


class File:
    """An index in a file, with some points removed, as metadata and arrays that may be changed."""

    def __init__(self, case, path, ids=None):
        rng = np.random.default_rng(0)
        index = case.new().build(case.points(rng, N_POINTS, N_DIMS), ids)
        index.remove(index.search(case.queries(rng, 9, N_DIMS), 1).ids[:1, 0])
        index.save(path)
        self.case, self.path = case, path
        self.queries = case.queries(rng, 4, N_DIMS)
        self.metadata, self.arrays = case.opened_by._format.read(path, False)

    def opened(self, arrays=(), **metadata):
        """Open the file with some of its parts replaced."""
        both = self.metadata | metadata, self.arrays | dict(arrays)
        self.case.opened_by._format.write(self.path, *both)
        return self.case.opened_by.load(self.path)

    def assert_refused(self, arrays=(), **metadata):
        with pytest.raises(IndexCorruptError):
            self.opened(arrays, **metadata)

    def assert_harmless(self, arrays):
        try:
            index = self.opened(arrays)
        except IndexCorruptError:
            return
        Q = np.resize(self.queries, (4, index.stats().n_dims))  # other points may be as good
        for budget in (self.case.budget, dict.fromkeys(self.case.budget, 40)):
            found = index.search(Q, 30, **budget)
            assert_true(self.case, index, Q, *found)
            offsets, *near = index.radius_search(
                Q, float(np.nan_to_num(found.distances[0, 5])), **budget
            )
            for begin, end, query in zip(offsets, offsets[1:], Q, strict=False):
                assert_true(self.case, index, query[None], *(x[None, begin:end] for x in near))


def assert_true(case, index, Q, distances, ids):
    """What was found is alive, comes once, and its distances are those of the points."""
    state = index._state
    rows = {int(id_): row for row, id_ in enumerate(np.asarray(state.ids)) if alive(state)[row]}
    exact = reference.neighbor_distances(Q, index._in_order(state), case.metric)
    for query, (near, own) in enumerate(zip(distances, ids, strict=True)):
        found = own >= 0
        places = [rows[int(id_)] for id_ in own[found]]
        assert len(set(places)) == len(places)
        np.testing.assert_array_equal(near[found], exact[query, places])


def alive(state):
    return np.ones(len(state.points), bool) if state.alive is None else state.alive


@pytest.fixture
def file(case, tmp_path):
    return File(case, tmp_path / "index")


def test_assert_harmless_would_see_harm(tmp_path):
    """A file that is as it was passes, and one that answers of other points does not."""
    case = CASES["k-means tree"]
    file = File(case, tmp_path / "index")
    file.assert_harmless({})
    index = file.opened()
    found = index.search(file.queries, 5)
    assert_true(case, index, file.queries, *found)
    for wrong in (
        (found.distances + 1, found.ids),
        (found.distances, found.ids[:, [1, 0, 2, 3, 4]]),
    ):
        with pytest.raises(AssertionError):
            assert_true(case, index, file.queries, *wrong)
    with pytest.raises(KeyError):
        assert_true(case, index, file.queries, found.distances, found.ids + N_POINTS)


@of_each
def test_other_arrays_are_refused(file):
    for name, array in file.arrays.items():
        wider = {"uint8": "int16", "uint32": "int64", "float16": "float64"}
        file.assert_refused({name: array.astype(wider.get(array.dtype.name, "float64"))})
        for changed in (array[None], array[:, None], array.ravel()):
            file.assert_harmless({name: changed})
        if name not in ("alive", "ids"):
            rest = {other: file.arrays[other] for other in file.arrays if other != name}
            file.case.opened_by._format.write(file.path, file.metadata, rest)
            with pytest.raises(IndexCorruptError):
                file.case.opened_by.load(file.path)
    file.assert_refused({"extra": np.zeros(3, np.uint32)})


@of_each
def test_arrays_of_other_lengths_are_refused_or_harmless(file):
    for name, array in file.arrays.items():
        for axis in range(array.ndim):
            short, none = np.delete(array, -1, axis) if array.shape[axis] else array, array[..., :0]
            long = np.concatenate(
                [array, np.take(array, [0] if array.shape[axis] else [], axis)], axis
            )
            for changed in (short, long, none, array[:0]):
                file.assert_harmless({name: changed})
        if name in ("points", "alive"):
            file.assert_refused({name: array[:-1]})


@pytest.mark.parametrize("case", IN_FLOATS.values(), ids=list(IN_FLOATS))
def test_points_that_are_not_finite_are_refused(file):
    points = file.arrays["points"]
    for value in (np.nan, np.inf, -np.inf):
        for place in (0, points.size // 2, points.size - 1):
            changed = points.copy()
            changed.flat[place] = value
            file.assert_refused({"points": changed})


@of_each
def test_points_without_columns_or_of_too_many_are_refused(file):
    points = file.arrays["points"]
    file.assert_refused({"points": points[:, :0]})
    if points.dtype == np.uint8:  # distances would not fit 32 bits, or their kernels
        file.assert_refused({"points": np.resize(points, (N_POINTS, 33_000))})


@of_each
def test_numbers_out_of_range_are_refused_or_harmless(file):
    for name, array in file.arrays.items():
        if name == "points" or array.size == 0:
            continue
        values = FLOATS
        if array.dtype.kind != "f":
            largest = int(np.iinfo(array.dtype).max)
            values = [v for v in (0, 1, N_POINTS, largest // 2 + 1, largest) if v <= largest]
        for value in values:
            for place in (0, array.size // 2, array.size - 1, slice(None)):
                changed = array.copy()
                changed.reshape(-1)[place] = value
                file.assert_harmless({name: changed})


@given(st.integers(0, 2**32))
@settings(max_examples=15)
@of_each
def test_numbers_at_random_are_refused_or_harmless(file, seed):
    """A part of an array from elsewhere in it, or drawn of the values that it has."""
    rng = np.random.default_rng(seed)
    name = rng.choice([name for name, array in file.arrays.items() if array.size > 1])
    changed = file.arrays[name].copy().reshape(-1)
    count = int(rng.choice([1, 2, max(changed.size // 10, 1), changed.size]))
    places = rng.choice(changed.size, count, replace=False)
    changed[places] = rng.permutation(changed[places]) if count > 1 else rng.choice(changed)
    file.assert_harmless({name: changed.reshape(file.arrays[name].shape)})


@of_each
def test_wrong_ids_are_refused(case, tmp_path):
    file = File(case, tmp_path / "index", np.random.default_rng(1).permutation(500)[:N_POINTS])
    ids = file.arrays["ids"]
    twice, negative = ids.copy(), ids.copy()
    twice[3], negative[4] = ids[5], -1
    for wrong in (twice, negative, ids[:-1], np.append(ids, 999), ids.astype(np.int32), ids[None]):
        file.assert_refused({"ids": wrong})
    file.assert_refused(first_id=0)
    file.assert_refused(largest_id=int(ids.max()) - 1)


@of_each
def test_wrong_metadata_are_refused(file):
    first = (0,) if "ids" in file.arrays else (-1, 2**63 - N_POINTS, 2**63, None)
    for value in (*first, 2**70, 0.0, "0", True, [0]):
        file.assert_refused(first_id=value)
    for value in (-1, 0, 2**63, 2.0**20, "200", None, True, [200]):
        file.assert_refused(largest_id=value)
    for value in (None, [], 3, {"size": 3}):
        file.assert_refused(parameters=value)
    file.assert_refused(other=1)
    for name in file.metadata["parameters"]:
        for value in (-1, "many", [], {}, True):
            file.assert_refused(parameters=file.metadata["parameters"] | {name: value})
