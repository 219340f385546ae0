# SPDX-License-Identifier: Apache-2.0
"""Photos -> local features: where they are, and what they look like."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _files, images

FINGERPRINT = "opencv-sift/rootsift/uint8/128"
"""Names the descriptor that `sift` makes by default; a vocabulary only fits its own."""

DIMENSIONS = 128

MAX_ID_LENGTH = 4096
"""Characters of a photo's id, at most."""

Photo: TypeAlias = "images.Source | NDArray[np.uint8]"
"""A path, a file's bytes, or pixels: gray or RGB(A)."""


class Features(NamedTuple):
    """Local features of one photo, the strongest first.

    Attributes
    ----------
    frames : ndarray of float32, shape (n, 2, 3)
        Local affine frames: the columns of the left 2x2 part are the feature's axes in pixels, the
        last column its centre (x, y); (0, 0) is the centre of the top-left pixel.
    descriptors : ndarray of uint8, shape (n, 128)
        RootSIFT (or SIFT) in bytes.
    responses : ndarray of float32, shape (n,)
        Strength of the detection.
    scales : ndarray of float32, shape (n,)
        Radius in pixels: the square root of the determinant of the frame's 2x2 part.
    """

    frames: NDArray[np.float32]
    descriptors: NDArray[np.uint8]
    responses: NDArray[np.float32]
    scales: NDArray[np.float32]

    def select(self, chosen: NDArray[Any]) -> Features:
        """Return the features that the index array or boolean mask `chosen` picks."""
        return Features(*(part[chosen] for part in self))


def sift(image: ArrayLike, *, max_features: int = 2000, root: bool = True) -> Features:
    """Detect SIFT features and describe them in bytes.

    Parameters
    ----------
    image : array_like of uint8, shape (h, w) or (h, w, 3) or (h, w, 4)
        Gray, or RGB(A), which is made gray.
    max_features : int
        At most this many, those of the greatest response.
    root : bool
        RootSIFT [2]_, ``round(512 * sqrt(x / sum(x)))`` clipped at 255, so that the Euclidean
        distance compares histograms by the Hellinger kernel; plain SIFT if false.

    Returns
    -------
    Features
        In order of response; features of equal response by position. None at all for an image
        without structure.

    Raises
    ------
    TypeError
        If the image is not bytes.
    ValueError
        If it has another shape, is empty, or `max_features` is not positive.

    References
    ----------
    .. [1] D. Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004.
    .. [2] R. Arandjelović, A. Zisserman, "Three things everyone should know to improve object
       retrieval", CVPR 2012.
    """
    gray = images.as_gray(image)
    max_features = _check.count(max_features, "max_features")
    keypoints, described = _detector(max_features).detectAndCompute(gray, None)
    if described is None:
        keypoints, described = (), np.empty((0, DIMENSIONS), np.float32)

    # OpenCV may keep more than was asked for (all of the last one's response).
    table = np.array([(*k.pt, k.size, k.angle, k.response) for k in keypoints], np.float32)
    x, y, size, angle, response = table.reshape(-1, 5).T
    order = np.lexsort((angle, size, y, x, -response))[:max_features]
    x, y, size, angle, response = (column[order] for column in (x, y, size, angle, response))
    scales = (size / 2).astype(np.float32)  # OpenCV's size is a diameter
    descriptors = _root(described[order]) if root else described[order].astype(np.uint8)
    frames = _similarity_frames(x, y, scales, angle)
    return Features(frames, descriptors, response.astype(np.float32), scales)


_local = threading.local()


def _detector(max_features: int) -> Any:
    """Return this thread's detector: making one allocates, and one must not be shared."""
    detectors = _local.__dict__.setdefault("detectors", {})
    if max_features not in detectors:
        import cv2

        # Without "precise upscale" every position is off by a quarter of a pixel.
        detectors[max_features] = cv2.SIFT_create(  # type: ignore[attr-defined]
            nfeatures=max_features, enable_precise_upscale=True
        )
    return detectors[max_features]


def _similarity_frames(
    x: NDArray[Any], y: NDArray[Any], scales: NDArray[Any], angle: NDArray[Any]
) -> NDArray[np.float32]:
    """Return frames turned by `angle`, in degrees clockwise as seen (y points down)."""
    turn = np.deg2rad(angle)
    cosine, sine = scales * np.cos(turn), scales * np.sin(turn)
    rows = np.stack([cosine, -sine, x, sine, cosine, y], axis=1)
    return rows.reshape(-1, 2, 3).astype(np.float32, copy=False)


def _root(described: NDArray[Any]) -> NDArray[np.uint8]:
    total = described.sum(axis=1, keepdims=True)
    rooted = 512 * np.sqrt(described / np.maximum(total, 1))  # bytes: a sum below 1 is 0
    descriptors: NDArray[np.uint8] = np.minimum(np.rint(rooted), 255).astype(np.uint8)
    return descriptors


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
    *,
    max_features: int = 2000,
    max_size: int | None = 1024,
    root: bool = True,
    apply_exif: bool = True,
) -> Extraction:
    """Decode one photo, reduce it to `max_size` and extract its features.

    A photo that cannot be read is a result with a status, not an exception.

    Parameters
    ----------
    photo : path, bytes or ndarray of uint8
        The photo.
    max_features, root
        As for `sift`.
    max_size : int, optional
        Longest side, in pixels, at which to work; a smaller photo is not enlarged. None: as it is.
    apply_exif : bool
        Turn the photo as its EXIF orientation says.

    Returns
    -------
    Extraction
    """
    start = time.perf_counter()
    if isinstance(photo, str | os.PathLike) and "\0" in os.fsdecode(photo):
        return Extraction(photo, "missing", f"no file has a NUL in its path: {shown(photo)}")
    try:
        gray = images.load_gray(photo, apply_exif=apply_exif)
    except images.ImageError as error:
        return Extraction(photo, error.status, str(error))
    except PermissionError as error:
        return Extraction(photo, "forbidden", str(error))
    except (FileNotFoundError, NotADirectoryError) as error:
        return Extraction(photo, "missing", str(error))
    except OSError as error:  # it is there: a loop of links, a failing disk
        return Extraction(photo, "unreadable", str(error))
    work = gray if max_size is None else images.resize_to(gray, max_size)[0]
    decoded = time.perf_counter()
    features = sift(work, max_features=max_features, root=root)
    return Extraction(
        photo,
        "ok",
        features=features,
        size=(gray.shape[1], gray.shape[0]),
        work_size=(work.shape[1], work.shape[0]),
        decode_seconds=decoded - start,
        extract_seconds=time.perf_counter() - decoded,
    )


def extract_all(
    photos: Iterable[Photo], *, workers: int | None = None, **options: Any
) -> Iterator[Extraction]:
    """Extract the features of many photos on several threads, in the order given.

    Decoding and detection run outside Python's lock, so threads use all cores. At most a few
    photos more than there are workers are in memory at a time.

    Parameters
    ----------
    photos : iterable
        Paths, bytes or arrays.
    workers : int, optional
        Threads; one for each core by default.
    **options
        As for `extract`.

    Yields
    ------
    Extraction
        One a photo, also for those that cannot be read.
    """
    if workers is not None:
        workers = _check.count(workers, "workers", maximum=1024)
    workers = _check.threads(workers)
    waiting: deque[Future[Extraction]] = deque()
    with ThreadPoolExecutor(workers, "trouvaille-extract") as pool:
        try:
            for photo in photos:
                waiting.append(pool.submit(extract, photo, **options))
                if len(waiting) >= 2 * workers + 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # an interrupted caller does not wait for photos not yet begun
            for future in waiting:
                future.cancel()


def expand(photos: Photo | Iterable[Photo]) -> list[Photo]:
    """Return photos one by one: every photo in a folder, a file, or each of several.

    Raises
    ------
    FileNotFoundError
        If `photos` is one path that does not exist.
    TypeError
        If something is no path, bytes or array.
    """
    return [photo for _, photo in _expanded(photos)]


def _expanded(photos: Photo | Iterable[Photo]) -> list[tuple[str, Photo]]:
    single = isinstance(photos, str | os.PathLike | bytes | bytearray | memoryview | np.ndarray)
    if not single and not isinstance(photos, Iterable):
        raise _not_photos(photos)
    given: Iterable[Any] = [photos] if single else photos  # type: ignore[assignment]
    if isinstance(photos, str | os.PathLike) and not Path(os.fsdecode(photos)).exists():
        raise FileNotFoundError(errno.ENOENT, "no such photo or folder", os.fsdecode(photos))
    return [named for photo in given for named in _named(photo)]


def list_photos(
    photos: Photo | Iterable[Photo], ids: str | Sequence[str] | None = None
) -> list[tuple[str, Photo]]:
    """Return photos with their ids: every photo in a folder, a file, or each of several.

    Parameters
    ----------
    photos : path, bytes, ndarray, or an iterable of them
        A path may be a folder, which stands for all photos in it.
    ids : str or sequence of str, optional
        One a photo: text of at most 4,096 characters that UTF-8 can hold, without NUL. By default
        the path relative to the folder given, or the file's name; `id_problem` says which of these
        are no ids.

    Returns
    -------
    list of (id, photo)

    Raises
    ------
    ValueError
        If `ids` are missing for photos that are not files, do not match them in number, cannot be
        stored, or if an id occurs twice.
    FileNotFoundError
        If `photos` is one path that does not exist.
    """
    listed = _expanded(photos)
    if ids is not None:
        chosen = [ids] if isinstance(ids, str) else list(ids)
        if len(chosen) != len(listed):
            raise ValueError(f"ids must be one a photo: got {len(chosen)} for {len(listed)} photos")
        for id in chosen:
            if not isinstance(id, str) or not id:
                raise TypeError(f"ids must be non-empty text, got {id!r}")
            if problem := id_problem(id):
                raise ValueError(f"ids: {shown(id)} {problem}")
        listed = [(id, photo) for id, (_, photo) in zip(chosen, listed, strict=True)]
    seen: set[str] = set()
    for id, _ in listed:
        if not id:
            raise ValueError("ids must be given for photos that are not files")
        if id in seen:
            raise ValueError(f"two photos have the id {id!r}; give ids of their own with ids=")
        seen.add(id)
    return listed


def _named(photo: Any) -> Iterator[tuple[str, Photo]]:
    if isinstance(photo, bytes | bytearray | memoryview | np.ndarray):
        yield "", photo
    elif isinstance(photo, str | os.PathLike):
        path = Path(os.fsdecode(photo))
        if os.path.isdir(path):  # noqa: PTH112 (a name too long is no folder, not an error)
            for found in images.find_photos(path):
                yield found.relative_to(path).as_posix(), found
        else:  # one missing among several is a row of the report, not the end of the run
            yield path.name, path
    else:
        raise _not_photos(photo)


def _not_photos(given: Any) -> TypeError:
    return TypeError(f"photos must be paths, bytes or arrays of pixels, got {type(given).__name__}")


def id_problem(id: str) -> str | None:
    """Return why a collection cannot hold this id, or None if it can.

    The name of a file need not be text: in one that is not UTF-8, Python has lone surrogates.
    """
    if len(id) > MAX_ID_LENGTH:
        return f"has {len(id)} characters; an id has at most {MAX_ID_LENGTH}"
    if "\0" in id:
        return "holds a NUL"
    return None if _files.is_utf8(id) else "is not text that UTF-8 can hold"


def shown(name: str | os.PathLike[str]) -> str:
    """Return a name as an error shows it: quoted, and cut where it is long."""
    text = os.fsdecode(name)
    return repr(text) if len(text) <= 80 else f"{text[:60]!r}... ({len(text)} characters)"
