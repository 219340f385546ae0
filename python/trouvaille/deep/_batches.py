# SPDX-License-Identifier: Apache-2.0
"""Photos in the order given → batches of photos of one shape, soon and with little waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def of_equal_shape(
    photos: Iterable[tuple[int, Pixels]], batch_size: Callable[[], int], look_ahead: int
) -> Iterator[list[tuple[int, Pixels]]]:
    """Yield batches of photos of one shape, each with the number it came with.

    A batch is full, or has the photo that has waited longest when `look_ahead` batches' worth of
    photos wait; so memory is bounded, and no photo waits for ever for one of its shape.

    Parameters
    ----------
    photos : iterable of (int, ndarray)
    batch_size : callable
        Asked before each batch, since it may be halved on the way.
    look_ahead : int
        Batches' worth of photos that may wait.
    """
    waiting: dict[tuple[int, ...], list[tuple[int, Pixels]]] = {}  # the oldest first
    count = 0
    for number, pixels in photos:
        bucket = waiting.setdefault(pixels.shape, [])
        bucket.append((number, pixels))
        count += 1
        if len(bucket) >= batch_size():
            shape = pixels.shape
        elif count >= look_ahead * batch_size():
            shape = min(waiting, key=lambda shape: waiting[shape][0][0])
        else:
            continue
        batch = waiting.pop(shape)
        count -= len(batch)
        yield batch
    yield from sorted(waiting.values(), key=lambda bucket: bucket[0][0])
