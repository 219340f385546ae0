# SPDX-License-Identifier: Apache-2.0
"""Files outside of collections: written whole or not at all, and named by text or not."""

from __future__ import annotations

import mmap
import os
import re
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PART = re.compile(r"\.[0-9a-f]{32}\.part")
_HAS_TRACKFD = sys.version_info >= (3, 13) and sys.platform != "win32"


def replace(path: Path, parts: Iterable[Any]) -> None:
    """Write bytes to a file beside `path`, then give it that name: a crash leaves old or new."""
    # Of a name of its own, which must not be too long where that of `path` just is not.
    aside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with aside.open("xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def is_part(name: str) -> bool:
    """Whether a file's name is one that `replace` gave it: one that a crash has left behind."""
    return _PART.fullmatch(name) is not None


def remove(path: Path) -> None:
    """Remove a file, if it is there, before anything that is written afterwards."""
    path.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Have the names in a folder on disk, which is not so once its files are."""
    if hasattr(os, "O_DIRECTORY"):
        opened = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def mapped(file: int) -> mmap.mmap:
    """Return the open file, which is not empty, mapped into memory for reading.

    It stays readable when the file is closed or removed, as long as the map lives.
    """
    # Without its own copy of the file descriptor (Python 3.13) a map costs none.
    options: Any = {"trackfd": False} if _HAS_TRACKFD else {}
    return mmap.mmap(file, 0, access=mmap.ACCESS_READ, **options)


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold the text; the name of a file need not be of that kind."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
