# SPDX-License-Identifier: Apache-2.0
"""The persistent collection: photos in, verified matches out."""

from .collection import Collection, Entry
from .report import AddReport, AddRow
from .results import Hit, Hits
from .settings import Settings

__all__ = ["AddReport", "AddRow", "Collection", "Entry", "Hit", "Hits", "Settings"]
