# SPDX-License-Identifier: Apache-2.0
"""Vocabularies of DBoW2 and DBoW3."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import _check
from ..vocabulary_tree import VocabularyTree
from . import _dbow_yaml
from ._reading import singles, table, tree_nodes

SCORINGS = ("L1_NORM", "L2_NORM", "CHI_SQUARE", "KL", "BHATTACHARYYA", "DOT_PRODUCT")
WEIGHTINGS = ("TF_IDF", "TF", "IDF", "BINARY")
_BINARY = (88877711233).to_bytes(8, "little")
_GZIP = b"\x1f\x8b"
_MOST_EXPANSION = 20  # text of digits is compressed to a third or a tenth
_PIECE = 1 << 13  # compressed bytes that are expanded at a time: of another member, read again
_MOST_LEVELS = 64
_LONGEST_HEADER = 256


class Parsed(NamedTuple):
    """What a file says, nodes in its order."""

    header: tuple[int, int, int, int]  # branching, levels, scoring, weighting
    parents: NDArray[np.int64]  # -1 for the root
    words: NDArray[np.int64]  # -1 for a node that is none
    values: NDArray[np.float32]
    weights: NDArray[np.float64]


def from_dbow(path: str | os.PathLike[str], *, bits: bool | None = None) -> VocabularyTree:
    """Read a vocabulary of DBoW2 or DBoW3 [1]_ [2]_: text, as ORB-SLAM's, or YAML.

    Parameters
    ----------
    path : str or path
        Compressed by gzip or not; what it is, its beginning says.
    bits : bool, optional
        Whether descriptors are bits, packed in bytes, as of ORB and BRIEF. By default they are if
        all are whole numbers from 0 to 255.

    Returns
    -------
    VocabularyTree
        Of bits (``metric_ == "hamming"``), or of float32. Words have the numbers, and nodes the
        weights that they have in the file: DBoW's are 0 but for leaves, and are those of its
        ``weighting``, which `source_` names beside the ``scoring``. `transform` returns the words
        that DBoW does: where two children are equally near, both take the first. So are rows of
        ``bags(photos, levels=False)`` its vectors, before it normalises these, unless the weighting
        is IDF or BINARY: then DBoW counts a word once.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no such vocabulary, or is damaged or cut short where that can be seen (a file that
        ends between two lines, with no node lacking its children, looks whole); or if it is
        DBoW3's binary format, which must be saved as YAML first.

    Notes
    -----
    The text: a line of branching, levels, scoring and weighting, all whole numbers; then a line a
    node, numbered from 1 on: the node that is its parent (0 is the root), 1 if it is a leaf or else
    0, the numbers of its descriptor, its weight. Words are the leaves, in their order.

    The YAML is OpenCV's, of a mapping ``vocabulary`` with the keys ``k``, ``L``, ``scoringType``,
    ``weightingType``; ``nodes``, a list of ``{ nodeId, parentId, weight, descriptor }``; and
    ``words``, a list of ``{ wordId, nodeId }``. A descriptor is a string of its numbers, in DBoW3
    after ``dbw3``, OpenCV's type (0: bytes, 5: float32) and how many there are. Only this part of
    YAML is understood.

    References
    ----------
    .. [1] D. Galvez-Lopez, J. D. Tardos, "Bags of binary words for fast place recognition in image
       sequences", IEEE Transactions on Robotics 28(5), 2012; https://github.com/dorian3d/DBoW2
       (include/DBoW2/TemplatedVocabulary.h).
    .. [2] R. Munoz-Salinas, DBoW3, https://github.com/rmsalinas/DBow3 (src/Vocabulary.cpp).

    Examples
    --------
    >>> tree = from_dbow("ORBvoc.txt")  # doctest: +SKIP
    >>> tree.transform(descriptors)  # (n, 32) uint8 -> the words of ORB-SLAM  # doctest: +SKIP
    >>> rows = tree.bags(photos, levels=False)  # doctest: +SKIP
    """
    path = Path(path)
    if bits is not None:
        bits = _check.boolean(bits, "bits")
    content = path.read_bytes()
    try:
        if content.startswith(_GZIP):
            content = _decompressed(content)
        if content.startswith(_BINARY):
            raise ValueError(
                "is DBoW3's binary format, which is not read. Save it as YAML with DBoW3: "
                'vocabulary.save("words.yml.gz")'
            )
        if content.startswith((b"%YAML", b"\xef\xbb\xbf%YAML")):
            return _tree(Parsed(*_dbow_yaml.parse(content.decode("utf-8", "replace"))), bits)
        return _tree(_parsed_text(content), bits)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _decompressed(content: bytes) -> bytes:
    """Return what gzip compressed, all members, unless it is more than a vocabulary could be."""
    most = _MOST_EXPANSION * len(content) + (1 << 16)
    text, position = bytearray(), 0
    while position < len(content):
        expander, begin = zlib.decompressobj(wbits=31), position
        while not expander.eof:
            piece = content[position : position + _PIECE]
            if not piece:
                raise ValueError("is cut short")
            try:
                text += expander.decompress(piece, most + 1 - len(text))
            except zlib.error as error:
                raise ValueError(
                    f"is not what gzip wrote, in what begins at offset {begin}: {error}"
                ) from None
            if len(text) > most:
                raise ValueError(f"expands to more than {most} bytes")
            position += len(piece) - len(expander.unused_data)
    return bytes(text)


def _parsed_text(content: bytes) -> Parsed:
    lines = io.TextIOWrapper(io.BytesIO(content), "latin-1")
    line = lines.readline(_LONGEST_HEADER)
    first = line.split()
    try:
        if not line.endswith("\n"):  # what is left of it is no node
            raise ValueError
        branching, levels, scoring, weighting = map(int, first)
    except ValueError:
        raise ValueError(
            "is not a vocabulary of DBoW: its first line must be four whole numbers (branching, "
            f"levels, scoring, weighting), got {' '.join(first)[:80]!r}"
        ) from None
    numbers = table(lines)
    if len(numbers) == 0 or numbers.shape[1] < 4:
        raise ValueError(
            "the line of a node must be its parent, whether it is a leaf, a descriptor and a "
            f"weight; got {len(numbers)} lines of {numbers.shape[1]} numbers"
        )
    parents, is_leaf = numbers[:, 0], numbers[:, 1]
    if ((parents < 0) | (parents > len(numbers)) | (parents != np.rint(parents))).any():
        raise ValueError(f"a parent must be one of the {len(numbers)} nodes, or 0")
    if not np.isin(is_leaf, (0, 1)).all():
        raise ValueError("the second number of a line must be 1 for a leaf, else 0")
    words = np.where(is_leaf == 1, np.cumsum(is_leaf) - 1, -1).astype(np.int64)
    values = singles(numbers[:, 2:-1])
    header = branching, levels, scoring, weighting
    return Parsed(header, parents.astype(np.int64) - 1, words, values, numbers[:, -1].copy())


def _tree(parsed: Parsed, bits: bool | None) -> VocabularyTree:
    branching, levels, scoring, weighting = parsed.header
    if not 1 <= branching <= _check.MAX_COUNT or not 1 <= levels <= _MOST_LEVELS:
        raise ValueError(f"there is no tree of branching {branching} and {levels} levels")
    if not (0 <= scoring < len(SCORINGS) and 0 <= weighting < len(WEIGHTINGS)):
        raise ValueError(f"there is no scoring {scoring}, or no weighting {weighting}")
    whole = (parsed.values >= 0) & (parsed.values <= 255) & (parsed.values % 1 == 0)
    if bits and not whole.all():
        raise ValueError("descriptors of bits must be whole numbers from 0 to 255")
    of_bits = bool(whole.all()) if bits is None else bits
    centers = parsed.values.astype(np.uint8) if of_bits else parsed.values
    nodes, order = tree_nodes(parsed.parents, centers, parsed.words)
    source = {
        "format": "DBoW",
        "branching": branching,
        "levels": levels,
        "scoring": SCORINGS[scoring],
        "weighting": WEIGHTINGS[weighting],
    }
    return VocabularyTree(max(branching, 2), levels)._set(
        nodes,
        weights=parsed.weights[order],
        metric="hamming" if of_bits else "l2",
        source=source,
    )
