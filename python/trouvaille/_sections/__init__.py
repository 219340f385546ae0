# SPDX-License-Identifier: Apache-2.0
"""Section files: named arrays in a file, under checksums; `docs/format.md` describes every byte.

From the bottom up: `blocks` is a checksum for every 64 KiB, `text` JSON in one form only, `header`
the head of a file, `encoding` a file to be written, `file` one that is read. Nothing here opens or
names a file: that is for who keeps them, a collection or an index.
"""

from __future__ import annotations

from .encoding import Encoding, Joined
from .file import SectionFile, name_at

__all__ = ["Encoding", "Joined", "SectionFile", "name_at"]
