# SPDX-License-Identifier: Apache-2.0
"""The structures of `trouvaille.neighbors` and their peers, each behind the same four verbs.

A new one is one entry of METHODS. A method imports its module when it is used, so that one which is
not installed takes no other with it.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.uint8]
Budget = Any  # a number, or a tuple of them

_WIDTHS = (10, 14, 20, 28, 40, 60, 90, 140, 220)  # of a search in a graph
_CHECKS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)  # points to compare


class Method(ABC):
    """An index of one kind, which is built or loaded before it is searched."""

    name: str
    module: ClassVar[str]
    budgets: Sequence[Budget]
    bytes: ClassVar[bool] = False
    """Whether it takes bytes; otherwise it is given float32."""
    keeps: ClassVar[bool] = True
    """Whether it can be saved; otherwise it is built wherever it is searched."""
    largest: ClassVar[int] = 3_000_000
    index: Any = None

    def available(self) -> None:
        """Raise ImportError or AttributeError if it is not installed."""
        import_module(self.module)

    @abstractmethod
    def build(self, base: NDArray[Any], threads: int) -> None: ...

    @abstractmethod
    def search(self, queries: NDArray[Any], k: int, budget: Budget, threads: int) -> NDArray[Any]:
        """The ids of `k` for each query."""

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def load(self, folder: Path) -> None:
        raise NotImplementedError


class Ours(Method):
    """A structure of this library, by its name."""

    module = "trouvaille.neighbors"
    bytes = True

    def __init__(self, name: str, budget: str, budgets: Sequence[Any], **options: Any) -> None:
        self.name, self.budget, self.budgets, self.options = name, budget, budgets, options

    def available(self) -> None:
        self._structure()

    def _structure(self) -> Any:
        return getattr(import_module(self.module), self.name)

    def build(self, base: Vectors, threads: int) -> None:
        self.index = self._structure()(**self.options).build(base, threads=threads)

    def search(self, queries: Vectors, k: int, budget: Budget, threads: int) -> NDArray[Any]:
        chosen = {self.budget: budget} if self.budget else {}
        return self.index.search(queries, k, threads=threads, **chosen).ids

    def save(self, folder: Path) -> None:
        self.index.save(folder / "index")

    def load(self, folder: Path) -> None:
        self.index = self._structure().load(folder / "index", mmap=False)


class Svs(Method):
    """Intel's Scalable Vector Search: a Vamana graph over bytes."""

    name, module, bytes = "SVS, bytes", "svs", True
    budgets = _WIDTHS

    def build(self, base: Vectors, threads: int) -> None:
        import svs

        options = svs.VamanaBuildParameters(alpha=1.2, graph_max_degree=48, window_size=128)
        self.index = svs.Vamana.build(options, base, svs.DistanceType.L2, num_threads=threads)

    def search(self, queries: Vectors, k: int, budget: Budget, threads: int) -> NDArray[Any]:
        if self.index.num_threads != threads:
            self.index.num_threads = threads
        self.index.search_window_size = budget
        return self.index.search(queries, k)[0]

    def save(self, folder: Path) -> None:
        self.index.save(*(str(folder / part) for part in ("config", "graph", "points")))

    def load(self, folder: Path) -> None:
        import svs

        config, graph, points = (str(folder / part) for part in ("config", "graph", "points"))
        self.index = svs.Vamana(
            config,
            svs.GraphLoader(graph),
            svs.VectorDataLoader(points, svs.DataType.uint8),
            svs.DistanceType.L2,
            query_type=svs.DataType.uint8,
        )


class Hnswlib(Method):
    """hnswlib, M of 16."""

    name, module = "hnswlib", "hnswlib"
    budgets = (10, 15, 25, 40, 70, 120, 200, 320)
    largest = 1_000_000

    def build(self, base: NDArray[np.float32], threads: int) -> None:
        import hnswlib

        self.index = hnswlib.Index("l2", base.shape[1])
        self.index.init_index(len(base), M=16, ef_construction=150)
        self.index.add_items(base, num_threads=threads)

    def search(self, queries: Any, k: int, budget: Budget, threads: int) -> NDArray[Any]:
        self.index.set_ef(budget)
        return self.index.knn_query(queries, k, num_threads=threads)[0]

    def save(self, folder: Path) -> None:
        self.index.save_index(str(folder / "index"))

    def load(self, folder: Path) -> None:
        import hnswlib

        self.index = hnswlib.Index("l2", 128)
        self.index.load_index(str(folder / "index"))


class Faiss(Method):
    """An index of FAISS; `set_budget` gives it one of `budgets`."""

    module = "faiss"

    def __init__(
        self,
        name: str,
        make: Callable[[NDArray[np.float32]], Any],
        set_budget: Callable[[Any, Budget], None],
        budgets: Sequence[Budget],
    ) -> None:
        self.name, self.make, self.set_budget, self.budgets = name, make, set_budget, budgets

    def build(self, base: NDArray[np.float32], threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.index = self.make(base)
        self.index.add(base)

    def search(self, queries: Any, k: int, budget: Budget, threads: int) -> NDArray[Any]:
        import faiss

        faiss.omp_set_num_threads(threads)
        self.set_budget(self.index, budget)
        return self.index.search(queries, k)[1]

    def save(self, folder: Path) -> None:
        import faiss

        faiss.write_index(self.index, str(folder / "index"))

    def load(self, folder: Path) -> None:
        import faiss

        self.index = faiss.read_index(str(folder / "index"))


def lists_of(n: int) -> int:
    """About four square roots: 4,096 for a million."""
    return 2 ** round(math.log2(4 * math.sqrt(n)))


def _inverted_lists(codes: str) -> Callable[[NDArray[np.float32]], Any]:
    def make(base: NDArray[np.float32]) -> Any:
        import faiss

        index = faiss.index_factory(base.shape[1], f"IVF{lists_of(len(base))},{codes}")
        clustering = faiss.extract_index_ivf(index).cp
        clustering.max_points_per_centroid, clustering.niter = 64, 10
        index.train(base[:400_000])
        return index

    return make


def _hnsw_over_bytes(base: NDArray[np.float32]) -> Any:
    import faiss

    index = faiss.IndexHNSWSQ(base.shape[1], faiss.ScalarQuantizer.QT_8bit_direct, 32)
    index.train(base[:1000])
    return index


def _set_probes(index: Any, budget: int) -> None:
    index.nprobe = budget


def _set_probes_and_refined(index: Any, budget: tuple[int, int]) -> None:
    import faiss

    faiss.extract_index_ivf(index).nprobe, index.k_factor = budget


def _set_width(index: Any, budget: int) -> None:
    index.hnsw.efSearch = budget


class Scann(Method):
    """ScaNN: a tree, anisotropic codes, re-ranking."""

    name, module = "ScaNN", "scann"
    budgets = ((5, 20), (10, 30), (20, 40), (40, 60), (60, 100), (100, 100), (200, 200), (400, 300))

    def build(self, base: NDArray[np.float32], threads: int) -> None:
        import scann

        leaves = 2 * math.isqrt(len(base))
        builder = scann.scann_ops_pybind.builder(base, 10, "squared_l2")
        builder.set_n_training_threads(threads)
        sample = min(len(base), 200_000)
        builder.tree(leaves, max(b[0] for b in self.budgets), training_sample_size=sample)
        builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100)
        self.index = builder.build()

    def search(self, queries: Any, k: int, budget: Budget, threads: int) -> NDArray[Any]:
        self.index.set_num_threads(threads)
        call = self.index.search_batched if threads == 1 else self.index.search_batched_parallel
        return call(queries, k, max(budget[1], k), budget[0])[0]

    def save(self, folder: Path) -> None:
        self.index.serialize(str(folder))

    def load(self, folder: Path) -> None:
        import scann

        self.index = scann.scann_ops_pybind.load_searcher(str(folder))


class Usearch(Method):
    """USearch: HNSW over bytes, which it has with a sign."""

    name, module, bytes = "usearch, bytes", "usearch.index", True
    budgets = (10, 15, 25, 40, 70, 120, 200, 320)
    largest = 1_000_000

    def _empty(self) -> Any:
        from usearch.index import Index

        return Index(
            ndim=128, metric="l2sq", dtype="i8", connectivity=16, expansion_add=128, multi=False
        )

    def build(self, base: Vectors, threads: int) -> None:
        self.index = self._empty()
        self.index.add(np.arange(len(base)), _signed(base), threads=threads)

    def search(self, queries: Vectors, k: int, budget: Budget, threads: int) -> NDArray[Any]:
        self.index.expansion_search = budget
        return self.index.search(_signed(queries), k, threads=threads).keys.astype(np.int64)

    def save(self, folder: Path) -> None:
        self.index.save(str(folder / "index"))

    def load(self, folder: Path) -> None:
        self.index = self._empty()
        self.index.load(str(folder / "index"))


def _signed(vectors: Vectors) -> NDArray[np.int8]:
    return (vectors ^ 128).view(np.int8)  # less 128: distances stay


class Flann(Method):
    """OpenCV's copy of FLANN: four randomized k-d trees. It threads by halves of the queries."""

    name, module, keeps = "cv2.flann, 4 trees", "cv2", False
    budgets = (32, 128, 512, 2048)
    largest = 1_000_000

    def build(self, base: NDArray[np.float32], threads: int) -> None:
        import cv2

        self.index = cv2.flann.Index(base, {"algorithm": 1, "trees": 4})

    def search(self, queries: Any, k: int, budget: Budget, threads: int) -> NDArray[Any]:
        def one(part: Any) -> NDArray[Any]:
            return self.index.knnSearch(part, k, params={"checks": budget})[0]

        return _in_parts(one, queries, threads)


class Vsag(Method):
    """VSAG: a hierarchical graph over bytes, re-ranked; a call a query."""

    name, module = "VSAG", "pyvsag"
    budgets = (10, 20, 40, 80, 160, 320)
    largest = 100_000

    def _empty(self, threads: int = 1) -> Any:
        import pyvsag

        options = {"base_quantization_type": "sq8_uniform", "max_degree": 32}
        options |= {"ef_construction": 150, "build_thread_count": threads}
        options |= {"use_reorder": True, "precise_quantization_type": "fp32"}
        space = {"dtype": "float32", "metric_type": "l2", "dim": 128, "index_param": options}
        return pyvsag.Index("hgraph", json.dumps(space))

    def build(self, base: NDArray[np.float32], threads: int) -> None:
        self.index = self._empty(threads)
        self.index.build(base.ravel(), np.arange(len(base)), len(base), base.shape[1])

    def search(self, queries: Any, k: int, budget: Budget, threads: int) -> NDArray[Any]:
        options = json.dumps({"hgraph": {"ef_search": budget}})

        def one(part: Any) -> NDArray[Any]:
            found = (self.index.knn_search(query, k, options) for query in part)
            return np.array([next(a for a in pair if a.dtype.kind in "iu") for pair in found])

        return _in_parts(one, queries, threads)

    def save(self, folder: Path) -> None:
        self.index.save(str(folder / "index"))

    def load(self, folder: Path) -> None:
        self.index = self._empty()
        self.index.load(str(folder / "index"))
        # Its first search imports, and hangs if another thread searches meanwhile.
        self.search(np.zeros((1, 128), np.float32), 1, 10, 1)


def _in_parts(call: Callable[[Any], NDArray[Any]], queries: Any, threads: int) -> NDArray[Any]:
    if threads == 1:
        return call(queries)
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(call, np.array_split(queries, threads))))


_PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_PROBES_AND_REFINED = (
    (1, 4), (2, 4), (4, 8), (8, 8), (16, 10), (32, 16), (64, 20), (128, 30), (256, 40),
)  # fmt: skip
METHODS: tuple[Method, ...] = (
    Ours("Exact", "", (None,)),
    Ours("KDForest", "checks", _CHECKS),
    Ours("KMeansTree", "checks", _CHECKS),
    Ours("Graph", "width", _WIDTHS),
    Ours("LSH", "checks", (2048, 4096, 8192, 16384, 32768, 65536, 131072)),
    Svs(),
    Scann(),
    Faiss("faiss IVF", _inverted_lists("Flat"), _set_probes, _PROBES),
    Faiss(
        "faiss IVF, fast scan",
        _inverted_lists("PQ64x4fs,RFlat"),
        _set_probes_and_refined,
        _PROBES_AND_REFINED,
    ),
    Faiss("faiss HNSW, bytes", _hnsw_over_bytes, _set_width, (10, 15, 25, 40, 70, 120, 200, 320)),
    Hnswlib(),
    Usearch(),
    Vsag(),
    Flann(),
)
