# SPDX-License-Identifier: Apache-2.0
"""Recall against queries a second: the library's structures of neighbours beside their peers.

    python benchmarks/bench_neighbors.py                         # a million points, all of it
    python benchmarks/bench_neighbors.py 3000000 --threads 1
    python benchmarks/bench_neighbors.py 100000 --methods Graph hnswlib --parts build search

The parts: `build` makes each index on two threads, in a process of its own (peers' are kept in
TROUVAILLE_BENCH_DATA, with what they took; --fresh builds them again); `search` times every setting
of every method once a round, in another random order each, in one process for each number of
threads, and takes the fastest of its rounds; `plot` draws what was found last. A method that is not
installed, fails or is too large is a row that says so.

Bytes a point are the growth of resident memory by a build, points included, and those of the saved
file. "Cores" is CPU time over wall time: near the number of threads, or the method does not obey.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import THREAD_VARIABLES, record

K = 10
N_QUERIES = 2_000
BUILD_THREADS = 2
LONGEST = {"build": 1_800, "search": 3_600}  # seconds of a part's process
SPARE = 2 * 2**30  # bytes of memory that are left to the system
ENOUGH = 0.999  # recall@10 beyond which no larger budget is tried
TABLE = "Real SIFT, k = 10: queries a second at a recall, build and memory"
PARTS = ("build", "search", "plot")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--methods", nargs="*", help="all by default")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fresh", action="store_true", help="build peers again, too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child == "build":
        build(given.n, given.methods[0])
    elif given.child == "search":
        search(given.n, given.threads[0], given.methods, given.rounds)
    else:
        with _somewhere_to_keep():
            run(given)


def run(given: argparse.Namespace) -> None:
    import neighbor_methods
    import sift_data

    chosen = [m for m in neighbor_methods.METHODS if m.name in (given.methods or [m.name])]
    sift_data.exact(given.n, K)  # once, for all processes
    names = [method.name for method in chosen]
    if "build" in given.parts:
        for method in chosen:
            _build_apart(given.n, method, given.fresh)
    for threads in given.threads:
        if "search" in given.parts:
            rounds = ["--rounds", str(given.rounds)]
            _child("search", given.n, names, threads, rounds)
        if "plot" in given.parts:
            plot(given.n, threads)


# ---- build: each in a process of its own, so that memory is that of the index


def _build_apart(n: int, method: Any, fresh: bool) -> None:
    folder = _folder(n, method.name)
    ours = method.module.startswith("trouvaille")
    if (folder / "build.json").is_file() and not (fresh or ours):
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        method.available()
        if n > method.largest:
            raise ValueError(f"takes too long to build beyond {method.largest:,}")
        _child("build", n, [method.name], BUILD_THREADS, [])
    except (ImportError, AttributeError, ValueError) as error:
        _left_out(n, method.name, str(error))
    except subprocess.CalledProcessError as error:  # it has said why
        _left_out(n, method.name, f"failed to build: status {error.returncode}")
    except subprocess.TimeoutExpired:
        _left_out(n, method.name, f"did not build within {LONGEST['build']} s")


def build(n: int, name: str) -> None:
    """Build and save one index; keep what it took beside it."""
    import sift_data

    method, folder = _method(name), _folder(n, name)
    method.available()  # imported, before memory is measured
    data = sift_data.load(n)
    base = data.base
    before = _resident()
    if not method.bytes:
        base = base.astype("float32")
    wall, cpu = time.perf_counter(), time.process_time()
    method.build(base, BUILD_THREADS)
    values = {"build s": time.perf_counter() - wall, "build CPU s": time.process_time() - cpu}
    if not method.bytes:
        del base
    values["bytes a point"] = (_resident() - before) / n
    folder.mkdir(parents=True, exist_ok=True)
    if method.keeps:
        method.save(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        values["in the file"] = size / n
        method.load(folder)
    queries = data.queries[:10] if method.bytes else data.queries[:10].astype("float32")
    for threads in (1, BUILD_THREADS):  # or it is left out, before others run beside it
        method.search(queries, K, method.budgets[0], threads)
    values["load"] = os.getloadavg()[0]
    (folder / "build.json").write_text(json.dumps(values), encoding="utf-8")
    print(f"# {name}: {values}", flush=True)


def _resident() -> int:
    """Bytes of resident memory, less what was freed but not given back."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# ---- search: all in one process, every setting once a round


def search(n: int, threads: int, names: list[str], rounds: int) -> None:
    import numpy as np

    import sift_data

    data = sift_data.load(n)
    queries = np.ascontiguousarray(data.queries[:N_QUERIES])
    truth = sift_data.exact(n, K, N_QUERIES)
    floats = queries.astype(np.float32)
    curves: dict[str, list[dict[str, Any]]] = {}
    calls: list[tuple[dict[str, Any], Any]] = []
    for method in _opened(n, names, data.base):
        given = queries if method.bytes else floats
        points = curves[method.name] = []
        for budget in method.budgets:

            def call(m: Any = method, q: Any = given, b: Any = budget) -> Any:
                return m.search(q, K, b, threads)

            point = {"budget": budget, **recalls(call(), data, truth), "us": [], "cpu": []}
            points.append(point)
            calls.append((point, call))
            if point["recall@10"] >= ENOUGH:
                break
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for point, call in (calls[i] for i in rng.permutation(len(calls))):
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            point["us"].append((time.perf_counter() - wall) / N_QUERIES * 1e6)
            point["cpu"].append((time.process_time() - cpu) / N_QUERIES * 1e6)
    for name, points in curves.items():
        for point in points:
            us, cpu = point.pop("us"), point.pop("cpu")
            fastest = int(np.argmin(us))
            point.update({"a second": 1e6 / us[fastest], "cores": cpu[fastest] / us[fastest]})
        _record(n, threads, name, points)
    _curves_file(n, threads).write_text(json.dumps(curves), encoding="utf-8")


def recalls(ids: Any, data: Any, truth: Any) -> dict[str, float]:
    """Of the nearest, and of the ten nearest; equal distances count as found, a point once."""
    import numpy as np

    ids = np.asarray(ids).astype(np.int64)
    differences = data.base[ids].astype(np.int32)
    differences -= data.queries[: len(ids), None]
    distances = np.einsum("qkd,qkd->qk", differences, differences)
    ordered = np.sort(ids, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).sum()
    found = (ids >= 0) & (distances <= truth[:, -1:])
    first = (ids[:, 0] >= 0) & (distances[:, 0] <= truth[:, 0])
    return {
        "recall@1": float(first.mean()),
        "recall@10": float((found.sum() - twice) / found.size),
    }


def _opened(n: int, names: list[str], base: Any) -> Iterator[Any]:
    """The methods that were built and fit into memory, ready to be searched."""
    for name in names:
        method, folder = _method(name), _folder(n, name)
        if not (folder / "build.json").is_file():
            continue
        if _built(n, name)["bytes a point"] * n > _available() - SPARE:
            _left_out(n, name, "does not fit into memory beside the others")
        else:
            _open(method, folder, base)
            yield method


def _open(method: Any, folder: Path, base: Any) -> None:
    if method.keeps:
        method.load(folder)
    else:
        method.build(base if method.bytes else base.astype("float32"), BUILD_THREADS)


def _available() -> int:
    """Bytes of memory that the system could still give."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    raise OSError("no MemAvailable in /proc/meminfo")


def _record(n: int, threads: int, name: str, points: list[dict[str, Any]]) -> None:
    values: dict[str, Any] = {}
    for recall, targets in (("recall@10", (0.9, 0.95, 0.99)), ("recall@1", (0.9, 0.95))):
        for target in targets:
            speed = at_recall(points, recall, target)
            values[f"{recall} {target}"] = "not reached" if speed is None else round(speed)
    built = _built(n, name)
    values |= {key: value for key, value in built.items() if key != "load"}
    values["cores"] = max(point["cores"] for point in points)
    values["budget: recall@1, recall@10, a second"] = "; ".join(
        f"{p['budget']}: {p['recall@1']:.3f}, {p['recall@10']:.3f}, {p['a second']:,.0f}"
        for p in points
    )
    notes = f"built at a load of {built['load']:.1f}"
    record(f"{n:,}, {name}", values, table=TABLE, threads=threads, notes=notes)


def at_recall(points: list[dict[str, Any]], recall: str, target: float) -> float | None:
    """Queries a second at a recall, between two settings by the logarithm of their speeds."""
    for low, high in zip([None, *points], points, strict=False):
        if high[recall] < target:
            continue
        if low is None or high[recall] == low[recall]:
            return high["a second"]
        share = (target - low[recall]) / (high[recall] - low[recall])
        return low["a second"] ** (1 - share) * high["a second"] ** share
    return None


# ---- plot


def plot(n: int, threads: int) -> None:
    """Draw a figure for each recall; its axis is of what is missed, so that 0.99 has room."""
    import svg_plot

    curves = json.loads(_curves_file(n, threads).read_text(encoding="utf-8"))
    size = f"{n // 1_000_000}M" if n >= 1_000_000 else f"{n // 1000}k"
    names = {1 / (1 - r): f"{r:g}" for r in (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, ENOUGH)}
    for recall in ("recall@1", "recall@10"):
        lines = {
            name: [
                (1 / (1 - min(p[recall], ENOUGH)), p["a second"]) for p in points if p[recall] > 0.4
            ]
            for name, points in curves.items()
        }
        title = f"{n:,} real SIFT, {threads} thread{'s' * (threads > 1)}, k = {K}"
        drawn = {name: points for name, points in lines.items() if points}
        picture = svg_plot.log_log_curves(title, recall, "queries a second", drawn, names)
        file = Path(__file__).parent / f"neighbors_{size}_{recall.replace('@', '')}_{threads}.svg"
        file.write_text(picture, encoding="utf-8")


# ---- processes and files


def _child(part: str, n: int, names: list[str], threads: int, more: list[str]) -> None:
    """Run a part in a process whose peers read their number of threads from the environment."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    command = [sys.executable, __file__, str(n), "--child", part, *more]
    command += ["--threads", str(threads), "--methods", *names]
    subprocess.run(command, env=environment, check=True, timeout=LONGEST[part])


def _method(name: str) -> Any:
    import neighbor_methods

    return next(method for method in neighbor_methods.METHODS if method.name == name)


def _folder(n: int, name: str) -> Path:
    slug = "".join(letter if letter.isalnum() else "_" for letter in name)
    return Path(os.environ["TROUVAILLE_BENCH_DATA"]) / "neighbors" / str(n) / slug


def _built(n: int, name: str) -> dict[str, float]:
    return json.loads((_folder(n, name) / "build.json").read_text(encoding="utf-8"))


def _curves_file(n: int, threads: int) -> Path:
    return _folder(n, f"curves {threads}").with_suffix(".json")


def _left_out(n: int, name: str, reason: str) -> None:
    record(f"{n:,}, {name}", {"left out": reason}, table=TABLE)


class _somewhere_to_keep(tempfile.TemporaryDirectory):  # noqa: N801
    """TROUVAILLE_BENCH_DATA, or else a folder that is gone afterwards."""

    def __enter__(self) -> str:
        return os.environ.setdefault("TROUVAILLE_BENCH_DATA", self.name)


if __name__ == "__main__":
    main(sys.argv[1:])
