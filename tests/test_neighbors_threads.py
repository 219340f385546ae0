# SPDX-License-Identifier: Apache-2.0
"""Indexes of neighbours among threads, processes and signals."""

import itertools
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import interrupts
from neighbor_cases import CASES, assert_same, of_each
from trouvaille.neighbors import LSH, Exact, Graph, Hamming, KDForest, KMeansTree


@of_each
def test_searches_see_the_index_from_when_they_began(rng, case):
    X, Q = case.points(rng, 600), case.queries(rng, 20)
    index = case.new().build(X[:300])
    answers = [case.nearest(X[:n], Q, 3) for n in range(300, 601, 50)]
    for begin in range(0, 600, 50):  # then they go, the oldest first
        kept = np.arange(begin + 50, 600)
        answers.append(case.nearest(X[kept], Q, 3, kept))
    changed = threading.Event()

    def search():
        """The numbers of the answers, one by one."""
        seen = []
        while not changed.is_set() or len(seen) < 5:
            found = index.search(Q, 3, threads=1, **case.budget)
            same = [i for i, (_, ids) in enumerate(answers) if np.array_equal(found.ids, ids)]
            seen += same[:1] or [None]
        return seen

    with ThreadPoolExecutor(6) as executor:
        searchers = [executor.submit(search) for _ in range(6)]
        try:
            for begin in range(300, 600, 50):
                index.add(X[begin : begin + 50])
            for begin in range(0, 600, 50):
                index.remove(np.arange(begin, begin + 50))
        finally:
            changed.set()
    for searcher in searchers:
        seen = searcher.result()
        assert None not in seen
        assert seen == sorted(seen)  # none goes back


@of_each
@pytest.mark.parametrize("built", [False, True])
def test_changes_of_many_threads_are_all_made(rng, case, built):
    X = case.points(rng, 240)
    index = case.new().build(X[:0]) if built else case.new()

    def change(begin):
        ids = np.arange(begin, begin + 30)
        index.add(X[ids], ids, threads=1)
        index.remove(ids[::3], threads=1)

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(change, range(0, 240, 30)))
    kept = np.setdiff1d(np.arange(240), np.arange(0, 240, 3))
    assert len(index) == len(kept)
    Q = case.queries(rng, 9)
    distances, ids = index.search(Q, 160, **case.budget)
    np.testing.assert_array_equal(np.sort(ids), np.tile(kept, (9, 1)))
    np.testing.assert_array_equal(distances, case.nearest(X[kept], Q, 160)[0])


# ---- Ctrl-C


@pytest.mark.parametrize(
    "new",
    [partial(Graph), partial(KDForest, 64), partial(KMeansTree, 1000, levels=1), partial(LSH, 64)],
    ids=["graph", "kd forest", "k-means tree", "lsh"],
)
def test_ctrl_c_stops_a_build_and_changes_nothing(rng, new):
    X = rng.integers(0, 256, (200_000, 64), dtype=np.uint8)
    index = new().build(X[:50])
    before = index.search(X[:9])
    seconds = interrupts.seconds_to_stop(lambda: index.add(X[50:], threads=2), 0.1)  # of seconds
    assert seconds < interrupts.LIMIT
    assert len(index) == 50
    assert_same(index.search(X[:9]), before)
    index.add(X[50:90])  # nothing is locked
    index.remove(range(90))
    assert len(index) == 0


SEARCHED = {
    "exact": Exact,
    "exact of floats": partial(Exact, "l1"),
    "hamming linear": partial(Hamming, "linear"),
    "hamming multi-index": partial(Hamming, "multi-index"),
    "graph": partial(Graph, 8, build_width=8),
    "kd forest": partial(KDForest, 2),
    "k-means tree": KMeansTree,
    "lsh": LSH,
}


@pytest.fixture(params=list(SEARCHED))
def searched(request, rng):
    """An index, many queries, and a radius that few points are within."""
    dtype = np.float32 if request.param == "exact of floats" else np.uint8
    X = rng.integers(0, 256, (20_000, 32), dtype=np.uint8).astype(dtype)
    index = SEARCHED[request.param]().build(X)
    return index, X, int(np.median(index.search(X[:30], 20).distances[:, -1]))


def test_ctrl_c_stops_a_search(searched):
    index, Q, radius = searched
    before = index.search(Q[:9])

    def search():
        while True:
            index.search(Q, threads=2)

    def search_radius():
        while True:
            index.radius_search(Q, radius, threads=2)

    for call in (search, search_radius):
        assert interrupts.seconds_to_stop(call, 0.1, tries=2) < interrupts.LIMIT
    assert_same(index.search(Q[:9]), before)


# ---- Other threads and processes


@pytest.mark.parametrize("what", ["search", "radius_search", "build"])
def test_other_python_threads_run_meanwhile(searched, what):
    index, X, radius = searched
    call = {
        "search": lambda: index.search(X[:2000], threads=2),
        "radius_search": lambda: index.radius_search(X[:2000], radius, threads=2),
        "build": lambda: index.build(X, threads=2),
    }[what]
    assert any(ticks_per_second(call) >= 50 for _ in range(3))  # others may use the machine


def ticks_per_second(call):
    """How often another thread comes to its turn while something is done for a while."""
    ticks = itertools.count()
    stop = threading.Event()

    def heart():
        while not stop.wait(0.002):
            next(ticks)

    thread = threading.Thread(target=heart)
    begin = time.perf_counter()
    thread.start()
    while time.perf_counter() - begin < 0.2:
        call()
    seconds = time.perf_counter() - begin
    stop.set()
    thread.join()
    return next(ticks) / seconds


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_searches_and_changes_what_its_parent_does():
    # In a process of its own: forking this one, which has threads, is deprecated.
    code = """
        import os, signal, sys, threading, warnings
        import numpy as np
        from neighbor_cases import CASES

        warnings.simplefilter("ignore", DeprecationWarning)
        rng = np.random.default_rng(0)
        for name, case in CASES.items():
            X, Q = case.points(rng, 500), case.queries(rng, 300)
            index = case.new().build(X, threads=4)
            expected = case.nearest(X, Q, 5)
            stop = threading.Event()

            def search():
                while not stop.is_set():
                    index.search(Q, 5, threads=4, **case.budget)

            busy = threading.Thread(target=search)
            busy.start()  # while the process forks
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # a child that hangs is killed, and its status is not 0
                same = [np.array_equal(a, b) for a, b in zip(
                    index.search(Q, 5, threads=4, **case.budget), expected)]
                index.add(X, threads=4)
                index.remove(range(500), threads=4)
                moved = index.search(Q, 5, threads=4, **case.budget)
                os._exit(0 if all(same) and np.array_equal(moved.ids, expected[1] + 500) else 1)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            stop.set()
            busy.join()
            print(name, "failed" if status else "passed")
    """
    tests = str(Path(__file__).parent)
    paths = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == [f"{name} passed" for name in CASES], done.stderr
