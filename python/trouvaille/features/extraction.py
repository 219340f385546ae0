# SPDX-License-Identifier: Apache-2.0
"""Photos to features: one, or many on all cores; a bad photo is a row, never the end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _check, images
from .._in_threads import in_threads
from ._types import Features, Photo
from .extractor import DescriptorLike, DetectorLike, Extractor
from .listing import shown
from .registry import Orientation


@dataclass(frozen=True)
class Extraction:
    """What became of one photo of a folder.

    Attributes
    ----------
    photo : object
        The photo as it was given: a path, bytes or an array.
    status : str
        ``"ok"``, or why there are no features: the `status` of an `images.ImageError`,
        ``"missing"``, ``"forbidden"``, or ``"unreadable"`` for any other error of the system.
    error : str
        The error's message, for a person; empty if there was none.
    features : Features or None
        In pixels of the photo as it was worked on.
    size, work_size : tuple of int
        Width and height of the photo, and as it was worked on.
    decode_seconds, extract_seconds : float
        Time spent on each step.
    """

    photo: Photo
    status: str
    error: str = ""
    features: Features | None = None
    size: tuple[int, int] = (0, 0)
    work_size: tuple[int, int] = (0, 0)
    decode_seconds: float = 0.0
    extract_seconds: float = 0.0


def extract(
    photo: Photo,
    detector: DetectorLike | Extractor = "sift",
    descriptor: DescriptorLike | None = None,
    *,
    max_features: int = 2000,
    max_size: int | None = 1024,
    orientation: Orientation = "dominant",
    root: bool = True,
    apply_exif: bool = True,
    threads: int | None = None,
    **options: Any,
) -> Extraction:
    """Decode one photo, reduce it to `max_size` and extract its features.

    A photo that cannot be read is a result with a status, not an exception.

    Parameters
    ----------
    photo : path, bytes or ndarray of uint8
        The photo.
    detector, descriptor : str or callable, optional
        What finds features and what describes them, by name or by one's own function; see
        `Extractor`, which can be given whole. By default SIFT, and the descriptor that a detector
        comes with.
    max_features : int
        At most this many, those of the greatest response.
    max_size : int, optional
        Longest side, in pixels, at which to work; a smaller photo is not enlarged. None: as it is.
    orientation : {"dominant", "upright"}
        Turn each feature to its dominant gradients, or let up be up.
    root : bool
        RootSIFT, where the descriptor is SIFT.
    apply_exif : bool
        Turn the photo as its EXIF orientation says.
    threads : int, optional
        Threads of the library's own detectors and descriptors; one for each core by default.
    **options
        Options of the detector or the descriptor.

    Returns
    -------
    Extraction

    Raises
    ------
    TypeError, ValueError
        If the detector, the descriptor or an option is none that there is.
    """
    extractor = extractor_of(detector, descriptor, max_features, orientation, root, options)
    return _extract(photo, extractor, max_size, apply_exif, threads)


def extractor_of(
    detector: DetectorLike | Extractor,
    descriptor: DescriptorLike | None,
    max_features: int,
    orientation: Orientation,
    root: bool,
    options: dict[str, Any],
) -> Extractor:
    """Return the extractor that such arguments stand for; one that is given is whole already."""
    if isinstance(detector, Extractor):
        if (descriptor, max_features, orientation, root, options) != (
            None,
            2000,
            "dominant",
            True,
            {},
        ):
            raise TypeError(
                "detector is an Extractor, which has a descriptor and options of its own: "
                "give them to it"
            )
        extractor = detector
    else:
        extractor = Extractor(detector, descriptor, max_features, orientation, root, options)
    extractor.check_installed()
    return extractor


def _extract(
    photo: Photo,
    extractor: Extractor,
    max_size: int | None,
    apply_exif: bool,
    threads: int | None,
) -> Extraction:
    start = time.perf_counter()
    pixels = pixels_of(photo, extractor.mode, apply_exif)
    if isinstance(pixels, Problem):
        return Extraction(photo, pixels.status, pixels.error)
    work = pixels if max_size is None else images.resize_to(pixels, max_size)[0]
    decoded = time.perf_counter()
    try:
        features = extractor(work, threads=threads)
    except images.ImageError as error:  # it can be read, but the detector cannot look at it
        return Extraction(photo, error.status, str(error))
    return Extraction(
        photo,
        "ok",
        features=features,
        size=(pixels.shape[1], pixels.shape[0]),
        work_size=(work.shape[1], work.shape[0]),
        decode_seconds=decoded - start,
        extract_seconds=time.perf_counter() - decoded,
    )


class Problem(NamedTuple):
    """Why a photo has no pixels; see `Extraction`."""

    status: str
    error: str


def pixels_of(photo: Photo, mode: str, apply_exif: bool = True) -> NDArray[np.uint8] | Problem:
    """Return the pixels that a detector of that mode looks at, or why there are none."""
    if isinstance(photo, str | os.PathLike) and "\0" in os.fsdecode(photo):
        return Problem("missing", f"no file has a NUL in its path: {shown(photo)}")
    try:
        return load(photo, mode, apply_exif)
    except images.ImageError as error:
        return Problem(error.status, str(error))
    except PermissionError as error:
        return Problem("forbidden", str(error))
    except (FileNotFoundError, NotADirectoryError) as error:
        return Problem("missing", str(error))
    except OSError as error:  # it is there: a loop of links, a failing disk
        return Problem("unreadable", str(error))


def load(photo: Photo, mode: str, apply_exif: bool = True) -> NDArray[np.uint8]:
    """Return the pixels that a detector of that mode looks at."""
    read = images.load_rgb if mode == "rgb" else images.load_gray
    return read(photo, apply_exif=apply_exif)


def extract_all(
    photos: Iterable[Photo],
    detector: DetectorLike | Extractor = "sift",
    descriptor: DescriptorLike | None = None,
    *,
    max_features: int = 2000,
    max_size: int | None = 1024,
    orientation: Orientation = "dominant",
    root: bool = True,
    apply_exif: bool = True,
    workers: int | None = None,
    **options: Any,
) -> Iterator[Extraction]:
    """Extract the features of many photos on several threads, in the order given.

    Decoding and detection run outside Python's lock, so threads use all cores. At most a few
    photos more than there are workers are in memory at a time.

    Parameters
    ----------
    photos : iterable
        Paths, bytes or arrays.
    detector, descriptor, max_features, max_size, orientation, root, apply_exif, **options
        As for `extract`.
    workers : int, optional
        Threads; one for each core by default.

    Yields
    ------
    Extraction
        One a photo, also for those that cannot be read.
    """
    if workers is not None:
        workers = _check.count(workers, "workers", maximum=1024)
    workers = _check.threads(workers)
    extractor = extractor_of(detector, descriptor, max_features, orientation, root, options)
    own = 1 if workers > 1 else None  # the cores are busy with a photo each
    work = partial(
        _extract, extractor=extractor, max_size=max_size, apply_exif=apply_exif, threads=own
    )
    yield from in_threads(work, photos, workers, "trouvaille-extract")
