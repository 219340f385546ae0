# SPDX-License-Identifier: Apache-2.0
"""Photos' descriptors for the tests of the encoders."""

import numpy as np

from trouvaille import _core

KINDS = [np.uint8, np.float32]


def photos_of(rng, dtype=np.uint8, n_dims=12, sizes=(30, 0, 1, 57, 5), spread=12):
    """Descriptors around a few centres; one photo has none."""
    centers = rng.integers(40, 216, (9, n_dims))
    photos = []
    for size in sizes:
        x = centers[rng.integers(0, 9, size)] + rng.normal(0, spread, (size, n_dims))
        photos.append(
            np.clip(x, 0, 255).round().astype(np.uint8) if dtype == np.uint8 else np.float32(x)
        )
    return photos


def joined(photos):
    """The same as (values, offsets)."""
    return np.concatenate(photos), np.cumsum([0, *map(len, photos)])


def same_on_every_isa(call):
    """Call once for each instruction set, and return the one result that all give."""
    found = []
    for name in _core.isas():
        _core.use_isa(name)
        found.append(call())
    _core.reset_isa()
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    return found[0]
