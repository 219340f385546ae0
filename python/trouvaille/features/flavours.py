# SPDX-License-Identifier: Apache-2.0
"""The orders of bins in which programs write the same SIFT descriptor.

All have 4 x 4 cells, row by row in the frame of the feature (x along its orientation, y clockwise
from it), and 8 directions in each, the first along x. They differ in the sense in which directions
run, as seen: D. Lowe's own program, OpenCV, SiftGPU and COLMAP (which reorders VLFeat's) count
anticlockwise, VLFeat and M. Perdoch's hesaff clockwise, as angles run where y points down.

Two descriptors of one place in different orders are as far apart as those of two places: what is
searched with the wrong one finds nothing, without an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check

CELLS, DIRECTIONS = 4, 8

# Whether the directions of a flavour run clockwise, as seen.
SIFT_FLAVOURS = {
    "trouvaille": False,
    "opencv": False,
    "lowe": False,
    "colmap": False,
    "vlfeat": True,
    "hesaff": True,
}


def convert_sift(descriptors: ArrayLike, source: str, target: str = "trouvaille") -> NDArray[Any]:
    """Reorder SIFT descriptors of one program as another one writes them.

    RootSIFT is converted as SIFT is: it changes numbers, not their order. What remains different is
    how the programs smooth, weigh and round: descriptors are alike then, not equal.

    Parameters
    ----------
    descriptors : array_like of uint8 or float, shape (n, 128)
        Of `source`.
    source, target : {"trouvaille", "opencv", "lowe", "colmap", "vlfeat", "hesaff"}
        The programs.

    Returns
    -------
    ndarray of uint8 or float32, shape (n, 128)
        A copy.

    Raises
    ------
    TypeError, ValueError
        If the descriptors have another shape, or a flavour is unknown.

    Examples
    --------
    >>> row = np.zeros((1, 128), np.uint8)
    >>> row[0, 1] = 9  # VLFeat's second direction, of the first cell, is the last one of OpenCV's
    >>> int(convert_sift(row, "vlfeat", "opencv").argmax())
    7
    """
    given = _check.descriptors(descriptors, "descriptors", CELLS * CELLS * DIRECTIONS)
    senses = []
    for flavour, name in ((source, "source"), (target, "target")):
        if flavour not in SIFT_FLAVOURS:
            raise ValueError(f"{name} must be one of {', '.join(SIFT_FLAVOURS)}, got {flavour!r}")
        senses.append(SIFT_FLAVOURS[flavour])
    if senses[0] == senses[1]:
        return given.copy()
    backwards = -np.arange(DIRECTIONS) % DIRECTIONS
    return given.reshape(-1, CELLS, CELLS, DIRECTIONS)[..., backwards].reshape(len(given), -1)
