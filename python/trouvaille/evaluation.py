# SPDX-License-Identifier: Apache-2.0
"""How good a ranking is: average precision by the Oxford protocol, and files of known answers.

Ids may be any hashable values: file names, numbers, entries of an id array.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from . import _check

Ids = Iterable[Hashable]


def average_precision(ranking: Ids, positives: Ids, junk: Ids = ()) -> float:
    """Average precision of one ranking, by the trapezoids of the Oxford protocol.

    With the junk taken out of the ranking, the area under the curve of precision over recall,
    where each positive found adds ``(precision before it + precision at it) / 2 / n_positives``;
    before the first item the precision is 1.

    Parameters
    ----------
    ranking : iterable of ids
        Best first. It may end early: positives that it lacks add nothing.
    positives : iterable of ids
        The right answers.
    junk : iterable of ids, optional
        Answers neither right nor wrong, taken out of the ranking first.

    Returns
    -------
    float
        From 0 to 1, and NaN if there are no positives.

    Raises
    ------
    TypeError
        If an argument is a single string, or not one row of hashable ids.
    ValueError
        If the ranking holds an id twice, or an id is both positive and junk.

    References
    ----------
    .. [1] J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, "Object retrieval with large
       vocabularies and fast spatial matching", CVPR 2007.
    .. [2] F. Radenović, A. Iscen, G. Tolias, Y. Avrithis, O. Chum, "Revisiting Oxford and Paris:
       large-scale image retrieval benchmarking", CVPR 2018.

    Examples
    --------
    >>> average_precision(["a", "x", "b"], positives=["a", "b"])
    0.7916666666666666
    """
    ranks, n_positives = _ranks(ranking, positives, junk)
    if n_positives == 0:
        return math.nan
    area = 0.0
    for found, rank in enumerate(ranks):
        before = found / (rank - 1) if rank > 1 else 1.0
        area += (before + (found + 1) / rank) / 2
    return area / n_positives


def mean_average_precision(
    rankings: Iterable[Ids], positives: Iterable[Ids], junk: Iterable[Ids] | None = None
) -> float:
    """Mean of `average_precision` over queries; those without positives are left out.

    Parameters
    ----------
    rankings, positives, junk : iterable of iterables of ids
        One entry a query, in the same order; no junk by default.

    Returns
    -------
    float
        From 0 to 1, and NaN if no query has positives.

    Raises
    ------
    TypeError, ValueError
        As `average_precision`; and if the arguments differ in length.

    Examples
    --------
    >>> mean_average_precision([["a", "b"], ["a", "b"]], positives=[["a"], ["b"]])
    0.625
    """
    queries = _queries(rankings, positives, junk)
    return _mean(average_precision(*query) for query in queries)


def precision_at(ranking: Ids, positives: Ids, k: int, junk: Ids = ()) -> float:
    """Share of positives among the first `k` places, with the junk taken out.

    As in the revisited Oxford and Paris, `k` ends at the place of the last positive, so that a
    query with few positives can reach 1. A positive that the ranking lacks stands beyond any place.

    Parameters
    ----------
    ranking, positives, junk : iterable of ids
        As in `average_precision`.
    k : int
        Number of places, at least 1.

    Returns
    -------
    float
        From 0 to 1, and NaN if there are no positives.

    Raises
    ------
    TypeError, ValueError
        As `average_precision`; and if `k` is not a whole number of at least 1.

    References
    ----------
    .. [1] F. Radenović, A. Iscen, G. Tolias, Y. Avrithis, O. Chum, "Revisiting Oxford and Paris:
       large-scale image retrieval benchmarking", CVPR 2018.

    Examples
    --------
    >>> precision_at(["a", "x", "b", "y"], positives=["a", "b"], k=10)
    0.6666666666666666
    """
    k = _check.count(k, "k")
    ranks, n_positives = _ranks(ranking, positives, junk)
    if n_positives == 0:
        return math.nan
    places = min(ranks[-1], k) if len(ranks) == n_positives else k
    return sum(rank <= places for rank in ranks) / places


def _ranks(ranking: Ids, positives: Ids, junk: Ids) -> tuple[list[int], int]:
    """Return the places, from 1, of the positives in the ranking without junk; and their number."""
    wanted, ignored = frozenset(_ids(positives, "positives")), frozenset(_ids(junk, "junk"))
    if both := wanted & ignored:
        raise ValueError(f"positives and junk must not overlap, got {next(iter(both))!r} in both")
    ids = _ids(ranking, "ranking")
    _refuse_repeated(ids, "ranking")
    kept = (i for i in ids if i not in ignored)
    return [rank for rank, i in enumerate(kept, start=1) if i in wanted], len(wanted)


def _ids(ids: Ids, name: str) -> list[Hashable]:
    if isinstance(ids, (str, bytes)):
        raise TypeError(
            f"{name} must be ids one by one, got the single {type(ids).__name__} {ids!r}"
        )
    try:
        # An array's entries become Python numbers, equal to ids that came another way.
        listed = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        hash(tuple(listed))
    except TypeError as error:
        raise TypeError(f"{name} must be one row of hashable ids: {error}") from None
    return listed


def _refuse_repeated(ids: Sequence[Hashable], name: str) -> None:
    place: dict[Hashable, int] = {}
    for i, item in enumerate(ids):
        if item in place:
            raise ValueError(f"{name} holds {item!r} twice, at {place[item]} and {i}")
        place[item] = i


def _queries(
    rankings: Iterable[Ids], positives: Iterable[Ids], junk: Iterable[Ids] | None
) -> list[tuple[Ids, Ids, Ids]]:
    ranked, wanted = list(rankings), list(positives)
    ignored: list[Ids] = [()] * len(ranked) if junk is None else list(junk)
    if not len(ranked) == len(wanted) == len(ignored):
        raise ValueError(
            "rankings, positives and junk must have one entry a query, "
            f"got {len(ranked)}, {len(wanted)} and {len(ignored)}"
        )
    return list(zip(ranked, wanted, ignored, strict=True))


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


@dataclass(frozen=True)
class Query:
    """One question with its known answers."""

    image: str
    """The photo asked with, by its name."""
    positives: frozenset[str]
    """The photos of the database that answer it."""
    junk: frozenset[str] = frozenset()
    """Photos of the database that are neither right nor wrong."""

    @property
    def ignored(self) -> frozenset[str]:
        """What is taken out of a ranking before it is scored: the junk, and the query itself."""
        return self.junk | {self.image}


@dataclass(frozen=True)
class GroundTruth:
    """A set of photos with questions whose answers are known.

    Read it with `load`. A ranking may hold photos that are not in `database` (distractors, say):
    they count as wrong.
    """

    name: str
    database: tuple[str, ...]
    queries: tuple[Query, ...]
    note: str = ""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> GroundTruth:
        """Read a `gt.json`.

        The file is an object with "database", a list of file names; "queries", a list of objects
        with "image", "positives" and, optionally, "junk"; and optionally "name" and "note".

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        GroundTruth

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is not of that form, names a photo twice, or an answer that is not in the
            database; the message says where.
        """
        text = Path(path).read_bytes()
        try:
            return cls._parse(json.loads(text))
        except (ValueError, RecursionError) as error:  # JSON's and UTF-8's are ValueErrors too
            raise ValueError(f"{os.fspath(path)}: {error}") from None

    @classmethod
    def _parse(cls, content: Any) -> GroundTruth:
        _keys(content, "the file", {"database", "queries"}, {"name", "note"})
        database = _names(content["database"], "database")
        if not isinstance(content["queries"], list):
            raise ValueError(f"queries must be a list, got {_kind(content['queries'])}")
        known = frozenset(database)
        return cls(
            name=_text(content.get("name", ""), "name"),
            note=_text(content.get("note", ""), "note"),
            database=tuple(database),
            queries=tuple(
                _query(query, f"queries[{i}]", known) for i, query in enumerate(content["queries"])
            ),
        )

    def average_precisions(self, rankings: Iterable[Ids]) -> list[float]:
        """Average precision of each query, NaN where it has no positives.

        Parameters
        ----------
        rankings : iterable of iterables of file names
            One entry a query, in the order of `queries`, best first. Each query is left out of
            its own ranking, and so is its junk.

        Returns
        -------
        list of float

        Raises
        ------
        TypeError, ValueError
            As `average_precision`; and if there is not one ranking a query.
        """
        return self._each(rankings, average_precision)

    def mean_average_precision(self, rankings: Iterable[Ids]) -> float:
        """Mean of `average_precisions` over the queries that have positives."""
        return _mean(self.average_precisions(rankings))

    def mean_precision_at(self, rankings: Iterable[Ids], k: int) -> float:
        """Mean of `precision_at` over the queries that have positives; see `average_precisions`."""
        return _mean(self._each(rankings, lambda r, p, junk: precision_at(r, p, k, junk)))

    def _each(
        self, rankings: Iterable[Ids], measure: Callable[[Ids, Ids, Ids], float]
    ) -> list[float]:
        ranked = list(rankings)
        if len(ranked) != len(self.queries):
            raise ValueError(
                f"rankings must have one entry a query, {len(self.queries)}, got {len(ranked)}"
            )
        pairs = zip(ranked, self.queries, strict=True)
        return [measure(ranking, query.positives, query.ignored) for ranking, query in pairs]


def _query(content: Any, where: str, database: frozenset[str]) -> Query:
    _keys(content, where, {"image", "positives"}, {"junk"})
    image = _text(content["image"], f"{where}.image")
    answers = {"positives": content["positives"], "junk": content.get("junk", [])}
    names = {key: _names(value, f"{where}.{key}") for key, value in answers.items()}
    for key, listed in names.items():
        for i, name in enumerate(listed):
            if name not in database:
                raise ValueError(f"{where}.{key}[{i}], {name!r}, is not in the database")
    positives, junk = frozenset(names["positives"]), frozenset(names["junk"])
    if both := positives & (junk | {image}):
        raise ValueError(f"{where}.positives holds {min(both)!r}, which is its own image or junk")
    return Query(image, positives, junk)


def _keys(content: Any, where: str, required: set[str], optional: set[str]) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{where} must be an object, got {_kind(content)}")
    if missing := sorted(required - content.keys()):
        raise ValueError(f"{where} lacks {', '.join(map(repr, missing))}")
    if unknown := sorted(content.keys() - required - optional):
        expected = ", ".join(map(repr, sorted(required | optional)))
        raise ValueError(f"{where} has {unknown[0]!r}, which is none of {expected}")


def _names(content: Any, where: str) -> list[str]:
    if not isinstance(content, list):
        raise ValueError(f"{where} must be a list of file names, got {_kind(content)}")
    names = [_text(name, f"{where}[{i}]") for i, name in enumerate(content)]
    _refuse_repeated(names, where)
    return names


def _text(content: Any, where: str) -> str:
    if not isinstance(content, str):
        raise ValueError(f"{where} must be text, got {_kind(content)}")
    return content


def _kind(content: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value"}
    return names.get(type(content), "null" if content is None else "a number")
