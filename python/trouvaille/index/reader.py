# SPDX-License-Identifier: Apache-2.0
"""A collection that stays as it is, with the weights that belong to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core, _sparse
from .. import _ids as ids
from . import masks
from .content import Content
from .options import Options
from .weights import document_factors


class Reader:
    """Searches one content of an index; any number of threads may do so at once."""

    def __init__(self, content: Content, options: Options, num_words: int, threads: int) -> None:
        self.content = content
        segments = content.segments
        self._ids = ids.joined([segment.ids for segment in segments])
        weights = content.weights(options)
        document_roots, query_roots = options.roots
        # Without ids the smaller row wins a tie, and if they ascend it has the smaller id.
        ascending = ids.ascending(self._ids)
        self._core = _core.InvertedReader(
            [segment.block for segment in segments],
            kernel=options.kernel,
            p=options.p,
            document_roots=document_roots,
            query_roots=query_roots,
            norm=options.norm or "none",
            hellinger=options.metric == "hellinger",
            word_weights=weights.given if weights is not None else None,
            factors=document_factors(options, segments, weights),
            alive=[segment.alive for segment in segments],
            ids=None if ascending else ids.as_array(self._ids),
            num_words=num_words,
            smallest=content.smallest,
            largest=content.largest,
            steady=options.steady,
            threads=threads,
        )

    def search(
        self, rows: _sparse.Rows, k: int, threads: int, mask: ArrayLike | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return scores or distances, and ids, both of shape (n_queries, k)."""
        allowed = masks.bitmaps(mask, self.content.segments)
        scores, found = self._core.search(*rows, k, threads, allowed)
        return scores, ids.at(self._ids, found)

    def range_search(
        self, rows: _sparse.Rows, threshold: float, threads: int, mask: ArrayLike | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Return offsets of the queries, scores or distances, and ids."""
        allowed = masks.bitmaps(mask, self.content.segments)
        offsets, scores, found = self._core.range_search(*rows, threshold, threads, allowed)
        return offsets, scores, ids.at(self._ids, found)
