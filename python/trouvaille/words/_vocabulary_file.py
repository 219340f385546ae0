# SPDX-License-Identifier: Apache-2.0
"""The file of a vocabulary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .._array_file import ArrayFile
from ..errors import IndexCorruptError
from ..neighbors.graph import Graph

_FORMAT = ArrayFile("vocabulary", 2, "a vocabulary")
_FIRST_FORMAT = b"TVWORDS\n"


def write(
    path: str | os.PathLike[str], words: NDArray[Any], fingerprint: str, graph: Graph | None
) -> None:
    """Write words, and their graph if there is one."""
    arrays: dict[str, ArrayLike] = {"words": words}
    metadata: dict[str, Any] = {"fingerprint": fingerprint}
    if graph is not None:
        metadata["graph"], edges = graph.without_points()
        arrays |= edges
    _FORMAT.write(path, metadata, arrays)


def read(path: str | os.PathLike[str], mmap: bool) -> tuple[NDArray[Any], str, Graph | None]:
    """Return words, fingerprint and graph."""
    with Path(path).open("rb") as file:
        if file.read(len(_FIRST_FORMAT)) == _FIRST_FORMAT:
            raise ValueError(f"{path} is a vocabulary of format 1, no longer read: learn it again")
    metadata, arrays = _FORMAT.read(path, mmap)
    try:
        fingerprint, words = metadata["fingerprint"], arrays.pop("words")
        if not isinstance(fingerprint, str) or not fingerprint:
            raise ValueError(f"fingerprint must be text, got {fingerprint!r}")
        if words.dtype not in (np.uint8, np.float32):
            raise ValueError(f"words must be uint8 or float32, got {words.dtype}")
        words = _check.descriptors(words, "words")
        if words.size == 0:
            raise ValueError("there must be a word")
        graph = None
        if "graph" in metadata:
            graph = Graph.with_points(words, metadata["graph"], arrays)
        return words, fingerprint, graph
    except (KeyError, TypeError, ValueError) as error:
        raise IndexCorruptError(path, "contents", 0, f"they do not fit: {error}") from None
