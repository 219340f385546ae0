# SPDX-License-Identifier: Apache-2.0
"""The nodes of a vocabulary tree: plain arrays, however they came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .kmeans import Progress

MAX_DEPTH = 64


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes by level, those of a level in the order of their parents; the root is none of them.

    The children of the root are nodes ``children[0]`` to ``children[1] - 1``, those of node i nodes
    ``children[i + 1]`` to ``children[i + 2] - 1``.
    """

    centers: NDArray[Any]
    children: NDArray[np.uint32]
    leaves: NDArray[np.int64]
    """Of each word the node."""
    depth: int

    @classmethod
    def checked(
        cls, centers: NDArray[Any], children: NDArray[np.uint32], leaves: NDArray[np.int64]
    ) -> Nodes:
        """Return a tree that is safe to descend, or raise ValueError."""
        depth = _core.check_vocabulary_tree(children, len(centers))
        if depth > MAX_DEPTH:
            raise ValueError(f"a vocabulary tree has at most {MAX_DEPTH} levels, got {depth}")
        if not np.array_equal(np.sort(leaves), childless(children)):
            raise ValueError("the words of a vocabulary tree must be its leaves, each once")
        return cls(centers, children, leaves, depth)

    def words_of_nodes(self) -> NDArray[np.int64]:
        """Return the word that each node is, -1 where it is none."""
        words = np.full(len(self.centers), -1, np.int64)
        words[self.leaves] = np.arange(len(self.leaves))
        return words


def childless(children: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the nodes that are leaves, in order."""
    return np.flatnonzero(children[2:] == children[1:-1]).astype(np.int64)


def children_of(counts: NDArray[np.integer[Any]], nodes: int) -> NDArray[np.uint32]:
    """Return `children`, of the number of children of the root and of the first nodes.

    Nodes beyond those that are counted have none.
    """
    children = np.full(nodes + 2, nodes, np.uint32)
    children[0] = 0
    np.cumsum(counts, dtype=np.uint32, out=children[1 : len(counts) + 1])
    return children


def of_unordered(parents: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return an order of nodes that is as `Nodes` wants it, and their `children` in that order.

    `parents` are node numbers, -1 for the root. The children of a node keep their order.

    Raises
    ------
    ValueError
        If a parent is no node, some nodes are not below the root, or levels are too many.
    """
    n = len(parents)
    if n == 0:
        raise ValueError("a vocabulary tree must have nodes")
    if parents.min() < -1 or parents.max() >= n:
        raise ValueError("the parent of a node must be a node or the root")
    by_parent = np.argsort(parents, kind="stable")
    starts = np.searchsorted(
        parents[by_parent], np.arange(-1, n + 1)
    )  # of the root's children first
    level, order, counts = np.array([-1]), [], []
    for _ in range(MAX_DEPTH + 1):
        first, count = starts[level + 1], starts[level + 2] - starts[level + 1]
        counts.append(count)
        # The children of each node of the level: first, first + 1, ..., first + count - 1.
        before = np.cumsum(count) - count
        places = np.arange(count.sum()) + np.repeat(first - before, count)
        level = by_parent[places]
        if len(level) == 0:
            break
        order.append(level)
    else:
        raise ValueError(f"a vocabulary tree has at most {MAX_DEPTH} levels, and no loops")
    ordered = np.concatenate([np.empty(0, np.int64), *order])
    if len(ordered) != n:
        raise ValueError(f"every node must be below the root, {n - len(ordered)} are not")
    return ordered, children_of(np.concatenate(counts), n)


def trained(
    X: NDArray[Any],
    branching: int,
    depth: int,
    iterations: int,
    seed: int,
    threads: int,
    progress: Progress | None,
) -> tuple[Nodes, float]:
    """Return nodes that are trained on one or more points, and the error of these."""
    rows, starts = np.arange(len(X), dtype=np.uint32), np.array([0, len(X)])
    centers, counts, errors = [], [], []
    first = 0  # for the kernel, the root is number 0 and node i number i + 1
    for done in range(1, depth + 1):
        part, children_of_each, rows, starts, errors_of_each = _core.split_nodes(
            X, rows, starts, branching, iterations, seed, first, threads
        )
        first += len(children_of_each)
        centers.append(part)
        counts.append(children_of_each)
        errors.append(errors_of_each)
        if progress is not None:
            progress(done, depth)
        if len(part) == 0:
            break
    every = np.concatenate(centers)
    children = children_of(np.concatenate(counts), len(every))
    leaves = childless(children)
    levels = sum(len(part) > 0 for part in centers)
    return Nodes(every, children, leaves, levels), float(np.concatenate(errors)[leaves].sum())
