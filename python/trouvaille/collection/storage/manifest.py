# SPDX-License-Identifier: Apache-2.0
"""The manifest: the files that make up the collection, and what must be known to trust them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from ..._core import crc32c
from ..._sections import text
from ...errors import FormatVersionError, IndexCorruptError
from .directory import Directory, is_plain_name

VERSION = 1
MAX_BYTES = 1 << 26
_HEAD, _BETWEEN, _TAIL = b'{"crc32c":"', b'","manifest":', b"}\n"
_CURRENT = re.compile(rb"(manifest-[0-9]{6,18}\.json) ([0-9a-f]{8})\n")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class FileEntry:
    """A file, so described that no other passes for it."""

    kind: str
    name: str
    uuid: UUID
    size: int
    checksum: int  # of the table of its blocks' checksums
    required: bool = True  # a reader that does not know the kind must refuse the index

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a manifest holds it."""
        return {**self.__dict__, "uuid": str(self.uuid)}


@dataclass(frozen=True)
class SegmentEntry:
    """A segment: the files in its folder, written once."""

    uuid: UUID
    n_images: int
    n_features: int
    files: tuple[FileEntry, ...]
    tombstones: tuple[FileEntry, ...] = ()

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"seg-{self.uuid}"

    def to_json(self) -> dict[str, Any]:
        """Return the entry as a manifest holds it."""
        files = [file.to_json() for file in self.files]
        tombstones = [file.to_json() for file in self.tombstones]
        return {**self.__dict__, "uuid": str(self.uuid), "files": files, "tombstones": tombstones}


@dataclass(frozen=True)
class Manifest:
    """One state of the collection, whole and unchanging."""

    collection: UUID
    generation: int
    settings: dict[str, Any]
    fingerprint: str
    n_images: int = 0  # in all segments, without the deleted ones
    n_features: int = 0
    files: tuple[FileEntry, ...] = ()
    segments: tuple[SegmentEntry, ...] = field(default=())

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"manifest-{self.generation:06d}.json"

    def file(self, kind: str) -> FileEntry | None:
        """Return the entry of the collection's file of that kind, if there is one."""
        return next((file for file in self.files if file.kind == kind), None)

    def names(self) -> set[str]:
        """Return the names of the files and folders in the collection's folder that it needs."""
        tombstones = {file.name for segment in self.segments for file in segment.tombstones}
        folders = {segment.folder for segment in self.segments}
        return {self.name, *(file.name for file in self.files)} | folders | tombstones

    def encode(self) -> bytes:
        """Return the manifest as its file holds it."""
        members = {
            **self.__dict__,
            "format": VERSION,
            "collection": str(self.collection),
            "files": [file.to_json() for file in self.files],
            "segments": [segment.to_json() for segment in self.segments],
        }
        return sign(text.dump(members))


def sign(body: bytes) -> bytes:
    """Return the file of a manifest whose JSON is `body`."""
    return _HEAD + b"%08x" % crc32c(body) + _BETWEEN + body + _TAIL


def current(manifest: bytes, name: str) -> bytes:
    """Return what CURRENT holds: the name of the manifest, and the checksum of its file."""
    return b"%s %08x\n" % (name.encode(), crc32c(manifest))


def read_current(directory: Directory) -> bytes:
    """Return the bytes of CURRENT, which tell one state of the collection from another."""
    return directory.read("CURRENT", 64)


def read_manifest(directory: Directory, pointer: bytes) -> Manifest:
    """Return the manifest that CURRENT, holding `pointer`, names."""
    match = _CURRENT.fullmatch(pointer)
    if not match:
        raise IndexCorruptError(
            directory.path_of("CURRENT"), "CURRENT", 0, "does not name a manifest and its checksum"
        )
    name = match[1].decode()
    data = directory.read(name, MAX_BYTES)
    path = directory.path_of(name)
    start = len(_HEAD) + 8 + len(_BETWEEN)
    body = data[start : -len(_TAIL)]
    if b"%08x" % crc32c(data) != match[2] or data != sign(body):
        raise IndexCorruptError(path, "manifest", start, "its checksum does not match")
    try:
        manifest = _parse(body, path)
    except FormatVersionError:
        raise
    except ValueError as error:
        raise IndexCorruptError(path, "manifest", start, str(error)) from None
    if manifest.name != name:
        raise IndexCorruptError(path, "manifest", start, f"says that it is {manifest.name}")
    return manifest


def _parse(body: bytes, path: Path) -> Manifest:
    value = text.parse(body)
    version = value.get("format") if isinstance(value, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError("has no format version")
    if version > VERSION:
        raise FormatVersionError(path, f"format {version}", f"formats up to {VERSION}")
    members = _members(value, {**Manifest.__annotations__, "format": "int"}, path)
    del members["format"]
    members["files"] = tuple(_file(file, path) for file in members["files"])
    members["segments"] = tuple(_segment(segment, path) for segment in members["segments"])
    manifest = Manifest(**members)
    _check(manifest, path)
    return manifest


def _segment(value: Any, path: Path) -> SegmentEntry:
    members = _members(value, SegmentEntry.__annotations__, path)
    for key in ("files", "tombstones"):
        members[key] = tuple(_file(file, path) for file in members[key])
    return SegmentEntry(**members)


def _file(value: Any, path: Path) -> FileEntry:
    entry = FileEntry(**_members(value, FileEntry.__annotations__, path))
    if not is_plain_name(entry.name):
        raise ValueError(f"{entry.name!r} is not a plain file name")
    return entry


def _members(value: Any, types: dict[str, str], path: Path) -> dict[str, Any]:
    """Return the members of a JSON object, each of its type; none is missing, none unknown."""
    if not isinstance(value, dict):
        raise ValueError("holds something else where an object must be")
    if types.keys() - value.keys():
        raise ValueError(f"lacks {sorted(types.keys() - value.keys())}")
    unknown = sorted(value.keys() - types.keys())
    if unknown:
        raise FormatVersionError(path, f"the unknown members {unknown}", f"format {VERSION}")
    return {key: _typed(key, value[key], kind) for key, kind in types.items()}


_JSON_TYPES: dict[str, type] = {
    "int": int,
    "bool": bool,
    "str": str,
    "UUID": str,
    "dict[str, Any]": dict,
    "tuple[FileEntry, ...]": list,
    "tuple[SegmentEntry, ...]": list,
}


def _typed(key: str, value: Any, kind: str) -> Any:
    want = _JSON_TYPES[kind]
    if type(value) is not want:  # a bool is no int here
        raise ValueError(f"{key} must be of type {want.__name__}")
    if kind == "int":
        return _number(key, value)
    return _uuid(key, value) if kind == "UUID" else value


def _number(key: str, value: Any) -> int:
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{key} is out of bounds: {value}")
    return int(value)


def _uuid(key: str, value: Any) -> UUID:
    if not _UUID.fullmatch(value):
        raise ValueError(f"{key} is not a UUID")
    return UUID(value)


def _check(manifest: Manifest, path: Path) -> None:
    """Check what must agree between the parts of a manifest."""
    segments = manifest.segments
    for segment in segments:
        if segment.tombstones:
            raise FormatVersionError(path, "deleted images", "only collections without")
        if segment.n_images >= 1 << 32:
            raise ValueError(f"segment {segment.uuid} has {segment.n_images} images")
        _check_unique([file.kind for file in segment.files], "kind of file in a segment")
        _check_unique([file.name for file in segment.files], "file in a segment")
    _check_unique([file.kind for file in manifest.files], "kind of file")
    _check_unique([file.name for file in manifest.files], "file")
    _check_unique([str(segment.uuid) for segment in segments], "segment")
    for key in ("n_images", "n_features"):
        total = sum(getattr(segment, key) for segment in segments)
        if total != getattr(manifest, key):
            raise ValueError(f"{key} is {getattr(manifest, key)}, its segments' {total}")


def _check_unique(names: list[str], what: str) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"names a {what} twice")
