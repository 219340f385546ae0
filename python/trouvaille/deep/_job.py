# SPDX-License-Identifier: Apache-2.0
"""Many photos on their way: decoded on threads, described in batches, kept as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _check, images
from .._in_threads import in_threads
from ..features._types import Photo
from ..features.extraction import Problem, pixels_of
from ..features.folder import RETRIED, source_of
from ..features.listing import id_problem, printable
from ._batches import Pixels, of_equal_shape
from ._descriptor_writer import Writer
from ._runner import Runner
from .descriptor_folder import DescriptorRow, FolderDescriptors

Named = tuple[str, Photo]

# There may be more memory the next time. What a network fails with ("failed", "not_finite") is not
# among them: the same network will fail with the same file.
_RETRIED = RETRIED | {"out_of_memory"}

_LOOK_AHEAD = 4  # batches of photos that wait for others of their shape
_AT_LEAST = 16  # photos that wait, where a batch is small


@dataclass(frozen=True)
class Work:
    """What is done to a photo before it is described."""

    image_size: int | None
    enlarge: bool
    box: Sequence[float] | None
    apply_exif: bool

    def __post_init__(self) -> None:
        if self.image_size is not None:
            _check.count(self.image_size, "image_size", maximum=1 << 16)

    @property
    def settings(self) -> dict[str, Any]:
        """What changes descriptors, as plain values."""
        return {
            "image_size": self.image_size,
            "enlarge": self.enlarge,
            "apply_exif": self.apply_exif,
        }

    def of(self, photo: Photo) -> tuple[Pixels, tuple[int, int]] | Problem:
        """Return the pixels to describe and the size of the photo or its box."""
        pixels = pixels_of(photo, "rgb", self.apply_exif)
        if isinstance(pixels, Problem):
            return pixels
        height, width = pixels.shape[:2]
        wanted = max(height, width) if self.image_size is None else self.image_size
        share = wanted / max(height, width)
        if not self.enlarge:
            share = min(share, 1.0)
        if self.box is not None:
            x1, y1, x2, y2 = _check.box(self.box, width, height)
            pixels = np.ascontiguousarray(pixels[y1:y2, x1:x2])
        height, width = pixels.shape[:2]
        side = max(1, round(share * max(height, width)))
        resized, _ = images.resize_to(pixels, side, enlarge=self.enlarge)
        return resized, (width, height)


class Store(Protocol):
    """Where descriptors are kept."""

    def kept(self, number: int, id: str, photo: Photo) -> DescriptorRow | None:
        """Return the row of a photo that is done, or None; asked once for each, in order."""

    def put(self, number: int, row: DescriptorRow, descriptor: NDArray[np.float32] | None) -> None:
        """Keep what became of a photo."""

    def descriptors(self) -> NDArray[np.float32]:
        """Return all, in the order given."""


class Memory:
    """Descriptors in memory."""

    def __init__(self, count: int, dimensions: int) -> None:
        self._descriptors = np.zeros((count, dimensions), np.float32)

    def kept(self, number: int, id: str, photo: Photo) -> None:
        """Nothing is done before."""

    def put(self, number: int, row: DescriptorRow, descriptor: NDArray[np.float32] | None) -> None:
        """Keep a descriptor."""
        if descriptor is not None:
            self._descriptors[number] = descriptor

    def descriptors(self) -> NDArray[np.float32]:
        """Return all."""
        return self._descriptors


class Folder:
    """Descriptors in a folder."""

    def __init__(self, writer: Writer, count: int) -> None:
        self._writer, self._count = writer, count
        self._ids: list[str | None] = []
        self._plans: dict[int, tuple[int, dict[str, Any] | None]] = {}

    def kept(self, number: int, id: str, photo: Photo) -> DescriptorRow | None:
        """Return the row of a photo that cannot be named, or is there from an earlier run."""
        if problem := id_problem(id):
            self._ids.append(None)
            return DescriptorRow(printable(id), "unnameable", f"its name {problem}")
        self._ids.append(id)
        source = source_of(photo)
        row = self._writer.done(id, source)
        if row is not None and row.status not in _RETRIED:
            return replace(row, skipped=True)
        self._plans[number] = self._writer.reserve(id, number, self._count), source
        return None

    def put(self, number: int, row: DescriptorRow, descriptor: NDArray[np.float32] | None) -> None:
        """Write a descriptor."""
        slot, source = self._plans.pop(number)
        self._writer.write(row, slot, source, descriptor)

    def descriptors(self) -> NDArray[np.float32]:
        """Return all, mapped if they lie so; zeros for what could not be named."""
        folder = FolderDescriptors.open(self._writer.path)
        if None not in self._ids:
            return folder.of([id for id in self._ids if id is not None])
        rows = np.zeros((len(self._ids), folder.dimensions), np.float32)
        for row, id in zip(rows, self._ids, strict=True):
            if id is not None:
                row[:] = folder.of([id])[0]
        return rows


class Job:
    """All photos of a call: what became of each, `rows`, fills as they are done."""

    def __init__(
        self,
        runner: Runner,
        store: Store,
        work: Work,
        named: Sequence[Named],
        workers: int,
        progress: Callable[[str, int, int | None], None] | None,
    ) -> None:
        self._runner, self._store, self._work = runner, store, work
        self._named, self._workers = named, workers
        self._report = progress or (lambda stage, done, total: None)
        self._rows: dict[int, DescriptorRow] = {}
        self._begun: dict[int, DescriptorRow] = {}

    def run(self) -> list[DescriptorRow]:
        """Describe all photos and return their rows, in the order given."""
        self._report("describing", 0, len(self._named))
        look_ahead = max(_LOOK_AHEAD, _AT_LEAST // self._runner.batch_size)
        batches = of_equal_shape(self._decoded(), lambda: self._runner.batch_size, look_ahead)
        for number, found in self._runner(batches):
            self._described(number, found)
        return [self._rows[number] for number in range(len(self._named))]

    def _wanted(self) -> Iterator[tuple[int, Photo]]:
        for number, (id, photo) in enumerate(self._named):
            row = self._store.kept(number, id, photo)
            if row is None:
                yield number, photo
            else:
                self._done(number, row)

    def _decoded(self) -> Iterator[tuple[int, Pixels]]:
        for number, found in in_threads(
            self._decode, self._wanted(), self._workers, "trouvaille-decode"
        ):
            id = printable(self._named[number][0])
            if isinstance(found, Problem):
                row = DescriptorRow(id, found.status, found.error)
                self._store.put(number, row, None)
                self._done(number, row)
            else:
                pixels, size = found
                work_size = pixels.shape[1], pixels.shape[0]
                self._begun[number] = DescriptorRow(id, "ok", "", size, work_size)
                yield number, pixels

    def _decode(self, item: tuple[int, Photo]) -> tuple[int, Any]:
        number, photo = item
        return number, self._work.of(photo)

    def _described(self, number: int, found: NDArray[np.float32] | Problem) -> None:
        row = self._begun.pop(number)
        if not isinstance(found, Problem) and not np.isfinite(found).all():
            error = "the network makes NaN or infinity of it; float32 or bfloat16 have more range"
            found = Problem("not_finite", error)
        if isinstance(found, Problem):
            row = replace(row, status=found.status, error=found.error)
        self._store.put(number, row, None if isinstance(found, Problem) else found)
        self._done(number, row)

    def _done(self, number: int, row: DescriptorRow) -> None:
        self._rows[number] = row
        self._report("describing", len(self._rows), len(self._named))
