# SPDX-License-Identifier: Apache-2.0
"""What a clustering will take, by the time of a part of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ._lloyd import Lloyd
from ._points import BLOCK, Points
from ._sampling import SEEDS_FROM

_TIMED = 8_192  # points that are assigned, and at most as many centres that a graph is built of
_SCRATCH = 64 << 20  # bytes
_SEEDS_TIMED = 512


class Cost(NamedTuple):
    """What a clustering will take, estimated.

    Attributes
    ----------
    seconds : float
    memory : int
        Bytes beyond the points.
    """

    seconds: float
    memory: int


def estimated(points: Points, given: dict[str, Any], done: int = 0) -> Cost:
    """Time a round of some points and extrapolate to those that are left after `done` rounds."""
    n, words = len(points), given["num_words"]
    if n == 0:
        raise ValueError("X must hold at least one point")
    updates = given["iterations"] - done
    rounds = updates + (done == 0)  # of assignment
    approximate = given["algorithm"] == "approximate"
    tried = min(words, n, _TIMED if approximate else words)
    centers = points.at(np.linspace(0, n - 1, tried).astype(np.int64))
    sample = points.some(np.linspace(0, n - 1, min(n, _TIMED)).astype(np.int64))
    lloyd = Lloyd(
        sample,
        np.ascontiguousarray(centers),
        width=given["width"] if approximate else None,
        random_state=given["random_state"],
        threads=given["threads"],
    )
    built = building = _seconds(lloyd.build_graph) if approximate else 0.0
    first = max(_seconds(lloyd.assign) - built, 0.0)
    later = first
    if approximate:  # a point is soon where it was before
        later = max(_seconds(lloyd.assign) - built, 0.0)
        deeper = math.log(words + 1) / math.log(tried + 1)
        building *= words / tried * deeper
    else:
        deeper = words / tried
    updating = _seconds(lloyd.update)
    last = 0.0
    widened = given["dtype"] == "float32" and points.dtype == np.uint8
    if widened:  # means that are not rounded take one more round, at the end
        last = _seconds(lambda: lloyd.update(np.dtype(np.float32)))
        last += max(_seconds(lloyd.assign) - built, 0.0) * deeper
    if done > 0:
        first = later
    assigning = (first + (rounds - 1) * later) * deeper if rounds > 0 else 0.0
    seconds = (assigning + updates * updating + last) * n / len(sample)
    seconds += (rounds + widened) * building
    if done == 0:
        seconds += _seeding(points, given)
    return Cost(seconds, _memory(points, given, widened))


def _memory(points: Points, given: dict[str, Any], widened: bool) -> int:
    n, words, dims, size = len(points), given["num_words"], points.dims, points.dtype.itemsize
    memory = 28 * n + words * dims * (8 + 2 * size) + _SCRATCH + points.block_memory
    if widened:
        memory += 4 * dims * (words + min(n, BLOCK))
    if given["algorithm"] == "approximate":
        memory += words * (dims * size + 2 * 4 * Lloyd.DEGREE)
    return int(memory)


def _seeding(points: Points, given: dict[str, Any]) -> float:
    """Return the seconds that k-means++ will take: they grow with the square of the words."""
    if given["init"] == "random":
        return 0.0
    tried = min(given["num_words"], _SEEDS_TIMED)
    n = min(len(points), SEEDS_FROM * tried)
    sample = np.ascontiguousarray(points.at(np.linspace(0, len(points) - 1, n).astype(np.int64)))
    seconds = _seconds(lambda: _core.spread_rows(sample, tried, 0, given["threads"]))
    all_points = min(len(points), SEEDS_FROM * given["num_words"])
    return float(seconds * given["num_words"] / tried * all_points / n)


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
