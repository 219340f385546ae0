# SPDX-License-Identifier: Apache-2.0
"""What all indexes of neighbours have in common: points with ids, and one state at a time."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _ids
from .._array_file import ArrayFile
from .._ids import Ids
from .._own_lock import OwnLock
from ..errors import IndexCorruptError
from . import _state
from ._metric import METRICS, Metric, checked_more, checked_points, checked_queries
from ._state import Arrays, State
from .results import Neighbors, RadiusNeighbors, Stats

NO_LIMIT = 2**63 - 1
_MOST_PADDING = 1 << 30  # bytes of an answer that has more places than there are points


def budget_of(**limits: int | None) -> dict[str, int]:
    """Return how long a search may take: counts by their names; None is no limit."""
    return {
        name: NO_LIMIT if limit is None else _check.count(limit, name)
        for name, limit in limits.items()
    }


class Structure(OwnLock, ABC):
    """An index of neighbours.

    Additions and removals replace the state of the index at once, under a lock; searches, from any
    number of threads, see the state from when they began.
    """

    _format: ClassVar[ArrayFile]
    _arrays: ClassVar[Mapping[str, str]] = {}
    """The dtypes of the structure's arrays, by name."""
    _budget_name: ClassVar[str | None] = None
    """What says how long a search may take: the name of an argument; None if it is exact."""
    _least_alive: ClassVar[float] = 0.5
    """Of the points: with fewer the index is built again."""
    _keeps_rows: ClassVar[bool] = False
    """Whether the points that are built from are kept themselves."""
    _point_types: ClassVar[tuple[str, ...]] = ("uint8", "float32")
    """The dtypes in which points are kept."""
    _metric: Metric = METRICS["l2"]
    """What distances are; the constructor of a structure of several sets its own."""

    def __init__(self) -> None:
        super().__init__()
        self._state: State | None = None

    # ---- what a structure defines

    @abstractmethod
    def _parameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON values."""

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return self._metric.name

    @abstractmethod
    def _built(self, points: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        """Return points, one or more, as the structure keeps them, and the structure.

        Points that it keeps as they are will not be changed by anybody.
        """

    @abstractmethod
    def _found(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return distances and rows, nearest first; rows that are not alive are not found."""

    @abstractmethod
    def _checked(self, state: State) -> None:
        """Raise ValueError if arrays that were read from a file do not fit together."""

    def _grown(self, state: State, new: NDArray[Any], threads: int) -> tuple[NDArray[Any], Arrays]:
        """Return all points and the structure over them; by default it is built again."""
        return self._built(np.concatenate([self._in_order(state), new]), threads)

    def _in_order(self, state: State) -> NDArray[Any]:
        """Return the points by row, if the structure keeps them in another order."""
        return state.points

    # ---- what they share

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._parameters().items())
        return f"{type(self).__name__}({given})"

    def _unbuilt(self) -> Self:
        """Return an index of the same parameters."""
        return type(self)(**self._parameters())

    def build(
        self, X: ArrayLike, ids: ArrayLike | None = None, *, threads: int | None = None
    ) -> Self:
        """Index the rows of `X`, in place of whatever there was.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n, n_dims)
            Points: bytes (or bits, packed in bytes), or numbers that float32 represents. Copied.
            Distances between floats that float32 cannot hold are infinite.
        ids : array_like of int, shape (n,), optional
            Distinct and not negative; row numbers by default.
        threads : int, optional
            One for each core by default. The index is the same for any number.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, or holds NaN or infinity.
        """
        new = self._first(X, ids, _check.threads(threads))
        with self._lock:
            self._state = new
        return self

    def _first(self, X: ArrayLike, ids: ArrayLike | None, threads: int) -> State:
        points = self._own(X, checked_points(X, "X", self._metric, self._kept_types()))
        own: Ids = (
            range(len(points)) if ids is None else _ids.compact(_ids.checked(ids, len(points)))
        )
        return self._new_state(points, own, threads)

    def add(
        self, X: ArrayLike, ids: ArrayLike | None = None, *, threads: int | None = None
    ) -> Self:
        """Add the rows of `X` to what there is; see `build`.

        By default their ids follow the largest there ever was.
        """
        n_threads = _check.threads(threads)
        with self._lock:
            state = self._state
            if state is None:
                self._state = self._first(X, ids, n_threads)
                return self
            new = checked_more(X, "X", self._metric, state.points)
            own: Ids
            if ids is None:
                own = _ids.following(state.largest_id, len(new))
            else:
                own = _ids.checked(ids, len(new))
                state = self._without_taken(state, own, n_threads)
            if len(new) == 0:
                return self
            joined = _ids.joined([state.ids, own])
            if len(state.points) == 0:
                points = self._own(X, new)
                self._state = self._new_state(points, joined, n_threads, state.largest_id)
                return self
            points, arrays = self._grown(state, new, n_threads)
            alive = state.alive
            if alive is not None:
                alive = np.concatenate([alive, np.ones(len(new), np.bool_)])
            self._state = State(points, joined, arrays, alive, state.largest_id)
        return self

    def remove(self, ids: ArrayLike, *, threads: int | None = None) -> None:
        """Remove points: all of them, or none if there is an error.

        They are marked, and once half of the points are, the index is built again without them
        (but `Exact`, of which nothing is built, is copied without them at once).

        Parameters
        ----------
        ids : array_like of int, shape (n,)
            Distinct.
        threads : int, optional
            For building again.

        Raises
        ------
        ValueError
            If there is no point of one of the ids; the message names it.
        """
        wanted = _ids.checked(ids)
        n_threads = _check.threads(threads)
        with self._lock:
            state = self._built_state()
            if len(wanted) == 0:
                return
            rows = (
                _ids.find(state.ids, _ids.order(state.ids), wanted)
                if len(state.points)
                else np.full(len(wanted), -1)
            )
            alive = (
                np.ones(len(state.points), np.bool_) if state.alive is None else state.alive.copy()
            )
            gone = (rows < 0) | ~alive[rows] if len(alive) else rows < 0
            if gone.any():
                raise ValueError(f"there is no point of id {wanted[gone][0]}")
            alive[rows] = False
            state = State(state.points, state.ids, state.arrays, alive, state.largest_id)
            if state.n_alive <= self._least_alive * len(state.points):
                state = self._without_removed(state, n_threads)
            self._state = state

    def search(self, Q: ArrayLike, k: int = 10, *, threads: int | None = None) -> Neighbors:
        """Find the `k` nearest points to each row of `Q`.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
            Queries: whole numbers from 0 to 255 where the points are bytes.
        k : int
            Places a query. It may be more than there are points.
        threads : int, optional
            One for each core by default.

        Returns
        -------
        Neighbors
            ``(distances, ids)``, each of shape (n_queries, k).

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or shape, or holds NaN or infinity.
        """
        return self._search(Q, k, threads, {})

    def _search(
        self, Q: ArrayLike, k: int, threads: int | None, budget: Mapping[str, int]
    ) -> Neighbors:
        state = self._built_state()
        queries = checked_queries(Q, "Q", self._metric, state.points)
        distances, rows = self._rows(
            state, queries, _check.count(k, "k"), _check.threads(threads), budget
        )
        return Neighbors(distances, _ids.at(state.ids, rows))

    def _rows(
        self, state: State, queries: NDArray[Any], k: int, threads: int, budget: Mapping[str, int]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        if k > len(state.points) and 12 * k * len(queries) > _MOST_PADDING:
            raise ValueError(
                f"k is {k}, of {len(state.points)} points: places for {len(queries)} queries would "
                f"take {12 * k * len(queries) / 2**30:.0f} GiB, of which nearly all stay empty"
            )
        if len(state.points) == 0 or len(queries) == 0:
            return self._padded(queries, k)
        n_places = min(k, len(state.points))
        found = self._found(state, queries, n_places, threads, budget)
        if n_places == k:
            return found
        distances, rows = self._padded(queries, k)
        distances[:, :n_places], rows[:, :n_places] = found
        return distances, rows

    def _padded(self, queries: NDArray[Any], k: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return places where nothing was found."""
        dtype, shape = self._metric.distance_type(queries.dtype), (len(queries), k)
        missing = np.full(shape, self._metric.missing(dtype), dtype)
        return missing, np.full(shape, -1, np.int64)

    def radius_search(
        self, Q: ArrayLike, radius: float, *, threads: int | None = None
    ) -> RadiusNeighbors:
        """Find all points within a distance of each row of `Q`, as far as `search` finds them.

        Parameters
        ----------
        Q : array_like, shape (n_queries, n_dims)
        radius : float
            As `search` returns distances: squared ones for the metric "l2"; those that are equal
            count. For the metric "ip", whose distances are similarities: the least.
        threads : int, optional

        Returns
        -------
        RadiusNeighbors
            ``(offsets, distances, ids)``.
        """
        return self._radius_search(Q, radius, threads, {})

    def _radius_search(
        self, Q: ArrayLike, radius: float, threads: int | None, budget: Mapping[str, int]
    ) -> RadiusNeighbors:
        state = self._built_state()
        queries = checked_queries(Q, "Q", self._metric, state.points)
        n_threads = _check.threads(threads)
        limit = float(_check.array(radius, "radius", np.float64, ndim=0))
        offsets, distances, rows = self._within(state, queries, limit, n_threads, budget)
        return RadiusNeighbors(offsets, distances, _ids.at(state.ids, rows))

    def _within(
        self,
        state: State,
        queries: NDArray[Any],
        radius: float,
        threads: int,
        budget: Mapping[str, int],
    ) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
        """Return offsets, distances and rows, by a search for ever more neighbours."""
        found: list[tuple[NDArray[Any], NDArray[np.int64]]] = [None] * len(queries)  # type: ignore[list-item]
        waiting = np.arange(len(queries))
        k = 16
        while len(waiting):  # again, with more places, those whose last place is within
            k = min(k, max(len(state.points), 1))
            distances, rows = self._rows(state, queries[waiting], k, threads, budget)
            near = self._metric.within(distances, radius) & (rows >= 0)
            full = near[:, -1] & (k < len(state.points))
            for i in np.flatnonzero(~full):
                found[waiting[i]] = distances[i, near[i]], rows[i, near[i]]
            waiting = waiting[full]
            k *= 4
        dtype = self._metric.distance_type(queries.dtype)
        return (
            np.cumsum([0, *(len(rows) for _, rows in found)], dtype=np.int64),
            np.concatenate([d for d, _ in found] or [np.empty(0, dtype)]),
            np.concatenate([rows for _, rows in found] or [np.empty(0, np.int64)]),
        )

    def __len__(self) -> int:
        return 0 if self._state is None else self._state.n_alive

    def stats(self) -> Stats:
        """Say how large the index is."""
        state = self._built_state()
        other = sum(array.nbytes for array in state.arrays.values())
        other += 0 if isinstance(state.ids, range) else state.ids.nbytes
        other += 0 if state.alive is None else state.alive.nbytes
        n = state.n_alive
        return Stats(
            n,
            len(state.points) - n,
            state.points.shape[1],
            state.points.dtype.name,
            state.points.nbytes,
            other,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index, its points included, to one file, which appears whole or not at all.

        Raises
        ------
        OSError
            If the disk refuses. An old file is still there then.
        """
        self._format.write(path, *_state.to_file(self._built_state(), self._parameters()))

    @classmethod
    def load(cls, path: str | os.PathLike[str], mmap: bool = True) -> Self:
        """Open an index that `save` wrote; every byte of it is verified.

        Parameters
        ----------
        path : str or path
        mmap : bool
            Whether points and structure are views of the mapped file, which other processes share,
            or of a copy in memory. A mapped file must not be changed or cut short.

        Raises
        ------
        FileNotFoundError
            If there is none.
        IndexCorruptError
            If it is not what was written.
        FormatVersionError
            If it is whole, but of a newer format.
        """
        metadata, arrays = cls._format.read(path, _check.boolean(mmap, "mmap"))
        try:
            index = cls(**_state.parameters_of(metadata))
            index._state = _state.from_file(metadata, arrays, cls._arrays, index._kept_types())
            if len(index._state.points):
                checked_points(index._state.points, "points", index._metric, index._kept_types())
                index._checked(index._state)
        except (TypeError, ValueError) as error:
            raise IndexCorruptError(Path(path), cls._format.kind, 0, str(error)) from None
        return index

    def _own(self, X: ArrayLike, points: NDArray[Any]) -> NDArray[Any]:
        """Return checked points that nobody else will change."""
        is_known = isinstance(X, (np.ndarray, list, tuple))  # others may lend an array of theirs
        is_new = is_known and points is not X and points.flags.owndata
        return points if is_new or not self._keeps_rows else points.copy()

    def _without_taken(self, state: State, new: NDArray[np.int64], threads: int) -> State:
        """Return a state that has none of the ids, which may be those of removed points."""
        if len(state.points) == 0 or len(new) == 0:
            return state
        rows = _ids.find(state.ids, _ids.order(state.ids), new)
        met = rows >= 0
        taken = met if state.alive is None else met & state.alive[rows]
        if taken.any():
            raise ValueError(f"ids must not be given twice: {new[taken][0]} is there already")
        return self._without_removed(state, threads) if met.any() else state

    def _without_removed(self, state: State, threads: int) -> State:
        own = _ids.compact(_ids.as_array(state.ids)[state.alive])
        points = self._in_order(state)[state.alive]
        return self._new_state(points, own, threads, state.largest_id)

    def _new_state(
        self, points: NDArray[Any], ids: Ids, threads: int, largest_id: int = -1
    ) -> State:
        kept, arrays = self._built(points, threads) if len(points) else (points, {})
        return State(kept, ids, arrays, largest_id=largest_id)

    def _kept_types(self) -> tuple[str, ...]:
        return tuple(t for t in self._point_types if t in self._metric.point_types)

    def _built_state(self) -> State:
        if self._state is None:
            raise ValueError("the index is empty: build it, or add points, first")
        return self._state
