# SPDX-License-Identifier: Apache-2.0
"""Items worked on by threads, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(
    function: Callable[[T], R], items: Iterable[T], workers: int, name: str
) -> Iterator[R]:
    """Yield the function of each item, in order, some items ahead of who asks; name the threads."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, name) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 2 * workers + 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # an interrupted caller does not wait for photos not yet begun
            for future in waiting:
                future.cancel()
