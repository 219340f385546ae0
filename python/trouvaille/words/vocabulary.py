# SPDX-License-Identifier: Apache-2.0
"""Visual words, the descriptor they belong to, and their file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._own_lock import OwnLock
from ..neighbors import Neighbors
from ..neighbors.graph import Graph
from . import _vocabulary_file
from ._cost import Cost
from ._learning import Stages, descriptors_of
from ._points import Points
from ._sampling import SAMPLE, shuffled
from .assignment import SoftWords, assign, soft_weights
from .kmeans import KMeans, Progress

_EXACT_TO = 16_384  # words: learning more is approximate by default
_DEGREE, _WIDTH = 32, 64


class Vocabulary(OwnLock):
    """Visual words, and the descriptor that they belong to.

    Parameters
    ----------
    words : array_like of uint8 or float, shape (num_words, n_dims)
        The words; kept as a read-only array of uint8 or float32.
    fingerprint : str
        Names the descriptor, for example ``"trouvaille-sift/rootsift/uint8/128"``: words and
        descriptors of different fingerprints must not be compared.
    """

    def __init__(self, words: ArrayLike, fingerprint: str) -> None:
        checked = _check.descriptors(words, "words").copy()
        checked.flags.writeable = False
        self._take(checked, fingerprint, None)

    def _take(self, words: NDArray[Any], fingerprint: str, graph: Graph | None) -> None:
        if words.size == 0:
            raise ValueError(f"words must hold at least one word, got shape {words.shape}")
        if not isinstance(fingerprint, str) or not fingerprint:
            raise ValueError(f"fingerprint must name a descriptor, got {fingerprint!r}")
        self._words, self._fingerprint, self._graph = words, fingerprint, graph
        super().__init__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._words.flags.writeable = False  # which no copy of an array keeps

    def __repr__(self) -> str:
        return f"Vocabulary(num_words={self.num_words}, fingerprint={self.fingerprint!r})"

    @property
    def words(self) -> NDArray[Any]:
        """The words, read-only."""
        return self._words

    @property
    def fingerprint(self) -> str:
        """Names the descriptor."""
        return self._fingerprint

    @property
    def num_words(self) -> int:
        """The number of words."""
        return len(self.words)

    def assign(
        self,
        X: ArrayLike,
        k: int = 1,
        *,
        approximate: bool = False,
        width: int = _WIDTH,
        threads: int | None = None,
    ) -> Neighbors:
        """Find the `k` nearest words of each descriptor.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n_descriptors, n_dims)
            Descriptors: whole numbers from 0 to 255 where the words are bytes and `approximate`.
        k : int
            Words of each descriptor. It may exceed their number.
        approximate : bool
            Whether to walk along a graph of the words instead of comparing with all: of a million
            words the nearest is found in microseconds, nearly always. The first such call builds
            the graph; see `build_graph`.
        width : int
            Of the walks: the more, the surer are the nearest; see `trouvaille.neighbors.Graph`.
        threads : int, optional
            Worker threads; one per core by default.

        Returns
        -------
        Neighbors
            ``(distances, ids)``, each of shape (n_descriptors, k); squared Euclidean distances.
        """
        if _check.boolean(approximate, "approximate"):
            X = _check.matrix(X, "X", self.words.dtype, self.words.shape[1])
            return self.build_graph(threads=threads).search(X, k, width=width, threads=threads)
        return assign(X, self.words, k, threads=threads)

    def assign_soft(
        self,
        X: ArrayLike,
        k: int = 3,
        *,
        sigma: float = 79.0,
        approximate: bool = False,
        width: int = _WIDTH,
        threads: int | None = None,
    ) -> SoftWords:
        """Find several words of each descriptor, each with a weight [1]_.

        Parameters
        ----------
        X, k, approximate, width, threads
            As for `assign`.
        sigma : float
            A word at this distance weighs ``exp(-1 / 2)`` as much as one at 0. The default is that
            of [1]_, for SIFT of a length of 512.

        Returns
        -------
        SoftWords
            ``(weights, ids)``, each of shape (n_descriptors, k).

        References
        ----------
        .. [1] J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, "Lost in quantization:
           improving particular object retrieval in large scale image databases", CVPR 2008.
        """
        distances, ids = self.assign(X, k, approximate=approximate, width=width, threads=threads)
        weights = np.zeros(ids.shape, np.float32)
        found = np.ascontiguousarray(distances[:, : self.num_words])
        weights[:, : self.num_words] = soft_weights(found, sigma, _check.threads(threads))
        return SoftWords(weights, ids)

    def build_graph(self, *, threads: int | None = None) -> Graph:
        """Return the graph of the words that approximate assignment walks along.

        It is built once, of a million words in a minute or two, and saved with the vocabulary.
        """
        with self._lock:
            if self._graph is None:
                self._graph = Graph(_DEGREE).build(self.words, threads=threads)
            return self._graph

    @classmethod
    def from_descriptors(
        cls,
        X: ArrayLike | list[NDArray[Any]],
        num_words: int,
        fingerprint: str,
        *,
        random_state: int = 0,
        max_descriptors: int | None = None,
        iterations: int = 10,
        algorithm: str | None = None,
        announce: Callable[[Cost], object] | None = None,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        threads: int | None = None,
    ) -> Self:
        """Learn words by k-means.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n_descriptors, n_dims), or list of such arrays
            Descriptors; mapped files stay where they are, as `KMeans` has it.
        num_words : int
            Words to learn.
        fingerprint : str
            Names the descriptor.
        random_state : int
            Seed of the sample and of the initial centres.
        max_descriptors : int, optional
            If there are more, a random sample of so many is used; by default 256 a word.
        iterations, algorithm, announce, progress, checkpoint, threads
            As in `KMeans`; by default more than 16,384 words are learned approximately.

        Returns
        -------
        Vocabulary
            The words, in the dtype of the descriptors.

        Raises
        ------
        ValueError
            If there are fewer distinct descriptors than `num_words`, or an argument is out of
            range.
        """
        points = Points(X, "X")
        num_words = _check.count(num_words, "num_words")
        most = _most_descriptors(max_descriptors, num_words)
        drawn = points.parts
        if len(points) > most:
            sample = shuffled(len(points), _check.seed(random_state), SAMPLE)[:most]
            drawn = [points.at(np.sort(sample))]
        model = _kmeans(
            num_words,
            algorithm,
            iterations=iterations,
            random_state=random_state,
            threads=threads,
        )
        model.fit(drawn, announce=announce, progress=progress, checkpoint=checkpoint)
        return cls(model.cluster_centers_, fingerprint)

    @classmethod
    def learn(
        cls,
        photos: str | os.PathLike[str] | Iterable[Any],
        num_words: int,
        *,
        random_state: int = 0,
        max_descriptors: int | None = None,
        algorithm: str | None = None,
        announce: Callable[[Cost], object] | None = None,
        progress: Stages | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        **options: Any,
    ) -> Self:
        """Learn words from the local features of photos; those that cannot be read are left out.

        The words are those of `from_descriptors`, of the descriptors of all photos in their order;
        but of these at most about twice `max_descriptors` are in memory.

        Parameters
        ----------
        photos : path or iterable
            A folder, or photos as `trouvaille.features.extract` takes them, or several of both; or
            features that were extracted before, a `trouvaille.features.FolderFeatures`.
        num_words : int
            Words to learn.
        random_state, max_descriptors, algorithm, announce, checkpoint, threads
            As in `from_descriptors`.
        progress : callable, optional
            ``progress(stage, done, total)`` is called after each photo, of the stage
            ``"extracting"``, and after each round of k-means, of ``"learning words"``.
        **options
            As for `trouvaille.features.extract`: which detector and descriptor, how many features,
            of photos how large. Not `root`: the words are of RootSIFT. None for features that were
            extracted before.

        Returns
        -------
        Vocabulary
            Words of RootSIFT descriptors, in bytes, unless another descriptor is asked for.

        Raises
        ------
        TypeError
            If `photos` are none, or an option is not one of `extract`, or is `root`.
        ValueError
            If no photo can be read, they have fewer distinct descriptors than `num_words`, or the
            descriptor is of bits.
        IndexCorruptError
            If features that were extracted before are not as they were written.
        """
        num_words = _check.count(num_words, "num_words")
        most = _most_descriptors(max_descriptors, num_words)
        _kmeans(num_words, algorithm)._checked()  # before photos are read, not after it
        X, fingerprint = descriptors_of(photos, most, random_state, progress, threads, options)
        rounds = None if progress is None else partial(progress, "learning words")
        return cls.from_descriptors(
            X,
            num_words,
            fingerprint,
            random_state=random_state,
            max_descriptors=most,
            algorithm=algorithm,
            announce=announce,
            progress=rounds,
            checkpoint=checkpoint,
            threads=threads,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to one file, which appears whole or not at all; docs/format.md.

        The graph of approximate assignment is written, too, if there is one.

        Raises
        ------
        OSError
            If the disk refuses. An old file is still there then.
        """
        _vocabulary_file.write(path, self.words, self.fingerprint, self._graph)

    @classmethod
    def load(cls, path: str | os.PathLike[str], mmap: bool = True) -> Self:
        """Read a vocabulary that `save` wrote; every byte of it is verified.

        Parameters
        ----------
        path : str or path
        mmap : bool
            Whether the words are a view of the mapped file, which other processes share, or a copy
            in memory. A mapped file must not be changed or cut short.

        Raises
        ------
        FileNotFoundError
            If there is none.
        IndexCorruptError
            If it is not what was written, or no vocabulary.
        FormatVersionError
            If a newer version of this library wrote it.
        """
        return cls._of_kept(*_vocabulary_file.read(path, _check.boolean(mmap, "mmap")))

    @classmethod
    def _of_kept(cls, words: NDArray[Any], fingerprint: str, graph: Graph | None = None) -> Self:
        """Return a vocabulary of checked words that nobody changes."""
        vocabulary = cls.__new__(cls)
        vocabulary._take(words, fingerprint, graph)
        return vocabulary


def _kmeans(num_words: int, algorithm: str | None, **options: Any) -> KMeans:
    """Return what learns words, by the algorithm that so many take unless one is given."""
    if algorithm is None:
        algorithm = "exact" if num_words <= _EXACT_TO else "approximate"
    return KMeans(num_words, algorithm=algorithm, **options)


def _most_descriptors(given: int | None, num_words: int) -> int:
    """Return how many descriptors to learn from."""
    most = 256 * num_words if given is None else given
    return _check.count(most, "max_descriptors", minimum=num_words, maximum=2**63 - 1)
