# SPDX-License-Identifier: Apache-2.0
"""Times peers and ours interleaved in one process, and keeps each measurement as one JSON row.

    from harness import compare, record, single_thread

    single_thread()  # before NumPy and the peers are imported
    ...
    compare("assign 1,024 words", {"ours": f, "faiss": g}, items=len(X), unit="us/query")

A row is printed, and appended to `<folder>/<bench>.jsonl` where the environment variable
TROUVAILLE_BENCH_ROWS names a folder, as `make bench` does.
"""

from __future__ import annotations

import datetime
import functools
import gc
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Row = dict[str, Any]

UNITS = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}  # the part of a unit before the slash
# These make OpenBLAS run kernels of an older CPU: a ratio against such a peer is worthless.
SLOWING_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
SHORTEST_TIMING = 0.01  # seconds: a faster call is repeated until one timing takes this long

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
_PEERS = (  # modules whose version belongs in the row
    "numpy",
    "scipy",
    "sklearn",
    "faiss",
    "cv2",
    "poselib",
    "pydegensac",
    "pycolmap",
    "numba",
    "svs",
    "hnswlib",
    "scann",
    "usearch",
    "pyvsag",
    "sparse_dot_topn",
    "bm25s",
    "torch",
)


def single_thread() -> None:
    """Let every peer use one thread; see `peer_threads`."""
    peer_threads(1)


def peer_threads(threads: int) -> None:
    """Say how many threads peers use. Call it before NumPy, FAISS or OpenCV is imported."""
    _refuse_slowed_peers()
    late = [name for name in _PEERS if name in sys.modules]
    if late:
        raise RuntimeError(
            f"the number of threads must be set before the import of {', '.join(late)}: "
            "they have read the number of threads already"
        )
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))


def _refuse_slowed_peers() -> None:
    found = [name for name in SLOWING_VARIABLES if os.environ.get(name)]
    if found:
        raise RuntimeError(f"{' and '.join(found)} would slow NumPy: unset before a benchmark")


def compare(
    name: str,
    contenders: Mapping[str, Callable[[], T]],
    *,
    ours: str = "ours",
    items: int = 1,
    unit: str = "us/query",
    quality: Callable[[str, T], Mapping[str, float]] | None = None,
    repeats: int = 7,
    warmup: int = 1,
    max_seconds: float = 60.0,
    threads: int | None = None,
    notes: str = "",
    bench: str | None = None,
) -> Row:
    """Time `contenders` in turn, round after round, and keep one row.

    Parameters
    ----------
    name : str
        What is measured, sizes included. The report shows the newest row of a name.
    contenders : mapping of str to callable
        Each does the same work. They run once a round, each round beginning with another one.
    ours : str
        The contender that the others are compared with.
    items : int
        Items (queries, descriptors) in one call: times are per item.
    unit : str
        "ns", "us", "ms" or "s", a slash, and what an item is.
    quality : callable, optional
        ``quality(contender, result of its first call)`` returns named numbers.
    repeats, warmup : int
        Rounds that count, and calls of each contender before them.
    max_seconds : float
        No round begins after this many seconds, except the first.
    threads : int, optional
        What the row says; by default 1 after `single_thread`, else the cores.
    notes : str
        Whatever a reader must know to trust the row.
    bench : str, optional
        The file of rows; by default the name of the script, without "bench_".
    """
    _refuse_slowed_peers()
    if ours not in contenders:
        raise ValueError(f"ours is {ours!r}, which is none of {sorted(contenders)}")
    scale = _scale(unit) / items
    start = time.perf_counter()
    entries: dict[str, Row] = {}
    numbers: dict[str, int] = {}
    for contender, call in contenders.items():
        entries[contender], numbers[contender] = _first_calls(contender, call, quality, warmup)
    walls: dict[str, list[float]] = {contender: [] for contender in contenders}
    cpus: dict[str, list[float]] = {contender: [] for contender in contenders}
    for order in _orders(list(contenders), repeats):
        if walls[ours] and time.perf_counter() - start > max_seconds:
            break
        for contender in order:
            wall, cpu = _time(contenders[contender], numbers[contender])
            walls[contender].append(wall * scale)
            cpus[contender].append(cpu * scale)
    for contender, entry in entries.items():
        entry["median"] = statistics.median(walls[contender])
        entry["minimum"] = min(walls[contender])
        entry["cpu"] = statistics.median(cpus[contender])
    row = {
        "name": name,
        "unit": unit,
        "items": items,
        "rounds": len(walls[ours]),
        "ours": ours,
        "contenders": entries,
        "ratios": {peer: ratio(walls[peer], walls[ours]) for peer in contenders if peer != ours},
    }
    return _keep(row, bench, threads, notes)


def record(
    name: str,
    values: Mapping[str, float | int | str],
    *,
    table: str,
    threads: int | None = None,
    notes: str = "",
    bench: str | None = None,
) -> Row:
    """Keep a row without a peer: `values` are its columns in the report's table `table`."""
    _refuse_slowed_peers()
    return _keep({"name": name, "table": table, "values": dict(values)}, bench, threads, notes)


def ratio(peer: list[float], ours: list[float]) -> float:
    """How many times as fast ours is: the median, over the rounds, of peer / ours.

    The two times of one round are neighbours, so that a busy machine slows both.
    """
    return statistics.median(p / o for p, o in zip(peer, ours, strict=True))


def _scale(unit: str) -> float:
    prefix = unit.split("/")[0]
    if prefix not in UNITS:
        raise ValueError(f"unit must begin with one of {', '.join(UNITS)}, got {unit!r}")
    return UNITS[prefix]


def _orders(contenders: list[str], rounds: int) -> list[list[str]]:
    shifts = (i % len(contenders) for i in range(rounds))
    return [contenders[s:] + contenders[:s] for s in shifts]


def _first_calls(
    contender: str,
    call: Callable[[], T],
    quality: Callable[[str, T], Mapping[str, float]] | None,
    warmup: int,
) -> tuple[Row, int]:
    """Call for memory and quality, then to warm up; say how many calls make one timing."""
    gc.collect()
    before = reset_peak_memory()
    result = call()
    entry: Row = {"memory_mib": peak_memory_since(before)}
    if quality is not None:
        entry["quality"] = dict(quality(contender, result))
    del result
    for _ in range(warmup):
        call()
    return entry, _calls_in_one_timing(call)


def _calls_in_one_timing(call: Callable[[], Any]) -> int:
    number = 1
    while (seconds := number * _time(call, number)[0]) < SHORTEST_TIMING:
        number = min(10 * number, math.ceil(number * 1.2 * SHORTEST_TIMING / max(seconds, 1e-9)))
    return number


def _time(call: Callable[[], Any], number: int) -> tuple[float, float]:
    """Wall and CPU seconds of one of `number` calls, results discarded as they come."""
    gc.collect()
    gc.disable()
    try:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(number):
            call()
        return (time.perf_counter() - wall) / number, (time.process_time() - cpu) / number
    finally:
        gc.enable()


def reset_peak_memory() -> float | None:
    """The resident memory now, in MiB, and let its peak be counted anew; None where unknown."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status_mib("VmRSS")
    except OSError:
        return None


def peak_memory_since(before: float | None) -> float | None:
    return None if before is None else round(_status_mib("VmHWM") - before, 1)


def _status_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"no {field} in /proc/self/status")


def _keep(row: Row, bench: str | None, threads: int | None, notes: str) -> Row:
    row = {**row, "notes": notes, **_environment(threads)}
    line = json.dumps(row, allow_nan=False)
    print(line, flush=True)
    folder = os.environ.get("TROUVAILLE_BENCH_ROWS")
    if folder:
        stem = bench or Path(sys.argv[0]).stem.removeprefix("bench_")
        Path(folder).mkdir(exist_ok=True)
        with (Path(folder) / f"{stem}.jsonl").open("a", encoding="utf-8") as rows:
            rows.write(line + "\n")
    return row


def _environment(threads: int | None) -> Row:
    from trouvaille import _core

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    alone = os.environ.get("OMP_NUM_THREADS") == "1"
    return {
        "cpu": _cpu_model(),
        "cores": cores,
        "isa": _core.active_isa(),
        "threads": threads or (1 if alone else cores),
        "max_rss_mib": _max_rss_mib(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{d: metadata.version(d) for d in map(_distribution, _PEERS) if d},
        },
    }


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _distribution(module: str) -> str | None:
    """What an imported module was installed as: cv2 is opencv-python, or its headless twin."""
    return _distributions()[module][0] if module in sys.modules else None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _max_rss_mib() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _commit() -> str:
    """The commit, with "-dirty" where a tracked file outside the rows and the report differs."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        written = (":!benchmarks/rows", ":!benchmarks/RESULTS.md")
        dirty = git("status", "--porcelain", "--untracked-files=no", "--", ".", *written)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("-dirty" if dirty else "")
