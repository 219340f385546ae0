# SPDX-License-Identifier: Apache-2.0
"""An index of neighbours at one moment, and as a file has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _bitmap, _ids
from .._bitmap import Bitmap
from .._ids import Ids

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class State:
    """An index at one moment. Nothing in it is ever changed: searches go on with what they have."""

    points: NDArray[Any]
    """In an order of the structure's."""
    ids: Ids
    """By row: in the order in which points were given."""
    arrays: Arrays
    """Of the structure over the points."""
    alive: NDArray[np.bool_] | None = None
    """A boolean a row; None if nothing was removed."""
    largest_id: int = -1
    """That there ever was, or -1."""
    bitmap: Bitmap | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        largest = max(self.largest_id, _ids.largest(self.ids))
        object.__setattr__(self, "largest_id", largest)
        if self.alive is not None:
            object.__setattr__(self, "bitmap", _bitmap.packed(self.alive))

    @property
    def n_alive(self) -> int:
        """How many points can be found."""
        return len(self.points) if self.alive is None else int(np.count_nonzero(self.alive))


def points_by_row(state: State) -> NDArray[Any]:
    """Return the points of a structure whose array `rows` says where each came from."""
    points = np.empty_like(state.points)
    if len(points) == 0:  # nor is there a structure
        return points
    points[state.arrays["rows"]] = state.points
    return points


def to_file(
    state: State, parameters: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, ArrayLike]]:
    """Return what is written: metadata and arrays."""
    arrays: dict[str, ArrayLike] = {"points": state.points, **state.arrays}
    metadata: dict[str, Any] = {
        "parameters": parameters,
        "first_id": None,
        "largest_id": state.largest_id,
    }
    if isinstance(state.ids, range):
        metadata["first_id"] = state.ids.start
    else:
        arrays["ids"] = state.ids
    if state.alive is not None:
        arrays["alive"] = state.alive.view(np.uint8)
    return metadata, arrays


def parameters_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the constructor, of metadata that were read."""
    parameters = metadata.get("parameters")
    wanted = {"parameters", "first_id", "largest_id"}
    if not isinstance(parameters, dict) or metadata.keys() != wanted:
        raise ValueError("the metadata are not those of an index of neighbours")
    return parameters


def from_file(
    metadata: dict[str, Any],
    arrays: Arrays,
    dtypes: Mapping[str, str],
    point_types: tuple[str, ...],
) -> State:
    """Return the state that was written; ValueError if its parts do not fit together."""
    given = dict(arrays)
    points, ids, alive = given.pop("points", None), given.pop("ids", None), given.pop("alive", None)
    if points is None or points.ndim != 2 or points.dtype.name not in point_types:
        raise ValueError("there are no points")
    first = metadata["first_id"]
    own: Ids
    if ids is None:
        if type(first) is not int or not 0 <= first <= _ids.MAX_ID - len(points):
            raise ValueError("first_id must be an id")
        own = range(first, first + len(points))
    else:
        if first is not None or ids.dtype != np.int64 or ids.ndim != 1:
            raise ValueError("ids must be an array of int64, or a first one")
        own = _ids.checked(ids, len(points))
    if alive is not None:
        if alive.dtype != np.uint8 or alive.shape != (len(points),) or (alive > 1).any():
            raise ValueError("alive must have a 0 or a 1 for each point")
        alive = alive.view(np.bool_)
    largest = metadata["largest_id"]
    if type(largest) is not int or not _ids.largest(own) <= largest <= _ids.MAX_ID:
        raise ValueError("largest_id must be an id, none of which is larger")
    wanted = dtypes if len(points) else {}
    if {name: array.dtype.name for name, array in given.items()} != dict(wanted):
        raise ValueError("there must be the arrays " + ", ".join(wanted))
    return State(points, own, given, alive, largest)
