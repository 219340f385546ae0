# SPDX-License-Identifier: Apache-2.0
"""The head of a section file: what it is, and where its arrays lie.

Nothing here is believed before it is compared with the size of the file.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from . import text
from .blocks import BLOCK, n_blocks

MAGIC = b"\x89TRV\r\n\x1a\n"  # as PNG's: survives no transfer as text
VERSION = 1
ALIGNMENT = 64
DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("uint8", "uint16", "uint32", "uint64"),
        *("int8", "int16", "int32", "int64"),
        *("float16", "float32", "float64"),
    )
}
MAX_AXES = 8
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# magic, version, bytes a block, uuid, bytes of the file, where the data end (and the CRCs begin),
# bytes of the description.
_PREFIX = struct.Struct("<8sII16sQQI12x")


class ArraySpec(NamedTuple):
    """Where an array lies in the file, and as what."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Prefix:
    """The first 64 bytes of a file."""

    version: int
    uuid: UUID
    size: int
    data_end: int
    description: int  # its size


@dataclass(frozen=True)
class Description:
    """What follows the prefix: JSON, padded with zeros to a multiple of 64."""

    kind: str
    metadata: dict[str, Any]
    arrays: dict[str, ArraySpec]


def aligned(n: int) -> int:
    """Return the next multiple of 64."""
    return -(-n // ALIGNMENT) * ALIGNMENT


def size(data_end: int) -> int:
    """Return the bytes of a file whose data end there: its table and its root follow."""
    return data_end + 4 * (n_blocks(data_end) + 1)


def place(
    shapes: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
) -> tuple[dict[str, ArraySpec], int]:
    """Return where each array lies, one after the other from 0 on, and where the last ends."""
    specs, end = {}, 0
    for name, (dtype, shape) in shapes.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"an array's name must be lower-case letters and digits, got {name!r}")
        specs[name] = ArraySpec(dtype, shape, end, end + dtype.itemsize * math.prod(shape))
        end = aligned(specs[name].end)
    return specs, end


def members(specs: Mapping[str, ArraySpec]) -> list[dict[str, Any]]:
    """Return what JSON says of arrays that lie there; `parse_arrays` reads it."""
    return [
        {"name": name, "dtype": spec.dtype.name, "shape": list(spec.shape), "offset": spec.begin}
        for name, spec in specs.items()
    ]


def encode(
    kind: str,
    uuid: UUID,
    shapes: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
    metadata: Mapping[str, Any],
) -> tuple[bytes, dict[str, ArraySpec], int]:
    """Return the head of a file, where its arrays go, and where its data end."""
    specs, end = place(shapes)
    description = text.dump({"kind": kind, "metadata": dict(metadata), "arrays": members(specs)})
    start = aligned(_PREFIX.size + len(description))
    if start > BLOCK:
        raise ValueError(f"the metadata of section {kind!r} must fit in {BLOCK} bytes")
    data_end = start + end
    prefix = _PREFIX.pack(
        MAGIC, VERSION, BLOCK, uuid.bytes, size(data_end), data_end, len(description)
    )
    moved = {
        name: spec._replace(begin=start + spec.begin, end=start + spec.end)
        for name, spec in specs.items()
    }
    return (prefix + description).ljust(start, b"\0"), moved, data_end


def parse_prefix(data: memoryview) -> Prefix:
    """Return the prefix of a file; its numbers agree with the file's size."""
    if len(data) < _PREFIX.size:
        raise ValueError(f"is cut short at {len(data)} bytes")
    magic, version, block, uuid, length, data_end, description = _PREFIX.unpack_from(data)
    if magic != MAGIC or block != BLOCK:
        raise ValueError("is not a section file of trouvaille")
    if length != len(data):
        raise ValueError(f"has {len(data)} bytes, its header says {length}")
    if data_end % ALIGNMENT or size(data_end) != length:
        raise ValueError(f"its data cannot end at {data_end} of {length} bytes")
    if _PREFIX.size + description > min(data_end, BLOCK):
        raise ValueError(f"its description cannot have {description} bytes")
    return Prefix(version, UUID(bytes=uuid), length, data_end, description)


def parse_description(data: memoryview, prefix: Prefix) -> Description:
    """Return the description of a file; every array lies within the data, apart from the others."""
    head = _PREFIX.size + prefix.description
    found = text.parse(bytes(data[_PREFIX.size : head]))
    if not isinstance(found, dict) or found.keys() != {"kind", "metadata", "arrays"}:
        raise ValueError("its description must have kind, metadata and arrays")
    kind, metadata, arrays = found["kind"], found["metadata"], found["arrays"]
    if not (isinstance(kind, str) and isinstance(metadata, dict) and isinstance(arrays, list)):
        raise ValueError("kind, metadata or arrays is of the wrong type")
    return Description(kind, metadata, parse_arrays(arrays, aligned(head), prefix.data_end))


def parse_arrays(arrays: list[Any], start: int, data_end: int) -> dict[str, ArraySpec]:
    """Return where arrays lie; their offsets are from `start`, and all of them within the data."""
    specs: dict[str, ArraySpec] = {}
    end = start
    for array in arrays:
        name, spec = _parse_array(array, start)
        if name in specs or spec.begin < end or spec.end > data_end:
            raise ValueError(f"array {name!r} lies outside the data or over another")
        specs[name] = spec
        end = spec.end
    return specs


def _parse_array(array: Any, start: int) -> tuple[str, ArraySpec]:
    if not isinstance(array, dict) or array.keys() != {"name", "dtype", "shape", "offset"}:
        raise ValueError("an array must have name, dtype, shape and offset")
    name, dtype, shape, offset = (array[key] for key in ("name", "dtype", "shape", "offset"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("the name of an array is not lower-case letters and digits")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"array {name!r} has an unknown dtype")
    if not isinstance(shape, list) or not 1 <= len(shape) <= MAX_AXES:
        raise ValueError(f"array {name!r} has no shape of 1 to {MAX_AXES} axes")
    if any(type(n) is not int or n < 0 for n in [*shape, offset]) or offset % ALIGNMENT:
        raise ValueError(f"array {name!r} has an impossible shape or offset")
    # NumPy refuses a shape whose product overflows even where one of its axes is 0.
    if math.prod(max(n, 1) for n in shape) >= 1 << 48:
        raise ValueError(f"array {name!r} is impossibly large")
    begin = start + offset
    end = begin + DTYPES[dtype].itemsize * math.prod(shape)
    return name, ArraySpec(DTYPES[dtype], tuple(shape), begin, end)
