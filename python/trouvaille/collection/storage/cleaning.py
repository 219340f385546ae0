# SPDX-License-Identifier: Apache-2.0
"""Removing what no manifest names: what a writer left that did not come to its commit."""

from __future__ import annotations

import contextlib
import re

from .directory import Directory
from .manifest import Manifest

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FILE = re.compile(
    rf"CURRENT\.new|manifest-[0-9]{{6,18}}\.json|(?:vocabulary|embedding|statistics|network)-{_UUID}"
    rf"|del-{_UUID}-[0-9]+"
)
_FOLDER = re.compile(rf"seg-{_UUID}")
_IN_FOLDER = re.compile(r"[a-z][a-z0-9_]*|images\.(?:sqlite|crc)")


def remove_orphans(directory: Directory, manifest: Manifest) -> None:
    """Remove the files and folders of an index that `manifest` does not name.

    What has no name of ours, or is a link, was put there by someone else and stays, and so does a
    folder in which such a thing lies.
    """
    live = manifest.names()
    for name in directory.list():
        if name in live:
            continue
        if _FILE.fullmatch(name) and directory.is_file(name):
            _remove(directory, name)
        elif _FOLDER.fullmatch(name) and directory.is_folder(name):
            _remove_segment(directory, name)


def _remove(directory: Directory, name: str) -> None:
    with contextlib.suppress(OSError):  # Windows keeps what a reader has open: another time
        directory.unlink(name)


def _remove_segment(directory: Directory, folder: str) -> None:
    for name in directory.list(folder):
        path = f"{folder}/{name}"
        if _IN_FOLDER.fullmatch(name) and directory.is_file(path):
            _remove(directory, path)
    with contextlib.suppress(OSError):  # not empty
        directory.remove_folder(folder)
