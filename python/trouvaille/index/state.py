# SPDX-License-Identifier: Apache-2.0
"""An index as plain values and named arrays, which is what a file holds, and back.

The other way everything is checked: the arrays may be anybody's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import _bitmap as bitmap
from .. import _core, _sparse
from .. import _ids as ids
from .._bitmap import Bitmap
from .._ids import MAX_ID, Ids
from .building import MAX_DOCUMENTS
from .by_word import ByWord, frequencies
from .content import Content
from .forward import Forward, value_dtype, word_dtype
from .options import Options
from .segment import Segment
from .weights import checked_idf

State = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def state_of(content: Content, num_words: int, options: Options) -> State:
    """Return what `content_of` makes the same content of."""
    all_ids = ids.joined([segment.ids for segment in content.segments])
    metadata = {
        "num_words": num_words,
        "options": asdict(options),
        "blocks": [
            {
                "storage": segment.block.storage,
                "n_documents": segment.n_documents,
                "step": segment.block.step,
            }
            for segment in content.segments
        ],
        "first_id": all_ids.start if isinstance(all_ids, range) else None,
        "largest_id": content.largest_id,
        "smallest": content.smallest,
        "largest": content.largest,
        "removed": content.removed,
    }
    arrays: dict[str, NDArray[Any]] = {}
    if not isinstance(all_ids, range):
        arrays["ids"] = all_ids
    if content.idf is not None:
        arrays |= _idf_arrays(content.idf)
    for i, segment in enumerate(content.segments, start=1):
        for name, array in segment.block.arrays().items():
            arrays[f"block_{i:06}_{name}"] = array
        if segment.alive is not None:
            arrays[f"alive_{i:06}"] = segment.alive
        if segment.forward is not None:
            for name, array in segment.forward._asdict().items():
                arrays[f"forward_{i:06}_{name}"] = array
    return metadata, arrays


def content_of(
    metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[Content, int, Options]:
    """Return a content, its number of words and its options; a ValueError if they are none."""
    num_words = _whole(metadata, "num_words", 0, _sparse.MAX_WORDS)
    options = _options(metadata)
    rest = _Arrays(arrays)
    blocks = [
        _block(metadata, rest, i, num_words) for i in range(1, len(_listed(metadata, "blocks")) + 1)
    ]
    row_ids = _ids(metadata, rest, sum(block.n_documents for block in blocks))
    segments, begin = list[Segment](), 0
    for i, block in enumerate(blocks, start=1):
        if block.negative and options.not_negative is not None:
            raise ValueError(f"block {i} must not be negative with {options.not_negative}")
        end = begin + block.n_documents
        alive = _alive(rest, i, block.n_documents)
        n_alive = len(block_members(alive, block)) if alive is not None else block.n_documents
        forward = _forward(rest, i, block) if options.forward else None
        part = ids.compact(row_ids[begin:end])
        segments.append(Segment(block, part, alive, n_alive, forward))
        begin = end
    content = Content(
        segments=tuple(segments),
        frequencies=None if options.steady else frequencies(segments, num_words),
        idf=_idf(rest, num_words, options, len(segments) > 0),
        smallest=_smallest(metadata, blocks),
        largest=_largest(metadata, blocks),
        largest_id=_whole(metadata, "largest_id", ids.largest(row_ids), MAX_ID),
        removed=_boolean(metadata, "removed"),
        step=_step(blocks),
    )
    _check_distinct(content.ids())
    rest.refuse_others()
    return content, num_words, options


class _Arrays:
    """The arrays of a file, each of which is taken once."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = dict(arrays)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def take(self, name: str, dtype: DTypeLike, size: int | None = None) -> NDArray[Any]:
        if name not in self._arrays:
            raise ValueError(f"array {name!r} is missing")
        array = self._arrays.pop(name)
        if array.dtype != dtype or array.ndim != 1 or not array.flags.c_contiguous:
            raise ValueError(f"{name} must be {np.dtype(dtype)}, 1-D, got {array.dtype}")
        if size is not None and len(array) != size:
            raise ValueError(f"{name} must have {size} entries, got {len(array)}")
        return array

    def take_all(self, prefix: str) -> dict[str, NDArray[Any]]:
        names = [name for name in self._arrays if name.startswith(prefix)]
        return {name.removeprefix(prefix): self._arrays.pop(name) for name in names}

    def refuse_others(self) -> None:
        if self._arrays:
            raise ValueError(f"array {min(self._arrays)!r} belongs to nothing")


def _value(metadata: Mapping[str, Any], name: str) -> Any:
    if not isinstance(metadata, Mapping) or name not in metadata:
        raise ValueError(f"{name} is missing")
    return metadata[name]


def _whole(metadata: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = _value(metadata, name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    return value


def _boolean(metadata: Mapping[str, Any], name: str) -> bool:
    value = _value(metadata, name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {value!r}")
    return value


def _listed(metadata: Mapping[str, Any], name: str) -> list[Any]:
    value = _value(metadata, name)
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, got {value!r}")
    return value


def _options(metadata: Mapping[str, Any]) -> Options:
    given = _value(metadata, "options")
    names = {field.name for field in fields(Options)}
    if not isinstance(given, Mapping) or set(given) != names:
        raise ValueError(f"options must be {', '.join(sorted(names))}, got {given!r}")
    try:
        options = Options(**given)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if options.norm != given["norm"]:
        raise ValueError(f"norm must be {options.norm!r}, got {given['norm']!r}")
    return options


def _block(
    metadata: Mapping[str, Any], rest: _Arrays, i: int, num_words: int
) -> _core.InvertedBlock:
    given = metadata["blocks"][i - 1]
    n_documents = _whole(given, "n_documents", 1, MAX_DOCUMENTS)
    storage = _value(given, "storage")
    if storage not in ("counts", "float32", "float16", "uint8"):
        raise ValueError(f"storage of block {i} is unknown: {storage!r}")
    step = _value(given, "step")
    if isinstance(step, bool) or not isinstance(step, (int, float)):
        raise ValueError(f"step of block {i} must be a number, got {step!r}")
    try:
        return _core.InvertedBlock.from_arrays(
            storage, num_words, n_documents, rest.take_all(f"block_{i:06}_"), step
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"arrays of block {i}: {error}") from None


def _ids(metadata: Mapping[str, Any], rest: _Arrays, n: int) -> Ids:
    if _value(metadata, "first_id") is not None:
        first = _whole(metadata, "first_id", 0, MAX_ID - n)
        return range(first, first + n)
    row_ids = rest.take("ids", np.int64, n)
    if n > 0 and row_ids.min() < 0:
        raise ValueError(f"ids must not be negative, got {row_ids.min()}")
    return row_ids


def _check_distinct(live: Ids) -> None:
    if not ids.ascending(live) and len(np.unique(live)) < len(live):
        raise ValueError("ids must be distinct")


def block_members(alive: Bitmap, block: _core.InvertedBlock) -> NDArray[np.int64]:
    """Return which documents of a block a bitmap has."""
    return np.flatnonzero(bitmap.unpacked(alive, block.n_documents))


def _alive(rest: _Arrays, i: int, n: int) -> Bitmap | None:
    name = f"alive_{i:06}"
    if name not in rest:
        return None
    alive = rest.take(name, np.uint64, -(-n // 64))
    members = bitmap.unpacked(alive, n)
    if not members.any() or not np.array_equal(bitmap.packed(members), alive):
        raise ValueError(f"{name} must have some of {n} documents, and no others")
    return alive


def _forward(rest: _Arrays, i: int, block: _core.InvertedBlock) -> Forward:
    name, n = f"forward_{i:06}", block.n_documents
    offsets = rest.take(f"{name}_offsets", np.int64, n + 1)
    if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any() or offsets[-1] != block.n_postings:
        raise ValueError(f"{name}_offsets must rise from 0 to {block.n_postings}")
    words = rest.take(f"{name}_words", word_dtype(block), block.n_postings)
    if len(words) > 0 and words.max() >= block.num_words:
        raise ValueError(f"{name}_words must be below {block.num_words}, got {words.max()}")
    values = rest.take(f"{name}_values", value_dtype(block), block.n_postings)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}_values must be finite")
    return Forward(offsets, words, values)


def _idf(rest: _Arrays, num_words: int, options: Options, started: bool) -> ByWord | None:
    if options.weighting is None or options.idf == "following":
        return None
    if options.idf == "frozen" and not started and "idf" not in rest:
        return None
    if "idf_words" not in rest:
        return ByWord(checked_idf(rest.take("idf", np.float64, num_words), num_words))
    words = rest.take("idf_words", np.uint32)
    if (words[1:] <= words[:-1]).any() or (len(words) > 0 and words[-1] >= num_words):
        raise ValueError(f"idf_words must ascend, and be below {num_words}")
    idf = checked_idf(rest.take("idf", np.float64, len(words) + 1), len(words) + 1)
    return ByWord(idf[:-1], words, float(idf[-1]))


def _idf_arrays(idf: ByWord) -> dict[str, NDArray[Any]]:
    if idf.words is None:
        return {"idf": idf.numbers}
    return {"idf": np.append(idf.numbers, idf.other), "idf_words": idf.words}


def _step(blocks: list[_core.InvertedBlock]) -> float:
    steps = {block.step for block in blocks}
    if len(steps) > 1:
        raise ValueError(f"blocks must have one step, got {sorted(steps)}")
    return steps.pop() if any(block.n_postings > 0 for block in blocks) else 0.0


def _largest(metadata: Mapping[str, Any], blocks: list[_core.InvertedBlock]) -> float:
    value = _number(metadata, "largest")
    least = max((block.largest for block in blocks), default=0.0)
    if not least <= value < math.inf or value > np.finfo(np.float32).max:
        raise ValueError(f"largest must be finite, and {least} at least, got {value}")
    return value


def _smallest(metadata: Mapping[str, Any], blocks: list[_core.InvertedBlock]) -> float:
    value = _number(metadata, "smallest")
    most = min((block.smallest for block in blocks if block.smallest > 0), default=math.inf)
    if not 0 <= value <= most or (value == 0 and most < math.inf):
        raise ValueError(f"smallest must be above 0, and {most} at most, got {value}")
    return value


def _number(metadata: Mapping[str, Any], name: str) -> float:
    value = _value(metadata, name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if not abs(value) < math.inf:
        raise ValueError(f"{name} must be finite, got {value}")
    return float(value)
