# SPDX-License-Identifier: Apache-2.0
"""The shell's face: index a folder of photos, search it, evaluate it; a module a command."""

from . import demo, evaluate, features, index, match, search, vocabulary
from ._app import app, main

__all__ = [
    "app",
    "demo",
    "evaluate",
    "features",
    "index",
    "main",
    "match",
    "search",
    "vocabulary",
]
