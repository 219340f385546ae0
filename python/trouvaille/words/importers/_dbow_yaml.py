# SPDX-License-Identifier: Apache-2.0
"""The part of YAML that OpenCV writes for a vocabulary of DBoW; see `from_dbow`."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ._reading import singles, table

_NUMBER = r"[-+]?[0-9.][0-9.eE+-]*"
_NODE = re.compile(  # no two neighbours of it can take the same character: that would take long
    r"\{\s*nodeId:\s*(\d{1,10})\s*,\s*parentId:\s*(\d{1,10})\s*,"
    rf"\s*weight:\s*({_NUMBER})\s*,\s*descriptor:([^{{}}]*)\}}"
)
_WORD = re.compile(r"\{\s*wordId:\s*(\d{1,10})\s*,\s*nodeId:\s*(\d{1,10})\s*\}")
_KEYS = ("k", "L", "scoringType", "weightingType")
_BYTES, _FLOATS = "0", "5"  # OpenCV's CV_8UC1 and CV_32FC1

Header = tuple[int, int, int, int]


def parse(
    text: str,
) -> tuple[Header, NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
    """Return header, parents, words, descriptors and weights; a ValueError says what is wrong."""
    head, nodes_at, rest = text.partition("nodes:")
    nodes, words_at, words = rest.partition("words:")
    if not (nodes_at and words_at and re.search(r"^vocabulary:[ \t\r]*$", head, re.MULTILINE)):
        raise ValueError("is not a vocabulary of DBoW: it must have vocabulary, nodes and words")
    found = _NODE.findall(nodes)
    if not found or nodes.count("{") != len(found):
        raise ValueError(
            f"of {nodes.count('{')} nodes {len(found)} are "
            "{ nodeId, parentId, weight, descriptor }"
        )
    ids = np.array([node[0] for node in found]).astype(np.int64)
    parents = np.array([node[1] for node in found]).astype(np.int64)
    n = len(found)
    if not np.array_equal(np.sort(ids), np.arange(1, n + 1)):
        raise ValueError(f"the {n} nodes must be numbered from 1 on, each once")
    if parents.max() > n:
        raise ValueError(f"a parent must be one of the {n} nodes, or 0")
    weights = np.array([float(node[2]) for node in found])
    # OpenCV quotes a string that begins with a digit.
    values = _descriptors([node[3].strip().strip('"') for node in found])
    if not np.isfinite(weights).all():
        raise ValueError("weights must be finite")
    # In the order of the file, as DBoW keeps the children of a node.
    places = np.full(n + 1, -1, np.int64)
    places[ids] = np.arange(n)
    return _header(head), places[parents], _words(words, places), values, weights


def _header(head: str) -> Header:
    numbers = []
    for key in _KEYS:
        match = re.search(rf"^[ \t]+{key}:[ \t]*(\d{{1,9}})[ \t\r]*$", head, re.MULTILINE)
        if match is None:
            raise ValueError(f"vocabulary must have a whole number {key}")
        numbers.append(int(match[1]))
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _words(text: str, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return of each node which word it is."""
    found = _WORD.findall(text)
    if not found or text.count("{") != len(found):
        raise ValueError(f"of {text.count('{')} words {len(found)} are {{ wordId, nodeId }}")
    pairs = np.array(found).astype(np.int64)
    n, nodes = len(places) - 1, pairs[:, 1]
    if nodes.min() < 1 or nodes.max() > n or len(np.unique(nodes)) != len(nodes):
        raise ValueError(f"a word must be one of the {n} nodes, each a word once")
    words = np.full(n, -1, np.int64)
    words[places[nodes]] = pairs[:, 0]
    return words


def _descriptors(texts: list[str]) -> NDArray[np.float32]:
    size, prefix = None, ""
    if texts[0].startswith("dbw3"):
        words = texts[0].split(maxsplit=3)
        if len(words) < 4 or words[1] not in (_BYTES, _FLOATS):
            raise ValueError(f"descriptors must be bytes or float32, got {texts[0][:20]!r}")
        prefix, size = " ".join(words[:3]) + " ", words[2]
        if not all(text.startswith(prefix) for text in texts):
            raise ValueError("all descriptors must be of one type and length")
    values = singles(table(text[len(prefix) :] for text in texts))
    if len(values) != len(texts) or (size is not None and size != str(values.shape[1])):
        raise ValueError(f"a descriptor must have {size or 'some'} numbers")
    return values
