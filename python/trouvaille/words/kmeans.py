# SPDX-License-Identifier: Apache-2.0
"""k-means: the words that descriptors gather around."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from .._parameters import Parameters
from . import _checkpoint
from ._cost import Cost, estimated
from ._lloyd import Lloyd
from ._points import Points
from ._sampling import CENTERS, SEEDS_FROM, distinct_rows, shuffled
from .assignment import assign

Progress = Callable[[int, int], None]  # called with (steps done, steps in all)


class KMeans(Parameters):
    """k-means in the style of scikit-learn, exact or approximate, up to a million words.

    Parameters
    ----------
    num_words : int
        Clusters.
    algorithm : {"exact", "approximate"}
        How a point finds its centre: among all, as Lloyd does [1]_, or by walks along a graph of
        the centres, which each round builds again (approximate k-means [2]_, there with k-d trees).
        Approximate pays from some ten thousand words on.
    init : {"random", "k-means++"}
        The first centres: distinct points at random, or points spread out [3]_, drawn from 32 a
        word.
    iterations : int
        At most so many rounds of assignment and update; fewer if the centres stop changing.
    metric : {"l2", "hellinger"}
        Euclidean distance, or Hellinger's between histograms such as SIFT: the same of RootSIFT, to
        which points are converted, a block at a time, and which the centres are of.
    dtype : {None, "uint8", "float32"}
        Of the centres: that of the points by default. Means of bytes are rounded to the nearest
        as bytes; in float32 the last ones are not.
    width : int
        Of the walks of the approximate algorithm: the more, the surer is the nearest found.
    random_state : int
        Seed of the initial centres.
    threads : int, optional
        Worker threads; one per core by default. The result does not depend on it.

    Attributes
    ----------
    cluster_centers_ : ndarray, shape (num_words, n_dims)
        The centres.
    inertia_ : float
        Sum of the squared distances of the points to their nearest centres, as the algorithm found
        them; after `partial_fit` of the last points, to the centres from before.
    labels_ : ndarray of int64, shape (n_points,)
        The centre that each point of the last call is nearest to.
    counts_ : ndarray of int64, shape (num_words,)
        Points that each centre has: of `fit`, and of every `partial_fit` since.
    n_iter_ : int
        Rounds that were run.

    Notes
    -----
    A cluster that loses all its points takes the point that is farthest from its centre (the first
    in order among equals; every such cluster another point).

    References
    ----------
    .. [1] S. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory
       28(2), 1982.
    .. [2] J. Philbin, O. Chum, M. Isard, J. Sivic, A. Zisserman, "Object retrieval with large
       vocabularies and fast spatial matching", CVPR 2007.
    .. [3] D. Arthur, S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.

    Examples
    --------
    >>> KMeans(2).fit(np.uint8([[0], [1], [10], [11]])).inertia_
    2.0
    """

    cluster_centers_: NDArray[Any]
    inertia_: float
    counts_: NDArray[np.int64]
    n_iter_: int
    labels_: NDArray[np.int64]
    _sums: NDArray[Any] | None

    def __init__(
        self,
        num_words: int,
        *,
        algorithm: str = "exact",
        init: str = "random",
        iterations: int = 10,
        metric: str = "l2",
        dtype: str | None = None,
        width: int = 8,
        random_state: int = 0,
        threads: int | None = None,
    ) -> None:
        self.num_words = num_words
        self.algorithm = algorithm
        self.init = init
        self.iterations = iterations
        self.metric = metric
        self.dtype = dtype
        self.width = width
        self.random_state = random_state
        self.threads = threads

    def fit(
        self,
        X: ArrayLike | list[NDArray[Any]],
        y: object = None,
        *,
        announce: Callable[[Cost], object] | None = None,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Learn the centres of `X`.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n_points, n_dims), or list of such arrays
            Points: bytes stay bytes, everything else becomes float32. Arrays of files that are
            mapped (``numpy.load(path, mmap_mode="r")``) are read from there, twice a round, and may
            be larger than the memory, but for 12 bytes a point, at first 28.
        y
            Not looked at: pipelines of scikit-learn pass it.
        announce : callable, optional
            ``announce(cost)`` is called before the first round with what is estimated that all that
            are left will take: see `cost`.
        progress : callable, optional
            ``progress(done, total)`` is called after each round, the last before `total` where the
            centres stop changing.
        checkpoint : path, optional
            A file that each round replaces. If it is there, the clustering goes on from it, and
            ends with the same bits as if it had never been interrupted.

        Returns
        -------
        KMeans
            Itself.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or is out of range, `X` has fewer distinct points
            than `num_words`, holds NaN or infinity, or the checkpoint is of another clustering.
        IndexCorruptError
            If the checkpoint is not as it was written.
        """
        given = self._checked()
        points = Points(X, "X", given["metric"], given["threads"])
        dtype = _dtype_of_centers(given, points)
        lloyd = _lloyd(points, np.empty((given["num_words"], points.dims), points.dtype), given)
        iterations, done, changed = given["iterations"], 0, True
        if checkpoint is not None:
            key = {name: given[name] for name in _KEYS} | points.described()
            done, changed = _checkpoint.resume(checkpoint, key, lloyd, iterations)
        if announce is not None:
            announce(estimated(points, given, done if changed else iterations))
        if done == 0:
            lloyd.centers = _initial(points, given)
            lloyd.assign()
        while done < iterations and changed:
            previous = lloyd.centers
            lloyd.update()
            done += 1
            changed = not np.array_equal(lloyd.centers, previous)
            if changed:
                lloyd.assign()
            if checkpoint is not None:
                _checkpoint.save(checkpoint, key, lloyd, done, changed)
            if progress is not None:
                progress(done, iterations)
        if dtype != points.dtype:
            lloyd.update(dtype)
            lloyd.assign()
        self.cluster_centers_ = lloyd.centers
        self.labels_ = lloyd.labels
        self.counts_ = np.bincount(lloyd.labels, minlength=len(lloyd.centers))
        self.inertia_ = lloyd.inertia()
        self.n_iter_ = done
        self._sums = None
        return self

    def partial_fit(self, X: ArrayLike | list[NDArray[Any]]) -> Self:
        """Take in more points, once: each moves the centre that is the nearest to it [1]_.

        A centre is the mean of all points that it was ever given; those of `fit` count as so many
        points at the centre that it found. The first call, where there was no `fit`, draws the
        centres from its points.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n_points, n_dims), or list of such arrays

        Returns
        -------
        KMeans
            Itself.

        Raises
        ------
        TypeError, ValueError
            As for `fit`, or if the points are of another dtype or width than those before.

        References
        ----------
        .. [1] D. Sculley, "Web-scale k-means clustering", WWW 2010.
        """
        given = self._checked()
        points = Points(X, "X", given["metric"], given["threads"])
        dtype = _dtype_of_centers(given, points)
        if not hasattr(self, "cluster_centers_"):
            self.cluster_centers_ = _initial(points, given).astype(dtype)
            self.counts_ = np.zeros(len(self.cluster_centers_), np.int64)
            self.n_iter_, self._sums = 0, None
        old = self.cluster_centers_
        if len(old) != given["num_words"]:
            raise ValueError(
                f"num_words is {given['num_words']}, but there are {len(old)} centers already: "
                "call fit for others"
            )
        if (old.dtype, old.shape[1]) != (dtype, points.dims):
            raise ValueError(
                f"X must be like the points before, whose centers are {old.dtype} with "
                f"{old.shape[1]} columns, got {points.dtype} with {points.dims}"
            )
        if len(points) < _GRAPH_PAYS:
            given["algorithm"] = "exact"
        lloyd = _lloyd(points, old, given)
        lloyd.assign()
        sums, self._sums = self._sums, None  # which are not kept if this call is interrupted
        if sums is None:
            sums = _summed(old, self.counts_, points.dtype)
        counts = self.counts_.copy()
        lloyd.add_to(sums, counts)
        self.cluster_centers_ = _core.means(sums, counts, old, given["threads"])
        self.counts_, self._sums = counts, sums
        self.labels_, self.inertia_ = lloyd.labels, lloyd.inertia()
        self.n_iter_ += 1
        return self

    def predict(self, X: ArrayLike | list[NDArray[Any]]) -> NDArray[np.int64]:
        """Return the number of the nearest centre of each point, shape (n_points,).

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n_points, n_dims), or list of such arrays
        """
        if not hasattr(self, "cluster_centers_"):
            raise ValueError("this KMeans has no centres yet: call fit first")
        given = self._checked()
        points = Points(X, "X", given["metric"], given["threads"])
        labels = np.empty(len(points), np.int64)
        for rows, block in points.blocks():
            labels[rows] = assign(block, self.cluster_centers_, threads=self.threads).ids[:, 0]
        return labels

    def cost(self, X: ArrayLike | list[NDArray[Any]]) -> Cost:
        """Estimate what `fit` will take on this machine, as it is now, within a second or two.

        Parameters
        ----------
        X : array_like, shape (n_points, n_dims), or list of such arrays

        Returns
        -------
        Cost
            ``(seconds, memory)``: all rounds, and bytes beyond the points.
        """
        given = self._checked()
        return estimated(Points(X, "X", given["metric"], given["threads"]), given)

    def _checked(self) -> dict[str, Any]:
        """Return the arguments of the constructor, checked."""
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                listed = ", ".join(repr(choice) for choice in choices)
                raise ValueError(f"{name} must be one of {listed}, got {getattr(self, name)!r}")
        if self.init == "k-means++" and _check.count(self.num_words, "num_words") > _MOST_SPREAD:
            raise ValueError(
                f"init 'k-means++' is for up to {_MOST_SPREAD:,} words, whose square it takes; "
                f"num_words is {self.num_words:,}: take 'random'"
            )
        return self.get_params() | {
            "num_words": _check.count(self.num_words, "num_words"),
            "iterations": _check.count(self.iterations, "iterations"),
            "width": _check.count(self.width, "width", maximum=65_535),
            "random_state": _check.seed(self.random_state),
            "threads": _check.threads(self.threads),
        }


_CHOICES = {
    "algorithm": ("exact", "approximate"),
    "init": ("random", "k-means++"),
    "metric": ("l2", "hellinger"),
    "dtype": (None, "uint8", "float32"),
}
# What makes a clustering another one.
_KEYS = ("num_words", "algorithm", "init", "metric", "width", "random_state")
_MOST_SPREAD = 100_000  # words whose seeds k-means++ draws within some twenty minutes
_GRAPH_PAYS = 1 << 16  # points that find their centres in a graph sooner than it is built


def _lloyd(points: Points, centers: NDArray[Any], given: dict[str, Any]) -> Lloyd:
    width = given["width"] if given["algorithm"] == "approximate" else None
    return Lloyd(
        points, centers, width=width, random_state=given["random_state"], threads=given["threads"]
    )


def _initial(points: Points, given: dict[str, Any]) -> NDArray[Any]:
    count, seed = given["num_words"], given["random_state"]
    if given["init"] == "random":
        return points.at(distinct_rows(points, count, seed))
    drawn = np.sort(shuffled(len(points), seed, CENTERS)[: SEEDS_FROM * count])
    sample = np.ascontiguousarray(points.at(drawn))
    rows = _core.spread_rows(sample, count, seed, given["threads"])
    if len(rows) < count:  # too few distinct ones; perhaps not in all
        return points.at(distinct_rows(points, count, seed))
    return sample[rows]


def _dtype_of_centers(given: dict[str, Any], points: Points) -> np.dtype[Any]:
    if given["dtype"] is None:
        return points.dtype
    if given["dtype"] == "uint8" and points.dtype != np.uint8:
        raise ValueError(f"dtype 'uint8' needs points that are bytes, got {points.dtype}")
    dtype: np.dtype[Any] = np.dtype(given["dtype"])
    return dtype


def _summed(centers: NDArray[Any], counts: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the sums of points of a dtype, whose means are the centers."""
    sums = centers.astype(np.float64) * counts[:, None]
    return np.rint(sums).astype(np.uint64) if dtype == np.uint8 else sums
