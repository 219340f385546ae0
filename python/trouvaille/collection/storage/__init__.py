# SPDX-License-Identifier: Apache-2.0
"""The collection on disk: files written once, a manifest that names them, one rename to commit.

`docs/format.md` describes every byte. What each file here is for, from the bottom up:

- `directory`: the only code that touches the file system; `lock`: one writer at a time.
- `section`: named arrays in a file, as `trouvaille._sections` lays them out.
- `kinds`: which arrays there are, and what must hold of them; `catalogue`: the images, in SQLite.
- `manifest`: the list of files that make a state; `segment`, `snapshot`: that state, opened.
- `writer`: the next state; `cleaning`: what became of those that never were; `storage`: all of it.
"""

from __future__ import annotations

from .catalogue import Catalogue, CatalogueRow
from .directory import Directory
from .manifest import FileEntry, Manifest, SegmentEntry
from .section import Section, write_section
from .segment import Segment
from .snapshot import Snapshot
from .storage import Storage
from .writer import Writer

__all__ = [
    "Catalogue",
    "CatalogueRow",
    "Directory",
    "FileEntry",
    "Manifest",
    "Section",
    "Segment",
    "SegmentEntry",
    "Snapshot",
    "Storage",
    "Writer",
    "write_section",
]
