# SPDX-License-Identifier: Apache-2.0
"""Histograms of visual words."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from .. import _check
from .._array_file import ArrayFile
from .._photos import Photos
from ..index.by_word import ByWord
from ..index.weights import word_weights
from ._encoder import Vectors
from ._estimator import Arrays, chosen
from ._images import Images
from ._words import WordEncoder, Words

_WEIGHTINGS = (None, "tfidf", "tfidf_smooth")


class BagOfWords(WordEncoder):
    """Histograms of visual words [1]_, one a photo.

    Parameters
    ----------
    words : int, Vocabulary, KMeans or array_like
        How many words to learn, or the words; a `KMeans` that was not fitted is.
    assignments : int
        Nearest words that a descriptor counts for. With several, the share of each is
        ``exp(-distance**2 / (2 sigma**2))``, of all together 1 [2]_.
    sigma : float, optional
        In the units of descriptors; by default `sigma_`.
    weighting : {None, "tfidf", "tfidf_smooth"}
        What a word counts, as `trouvaille.index.InvertedFile` has it, by how many of the photos
        that were learned from have it.
    burstiness : {None, "sqrt"}
        "sqrt" takes the square root of counts, since a word comes in bursts.
    norm : {"l2", "l1", None}
        Histograms get this length in the end.
    sparse : bool
        Whether `transform` returns a sparse matrix: histograms of many words are nearly empty, and
        belong into an inverted file.
    max_descriptors, random_state, threads
        As in `VLAD`.

    Attributes
    ----------
    words_ : ndarray of uint8 or float32, shape (num_words, n_dims)
    sigma_ : float
        As in `VLAD`.
    idf_ : ndarray of float64, shape (num_words,)
        What each word weighs: 1 without a weighting.

    Notes
    -----
    Where words are given, and no weighting, `transform` does without `fit` (with several
    assignments, if `sigma` is given). Where `weighting` is changed after `fit`, to another one than
    None, `fit` must be called again.

    References
    ----------
    .. [1] J. Sivic, A. Zisserman, "Video Google: a text retrieval approach to object matching in
       videos", ICCV 2003.
    .. [2] J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, "Lost in quantization: improving
       particular object retrieval in large scale image databases", CVPR 2008.

    Examples
    --------
    >>> photos = [np.uint8([[1, 0], [9, 9], [0, 1]]), np.empty((0, 2))]
    >>> BagOfWords(np.uint8([[0, 0], [9, 8]]), norm=None).transform(photos)
    array([[2., 1.],
           [0., 0.]], dtype=float32)
    """

    _format = ArrayFile("bag_of_words", 1, "an encoder to bags of words")
    pca = None  # words are of descriptors as they are

    def __init__(
        self,
        words: Words,
        *,
        assignments: int = 1,
        sigma: float | None = None,
        weighting: str | None = None,
        burstiness: str | None = None,
        norm: str | None = "l2",
        sparse: bool = False,
        max_descriptors: int | None = None,
        random_state: int = 0,
        threads: int | None = None,
    ) -> None:
        self.words = words
        self.assignments = assignments
        self.sigma = sigma
        self.weighting = weighting
        self.burstiness = burstiness
        self.norm = norm
        self.sparse = sparse
        self.max_descriptors = max_descriptors
        self.random_state = random_state
        self.threads = threads

    idf_: NDArray[np.float64]
    _weighting: str | None  # that `idf_` is of

    def fit(self, X: Photos, y: object = None) -> Self:
        """Learn the words, where they are not given, and what they weigh; see `VLAD.fit`."""
        return self._fit(X)

    def _learn(self, X: Photos) -> None:
        super()._learn(X)
        weighting = chosen(self.weighting, "weighting", _WEIGHTINGS)
        self._weighting, self.idf_ = weighting, np.ones(len(self.words_))
        if weighting is not None:
            images, threads = Images(X), _check.threads(self.threads)
            frequencies = np.zeros(len(self.words_), np.int64)
            for _, values, offsets in images.blocks():
                counts = self._counts(values, offsets, threads)
                frequencies += np.bincount(counts.indices, minlength=len(frequencies))
            weights = word_weights(weighting, ByWord(frequencies), len(images))
            assert weights is not None
            self.idf_ = weights.numbers

    def transform(self, X: Photos) -> Any:
        """Return the histograms of photos.

        Parameters
        ----------
        X : sequence of array_like, shape (n_i, n_dims), or (values, offsets)
            Descriptors, one array a photo; or all in one array, of which photo i has rows
            offsets[i] to offsets[i + 1].

        Returns
        -------
        ndarray of float32, or scipy.sparse.csr_array if `sparse`, shape (n_photos, num_words)
            A photo without features has a row of zeros.

        Raises
        ------
        TypeError, ValueError
            As `VLAD.transform`.
        """
        if not _check.boolean(self.sparse, "sparse"):
            return super().transform(X)
        images, threads = Images(X, self._n_dims()), _check.threads(self.threads)
        blocks = [
            self._histograms(values, offsets, threads) for _, values, offsets in images.blocks()
        ]
        empty = scipy.sparse.csr_array((0, self._size()), dtype=np.float32)
        return scipy.sparse.csr_array(scipy.sparse.vstack([empty, *blocks], format="csr"))

    def _size(self) -> int:
        self._idf()
        return len(self._current_words())

    def _encode(self, values: NDArray[Any], offsets: NDArray[np.int64], threads: int) -> Vectors:
        dense: Vectors = self._histograms(values, offsets, threads).toarray()
        return dense

    def _histograms(self, values: NDArray[Any], offsets: NDArray[np.int64], threads: int) -> Any:
        counts = self._counts(values, offsets, threads)
        numbers = counts.data
        if chosen(self.burstiness, "burstiness", (None, "sqrt")) == "sqrt":
            numbers = np.sqrt(numbers)
        idf = self._idf()
        if idf is not None:
            numbers = numbers * idf[counts.indices]
        numbers = _of_length_one(
            numbers, counts.indptr, chosen(self.norm, "norm", ("l2", "l1", None))
        )
        return scipy.sparse.csr_array(
            (numbers.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape
        )

    def _idf(self) -> NDArray[np.float64] | None:
        """Return what words weigh by the weighting of now, if there is one."""
        weighting = chosen(self.weighting, "weighting", _WEIGHTINGS)
        if weighting is None:
            return None
        if not hasattr(self, "idf_"):
            raise self._nothing_learned()
        if weighting != self._weighting:
            raise ValueError(
                f"weighting is {weighting!r}, but what words weigh was learned for "
                f"{self._weighting!r}: call fit again"
            )
        return self.idf_

    def _counts(self, values: NDArray[Any], offsets: NDArray[np.int64], threads: int) -> Any:
        """Return how often each photo has each word, or by how much."""
        words = self._current_words()
        ids, weights = self._assigned(values, words, threads)
        ones = np.ones(ids.size) if weights.size == 0 else weights.reshape(-1).astype(np.float64)
        counts = scipy.sparse.csr_array(
            (ones, ids.reshape(-1), offsets * ids.shape[1]), shape=(len(offsets) - 1, len(words))
        )
        counts.sum_duplicates()
        counts.eliminate_zeros()  # of words that are too far to count
        return counts

    def _learned(self) -> Arrays:
        idf = self._idf()
        return {**super()._learned(), "idf": np.ones(self._size()) if idf is None else idf}

    def _take(self, arrays: Arrays) -> None:
        idf = arrays.get("idf")
        super()._take({name: array for name, array in arrays.items() if name != "idf"})
        if self.pca_ is not None:
            raise ValueError("there must be no PCA: words are of descriptors as they are")
        if idf is None or idf.dtype != np.float64 or idf.shape != (len(self.words_),):
            raise ValueError("idf must be one number a word")
        if not (np.isfinite(idf) & (idf >= 0)).all():
            raise ValueError("idf must be finite, and none below 0")
        self._weighting, self.idf_ = chosen(self.weighting, "weighting", _WEIGHTINGS), idf


def _of_length_one(
    numbers: NDArray[np.float64], indptr: NDArray[Any], norm: str | None
) -> NDArray[np.float64]:
    """Return the numbers of rows, divided by each row's length."""
    if norm is None or len(numbers) == 0:
        return numbers
    magnitudes = np.square(numbers) if norm == "l2" else np.abs(numbers)
    sums = np.zeros(len(indptr) - 1)
    filled = np.flatnonzero(np.diff(indptr))
    sums[filled] = np.add.reduceat(magnitudes, indptr[filled])
    lengths = np.repeat(np.sqrt(sums) if norm == "l2" else sums, np.diff(indptr))
    unit = np.zeros_like(numbers)
    np.divide(numbers, lengths, out=unit, where=lengths > 0)
    return unit
