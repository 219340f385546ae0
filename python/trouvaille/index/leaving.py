# SPDX-License-Identifier: Apache-2.0
"""Documents that were removed from a content and are in it still."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import _ids as ids
from .content import Content, refuse


class Leaving:
    """Marks documents of a content, so that many short calls cost what a long one does."""

    def __init__(self, content: Content) -> None:
        self._ids = content.ids()
        self._order = ids.order(self._ids)
        self._stays = np.ones(len(self._ids) + 1, bool)
        self._stays[-1] = False  # which is what an id that is not there looks at
        self.n_documents = 0

    def mark(self, unwanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Mark the documents of distinct ids, or none, and return the ids that are unknown."""
        rows = self._find(unwanted)
        unknown = unwanted[rows < 0]
        if len(unknown) == 0:
            self._stays[rows] = False
            self.n_documents += len(rows)
        return unknown

    def refuse_taken(self, new: NDArray[np.int64]) -> None:
        """Raise a ValueError if a document that stays has one of the ids."""
        refuse(new[self._find(new) >= 0])

    def without(self, content: Content) -> Content:
        """Return the content, which is the one this was made of, without what is marked."""
        return content.keeping(self._stays[:-1])

    def _find(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        rows = ids.find(self._ids, self._order, wanted)
        return np.where(self._stays[rows], rows, -1)
