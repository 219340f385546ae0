# SPDX-License-Identifier: Apache-2.0
"""Photos one by one, with the ids that a collection gives them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _files, images
from ._types import Photo

MAX_ID_LENGTH = 4096
"""Characters of a photo's id, at most."""


def expand(photos: Photo | Iterable[Photo]) -> list[Photo]:
    """Return photos one by one: every photo in a folder, a file, or each of several.

    Raises
    ------
    FileNotFoundError
        If `photos` is one path that does not exist.
    TypeError
        If something is no path, bytes or array.
    """
    return [photo for _, photo in expand_named(photos)]


def expand_named(photos: Photo | Iterable[Photo]) -> list[tuple[str, Photo]]:
    """Return photos as `expand` does, each with its name; what is no file has an empty one."""
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
    listed = expand_named(photos)
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


def printable(id: str) -> str:
    """Return an id as it can be printed and stored in JSON: what is no text, as an escape."""
    return id.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
