# SPDX-License-Identifier: Apache-2.0
"""What Hamming embedding and the match kernels have in common: an index of signatures by word."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core, _ids
from .._array_file import ArrayFile
from .._own_lock import OwnLock
from ..errors import IndexCorruptError
from .by_word import ByWord
from .results import SearchResult
from .signature_block import MAX_PHOTOS, Block, SignatureRows
from .signature_content import SignatureContent
from .weights import checked_idf, word_weights

Idf = str | ArrayLike | None
Weights = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SignatureStats:
    """How large an index of signatures is, and of what.

    Attributes
    ----------
    n_photos : int
        That can be found.
    n_removed : int
        Removed ones that still take space.
    n_postings : int
        Signatures, those of removed photos included.
    bytes_a_posting : float
        Of signatures, photos and the directory, in memory or mapped; 0 where there are none.
    """

    n_photos: int
    n_removed: int
    n_postings: int
    bytes_a_posting: float


class Reader(NamedTuple):
    """What a content is searched with."""

    content: SignatureContent
    weights: Weights
    """Of each word, for each match: its idf, squared."""
    blocks: list[tuple[NDArray[Any], ...]]


class Burstiness(NamedTuple):
    """Which matches the kernel damps."""

    intra: bool
    inter: bool


class MatchIndex(OwnLock, ABC):
    """Photos by the binary signatures of their features, in lists by word.

    A change puts a new content in place of the old one, under a lock; searches, from any number of
    threads, see the one from when they began.
    """

    _format: ClassVar[ArrayFile]
    _burstiness = Burstiness(False, False)

    def __init__(self, num_words: int, n_bits: int, idf: Idf) -> None:
        if isinstance(idf, str) and idf != "following":
            raise ValueError(f"idf must be 'following', None or an array, got {idf!r}")
        self._given_idf: Weights | None = None
        if idf is None:
            self._given_idf = np.ones(num_words)
        elif not isinstance(idf, str):
            self._given_idf = checked_idf(idf, num_words).copy()
        self.idf = idf if idf is None or isinstance(idf, str) else "given"
        super().__init__()
        self._content = SignatureContent(num_words, n_bits)
        self._reader: Reader | None = None

    # ---- what an index defines

    @abstractmethod
    def _parameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor that are JSON values, but for `idf`."""

    @abstractmethod
    def _similarities(self) -> Weights:
        """Return how similar signatures are, by their distance."""

    @abstractmethod
    def _self_similarities(self) -> Weights:
        """Return the same for the norms; nothing: they are those of weighted term frequencies."""

    def _own_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays among the arguments of the constructor."""
        return {}

    # ---- what they share

    @property
    def num_words(self) -> int:
        """Words of the vocabulary."""
        return self._content.num_words

    @property
    def n_bits(self) -> int:
        """Bits of a signature."""
        return self._content.n_bits

    def __len__(self) -> int:
        """Return the number of photos."""
        return self._content.n_photos

    def __repr__(self) -> str:
        given = self._parameters() | {"idf": self.idf}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of all photos, in the order in which they came, shape (len(self),)."""
        return self._content.ids()

    def remove(self, ids: ArrayLike) -> None:
        """Remove photos: all of them, or none if there is an error.

        Parameters
        ----------
        ids : array_like of int, shape (n,)
            Distinct. They may be given to other photos later.

        Raises
        ------
        ValueError
            If there is no photo of one of the ids; the message names it.
        """
        unwanted = _ids.checked(ids)
        with self._lock:
            self._content = self._content.without(unwanted)

    def add_lists(
        self, starts: ArrayLike, photos: ArrayLike, signatures: ArrayLike, n_photos: int
    ) -> None:
        """Add photos whose signatures are in lists by word already, such as those of a file.

        Lists of some hundred thousand postings and more are searched where they are: nothing is
        copied, and they must not change.

        Parameters
        ----------
        starts : array_like of uint64, shape (num_words + 1,)
            The list of word w is ``starts[w]`` to ``starts[w + 1]``.
        photos : array_like of uint16, shape (n,)
            The photo of each posting, below `n_photos`, ascending within a list.
        signatures : array_like of uint8, shape (n, ceil(n_bits / 8))
            What `search` compares.
        n_photos : int
            At most 65,536. Their ids follow the largest there ever was.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, or these are no such lists. Nothing is
            added then.
        """
        n_photos = _check.count(n_photos, "n_photos", minimum=0, maximum=MAX_PHOTOS)
        arrays = (
            np.zeros(0, np.uint32),  # all words have a list
            _check.array(starts, "starts", np.uint64, ndim=1),
            _check.array(photos, "photos", np.uint16, ndim=1),
            _check.array(signatures, "signatures", np.uint8, ndim=2),
        )
        if len(arrays[1]) != self.num_words + 1:
            raise ValueError(
                f"starts must have {self.num_words + 1} numbers, one more than there are words, "
                f"got {len(arrays[1])}"
            )
        with self._lock:
            self._content = self._content.with_lists(arrays, n_photos)

    def stats(self) -> SignatureStats:
        """Say how large the index is."""
        content = self._content
        n_postings = sum(block.n_postings for block in content.blocks)
        n_bytes = sum(array.nbytes for block in content.blocks for array in block.arrays)
        return SignatureStats(
            content.n_photos,
            sum(len(block.ids) - block.n_alive for block in content.blocks),
            n_postings,
            n_bytes / n_postings if n_postings else 0.0,
        )

    def _add(self, rows: SignatureRows, ids: ArrayLike | None) -> None:
        with self._lock:
            self._content = self._content.with_photos(rows, ids)

    def _search(
        self, rows: SignatureRows, features: NDArray[np.uint32], k: int, threads: int
    ) -> SearchResult:
        """Search with queries whose equal words stand side by side, or equal features."""
        reader = self._read()
        similarities = self._similarities()
        own = self._query_norms(rows, reader.weights)
        queries = (
            rows.offsets,
            _inverse_roots(own),
            rows.words,
            reader.weights[rows.words],
            features,
            rows.signatures,
        )
        scores, ids = _core.search_match_kernel(
            reader.blocks, queries, similarities, *self._burstiness, k, threads
        )
        return SearchResult(scores, ids)

    def _query_norms(self, rows: SignatureRows, weights: Weights) -> Weights:
        """Return the squared norms of queries whose equal words stand side by side."""
        return _core.self_similarities_of_rows(
            rows.offsets, rows.words, rows.signatures, weights, self._self_similarities()
        )

    def _read(self) -> Reader:
        with self._lock:
            if self._reader is None or self._reader.content is not self._content:
                self._reader = self._new_reader(self._content)
            return self._reader

    def _new_reader(self, content: SignatureContent) -> Reader:
        idf = self._given_idf
        if idf is None:
            counts = np.zeros(content.num_words, np.int64)
            for block in content.blocks:
                counts += _core.photo_counts(block.arrays, block.bitmap(), content.num_words)
            found = word_weights("tfidf", ByWord(counts), content.n_photos)
            assert found is not None
            idf = found.numbers
        weights = np.square(idf)
        blocks = []
        for block in content.blocks:
            factors, ids = self._factors(block, weights), _ids.as_array(block.ids)
            blocks.append((*block.arrays, block.bitmap(), factors, ids))
        return Reader(content, weights, blocks)

    def _factors(self, block: Block, weights: Weights) -> Weights:
        """Return one over the norm of each photo; where weights are given, it is found once."""
        factors = block.kept.get("factors")
        if factors is None:
            similarities = self._self_similarities()
            own = _core.self_similarities(block.arrays, weights, similarities, len(block.ids))
            factors = _inverse_roots(own)
        if self._given_idf is not None:
            block.kept["factors"] = factors
        return factors

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, which appears whole or not at all.

        Raises
        ------
        OSError
            If the disk refuses. An old file is still there then.
        """
        metadata, arrays = self._content.to_file()
        for name, array in self._own_arrays().items():
            arrays[name] = array
        if self.idf == "given":
            assert self._given_idf is not None
            arrays["idf"] = self._given_idf
        metadata |= {"parameters": self._parameters(), "idf": self.idf}
        self._format.write(path, metadata, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], mmap: bool = True) -> Self:
        """Open an index that `save` wrote; every byte of it is verified.

        Parameters
        ----------
        path : str or path
        mmap : bool
            Whether lists are views of the mapped file, which other processes share, or of a copy
            in memory. A mapped file must not be changed or cut short; `save` never does.

        Raises
        ------
        FileNotFoundError
            If there is none.
        IndexCorruptError
            If it is not what was written.
        FormatVersionError
            If it is whole, but of a newer format.
        """
        metadata, arrays = cls._format.read(path, _check.boolean(mmap, "mmap"))
        try:
            return cls._from_file(metadata, arrays)
        except (TypeError, ValueError) as error:
            raise IndexCorruptError(Path(path), cls._format.kind, 0, str(error)) from None

    @classmethod
    def _from_file(cls, metadata: Mapping[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        if metadata.keys() != {"parameters", "idf", "largest_id", "first_ids"}:
            raise ValueError("the metadata are not those of an index of signatures")
        parameters = metadata["parameters"]
        if not isinstance(parameters, dict):
            raise ValueError("parameters must be an object")
        given: dict[str, Any] = {"idf": metadata["idf"]}
        if metadata["idf"] == "given":
            given["idf"] = arrays.pop("idf", np.zeros(0))
        index = cls(**cls._arguments(arrays), **parameters, **given)
        index._content = index._content.from_file(metadata, arrays)
        if arrays:
            raise ValueError(f"array {min(arrays)!r} belongs to nothing")
        return index

    @classmethod
    def _arguments(cls, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Take the arrays among the arguments of the constructor; see `_own_arrays`."""
        return {}


def _inverse_roots(squares: Weights) -> Weights:
    """Return one over the root, and 0 where there is none."""
    roots = np.sqrt(np.maximum(squares, 0))
    return np.divide(1.0, roots, out=np.zeros_like(roots), where=roots > 0)
