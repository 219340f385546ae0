# SPDX-License-Identifier: Apache-2.0
"""Manifests of folders that are written photo by photo: what all photos of a folder share.

``manifest.json`` has the format's version, the fingerprint of what described the photos, and the
settings that it had. It is written before anything else and is there whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _files
from .errors import FormatVersionError, IndexCorruptError

MANIFEST, LOCK = "manifest.json", "LOCK"
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Manifests:
    """The manifests of folders of one kind.

    Attributes
    ----------
    of : str
        What such folders hold, for a person.
    version : int
        Of their format, the newest.
    check : callable
        Raises a ValueError, TypeError or KeyError for a manifest whose own parts are wrong.
    defaults : mapping
        The settings of folders of before that do not say them.
    """

    of: str
    version: int
    check: Callable[[Manifest], None]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def read(self, folder: Path) -> Manifest:
        """Return the manifest of a folder.

        Raises
        ------
        FileNotFoundError
            If there is none.
        IndexCorruptError, FormatVersionError
            If it is damaged, or of a newer version.
        """
        path = folder / MANIFEST
        if not path.exists():
            raise FileNotFoundError(f"{folder} holds no {self.of}: it has no {MANIFEST}")
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            version = manifest["format"]
            if isinstance(version, int) and version > self.version:
                raise FormatVersionError(path, f"format {version}", str(self.version))
            typed = isinstance(manifest["fingerprint"], str)
            if version != self.version or not typed or not isinstance(manifest["settings"], dict):
                raise ValueError
            self.check(manifest)
        except FormatVersionError:
            raise
        except (ValueError, TypeError, KeyError, RecursionError):
            reason = f"is no manifest of {self.of}"
            raise IndexCorruptError(path, "manifest", 0, reason) from None
        found: Manifest = manifest
        found["settings"] = {**self.defaults, **found["settings"]}
        return found

    def begin(self, folder: Path, text: str) -> None:
        """Write the manifest into a folder that has none; a ValueError if it has anything else."""
        if (folder / MANIFEST).exists():
            return
        names = [entry.name for entry in folder.iterdir()]
        if others := [name for name in names if name != LOCK and not _files.is_part(name)]:
            raise ValueError(f"{folder} holds no {self.of} but {others[0]!r}; name a new folder")
        _files.replace(folder / MANIFEST, [text.encode()])

    def difference(self, found: Manifest, wanted: Manifest) -> str | None:
        """Return which setting of a folder is not the one that is wanted, if any is."""
        old, new = found["settings"], wanted["settings"]
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                return f"holds {self.of} of {name}={old.get(name)!r}, not {new.get(name)!r}"
        return None
