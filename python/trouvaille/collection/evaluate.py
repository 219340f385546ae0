# SPDX-License-Identifier: Apache-2.0
"""The quality of a collection's search, on photos with known answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

from ..evaluation import GroundTruth
from .collection import Collection


@dataclass(frozen=True)
class Quality:
    """Mean average precision, and the share of queries whose first result is right.

    NaN if no query has an answer.
    """

    mean_ap: float
    precision_at_1: float


@dataclass(frozen=True)
class Evaluation:
    """The quality before and after geometric verification.

    Attributes
    ----------
    first, verified : Quality
        Of the ranking before verification, and of the final one.
    n_queries, n_photos : int
        Queries asked, photos in the collection.
    milliseconds : dict
        Median time of each stage of a query.
    """

    first: Quality
    verified: Quality
    n_queries: int
    n_photos: int
    milliseconds: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON, which has no NaN: it is None there."""
        content = asdict(self)
        for name in ("first", "verified"):
            numbers = content[name].items()
            content[name] = {key: None if isnan(value) else value for key, value in numbers}
        return content


def evaluate(
    collection: Collection,
    truth: GroundTruth,
    folder: str | os.PathLike[str],
    *,
    verify: int = 100,
    threads: int | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Evaluation:
    """Search with every query of a ground truth, and score the complete rankings.

    A query that is itself in the collection is left out of its own ranking; junk is removed.

    Parameters
    ----------
    collection : Collection
        Holds every photo that the ground truth names, under the same id.
    truth : GroundTruth
        Queries, with their positives and junk.
    folder : path
        Where the queries' photos are.
    verify, threads
        As for `Collection.search`.
    progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If a positive is not in the collection: a missing photo would silently lower the score.
    """
    held = set(collection.ids)
    missing = sorted({id for query in truth.queries for id in query.positives} - held)
    if missing:
        raise ValueError(
            f"{len(missing)} photos of the ground truth are not in the collection, "
            f"for example {missing[0]!r}: index the folder that the ground truth is in"
        )
    results = []
    for done, query in enumerate(truth.queries):
        if progress is not None:
            progress("searching", done, len(truth.queries))
        results.append(
            collection.search(
                Path(folder) / query.image,
                len(collection),
                verify=verify,
                exclude=[query.image],
                threads=threads,
            )
        )
    return Evaluation(
        first=_quality(truth, [hits.first_ranking for hits in results]),
        verified=_quality(truth, [[hit.id for hit in hits] for hits in results]),
        n_queries=len(truth.queries),
        n_photos=len(collection),
        milliseconds={
            stage: 1000 * median(hits.seconds.get(stage, 0.0) for hits in results)
            for stage in dict.fromkeys(stage for hits in results for stage in hits.seconds)
        },
    )


def _quality(truth: GroundTruth, rankings: list[list[str]]) -> Quality:
    return Quality(truth.mean_average_precision(rankings), truth.mean_precision_at(rankings, 1))
