# SPDX-License-Identifier: Apache-2.0
"""The file of a vocabulary tree: its arrays, its parameters and what else is known of it.

Arrays in one file (`_array_file`), of kind ``vocabulary_tree``. `metadata` has exactly the members
``parameters`` (an object: branching, depth, iterations and random_state), ``metric`` ("l2" or
"hamming"), ``inertia`` (a number, or null of a tree that was imported) and ``source`` (an object).
Of n nodes and V words the arrays are ``centers`` (uint8 or float32, n rows, finite), ``children``
(uint32, n + 2), ``leaves`` (int64, V) and, where there are weights, ``weights`` (float64, n,
finite); `VocabularyTree` says what they mean.
"""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .._array_file import ArrayFile
from ..errors import IndexCorruptError
from ._tree_nodes import MAX_DEPTH, Nodes

if TYPE_CHECKING:
    from .vocabulary_tree import VocabularyTree

_FORMAT = ArrayFile("vocabulary_tree", 1, "a vocabulary tree")
_METRICS = ("l2", "hamming")
_PARAMETERS = {"branching", "depth", "iterations", "random_state"}
_ARRAYS = {"children": np.uint32, "leaves": np.int64, "weights": np.float64}


def write(path: str | os.PathLike[str], tree: VocabularyTree) -> None:
    """Write a tree; its number of threads belongs to the machine and is left out.

    Raises
    ------
    TypeError, ValueError
        If `set_params` gave it what `read` would refuse.
    """
    metadata = {
        "parameters": _checked_parameters({name: getattr(tree, name) for name in _PARAMETERS}),
        "metric": tree.metric_,
        "inertia": None if math.isnan(tree.inertia_) else tree.inertia_,
        "source": tree.source_,
    }
    arrays = {"centers": tree.centers_, "children": tree.children_, "leaves": tree.leaves_}
    if tree.weights_ is not None:
        arrays["weights"] = tree.weights_
    _FORMAT.write(path, metadata, arrays)


def read(path: str | os.PathLike[str], mmap: bool) -> tuple[dict[str, Any], Nodes, dict[str, Any]]:
    """Return the parameters, the nodes and the other attributes of the tree in a file."""
    metadata, arrays = _FORMAT.read(path, mmap)
    try:
        if metadata.keys() != {"parameters", "metric", "inertia", "source"}:
            raise ValueError("its metadata are not those of a vocabulary tree")
        if set(arrays) - {"weights"} != {"centers", "children", "leaves"}:
            raise ValueError("its arrays are not those of a vocabulary tree")
        for name, dtype in _ARRAYS.items():
            if name in arrays and (arrays[name].dtype != dtype or arrays[name].ndim != 1):
                raise ValueError(f"{name} must be 1-D of {np.dtype(dtype)}")
        parameters, metric = _checked_parameters(metadata["parameters"]), metadata["metric"]
        inertia, source = metadata["inertia"], metadata["source"]
        if metric not in _METRICS or not isinstance(source, dict):
            raise ValueError("its metric or source is none")
        if inertia is None:
            inertia = float("nan")
        else:
            inertia = _check.between(inertia, "inertia", 0, sys.float_info.max)
        centers, weights = arrays["centers"], arrays.get("weights")
        kinds = (np.uint8,) if metric == "hamming" else (np.uint8, np.float32)
        if centers.ndim != 2 or centers.dtype not in kinds or centers.shape[1] == 0:
            raise ValueError("centers must be a matrix of bytes or float32")
        _check.descriptors(centers, "centers")  # which must be finite
        if weights is not None and (
            weights.shape != centers.shape[:1] or not np.isfinite(weights).all()
        ):
            raise ValueError("weights must be finite, one for each node")
        nodes = Nodes.checked(centers, arrays["children"], arrays["leaves"])
    except (TypeError, ValueError) as error:
        raise IndexCorruptError(path, _FORMAT.kind, 0, str(error)) from None
    attributes = {
        "metric": metric,
        "weights": weights,
        "source": source,
        "inertia": inertia,
    }
    return parameters, nodes, attributes


def _checked_parameters(parameters: Any) -> dict[str, int]:
    if not isinstance(parameters, dict) or parameters.keys() != _PARAMETERS:
        raise ValueError("its parameters are not those of a vocabulary tree")
    return {
        "branching": _check.count(parameters["branching"], "branching", minimum=2),
        "depth": _check.count(parameters["depth"], "depth", maximum=MAX_DEPTH),
        "iterations": _check.count(parameters["iterations"], "iterations", minimum=0),
        "random_state": _check.seed(parameters["random_state"]),
    }
