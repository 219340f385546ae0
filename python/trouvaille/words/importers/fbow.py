# SPDX-License-Identifier: Apache-2.0
"""Vocabularies of fbow."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..vocabulary_tree import VocabularyTree
from ._reading import Reader, tree_nodes

_SIGNATURE = 55824124
_LEAF = 0x8000_0000
_KINDS: dict[int, np.dtype[Any]] = {
    0: np.dtype(np.uint8),
    5: np.dtype(np.float32),
}  # of OpenCV: CV_8UC1, CV_32FC1
_HEADER = np.dtype(
    {
        "names": ["name", "alignment", "n_blocks", "feature_size", "block_size", "features",
                  "children", "total_size", "kind", "size", "branching"],
        "formats": ["S50", "<u4", "<u4", "<u8", "<u8", "<u8", "<u8", "<u8", "<i4", "<i4", "<u4"],
        "offsets": [0, 52, 56, 64, 72, 80, 88, 96, 104, 108, 112],
        "itemsize": 120,
    }
)  # fmt: skip
_CHILD = np.dtype([("number", "<u4"), ("weight", "<f4")])


def from_fbow(path: str | os.PathLike[str]) -> VocabularyTree:
    """Read a vocabulary of fbow [1]_.

    Parameters
    ----------
    path : str or path
        What ``fbow::Vocabulary::saveToFile`` wrote on a 64-bit little-endian machine.

    Returns
    -------
    VocabularyTree
        Of bits (``metric_ == "hamming"``) if the descriptors are bytes, else of float32, and with
        its weights, which only leaves have. Words have fbow's numbers where these are 0 to
        ``num_words - 1``, each once (which fbow does not ensure), else the order of the file. Where
        two children are equally near, both take the first. `source_` has the descriptor's name.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not such a file, is cut short or goes on, or its blocks are no tree.

    Notes
    -----
    The layout: uint64 signature 55824124; 120 bytes of parameters; blocks of one size. The
    parameters are the descriptor's name (50 bytes); at 52 alignment and number of blocks (uint32);
    at 64 bytes of a padded descriptor, bytes of a block, where in a block descriptors and children
    begin, bytes of all blocks (uint64); at 104 OpenCV's type and bytes of a descriptor (int32),
    branching (uint32). A block is the children of one node, that of the root first: their number
    (uint16), whether all are leaves (uint16), a parent (uint32); descriptors; and for each child a
    uint32 and a float32, its weight. The uint32 is the block of its own children, or, with the
    highest bit, the number of its word.

    References
    ----------
    .. [1] R. Munoz-Salinas, fbow, https://github.com/rmsalinas/fbow (src/fbow.h).

    Examples
    --------
    >>> tree = from_fbow("orb_mur.fbow")  # doctest: +SKIP
    >>> tree.transform(descriptors)  # doctest: +SKIP
    """
    reader = Reader(path)
    if reader.number(np.uint64, "signature") != _SIGNATURE:
        raise reader.refusal("is not a vocabulary of fbow: its signature is another")
    header = reader.numbers(np.uint8, _HEADER.itemsize, "parameters").view(_HEADER)[0]
    fields = {name: int(header[name]) for name in _HEADER.names or () if name != "name"}
    _check_layout(reader, fields)
    blocks = reader.numbers(np.uint8, fields["total_size"], "blocks")
    reader.end()
    blocks = blocks.reshape(fields["n_blocks"], fields["block_size"])
    try:
        return _tree(blocks, fields, header["name"].decode("utf-8", "replace"))
    except ValueError as error:
        raise reader.refusal(str(error)) from None


def _check_layout(reader: Reader, fields: dict[str, int]) -> None:
    kind = _KINDS.get(fields["kind"])
    if kind is None:
        raise reader.refusal(f"descriptors must be bytes or float32, got type {fields['kind']}")
    size, branching = fields["size"], fields["branching"]
    if not (size > 0 and size % kind.itemsize == 0 and branching > 0 and fields["n_blocks"] > 0):
        raise reader.refusal("descriptors, branching or blocks are of no size")
    if not (
        size <= fields["feature_size"]
        and fields["features"] >= 8
        and fields["features"] + branching * fields["feature_size"] == fields["children"]
        and fields["children"] + branching * _CHILD.itemsize <= fields["block_size"]
        and fields["n_blocks"] * fields["block_size"] == fields["total_size"]
    ):
        raise reader.refusal("the parts of its blocks do not fit together")


def _tree(blocks: NDArray[np.uint8], fields: dict[str, int], name: str) -> VocabularyTree:
    n, branching = len(blocks), fields["branching"]
    counts = np.ascontiguousarray(blocks[:, :2]).view("<u2")[:, 0].astype(np.int64)
    if counts.max() > branching or counts.min() < 1:
        raise ValueError(f"a block must have from 1 to {branching} nodes")
    there = np.arange(branching) < counts[:, None]
    end = fields["children"] + branching * _CHILD.itemsize
    info = np.ascontiguousarray(blocks[:, fields["children"] : end]).view(_CHILD)[there]
    features = blocks[:, fields["features"] : fields["children"]]
    features = features.reshape(n, branching, fields["feature_size"])[there][:, : fields["size"]]
    is_leaf = info["number"] >= _LEAF
    number = (info["number"] & (_LEAF - 1)).astype(np.int64)
    parents = np.repeat(_parents_of_blocks(number, is_leaf, n), counts)
    words = np.full(len(info), -1, np.int64)
    words[is_leaf] = _numbered(number[is_leaf])
    kind = _KINDS[fields["kind"]]
    centers = np.ascontiguousarray(features).view(kind.newbyteorder("<")).astype(kind)
    weights = np.where(is_leaf, info["weight"], 0).astype(np.float64)
    if not (np.isfinite(centers).all() and np.isfinite(weights).all()):
        raise ValueError("descriptors and weights must be finite")
    nodes, order = tree_nodes(parents, centers, words)
    source: dict[str, Any] = {"format": "fbow", "descriptor": name}
    return VocabularyTree(max(branching, 2), nodes.depth)._set(
        nodes,
        weights=weights[order],
        metric="hamming" if kind == np.uint8 else "l2",
        source=source,
    )


def _parents_of_blocks(
    number: NDArray[np.int64], is_leaf: NDArray[np.bool_], n: int
) -> NDArray[np.int64]:
    """Return the node that each block has the children of; -1 is the root."""
    inner = np.flatnonzero(~is_leaf)
    below = number[inner]
    if not np.array_equal(np.sort(below), np.arange(1, n)):
        raise ValueError("every block but the first must be that of one node")
    parents = np.full(n, -1, np.int64)
    parents[below] = inner
    return parents


def _numbered(given: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the given numbers of words if they are some, else the order of the words."""
    own = np.arange(len(given))
    return given if np.array_equal(np.sort(given), own) else own
