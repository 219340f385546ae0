# SPDX-License-Identifier: Apache-2.0
"""The one place where an index touches the file system."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import _files
from ..._lock import Lock
from ...errors import IndexCorruptError

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}")
# A link is not followed; a pipe that lies where a file should be does not make opening wait.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITE_AT_MOST = 1 << 26  # bytes a system call: Ctrl-C and errors come through in between


def is_plain_name(name: str) -> bool:
    """Whether `name` names a file in its folder, whatever the system: no separator, no ``..``."""
    return _PLAIN_NAME.fullmatch(name) is not None


class Directory:
    """A folder: all that an index reads, writes, renames or removes goes through its methods.

    A name is a plain file name, or two with a ``/`` between: a file in a folder of the folder.
    The methods that change something are the steps at which a fault can strike; each does one
    thing and calls no other, so that a test double overrides them one by one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def path_of(self, name: str) -> Path:
        """Return the path of `name`, which must not lead out of the folder."""
        parts = name.split("/") if name else []
        if len(parts) > 2 or not all(is_plain_name(part) for part in parts):
            raise ValueError(f"not a name inside an index: {name!r}")
        return self.path.joinpath(*parts)

    # Reading.

    def exists(self, name: str) -> bool:
        """Whether there is something of that name, be it a link that leads nowhere."""
        return os.path.lexists(self.path_of(name))

    def is_file(self, name: str) -> bool:
        """Whether `name` is a regular file; a link is none."""
        return self._has_mode(name, stat.S_ISREG)

    def is_folder(self, name: str) -> bool:
        """Whether `name` is a folder; a link is none."""
        return self._has_mode(name, stat.S_ISDIR)

    def _has_mode(self, name: str, test: Any) -> bool:
        try:
            return bool(test(self.path_of(name).lstat().st_mode))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def list(self, folder: str = "") -> list[str]:
        """Return the names of all that is in the folder, sorted."""
        return sorted(entry.name for entry in self.path_of(folder).iterdir())

    def read(self, name: str, at_most: int) -> bytes:
        """Return what the small file `name` holds."""
        with self._open(name) as file:
            size = os.fstat(file).st_size
            if size > at_most:
                raise self._corrupt(name, at_most, f"is larger than {at_most} bytes")
            data = b""
            while more := os.read(file, size + 1 - len(data)):
                data += more
        return data

    def map(self, name: str) -> mmap.mmap:
        """Return the file `name`, mapped into memory for reading.

        It stays readable when the file is removed, as long as the map lives.
        """
        with self._open(name) as file:
            if os.fstat(file).st_size == 0:
                raise self._corrupt(name, 0, "is empty")
            return _files.mapped(file)

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[int]:
        folder, _, _ = name.rpartition("/")
        if folder and not self.is_folder(folder):
            raise self._corrupt(name, 0, f"its folder {folder} is missing, or a link")
        path = self.path_of(name)
        try:
            if stat.S_ISLNK(path.lstat().st_mode):
                raise self._corrupt(name, 0, "is a symbolic link, which is not followed")
            file = os.open(path, os.O_RDONLY | _SAFELY)
        except FileNotFoundError:
            raise self._corrupt(name, 0, "is missing") from None
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise self._corrupt(name, 0, "is not a regular file")
            yield file
        finally:
            os.close(file)

    def _corrupt(self, name: str, offset: int, reason: str) -> IndexCorruptError:
        return IndexCorruptError(self.path_of(name), name.rpartition("/")[2], offset, reason)

    def lock(self, name: str) -> Lock:
        """Take the lock `name` or raise `CollectionLockedError` at once."""
        return Lock(self.path_of(name))

    # Writing: each method is one step.

    def make_folder(self, name: str = "") -> None:
        """Make a folder, which must not exist."""
        self.path_of(name).mkdir()

    def create(self, name: str) -> int:
        """Create the file `name`, which must not exist; return its descriptor."""
        return os.open(self.path_of(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o666)

    def write(self, file: int, data: memoryview) -> None:
        """Append all bytes of `data`."""
        while data:
            data = data[os.write(file, data[:_WRITE_AT_MOST]) :]

    def fsync(self, file: int) -> None:
        """Return when what was written to the file is on the disk."""
        if sys.platform == "darwin":  # whose fsync leaves it in the cache of the disk
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.fcntl(file, fcntl.F_FULLFSYNC)
                return
        os.fsync(file)

    def close(self, file: int) -> None:
        """Close a file that `create` opened."""
        os.close(file)

    def rename(self, old: str, new: str) -> None:
        """Give the file `old` the name `new`, replacing what had it, in one step."""
        self.path_of(old).replace(self.path_of(new))

    def unlink(self, name: str) -> None:
        """Remove the file `name`; who has it mapped goes on reading it."""
        self.path_of(name).unlink()

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        self.path_of(name).rmdir()

    def sync_folder(self, name: str = "") -> None:
        """Return when the names in the folder are on the disk."""
        _sync_folder(self.path_of(name))

    def sync_parent(self) -> None:
        """Return when the name of the folder itself is on the disk."""
        _sync_folder(self.path.absolute().parent)


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # which cannot, and orders such changes itself
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def advice(directory: Directory, what: str) -> Iterator[None]:
    """Say in a PermissionError what can be done about it."""
    try:
        yield
    except PermissionError as error:
        raise PermissionError(
            error.errno,
            f"no permission to {what}; take the right with chmod, or choose another path",
            str(error.filename or directory.path),
        ) from error
