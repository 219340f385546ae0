# SPDX-License-Identifier: Apache-2.0
"""Photos to descriptors, many at a time: a bad photo is a row, never the end."""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import _check
from ..features._types import Photo
from ..features.listing import expand_named, list_photos
from ._descriptor_writer import Writer
from ._device import chosen_device
from ._fingerprint import fingerprint
from ._fused import fused, is_ready
from ._job import Folder, Job, Memory, Store, Work
from ._runner import Runner
from .descriptor_folder import FORMAT, DescriptorRow
from .network import MULTI_SCALE, GlobalDescriptor, _checked_scales

Progress = Callable[[str, int, int | None], None]

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_GPU_PIXELS = 16 << 20  # of a batch on a GPU, unless its size is given


@dataclass(frozen=True)
class DescriptorReport:
    """What became of all photos, and how.

    Attributes
    ----------
    rows : tuple of DescriptorRow
        In the order given.
    descriptors : ndarray of float32, shape (n, n_dims)
        In the order given, of length 1; zeros for photos that could not be read. Mapped, where a
        folder was given.
    device, device_reason : str
        Where the network ran, and why there.
    batch_size : int
        Photos at a time, in the end.
    notes : tuple of str
        What a person should know, such as that a batch did not fit into memory.
    seconds : float
    """

    rows: tuple[DescriptorRow, ...]
    descriptors: NDArray[np.float32]
    device: str
    device_reason: str
    batch_size: int
    notes: tuple[str, ...]
    seconds: float

    @property
    def failed(self) -> list[DescriptorRow]:
        """The photos that have no descriptor."""
        return [row for row in self.rows if row.status != "ok"]

    @property
    def n_skipped(self) -> int:
        """Photos that were there from an earlier run."""
        return sum(row.skipped for row in self.rows)

    def __repr__(self) -> str:
        return (
            f"<DescriptorReport: {len(self.rows) - len(self.failed)} of {len(self.rows)} photos, "
            f"on {self.device} ({self.device_reason})>"
        )


def extract(
    model: nn.Module,
    photos: Photo | Iterable[Photo],
    *,
    ids: str | Sequence[str] | None = None,
    device: str | torch.device = "auto",
    batch_size: int | None = None,
    image_size: int | None = 1024,
    enlarge: bool = False,
    scales: Sequence[float] | None = MULTI_SCALE,
    autocast: str | None = None,
    box: Sequence[float] | None = None,
    apply_exif: bool = True,
    workers: int | None = None,
    compile: bool = False,  # noqa: A002 (what PyTorch calls it)
    out: str | os.PathLike[str] | None = None,
    resume: bool = True,
    progress: Progress | None = None,
) -> DescriptorReport:
    """Describe photos by a network, many at a time.

    Photos are decoded on threads. No photo is distorted or padded: those of one shape share a
    batch, and a photo's descriptor does not depend on the others. The network itself is left as it
    is; what runs is a copy for extraction alone, with batch normalisations made part of the
    convolutions.

    A photo with which the network fails becomes a row of status ``"failed"`` with the error's text.
    Where it fails with every photo of the first three batches, it is the network that is at fault,
    and its error is raised, without a row; not that of a copy by `for_extraction`, which has worked
    when it was made. An error that leaves a GPU unusable is raised, too.

    Parameters
    ----------
    model : Module
        A `GlobalDescriptor`, or any module of normalised photos, (B, 3, H, W), that returns
        (B, n_dims). For a photo at a time, see `for_extraction`.
    photos : path, bytes, ndarray of uint8, or an iterable of them
        A path may be a folder, which stands for all photos in it.
    ids : str or sequence of str, optional
        One a photo. By default the path relative to the folder given, or the file's name.
    device : str or torch.device
        "auto" is a GPU if PyTorch can use one; the report says which, and why.
    batch_size : int, optional
        Photos at a time. By default 1 on a CPU, which is quickest, and on a GPU as many as have 16
        million pixels. Halved when the memory of a GPU does not suffice.
    image_size : int, optional
        Longest side in pixels; larger photos are shrunk to it. None: as they are.
    enlarge : bool
        Whether smaller photos are enlarged to `image_size`. R-MAC finds more in photos of 300
        pixels when they are made twice as large; means of a whole photo find less.
    scales : sequence of float, optional
        Instead of those of a `GlobalDescriptor`; None leaves its own.
    autocast : {"bfloat16", "float16"}, optional
        Compute in a shorter type where PyTorch deems it safe.
    box : sequence of 4 float, optional
        Of one photo: describe the part x1, y1, x2, y2, in its pixels, at the scale at which the
        whole photo would be described.
    apply_exif : bool
        Turn photos as their EXIF orientation says.
    workers : int, optional
        Threads that decode; one for each core by default.
    compile : bool
        Let `torch.compile` have the network: some minutes, then faster on a GPU.
    out : path, optional
        A folder to write to as descriptors come; made if it does not exist. A photo that is there,
        of the same file, is not described again, nor tried again where the network failed with it;
        only what could not be read, or did not fit into memory, is. Read it by `FolderDescriptors`.
    resume : bool
        Whether `out` may hold descriptors already.
    progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    DescriptorReport

    Raises
    ------
    ValueError
        If `out` holds descriptors of another network or of other settings, or something else; if
        there are no photos, or two of one id for `out`; if an option or a device is none that there
        is.
    CollectionLockedError
        If another process extracts into `out`.

    Examples
    --------
    >>> from trouvaille.deep import RMAC, Backbone, GlobalDescriptor
    >>> model = GlobalDescriptor(Backbone("efficientnet_lite0", weights=None), RMAC())
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> extract(model, photo, scales=None).descriptors.shape
    (1, 1280)
    """
    start = time.perf_counter()
    where, why = chosen_device(device)
    named = _named(photos, ids, out, box)
    work = Work(
        image_size,
        _check.boolean(enlarge, "enlarge"),
        box,
        _check.boolean(apply_exif, "apply_exif"),
    )
    precision = _precision(autocast)
    threads = _check.threads(
        None if workers is None else _check.count(workers, "workers", maximum=1024)
    )
    used = _with_scales(model, scales)
    copied, dimensions = fused(used)
    at_a_time = _batch_size(batch_size, image_size, where)
    runner = Runner(copied, dimensions, where, at_a_time, precision, works=is_ready(used))
    if _check.boolean(compile, "compile"):
        runner.model = torch.compile(runner.model, dynamic=True)
    with contextlib.ExitStack() as stack:
        store: Store = Memory(len(named), dimensions)
        if out is not None:
            settings = {**work.settings, "autocast": autocast}
            manifest = {
                "format": FORMAT,
                "fingerprint": fingerprint(used),
                "dimensions": dimensions,
                "settings": settings,
            }
            resume = _check.boolean(resume, "resume")
            store = Folder(stack.enter_context(Writer(Path(out), manifest, resume)), len(named))
        rows = Job(runner, store, work, named, threads, progress).run()
    return DescriptorReport(
        tuple(rows),
        store.descriptors(),
        str(where),
        why,
        runner.batch_size,
        tuple(runner.notes),
        time.perf_counter() - start,
    )


def _named(
    photos: Photo | Iterable[Photo],
    ids: str | Sequence[str] | None,
    out: str | os.PathLike[str] | None,
    box: Sequence[float] | None,
) -> list[tuple[str, Photo]]:
    named = expand_named(photos) if out is None and ids is None else list_photos(photos, ids)
    if not named:
        raise ValueError(f"photos: there is no photo in {photos!r}")
    if box is not None and (len(named) != 1 or out is not None):
        raise ValueError("box is of one photo, and its descriptor is not written to a folder")
    return named


def _precision(autocast: str | None) -> Any:
    if autocast is None:
        return None
    if autocast not in _AUTOCAST:
        raise ValueError(
            f"autocast must be one of {', '.join(_AUTOCAST)} or None, got {autocast!r}"
        )
    return _AUTOCAST[autocast]


def _with_scales(model: nn.Module, scales: Sequence[float] | None) -> nn.Module:
    """Return the network with these scales; it shares all else with the one given."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a module of PyTorch, got {type(model).__name__}")
    if scales is None:
        return model
    if isinstance(model, GlobalDescriptor):
        changed = copy.copy(model)
        changed.scales = _checked_scales(scales)
        return changed
    raise TypeError("scales are of a GlobalDescriptor; give scales=None with another model")


def _batch_size(given: int | None, image_size: int | None, device: torch.device) -> int:
    if given is not None:
        return _check.count(given, "batch_size", maximum=1 << 16)
    if device.type == "cpu" or image_size is None:
        return 1
    return max(1, min(64, _GPU_PIXELS // image_size**2))
