# SPDX-License-Identifier: Apache-2.0
"""A collection's folder: create it, open it, write to it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from ..._sections import text
from ...errors import IndexCorruptError
from .cleaning import remove_orphans
from .directory import Directory, advice
from .manifest import Manifest
from .section import Verify
from .segment import Segment
from .snapshot import Snapshot, open_snapshot
from .writer import Writer, publish

# What an interrupted `create` may leave; another may go on from there.
_REMAINS = {"LOCK", "CURRENT.new", "manifest-000000.json"}


class Storage:
    """The files of a collection. Any number may read them while one writes.

    Attributes
    ----------
    directory : Directory
    snapshot : Snapshot
        The state that was last opened or committed through this object.
    """

    def __init__(self, directory: Directory, snapshot: Snapshot) -> None:
        self.directory = directory
        self.snapshot = snapshot

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str] | Directory,
        settings: Mapping[str, Any],
        fingerprint: str,
    ) -> Storage:
        """Make a new collection without images.

        Parameters
        ----------
        path : path-like or Directory
            The folder to make. It may exist if it is empty.
        settings : mapping
            The collection's own, plain JSON values; they do not change.
        fingerprint : str
            Which descriptor it is made of.

        Raises
        ------
        FileExistsError
            If there is something at `path` already.
        CollectionLockedError
            If another process is creating it.
        """
        directory = _directory(path)
        copy = text.plain(dict(settings), "settings")
        with advice(directory, "make a folder here"):
            if not directory.is_folder(""):
                try:
                    directory.make_folder()
                except FileExistsError:
                    raise _taken(directory) from None
            _check_free(directory)
            with directory.lock("LOCK"):
                _check_free(directory)
                for name in _REMAINS - {"LOCK"}:
                    if directory.is_file(name):
                        directory.unlink(name)
                publish(directory, Manifest(uuid4(), 0, copy, fingerprint))
                directory.sync_parent()
            return cls(directory, open_snapshot(directory))

    @classmethod
    def open(cls, path: str | os.PathLike[str] | Directory, verify: Verify = "lazy") -> Storage:
        """Open a collection for reading.

        Parameters
        ----------
        path : path-like or Directory
            Its folder. It is not trusted: opening runs no code that lies there, believes no number
            before it is compared with the files' sizes, and follows no link.
        verify : {"lazy", "full"}
            Whether a block is verified when it is first touched, or all now.

        Raises
        ------
        FileNotFoundError, NotADirectoryError, ValueError
            If there is no collection at `path`.
        IndexCorruptError
            If it is damaged; it says which file, which section, and where.
        FormatVersionError
            If a newer version wrote it.
        """
        if verify not in ("lazy", "full"):
            raise ValueError(f"verify must be 'lazy' or 'full', got {verify!r}")
        directory = _directory(path)
        with advice(directory, "read"):
            _check_collection(directory)
            return cls(directory, open_snapshot(directory, verify))

    def refresh(self) -> Snapshot:
        """Open the last committed state, where it is not the one already open."""
        with advice(self.directory, "read"):
            self._take(open_snapshot(self.directory, reuse=self._open_segments()))
        return self.snapshot

    def _open_segments(self) -> dict[UUID, Segment]:
        return {segment.entry.uuid: segment for segment in self.snapshot.segments}

    def discard(self, *, keep_folder: bool = False) -> bool:
        """Remove the collection and its folder if it has no images; return whether it has none.

        Parameters
        ----------
        keep_folder : bool
            Leave the folder, which then is empty. One that holds anything else always stays.

        Raises
        ------
        CollectionLockedError
            If a writer is at work.
        """
        with self.directory.lock("LOCK"):
            manifest = open_snapshot(self.directory).manifest
            if manifest.n_images:
                return False
            # Without CURRENT it is no collection; what an interruption leaves goes with `create`.
            self.directory.unlink("CURRENT")
            nothing = dataclasses.replace(manifest, files=(), segments=())
            remove_orphans(self.directory, nothing)
            self.directory.unlink(manifest.name)
            with contextlib.suppress(OSError):  # Windows keeps what is open; `create` takes it over
                self.directory.unlink("LOCK")
                if not keep_folder:
                    self.directory.remove_folder("")
        return True

    def writer(self) -> Writer:
        """Return a writer: ``with storage.writer() as writer``; see `Writer`.

        On entering, `snapshot` becomes the last committed state: others may have added meanwhile.

        Raises
        ------
        CollectionLockedError
            On entering, at once, if another writer is at work.
        """
        return Writer(self.directory, self._take, self._open_segments())

    def _take(self, snapshot: Snapshot) -> None:
        if snapshot.manifest.collection != self.snapshot.manifest.collection:
            raise ValueError(
                f"{self.directory.path} is another collection than the one that was opened there: "
                "open it again"
            )
        self.snapshot = snapshot


def _directory(path: str | os.PathLike[str] | Directory) -> Directory:
    return path if isinstance(path, Directory) else Directory(path)


def _taken(directory: Directory) -> FileExistsError:
    return FileExistsError(
        f"{directory.path} exists already; open it if it is a collection, "
        "choose another path, or remove it first"
    )


def _check_free(directory: Directory) -> None:
    if set(directory.list()) - _REMAINS:
        raise _taken(directory)


def _check_collection(directory: Directory) -> None:
    path = directory.path
    if not os.path.lexists(path):
        raise FileNotFoundError(f"there is no collection at {path}; create one there first")
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; a collection is a folder")
    if directory.exists("CURRENT"):
        return
    if any(name.startswith(("manifest-0", "seg-", "vocabulary-")) for name in directory.list()):
        raise IndexCorruptError(
            path / "CURRENT", "CURRENT", 0, "is missing; the collection was damaged, or not made"
        )
    raise ValueError(f"{path} is not a collection: it has no file CURRENT")
