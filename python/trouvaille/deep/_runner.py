# SPDX-License-Identifier: Apache-2.0
"""Batches of photos through a network, on a CPU or a GPU, as many at a time as fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ._batches import Pixels
from ._pixels import colours

Batch = list[tuple[int, Pixels]]
Result = tuple[int, NDArray[np.float32] | None]


class Runner:
    """A network on a device.

    Attributes
    ----------
    batch_size : int
        Halved where a batch does not fit into the device's memory.
    notes : list of str
        What a person should know of what happened.
    """

    def __init__(self, model: nn.Module, device: Any, batch_size: int, autocast: Any) -> None:
        self.model = model.to(device)
        self.device, self.batch_size, self.autocast = device, batch_size, autocast
        self.notes: list[str] = []
        mean, std = colours(model)
        shape = (1, 3, 1, 1)
        self._mean = 255 * torch.tensor(mean, device=device).reshape(shape)
        self._scale = 1 / (255 * torch.tensor(std, device=device).reshape(shape))

    def __call__(self, batches: Iterator[Batch]) -> Iterator[Result]:
        """Yield the number and the descriptor of each photo; None if it alone does not fit.

        One batch's descriptors are fetched while the device works on the next one.
        """
        pending: tuple[list[int], Any] | None = None
        for batch in batches:
            while batch:
                part, batch = batch[: self.batch_size], batch[self.batch_size :]
                numbers = [number for number, _ in part]
                try:
                    output = self._tried([pixels for _, pixels in part])
                except Exception:
                    if pending is not None:  # what is done is kept, whatever ends the run
                        yield from _fetched(*pending)
                    raise
                if output is None and len(part) > 1:
                    self._halve(len(part))
                    batch = part + batch
                    continue
                if pending is not None:
                    yield from _fetched(*pending)
                pending = (numbers, output)
        if pending is not None:
            yield from _fetched(*pending)

    def _tried(self, photos: list[Pixels]) -> Any:
        """Return the descriptors on the device, or None if there is not enough memory."""
        try:
            return self._run(photos)
        except RuntimeError as error:
            if not _is_of_memory(error):
                raise
            # The error holds what takes the memory: it must be gone before trying again.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _run(self, photos: list[Pixels]) -> Any:
        stacked = torch.from_numpy(np.stack(photos))
        with torch.inference_mode():
            if self.device.type == "cuda":
                stacked = stacked.pin_memory().to(self.device, non_blocking=True)
            # (B, H, W, 3) seen as (B, 3, H, W) is what PyTorch calls channels last.
            x = (stacked.permute(0, 3, 1, 2).to(torch.float32) - self._mean) * self._scale
            with self._casting():
                return self.model(x)

    def _casting(self) -> Any:
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)

    def _halve(self, size: int) -> None:
        self.batch_size = size // 2
        self.notes.append(
            f"{size} photos at a time do not fit into the memory of {self.device}; from then on "
            f"{self.batch_size} at a time"
        )


def _is_of_memory(error: RuntimeError) -> bool:
    """Whether there was not enough memory: on a CPU, PyTorch has no error of its own for that."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _fetched(numbers: list[int], output: Any) -> Iterator[Result]:
    if output is None:
        yield from ((number, None) for number in numbers)
        return
    yield from zip(numbers, output.to("cpu", torch.float32).numpy(), strict=True)
