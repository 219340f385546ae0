# SPDX-License-Identifier: Apache-2.0
"""Files outside of collections: written whole or not at all, and named by text or not."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PART = re.compile(r"\.[0-9a-f]{32}\.part")
_OWN_FILES = "/proc/self/fd/{}"
_HAS_TRACKFD = sys.version_info >= (3, 13) and sys.platform != "win32"


def replace(path: Path, parts: Iterable[Any]) -> None:
    """Write bytes to a file beside `path`, then give it that name: a crash leaves old or new.

    And nothing else, where the system has files without a name (Linux, most file systems).
    """
    # Of a name of its own, which must not be too long where that of `path` just is not.
    aside = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        unnamed = _opened_without_name(aside.parent)
        with aside.open("xb") if unnamed is None else os.fdopen(unnamed, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            if unnamed is not None:
                _give_name(unnamed, aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _opened_without_name(folder: Path) -> int | None:
    """Return a new file that goes away with this process, or None where there is no such thing."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        file = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError:  # not on this file system; or the folder is at fault, which a named file says
        return None
    if os.path.lexists(_OWN_FILES.format(file)):
        return file
    os.close(file)  # /proc is not there, by which alone it would get a name
    return None


def _give_name(file: int, path: Path) -> None:
    unnamed = _OWN_FILES.format(file)
    folder = os.open(path.parent, os.O_DIRECTORY)
    try:
        # Only with a folder's descriptor does Python follow the link to what it stands for.
        os.link(unnamed, path.name, dst_dir_fd=folder)
    except OSError:  # where links are forbidden: by Android, by profiles of AppArmor
        with Path(unnamed).open("rb") as written, path.open("xb") as named:
            shutil.copyfileobj(written, named)
            named.flush()
            os.fsync(named.fileno())
    finally:
        os.close(folder)


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
