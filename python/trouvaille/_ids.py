# SPDX-License-Identifier: Apache-2.0
"""The ids of rows: distinct whole numbers; where they follow each other, a range costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check

MAX_ID = 2**63 - 1

Ids = range | NDArray[np.int64]


def checked(ids: ArrayLike, n: int | None = None) -> NDArray[np.int64]:
    """Return a copy of the caller's ids: `n` if that is given, distinct and not negative."""
    given = _check.as_array(ids, "ids")
    if given.size == 0:  # NumPy takes an empty list for numbers that are not whole
        given = given.astype(np.int64)
    new = np.array(_check.array(given, "ids", np.int64, ndim=1))
    if n is not None and len(new) != n:
        raise ValueError(f"ids must be {n}, one a row, got {len(new)}")
    if len(new) > 0 and new.min() < 0:
        raise ValueError(f"ids must not be negative, got {new.min()}")
    if len(new) > 1 and not ascending(new):
        values, counts = np.unique(new, return_counts=True)
        if len(values) < len(new):
            raise ValueError(f"ids must be distinct, got {values[counts > 1][0]} twice")
    return new


def following(largest: int, n: int) -> range:
    """Return the `n` ids after the largest."""
    if largest + 1 + n > MAX_ID:
        raise ValueError(f"ids must be given: too few are left after {largest}")
    return range(largest + 1, largest + 1 + n)


def ascending(ids: Ids) -> bool:
    """Say whether each is above the one before."""
    return isinstance(ids, range) or bool((ids[1:] > ids[:-1]).all())


def as_array(ids: Ids) -> NDArray[np.int64]:
    """Return ids as an array."""
    return np.arange(ids.start, ids.stop, dtype=np.int64) if isinstance(ids, range) else ids


def compact(ids: Ids) -> Ids:
    """Return the ids as a range if they are one."""
    if isinstance(ids, range) or len(ids) == 0:
        return ids if isinstance(ids, range) else range(0)
    if int(ids[-1]) - int(ids[0]) != len(ids) - 1 or not ascending(ids):
        return ids
    return range(int(ids[0]), int(ids[-1]) + 1)


def joined(parts: Sequence[Ids]) -> Ids:
    """Return all ids, as a range if they are one."""
    parts = [part for part in parts if len(part) > 0] or [range(0)]
    first = parts[0]
    if isinstance(first, range):
        end = first.start
        for part in parts:
            if not isinstance(part, range) or part.start != end:
                break
            end = part.stop
        else:
            return range(first.start, end)
    return compact(np.concatenate([as_array(part) for part in parts]))


def at(ids: Ids, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ids of rows; -1 where the row is -1."""
    if isinstance(ids, range):
        return rows if ids.start == 0 else np.where(rows < 0, -1, rows + ids.start)
    if len(ids) == 0:
        return np.full_like(rows, -1)
    found = ids[rows]
    found[rows < 0] = -1
    return found


def order(ids: Ids) -> NDArray[np.int64] | None:
    """Return the rows by id; None if they are so already."""
    return None if ascending(ids) else np.argsort(ids, kind="stable")


def find(ids: Ids, order: NDArray[Any] | None, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of ids, -1 where there is none; see `order`."""
    if isinstance(ids, range):
        inside = (wanted >= ids.start) & (wanted < ids.stop)
        return np.where(inside, wanted - ids.start, -1)
    near = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    rows = near if order is None else order[near].astype(np.int64)
    return np.where(ids[rows] == wanted, rows, -1)


def largest(ids: Ids) -> int:
    """Return the largest id, or -1 where there is none."""
    if len(ids) == 0:
        return -1
    return ids.stop - 1 if isinstance(ids, range) else int(ids.max())


def smallest(ids: Ids) -> int:
    """Return the smallest of one or more ids."""
    return ids.start if isinstance(ids, range) else int(ids.min())
