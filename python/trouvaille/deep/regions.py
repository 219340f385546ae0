# SPDX-License-Identifier: Apache-2.0
"""Where R-MAC looks: squares of several sizes that cover a feature map evenly."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _check

_MOST_STEPS = 6  # along the longer side, level 1 has at most seven squares


class Level(NamedTuple):
    """Squares of one size: all pairs of a left edge and a top edge."""

    size: int
    lefts: tuple[int, ...]
    tops: tuple[int, ...]


def rmac_regions(
    height: int, width: int, levels: int = 3, overlap: float = 0.4, include_global: bool = False
) -> NDArray[np.int64]:
    """Return the regions of R-MAC [1]_, [2]_ on a feature map.

    With s the shorter side of the map, level l has squares of side ``2 s // (l + 1)``: l of them
    along the shorter side, and l + e along the longer one. e is the number from 1 to 6 at which
    neighbouring squares of level 1 overlap by most nearly `overlap` (the smaller one of two that
    are equally near), and 0 for a square map. The i-th of n squares along a side of length a begins
    at cell ``i (a - side) // (n - 1)``, so the first and the last one touch the edges.

    Parameters
    ----------
    height, width : int
        Of the map, in cells.
    levels : int
        Sizes of squares. A level whose squares would have no cell is left out.
    overlap : float
        Of neighbouring squares of level 1, as a share of their area; at least 0, and less than 1.
    include_global : bool
        Whether the whole map is a region, too: the first one.

    Returns
    -------
    ndarray of int64, shape (n, 4), read-only
        x1, y1, x2, y2 in cells; x2 and y2 are the first ones outside. Level by level, row by row.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    Notes
    -----
    All of it is computed exactly. Implementations in float32 put some squares a cell to the left,
    or choose the other one of two values of e that are equally near: on 32 of the 4,096 shapes to
    64x64, all of them elongated, with 3 levels.

    A map of more than about seven times its other side is not covered: the squares of level 1 lie
    apart then.

    References
    ----------
    .. [1] G. Tolias, R. Sicre, H. Jégou, "Particular object retrieval with integral max-pooling of
       CNN activations", ICLR 2016.
    .. [2] A. Gordo, J. Almazán, J. Revaud, D. Larlus, "End-to-end learning of deep visual
       representations for image retrieval", IJCV 2017.

    Examples
    --------
    >>> rmac_regions(4, 4, levels=2).tolist()
    [[0, 0, 4, 4], [0, 0, 2, 2], [2, 0, 4, 2], [0, 2, 2, 4], [2, 2, 4, 4]]
    """
    height, width = _check.count(height, "height"), _check.count(width, "width")
    whole = _check.boolean(include_global, "include_global")
    return _regions(height, width, *checked(levels, overlap), whole)


def checked(levels: int, overlap: float) -> tuple[int, float]:
    """Return the arguments, or say which of them is wrong."""
    overlap = _check.between(overlap, "overlap", 0, 1)
    if overlap == 1:
        raise ValueError("overlap must be less than 1, got 1")
    return _check.count(levels, "levels", maximum=64), overlap


@lru_cache(maxsize=1024)
def rmac_levels(height: int, width: int, levels: int, overlap: float) -> tuple[Level, ...]:
    """Return the same squares as edges, level by level, of checked arguments."""
    shorter, longer = sorted((height, width))
    extra = _extra_squares(shorter, longer, overlap)
    found = []
    for level in range(1, levels + 1):
        size = 2 * shorter // (level + 1)
        if size > 0:
            lefts = _edges(width, size, level + extra * (width > height))
            tops = _edges(height, size, level + extra * (height > width))
            found.append(Level(size, lefts, tops))
    return tuple(found)


@lru_cache(maxsize=1024)
def _regions(
    height: int, width: int, levels: int, overlap: float, include_global: bool
) -> NDArray[np.int64]:
    regions = [(0, 0, width, height)] if include_global else []
    for size, lefts, tops in rmac_levels(height, width, levels, overlap):
        regions += [(x, y, x + size, y + size) for y in tops for x in lefts]
    result = np.array(regions, np.int64)
    result.flags.writeable = False
    return result


def _extra_squares(shorter: int, longer: int, overlap: float) -> int:
    """Return e: how many more squares lie along the longer side than along the shorter one."""
    if shorter == longer:
        return 0
    wanted = Fraction(repr(overlap))  # 0.4 is 2/5: ties are meant in decimals
    apart = Fraction(longer - shorter, shorter)
    return min(range(1, _MOST_STEPS + 1), key=lambda steps: abs(1 - apart / steps - wanted))


def _edges(side: int, size: int, squares: int) -> tuple[int, ...]:
    return tuple(i * (side - size) // max(squares - 1, 1) for i in range(squares))
