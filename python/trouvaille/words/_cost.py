# SPDX-License-Identifier: Apache-2.0
"""What a clustering will take, by the time of a part of it."""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import numpy as np

from ._lloyd import Lloyd
from ._points import Points

_TIMED = 8_192  # points that are assigned, and at most as many centres that a graph is built of
_SCRATCH = 64 << 20  # bytes


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


def estimated(points: Points, given: dict[str, Any]) -> Cost:
    """Time a round of some points and extrapolate."""
    n, words, dims = len(points), given["num_words"], points.dims
    if n == 0:
        raise ValueError("X must hold at least one point")
    rounds = given["iterations"] + 1
    approximate = given["algorithm"] == "approximate"
    tried = min(words, n, _TIMED if approximate else words)
    centers = points.at(np.linspace(0, n - 1, tried).astype(np.int64))
    sample = Points(points.at(np.linspace(0, n - 1, min(n, _TIMED)).astype(np.int64)))
    lloyd = Lloyd(
        sample,
        np.ascontiguousarray(centers),
        width=given["width"] if approximate else None,
        random_state=given["random_state"],
        threads=given["threads"],
    )
    building = 0.0
    if approximate:
        begin = time.perf_counter()
        lloyd.build_graph()
        grows = words / tried * math.log(words + 1) / math.log(tried + 1)
        building = (time.perf_counter() - begin) * grows
    begin = time.perf_counter()
    lloyd.assign()
    lloyd.update()
    assigning = (time.perf_counter() - begin) * n / max(len(sample), 1)
    if approximate:
        assigning *= math.log(words + 1) / math.log(tried + 1)
    else:
        assigning *= words / max(tried, 1)
    size = points.dtype.itemsize
    memory = 12 * n + words * dims * (8 + 2 * size) + _SCRATCH
    if approximate:
        memory += words * (dims * size + 2 * 4 * Lloyd.DEGREE)
    return Cost(rounds * (building + assigning), memory)
