# SPDX-License-Identifier: Apache-2.0
"""Selective match kernels: photos compared by the binary residuals of their features."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from .._photos import Photos, joined
from ..words import Vocabulary, assign
from .match_index import Idf, MatchIndex, Weights
from .results import SearchResult
from .signature_block import SignatureRows

_UNKNOWN = "unknown"  # the descriptor that an array of words is of


class _MatchKernel(MatchIndex):
    """What SMK and ASMK have in common."""

    _aggregated: ClassVar[bool]

    def __init__(
        self,
        words: Vocabulary | ArrayLike,
        *,
        alpha: float = 3.0,
        similarity_threshold: float = 0.0,
        query_words: int = 5,
        idf: Idf = "following",
    ) -> None:
        self._vocabulary = words if isinstance(words, Vocabulary) else _vocabulary_of(words)
        num_words, n_dims = self.words.shape
        _check.count(num_words, "the number of words", maximum=_core.max_signature_words)
        _check.count(n_dims, "the columns of words", maximum=8 * _core.max_code_bytes)
        self.alpha = _check.positive(alpha, "alpha")
        self.similarity_threshold = _check.between(
            similarity_threshold, "similarity_threshold", -1, 1
        )
        self.query_words = _check.count(query_words, "query_words")
        super().__init__(num_words, n_dims, idf)

    @property
    def words(self) -> NDArray[Any]:
        """The words, read-only."""
        return self._vocabulary.words

    def _parameters(self) -> dict[str, Any]:
        return {
            "alpha": self.alpha,
            "similarity_threshold": self.similarity_threshold,
            "query_words": self.query_words,
        }

    def _own_arrays(self) -> dict[str, NDArray[Any]]:
        return {"vocabulary": self.words}

    @classmethod
    def _arguments(cls, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        if "vocabulary" not in arrays:
            raise ValueError("there must be an array vocabulary")
        return {"words": arrays.pop("vocabulary")}

    def _similarities(self) -> Weights:
        table = np.zeros(8 * -(-self.n_bits // 8) + 1)
        for distance in range(self.n_bits + 1):
            u = 1 - 2 * distance / self.n_bits
            if u >= self.similarity_threshold:
                table[distance] = math.copysign(math.pow(abs(u), self.alpha), u)
        return table

    def _self_similarities(self) -> Weights:
        return self._similarities()

    def add(
        self,
        photos: Photos,
        ids: ArrayLike | None = None,
        *,
        nearest: ArrayLike | None = None,
        approximate: bool = False,
        width: int = 64,
        threads: int | None = None,
    ) -> None:
        """Add photos.

        Parameters
        ----------
        photos : sequence of array_like of uint8 or float, or (descriptors, offsets)
            Of each photo its descriptors, shape (n, n_dims), n may be 0; or those of all photos
            one behind the other, those of photo i being ``offsets[i]`` to ``offsets[i + 1]``.
        ids : array_like of int, shape (n_photos,), optional
            Distinct from each other and from those of the index, and not negative. By default
            they follow the largest there ever was.
        nearest : array_like of int, shape (n_descriptors,) or (n_descriptors, m), optional
            The words of all photos' descriptors, where they are known. By default the nearest one.
        approximate : bool
            Whether to find words along a graph of them, instead of comparing with all: see
            `trouvaille.words.Vocabulary.assign`. The graph is that of the `Vocabulary` given to
            the index, if it was one; else, and after `load`, the first such call builds it. Not
            together with `nearest`.
        width : int
            Of the walks along the graph: the more, the surer are the nearest.
        threads : int, optional
            One for each core by default.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, descriptors are not finite, a word is
            none, or an id is taken; or, where words are bytes and found approximately, descriptors
            are not whole numbers from 0 to 255. Nothing is added then.
        """
        walk = _width(approximate, width, nearest)
        rows = self._residuals(photos, nearest, 1, walk, _check.threads(threads))
        self._add(rows, ids)

    def search(
        self,
        photos: Photos,
        k: int = 100,
        *,
        nearest: ArrayLike | None = None,
        approximate: bool = False,
        width: int = 64,
        threads: int | None = None,
    ) -> SearchResult:
        """Find the `k` best photos for each query.

        Parameters
        ----------
        photos : sequence of array_like of uint8 or float, or (descriptors, offsets)
            As for `add`.
        k : int
            Places a query. It may be more than there are photos.
        nearest : array_like of int, shape (n_descriptors,) or (n_descriptors, m), optional
            The words of all queries' descriptors. By default the `query_words` nearest ones.
        approximate, width
            As for `add`.
        threads : int, optional
            One for each core by default.

        Returns
        -------
        SearchResult
            ``scores`` and ``ids``, of shape (n_photos, k), best first; among equals the smaller
            id. Photos that share no word have the score 0; places for which there is no photo
            hold -infinity and -1.

        Raises
        ------
        TypeError, ValueError
            As `add`.
        """
        k, threads = _check.count(k, "k"), _check.threads(threads)
        walk = _width(approximate, width, nearest)
        rows = self._residuals(photos, nearest, self.query_words, walk, threads)
        return self._search(rows, np.zeros(len(rows.words), np.uint32), k, threads)

    def signatures(
        self,
        photos: Photos,
        *,
        nearest: ArrayLike | None = None,
        threads: int | None = None,
    ) -> SignatureRows:
        """Return what `add` would keep of photos, for those who keep it themselves.

        Parameters
        ----------
        photos, nearest, threads
            As for `add`.

        Returns
        -------
        SignatureRows
            ``(offsets, words, signatures)``: postings ``offsets[i]`` to ``offsets[i + 1]`` are
            those of photo i, words ascending.

        Raises
        ------
        TypeError, ValueError
            As `add`.
        """
        return self._residuals(photos, nearest, 1, None, _check.threads(threads))

    def _residuals(
        self,
        photos: Photos,
        nearest: ArrayLike | None,
        n_words: int,
        width: int | None,
        threads: int,
    ) -> SignatureRows:
        values, offsets = joined(photos, "photos", self.n_bits)
        n_words = min(n_words, self.num_words)
        if width is not None:
            values = _check.matrix(values, "photos", self.words.dtype)
        if nearest is not None:
            ids = self._checked_words(nearest, len(values))
        elif width is not None:
            ids = self._approximately_nearest(values, n_words, width, threads)
        else:
            ids = assign(values, self.words, n_words, threads=threads).ids
        return self._signed(values, offsets, ids, threads)

    def _signed(
        self,
        values: NDArray[Any],
        offsets: NDArray[np.int64],
        ids: NDArray[np.int64],
        threads: int,
    ) -> SignatureRows:
        """Return the signatures of descriptors in their words."""
        words, used = self.words, None
        if values.dtype != words.dtype:
            # All words as float32 may be half a gigabyte: those that occur are enough.
            used, places = np.unique(ids, return_inverse=True)
            words, ids = words[used].astype(np.float32, copy=False), places.reshape(ids.shape)
            values = values.astype(np.float32, copy=False)
        rows = SignatureRows(
            *_core.binary_residuals(values, words, ids, offsets, self._aggregated, threads)
        )
        return rows if used is None else rows._replace(words=used.astype(np.uint32)[rows.words])

    def _approximately_nearest(
        self, values: NDArray[Any], n_words: int, width: int, threads: int
    ) -> NDArray[np.int64]:
        found = self._vocabulary.assign(
            values, n_words, approximate=True, width=width, threads=threads
        ).ids
        lost = (found < 0).any(axis=1)  # of a graph in parts, a walk may meet too few words
        if lost.any():
            found[lost] = assign(values[lost], self.words, n_words, threads=threads).ids
        return found

    def _checked_words(self, nearest: ArrayLike, n: int) -> NDArray[np.int64]:
        given = _check.as_array(nearest, "nearest")
        if given.size == 0:  # NumPy takes an empty list for numbers that are not whole
            given = given.astype(np.int64)
        ids = _check.array(given, "nearest", np.int64)
        ids = ids[:, None] if ids.ndim == 1 else ids
        if ids.ndim != 2 or len(ids) != n:
            raise ValueError(
                f"nearest must have a row for each of {n} descriptors, got {ids.shape}"
            )
        if ids.size and not 0 <= ids.min() <= ids.max() < self.num_words:
            wrong = ids[(ids < 0) | (ids >= self.num_words)][0]
            raise ValueError(f"nearest must hold words below {self.num_words}, got {wrong}")
        return np.ascontiguousarray(ids)


def _width(approximate: bool, width: int, nearest: ArrayLike | None) -> int | None:
    """Return the width of the walks to the words, None where they are not found by walks."""
    width = _check.count(width, "width")
    if not _check.boolean(approximate, "approximate"):
        return None
    if nearest is not None:
        raise ValueError("approximate must be False where nearest is given")
    return width


def _vocabulary_of(words: ArrayLike) -> Vocabulary:
    """Return the vocabulary of an array: a copy, if it can be changed."""
    checked = _check.descriptors(words, "words")
    if not checked.flags.writeable:
        return Vocabulary._of_kept(checked, _UNKNOWN)
    return Vocabulary(checked, _UNKNOWN)


class SMK(_MatchKernel):
    """Photos by the selective match kernel [1]_, over binary residuals.

    Each feature has a signature in its word: the signs of its descriptor minus the word. Two that
    differ in h of D bits are similar by ``u = 1 - 2 * h / D``, and count
    ``sign(u) * abs(u)**alpha`` if u is not below the threshold. The kernel of two photos is the sum
    of that, times the word's idf squared, over all pairs of features that share a word; the score
    is the kernel divided by the roots of both photos' kernels with themselves.

    Parameters
    ----------
    words : Vocabulary or array_like of uint8 or float, shape (num_words, n_dims)
        The words; at most 2^24. Kept, and saved with the index. A signature has `n_dims` bits.
    alpha : float
        The exponent of a similarity; positive.
    similarity_threshold : float
        The least similarity that counts, from -1 to 1.
    query_words : int
        So many nearest words of a query's descriptor; those of the index have one each.
    idf : {"following", None} or array_like of float, shape (num_words,)
        What a word weighs: ``log(N / df)``, of the collection as it is; nothing; or what is given,
        not negative.

    References
    ----------
    .. [1] G. Tolias, Y. Avrithis, H. Jegou, "To aggregate or not to aggregate: selective match
       kernels for image search", ICCV 2013.

    Examples
    --------
    >>> index = SMK(np.uint8([[10, 10], [90, 90]]), idf=None)
    >>> index.add([np.uint8([[12, 12]]), np.uint8([[12, 8], [95, 95]])])
    >>> index.search([np.uint8([[11, 13]])], k=2)
    SearchResult(scores=array([[0.70710678, 0.        ]]), ids=array([[0, 1]]))
    """

    _aggregated = False
    _format = ArrayFile("smk", 1, "an index of SMK")


class ASMK(_MatchKernel):
    """Photos by the aggregated selective match kernel [1]_, over binary residuals.

    A photo has one signature in each of its words: the signs of the sum of its descriptors there,
    each minus the word. Two that differ in h of D bits are similar by ``u = 1 - 2 * h / D``, and
    count ``sign(u) * abs(u)**alpha`` if u is not below the threshold. The kernel of two photos is
    the sum of that, times the word's idf squared, over the words that they share; the score is the
    kernel divided by the roots of both photos' kernels with themselves, so that a photo's with
    itself is 1. What repeats in a photo counts once: ASMK needs nothing against bursts.

    Parameters
    ----------
    words : Vocabulary or array_like of uint8 or float, shape (num_words, n_dims)
        The words; at most 2^24. Kept, and saved with the index. A signature has `n_dims` bits.
    alpha : float
        The exponent of a similarity; positive.
    similarity_threshold : float
        The least similarity that counts, from -1 to 1.
    query_words : int
        So many nearest words of a query's descriptor; those of the index have one each.
    idf : {"following", None} or array_like of float, shape (num_words,)
        What a word weighs: ``log(N / df)``, of the collection as it is; nothing, as in [2]_; or
        what is given, not negative.

    Notes
    -----
    Scores are sums of float64 in the order of the words: the same bits for any number of threads,
    on every CPU, for any batch of queries and any division into calls of `add` (but for what the C
    library makes of log and pow). Where a residual is a sum of floats that cancels, a bit may
    differ from a sum in another order.

    References
    ----------
    .. [1] G. Tolias, Y. Avrithis, H. Jegou, "To aggregate or not to aggregate: selective match
       kernels for image search", ICCV 2013.
    .. [2] G. Tolias, T. Jenicek, O. Chum, "Learning and aggregating deep local descriptors for
       instance-level recognition", ECCV 2020.

    Examples
    --------
    >>> index = ASMK(np.uint8([[10, 10], [90, 90]]), idf=None)
    >>> index.add([np.uint8([[12, 12]]), np.uint8([[12, 8], [95, 95]])])
    >>> index.search([np.uint8([[11, 13]])], k=2)
    SearchResult(scores=array([[0.70710678, 0.        ]]), ids=array([[0, 1]]))
    """

    _aggregated = True
    _format = ArrayFile("asmk", 1, "an index of ASMK")
