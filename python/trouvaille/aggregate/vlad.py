# SPDX-License-Identifier: Apache-2.0
"""Vectors of locally aggregated descriptors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from ._encoder import Vectors
from ._estimator import chosen
from ._words import WordEncoder, Words


class VLAD(WordEncoder):
    """Vectors of locally aggregated descriptors [1]_: on which side of their words they lie.

    For each word c, the sum of ``a (x - c)`` over the descriptors x of a photo that have it; `a` is
    1, or the share of c among the descriptor's nearest words. These sums, one behind the other, are
    the photo's vector, after up to three normalisations, in this order: `power`, `intra`, `norm`.

    Parameters
    ----------
    words : int, Vocabulary, KMeans or array_like
        How many words to learn, or the words; a `KMeans` (of the metric "l2") that was not
        fitted is.
    assignments : int
        Nearest words that a descriptor counts for. With several, the share of each is
        ``exp(-distance**2 / (2 sigma**2))``, of all together 1 [2]_; less than 1e-12 of the nearest
        word's is nothing.
    sigma : float, optional
        In the units of descriptors; by default `sigma_`.
    unit_residuals : bool
        Whether ``x - c`` gets length 1 before it is added ("residual normalisation" [3]_), so that
        each descriptor has the same say.
    power : float
        Magnitudes are raised to it, above 0 and at most 1: 0.5 for what comes in bursts [4]_.
    intra : bool
        Whether each word's sum gets length 1, so that no word has more say than another [5]_.
    norm : {"l2", None}
        Whether the vector gets length 1 in the end.
    pca : int, optional
        Descriptors are reduced to so many principal components first, which are learned together
        with the words; 64 of SIFT's 128 lose nothing [4]_.
    max_descriptors : int, optional
        Learn from at most so many, drawn at random; by default 256 a word.
    random_state : int
        Seed of that sample, and of the words' first centres.
    threads : int, optional
        One for each core by default. Vectors do not depend on it.

    Attributes
    ----------
    words_ : ndarray of uint8 or float32, shape (num_words, n_dims or pca)
    sigma_ : float
        Of a descriptor around its nearest word, the root of the mean squared difference in a
        dimension: as if the words were Gaussians of one width.
    pca_ : PCAWhitening or None

    Notes
    -----
    Where words are given, and no `pca`, there is nothing to learn: `transform` does without `fit`
    (with several assignments, if `sigma` is given). Bytes stay bytes: their nearest words are exact
    by integers, and so are the sums. Vectors are the same bits for any number of threads, on every
    processor, and in any batch.

    References
    ----------
    .. [1] H. Jégou, M. Douze, C. Schmid, P. Pérez, "Aggregating local descriptors into a compact
       image representation", CVPR 2010.
    .. [2] J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, "Lost in quantization: improving
       particular object retrieval in large scale image databases", CVPR 2008.
    .. [3] J. Delhumeau, P.-H. Gosselin, H. Jégou, P. Pérez, "Revisiting the VLAD image
       representation", ACM Multimedia 2013.
    .. [4] H. Jégou, O. Chum, "Negative evidences and co-occurences in image retrieval: the benefit
       of PCA and whitening", ECCV 2012.
    .. [5] R. Arandjelović, A. Zisserman, "All about VLAD", CVPR 2013.

    Examples
    --------
    >>> photos = [np.uint8([[1, 0], [9, 9]]), np.uint8([[0, 3]]), np.empty((0, 2))]
    >>> VLAD(np.uint8([[0, 0], [9, 8]])).transform(photos).round(2)
    array([[0.71, 0.  , 0.  , 0.71],
           [0.  , 1.  , 0.  , 0.  ],
           [0.  , 0.  , 0.  , 0.  ]], dtype=float32)
    """

    _format = ArrayFile("vlad", 1, "a VLAD encoder")

    def __init__(
        self,
        words: Words = 64,
        *,
        assignments: int = 1,
        sigma: float | None = None,
        unit_residuals: bool = False,
        power: float = 1.0,
        intra: bool = True,
        norm: str | None = "l2",
        pca: int | None = None,
        max_descriptors: int | None = None,
        random_state: int = 0,
        threads: int | None = None,
    ) -> None:
        self.words = words
        self.assignments = assignments
        self.sigma = sigma
        self.unit_residuals = unit_residuals
        self.power = power
        self.intra = intra
        self.norm = norm
        self.pca = pca
        self.max_descriptors = max_descriptors
        self.random_state = random_state
        self.threads = threads

    def _size(self) -> int:
        return self._current_words().size

    def _encode(self, values: NDArray[Any], offsets: NDArray[np.int64], threads: int) -> Vectors:
        words, values = self._current_words(), self._reduced(values)
        dtype = np.result_type(values, words)
        if values.shape[1] > _core.max_byte_dims:
            dtype = np.dtype(np.float32)
        if self._assignments(words) == 1:  # the kernel finds the nearest
            ids, weights = np.empty((0, 0), np.int64), np.empty((0, 0), np.float32)
        else:
            ids, weights = self._assigned(values, words, threads)
        return _core.vlad(
            values.astype(dtype, copy=False),
            offsets,
            words.astype(dtype, copy=False),
            ids,
            weights,
            _check.boolean(self.unit_residuals, "unit_residuals"),
            checked_power(self.power),
            _check.boolean(self.intra, "intra"),
            chosen(self.norm, "norm", ("l2", None)) == "l2",
            threads,
        )


def checked_power(power: float) -> float:
    """Return the exponent of a power law."""
    value = _check.between(power, "power", 0, 1)
    if value == 0:
        raise ValueError("power must be above 0: all numbers would be 1")
    return value
