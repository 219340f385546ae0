# SPDX-License-Identifier: Apache-2.0
"""A million photos of 470 words: time and memory to build the inverted file, saving and loading.

Each kind of values has a process of its own, which makes its input (float32 and int32, 3.8 GB) and
counts the memory that building adds to it.

python benchmarks/bench_index_build.py                            # all kinds: 8 minutes, 12 GB
python benchmarks/bench_index_build.py counts --documents 100000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness import peak_memory_since, record, reset_peak_memory

KINDS = ("counts", "float32", "float16", "uint8")
THREADS = 2


def timed(call: Callable[[], Any]) -> tuple[Any, float, float | None]:
    """What `call` returns, its seconds, and the peak of memory that it added, in MiB."""
    before, start = reset_peak_memory(), time.perf_counter()
    result = call()
    return result, time.perf_counter() - start, peak_memory_since(before)


def load(path: Path, queries: tuple, expected: tuple) -> dict[str, float]:
    """Map the saved index and read it; both must answer as what was saved."""
    import numpy as np

    from trouvaille.index import InvertedFile

    found: dict[str, float] = {}
    one, many = queries
    for how, mmap in {"mapped": True, "read": False}.items():
        index, found[f"load {how} s"], _ = timed(partial(InvertedFile.load, path, mmap=mmap))
        _, found[f"first query {how} s"], _ = timed(partial(index.search, one, 100))
        if not all(map(np.array_equal, index.search(many, 100), expected)):
            raise RuntimeError(f"the {how} index answers differently")
    return found


def build(kind: str, n: int, num_words: int) -> dict[str, float]:
    """Run in the child: everything that one kind of values costs."""
    import sparse_data
    import sparse_peers as peers
    from sparse_data import DOCUMENTS, QUERIES, Statistics
    from trouvaille.index import InvertedFile

    # Of 473 words drawn, 470 differ.
    like = Statistics(n, num_words, 0.36, mean=473.0)
    X, Q = sparse_data.counts(like, DOCUMENTS), sparse_data.counts(like._replace(n=20), QUERIES)
    options: dict[str, str] = {"metric": "cosine", "weighting": "tfidf"}
    if kind != "counts":
        g = sparse_data.idf(X)
        for Y in (X, Q):
            of_rows = sparse_data.inverse_lengths(Y, g)
            sparse_data.scale(Y.indptr, Y.indices, Y.data, of_rows, g)
        options = {"values": kind}

    index, seconds, peak = timed(partial(InvertedFile.from_csr, X, threads=THREADS, **options))
    expected = index.search(Q, 100)
    stats = index.stats()
    found: dict[str, float] = {
        "build s": seconds,
        "peak beyond the input MiB": peak,
        "postings": stats.n_postings,
        "words a photo": stats.n_postings / n,
        "postings GB": stats.postings_bytes / 1e9,
        "bytes a posting": stats.bytes_a_posting,
        "scipy's csr": (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / X.nnz,
    }
    queries = next(peers.rows(Q)), Q
    with tempfile.TemporaryDirectory(dir=os.environ.get("TROUVAILLE_BENCH_DATA")) as folder:
        path = Path(folder) / "index"
        _, found["save s"], found["save MiB"] = timed(partial(index.save, path))
        written = [p for p in (path, *path.glob("**/*")) if p.is_file()]
        found["file GB"] = sum(p.stat().st_size for p in written) / 1e9
        del index
        found |= load(path, queries, expected)
    if kind == "counts":
        _, found["scipy tocsc s"], found["scipy tocsc MiB"] = timed(X.tocsc)
    found["process MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=", ".join(KINDS))
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := [kind for kind in arguments.kinds if kind not in KINDS]:
        parser.error(f"no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    sizes = arguments.documents, arguments.words
    if arguments.child:
        print(json.dumps(build(arguments.kinds[0], *sizes)))
        return
    for kind in arguments.kinds:
        options = ["--documents", str(sizes[0]), "--words", str(sizes[1]), "--child"]
        done = subprocess.run(
            [sys.executable, __file__, kind, *options],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        record(
            f"N {sizes[0]:,}, V {sizes[1]:,}, slope 0.36, {kind}",
            json.loads(done.stdout),
            table="building, saving and loading",
            threads=THREADS,
            notes="the file is in the page cache when it is loaded",
        )


if __name__ == "__main__":
    main()
