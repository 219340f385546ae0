# SPDX-License-Identifier: Apache-2.0
"""Hashing by hyperplanes: a bit says on which side of one a descriptor is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _core
from ._hashing import Bits, Floats, Hashing


class Hyperplanes(Hashing):
    """Bit i of x is ``x @ normals[:, i] > offsets[i]``."""

    def _shapes(self, learned: Mapping[str, Floats]) -> Mapping[str, tuple[int, ...]]:
        n_dims = len(learned["normals"]) if "normals" in learned else 0
        return {"normals": (n_dims, self.n_bits), "offsets": (self.n_bits,)}

    def _bits(self, learned: Mapping[str, Floats], X: NDArray[Any], threads: int) -> Bits:
        return _core.project(X, learned["normals"], learned["offsets"], threads) > 0


def through(point: NDArray[np.float64], normals: NDArray[np.float64]) -> Mapping[str, NDArray[Any]]:
    """Return hyperplanes through one point."""
    rounded = normals.astype(np.float32)
    return {"normals": rounded, "offsets": point @ rounded}
