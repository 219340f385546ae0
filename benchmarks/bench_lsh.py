# SPDX-License-Identifier: Apache-2.0
"""LSH at equal recall, on one thread: of a million real SIFT beside faiss, of ORB beside OpenCV.

faiss.IndexLSH compares the signs of all points, and an exact index of the bytes compares the
nearest of them once more: of 128 to 1,024 bits and 50 to 1,600 points to compare, these settings
are the fastest at their recall. So are those of OpenCV's LSH among 16 of 4 to 20 tables, keys of 12
to 24 bits and probes of up to 3. Equal distances count as found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness import compare, record, single_thread

single_thread()

import cv2  # noqa: E402
import faiss  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

import orb_data  # noqa: E402
import sift_data  # noqa: E402
from trouvaille.neighbors import LSH, Exact  # noqa: E402

K = 10
N_TIMED = 1_000  # queries
N_SIFT = 1_000_000
N_BITS = 256
# Measured, not tuned to a hair: our checks, and the points that faiss compares.
SIFT_LEVELS = {"0.90": (27_500, 310), "0.95": (51_000, 620)}
# Of recall@1: our checks, and OpenCV's tables, bits and probes.
ORB_LEVELS = {"0.90": (12_500, (20, 18, 1)), "0.95": (21_000, (20, 16, 1))}
FLANN_LSH, FLANN_HAMMING = 6, 9

Distances = NDArray[Any]


def build_faiss(base: NDArray[np.float32]) -> faiss.IndexRefine:
    signs = faiss.IndexLSH(base.shape[1], N_BITS, True, True)  # rotated, cut at the median
    signs.train(base[::20])
    exact = faiss.IndexScalarQuantizer(base.shape[1], faiss.ScalarQuantizer.QT_8bit_direct)
    refined = faiss.IndexRefine(signs, exact)
    refined.is_trained = True
    refined.add(base)
    return refined


def search_faiss(index: faiss.IndexRefine, queries: NDArray[np.float32], n: int) -> Distances:
    index.k_factor = n / K
    return index.search(queries, K)[0]


def build_opencv(base: NDArray[np.uint8], settings: tuple[int, int, int]) -> cv2.flann.Index:
    tables, bits, probes = settings
    parameters = {
        "algorithm": FLANN_LSH,
        "table_number": tables,
        "key_size": bits,
        "multi_probe_level": probes,
    }
    return cv2.flann.Index(base, parameters, FLANN_HAMMING)


def search_opencv(index: cv2.flann.Index, queries: NDArray[np.uint8]) -> Distances:
    ids, distances = index.knnSearch(queries, K, params={})
    return np.where(ids < 0, np.iinfo(np.int32).max, distances)


def recalls(exact: Distances) -> Callable[[str, Distances], dict[str, float]]:
    def recall(_: str, found: Distances) -> dict[str, float]:
        return {
            "recall@1": float((found[:, 0] <= exact[:, 0]).mean()),
            "recall@10": float((found <= exact[:, -1:]).mean()),
        }

    return recall


def ours(index: LSH, queries: NDArray[np.uint8], checks: int) -> Distances:
    return index.search(queries, K, checks=checks, threads=1).distances


def remember_memory(name: str, index: LSH) -> None:
    stats = index.stats()
    beside = stats.other_bytes / stats.n_points
    record(name, {"bytes a point beside the data": beside}, table="LSH memory")


def on_sift() -> None:
    data = sift_data.load(N_SIFT)
    queries = np.ascontiguousarray(data.queries[:N_TIMED])
    exact = sift_data.exact(N_SIFT, K)[:N_TIMED]
    floats, query_floats = data.base.astype(np.float32), queries.astype(np.float32)
    compare(
        f"build, {N_SIFT:,} SIFT",
        {
            "ours": lambda: LSH().build(data.base, threads=1),
            "faiss.IndexLSH": lambda: build_faiss(floats),
        },
        unit="s/index",
        repeats=3,
        warmup=0,
    )
    index, index_2 = (LSH(tables).build(data.base, threads=1) for tables in (1, 2))
    remember_memory("1 table", index)
    remember_memory("2 tables", index_2)
    peer = build_faiss(floats)
    for level, (checks, n) in SIFT_LEVELS.items():
        compare(
            f"search, {N_SIFT:,} SIFT, k = {K}, recall@10 {level}",
            {
                "ours": lambda c=checks: ours(index, queries, c),
                "ours, 2 tables": lambda c=checks * 3 // 4: ours(index_2, queries, c),
                "faiss.IndexLSH, re-ranked": lambda n=n: search_faiss(peer, query_floats, n),
            },
            items=N_TIMED,
            quality=recalls(exact),
        )


def on_orb() -> None:
    data = orb_data.load()
    queries = np.ascontiguousarray(data.queries[:N_TIMED])
    exact = Exact("hamming").build(data.base).search(queries, K).distances
    index = LSH(metric="hamming").build(data.base, threads=1)
    of_bits = LSH(4, metric="hamming", family="bits").build(data.base, threads=1)
    for level, (checks, settings) in ORB_LEVELS.items():
        peer = build_opencv(data.base, settings)
        compare(
            f"search, {len(data.base):,} ORB, k = {K}, recall@1 {level}",
            {
                "ours": lambda c=checks: ours(index, queries, c),
                "ours, 4 tables of bits": lambda c=2 * checks: ours(of_bits, queries, c),
                "cv2.flann LSH": lambda p=peer: search_opencv(p, queries),
            },
            items=N_TIMED,
            quality=recalls(exact),
        )


def main() -> None:
    cv2.setNumThreads(1)
    faiss.omp_set_num_threads(1)
    on_sift()
    on_orb()


if __name__ == "__main__":
    main()
