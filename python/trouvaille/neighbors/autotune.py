# SPDX-License-Identifier: Apache-2.0
"""Which structure, of what parameters: measured on a sample of the points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _ids
from ._metric import Metric, checked_points, checked_queries
from ._structure import Structure
from ._trial import Limits, Problem, Trial
from .exact import Exact
from .graph import Graph
from .kd_forest import KDForest
from .kmeans_tree import KMeansTree

Progress = Callable[[str, int, int], None]

_QUERIES = 1000


@dataclass(frozen=True)
class Tuned:
    """What `autotune` chose; printed, it says what it measured.

    Attributes
    ----------
    index : Structure
        The chosen one, over all points.
    budget : mapping of str to int
        What to search it with: ``tuned.index.search(Q, k, **tuned.budget)``.
    chosen : Trial
        The chosen one, measured over all points.
    trials : tuple of Trial
        All candidates, measured on the sample.
    n_sampled : int
        Points of the sample.
    """

    index: Structure
    budget: Mapping[str, int]
    chosen: Trial
    trials: tuple[Trial, ...]
    n_sampled: int

    def __str__(self) -> str:
        return "\n".join(
            [
                f"on a sample of {self.n_sampled:,} points:",
                *(f"  {trial}" for trial in self.trials),
                f"on all {len(self.index):,} points:",
                f"  {self.chosen}",
            ]
        )


def autotune(
    X: ArrayLike,
    target_precision: float = 0.9,
    *,
    k: int = 10,
    queries: ArrayLike | None = None,
    ids: ArrayLike | None = None,
    candidates: Iterable[Structure] | None = None,
    expected_queries: int | None = None,
    max_bytes_a_point: float | None = None,
    sample_size: int = 100_000,
    random_state: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Choose the index that answers fastest at a precision, and build it.

    Each candidate is built over a sample of the points, and searched with ever larger budgets until
    it finds enough of the true neighbours. The fastest is built over all points, and its budget is
    found once more there.

    Parameters
    ----------
    X : array_like of uint8 or float, shape (n, n_dims)
        Points.
    target_precision : float
        The share of the `k` true nearest neighbours that must be found, over all queries. With 1
        none may be missing, of these queries.
    k : int
        Neighbours a query.
    queries : array_like, shape (n_queries, n_dims), optional
        What will be asked. By default some of the points, which then do not find themselves; where
        queries will not be as the points are (of other photos, say), pass some: they are harder.
    ids : array_like of int, shape (n,), optional
        See `Structure.build`.
    candidates : iterable of Structure, optional
        Indexes whose parameters are to be tried: built or not, they are left as they are. By
        default one or two of each kind, all by squared Euclidean distance.
    expected_queries : int, optional
        Chooses by the time to build and to answer so many, instead of the time to answer alone.
    max_bytes_a_point : float, optional
        Memory, points included, that must not be exceeded.
    sample_size : int
        Points of the sample at most.
    random_state : int
        Seed of the sample. The times are of this machine now: with the same seed another index may
        be chosen where two are close.
    threads : int, optional
        For building and for searching; one for each core by default.
    progress : callable, optional
        ``progress(stage, done, total)`` is called before each candidate and at the end.

    Returns
    -------
    Tuned

    Raises
    ------
    ValueError
        If no candidate is precise enough within the memory; the message says what each reached.

    References
    ----------
    M. Muja, D. Lowe, "Fast approximate nearest neighbors with automatic algorithm configuration",
    VISAPP 2009.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.integers(0, 256, (5000, 16), dtype=np.uint8)
    >>> tuned = autotune(X, 0.95, k=5)
    >>> tuned.chosen.precision >= 0.95
    True
    >>> tuned.index.search(X[:3], 1, **tuned.budget).ids.tolist()
    [[0], [1], [2]]
    """
    seed = _check.seed(random_state)
    tried = _checked(_defaults(seed) if candidates is None else candidates)
    metric, kept = tried[0]._metric, tried[0]._kept_types()
    points = checked_points(X, "X", metric, kept)
    if len(points) < 2:
        raise ValueError(f"X must hold two points or more, got {len(points)}")
    if ids is not None:
        ids = _ids.checked(ids, len(points))  # before the work of minutes
    rng = np.random.default_rng(seed)
    own, asked = _asked(points, queries, metric, rng)
    n_threads, k = _check.threads(threads), _check.count(k, "k")
    rows = np.delete(np.arange(len(points)), [] if own is None else own)
    rows = np.sort(rng.permutation(rows)[: _check.count(sample_size, "sample_size")])
    limits = Limits(
        _check.between(target_precision, "target_precision", 0, 1),
        math.inf
        if max_bytes_a_point is None
        else _check.positive(max_bytes_a_point, "max_bytes_a_point"),
        None if expected_queries is None else _check.count(expected_queries, "expected_queries"),
        len(points) / len(rows),
    )
    report = progress or (lambda stage, done, total: None)
    trials: list[Trial] = []
    sample = Problem.of(points[rows], asked, None, k, n_threads, metric)
    for done, candidate in enumerate(tried):
        report(f"trying {candidate!r}", done, len(tried) + 1)
        trials.append(
            sample.trial(candidate, limits, min(map(limits.cost, trials), default=math.inf))
        )
    whole = Problem.of(points, asked, own, k, n_threads, metric)
    while True:
        best = min(trials, key=limits.cost)
        if best.verdict:
            listed = "\n".join(map(str, trials))
            raise ValueError(f"no candidate is precise enough within the limits:\n{listed}")
        report(f"building {best.index!r}", len(tried), len(tried) + 1)
        index, chosen = whole.built(best.index, ids)
        if chosen.bytes_a_point <= limits.bytes_a_point:
            break
        larger = f"too large over all points: {chosen.bytes_a_point:.0f} bytes a point"
        trials = [replace(t, verdict=larger) if t is best else t for t in trials]
    chosen = whole.measured(index, chosen, replace(limits, growth=1.0), math.inf)
    chosen = replace(chosen, verdict=chosen.verdict or "chosen")
    report("done", len(tried) + 1, len(tried) + 1)
    judged = [
        replace(trial, verdict="chosen" if trial is best else trial.verdict or "slower")
        for trial in trials
    ]
    return Tuned(index, chosen.budget, chosen, tuple(judged), len(rows))


def _checked(candidates: Iterable[Structure]) -> tuple[Structure, ...]:
    tried = tuple(candidates) if isinstance(candidates, Iterable) else ()
    if not tried or not all(isinstance(index, Structure) for index in tried):
        raise TypeError("candidates must be indexes of neighbours, one or more")
    if len({index._metric.name for index in tried}) > 1:
        raise ValueError("candidates must be of one metric: distances of several do not compare")
    return tried


def _asked(
    points: NDArray[Any],
    queries: ArrayLike | None,
    metric: Metric,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
    """Return the queries, and before them their rows if they are some of the points."""
    if queries is None:
        n = min(_QUERIES, len(points) // 2)
        own: NDArray[np.int64] = rng.permutation(len(points))[:n]
        return own, points[own]
    asked = checked_queries(queries, "queries", metric, points)
    if len(asked) == 0:
        raise ValueError("queries must hold one or more")
    return None, asked


def _defaults(random_state: int) -> Iterable[Structure]:
    return (
        Exact(),
        KDForest(random_state=random_state),
        KMeansTree(random_state=random_state),
        Graph(32, random_state=random_state),
        Graph(64, random_state=random_state),
    )
