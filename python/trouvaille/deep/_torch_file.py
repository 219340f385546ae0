# SPDX-License-Identifier: Apache-2.0
"""The files of `torch.save`, old and new, and plain pickles: `load` returns their data.

New ones are zip archives: `data.pkl`, whose tensors refer to `data/<key>` by key. Old ones (before
PyTorch 1.6) are a magic number, a version, sizes, the object and the keys of storages, each a
pickle, and then the storages: how many numbers, and these. All may lie in a zip archive alone, as
dirtorch's do. Whatever is in them, nothing is run; see `_unpickle`.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from ..errors import CheckpointError
from ._pickled_values import STORAGES, RefusedError
from ._unpickle import Unpickler

_MAGIC = 0x1950A86A20F9469CFC6C
_MEMBER = b"PK\1\2"  # what each file of an archive is listed with
_NAMES = (".pt", ".pth", ".pkl", ".tar")
_MOST_EXPANSION = 8  # of a file in an archive: numbers of a network hardly compress
_MOST_MEMBERS = 1 << 16  # of an archive in an archive, which may be named in few bytes
_OVERLAP = 8  # times the file's size, of all tensors
# Of all else: times the size of the file on the disk, and bytes, since small ones have little else.
_OVERHEAD, _SPARE = 16, 16 << 20


def load(path: str | os.PathLike[str]) -> Any:
    """Return what a file of PyTorch, or a pickle, holds: plain values, tensors and arrays.

    Raises
    ------
    CheckpointError
        If it is damaged, or holds anything else.
    FileNotFoundError
        If there is none.
    """
    path = Path(path)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(path, "is not a regular file")
    with path.open("rb") as file:
        try:
            return _load(file, status.st_size, status.st_size)
        except RefusedError as error:
            raise CheckpointError(path, str(error)) from None
        except Exception as error:  # whatever damaged bytes make of zipfile, pickletools and torch
            reason = f"is damaged, or no file of PyTorch: {type(error).__name__}: {error}"
            raise CheckpointError(path, reason[:500]) from None


def _load(file: IO[bytes], size: int, on_disk: int, in_archive: bool = False) -> Any:
    """Return what a file of that size holds, which may be a part of a smaller one on the disk."""
    most = _OVERHEAD * on_disk + _SPARE
    if file.read(2) != b"PK":
        file.seek(0)
        return _load_pickles(_Bounded(file, size), most)
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in members if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) == 1:
            if members[pickles[0]].file_size > on_disk + _SPARE:
                raise RefusedError("has a pickle that is larger than the file")
            return _load_archive(archive, members, pickles[0], size, most)
        files = [name for name in members if name.lower().endswith(_NAMES)]
        if len(files) != 1 or in_archive:
            raise RefusedError(f"is an archive with {len(files)} networks, expected one")
        data = _expanded(archive, members[files[0]], size)
    if data.count(_MEMBER) > _MOST_MEMBERS:
        raise RefusedError(f"holds an archive of more than {_MOST_MEMBERS} files")
    return _load(io.BytesIO(data), len(data), on_disk, in_archive=True)


def _expanded(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> bytes:
    """Return a file of an archive; no more is made of it than it says."""
    if member.file_size > _MOST_EXPANSION * size:
        raise RefusedError(
            f"is an archive whose {member.filename!r} would take {member.file_size} bytes"
        )
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedError("is compressed in a way that is not read here: use deflate")
    with archive.open(member) as file:
        return file.read(member.file_size)  # without a number, whatever the bytes expand to


def _load_archive(
    archive: zipfile.ZipFile,
    members: dict[str, zipfile.ZipInfo],
    name: str,
    size: int,
    max_overhead: int,
) -> Any:
    root = name.removesuffix("data.pkl")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise RefusedError("is compressed, which PyTorch does not do")
    if sum(member.file_size for member in members.values()) > size:
        raise RefusedError("has parts that overlap")
    order = members.get(f"{root}byteorder")
    if order is not None and archive.read(order) != b"little":
        raise RefusedError("is of another byte order")
    storages: dict[str, Any] = {}

    def storage_of(parts: tuple[Any, ...]) -> Any:
        dtype, key, count = _parsed(parts)
        if key not in storages:
            data = archive.read(members[f"{root}data/{key}"])
            if len(data) != count * dtype.itemsize:
                raise RefusedError(f"storage {key!r} has {len(data)} bytes, not {count} numbers")
            storages[key] = _numbers(data, dtype)
        return _same(storages[key], dtype, count)

    unpickler = Unpickler(storage_of, _OVERLAP * size, max_overhead)
    return unpickler.read(io.BytesIO(archive.read(name)))


def _load_pickles(file: _Bounded, max_overhead: int) -> Any:
    storages: dict[str, Any] = {}
    bytes_left = file.size

    def storage_of(parts: tuple[Any, ...]) -> Any:
        nonlocal bytes_left
        dtype, key, count = _parsed(parts)
        if key not in storages:
            bytes_left -= count * dtype.itemsize
            if bytes_left < 0:
                raise RefusedError("has storages that are larger than it is")
            storages[key] = torch.zeros(count, dtype=dtype)
        return _same(storages[key], dtype, count)

    unpickler = Unpickler(storage_of, _OVERLAP * file.size, max_overhead)
    first = unpickler.read(file)
    if type(first) is not int or first != _MAGIC:
        return first
    unpickler.read(file)  # the version of the protocol
    if unpickler.read(file).get("little_endian") is not True:
        raise RefusedError("is of another byte order")
    value, keys = unpickler.read(file), unpickler.read(file)
    if sorted(keys) != sorted(storages):
        raise RefusedError("does not hold the storages that its tensors are of")
    for key in keys:
        storage = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        data = file.read(storage.nbytes)
        if count != len(storage) or len(data) != storage.nbytes:
            raise RefusedError(f"storage {key!r} is cut short")
        storage.copy_(_numbers(data, storage.dtype))
    return value


def _parsed(parts: tuple[Any, ...]) -> tuple[Any, str, int]:
    """Return type, key and count of a reference to a storage; its device is not looked at."""
    if len(parts) == 6 and parts[5] is None:  # what an old file says of a view
        parts = parts[:5]
    if len(parts) != 5 or parts[0] != "storage" or type(parts[2]) is not str:
        raise RefusedError("refers to a storage in a way that is not known")
    dtype = STORAGES.get(parts[1]) if type(parts[1]) is str else None
    if dtype is None or type(parts[4]) is not int or parts[4] < 0:
        raise RefusedError("refers to a storage of an unknown type or size")
    return dtype, parts[2], parts[4]


def _same(storage: Any, dtype: Any, count: int) -> Any:
    if storage.dtype != dtype or len(storage) != count:
        raise RefusedError("refers to one storage as two of different types or sizes")
    return storage


def _numbers(data: bytes, dtype: Any) -> Any:
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


class _Bounded:
    """A file that is asked for no more bytes than it has: they would be allocated first."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self.size = size
        self.readline, self.tell = file.readline, file.tell

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self.size - self._file.tell()))
