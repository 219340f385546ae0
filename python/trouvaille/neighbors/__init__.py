# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbours: exact, and faster ones that are nearly so."""

from .exact import Exact
from .results import Neighbors, RadiusNeighbors, Stats

__all__ = ["Exact", "Neighbors", "RadiusNeighbors", "Stats"]
