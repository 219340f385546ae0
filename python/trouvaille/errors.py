# SPDX-License-Identifier: Apache-2.0
"""Errors that say more than ValueError or RuntimeError do."""

from __future__ import annotations

import os
from pathlib import Path


class TrouvailleError(Exception):
    """What every error of trouvaille's own is, beside the kind of Python's that it is."""


class IndexCorruptError(TrouvailleError, ValueError):
    """A file of an index does not hold what was written to it.

    Attributes
    ----------
    path : Path
        The file.
    section : str
        The part of it, as ``postings.images``.
    offset : int
        Where in the file, in bytes.
    reason : str
        What is wrong there.
    """

    def __init__(
        self, path: str | os.PathLike[str], section: str, offset: int, reason: str
    ) -> None:
        super().__init__(path, section, offset, reason)  # as arguments, so that it can be pickled
        self.path = Path(path)
        self.section = section
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}, section {self.section!r}, offset {self.offset}: {self.reason}"


class FormatVersionError(TrouvailleError, ValueError):
    """An index is written in a format, or needs a section, that this version does not know."""

    def __init__(self, path: str | os.PathLike[str], found: str, known: str) -> None:
        super().__init__(path, found, known)
        self.path = Path(path)
        self.found = found
        self.known = known

    def __str__(self) -> str:
        return (
            f"{self.path} has {self.found}; this version of trouvaille knows {self.known}. "
            "Open it with a newer one: pip install --upgrade trouvaille"
        )


class CollectionLockedError(TrouvailleError, RuntimeError):
    """Another writer holds the collection; any number may read it, but only one may write."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self.path = Path(path)

    def __str__(self) -> str:
        return (
            f"{self.path} is being written by another process or thread; "
            "wait until that is done, or end it (the lock goes with it)"
        )


class CheckpointError(TrouvailleError, ValueError):
    """A network's file is refused: it is damaged, holds code, or is of another network.

    Attributes
    ----------
    path : Path
        The file.
    reason : str
        What is wrong with it.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(path, reason)
        self.path = Path(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
