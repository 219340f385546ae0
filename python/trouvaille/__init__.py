# SPDX-License-Identifier: Apache-2.0
"""Find the same object in a large collection of photos.

The stages, in the order of the pipeline, each usable alone: `images`, `features`, `neighbors`,
`words`, `aggregate`, `deep` (with PyTorch), `index`, `geometry`, `evaluation`; and `Collection`,
which joins them in a folder on disk.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import aggregate, deep, evaluation, features, geometry, images, index, neighbors, words
    from .collection import Collection, Hit

__all__ = [
    "Collection",
    "Hit",
    "__version__",
    "aggregate",
    "deep",
    "evaluation",
    "features",
    "geometry",
    "images",
    "index",
    "neighbors",
    "words",
]

_STAGES = frozenset(
    {
        "aggregate",
        "collection",
        "deep",
        "evaluation",
        "features",
        "geometry",
        "images",
        "index",
        "neighbors",
        "words",
    }
)


def __getattr__(name: str) -> Any:
    # Nothing is imported before it is used: `import trouvaille` costs nothing.
    if name in _STAGES:
        return importlib.import_module(f".{name}", __name__)
    if name in ("Collection", "Hit"):
        return getattr(importlib.import_module(".collection", __name__), name)
    if name == "__version__":
        return importlib.import_module("._core", __name__).__version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
