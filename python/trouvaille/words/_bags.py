# SPDX-License-Identifier: Apache-2.0
"""Photos as rows of the nodes or words of a vocabulary tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse

    from .vocabulary_tree import VocabularyTree

_PIECE = 1 << 18  # descriptors that go down at a time: it bounds the memory of their paths


def photos_by_column(
    tree: VocabularyTree, X: NDArray[Any], offsets: NDArray[np.int64], levels: bool
) -> scipy.sparse.csr_matrix:
    """Return counts times weights, a photo a row; see `VocabularyTree.bags`."""
    import scipy.sparse

    n_columns = tree.num_nodes if levels else tree.num_words
    weights = tree.weights_
    if weights is not None and not levels:
        weights = weights[tree.leaves_]
    starts = np.zeros(len(offsets), np.int64)
    columns, values = [np.empty(0, np.int64)], [np.empty(0)]
    for photos, column, count in _counted(tree, X, offsets, levels):
        value = count.astype(np.float64) if weights is None else count * weights[column]
        kept = value != 0
        # Photos ascend: those of this part are next to each other.
        first, last = (photos[0], photos[-1] + 1) if len(photos) else (0, 0)
        starts[first + 1 : last + 1] = np.bincount(photos[kept] - first, minlength=last - first)
        columns.append(column[kept])
        values.append(value[kept])
    np.cumsum(starts, out=starts)
    shape = (len(offsets) - 1, n_columns)
    parts = (np.concatenate(values), np.concatenate(columns), starts)
    return scipy.sparse.csr_matrix(parts, shape=shape)


def document_frequencies(
    tree: VocabularyTree, X: NDArray[Any], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return in how many photos each node occurs."""
    frequencies = np.zeros(tree.num_nodes, np.int64)
    for _, column, _ in _counted(tree, X, offsets, levels=True):
        frequencies += np.bincount(column, minlength=tree.num_nodes)
    return frequencies


def _counted(
    tree: VocabularyTree, X: NDArray[Any], offsets: NDArray[np.int64], levels: bool
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield photos, columns and counts, in the order of photos and then of columns."""
    n_columns = tree.num_nodes if levels else tree.num_words
    first, n_photos = 0, len(offsets) - 1
    while first < n_photos:
        last = int(np.searchsorted(offsets, offsets[first] + _PIECE, side="right")) - 1
        last = min(max(last, first + 1), n_photos)
        part = slice(int(offsets[first]), int(offsets[last]))
        photos = np.repeat(np.arange(last - first), np.diff(offsets[first : last + 1]))
        found = tree.transform(X[part], levels=levels)
        if levels:
            photos = np.repeat(photos, found.shape[1])[found.ravel() >= 0]
            found = found[found >= 0]
        keys, counts = np.unique(photos * n_columns + found, return_counts=True)
        yield first + keys // n_columns, keys % n_columns, counts
        first = last
