# SPDX-License-Identifier: Apache-2.0
"""Which features of two photos may be of the same spot."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core

_METRICS = ("euclidean", "hamming")


class PairMatches(NamedTuple):
    """Matches of two photos' features, in ascending order of the query's.

    Attributes
    ----------
    matches : ndarray of int32, shape (t, 2)
        Pairs (row of `query`, row of `database`).
    distances : ndarray of int32 or float32, shape (t,)
        Squared Euclidean distances, float32 where the descriptors are not bytes; differing bits for
        the Hamming metric.
    ratios : ndarray of float32, shape (t,)
        The distance (not squared) divided by that to the second nearest: 0 for a match that has no
        rival, 1 for one as near as its rival.
    """

    matches: NDArray[np.int32]
    distances: NDArray[Any]
    ratios: NDArray[np.float32]


def match(
    query: ArrayLike,
    database: ArrayLike,
    ratio: float = 0.8,
    mutual: bool = True,
    *,
    metric: Literal["euclidean", "hamming"] = "euclidean",
    max_distance: float | None = None,
    threads: int | None = None,
) -> PairMatches:
    """Match the descriptors of two photos: nearest neighbours, Lowe's ratio test, mutuality. Exact.

    Parameters
    ----------
    query, database : array_like of uint8 or float, shapes (n, d) and (m, d)
        Descriptors. Whole numbers from 0 to 255 are compared as bytes, whatever their dtype, which
        is several times as fast; others as float32, which must represent them exactly.
    ratio : float
        The nearest must be at most so many times as far as the second nearest [1]_. 1 keeps all.
    mutual : bool
        Keep only pairs that are each other's nearest, so that matches are one to one. With bytes
        that costs little: both directions come from the same distances.
    metric : {"euclidean", "hamming"}
        "hamming" compares packed binary descriptors (ORB, BRISK, ...): bytes of eight bits each.
    max_distance : float, optional
        The greatest distance of a match, as in `distances`: squared, or in bits.
    threads : int, optional
        Worker threads; one per core by default.

    Returns
    -------
    PairMatches
        ``(matches, distances, ratios)``. Empty where either photo has no features.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or holds NaN or infinity; the message
        names it.

    Notes
    -----
    Of several nearest rows the one of the smaller number is taken, and likewise of several nearest
    queries of a row. Two nearest at the same distance have the ratio 1, at distance 0 too: where
    two rows are equal, nothing tells which one is meant. The only row of a database has no rival,
    and a ratio of 0. The test is decided in float64; `ratios` are rounded afterwards.

    The same bits for any number of threads and on every CPU. Time is O(n m d), memory O(n + m);
    bits are compared as bytes of 0 and 1, so packed descriptors take eight times their size.

    References
    ----------
    .. [1] D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.

    Examples
    --------
    The second row of the query is as near to one row as to another:

    >>> query = np.uint8([[10, 10], [50, 50], [90, 90]])
    >>> database = np.uint8([[90, 93], [50, 40], [50, 60], [10, 10]])
    >>> found = match(query, database)
    >>> found.matches
    array([[0, 3],
           [2, 0]], dtype=int32)
    >>> found.distances
    array([0, 9], dtype=int32)
    """
    if metric not in _METRICS:
        raise ValueError(f"metric must be one of {_METRICS}, got {metric!r}")
    hamming = metric == "hamming"
    descriptors = _bits if hamming else _descriptors
    x, y = descriptors(query, "query"), descriptors(database, "database")
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"query and database must have equally many columns, got shapes {np.shape(query)} and "
            f"{np.shape(database)}"
        )
    if x.dtype != y.dtype:
        x, y = x.astype(np.float32, copy=False), y.astype(np.float32, copy=False)
    return PairMatches(
        *_core.match_pair(
            x,
            y,
            _check.between(ratio, "ratio", 0, 1),
            not hamming,
            _check.boolean(mutual, "mutual"),
            math.inf
            if max_distance is None
            else _check.between(max_distance, "max_distance", 0, math.inf),
            _check.threads(threads),
        )
    )


def _descriptors(x: ArrayLike, name: str) -> NDArray[Any]:
    """Return `x` as bytes if it holds nothing else, and as float32 otherwise."""
    given = _check.descriptors(x, name)
    if given.dtype == np.uint8:
        return fitting_bytes(given, name, f". Pass {name}.astype(np.float32)")
    if given.shape[1] > _core.max_byte_dims:
        return given
    with np.errstate(invalid="ignore"):  # what does not fit is seen by the comparison
        as_bytes = given.astype(np.uint8)
    return as_bytes if np.array_equal(as_bytes, given) else given


def _bits(x: ArrayLike, name: str) -> NDArray[Any]:
    """Return one byte, 0 or 1, for each bit: squared distances are then numbers of bits."""
    bits = np.unpackbits(_check.matrix(x, name, np.uint8), axis=1)
    return fitting_bytes(bits, name, ", and of bits")


def fitting_bytes(x: NDArray[Any], name: str, hint: str) -> NDArray[Any]:
    """Return `x`, or refuse bytes whose distances do not fit; `hint` says what does."""
    if x.shape[1] > _core.max_byte_dims:
        raise ValueError(
            f"{name} has {x.shape[1]} columns; distances between bytes fit 32 bits up to "
            f"{_core.max_byte_dims}{hint}"
        )
    return x
