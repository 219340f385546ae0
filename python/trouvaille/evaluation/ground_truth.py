# SPDX-License-Identifier: Apache-2.0
"""Sets of photos with questions whose answers are known, read from files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .ranking import Ids, average_precision, mean_of_known, precision_at, refuse_repeated


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
        return mean_of_known(self.average_precisions(rankings))

    def mean_precision_at(self, rankings: Iterable[Ids], k: int) -> float:
        """Mean of `precision_at` over the queries that have positives; see `average_precisions`."""
        return mean_of_known(self._each(rankings, lambda r, p, junk: precision_at(r, p, k, junk)))

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
    refuse_repeated(names, where)
    return names


def _text(content: Any, where: str) -> str:
    if not isinstance(content, str):
        raise ValueError(f"{where} must be text, got {_kind(content)}")
    return content


def _kind(content: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value"}
    return names.get(type(content), "null" if content is None else "a number")
