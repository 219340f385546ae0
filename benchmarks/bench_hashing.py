# SPDX-License-Identifier: Apache-2.0
"""What codes keep of neighbourhood: of the true 10 nearest, how many are among 100 by the codes.

For each way of hashing, against bits; on SIFT, and on descriptors of a convolutional network where
`cnn_data` has them or can make them. Writes a plot of each beside this file, or where --folder
says.

python benchmarks/bench_hashing.py                             # 20 minutes
python benchmarks/bench_hashing.py --bits 16 32 --folder out
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from harness import record, single_thread

single_thread()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

import cnn_data  # noqa: E402
import sift_data  # noqa: E402
from sift_data import Descriptors  # noqa: E402
from svg_plot import log_log_curves  # noqa: E402
from trouvaille.neighbors import Exact, Hamming  # noqa: E402
from trouvaille.neighbors.hashing import (  # noqa: E402
    ITQ,
    RandomHyperplanes,
    SemanticHashing,
    SpectralHashing,
)

BITS = (16, 32, 64, 128, 256)
N_QUERIES = 2_000
TRUE, FOUND = 10, 100
WAYS: dict[str, Callable[[int], ITQ | RandomHyperplanes | SemanticHashing | SpectralHashing]] = {
    "ITQ": ITQ,
    "semantic": SemanticHashing,
    "spectral": SpectralHashing,
    "hyperplanes": RandomHyperplanes,
}


def recall(codes: NDArray[np.uint8], queries: NDArray[np.uint8], truth: NDArray[np.int64]) -> float:
    found = Hamming("linear").build(codes).search(queries, FOUND, threads=1).ids
    kept = [np.isin(true, ids).mean() for true, ids in zip(truth, found, strict=True)]
    return float(np.mean(kept))


def measure(name: str, data: Descriptors, bits: list[int], folder: Path) -> None:
    queries = np.ascontiguousarray(data.queries[:N_QUERIES])
    truth = Exact().build(data.base).search(queries, TRUE, threads=1).ids
    curves: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for n_bits in bits:
        recalls: dict[str, float] = {}
        for way, Way in WAYS.items():
            begin = time.perf_counter()
            hashing = Way(n_bits).fit(data.base)
            fitted = time.perf_counter()
            codes = hashing.transform(data.base, threads=1)
            encoded = time.perf_counter()
            recalls[way] = recall(codes, hashing.transform(queries), truth)
            curves[way].append((n_bits, recalls[way]))
            record(
                f"{way}, {n_bits} bits, {name}",
                {
                    "learned in, s": fitted - begin,
                    "us/descriptor": 1e6 * (encoded - fitted) / len(codes),
                },
                table="time of hashing",
            )
        record(f"{n_bits} bits, {name}", recalls, table=f"recall@{FOUND} of the {TRUE} nearest")
    drawn = log_log_curves(
        f"The {TRUE} nearest among {FOUND} by codes: {len(data.base):,} {name}",
        "bits",
        f"recall@{FOUND}",
        curves,
    )
    file = f"hashing_{name.split()[0].lower()}"
    (folder / f"{file}.svg").write_text(drawn, encoding="utf-8")
    record(
        f"recall against bits, {name}",
        {"plot": f"![{file}]({file}.svg)", "descriptors": len(data.base)},
        table="plots of hashing",
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", type=int, nargs="+", default=list(BITS))
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    measure("SIFT", sift_data.load(), options.bits, options.folder)
    if absent := cnn_data.missing():
        print(f"no descriptors of a network: {', '.join(absent)} is not installed")
    else:
        measure("CNN descriptors", cnn_data.load(), options.bits, options.folder)


if __name__ == "__main__":
    main()
