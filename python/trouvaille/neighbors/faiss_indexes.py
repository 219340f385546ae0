# SPDX-License-Identifier: Apache-2.0
"""Indexes of neighbours to and from those of FAISS, in memory; FAISS itself reads and writes files.

FAISS is needed only here, and imported when one of these functions is called.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import _check, _ids
from ._structure import Structure
from .exact import Exact

_METRICS = {"l2": "METRIC_L2", "ip": "METRIC_INNER_PRODUCT", "l1": "METRIC_L1"}
_DTYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float16))


def to_faiss(index: Structure) -> Any:
    """Return an index of FAISS that has the same points and ids, and finds the same neighbours.

    Parameters
    ----------
    index : Exact
        Its points become float32, which is exact for bytes too; packed bits stay what they are.

    Returns
    -------
    faiss.IndexFlat or faiss.IndexBinaryFlat
        Of the same metric; within an IndexIDMap2, or IndexBinaryIDMap2, unless the ids are row
        numbers.

    Raises
    ------
    ImportError
        If FAISS is not installed.
    TypeError, ValueError
        If `index` is of another kind, or was never built.

    Examples
    --------
    >>> index = Exact().build(np.uint8([[0, 0], [3, 3]]), ids=[7, 5])
    >>> in_faiss = to_faiss(index)  # doctest: +SKIP
    >>> in_faiss.search(np.float32([[3, 4]]), 2)  # doctest: +SKIP
    (array([[ 1., 25.]], dtype=float32), array([[5, 7]]))
    """
    if not isinstance(index, Exact):
        raise TypeError(f"index must be an Exact, got {type(index).__name__}")
    state = index._built_state()
    faiss = _faiss()
    n_dims = state.points.shape[1]
    if index.metric == "hamming":
        flat, with_ids = faiss.IndexBinaryFlat(8 * n_dims), faiss.IndexBinaryIDMap2
        points = np.ascontiguousarray(state.points)
    else:
        flat = faiss.IndexFlat(n_dims, getattr(faiss, _METRICS[index.metric]))
        with_ids = faiss.IndexIDMap2
        points = np.ascontiguousarray(state.points, np.float32)
    if isinstance(state.ids, range) and state.ids.start == 0:
        flat.add(points)
        return flat
    mapped = with_ids(flat)
    mapped.add_with_ids(points, _ids.as_array(state.ids))
    return mapped


def from_faiss(index: Any, *, dtype: DTypeLike = np.float32) -> Exact:
    """Return an exact index of the points and ids that an index of FAISS has.

    Parameters
    ----------
    index : faiss.IndexFlat, faiss.IndexBinaryFlat
        Of L2, inner product or L1; alone or within an IndexIDMap, IndexIDMap2 or their binary
        likes, whose ids are kept.
    dtype : {float32, uint8, float16}
        What the points become, if it represents each of them exactly. SIFT descriptors are bytes:
        as uint8 they take a quarter of the memory. Packed bits are always uint8.

    Returns
    -------
    Exact

    Raises
    ------
    ImportError
        If FAISS is not installed.
    TypeError, ValueError
        If `index` is of another kind or metric, `dtype` cannot represent its points, or its ids
        are negative or not distinct.

    Examples
    --------
    >>> import faiss  # doctest: +SKIP
    >>> index = from_faiss(faiss.read_index("sift.index"), dtype="uint8")  # doctest: +SKIP
    """
    wanted = np.dtype(dtype)
    if wanted not in _DTYPES:
        raise ValueError(f"dtype must be float32, uint8 or float16, got {wanted}")
    faiss = _faiss()
    inner, ids = _without_id_map(faiss, index)
    if isinstance(inner, faiss.IndexBinaryFlat):
        points = faiss.vector_to_array(inner.xb).reshape(inner.ntotal, inner.code_size)
        return Exact("hamming").build(points, ids)
    if not isinstance(inner, faiss.IndexFlat):
        raise TypeError(f"index must be a flat one of FAISS, got {type(inner).__name__}")
    names = {getattr(faiss, value): name for name, value in _METRICS.items()}
    if inner.metric_type not in names:
        raise ValueError(
            f"the metric of index must be L2, inner product or L1, got number {inner.metric_type}"
        )
    floats = _flat_points(inner)
    return Exact(names[inner.metric_type]).build(_check.matrix(floats, "index", wanted), ids)


def _faiss() -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "FAISS, which this needs, is not installed: pip install faiss-cpu"
        ) from error
    return faiss


def _without_id_map(faiss: ModuleType, index: Any) -> tuple[Any, NDArray[np.int64] | None]:
    """Return the index within a map of ids, as what it is, and the ids."""
    if isinstance(index, faiss.IndexIDMap):
        return faiss.downcast_index(index.index), faiss.vector_to_array(index.id_map)
    if isinstance(index, faiss.IndexBinaryIDMap):
        return faiss.downcast_IndexBinary(index.index), faiss.vector_to_array(index.id_map)
    if isinstance(index, faiss.Index):
        return faiss.downcast_index(index), None
    if isinstance(index, faiss.IndexBinary):
        return faiss.downcast_IndexBinary(index), None
    raise TypeError(f"index must be one of FAISS, got {type(index).__name__}")


def _flat_points(index: Any) -> NDArray[np.float32]:
    if index.ntotal == 0:
        return np.empty((0, index.d), np.float32)
    points: NDArray[np.float32] = index.reconstruct_n(0, index.ntotal)
    return points
