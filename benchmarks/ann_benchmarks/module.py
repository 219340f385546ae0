# SPDX-License-Identifier: Apache-2.0
"""The structures of `trouvaille.neighbors` as algorithms of ann-benchmarks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trouvaille import neighbors

from ..base.module import BaseANN


class _Structure(BaseANN):
    """What a structure is asked for: distances by L2, of bytes where all numbers are whole ones."""

    structure: ClassVar[str]
    budget: ClassVar[str] = ""

    def __init__(self, metric: str, options: dict[str, Any] | None = None) -> None:
        if metric not in ("euclidean", "angular"):
            raise ValueError(f"metric must be euclidean or angular, got {metric!r}")
        self._angular = metric == "angular"
        self._options = options or {}
        self._chosen: dict[str, Any] = {}
        self._index: Any = None

    def fit(self, X: NDArray[Any]) -> None:
        points = self._normalised(X)
        self._whole = bool(((points >= 0) & (points <= 255) & (points == np.floor(points))).all())
        self._index = getattr(neighbors, self.structure)(**self._options)
        self._index.build(points.astype(np.uint8) if self._whole else points)

    def set_query_arguments(self, budget: int) -> None:
        self._chosen = {self.budget: budget}

    def query(self, q: NDArray[Any], n: int) -> NDArray[np.int64]:
        self.prepare_query(q, n)
        self.run_prepared_query()
        return self.get_prepared_query_results()

    def prepare_query(self, q: NDArray[Any], n: int) -> None:
        """Bring a query to the points' dtype, which is not timed: descriptors are bytes already."""
        self._prepared = self._as_points(q[None]), n

    def run_prepared_query(self) -> None:
        self._single = self._search(*self._prepared, 1)

    def get_prepared_query_results(self) -> NDArray[np.int64]:
        return self._found(self._single)[0]

    def batch_query(self, X: NDArray[Any], n: int) -> None:
        self._batch = self._search(self._as_points(X), n, None)

    def get_batch_results(self) -> list[NDArray[np.int64]]:
        return self._found(self._batch)

    def get_memory_usage(self) -> float:
        """Kilobytes of the index, its points included; none before it is built."""
        if self._index is None:
            return 0.0
        size = self._index.stats()
        return (size.point_bytes + size.other_bytes) / 1024

    def done(self) -> None:
        self._index = None

    def __str__(self) -> str:
        given = ", ".join(f"{k}={v}" for k, v in (self._options | self._chosen).items())
        return f"trouvaille {self.structure}({given})"

    def _search(self, queries: NDArray[Any], n: int, threads: int | None) -> NDArray[np.int64]:
        return self._index.search(queries, n, threads=threads, **self._chosen).ids

    def _found(self, ids: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [row[row >= 0] for row in ids]

    def _as_points(self, queries: NDArray[Any]) -> NDArray[Any]:
        given = self._normalised(queries)
        if not self._whole:
            return given
        whole = given.astype(np.uint8)
        if not np.array_equal(whole, given):
            raise ValueError("queries must be whole numbers from 0 to 255, as the points are")
        return whole

    def _normalised(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        vectors = np.asarray(vectors, np.float32)
        if not self._angular:
            return vectors
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1)


class Exact(_Structure):
    """All points."""

    structure = "Exact"


class KDForest(_Structure):
    """Randomized k-d trees."""

    structure, budget = "KDForest", "checks"


class KMeansTree(_Structure):
    """A tree of k-means clusters."""

    structure, budget = "KMeansTree", "checks"


class LSH(_Structure):
    """Locality-sensitive hashing, multi-probe."""

    structure, budget = "LSH", "checks"


class Graph(_Structure):
    """A navigable graph."""

    structure, budget = "Graph", "width"
