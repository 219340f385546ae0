# SPDX-License-Identifier: Apache-2.0
"""The nearest words of descriptors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from ..neighbors import Neighbors

_LEAST_SIGMA, _MOST_SIGMA = 1e-150, 1e150  # their squares are still float64


def assign(X: ArrayLike, words: ArrayLike, k: int = 1, *, threads: int | None = None) -> Neighbors:
    """Find the `k` nearest words of each descriptor, exactly.

    Parameters
    ----------
    X : array_like of uint8 or float, shape (n_descriptors, n_dims)
        Descriptors. If they and the words are bytes, distances are exact integers; otherwise
        both are taken as float32, which must represent them exactly.
    words : array_like of uint8 or float, shape (n_words, n_dims)
        Words, or any other vectors: it is the exact search of one set among another.
    k : int
        Neighbours of each descriptor. It may exceed the number of words.
    threads : int, optional
        Worker threads; one per core by default.

    Returns
    -------
    Neighbors
        ``(distances, ids)``, each of shape (n_descriptors, k).

    Raises
    ------
    TypeError
        If an array does not hold numbers, or `k` or `threads` is not a whole number.
    ValueError
        If an array is not 2-D, has NaN, infinity or numbers that float32 cannot represent, the
        dimensions differ, bytes have more than 32,768 dimensions, or `k` or `threads` is not
        positive.

    Notes
    -----
    The same bits for any number of threads and on every CPU. Float distances are float32 sums of
    ``(x - w) ** 2`` in a fixed order (relative error at most ``(n_dims / 16 + 8) * 2**-24``), and
    the neighbours are those with the smallest such sums, so equal vectors are at exactly 0.
    Time O(n_descriptors * n_words * n_dims); memory is the result and a few MiB.

    Examples
    --------
    >>> assign(np.uint8([[3, 4]]), np.uint8([[0, 0], [3, 3]]), k=2)
    Neighbors(distances=array([[ 1, 25]], dtype=int32), ids=array([[1, 0]]))
    """
    X, words = _alike(_check.descriptors(X, "X"), _check.descriptors(words, "words"))
    if words.shape[1] != X.shape[1]:
        raise ValueError(f"words must have the {X.shape[1]} columns of X, got shape {words.shape}")
    if X.dtype == np.uint8 and X.shape[1] > _core.max_byte_dims:
        raise ValueError(
            f"X has {X.shape[1]} columns; distances between bytes fit 32 bits up to "
            f"{_core.max_byte_dims}. Pass X.astype(np.float32)"
        )
    k = _check.count(k, "k")
    return Neighbors(*_core.exact_neighbors(X, words, k, _check.threads(threads)))


def _alike(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as they are if their dtypes agree, else both as float32."""
    if x.dtype == y.dtype:
        return x, y
    return x.astype(np.float32, copy=False), y.astype(np.float32, copy=False)


class SoftWords(NamedTuple):
    """Several words of each descriptor.

    Attributes
    ----------
    weights : ndarray of float32, shape (n, k)
        The words of a descriptor weigh 1 together; a place without a word 0.
    ids : ndarray of int64, shape (n, k)
        The nearest first; -1 where there are no more.
    """

    weights: NDArray[np.float32]
    ids: NDArray[np.int64]


def soft_weights(distances: NDArray[Any], sigma: float, threads: int) -> NDArray[np.float32]:
    """Return weights of words at squared `distances`: a Gaussian's, in shares of the row's."""
    return _core.soft_weights(distances, kernel_scale(_check.positive(sigma, "sigma")), threads)


def kernel_scale(sigma: float) -> float:
    """Return what squared distances are multiplied with in the exponent of a Gaussian.

    There is one for every sigma: of a very small one only the nearest words count, of a very large
    one all count the same.
    """
    return 0.5 / min(max(sigma, _LEAST_SIGMA), _MOST_SIGMA) ** 2
