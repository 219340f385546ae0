# SPDX-License-Identifier: Apache-2.0
"""The photos below a folder, in the same order on every platform.

Photos are told by the extension of the name here, because files are not opened.
"""

from __future__ import annotations

import os
from pathlib import Path

from .source import with_advice

PHOTO_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


def find_photos(folder: str | os.PathLike[str]) -> list[Path]:
    """List all photos below a folder: .jpg .jpeg .png .webp .tif .tiff, in either case.

    Parameters
    ----------
    folder : path
        Hidden files and folders below it are skipped. Links to files are listed, links to folders
        are not followed, so a loop of links is harmless and no photo is listed under two folders.

    Returns
    -------
    list of Path
        ``folder / relative``, sorted by the relative path with forward slashes, the same order on
        every platform. Empty if there are none. Files are not opened.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, PermissionError
        The folder, or one below it, cannot be listed. Nothing is left out silently.
    """
    root = Path(folder)
    found: list[str] = []
    pending = [""]
    while pending:
        prefix = pending.pop()
        for entry in _list_folder(root / prefix):
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{prefix}{entry.name}/")
            elif entry.name.lower().endswith(PHOTO_EXTENSIONS) and not _is_link_to_folder(entry):
                found.append(prefix + entry.name)
    return [root / relative for relative in sorted(found)]


def _list_folder(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise with_advice(error, folder) from error


def _is_link_to_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and Path(entry).is_dir()
