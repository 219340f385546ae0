# SPDX-License-Identifier: Apache-2.0
"""Indexes of neighbours to and from those of FAISS, in memory; FAISS itself reads and writes files.

FAISS is needed only here, and imported when one of these functions is called.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import _check, _ids
from ._state import State
from ._structure import Structure
from .exact import Exact
from .kmeans_tree import KMeansTree

_METRICS = {"l2": "METRIC_L2", "ip": "METRIC_INNER_PRODUCT", "l1": "METRIC_L1"}
_DTYPES = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float16))


def to_faiss(index: Structure, *, n_lists: int | None = None) -> Any:
    """Return an index of FAISS that has the same points and ids.

    Parameters
    ----------
    index : Structure
        Any index of neighbours. Its points become float32, which is exact for bytes too; packed
        bits stay what they are. Points that were removed are left out.
    n_lists : int, optional
        For an inverted file of so many lists, which FAISS trains on the points: at most as many as
        there are, and the metric "l2" or "ip". By default a `KMeansTree` becomes an inverted file
        with its own lists, those of its lowest level, and any other index a flat one, which finds
        exactly what `Exact` finds.

    Returns
    -------
    faiss.IndexFlat, faiss.IndexBinaryFlat or faiss.IndexIVFFlat
        Of the same metric. The center of a list of a `KMeansTree` is the mean of its points.
        A flat one is within an IndexIDMap2, or IndexBinaryIDMap2, unless the ids are row numbers.

    Raises
    ------
    ImportError
        If FAISS is not installed.
    TypeError, ValueError
        If an argument has the wrong type or range, or the index was never built.

    Examples
    --------
    >>> index = Exact().build(np.uint8([[0, 0], [3, 3]]), ids=[7, 5])
    >>> in_faiss = to_faiss(index)  # doctest: +SKIP
    >>> in_faiss.search(np.float32([[3, 4]]), 2)  # doctest: +SKIP
    (array([[ 1., 25.]], dtype=float32), array([[5, 7]]))
    """
    if not isinstance(index, Structure):
        raise TypeError(f"index must be one of trouvaille.neighbors, got {type(index).__name__}")
    state, metric = index._built_state(), index._metric.name
    faiss = _faiss()
    if n_lists is None and isinstance(index, KMeansTree) and state.n_alive > 0:
        return _with_its_lists(faiss, state)
    points, ids = _points_of(index, state)
    if n_lists is not None:
        return _trained_inverted_file(faiss, points, ids, metric, n_lists)
    if metric == "hamming":
        flat, with_ids = faiss.IndexBinaryFlat(8 * points.shape[1]), faiss.IndexBinaryIDMap2
    else:
        flat = faiss.IndexFlat(points.shape[1], getattr(faiss, _METRICS[metric]))
        with_ids = faiss.IndexIDMap2
        points = points.astype(np.float32, copy=False)
    if np.array_equal(ids, np.arange(len(ids))):
        flat.add(points)
        return flat
    mapped = with_ids(flat)
    mapped.add_with_ids(points, ids)
    return mapped


def from_faiss(
    index: Any, *, into: Structure | None = None, dtype: DTypeLike = np.float32
) -> Structure:
    """Return an index of the points and ids that an index of FAISS has.

    Parameters
    ----------
    index : faiss.IndexFlat, faiss.IndexBinaryFlat or faiss.IndexIVFFlat
        Of L2, inner product or L1; alone or within an IndexIDMap, IndexIDMap2 or their binary
        likes, whose ids are kept. Of an inverted file the points are taken, not the lists.
    into : Structure, optional
        What to build over the points, for example ``KDForest(trees=4)``. By default `Exact` of the
        same metric; it must have that of `index`.
    dtype : {float32, uint8, float16}
        What the points become, if it represents each of them exactly. SIFT descriptors are bytes:
        as uint8 they take a quarter of the memory. Packed bits are always uint8.

    Returns
    -------
    Structure
        `into`, built.

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
    inner, outer_ids = _without_id_map(faiss, index)
    metric = _metric_of(faiss, inner)
    built = Exact(metric) if into is None else into
    if not isinstance(built, Structure):
        raise TypeError(f"into must be one of trouvaille.neighbors, got {type(built).__name__}")
    if wanted.name not in built._kept_types() and metric != "hamming":
        raise ValueError(f"{type(built).__name__} keeps no points in {wanted}: give another dtype")
    own = built._metric.name
    if own != metric:
        raise ValueError(f"into must have the metric of index, {metric!r}, got {own!r}")
    if metric == "hamming":
        packed = faiss.vector_to_array(inner.xb).reshape(inner.ntotal, inner.code_size)
        return built.build(packed, outer_ids)
    if isinstance(inner, faiss.IndexFlat):
        floats, ids = _flat_points(inner), outer_ids
    else:
        floats, ids = _listed_points(faiss, inner)
        ids = ids if outer_ids is None else outer_ids[ids]
    return built.build(_check.matrix(floats, "index", wanted), ids)


def _faiss() -> ModuleType:
    try:
        return import_module("faiss")
    except ImportError as error:
        raise ImportError(
            "FAISS, which this needs, is not installed: pip install faiss-cpu"
        ) from error


def _points_of(index: Structure, state: State) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the points that can be found, in the order of their rows, and their ids."""
    points, ids = index._in_order(state), _ids.as_array(state.ids)
    if state.alive is not None:
        points, ids = points[state.alive], ids[state.alive]
    return np.ascontiguousarray(points), ids


def _with_its_lists(faiss: ModuleType, state: State) -> Any:
    """Return an inverted file that has the lists of a tree, but for what was removed."""
    rows, starts = state.arrays["rows"], state.arrays["starts"]
    n_nodes = 16 * int(state.arrays["panels"][-1])  # of the lowest level, whose starts are last
    ends = starts[-n_nodes - 1 :].astype(np.int64)
    of_list = np.repeat(np.arange(n_nodes), ends[1:] - ends[:-1])
    points, ids = state.points, _ids.as_array(state.ids)[rows]
    if state.alive is not None:
        alive = state.alive[rows]
        points, ids, of_list = points[alive], ids[alive], of_list[alive]
    _, firsts, list_numbers = np.unique(of_list, return_index=True, return_inverse=True)
    floats = points.astype(np.float32)
    sizes = np.diff([*firsts, len(points)])
    centers = np.add.reduceat(floats, firsts, axis=0, dtype=np.float64) / sizes[:, None]
    n, n_dims = floats.shape
    quantizer = faiss.IndexFlatL2(n_dims)
    quantizer.add(centers.astype(np.float32))
    inverted = faiss.IndexIVFFlat(quantizer, n_dims, len(centers))  # trained, as its quantizer is
    numbers = np.ascontiguousarray(list_numbers, np.int64)
    inverted.add_core(n, faiss.swig_ptr(floats), faiss.swig_ptr(ids), faiss.swig_ptr(numbers), None)
    return inverted


def _trained_inverted_file(
    faiss: ModuleType, points: NDArray[Any], ids: NDArray[np.int64], metric: str, n_lists: int
) -> Any:
    if metric not in ("l2", "ip"):
        raise ValueError(f'n_lists is for the metrics "l2" and "ip", and that of index is {metric}')
    if len(points) == 0:
        raise ValueError("index must have points to train lists on; without n_lists it need not")
    n_lists = _check.count(n_lists, "n_lists", maximum=len(points))
    number = getattr(faiss, _METRICS[metric])
    centers = faiss.IndexFlat(points.shape[1], number)
    inverted = faiss.IndexIVFFlat(centers, points.shape[1], n_lists, number)
    floats = points.astype(np.float32, copy=False)
    inverted.cp.min_points_per_centroid = 1  # FAISS would print that it wants more
    inverted.train(floats)
    inverted.add_with_ids(floats, ids)
    return inverted


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


def _metric_of(faiss: ModuleType, index: Any) -> str:
    if isinstance(index, faiss.IndexBinaryFlat):
        return "hamming"
    # Exactly these: others that inherit from them keep points in another way.
    known = (faiss.IndexFlat, faiss.IndexFlatL2, faiss.IndexFlatIP, faiss.IndexIVFFlat)
    if type(index) not in known:
        raise TypeError(
            f"index must be a flat one of FAISS, or an IndexIVFFlat, got {type(index).__name__}"
        )
    for name, number in _METRICS.items():
        if index.metric_type == getattr(faiss, number):
            return name
    raise ValueError(
        f"the metric of index must be L2, inner product or L1, got number {index.metric_type}"
    )


def _flat_points(index: Any) -> NDArray[np.float32]:
    if index.ntotal == 0:
        return np.empty((0, index.d), np.float32)
    points: NDArray[np.float32] = index.reconstruct_n(0, index.ntotal)
    return points


def _check_layout(faiss: ModuleType, index: Any, list_number: int, points: NDArray[Any]) -> None:
    """Refuse lists of another layout: an index that FAISS gives as its base class may have one."""
    point = np.empty(index.d, np.float32)
    for place in {0, len(points) // 2, len(points) - 1}:
        index.reconstruct_from_offset(list_number, place, faiss.swig_ptr(point))
        if not np.array_equal(point, points[place], equal_nan=True):
            raise TypeError(
                "index must be an IndexIVFFlat itself: its lists do not have point after point"
            )


def _listed_points(faiss: ModuleType, index: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the points of all lists, and their ids, in the order of these."""
    lists = index.invlists
    points, ids = [np.empty((0, index.d), np.float32)], [np.empty(0, np.int64)]
    for i in range(lists.nlist):
        size = lists.list_size(i)
        if size > 0:
            codes = faiss.rev_swig_ptr(lists.get_codes(i), size * lists.code_size)
            points.append(codes.view(np.float32).reshape(size, index.d).copy())
            _check_layout(faiss, index, i, points[-1])
            ids.append(faiss.rev_swig_ptr(lists.get_ids(i), size).copy())
    every = np.concatenate(ids)
    order = np.argsort(every, kind="stable")
    return np.concatenate(points)[order], every[order]
