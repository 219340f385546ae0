# SPDX-License-Identifier: Apache-2.0
"""One writer at a time, by a lock of the operating system: it goes when its holder does."""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path
from types import TracebackType

from .errors import CollectionLockedError

if sys.platform == "win32":
    import msvcrt

    def _try_to_lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_to_lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


class Lock:
    """The exclusive lock on a file, held until `release`, or until the process is no more.

    The file itself stays: removing it would let two writers lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._file: int | None = os.open(path, flags, 0o666)
        try:
            _try_to_lock(self._file)
        except OSError as error:
            self.forget()
            # Windows says EACCES, others EWOULDBLOCK, where it is held.
            if not isinstance(error, (BlockingIOError, PermissionError)):
                raise
            raise CollectionLockedError(path.parent) from None
        _held.add(self)

    def release(self) -> None:
        """Let the next writer in, even if a child forked just now has the file open still."""
        if self._file is not None:
            _unlock(self._file)
            self.forget()

    def forget(self) -> None:
        """Close the file; the lock stays with another process that shares it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


def _forget_in_child() -> None:
    # A forked child shares the parent's lock, and would hold it after the parent's death.
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
