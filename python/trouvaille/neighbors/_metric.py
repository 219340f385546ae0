# SPDX-License-Identifier: Apache-2.0
"""What a distance is: all that indexes of neighbours need to know of a metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import _check, _core


@dataclass(frozen=True)
class Metric:
    """A way to compare points."""

    name: str
    point_types: tuple[str, ...] = ("uint8", "float32", "float16")
    largest_first: bool = False
    """Whether it is a similarity: the largest are the nearest."""
    largest_float: float = np.inf
    """Of the points' numbers: sums of products of any sign are numbers then."""

    def distance_type(self, points: DTypeLike) -> type[np.int32 | np.float32]:
        """Return the dtype of the distances between points of a dtype."""
        return np.int32 if points == np.uint8 else np.float32

    def missing(self, distances: DTypeLike) -> float:
        """Return the distance, of a dtype, of a place where no point was found."""
        if distances == np.int32:
            limits = np.iinfo(np.int32)
            return int(limits.min if self.largest_first else limits.max)
        return -np.inf if self.largest_first else np.inf

    def within(self, distances: NDArray[Any], radius: float | NDArray[Any]) -> NDArray[np.bool_]:
        """Say which distances are within `radius`; those that are equal count."""
        exact = distances.astype(np.float64)  # or the radius would be rounded to their dtype
        return exact >= radius if self.largest_first else exact <= radius


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("l2"),  # squared
        Metric("ip", largest_first=True, largest_float=1e15),
        Metric("l1"),
        Metric("hamming", point_types=("uint8",)),  # packed bits
    )
}


def checked_metric(name: str) -> Metric:
    """Return the metric of a name."""
    if not isinstance(name, str) or name not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {name!r}")
    return METRICS[name]


def checked_points(
    x: ArrayLike, name: str, metric: Metric, point_types: tuple[str, ...]
) -> NDArray[Any]:
    """Return points as they are kept: of their own dtype if it is one of `point_types`."""
    given = _check.as_array(x, name)
    dtype = given.dtype.name
    if dtype not in point_types:
        dtype = "float32" if "float32" in point_types else "uint8"
    return _fitting(_check.matrix(given, name, dtype), name, metric)


def checked_more(x: ArrayLike, name: str, metric: Metric, like: NDArray[Any]) -> NDArray[Any]:
    """Return points that can be added to points `like`."""
    return _fitting(_check.matrix(x, name, like.dtype, like.shape[1]), name, metric)


def checked_queries(x: ArrayLike, name: str, metric: Metric, like: NDArray[Any]) -> NDArray[Any]:
    """Return queries of points `like`: in float32 if those are float16."""
    dtype = np.float32 if like.dtype == np.float16 else like.dtype
    return _fitting(_check.matrix(x, name, dtype, like.shape[1]), name, metric)


def _fitting(points: NDArray[Any], name: str, metric: Metric) -> NDArray[Any]:
    if points.shape[1] == 0:
        raise ValueError(f"{name} must have one column or more")
    if metric.name == "hamming":
        if points.shape[1] > _core.max_code_bytes:
            raise ValueError(
                f"{name} has codes of {points.shape[1]} bytes, of {_core.max_code_bytes} at most"
            )
    elif points.dtype == np.uint8:
        if points.shape[1] > _core.max_byte_dims:
            raise ValueError(
                f"{name} has {points.shape[1]} columns; distances between bytes fit 32 bits up to "
                f"{_core.max_byte_dims}. Pass it as float32"
            )
    elif points.size and metric.largest_float < np.inf:
        largest = float(max(points.max(), -points.min()))
        if largest > metric.largest_float:
            raise ValueError(
                f"{name} must be within {metric.largest_float:g} for inner products, "
                f"got {largest:g}"
            )
    return points
