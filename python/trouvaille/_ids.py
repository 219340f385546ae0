# SPDX-License-Identifier: Apache-2.0
"""The ids of an index that grows: distinct whole numbers, one a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check

MAX_DOCUMENTS = 2**32  # rows are numbered by uint32


class Ids:
    """The ids in the order of their rows; row numbers, unless others are given."""

    def __init__(self) -> None:
        self.ascending = True
        self._parts: list[NDArray[np.int64]] = []
        self._size = 0
        self._largest = -1
        self._implicit = True  # all of them are the row numbers

    def __len__(self) -> int:
        return self._size

    def add(self, ids: ArrayLike | None, n: int) -> None:
        """Append the ids of `n` rows, the row numbers by default; all of them or none.

        Raises
        ------
        ValueError
            If there are not `n`, or one is negative, given twice or taken.
        """
        if self._size + n > MAX_DOCUMENTS:
            raise ValueError(f"an index holds 2^32 documents, got {n} more than {self._size}")
        if ids is None:
            new = np.arange(self._size, self._size + n, dtype=np.int64)
        else:
            new = _checked(ids, n)
        if n == 0:
            return
        above = int(new.min()) > self._largest
        if not above:
            self._refuse_taken(new)
        self.ascending &= above and bool((new[1:] > new[:-1]).all())
        self._implicit &= ids is None
        self._parts.append(new)
        self._largest = max(self._largest, int(new.max()))
        self._size += n

    def array(self) -> NDArray[np.int64] | None:
        """Return all of them, or None where they are the row numbers."""
        return None if self._implicit else self._joined()

    def _joined(self) -> NDArray[np.int64]:
        self._parts = [np.concatenate(self._parts)]
        return self._parts[0]

    def _refuse_taken(self, new: NDArray[np.int64]) -> None:
        taken = np.isin(new, self._joined())
        if taken.any():
            raise ValueError(f"ids must be new to the index, {new[taken][0]} is in it already")


def _checked(ids: ArrayLike, n: int) -> NDArray[np.int64]:
    new = np.array(_check.array(ids, "ids", np.int64, ndim=1))  # the caller may reuse the memory
    if len(new) != n:
        raise ValueError(f"ids must be {n}, one a row, got {len(new)}")
    if n > 0 and new.min() < 0:
        raise ValueError(f"ids must not be negative, got {new.min()}")
    values, counts = np.unique(new, return_counts=True)
    if len(values) < n:
        raise ValueError(f"ids must be distinct, got {values[counts > 1][0]} twice")
    return new
