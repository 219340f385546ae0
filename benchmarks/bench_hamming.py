# SPDX-License-Identifier: Apache-2.0
"""Hamming search over codes of a million real SIFT, beside FAISS's, on one thread.

The codes are ITQ's, of 64 to 256 bits; random ones of 512 and 1,024 bits show the scan of longer
codes. All but FAISS's IndexBinaryMultiHash and IndexBinaryHash are exact; of those the recall is
told.
"""

from __future__ import annotations

from typing import Any

from harness import compare, record, single_thread

single_thread()

import faiss  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

import sift_data  # noqa: E402
from trouvaille.neighbors import Hamming  # noqa: E402
from trouvaille.neighbors.hashing import ITQ  # noqa: E402

N_QUERIES = 1_000
Codes = NDArray[np.uint8]


def flat(codes: Codes) -> Any:
    index = faiss.IndexBinaryFlat(8 * codes.shape[1])
    index.add(codes)
    return index


def multi_hash(codes: Codes, tables: int, bits: int, flips: int) -> Any:
    index = faiss.IndexBinaryMultiHash(8 * codes.shape[1], tables, bits)
    index.add(codes)
    index.nflip = flips
    return index


def prefix_hash(codes: Codes, bits: int, flips: int) -> Any:
    index = faiss.IndexBinaryHash(8 * codes.shape[1], bits)
    index.add(codes)
    index.nflip = flips
    return index


def scans(name: str, codes: Codes, queries: Codes) -> None:
    ours, peer = Hamming("linear").build(codes), flat(codes)
    some = [queries[i : i + 1] for i in range(10)]
    for k in (1, 10, 100):
        compare(
            f"scan of {name}, k = {k}",
            {
                "ours": lambda k=k: ours.search(queries, k, threads=1)[0],
                "faiss.IndexBinaryFlat": lambda k=k: peer.search(queries, k)[0],
            },
            items=len(queries),
            repeats=5,
        )
        compare(
            f"scan of {name}, a query at a time, k = {k}",
            {
                "ours": lambda k=k: [ours.search(one, k, threads=1)[0] for one in some],
                "faiss.IndexBinaryFlat": lambda k=k: [peer.search(one, k)[0] for one in some],
            },
            items=len(some),
        )


def tables(name: str, codes: Codes, queries: Codes) -> None:
    """Multi-index hashing: exact, beside a scan and FAISS's hashes, which are not."""
    n_bits = 8 * codes.shape[1]
    scan, index = Hamming("linear").build(codes), Hamming("multi-index").build(codes)
    record(
        f"multi-index of {name}",
        {"bytes a code": index.stats().bytes_a_point},
        table="memory of codes and tables",
    )
    hashes = {
        f"faiss.IndexBinaryMultiHash, {n_bits // 16} x 16": multi_hash(codes, n_bits // 16, 16, 1),
        "faiss.IndexBinaryHash, 16": prefix_hash(codes, 16, 2),
    }
    for k in (1, 10):
        exact = scan.search(queries, k, threads=1).distances

        def recall(
            _: str, distances: NDArray[Any], exact: NDArray[Any] = exact
        ) -> dict[str, float]:
            return {"recall": float((distances <= exact[:, -1:]).mean())}

        compare(
            f"neighbours of {name}, k = {k}",
            {
                "ours": lambda k=k: index.search(queries, k, threads=1)[0],
                "ours, scan": lambda k=k: scan.search(queries, k, threads=1)[0],
                **{
                    label: lambda peer=peer, k=k: peer.search(queries, k)[0]
                    for label, peer in hashes.items()
                },
            },
            items=len(queries),
            quality=recall,
            repeats=5,
        )
    for radius in (2, 6):
        compare(
            f"radius {radius} in {name}",
            {
                "ours": lambda r=radius: index.radius_search(queries, r, threads=1)[0],
                "ours, scan": lambda r=radius: scan.radius_search(queries, r, threads=1)[0],
            },
            items=len(queries),
            repeats=5,
        )


def main() -> None:
    faiss.omp_set_num_threads(1)
    data = sift_data.load()
    wanted = np.ascontiguousarray(data.queries[:N_QUERIES])
    for n_bits in (64, 128, 256):
        itq = ITQ(n_bits).fit(data.base)
        codes, queries = itq.transform(data.base), itq.transform(wanted)
        name = f"{len(codes):,} codes of {n_bits} bits"
        scans(name, codes, queries)
        if n_bits < 256:
            tables(name, codes, queries)
    rng = np.random.default_rng(0)
    for n_bits in (512, 1024):
        codes = rng.integers(0, 256, (1_000_000, n_bits // 8), dtype=np.uint8)
        scans(f"1,000,000 random codes of {n_bits} bits", codes, codes[:N_QUERIES] ^ codes[1])


if __name__ == "__main__":
    main()
