# SPDX-License-Identifier: Apache-2.0
"""A path or bytes to the content of a file, read once and within the limits.

What is not a regular file is refused without waiting for it, and an error of the operating system
stays of its kind but says what to do.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TypeAlias

from .limits import ImageError, Limits

Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview"

_ADVICE = {
    FileNotFoundError: "check the path, and that its disk or network share is mounted",
    PermissionError: "give the user that runs this program permission to read it",
    IsADirectoryError: "an image file is expected; list a folder with find_photos",
    NotADirectoryError: "a file is where a folder is expected; decode reads a single image",
}


def read(source: Source, limits: Limits) -> tuple[bytes, str]:
    """Return the content of a source, and its name for errors."""
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = bytes(source), "image in memory"
    elif isinstance(source, str | os.PathLike):
        data, name = _read_file(Path(source), limits), repr(os.fspath(source))
    else:
        raise TypeError(
            f"source must be a path or the bytes of an image file, got {type(source).__name__}; "
            "for an array of pixels use load_gray or as_gray"
        )
    if len(data) > limits.max_bytes:
        raise _file_too_large(name, limits)
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes)", "empty")
    return data, name


def _read_file(path: Path, limits: Limits) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{str(path)!r}: a pipe or device, not a regular file", "unsupported")
        if status.st_size > limits.max_bytes:
            raise _file_too_large(repr(str(path)), limits)
        # Should it become a pipe or a device in between: no wait, and no read without end.
        with open(path, "rb", opener=_open_without_waiting) as file:
            return file.read(limits.max_bytes + 1)
    except OSError as error:
        raise with_advice(error, path) from error


def _file_too_large(name: str, limits: Limits) -> ImageError:
    return ImageError(
        f"{name}: larger than {limits.max_bytes} bytes; shrink it or raise Limits.max_bytes",
        "too_large",
    )


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def with_advice(error: OSError, path: Path) -> OSError:
    """Return the same kind of error, errno and filename kept, saying what to do."""
    advice = _ADVICE.get(type(error))
    if advice is None:
        return error
    return type(error)(error.errno, f"{error.strerror}: {advice}", str(path))
