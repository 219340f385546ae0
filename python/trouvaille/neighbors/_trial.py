# SPDX-License-Identifier: Apache-2.0
"""How fast an index finds enough of the true neighbours."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _ids
from ._metric import Metric
from ._structure import Structure
from .exact import Exact
from .results import Neighbors

_TIMED_SECONDS = 0.05
_HOPELESS = 3.0
"""A candidate that costs so many times the best, and is not yet precise enough, is given up."""
_FINE = 1.1
"""The budget that is found is at most so many times the smallest that would do."""


@dataclass(frozen=True)
class Trial:
    """A candidate as it was measured.

    Attributes
    ----------
    index : Structure
        The candidate as it was given.
    budget : mapping of str to int
        The smallest that was precise enough: what its `search` takes besides.
    precision : float
        Of the true nearest neighbours, the share that was found.
    query_seconds : float
        A query's, of a batch.
    build_seconds : float
    bytes_a_point : float
    verdict : str
        ``"chosen"``, or why it was not.
    """

    index: Structure
    budget: Mapping[str, int]
    precision: float
    query_seconds: float
    build_seconds: float
    bytes_a_point: float
    verdict: str = ""

    def __str__(self) -> str:
        budget = ", ".join(f"{name}={value}" for name, value in self.budget.items())
        return (
            f"{self.index!r}, {budget or 'no budget'}: precision {self.precision:.3f}, "
            f"{self.query_seconds * 1e6:.1f} us a query, built in {self.build_seconds:.2f} s, "
            f"{self.bytes_a_point:.0f} bytes a point: {self.verdict or 'precise enough'}"
        )


@dataclass(frozen=True)
class Limits:
    """What a candidate must keep, and by what the best is chosen."""

    precision: float
    bytes_a_point: float
    expected_queries: int | None
    growth: float = 1.0
    """All points over those of the sample: building takes so many times as long."""

    def cost(self, trial: Trial) -> float:
        """Return seconds, or infinity for what keeps no limit."""
        if trial.verdict:
            return math.inf
        if self.expected_queries is None:
            return trial.query_seconds
        return trial.build_seconds * self.growth + self.expected_queries * trial.query_seconds


@dataclass(frozen=True, eq=False)
class Problem:
    """Queries among points, whose true neighbours are known."""

    points: NDArray[Any]
    queries: NDArray[Any]
    own: NDArray[np.int64] | None
    """The rows of the queries among the points, which are not to be found; None: they are none."""
    k: int
    threads: int
    farthest: NDArray[Any]
    """The distance of the last of each query's true neighbours, shape (n_queries, 1)."""
    metric: Metric

    @classmethod
    def of(
        cls,
        points: NDArray[Any],
        queries: NDArray[Any],
        own: NDArray[np.int64] | None,
        k: int,
        threads: int,
        metric: Metric,
    ) -> Self:
        """Find the true neighbours."""
        k = min(k, len(points) - (own is not None))
        problem = cls(points, queries, own, k, threads, np.empty((0, 1)), metric)
        exact = Exact(metric.name).build(points, threads=threads)
        return replace(problem, farthest=problem._distances(exact, {})[:, -1:])

    def trial(self, candidate: Structure, limits: Limits, best: float) -> Trial:
        """Build the candidate and measure it."""
        index, built = self.built(candidate)
        if built.bytes_a_point > limits.bytes_a_point:
            return replace(built, verdict="too large")
        return self.measured(index, built, limits, best)

    def built(self, candidate: Structure, ids: ArrayLike | None = None) -> tuple[Structure, Trial]:
        """Return an index as the candidate is, and how long that took."""
        began = time.perf_counter()
        index = candidate._unbuilt().build(self.points, ids, threads=self.threads)
        seconds = time.perf_counter() - began
        return index, Trial(candidate, {}, 0.0, math.inf, seconds, index.stats().bytes_a_point)

    def measured(self, index: Structure, built: Trial, limits: Limits, best: float) -> Trial:
        """Find the smallest budget that is precise enough, doubling it first."""
        name = index._budget_name
        if name is None:
            return self._at(index, built, {}, limits)
        low, high = 0, self.k
        while True:
            trial = self._at(index, built, {name: high}, limits)
            if not trial.verdict:
                break
            if high >= len(self.points):
                return trial
            if limits.cost(replace(trial, verdict="")) > _HOPELESS * best:
                return replace(trial, verdict="too slow where it is not yet precise enough")
            low, high = high, 2 * high
        while low > 0 and high > max(low + 1, _FINE * low):
            middle = max(math.isqrt(low * high), low + 1)
            between = self._at(index, built, {name: middle}, limits)
            low, high = (middle, high) if between.verdict else (low, middle)
            trial = trial if between.verdict else between
        return trial

    def _at(
        self, index: Structure, built: Trial, budget: Mapping[str, int], limits: Limits
    ) -> Trial:
        found = self._distances(index, budget)
        precision = float(self.metric.within(found, self.farthest).mean())
        return replace(
            built,
            budget=budget,
            precision=precision,
            query_seconds=self._timed(index, budget),
            verdict="" if precision >= limits.precision else "not precise enough",
        )

    def _distances(self, index: Structure, budget: Mapping[str, int]) -> NDArray[Any]:
        """Return those of the neighbours that were found, without the queries themselves."""
        k = self.k + (self.own is not None)
        found = self._search(index, k, budget)
        if self.own is None:
            return found.distances
        others = found.ids != _ids.as_array(index._built_state().ids)[self.own][:, None]
        order = np.argsort(~others, axis=1, kind="stable")  # oneself, or else the last, comes last
        return np.take_along_axis(found.distances, order, axis=1)[:, : self.k]

    def _search(self, index: Any, k: int, budget: Mapping[str, int]) -> Neighbors:
        """Search as a user would: arguments that no budget names are the defaults."""
        found: Neighbors = index.search(self.queries, k, threads=self.threads, **budget)
        return found

    def _timed(self, index: Structure, budget: Mapping[str, int]) -> float:
        """Return the seconds of a query, the least of several rounds."""
        times: list[float] = []
        while sum(times) < _TIMED_SECONDS:
            began = time.perf_counter()
            self._search(index, self.k, budget)
            times.append(time.perf_counter() - began)
        return min(times) / len(self.queries)
