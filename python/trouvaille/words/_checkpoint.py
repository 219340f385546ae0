# SPDX-License-Identifier: Apache-2.0
"""A clustering under way in a file, whole or absent, from which it goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _check
from .._array_file import ArrayFile
from ..errors import IndexCorruptError
from ._lloyd import Lloyd

_FORMAT = ArrayFile("kmeans", 1, "a checkpoint of k-means")


def save(
    path: str | os.PathLike[str], key: Mapping[str, Any], lloyd: Lloyd, done: int, changed: bool
) -> None:
    """Write what is known after some rounds; `key` tells which clustering it is.

    `changed` says whether the last round did anything.
    """
    arrays = {"centers": lloyd.centers, "labels": lloyd.labels, "distances": lloyd.distances}
    _FORMAT.write(path, {"of": dict(key), "done": done, "changed": changed}, arrays)


def resume(
    path: str | os.PathLike[str], key: Mapping[str, Any], lloyd: Lloyd, iterations: int
) -> tuple[int, bool]:
    """Take up what `save` wrote; return its `done` and `changed`, as if nothing without a file.

    Raises
    ------
    ValueError
        If the file is of another clustering, or of more rounds; the message says what differs.
    IndexCorruptError
        If it is not what was written.
    """
    if not os.path.lexists(path):
        return 0, True
    metadata, arrays = _FORMAT.read(path, mmap=False)
    try:
        done = _check.count(metadata["done"], "done")
        changed = _check.boolean(metadata["changed"], "changed")
        of = dict(metadata["of"])
    except (KeyError, TypeError, ValueError) as error:
        raise IndexCorruptError(path, "metadata", 0, f"they are wrong: {error}") from None
    for name, value in key.items():
        if of.get(name) != value:
            raise ValueError(
                f"{os.fspath(path)} is a checkpoint of another clustering: its {name} is "
                f"{of.get(name)!r}, now it is {value!r}. Remove it, or name another file"
            )
    if done > iterations:
        raise ValueError(
            f"{os.fspath(path)} is a checkpoint after {done} rounds, of which there are to be "
            f"{iterations}. Remove it, or name another file"
        )
    try:
        for name in ("centers", "labels", "distances"):
            mine, stored = getattr(lloyd, name), arrays[name]
            if (stored.dtype, stored.shape) != (mine.dtype, mine.shape):
                raise ValueError(
                    f"{name} must be {mine.dtype} {mine.shape}, got {stored.dtype} {stored.shape}"
                )
            setattr(lloyd, name, np.array(stored))
        if not 0 <= lloyd.labels.min() <= lloyd.labels.max() < len(lloyd.centers):
            raise ValueError("a label names no center")
    except (KeyError, ValueError) as error:
        raise IndexCorruptError(path, "arrays", 0, f"they do not fit: {error}") from None
    return done, changed
