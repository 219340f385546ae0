# SPDX-License-Identifier: Apache-2.0
"""A tree of words: k-means of the points, of each cluster's points, and so on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._parameters import Parameters
from .._photos import Photos, joined
from ..neighbors import Exact, Neighbors
from . import _tree_file
from ._bags import document_frequencies, photos_by_column
from ._points import Points
from ._tree_nodes import MAX_DEPTH, Nodes, trained
from .assignment import assign
from .kmeans import Progress

if TYPE_CHECKING:
    import scipy.sparse


class VocabularyTree(Parameters):
    """Hierarchical k-means, in the style of scikit-learn; its leaves are the words.

    The points are clustered, the points of each cluster are clustered again, and so on [1]_. A
    descriptor goes to its nearest child at each level, so that it finds its word among
    ``branching ** depth`` with ``branching * depth`` distances. That word need not be the nearest
    of all: `assign` finds that one.

    Parameters
    ----------
    branching : int
        Children of a node: fewer where it has fewer distinct points.
    depth : int
        Levels, up to 64. A node with one distinct point is a leaf, whatever its level.
    iterations : int
        At most so many rounds of Lloyd's algorithm for each node; with 0 the children are random
        points.
    random_state : int
        Seed of the initial centers, which are distinct points chosen at random.
    threads : int, optional
        Worker threads; one per core by default. No result depends on it.

    Attributes
    ----------
    centers_ : ndarray, shape (num_nodes, n_dims)
        The center of each node, of the points' dtype; read-only. Nodes are numbered by level,
        those of a level in the order of their parents; the root has neither center nor number.
    children_ : ndarray of uint32, shape (num_nodes + 2,)
        The children of the root are nodes ``children_[0]`` to ``children_[1] - 1``, those of node i
        nodes ``children_[i + 1]`` to ``children_[i + 2] - 1``; a leaf has none.
    leaves_ : ndarray of int64, shape (num_words,)
        The node that each word is.
    depth_ : int
        Levels that there are.
    weights_ : ndarray of float64, shape (num_nodes,), or None
        What a node weighs in `bags`: given by `fit_weights` or an importer.
    inertia_ : float
        Sum of the squared distances of the points to their leaves' centers; NaN if the tree was
        imported.
    metric_ : {"l2", "hamming"}
        How descriptors are compared: "hamming" if they are bits, packed in bytes, which only
        imported trees have.
    source_ : dict
        What else an importer knows; empty otherwise.

    Notes
    -----
    The tree and all that is computed with it are the same bits for any number of threads and on
    every processor. Where bytes are given, centers are means of bytes, rounded.

    References
    ----------
    .. [1] D. Nister, H. Stewenius, "Scalable recognition with a vocabulary tree", CVPR 2006.

    Examples
    --------
    >>> tree = VocabularyTree(2, 2).fit(np.uint8([[0], [2], [10], [14]]))
    >>> tree.num_words
    4
    >>> photos = [np.uint8([[0], [1], [13]]), np.uint8([[9]])]
    >>> tree.fit_weights(photos).bags(photos).shape
    (2, 6)
    """

    centers_: NDArray[Any]
    children_: NDArray[np.uint32]
    leaves_: NDArray[np.int64]
    depth_: int
    weights_: NDArray[np.float64] | None
    inertia_: float
    metric_: str
    source_: dict[str, Any]
    _words_of_nodes: NDArray[np.int64]

    def __init__(
        self,
        branching: int = 10,
        depth: int = 6,
        *,
        iterations: int = 10,
        random_state: int = 0,
        threads: int | None = None,
    ) -> None:
        self.branching = branching
        self.depth = depth
        self.iterations = iterations
        self.random_state = random_state
        self.threads = threads

    @property
    def num_words(self) -> int:
        """The number of leaves."""
        return len(self._fitted().leaves_)

    @property
    def num_nodes(self) -> int:
        """The number of nodes of all levels."""
        return len(self._fitted().centers_)

    @property
    def words(self) -> NDArray[Any]:
        """The centers of the leaves, shape (num_words, n_dims): a new array."""
        words: NDArray[Any] = self._fitted().centers_[self.leaves_]
        return words

    def fit(self, X: ArrayLike, y: object = None, *, progress: Progress | None = None) -> Self:
        """Learn the tree of `X`.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n_points, n_dims)
            Points: bytes stay bytes, everything else becomes float32.
        y
            Not looked at: pipelines of scikit-learn pass it.
        progress : callable, optional
            ``progress(done, total)`` is called after each level.

        Returns
        -------
        VocabularyTree
            Itself, without weights.

        Raises
        ------
        TypeError, ValueError
            If `X` has no points or no columns, or numbers so large that distances overflow, or an
            argument is out of range.
        """
        X = _check.descriptors(X, "X")
        if X.size == 0:
            raise ValueError(f"X must have at least one point and one column, got shape {X.shape}")
        (X,) = Points(X, "X").parts  # which checks that distances do not overflow
        nodes, inertia = trained(
            X,
            _check.count(self.branching, "branching", minimum=2),
            _check.count(self.depth, "depth", maximum=MAX_DEPTH),
            _check.count(self.iterations, "iterations", minimum=0),
            _check.seed(self.random_state),
            _check.threads(self.threads),
            progress,
        )
        return self._set(nodes, inertia=inertia)

    def fit_weights(self, photos: Photos) -> Self:
        """Learn what nodes weigh: ``log(N / n)`` if n of N photos have a descriptor in the node.

        A node that no photo reaches weighs 0, as does one that all do.

        Parameters
        ----------
        photos : list of array_like, or tuple of array_like
            The descriptors of each photo; or ``(values, offsets)``: photo i has rows
            ``offsets[i]`` to ``offsets[i + 1] - 1`` of `values`.

        Returns
        -------
        VocabularyTree
            Itself.

        Raises
        ------
        TypeError, ValueError
            If there are no photos, or their descriptors are not like those that the tree is of.
        """
        X, offsets = self._joined(photos)
        if len(offsets) < 2:
            raise ValueError("photos must hold at least one photo")
        frequencies = document_frequencies(self, X, offsets)
        reached = frequencies > 0
        weights = np.zeros(self.num_nodes)
        weights[reached] = np.log((len(offsets) - 1) / frequencies[reached])
        self.weights_ = _read_only(weights)
        return self

    def transform(
        self, X: ArrayLike, *, levels: bool = False, threads: int | None = None
    ) -> NDArray[np.int64]:
        """Find the word of each descriptor, by greedy descent.

        Parameters
        ----------
        X : array_like, shape (n_descriptors, n_dims)
            Whole numbers from 0 to 255 if the tree is of bytes, bits packed in bytes if it is of
            bits.
        levels : bool
            Whether to return nodes of all levels instead.
        threads : int, optional
            Those of the constructor by default.

        Returns
        -------
        ndarray of int64, shape (n_descriptors,)
            Words; or, with `levels`, of shape (n_descriptors, depth_): the nodes on the way, and -1
            below a leaf.

        Raises
        ------
        TypeError, ValueError
            If `X` is not like what the tree is of, or there is no tree yet.
        """
        X = _check.matrix(X, "X", self._fitted().centers_.dtype, self.centers_.shape[1])
        leaves, path = self._descended(
            X, self.depth_ if _check.boolean(levels, "levels") else 0, threads
        )
        return path if levels else self._words_of_nodes[leaves]

    def fit_transform(self, X: ArrayLike, y: object = None) -> NDArray[np.int64]:
        """Return the words of the rows of `X`, having learned from them; see `fit`."""
        return self.fit(X).transform(X)

    def bags(self, photos: Photos, *, levels: bool = True) -> scipy.sparse.csr_matrix:
        """Describe each photo by how often it has each node or word, times its weight.

        Parameters
        ----------
        photos
            As for `fit_weights`.
        levels : bool
            Whether columns are the nodes of all levels, or the words alone.

        Returns
        -------
        scipy.sparse.csr_matrix of float64, shape (n_photos, num_nodes) or (n_photos, num_words)
            Without weights, counts. Rows are not normalised; zeros are left out.
            ``trouvaille.index.InvertedFile(tree.num_nodes, metric="lp", p=1, norm="l1")`` takes and
            compares them as the paper does.
        """
        X, offsets = self._joined(photos)
        return photos_by_column(self, X, offsets, _check.boolean(levels, "levels"))

    def assign(self, X: ArrayLike, k: int = 1, *, threads: int | None = None) -> Neighbors:
        """Find the `k` nearest words of each descriptor, exactly: all words are compared.

        Returns
        -------
        Neighbors
            ``(distances, ids)``, each of shape (n_descriptors, k): squared Euclidean distances as
            of `trouvaille.words.assign`, or of bits the number that differ.
        """
        threads = self.threads if threads is None else threads
        if self._fitted().metric_ == "hamming":
            return Exact("hamming").build(self.words).search(X, k, threads=threads)
        return assign(X, self.words, k, threads=threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tree to one file, which appears whole or not at all.

        Raises
        ------
        TypeError, ValueError
            If there is no tree yet, or a parameter is one that `fit` would refuse.
        OSError
            If the disk refuses. An old file is still there then.
        """
        _tree_file.write(path, self._fitted())

    @classmethod
    def load(cls, path: str | os.PathLike[str], mmap: bool = True) -> Self:
        """Read a tree that `save` wrote; every byte of it is verified.

        Parameters
        ----------
        path : str or path
        mmap : bool
            Whether arrays are views of the mapped file, which must not be changed then, or copies.

        Raises
        ------
        FileNotFoundError
            If there is none.
        IndexCorruptError
            If the file is not what was written.
        FormatVersionError
            If a newer version of this library wrote it.
        """
        parameters, nodes, attributes = _tree_file.read(path, _check.boolean(mmap, "mmap"))
        return cls(**parameters)._set(nodes, **attributes)

    # ---- private

    def _set(
        self,
        nodes: Nodes,
        *,
        inertia: float = float("nan"),
        weights: NDArray[np.float64] | None = None,
        metric: str = "l2",
        source: Mapping[str, Any] | None = None,
    ) -> Self:
        self.centers_, self.children_ = _read_only(nodes.centers), _read_only(nodes.children)
        self.leaves_, self.depth_ = _read_only(nodes.leaves), nodes.depth
        self.weights_ = None if weights is None else _read_only(weights)
        self.inertia_, self.metric_, self.source_ = inertia, metric, dict(source or {})
        self._words_of_nodes = nodes.words_of_nodes()
        return self

    def _fitted(self) -> Self:
        if not hasattr(self, "centers_"):
            raise ValueError("this VocabularyTree has no words yet: call fit first")
        return self

    def _joined(self, photos: Photos) -> tuple[NDArray[Any], NDArray[np.int64]]:
        centers = self._fitted().centers_
        return joined(photos, "photos", centers.shape[1], centers.dtype)

    def _descended(
        self, X: NDArray[Any], levels: int, threads: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the leaf of each descriptor, and its nodes of so many levels (all, or 0)."""
        n_threads = _check.threads(self.threads if threads is None else threads)
        hamming = self.metric_ == "hamming"
        found: tuple[NDArray[np.int64], NDArray[np.int64]] = _core.descend_vocabulary_tree(
            self.centers_, self.children_, X, hamming, levels, n_threads
        )
        return found


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array = array.view()
    array.flags.writeable = False
    return array
