# SPDX-License-Identifier: Apache-2.0
"""The kinds of sections that this version knows, and what must hold of their arrays.

The writer asks before it writes, the reader before it believes: a checksum tells a damaged file,
not a forged one, and a number used as an index must be in bounds either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Column:
    """What must hold of one array. Sizes are named: "images", "features", "words" and so on."""

    dtypes: tuple[str, ...]
    rows: str  # it has one row for each of these
    tail: tuple[int | None, ...] = ()  # the shape of a row; None is any but 0
    offsets_of: str | None = None  # it cuts these into lists: rows + 1 offsets, from 0 up
    lists: str | None = None  # within the lists cut by this array, values ascend
    distinct: bool = False  # ... strictly
    below: str | None = None  # each value is less than this size
    at_most: str | None = None  # each value is this size at most
    positive: bool = False
    finite: bool = False
    within: float | None = None  # no number is greater in magnitude


KINDS: dict[str, dict[str, Column]] = {
    # For each word, the images that have it and how often.
    "postings": {
        "offsets": Column(("uint64",), "words", offsets_of="entries"),
        "images": Column(("uint32",), "entries", lists="offsets", distinct=True, below="images"),
        "counts": Column(("uint16",), "entries", positive=True),
    },
    # For each word, the signatures of the features that have it, and the images these are of.
    "signatures": {
        "offsets": Column(("uint64",), "words", offsets_of="entries"),
        "images": Column(("uint16",), "entries", lists="offsets", below="images"),
        "signatures": Column(("uint8",), "entries", (None,)),
    },
    # For each image, the word of each of its features.
    "words": {
        "feature_offsets": Column(("uint64",), "images", offsets_of="features"),
        "words": Column(("uint32",), "features", lists="feature_offsets", below="words"),
    },
    "frames": {"frames": Column(("float32",), "features", (2, 3), finite=True)},
    "descriptors": {"descriptors": Column(("uint8",), "features", (None,))},
    # For each image, its vector by the collection's network.
    "vectors": {"vectors": Column(("float32",), "images", (None,), finite=True, within=1.001)},
    # The CRCs of the blocks of images.sqlite.
    "checksums": {"crc": Column(("uint32",), "blocks")},
    "vocabulary": {"words": Column(("uint8", "float32"), "words", (None,), finite=True)},
    # What signatures of features are made by: a bit says on which side of what is around its word a
    # feature lies, along a column of the projection.
    "embedding": {
        "means": Column(("uint8", "float32"), "words", (None,), finite=True),
        "projection": Column(("float32",), "dimensions", (None,), finite=True),
    },
    # The file of the network that makes the vectors, as `deep.save_network` writes it.
    "network": {"file": Column(("uint8",), "bytes")},
    "statistics": {"document_frequencies": Column(("uint64",), "words", at_most="images")},
}
OPTIONAL = frozenset({"descriptors"})  # a reader that does not know one of these can do without

Problem = tuple[str, int, str]  # the array, the number of the value in it, what is wrong with it


class Rules:
    """What must hold of the sections of one kind, given the sizes that they must agree with.

    A size that is not given is free, but all arrays of a section must agree on it.
    """

    def __init__(self, kind: str, sizes: Mapping[str, int]) -> None:
        self._columns = KINDS[kind]
        self._sizes = dict(sizes)

    def check_shapes(
        self, shapes: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
    ) -> Problem | None:
        """Return what is wrong with the dtypes and shapes of the arrays, if anything."""
        for name in self._columns.keys() ^ shapes.keys():
            return name, 0, f"the arrays must be {sorted(self._columns)}, got {sorted(shapes)}"
        for name, column in self._columns.items():
            reason = self._wrong_shape(column, *shapes[name])
            if reason:
                return name, 0, reason
        return None

    def _wrong_shape(self, column: Column, dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
        if dtype.name not in column.dtypes:
            return f"the dtype must be {' or '.join(column.dtypes)}, got {dtype.name}"
        if len(shape) != 1 + len(column.tail) or any(
            got == 0 or want not in (None, got)
            for want, got in zip(column.tail, shape[1:], strict=True)
        ):
            return f"a row must have shape {column.tail}, got {shape[1:]}"
        extra = 1 if column.offsets_of else 0
        if shape[0] < extra:
            return "must have at least one offset"
        rows = self._sizes.setdefault(column.rows, shape[0] - extra) + extra
        return "" if shape[0] == rows else f"must have {rows} rows, got {shape[0]}"

    def check_values(self, name: str, values: NDArray[Any]) -> Problem | None:
        """Return the first of `values`, some of the array, that is out of bounds, if any."""
        column = self._columns[name]
        for wrong, reason in self._tests(column):
            bad = wrong(values)
            if bad.any():
                i = int(np.argmax(bad))
                return name, i, f"{values[i]} {reason}"
        return None

    def _tests(self, column: Column) -> list[tuple[Callable[[NDArray[Any]], NDArray[Any]], str]]:
        tests: list[tuple[Callable[[NDArray[Any]], NDArray[Any]], str]] = []
        if column.below:
            below = self._sizes[column.below]
            tests.append((lambda v: v >= below, f"where there are {below} {column.below}"))
        if column.at_most:
            most = self._sizes[column.at_most]
            tests.append((lambda v: v > most, f"where there are {most} {column.at_most}"))
        if column.positive:
            tests.append((lambda v: v == 0, "where a count must be positive"))
        if column.finite:
            tests.append((lambda v: ~np.isfinite(v), "where a number must be finite"))
        if column.within:
            most_of_all = np.float32(column.within)
            tests.append((lambda v: np.abs(v) > most_of_all, f"where none is beyond {most_of_all}"))
        return tests

    def is_free(self, name: str) -> bool:
        """Whether any value is a good one for the array `name`, each seen alone."""
        column = self._columns[name]
        checks = column.below, column.at_most, column.positive, column.finite, column.within
        return not any(checks)

    def check_structure(
        self, name: str, array: NDArray[Any], other: Callable[[str], NDArray[Any]]
    ) -> Problem | None:
        """Return where the array `name` breaks an order, if it does; `other` gives the others.

        Offsets are checked before the lists that they cut.
        """
        column = self._columns[name]
        if column.offsets_of:
            return self._check_offsets(name, array, self._sizes[column.offsets_of])
        if column.lists:
            return self._check_lists(name, array, other(column.lists), column.distinct)
        return None

    @staticmethod
    def _check_offsets(name: str, offsets: NDArray[Any], end: int) -> Problem | None:
        if offsets[0] != 0:
            return name, 0, f"the first offset must be 0, got {offsets[0]}"
        if offsets[-1] != end:
            return name, offsets.size - 1, f"the last offset must be {end}, got {offsets[-1]}"
        falls = offsets[1:] < offsets[:-1]
        if falls.any():
            return name, int(np.argmax(falls)) + 1, "an offset is less than the one before it"
        return None

    @staticmethod
    def _check_lists(
        name: str, values: NDArray[Any], offsets: NDArray[Any], distinct: bool
    ) -> Problem | None:
        if values.size < 2:
            return None
        compare = np.less_equal if distinct else np.less
        falls = compare(values[1:], values[:-1])
        starts = offsets[(offsets > 0) & (offsets < values.size)].astype(np.intp)
        falls[starts - 1] = False  # a new list begins here
        if falls.any():
            return name, int(np.argmax(falls)) + 1, "the values of a list must ascend"
        return None
