# SPDX-License-Identifier: Apache-2.0
"""Of the cells of all scales, those of the greatest attention."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def strongest(
    scores: NDArray[np.float32],
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    min_score: float,
    overlap: float,
    most: int,
) -> NDArray[np.int64]:
    """Return the rows to keep, the strongest first, of equals the one of the smaller number.

    Of two whose squares, from ``centre - radius`` to ``centre + radius``, have an intersection of
    more than `overlap` of their union, the stronger is kept. With 1 none is dropped: two cells
    never see the same square.
    """
    rows = np.flatnonzero(scores >= min_score)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    if overlap >= 1:
        return rows[:most]
    kept: list[int] = []
    while len(rows) and len(kept) < most:
        first, rows = rows[0], rows[1:]
        kept.append(int(first))
        rows = rows[_overlaps(centres, radii, first, rows) <= overlap]
    return np.array(kept, np.int64)


def _overlaps(
    centres: NDArray[np.float64], radii: NDArray[np.float64], one: int, others: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the intersection over the union of one square and each of others."""
    low = np.maximum(centres[one] - radii[one], centres[others] - radii[others, None])
    high = np.minimum(centres[one] + radii[one], centres[others] + radii[others, None])
    common: NDArray[np.float64] = np.maximum(high - low, 0).prod(axis=1)
    union = 4 * radii[one] ** 2 + 4 * radii[others] ** 2 - common
    shares: NDArray[np.float64] = common / union
    return shares
