# SPDX-License-Identifier: Apache-2.0
"""A section file to be written: checked as a whole, then yielded part by part."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blocks, header, text
from .header import ArraySpec

_AT_MOST = 1 << 22  # bytes a part: it is still in a cache when it is written; Ctrl-C comes through


class Joined:
    """Many arrays as one of bytes, each at a multiple of 64, without a copy of them all.

    Attributes
    ----------
    specs : dict of str to ArraySpec
        Where each array lies, from the first byte on.
    size : int
    """

    def __init__(self, arrays: Mapping[str, ArrayLike]) -> None:
        self._arrays = {name: _storable(name, array) for name, array in arrays.items()}
        self.specs, self.size = header.place(shapes_of(self._arrays))

    def parts(self) -> Iterator[memoryview]:
        """Yield all bytes."""
        return _placed(self._arrays, self.specs, 0, self.size)


class Encoding:
    """The bytes of a section file.

    Parameters
    ----------
    kind : str
        What the arrays are together, as ``postings``.
    arrays : mapping of str to array_like or Joined
        Whole or floating-point numbers, of any size and layout.
    metadata : mapping
        Plain JSON values, at most some 60 KB.
    uuid : UUID
        The file's own.

    Attributes
    ----------
    size : int
        Bytes of the whole file.
    root : int
        The checksum of the whole, once all parts have been taken.
    """

    def __init__(
        self,
        kind: str,
        arrays: Mapping[str, ArrayLike | Joined],
        metadata: Mapping[str, Any],
        uuid: UUID,
    ) -> None:
        self._arrays = {
            name: array if isinstance(array, Joined) else _storable(name, array)
            for name, array in arrays.items()
        }
        self._uuid = uuid
        self._head, self._specs, self._data_end = header.encode(
            kind, uuid, shapes_of(self._arrays), text.plain(dict(metadata), "metadata")
        )
        self.size = header.size(self._data_end)
        self.root = 0

    def parts(self) -> Iterator[memoryview]:
        """Yield the file from its first byte to its last; no part is empty."""
        summing = blocks.Summing(self._uuid)
        for whole in self._data():
            for begin in range(0, len(whole), _AT_MOST):
                part = whole[begin : begin + _AT_MOST]
                summing.update(part)
                yield part
        table = summing.table().tobytes()
        self.root = blocks.root(table, self._uuid)
        yield memoryview(table + struct.pack("<I", self.root))

    def _data(self) -> Iterator[memoryview]:
        yield memoryview(self._head)
        yield from _placed(self._arrays, self._specs, len(self._head), self._data_end)


def shapes_of(
    arrays: Mapping[str, NDArray[Any] | Joined],
) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Return what the head of a file says of each array."""
    return {
        name: (header.DTYPES["uint8"], (array.size,))
        if isinstance(array, Joined)
        else (array.dtype, array.shape)
        for name, array in arrays.items()
    }


def _storable(name: str, array: ArrayLike) -> NDArray[Any]:
    given = np.asarray(array)
    if given.dtype.name not in header.DTYPES or not 1 <= given.ndim <= header.MAX_AXES:
        raise TypeError(
            f"array {name!r} must hold numbers in 1 to {header.MAX_AXES} axes, "
            f"got dtype {given.dtype}, shape {given.shape}"
        )
    return np.ascontiguousarray(given, header.DTYPES[given.dtype.name])


def _placed(
    arrays: Mapping[str, NDArray[Any] | Joined], specs: Mapping[str, ArraySpec], at: int, end: int
) -> Iterator[memoryview]:
    for name, array in arrays.items():
        yield memoryview(bytes(specs[name].begin - at))
        if isinstance(array, Joined):
            yield from array.parts()
        else:
            yield array.reshape(-1).view(np.uint8).data
        at = specs[name].end
    yield memoryview(bytes(end - at))
