# SPDX-License-Identifier: Apache-2.0
"""Batches of photos through a network, on a CPU or a GPU, as many at a time as fit."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..features.extraction import Problem
from ._batches import Pixels
from ._pixels import colours

Batch = list[tuple[int, Pixels]]
Result = tuple[int, NDArray[np.float32] | Problem]
Part = tuple[list[int], Any]  # the numbers of photos, and their descriptors or a Problem

_FIRST = 3  # batches: where all of their photos fail, the network is at fault and not they


class Runner:
    """A network on a device.

    Attributes
    ----------
    batch_size : int
        Halved where a batch does not fit into the device's memory.
    notes : list of str
        What a person should know of what happened.
    """

    def __init__(
        self,
        model: nn.Module,
        dimensions: int,
        device: Any,
        batch_size: int,
        autocast: Any,
        works: bool = False,
    ) -> None:
        self.model = model.to(device)
        self.device, self.batch_size, self.autocast = device, batch_size, autocast
        self.notes: list[str] = []
        self._dimensions = dimensions
        self._works = works
        self._error: Exception | None = None  # the last one before it works
        mean, std = colours(model)
        shape = (1, 3, 1, 1)
        self._mean = 255 * torch.tensor(mean, device=device).reshape(shape)
        self._scale = 1 / (255 * torch.tensor(std, device=device).reshape(shape))

    def __call__(self, batches: Iterable[Batch]) -> Iterator[Result]:
        """Yield the number of each photo with its descriptor, or with why it alone has none.

        One batch's descriptors are fetched while the device works on the next one. Failures before
        the first descriptor are told with it: where nothing else comes of the first batches, it is
        the network that is at fault, and its error is raised.
        """
        waiting: list[Part] = []
        failures = 0
        try:
            for batch in batches:
                for part in self._parts(batch):
                    waiting.append(part)
                    while self._works and len(waiting) > 1:
                        yield from _fetched(*waiting.pop(0))
                failures += self._error is not None
                if self._error is not None and failures == _FIRST:
                    raise self._error
        except Exception:
            if self._works:  # what is done is kept, whatever ends the run
                for part in waiting:
                    yield from _fetched(*part)
            raise
        for part in waiting:
            yield from _fetched(*part)

    def _parts(self, batch: Batch) -> Iterator[Part]:
        """Yield what becomes of a batch, as many photos at a time as can be."""
        while batch:
            part, batch = batch[: self.batch_size], batch[self.batch_size :]
            output = self._tried(part)
            if not isinstance(output, Problem) or len(part) == 1:
                yield [number for number, _ in part], output
            elif output.status == "out_of_memory":
                self._reduce(part, len(part) // 2, f"do not fit into the memory of {self.device}")
                batch = part + batch
            else:
                yield from self._one_by_one(part, output.error)

    def _one_by_one(self, batch: Batch, error: str) -> Iterator[Part]:
        """Yield what becomes of each photo of a batch with which the network fails."""
        failures = 0
        for number, pixels in batch:
            output = self._tried([(number, pixels)])
            failures += isinstance(output, Problem)
            yield [number], output
        if not failures:  # it cannot take several
            self._reduce(batch, 1, f"make the network fail ({error})")

    def _tried(self, batch: Batch) -> Any:
        """Return the descriptors on the device, or what the problem is."""
        try:
            output = self._run([pixels for _, pixels in batch])
        except Exception as error:
            if _is_lost(self.device):
                raise
            problem = self._problem(error, batch)
            # The error holds what takes the memory: it must be gone before trying again.
        else:
            self._works, self._error = True, None
            return output
        if self.device.type == "cuda" and problem.status == "out_of_memory":
            torch.cuda.empty_cache()
        return problem

    def _problem(self, error: Exception, batch: Batch) -> Problem:
        if _is_of_memory(error):
            height, width = batch[0][1].shape[:2]
            said = f"{width} x {height} pixels do not fit into the memory of {self.device}"
            return Problem("out_of_memory", said)
        if not self._works:
            traceback.clear_frames(error.__traceback__)
            self._error = error
        return Problem("failed", " ".join(f"{type(error).__name__}: {error}".split())[:500])

    def _run(self, photos: list[Pixels]) -> Any:
        stacked = torch.from_numpy(np.stack(photos))
        with torch.inference_mode():
            if self.device.type == "cuda":
                stacked = stacked.pin_memory().to(self.device, non_blocking=True)
            # (B, H, W, 3) seen as (B, 3, H, W) is what PyTorch calls channels last.
            x = (stacked.permute(0, 3, 1, 2).to(torch.float32) - self._mean) * self._scale
            with self._casting():
                output = self.model(x)
        if output.shape != (len(photos), self._dimensions):  # it would become others' numbers
            wanted = len(photos), self._dimensions
            raise ValueError(f"model must return {wanted} of these, got {tuple(output.shape)}")
        return output

    def _casting(self) -> Any:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)

    def _reduce(self, batch: Batch, size: int, why: str) -> None:
        self.batch_size = size
        self.notes.append(f"{len(batch)} photos at a time {why}; from then on {size} at a time")


def _is_lost(device: Any) -> bool:
    """Whether a GPU is of no use to this process any more, as after an assertion on it."""
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:  # every call says so from then on
        return True
    return False


def _is_of_memory(error: Exception) -> bool:
    """Whether there was not enough memory: on a CPU, PyTorch has no error of its own for that."""
    of_torch = isinstance(error, torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
    return of_torch or isinstance(error, MemoryError)


def _fetched(numbers: list[int], output: Any) -> Iterator[Result]:
    if isinstance(output, Problem):
        yield from ((number, output) for number in numbers)
        return
    yield from zip(numbers, output.to("cpu", torch.float32).numpy(), strict=True)
