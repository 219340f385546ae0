# SPDX-License-Identifier: Apache-2.0
"""Reading of files that others wrote, and that may hold anything."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .._tree_nodes import Nodes, of_unordered

_LINES = 1 << 16  # that are converted at a time


class Reader:
    """Little-endian numbers of a file, one behind the other.

    Whatever a count in the file says, nothing is allocated for more than the file has left.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._content = self.path.read_bytes()
        self.position = 0

    def refusal(self, reason: str) -> ValueError:
        """Return an error that names the file."""
        return ValueError(f"{self.path}: {reason}")

    def number(self, dtype: DTypeLike, what: str) -> int:
        """Return the next whole number."""
        return int(self.numbers(dtype, 1, what)[0])

    def numbers(self, dtype: DTypeLike, count: int, what: str) -> NDArray[Any]:
        """Return the next `count` numbers, as a view of the file's bytes."""
        kind = np.dtype(dtype).newbyteorder("<")
        if count < 0:
            raise self.refusal(f"{what}: there are not {count} at offset {self.position}")
        self.require(count * kind.itemsize, what)
        found = np.frombuffer(self._content, kind, count, self.position)
        self.position += count * kind.itemsize
        return found

    def require(self, size: int, what: str) -> None:
        """Refuse a file that has not so many bytes left: before what they need is allocated."""
        left = len(self._content) - self.position
        if size > left:
            raise self.refusal(
                f"{size} bytes of {what} do not fit at offset {self.position}, "
                f"where {left} are left"
            )

    def floats(self, count: int, what: str) -> NDArray[np.float32]:
        """Return the next `count` numbers of float32, which must be finite."""
        found = self.numbers(np.float32, count, what)
        if not np.isfinite(found).all():
            raise self.refusal(f"{what} must be finite, got NaN or infinity")
        return found.astype(np.float32)

    def expect(self, dtype: DTypeLike, expected: int, what: str) -> None:
        """Read a number that must be the one expected."""
        found = self.number(dtype, what)
        if found != expected:
            raise self.refusal(f"{what} must be {expected}, got {found}")

    def end(self) -> None:
        """Refuse what is left of the file."""
        left = len(self._content) - self.position
        if left:
            raise self.refusal(f"{left} bytes follow the vocabulary, at offset {self.position}")


def table(lines: Iterable[str]) -> NDArray[np.float64]:
    """Return the numbers of lines of text, as many on each; empty lines are passed over.

    Raises
    ------
    ValueError
        If a line has another count than those before, or something that is no finite number.
    """
    parts: list[NDArray[np.float64]] = []
    lines = iter(lines)
    while block := list(islice(lines, _LINES)):
        if all(line.isspace() for line in block):
            continue
        part = np.loadtxt(block, comments=None, ndmin=2)
        if parts and part.shape[1] != parts[0].shape[1]:
            raise ValueError(
                f"all lines must have {parts[0].shape[1]} numbers, one has {part.shape[1]}"
            )
        if not np.isfinite(part).all():
            raise ValueError("all numbers must be finite")
        parts.append(part)
    return np.concatenate(parts) if parts else np.empty((0, 0))


def singles(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the numbers of descriptors, rounded to float32."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ValueError("the numbers of a descriptor must fit float32")
    return rounded


def tree_nodes(
    parents: NDArray[np.int64], centers: NDArray[Any], words: NDArray[np.int64]
) -> tuple[Nodes, NDArray[np.int64]]:
    """Return nodes in the order of a `VocabularyTree`, and of each its number here.

    Parameters
    ----------
    parents : ndarray of int64, shape (n_nodes,)
        -1 where it is the root.
    centers : ndarray, shape (n_nodes, n_dims)
    words : ndarray of int64, shape (n_nodes,)
        Which word a node is, -1 where it is none.

    Raises
    ------
    ValueError
        If this is no tree, or the words are not its leaves.
    """
    order, children = of_unordered(parents)
    words = words[order]
    leaves = np.flatnonzero(words >= 0)
    leaves = leaves[np.argsort(words[leaves], kind="stable")].astype(np.int64)
    if not np.array_equal(words[leaves], np.arange(len(leaves))):
        raise ValueError("the words must be numbered from 0 on, each once")
    return Nodes.checked(centers[order], children, leaves), order
