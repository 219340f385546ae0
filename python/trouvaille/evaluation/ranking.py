# SPDX-License-Identifier: Apache-2.0
"""How good a ranking is: average precision by the Oxford protocol, and precision at k.

Ids may be any hashable values: file names, numbers, entries of an id array.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from statistics import fmean

from .. import _check

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
    return mean_of_known(average_precision(*query) for query in queries)


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
    refuse_repeated(ids, "ranking")
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


def refuse_repeated(ids: Sequence[Hashable], name: str) -> None:
    """Raise a ValueError that names the first id that comes twice."""
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


def mean_of_known(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if there is none."""
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan
