# SPDX-License-Identifier: Apache-2.0
"""k-means: the words that descriptors gather around."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core
from ._sampling import distinct_rows
from .assignment import assign

Progress = Callable[[int, int], None]  # called with (steps done, steps in all)


class KMeans:
    """Lloyd's k-means, in the style of scikit-learn.

    Parameters
    ----------
    num_words : int
        Clusters.
    iterations : int
        At most so many rounds of assignment and update; fewer if the centres stop changing.
    random_state : int
        Seed of the initial centres, which are distinct points chosen at random.
    threads : int, optional
        Worker threads; one per core by default. The result does not depend on it.

    Attributes
    ----------
    cluster_centers_ : ndarray, shape (num_words, n_dims)
        The centres, in the dtype of the points: means of bytes are rounded to the nearest.
    inertia_ : float
        Sum of the squared distances of the points to their nearest centres.
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

    Examples
    --------
    >>> KMeans(2).fit(np.uint8([[0], [1], [10], [11]])).inertia_
    2.0
    """

    cluster_centers_: NDArray[Any]
    inertia_: float
    n_iter_: int

    def __init__(
        self,
        num_words: int,
        *,
        iterations: int = 10,
        random_state: int = 0,
        threads: int | None = None,
    ) -> None:
        self.num_words = num_words
        self.iterations = iterations
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: ArrayLike, progress: Progress | None = None) -> Self:
        """Learn the centres of `X`.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n_points, n_dims)
            Points: bytes stay bytes, everything else becomes float32.
        progress : callable, optional
            ``progress(done, total)`` is called after each round, the last before `total` where the
            centres stop changing.

        Returns
        -------
        KMeans
            Itself.

        Raises
        ------
        ValueError
            If `X` has fewer distinct points than `num_words`, or an argument is out of range.
        """
        X = _check.descriptors(X, "X")
        num_words = _check.count(self.num_words, "num_words")
        iterations = _check.count(self.iterations, "iterations")
        threads = _check.threads(self.threads)
        centers = X[distinct_rows(X, num_words, _check.seed(self.random_state))]
        nearest = assign(X, centers, threads=threads)
        for done in range(1, iterations + 1):
            previous, distances, ids = centers, nearest.distances[:, 0], nearest.ids[:, 0]
            centers = _core.update_centers(X, ids, distances, previous, threads)
            changed = not np.array_equal(centers, previous)
            if changed:
                nearest = assign(X, centers, threads=threads)
            if progress is not None:
                progress(done, iterations)
            if not changed:
                break
        self.cluster_centers_ = centers
        self.inertia_ = float(nearest.distances.sum(dtype=_wide(nearest.distances)))
        self.n_iter_ = done
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the number of the nearest centre of each row of `X`, shape (n_points,)."""
        if not hasattr(self, "cluster_centers_"):
            raise ValueError("this KMeans has no centres yet: call fit first")
        return assign(X, self.cluster_centers_, threads=self.threads).ids[:, 0]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments (`deep` changes nothing: none is an estimator)."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; an unknown name is a ValueError."""
        unknown = sorted(params.keys() - set(_PARAMETERS))
        if unknown:
            raise ValueError(
                f"KMeans has no parameter {unknown[0]!r}; it has {', '.join(_PARAMETERS)}"
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"KMeans({given})"


_PARAMETERS = ("num_words", "iterations", "random_state", "threads")


def _wide(distances: NDArray[Any]) -> type[np.int64] | type[np.float64]:
    return np.int64 if distances.dtype == np.int32 else np.float64
