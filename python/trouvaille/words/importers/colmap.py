# SPDX-License-Identifier: Apache-2.0
"""Vocabulary trees of COLMAP."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import _check
from ...neighbors import Neighbors
from ..assignment import assign
from ..hamming_embedding import HammingEmbedding
from . import _faiss_file
from ._faiss_file import HashedLists
from ._reading import Reader

_MAX_DIMS = 1 << 16
_FEATURES = ("SIFT", "ALIKED_N16ROT", "ALIKED_N32", "LOMA_B", "LOMA_B128")
_MOST_BITS = 1 << 22  # of the codes of descriptors in their lists that are worked on at a time


@dataclass(frozen=True, eq=False, repr=False)
class ColmapVocabulary:
    """A vocabulary of COLMAP: words as codes of bits, in lists; see `from_colmap`.

    Attributes
    ----------
    lists : HashedLists
        Centers of lists, the transform to bits, and of each word the list and the code. The words
        themselves are not in COLMAP's files.
    weights : ndarray of float32, shape (num_words,)
        Inverse document frequencies; all 0 where no photos were indexed, as in the vocabularies
        that COLMAP offers for download.
    projection : ndarray of float32, shape (n_bits, n_dims)
        Of COLMAP's Hamming embedding: bit i of a descriptor ``x`` in word w is set where
        ``projection[i] @ x > thresholds[w, i]``.
    thresholds : ndarray of float32, shape (num_words, n_bits)
    has_embedding : ndarray of bool, shape (num_words,)
        Whether a word had enough descriptors to learn its thresholds; the others' are 0.
    feature_type : str or None
        COLMAP's name of the descriptor, or its number as text where no name is known; None where
        the file does not say.
    """

    lists: HashedLists
    weights: NDArray[np.float32]
    projection: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    has_embedding: NDArray[np.bool_]
    feature_type: str | None

    def __repr__(self) -> str:
        return f"ColmapVocabulary(num_words={self.num_words}, n_dims={self.n_dims})"

    @property
    def num_words(self) -> int:
        """The number of words."""
        return len(self.weights)

    @property
    def n_dims(self) -> int:
        """Columns of a descriptor."""
        return int(self.projection.shape[1])

    def assign(
        self, X: ArrayLike, k: int = 1, *, checks: int = 64, threads: int | None = None
    ) -> Neighbors:
        """Find `k` near words of each descriptor, as COLMAP does.

        Parameters
        ----------
        X : array_like, shape (n_descriptors, n_dims)
            As COLMAP compares them: of SIFT, its bytes as numbers.
        k : int
            Words of each.
        checks : int
            Lists to look into: those of the nearest centers. COLMAP looks into 64.
        threads : int, optional
            One per core by default.

        Returns
        -------
        Neighbors
            ``(distances, ids)``, each of shape (n_descriptors, k): how many bits differ, the
            smaller number first among equals, where COLMAP's choice depends on the order of its
            lists; then id -1 where the lists have fewer words.

        Raises
        ------
        TypeError, ValueError
            If an argument is of a wrong type, shape or range.
        """
        X = _check.matrix(X, "X", np.float32, self.n_dims)
        k, checks = _check.count(k, "k"), _check.count(checks, "checks")
        lists, threads = self.lists, _check.threads(threads)
        n_lists = min(checks, len(lists.centers))
        found = Neighbors(np.empty((len(X), k), np.int32), np.empty((len(X), k), np.int64))
        step = max(_MOST_BITS // (n_lists * len(lists.projection)), 1)
        for begin in range(0, len(X), step):
            part = slice(begin, begin + step)
            near = assign(X[part], lists.centers, n_lists, threads=threads).ids
            found.distances[part], found.ids[part] = lists.nearest(X[part], near, k, threads)
        return found

    def hamming_embedding(self) -> HammingEmbedding:
        """Return COLMAP's Hamming embedding as one of ours, for `HammingIndex`.

        Returns
        -------
        HammingEmbedding
            Of `projection` and `thresholds`. Signatures are COLMAP's, but for bits whose number
            is so near its threshold that rounding decides.

        Raises
        ------
        ValueError
            If no word has an embedding: the thresholds were not learned then.

        Notes
        -----
        The thresholds of words that have no embedding (`has_embedding`) are 0, as COLMAP has them:
        in these words signatures say little. What a `HammingEmbedding` keeps of its constructor's
        arguments, but for `n_bits`, says nothing of how COLMAP learned.
        """
        if not self.has_embedding.any():
            raise ValueError("the vocabulary must have words with an embedding, it has none")
        arrays = {
            "projection": np.ascontiguousarray(self.projection.T),
            "medians": self.thresholds,
        }
        return HammingEmbedding._restored({"n_bits": len(self.projection)}, arrays)


def from_colmap(path: str | os.PathLike[str]) -> ColmapVocabulary:
    """Read a vocabulary tree of COLMAP since May 2025, as for its `vocab_tree_matcher` [1]_.

    Parameters
    ----------
    path : str or path
        Its file, whether photos were indexed in it (they are passed over) or not.

    Returns
    -------
    ColmapVocabulary
        For assignment, and with what its Hamming embedding needs. The words themselves are not in
        the file, but codes of them, of half as many bits as a descriptor has dimensions.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is of an older COLMAP (its words were in an index of FLANN), of a newer version, or no
        such file, or is cut short, goes on, or does not fit together.

    Notes
    -----
    The layout: int32 version (1 or 2), dimensions and bits of the embedding; in version 2 int32
    type of the features (-1: not known); an index of FAISS [2]_, of the kind that its factory calls
    "IVF<n>,ITQ<bits>,SH"; int32 number of words, int32 bits of the embedding, its projection in
    float32; for each word uint8 (its bit 0: whether it has an embedding), float32 idf, float32
    thresholds, uint32 number of entries and those, 32 bytes each; int32 number of photos and 8
    bytes for each.

    The index: "IwSh"; dimensions, words, metric; lists and how many to look into; centers of the
    lists as an index "IxF2"; whether it has a map of its words; the transform "Viqt", which takes
    the mean away, normalises and multiplies by a matrix; bits, period and thresholds; lists "ilar"
    with codes and the numbers of words. Indexes of other kinds are refused.

    References
    ----------
    .. [1] J. L. Schoenberger, T. Price, T. Sattler, J.-M. Frahm, M. Pollefeys, "A vote-and-verify
       strategy for fast spatial verification in image retrieval", ACCV 2016;
       https://github.com/colmap/colmap (src/colmap/retrieval).
    .. [2] https://github.com/facebookresearch/faiss (faiss/impl/index_write.cpp).

    Examples
    --------
    >>> words = from_colmap("vocab_tree_faiss_flickr100K_words256K.bin")  # doctest: +SKIP
    >>> words.assign(descriptors, k=5).ids  # doctest: +SKIP
    """
    reader = Reader(path)
    version = reader.number(np.int32, "version")
    if version not in (1, 2):
        raise reader.refusal(_of_other_version(version))
    n_dims = reader.number(np.int32, "dimensions")
    n_bits = reader.number(np.int32, "bits of the embedding")
    if not (0 < n_dims <= _MAX_DIMS and 0 < n_bits <= n_dims):
        raise reader.refusal(f"there is no embedding of {n_dims} dimensions in {n_bits} bits")
    feature_type = reader.number(np.int32, "type of the features") if version == 2 else -1
    lists = _faiss_file.read(reader, n_dims)
    num_words = len(lists.codes)
    reader.expect(np.int32, num_words, "number of words")
    reader.expect(np.int32, n_bits, "bits of the embedding")
    projection = reader.floats(n_bits * n_dims, "projection").reshape(n_bits, n_dims)
    status, weights, thresholds = _read_words(reader, num_words, n_bits)
    reader.numbers(np.uint64, reader.number(np.int32, "number of photos"), "photos")
    reader.end()
    has_embedding = (status & 1).astype(np.bool_)
    name = _FEATURES[feature_type] if 0 <= feature_type < len(_FEATURES) else str(feature_type)
    return ColmapVocabulary(
        lists,
        weights,
        projection,
        thresholds,
        has_embedding,
        None if feature_type == -1 else name,
    )


def _of_other_version(version: int) -> str:
    if version == int.from_bytes(b"IwSh", "little"):
        return "is of a COLMAP between releases, of spring 2025: it has no version"
    if version > 255 or version < 1:  # in older files the number of words comes first
        return (
            "is no vocabulary tree of COLMAP since May 2025. If an older one wrote it, whose words "
            "are in an index of FLANN, convert it with COLMAP's vocab_tree_upgrader (of its commit "
            "c7a5846), or download it again"
        )
    return f"has version {version} of COLMAP's vocabulary trees; versions 1 and 2 are known"


def _read_words(reader: Reader, num_words: int, n_bits: int) -> tuple[NDArray[Any], ...]:
    """Return status, idf and thresholds of each word."""
    kind = np.dtype(
        [("status", "u1"), ("idf", "<f4"), ("thresholds", "<f4", (n_bits,)), ("entries", "<u4")]
    )
    begin = reader.position
    words = reader.numbers(kind, num_words, "words")
    if words["entries"].any():  # then they are further apart
        reader.position = begin
        words = np.empty(num_words, kind)
        for i in range(num_words):
            words[i] = reader.numbers(kind, 1, "a word")[0]
            reader.numbers(np.uint8, 32 * int(words[i]["entries"]), "entries of a word")
    if not (np.isfinite(words["idf"]).all() and np.isfinite(words["thresholds"]).all()):
        raise reader.refusal("weights and thresholds must be finite")
    return (
        words["status"].copy(),
        words["idf"].astype(np.float32),
        words["thresholds"].astype(np.float32),
    )
