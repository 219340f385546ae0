# SPDX-License-Identifier: Apache-2.0
"""Hamming embedding: a binary signature that says where in its word's cell a descriptor lies."""

from __future__ import annotations

import math
import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._array_file import ArrayFile
from .._parameters import Parameters
from ._medians import medians_by_word
from ._neighborhoods import N_NEIGHBORS, neighborhood_means
from ._orthonormal import orthonormal
from .vocabulary import Vocabulary

_FORMAT = ArrayFile("hamming_embedding", 1, "a Hamming embedding")
_BLOCK = 1 << 18  # bits of a block of rows, a thread: the numbers they come from stay in cache


class HammingEmbedding(Parameters):
    """Descriptors of a word → bits, of which those of near descriptors are equal for the most part.

    A random orthogonal projection takes descriptors to `n_bits` numbers; each bit says whether its
    number is above the median of those of the word's descriptors [1]_, which `fit` learns. Where
    words are many and descriptors few, `from_words` does better, and needs none: it compares with
    the numbers of the word's surroundings. `HammingIndex` searches photos by such signatures.

    Parameters
    ----------
    n_bits : int
        Length of a signature; at most the dimensions of the descriptors.
    min_points : int
        A word with fewer descriptors to learn from has the medians of all descriptors. These say
        little of its own: on real photos even the medians of two are better.
    random_state : int
        Seed of the projection.

    Attributes
    ----------
    projection_ : ndarray of float32, shape (n_dims, n_bits)
        Its columns are orthonormal.
    medians_ : ndarray of float32, shape (num_words, n_bits)
        What the numbers of a word's descriptors are compared with; medians, if `fit` was called.

    Notes
    -----
    Bit i of a signature is in byte ``i // 8``, where it is worth ``1 << i % 8``; what is left of
    the last byte is 0. Projection, medians and bits are the same for any number of threads and on
    every CPU. `fit` takes ``4 * n_bits`` bytes a descriptor, twice.

    References
    ----------
    .. [1] H. Jegou, M. Douze, C. Schmid, "Hamming embedding and weak geometric consistency for
       large scale image search", ECCV 2008.

    Examples
    --------
    >>> X = np.random.default_rng(0).integers(0, 256, (100, 16), dtype=np.uint8)
    >>> embedding = HammingEmbedding(12).fit(X, np.arange(100) % 3)
    >>> embedding.transform(X[:5], [0, 1, 2, 0, 1]).shape
    (5, 2)
    """

    projection_: NDArray[np.float32]
    medians_: NDArray[np.float32]

    def __init__(self, n_bits: int = 64, *, min_points: int = 2, random_state: int = 0) -> None:
        self.n_bits = n_bits
        self.min_points = min_points
        self.random_state = random_state

    @classmethod
    def from_words(
        cls,
        words: Vocabulary | ArrayLike,
        n_bits: int = 64,
        *,
        n_neighbors: int = N_NEIGHBORS,
        random_state: int = 0,
        threads: int | None = None,
    ) -> Self:
        """Make an embedding of a vocabulary, without descriptors.

        The numbers of a word's descriptors are compared with those of the mean of the words around
        it. The medians of a word that was learned from a dozen descriptors are these very
        descriptors', which then differ from them by chance; its neighbours' mean is stable.

        Parameters
        ----------
        words : Vocabulary or array_like of uint8 or float, shape (num_words, n_dims)
            The vocabulary, or its words.
        n_bits, random_state
            As for the constructor.
        n_neighbors : int
            The mean is that of so many nearest words, the word itself among them; 1 is the word.
        threads : int, optional
            One for each core by default.

        Returns
        -------
        HammingEmbedding

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, or out of range.

        Notes
        -----
        Of more than 65,536 words, neighbours are found by a `trouvaille.neighbors.Graph`, nearly
        all of them. Of words in bytes the means are rounded to bytes.
        """
        if isinstance(words, Vocabulary):
            words = words.words
        means = neighborhood_means(words, n_neighbors, threads=threads)
        return cls.from_means(means, n_bits, random_state=random_state)

    @classmethod
    def from_means(
        cls,
        means: ArrayLike,
        n_bits: int = 64,
        *,
        projection: ArrayLike | None = None,
        random_state: int = 0,
    ) -> Self:
        """Make an embedding that compares with given vectors: of each word, a row.

        Parameters
        ----------
        means : array_like of uint8 or float, shape (num_words, n_dims)
            As of `trouvaille.words.neighborhood_means`.
        n_bits, random_state
            As for the constructor.
        projection : array_like of float32, shape (n_dims, n_bits), optional
            One that there is, `projection_` of another embedding, instead of a random one.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, or out of range.
        """
        means = _check.descriptors(means, "means")
        if projection is not None:
            # A copy: what the caller makes of an own array later must not change signatures.
            projection = _check.matrix(projection, "projection", np.float32).copy()
            n_bits = projection.shape[1]
        embedding = cls(n_bits, random_state=random_state)
        n_bits, _, seed = embedding._checked_parameters()
        _check.count(len(means), "the number of means", maximum=_core.max_signature_words)
        if projection is None:
            projection = _drawn(means, "means", n_bits, seed)
        elif len(projection) != means.shape[1]:
            raise ValueError(
                f"projection must have a row for each of the {means.shape[1]} columns of means, "
                f"got shape {projection.shape}"
            )
        embedding.projection_ = projection
        embedding.medians_ = _projected(means, "means", projection, 1)
        return embedding

    def fit(
        self,
        X: ArrayLike,
        words: ArrayLike,
        *,
        num_words: int | None = None,
        threads: int | None = None,
    ) -> Self:
        """Draw the projection, and learn the medians.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n, n_dims)
            Descriptors, one or more.
        words : array_like of int, shape (n,)
            The word of each.
        num_words : int, optional
            Words that there are; by default up to the greatest of `words`.
        threads : int, optional
            One for each core by default.

        Returns
        -------
        HammingEmbedding
            Itself.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, `X` has no rows, fewer columns than
            `n_bits`, NaN, infinity, or numbers whose sums float32 does not hold, or a word is none.
        """
        X = _check.descriptors(X, "X")
        n_bits, min_points, seed = self._checked_parameters()
        threads = _check.threads(threads)
        if len(X) == 0:
            raise ValueError(f"X must have rows to learn from, got shape {X.shape}")
        ids = _check.array(words, "words", np.int64, ndim=1)
        if num_words is None:
            num_words = int(ids.max(initial=0)) + 1
        num_words = _check.count(num_words, "num_words", maximum=_core.max_signature_words)
        _check_words(ids, (len(X),), num_words)
        self.projection_ = _drawn(X, "X", n_bits, seed)
        values = _projected(X, "X", self.projection_, threads)
        self.medians_ = medians_by_word(values, ids, num_words, min_points)
        return self

    def transform(
        self, X: ArrayLike, words: ArrayLike, *, threads: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the signatures of descriptors in their words.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n, n_dims)
            Descriptors.
        words : array_like of int, shape (n,) or (n, k)
            The word of each, or several.
        threads : int, optional
            One for each core by default.

        Returns
        -------
        ndarray of uint8, shape (n, ceil(n_bits / 8)) or (n, k, ceil(n_bits / 8))
            Bits, the least significant of a byte first.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, `X` holds NaN or infinity, a word is none
            that there is, or `fit` was not called.
        """
        self._require_fitted()
        n_dims, n_bits = self.projection_.shape
        X = _check.descriptors(X, "X", n_dims)
        threads = _check.threads(threads)
        given = _check.as_array(words, "words")
        if given.size == 0:  # NumPy takes an empty list for numbers that are not whole
            given = given.astype(np.int64)
        ids = _check.array(given, "words", np.int64)
        if ids.ndim not in (1, 2):
            raise ValueError(f"words must be 1-D or 2-D, got shape {ids.shape}")
        _check_words(ids, (len(X), *ids.shape[1:]), len(self.medians_))
        signatures = np.empty((*ids.shape, -(-n_bits // 8)), np.uint8)
        offsets = np.zeros(n_bits, np.float32)
        of_a_row = n_bits * math.prod(ids.shape[1:])
        step = max(threads * _BLOCK // max(of_a_row, 1), 1)
        for begin in range(0, len(X), step):
            part = slice(begin, begin + step)
            values = _core.project(X[part], self.projection_, offsets, threads)
            if ids.ndim == 2:
                values = values[:, None]
            bits = values > self.medians_[ids[part]]
            signatures[part] = np.packbits(bits, axis=-1, bitorder="little")
        return signatures

    def fit_transform(
        self, X: ArrayLike, words: ArrayLike, *, threads: int | None = None
    ) -> NDArray[np.uint8]:
        """Return the signatures of descriptors that are learned from; see `fit`."""
        return self.fit(X, words, threads=threads).transform(X, words, threads=threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned to a file, which appears whole or not at all.

        Raises
        ------
        TypeError, ValueError
            If `fit` was not called, or would refuse a parameter.
        OSError
            If the disk refuses. An old file is still there then.
        """
        self._require_fitted()
        parameters = dict(zip(self._names(), self._checked_parameters(), strict=True))
        arrays = {"projection": self.projection_, "medians": self.medians_}
        _FORMAT.write(path, {"parameters": parameters}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Open what `save` wrote; every byte of it is verified.

        Raises
        ------
        FileNotFoundError
            If there is none.
        IndexCorruptError
            If it is not what was written.
        FormatVersionError
            If it is whole, but of a newer format.
        """
        return _FORMAT.restore(path, cls._restored)

    @classmethod
    def _restored(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        embedding = cls(**parameters)
        embedding._checked_parameters()
        embedding._take(arrays)
        return embedding

    def _checked_parameters(self) -> tuple[int, int, int]:
        """Return `n_bits`, `min_points` and `random_state`."""
        return (
            _check.count(self.n_bits, "n_bits", maximum=8 * _core.max_code_bytes),
            _check.count(self.min_points, "min_points"),
            _check.seed(self.random_state),
        )

    def _take(self, arrays: dict[str, NDArray[Any]]) -> None:
        if arrays.keys() != {"projection", "medians"}:
            raise ValueError("there must be the arrays projection and medians")
        for name, array in arrays.items():
            is_finite = array.dtype == np.float32 and np.isfinite(array).all()
            if not is_finite or array.ndim != 2 or array.shape[1] != self.n_bits or array.size == 0:
                raise ValueError(f"{name} must be finite float32, a column a bit")
        self.projection_, self.medians_ = arrays["projection"], arrays["medians"]

    def _require_fitted(self) -> None:
        if not hasattr(self, "medians_"):
            raise ValueError("the HammingEmbedding has learned nothing: call fit first")


def _check_words(ids: NDArray[np.int64], shape: tuple[int, ...], num_words: int) -> None:
    if ids.shape != shape:
        raise ValueError(f"words must have shape {shape}, a row a descriptor, got {ids.shape}")
    if ids.size and not 0 <= ids.min() <= ids.max() < num_words:
        wrong = ids[(ids < 0) | (ids >= num_words)].flat[0]
        raise ValueError(f"words must be from 0 to {num_words - 1}, got {wrong}")


def _drawn(X: NDArray[Any], name: str, n_bits: int, seed: int) -> NDArray[np.float32]:
    """Return a projection for vectors."""
    if n_bits > X.shape[1]:
        raise ValueError(
            f"n_bits must be at most the {X.shape[1]} columns of {name}: so many directions are "
            f"orthogonal; got {n_bits}"
        )
    return orthonormal(X.shape[1], n_bits, seed)


def _projected(
    X: NDArray[Any], name: str, projection: NDArray[np.float32], threads: int
) -> NDArray[np.float32]:
    """Return what a projection makes of vectors."""
    offsets = np.zeros(projection.shape[1], np.float32)
    values = _core.project(X, projection, offsets, threads)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be of numbers whose sums are finite: scale them to about 1")
    return values
