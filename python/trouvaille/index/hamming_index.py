# SPDX-License-Identifier: Apache-2.0
"""Hamming embedding: an inverted file in which a word's features match by their signatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from .match_index import Burstiness, Idf, MatchIndex, Weights
from .results import SearchResult
from .signature_block import SignatureRows

SignedPhoto = tuple[ArrayLike, ArrayLike]
"""The words of a photo's features, and their signatures."""

_BURSTINESS = {
    None: Burstiness(False, False),
    "intra": Burstiness(True, False),
    "inter": Burstiness(False, True),
    "both": Burstiness(True, True),
}


class HammingIndex(MatchIndex):
    """Photos by the words of their features, whose signatures tell matches from others [1]_.

    Two features match if they have the same word and their signatures, as `HammingEmbedding` makes
    them, differ in at most `threshold` bits. The score of a photo is the sum over all matches of
    ``idf(word)**2 * exp(-(distance / sigma)**2)`` [2]_, divided by the norms of both photos, which
    are those of tf-idf: ``sqrt(sum of (idf(word) * features of the word)**2)``.

    Parameters
    ----------
    num_words : int
        Words of the vocabulary, up to 2^24.
    n_bits : int
        Bits of a signature.
    threshold : int, optional
        The greatest distance of a match; by default three eighths of `n_bits`.
    sigma : float, optional
        In bits; by default a quarter of `n_bits`. If it is very large, all matches count alike.
    burstiness : {"both", "intra", "inter", None}
        What is made of a feature of the query that has many matches [3]_. A match that counts m,
        of matches that count t in all, counts ``m * sqrt(m / t)``: of those in the same photo
        ("intra"), of those in all photos ("inter"), or of the former and then of the latter.
    idf : {"following", None} or array_like of float, shape (num_words,)
        What a word weighs: ``log(N / df)``, of the collection as it is; nothing; or what is given,
        not negative.

    Attributes
    ----------
    num_words, n_bits, threshold, sigma, burstiness, idf
        As given, and ``"given"`` for an `idf` that is an array.

    Notes
    -----
    Scores are sums of float64 in the order of the query's features: the same bits for any number
    of threads, on every CPU, for any batch of queries and any division into calls of `add` (but
    for what the C library makes of log and exp). A posting takes `n_bits` and 16 more; a search
    reads the signatures of the query's words, and what matches. "inter" reads them twice; what a
    feature matches over all photos it adds up in whole numbers of 2^-60 of the word's weight.

    References
    ----------
    .. [1] H. Jegou, M. Douze, C. Schmid, "Hamming embedding and weak geometric consistency for
       large scale image search", ECCV 2008.
    .. [2] H. Jegou, M. Douze, C. Schmid, "Improving bag-of-features for large scale image search",
       IJCV 87(3), 2010.
    .. [3] H. Jegou, M. Douze, C. Schmid, "On the burstiness of visual elements", CVPR 2009.

    Examples
    --------
    >>> index = HammingIndex(num_words=3, n_bits=8, idf=None)
    >>> index.add([([0, 1], np.uint8([[0], [255]])), ([1, 2], np.uint8([[254], [0]]))])
    >>> index.search([([1], np.uint8([[254]]))], k=2).ids
    array([[1, 0]])
    """

    _format = ArrayFile("hamming_index", 1, "an index of Hamming embedding")

    def __init__(
        self,
        num_words: int,
        n_bits: int = 64,
        *,
        threshold: int | None = None,
        sigma: float | None = None,
        burstiness: str | None = "both",
        idf: Idf = "following",
    ) -> None:
        num_words = _check.count(num_words, "num_words", maximum=_core.max_signature_words)
        n_bits = _check.count(n_bits, "n_bits", maximum=8 * _core.max_code_bytes)
        given = 3 * n_bits // 8 if threshold is None else threshold
        self.threshold = _check.count(given, "threshold", minimum=0, maximum=n_bits)
        self.sigma = _check.positive(n_bits / 4 if sigma is None else sigma, "sigma")
        if not (burstiness is None or isinstance(burstiness, str)) or (
            burstiness not in _BURSTINESS
        ):
            raise ValueError(
                f"burstiness must be None, 'intra', 'inter' or 'both', got {burstiness!r}"
            )
        self.burstiness = burstiness
        self._burstiness = _BURSTINESS[burstiness]
        super().__init__(num_words, n_bits, idf)

    def _parameters(self) -> dict[str, Any]:
        return {
            "num_words": self.num_words,
            "n_bits": self.n_bits,
            "threshold": self.threshold,
            "sigma": self.sigma,
            "burstiness": self.burstiness,
        }

    def _similarities(self) -> Weights:
        table = np.zeros(8 * -(-self.n_bits // 8) + 1)
        for distance in range(self.threshold + 1):
            ratio = distance / self.sigma
            table[distance] = math.exp(-ratio * ratio)
        return table

    def _self_similarities(self) -> Weights:
        return np.zeros(0)

    def _query_norms(self, rows: SignatureRows, weights: Weights) -> Weights:
        # Numbers of query and word in one: these sort in a tenth of a lexsort's time.
        queries = np.arange(len(rows.offsets) - 1, dtype=np.uint64) << np.uint64(32)
        keys = np.sort(np.repeat(queries, np.diff(rows.offsets)) | rows.words)
        words = (keys & np.uint64(2**32 - 1)).astype(np.uint32)
        return super()._query_norms(rows._replace(words=words), weights)

    def add(self, photos: Sequence[SignedPhoto], ids: ArrayLike | None = None) -> None:
        """Add photos.

        Parameters
        ----------
        photos : sequence of (words, signatures)
            Of each photo the words of its features, shape (n,), and their signatures, shape
            (n, ceil(n_bits / 8)) of uint8; n may be 0. A feature may have several words, each
            with a signature: shapes (n, k) and (n, k, ceil(n_bits / 8)).
        ids : array_like of int, shape (len(photos),), optional
            Distinct from each other and from those of the index, and not negative. By default
            they follow the largest there ever was.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, a word or a signature is none, or an id
            is taken. Nothing is added then.
        """
        self._add(self._features(photos).rows, ids)

    def search(
        self, photos: Sequence[SignedPhoto], k: int = 100, *, threads: int | None = None
    ) -> SearchResult:
        """Find the `k` best photos for each query.

        Parameters
        ----------
        photos : sequence of (words, signatures)
            As for `add`. With several words a feature, matches in all of them count.
        k : int
            Places a query. It may be more than there are photos.
        threads : int, optional
            One for each core by default.

        Returns
        -------
        SearchResult
            ``scores`` and ``ids``, of shape (len(photos), k), best first; among equals the smaller
            id. Photos without a match have the score 0; places for which there is no photo hold
            -infinity and -1.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, or a word or a signature is none.
        """
        k, threads = _check.count(k, "k"), _check.threads(threads)
        return self._search(*self._features(photos), k, threads)

    def _features(self, photos: Sequence[SignedPhoto]) -> _Features:
        if not isinstance(photos, Sequence):
            raise TypeError("photos must be a sequence of pairs (words, signatures), one a photo")
        parts = [self._photo(photo, f"photos[{i}]") for i, photo in enumerate(photos)]
        offsets = np.cumsum([0, *(len(part[0]) for part in parts)], dtype=np.int64)
        n_bytes = -(-self.n_bits // 8)
        rows = SignatureRows(
            offsets,
            np.concatenate([np.zeros(0, np.uint32), *(part[0] for part in parts)]),
            np.concatenate([np.zeros((0, n_bytes), np.uint8), *(part[1] for part in parts)]),
        )
        features = np.concatenate([np.zeros(0, np.uint32), *(part[2] for part in parts)])
        return _Features(rows, features)

    def _photo(
        self, photo: SignedPhoto, name: str
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint32]]:
        """Return words, signatures and numbers of the features that they are of."""
        if not isinstance(photo, Sequence) or len(photo) != 2:
            raise TypeError(f"{name} must be a pair (words, signatures), got {type(photo)}")
        given = _check.as_array(photo[0], f"the words of {name}")
        if given.size == 0:  # NumPy takes an empty list for numbers that are not whole
            given = given.astype(np.uint32)
        words = _check.array(given, f"the words of {name}", np.int64)
        if words.ndim not in (1, 2):
            raise ValueError(f"the words of {name} must be 1-D or 2-D, got shape {words.shape}")
        if words.size and not 0 <= words.min() <= words.max() < self.num_words:
            wrong = words[(words < 0) | (words >= self.num_words)][0]
            raise ValueError(f"the words of {name} must be below {self.num_words}, got {wrong}")
        signatures = self._signatures(photo[1], words.shape, f"the signatures of {name}")
        k = words.shape[1] if words.ndim == 2 else 1
        features = np.repeat(np.arange(len(words)).astype(np.uint32), k)
        return words.reshape(-1).astype(np.uint32), signatures, features

    def _signatures(self, given: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray[np.uint8]:
        n_bytes = -(-self.n_bits // 8)
        array = _check.as_array(given, name)
        if array.shape == (0,) and math.prod(shape) == 0:  # an empty list
            return np.zeros((0, n_bytes), np.uint8)
        signatures = _check.array(array, name, np.uint8)
        if signatures.shape != (*shape, n_bytes):
            raise ValueError(
                f"{name} must have shape {(*shape, n_bytes)}, {self.n_bits} bits for each of the "
                f"words, got {signatures.shape}"
            )
        if self.n_bits % 8 and (signatures[..., -1] >> self.n_bits % 8).any():
            raise ValueError(f"{name} have bits beyond the {self.n_bits} that there are")
        return signatures.reshape(-1, n_bytes)


class _Features(NamedTuple):
    rows: SignatureRows
    features: NDArray[np.uint32]
    """The feature of each row: of one photo, those of equal numbers stand side by side."""
