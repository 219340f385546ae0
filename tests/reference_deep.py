# SPDX-License-Identifier: Apache-2.0
"""What pooled descriptors of feature maps mean, in NumPy and plain loops; see reference.py."""

from decimal import Decimal

import numpy as np


def regions(height, width, levels=3, overlap=0.4, include_global=False):
    """Squares as the rule of R-MAC has them; every comparison of fractions is one of integers."""
    shorter, longer = min(height, width), max(height, width)
    extra = 0
    if longer > shorter:
        above, below = Decimal(str(overlap)).as_integer_ratio()
        # The overlap of neighbours is 1 - (longer - shorter) / (steps * shorter). What it misses
        # the wanted one by is |missed| / (below * steps * shorter).
        best = None
        for steps in 1, 2, 3, 4, 5, 6:
            whole = steps * shorter
            missed = abs(below * (whole - longer + shorter) - above * whole)
            if best is None or missed * best[1] < best[0] * whole:
                best, extra = (missed, whole), steps
    found = [[0, 0, width, height]] if include_global else []
    for level in range(1, levels + 1):
        side = (2 * shorter) // (level + 1)
        if side == 0:
            continue
        across = level + (extra if width > height else 0)
        down = level + (extra if height > width else 0)
        for row in range(down):
            y = 0 if down == 1 else (row * (height - side)) // (down - 1)
            for column in range(across):
                x = 0 if across == 1 else (column * (width - side)) // (across - 1)
                found.append([x, y, x + side, y + side])
    return np.array(found)


def unit(v):
    length = np.sqrt((v**2).sum())
    return v / length if length > 0 else v


def mac(x):
    return np.array([channel.max() for channel in x])


def spoc(x):
    return np.array([channel.sum() / channel.size for channel in x])


def gem(x, p=3.0, eps=1e-6):
    powers = [[max(value, eps) ** p for value in channel.ravel()] for channel in x]
    return np.array([(sum(cells) / len(cells)) ** (1 / p) for cells in powers])


def crow(x):
    """Kalantidis et al., equations 3 to 8, with a = b = 2."""
    sums = x.sum(axis=0)
    length = np.sqrt((sums**2).sum())
    weights = np.sqrt(sums / length) if length > 0 else sums
    present = [np.count_nonzero(channel) / channel.size for channel in x]
    rarity = [np.log(sum(present) / share) if share > 0 else 0 for share in present]
    return np.array([(channel * weights).sum() for channel in x]) * rarity


def regional(x, pool, whiten=None, **where):
    """The sum of the regions' vectors; `whiten` takes one vector and returns one."""
    total = 0
    for x1, y1, x2, y2 in regions(*x.shape[1:], **where):
        v = unit(pool(x[:, y1:y2, x1:x2]))
        total = total + (v if whiten is None else unit(whiten(v)))
    return unit(total)
