# SPDX-License-Identifier: Apache-2.0
"""Indexes of neighbours after any sequence of changes: what a list of points would answer."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import reference
from neighbor_cases import assert_same, of_each

N_DIMS = 5
SEEDS = st.integers(0, 2**32)
FEW = st.integers(0, 40)


class Sequence(RuleBasedStateMachine):
    """The points are kept in a list beside the index, in the order of the rows."""

    def __init__(self, case):
        super().__init__()
        self.case = case
        self.folder = tempfile.TemporaryDirectory()
        self.index = case.new()
        self.ids = np.empty(0, np.int64)
        self.points = np.empty((0, N_DIMS), case.dtype)
        self.next_id = 0

    def teardown(self):
        self.folder.cleanup()

    def drawn(self, seed, n):
        """Points of few values, so that many are equal."""
        return self.case.points(np.random.default_rng(seed), n, N_DIMS, 64) // 3 * 3

    def chosen_ids(self, seed, n):
        free = np.setdiff1d(np.arange(400), self.ids)
        return np.random.default_rng(seed).choice(free, n, replace=False)

    @initialize(seed=SEEDS, n=FEW, own_ids=st.booleans())
    def builds(self, seed, n, own_ids):
        self.ids, self.points = np.empty(0, np.int64), np.empty((0, N_DIMS), self.case.dtype)
        self.next_id = 0
        ids = self.chosen_ids(seed, n) if own_ids else None
        X = self.drawn(seed, n)
        self.index.build(X, ids)
        self.model_adds(X, ids)

    def model_adds(self, X, ids):
        new = np.arange(len(X)) + self.next_id if ids is None else ids
        self.ids, self.points = np.append(self.ids, new), np.concatenate([self.points, X])
        self.next_id = max(self.next_id, int(new.max(initial=-1)) + 1)

    @rule(seed=SEEDS, n=FEW, own_ids=st.booleans())
    def adds(self, seed, n, own_ids):
        if len(self.ids) > 250:
            n = 0
        X = self.drawn(seed, n)
        ids = self.chosen_ids(seed, n) if own_ids else None
        self.index.add(X, ids)
        self.model_adds(X, ids)

    @rule(seed=SEEDS, share=st.sampled_from([0, 0.05, 0.3, 0.7, 1]))
    def removes(self, seed, share):
        gone = np.random.default_rng(seed).permutation(self.ids)[: int(len(self.ids) * share)]
        self.index.remove(gone)
        kept = ~np.isin(self.ids, gone)
        self.ids, self.points = self.ids[kept], self.points[kept]

    @precondition(lambda self: len(self.ids))
    @rule(seed=SEEDS)
    def refuses_what_contradicts_it(self, seed):
        taken = np.random.default_rng(seed).choice(self.ids)
        with pytest.raises(ValueError, match="twice"):
            self.index.add(self.drawn(seed, 2), [1000, taken])
        with pytest.raises(ValueError, match="no point of id 1000"):
            self.index.remove([taken, 1000])

    @rule(mmap=st.booleans())
    def is_saved_and_opened(self, mmap):
        path = Path(self.folder.name) / "index"
        self.index.save(path)
        self.index = self.case.opened_by.load(path, mmap=mmap)

    @rule(seed=SEEDS, k=st.integers(1, 60))
    def searches(self, seed, k):
        Q = self.drawn(seed, 3).astype(float)
        found = self.index.search(Q, k, **self.case.budget)
        assert_same(found, self.case.nearest(self.points, Q.astype(self.points.dtype), k, self.ids))

    @rule(seed=SEEDS, k=st.integers(1, 60), budget=st.integers(1, 50))
    def searches_in_part(self, seed, k, budget):
        """What is found within a budget exists, is as far as it says, and comes in order."""
        Q = self.drawn(seed, 3)
        distances, ids = self.index.search(Q, k, **dict.fromkeys(self.case.budget, budget))
        exact = reference.neighbor_distances(Q, self.points, self.case.metric)
        for i, (near, own) in enumerate(zip(distances, ids, strict=True)):
            n = np.count_nonzero(own >= 0)
            assert (own[n:] == -1).all()
            place = {int(id_): row for row, id_ in enumerate(self.ids)}
            rows = [place[int(id_)] for id_ in own[:n]]
            assert len(set(rows)) == n
            np.testing.assert_array_equal(near[:n], exact[i, rows])
            sign = -1 if self.case.metric == "ip" else 1
            assert sorted(rows, key=lambda row: (sign * exact[i, row], row)) == rows

    @rule(seed=SEEDS, share=st.floats(0, 1))
    def searches_a_radius(self, seed, share):
        Q = self.drawn(seed, 3)
        distances = reference.neighbor_distances(Q, self.points, self.case.metric)
        radius = np.quantile(distances, share) if distances.size else 1e3 * share
        found = self.index.radius_search(Q.astype(float), radius, **self.case.budget)
        assert_same(found, self.case.within(self.points, Q, radius, self.ids))

    @invariant()
    def has_as_many_points(self):
        assert len(self.index) == len(self.ids)


@of_each
def test_any_sequence_of_changes(case):
    few = settings(max_examples=8, stateful_step_count=20)
    run_state_machine_as_test(partial(Sequence, case), settings=few)
