# SPDX-License-Identifier: Apache-2.0
"""What is around a word: the mean of the words that are nearest to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from ..neighbors.graph import Graph
from .assignment import assign

N_NEIGHBORS = 20

# Of more words, neighbours are found by a graph: all distances of a million words take an hour.
_EXACT_TO = 65_536
_DEGREE = 32
_BLOCK = 1 << 22  # numbers of neighbours in memory


def neighborhood_means(
    words: ArrayLike, n_neighbors: int = N_NEIGHBORS, *, threads: int | None = None
) -> NDArray[Any]:
    """Return the mean of the words nearest to each word.

    Parameters
    ----------
    words : array_like of uint8 or float, shape (num_words, n_dims)
        The vocabulary's.
    n_neighbors : int
        So many nearest words, the word itself among them; all, if there are fewer.
    threads : int, optional
        One for each core by default.

    Returns
    -------
    ndarray of uint8 or float32, shape (num_words, n_dims)
        Of words in bytes rounded to bytes, halves up.

    Raises
    ------
    TypeError, ValueError
        If `words` are none, or an argument is out of range.

    Notes
    -----
    Of more than 65,536 words, neighbours are found by a `trouvaille.neighbors.Graph`, nearly all
    of them. The same bits for any number of threads.
    """
    words = _check.descriptors(words, "words")
    if words.size == 0:
        raise ValueError(f"words must hold at least one word, got shape {words.shape}")
    k = min(_check.count(n_neighbors, "n_neighbors"), len(words))
    if len(words) <= _EXACT_TO:
        nearest = assign(words, words, k, threads=threads).ids
    else:
        graph = Graph(_DEGREE).build(words, threads=threads)
        nearest = graph.search(words, k, width=max(2 * k, _DEGREE), threads=threads).ids
        nearest = np.where(nearest < 0, np.arange(len(words))[:, None], nearest)
    means = np.empty_like(words)
    step = max(_BLOCK // (k * words.shape[1]), 1)
    for begin in range(0, len(words), step):
        part = words[nearest[begin : begin + step]]
        if words.dtype == np.uint8:
            sums = part.sum(axis=1, dtype=np.uint32)
            means[begin : begin + step] = (2 * sums + k) // (2 * k)
        else:
            means[begin : begin + step] = part.sum(axis=1, dtype=np.float64) / k
    return means
