# SPDX-License-Identifier: Apache-2.0
"""An index in one file; docs/format.md has every byte."""

from __future__ import annotations

from .._array_file import MAX_CONTENTS, ArrayFile

__all__ = ["MAX_CONTENTS", "read", "write"]

_FORMAT = ArrayFile("inverted_file", 1, "an inverted file")
read, write = _FORMAT.read, _FORMAT.write
