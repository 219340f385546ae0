# SPDX-License-Identifier: Apache-2.0
"""From rows to segments, and from small segments to larger ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from .. import _core, _sparse
from .. import _ids as ids
from .forward import forward_of
from .options import Options
from .segment import Segment, numbered

MAX_DOCUMENTS = 65_536  # of a block
TIER = 8  # neighbours of one size that are joined
SMALL = TIER**5  # documents, half a block: a segment of fewer is joined with others
_MAX_GROUP = 2**26  # postings that are converted at a time, or one block

Progress = Callable[[int, int], object]


def built(
    matrix: _sparse.Matrix | _sparse.Dense,
    options: Options,
    threads: int,
    progress: Progress | None = None,
    step: float = 0.0,
) -> list[Segment]:
    """Return the rows of `matrix` in blocks of even size, converted a few blocks at a time.

    `step` is that of values in 8 bits; by default the greatest value is 255 of them.
    """
    n, segments = len(matrix), list[Segment]()
    if step == 0 and options.values == "uint8":
        step = step_of(matrix, threads)
    for begin, end, n_blocks in _groups(matrix, threads):
        rows = matrix.rows(begin, end)
        options.check_documents(rows, "X")
        segments += segments_of(rows, matrix.num_words, options, threads, n_blocks, step)
        if progress is not None:
            progress(end, n)
    return segments


def segments_of(
    rows: _sparse.Rows,
    num_words: int,
    options: Options,
    threads: int,
    n_blocks: int = 1,
    step: float = 0.0,
) -> list[Segment]:
    """Return `n_blocks` blocks of the rows, or more if they are too large, without ids."""
    blocks = _core.build_blocks(
        rows.offsets, rows.words, rows.values, num_words, options.values, step, n_blocks, threads
    )
    return [_segment(block, options) for block in blocks]


def step_of(matrix: _sparse.Matrix | _sparse.Dense, threads: int) -> float:
    """Return the step of 8-bit values for which the greatest of these is 255 steps."""
    largest = 0.0
    for begin, end, _ in _groups(matrix, threads):
        values = matrix.rows(begin, end).values
        largest = max(largest, float(values.max(initial=0)))
    if largest == 0:
        return 1.0
    step = np.float32(largest / 255)
    return float(step if 255 * step >= largest else np.nextafter(step, np.float32(np.inf)))


def _groups(matrix: _sparse.Matrix | _sparse.Dense, threads: int) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and number of blocks: as many as there are threads, or fewer large ones."""
    n = len(matrix)
    rows = -(-n // max(-(-n // MAX_DOCUMENTS), 1))  # of a block
    begin = 0
    while begin < n:
        end, n_blocks = min(begin + rows, n), 1
        while end < n and n_blocks < threads:
            further = min(end + rows, n)
            if matrix.n_entries(begin, further) > _MAX_GROUP:
                break
            end, n_blocks = further, n_blocks + 1
        yield begin, end, n_blocks
        begin = end


def tidied(segments: Sequence[Segment], options: Options) -> list[Segment]:
    """Join the last segments once there are many of about one size.

    Those of ``TIER**t`` to ``TIER**(t + 1)`` documents are of tier t. ``TIER`` of one tier at the
    end become one of a higher tier, together with the smaller ones among them: so a document is
    written again once a tier at most, and each tier has fewer than ``TIER`` segments there.
    """
    result = list(segments)
    limit = TIER
    while limit <= SMALL:
        run = _smaller_at_the_end(result, limit)
        if sum(segment.n_alive >= limit // TIER for segment in run) >= TIER:
            result[-len(run) :] = joined(run, options)
        limit *= TIER
    return result


def _smaller_at_the_end(segments: Sequence[Segment], limit: int) -> list[Segment]:
    run = itertools.takewhile(lambda segment: segment.n_alive < limit, reversed(segments))
    return list(run)[::-1]


def optimized(segments: Sequence[Segment], options: Options) -> list[Segment]:
    """Join neighbours that are small or have removed documents."""
    result, run = list[Segment](), list[Segment]()
    for segment in segments:
        if segment.n_alive < SMALL or segment.alive is not None:
            run.append(segment)
            continue
        result += _rewritten(run, options)
        result.append(segment)
        run = []
    return result + _rewritten(run, options)


def _rewritten(run: list[Segment], options: Options) -> list[Segment]:
    if not run or (len(run) == 1 and run[0].alive is None):
        return run
    return joined(run, options)


def joined(segments: Sequence[Segment], options: Options) -> list[Segment]:
    """Return the live documents of segments in one, or in as few as can hold them."""
    blocks = _core.merge_blocks(
        [segment.block for segment in segments],
        [segment.alive for segment in segments],
    )
    new = ids.joined([segment.live_ids() for segment in segments])
    return numbered([_segment(block, options) for block in blocks], new)


def alike(segments: Sequence[Segment], options: Options, threads: int) -> list[Segment]:
    """Keep all values as float32 if any are: how they are kept decides how products are rounded."""
    kinds = {(segment.block.storage, segment.block.step) for segment in segments}
    if len(kinds) <= 1:
        return list(segments)
    storage = "uint8" if options.values == "uint8" else "float32"
    # Before there were any values to choose a step by, rows of none were added.
    steps = (segment.block.step for segment in segments if segment.block.n_postings > 0)
    step = max(steps, default=0.0)
    return [_rekept(segment, storage, step, options, threads) for segment in segments]


def _rekept(segment: Segment, storage: str, step: float, options: Options, threads: int) -> Segment:
    block = segment.block
    if (block.storage, block.step) == (storage, step):
        return segment
    (block,) = _core.build_blocks(*block.rows(), block.num_words, storage, step, 1, threads)
    forward = forward_of(block) if options.forward else None
    return replace(segment, block=block, forward=forward, kept={})


def _segment(block: _core.InvertedBlock, options: Options) -> Segment:
    forward = forward_of(block) if options.forward else None
    return Segment(block, range(block.n_documents), None, block.n_documents, forward)
