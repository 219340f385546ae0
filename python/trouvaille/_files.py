# SPDX-License-Identifier: Apache-2.0
"""Files outside of collections: written whole or not at all, and named by text or not."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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
    if hasattr(os, "O_DIRECTORY"):  # the name itself is on disk once its folder is
        folder = os.open(path.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold the text; the name of a file need not be of that kind."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
