# SPDX-License-Identifier: Apache-2.0
"""The collection: photos in, verified matches out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from .. import _check, images
from ..features import FINGERPRINT, Features, Photo, list_photos, sift
from ..words import Vocabulary
from .pipeline import Adding, Progress
from .query import Box, Hit, Hits
from .report import AddReport
from .searcher import Ranking, Searcher, VerifiedPhoto, without
from .settings import Settings
from .storage import Storage


@dataclass(frozen=True)
class Entry:
    """A photo of the collection.

    Attributes
    ----------
    id : str
        Its name in the collection.
    path : str or None
        Where it was when it was added, if it came from a file.
    size : tuple of int
        Width and height in pixels, upright.
    n_features : int
        Local features kept.
    """

    id: str
    path: str | None
    size: tuple[int, int]
    n_features: int


@dataclass(frozen=True, eq=False)
class _Query:
    """A photo to search with, worked on as those of the collection."""

    features: Features
    size: tuple[int, int]
    to_photo: NDArray[np.float64]  # from the pixels worked on to those of the photo


class Collection:
    """Photos that can be searched with a photo; kept in a folder, and searched from there.

    Make one with `create`, or use one that exists with `open`. Any number of processes and threads
    may search a collection while one adds to it; each sees what was committed when it opened it.

    Examples
    --------
    >>> with Collection.create("photos.tv") as collection:  # doctest: +SKIP
    ...     collection.add("photos/")
    ...     for hit in collection.search("query.jpg"):
    ...         print(hit.rank, hit.id, hit.n_inliers)
    """

    def __init__(self, storage: Storage) -> None:
        """Use `create` or `open` instead."""
        self._storage = storage
        self._settings = Settings.from_dict(storage.snapshot.settings)
        self._searcher: Searcher | None = None
        self._ids: list[str] | None = None

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        vocabulary: Vocabulary | None = None,
        *,
        num_words: int | None = None,
        max_features: int = 2000,
        max_size: int = 1024,
        keep_descriptors: bool = True,
        random_state: int = 0,
    ) -> Self:
        """Make a new, empty collection in the folder `path`.

        Parameters
        ----------
        path : path
            The folder to make; it must not exist, or be empty.
        vocabulary : Vocabulary, optional
            Visual words to use. By default the collection learns its own from the first photos
            that are added: add a good number of them at once.
        num_words : int, optional
            Words of a vocabulary of its own; by default one for 16 descriptors, 20,000 at most.
        max_features : int
            Local features a photo, at most.
        max_size : int
            Longest side in pixels at which features are found.
        keep_descriptors : bool
            Keep every feature's descriptor (128 bytes), so that verification compares descriptors
            and not words alone.
        random_state : int
            Seed of a vocabulary of its own.

        Returns
        -------
        Collection

        Raises
        ------
        FileExistsError
            If there is something at `path`.
        ValueError
            If the vocabulary belongs to another descriptor, or an option is out of range.
        """
        settings = Settings(max_features, max_size, keep_descriptors, num_words, random_state)
        if vocabulary is not None:
            if num_words not in (None, vocabulary.num_words):
                raise ValueError(
                    f"num_words is {num_words}, but the vocabulary given has "
                    f"{vocabulary.num_words} words; leave num_words out"
                )
            if vocabulary.fingerprint != FINGERPRINT:
                raise ValueError(
                    f"vocabulary belongs to descriptor {vocabulary.fingerprint!r}; this collection "
                    f"has {FINGERPRINT!r}. Learn one with Vocabulary.learn(photos, num_words)"
                )
        storage = Storage.create(path, settings.as_dict(), FINGERPRINT)
        if vocabulary is not None:
            with storage.writer() as writer:
                writer.set_vocabulary(vocabulary.words, FINGERPRINT)
                writer.commit()
        return cls(storage)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, verify: Literal["lazy", "full"] = "lazy"
    ) -> Self:
        """Open the collection in the folder `path`.

        Parameters
        ----------
        path : path
            The folder.
        verify : {"lazy", "full"}
            Check each block of a file against its checksum when it is first read, or all now.

        Returns
        -------
        Collection

        Raises
        ------
        FileNotFoundError, NotADirectoryError, ValueError
            If there is no collection.
        IndexCorruptError
            If it is damaged: it says which file, which section and where.
        FormatVersionError
            If a newer version wrote it.
        """
        storage = Storage.open(path, verify)
        if storage.snapshot.fingerprint != FINGERPRINT:
            raise ValueError(
                f"{path} is made of descriptor {storage.snapshot.fingerprint!r}; "
                f"this version extracts {FINGERPRINT!r}"
            )
        return cls(storage)

    def close(self) -> None:
        """Let go of what is held in memory; the collection can be opened again."""
        self._searcher = None
        self._ids = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of photos."""
        return self._storage.snapshot.n_images

    def __contains__(self, id: object) -> bool:
        """Return whether there is a photo of that id."""
        return isinstance(id, str) and self._storage.snapshot.find(id) is not None

    def __repr__(self) -> str:
        return f"<Collection {self.path}: {len(self)} photos, {self.num_words} words>"

    @property
    def path(self) -> Path:
        """The collection's folder."""
        return self._storage.directory.path_of("")

    @property
    def settings(self) -> Settings:
        """How photos are worked on; fixed when the collection was created."""
        return self._settings

    @property
    def num_words(self) -> int:
        """Words of the vocabulary; 0 before there is one."""
        return self._storage.snapshot.n_words

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary, or None before there is one."""
        words = self._storage.snapshot.vocabulary
        return None if words is None else Vocabulary(words, FINGERPRINT)

    @property
    def ids(self) -> list[str]:
        """The ids of all photos, in the order in which they were added."""
        if self._ids is None:
            segments = self._storage.snapshot.segments
            self._ids = [row.id for segment in segments for row in segment.catalogue.rows()]
        return list(self._ids)

    def entry(self, id: str) -> Entry:
        """Return what is known of a photo; KeyError if there is none of that id."""
        found = self._storage.snapshot.find(id)
        if found is None:
            raise KeyError(f"no photo has the id {id!r}")
        row = self._storage.snapshot.segments[found[0]].catalogue.row(found[1])
        return Entry(row.id, row.path, (row.width, row.height), row.n_features)

    def stats(self) -> dict[str, int]:
        """Return the number of photos, features and words, and the bytes of each kind of file."""
        snapshot = self._storage.snapshot
        sizes: dict[str, int] = {}
        for segment in snapshot.segments:
            for file in segment.entry.files:
                key = f"bytes_{file.kind}"
                sizes[key] = sizes.get(key, 0) + file.size
        return {
            "photos": snapshot.n_images,
            "features": snapshot.n_features,
            "words": snapshot.n_words,
            "bytes": sum(sizes.values()),
            **sizes,
        }

    def add(
        self,
        photos: Photo | Iterable[Photo],
        ids: str | Sequence[str] | None = None,
        *,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> AddReport:
        """Add photos.

        A photo that cannot be read is a row in the report, never the end of the run. Each 4,096
        photos are committed together: an interruption or a crash leaves what was committed.

        Parameters
        ----------
        photos : path, bytes, ndarray of uint8, or an iterable of them
            A path may be a folder, which stands for all photos in it.
        ids : str or sequence of str, optional
            One a photo. By default the path relative to the folder given, or the file's name.
        workers : int, optional
            Threads that extract features; one for each core by default.
        progress : callable, optional
            Called with (stage, done, total).

        Returns
        -------
        AddReport
            One row a photo.

        Raises
        ------
        ValueError
            If there are no photos, if an id is in the collection already or occurs twice; nothing
            is added then.
        CollectionLockedError
            If another process is adding.
        """
        named = list_photos(photos, ids)
        if not named:
            raise ValueError(
                f"photos: there is no photo in {photos!r}; "
                f"expected files named {', '.join(images.PHOTO_EXTENSIONS)}"
            )
        with self._storage.writer() as writer:
            for id, _ in named:
                if id in self:
                    raise ValueError(
                        f"photos: the collection has a photo {id!r} already; "
                        "give the new one another id with ids="
                    )
            try:
                adding = Adding(writer, self._storage, self._settings, progress)
                return adding.run(named, workers)
            finally:
                self.close()  # what was committed is searched from now on

    def search(
        self,
        photo: Photo,
        k: int = 10,
        box: Sequence[float] | None = None,
        verify: int = 100,
        *,
        exclude: Iterable[str] = (),
        threads: int | None = None,
    ) -> Hits:
        """Find the photos that show the same object as `photo`.

        The photos whose visual words are most alike are verified by geometry. Those it confirms
        come first, by the weight of the matches that agree on one transform; the others keep the
        order that the words gave them.

        Parameters
        ----------
        photo : path, bytes or ndarray of uint8
            The query.
        k : int
            Photos to return, at most; it may be as many as there are.
        box : sequence of float, optional
            Search with this part of the query only: x1, y1, x2, y2 in its pixels.
        verify : int
            Photos to verify; 0 for the words' ranking alone.
        exclude : iterable of str
            Ids that are not wanted (the query's own, say).
        threads : int, optional
            Worker threads; one for each core by default.

        Returns
        -------
        Hits
            Best first; an empty list for an empty collection. ``hits.seconds`` says how long each
            stage took.

        Raises
        ------
        ImageError, OSError
            If the query cannot be read.
        ValueError, TypeError
            If an argument is out of range.
        """
        k = _check.count(k, "k")
        verify = _check.count(verify, "verify", minimum=0)
        excluded = set([exclude] if isinstance(exclude, str) else exclude)
        seconds = dict.fromkeys(("extract", "words", "search", "match", "verify"), 0.0)
        start = time.perf_counter()
        query = self._query(photo, box)
        seconds["extract"] = time.perf_counter() - start
        if len(self) == 0:
            return self._hits(query, k, Ranking(np.empty(0, np.int64), np.empty(0)), {}, seconds)
        searcher = self._current()

        start = time.perf_counter()
        words = searcher.words(query.features, threads)
        seconds["words"] = time.perf_counter() - start
        start = time.perf_counter()
        wanted = min(max(k, verify) + len(excluded), len(self))
        ranking = searcher.rank(words.ids[:, 0], wanted, threads)
        if excluded:
            ranking = without(ranking, self._numbers(excluded))
        seconds["search"] = time.perf_counter() - start
        verified = {}
        if verify > 0 and len(query.features.frames) > 0:
            shortlist = ranking.numbers[:verify]
            verified = searcher.verify(query.features, words, shortlist, threads, seconds)
        return self._hits(query, k, ranking, verified, seconds)

    def _current(self) -> Searcher:
        snapshot = self._storage.snapshot
        if self._searcher is None or self._searcher.snapshot is not snapshot:
            self._searcher = Searcher(snapshot)
        return self._searcher

    def _numbers(self, ids: Iterable[str]) -> set[int]:
        snapshot = self._storage.snapshot
        found = (snapshot.find(id) for id in ids)
        return {snapshot.bases[place[0]] + place[1] for place in found if place is not None}

    def _query(self, photo: Photo, box: Sequence[float] | None) -> _Query:
        gray = images.load_gray(photo)
        height, width = gray.shape
        x1, y1, x2, y2 = (0, 0, width, height) if box is None else _pixels(box, width, height)
        work, (factor_x, factor_y) = images.resize_to(gray[y1:y2, x1:x2], self._settings.max_size)
        features = sift(work, max_features=self._settings.max_features)
        to_photo = _resized(factor_x, factor_y)
        to_photo[:2, 2] += x1, y1
        return _Query(features, (width, height), to_photo)

    def _hits(
        self,
        query: _Query,
        k: int,
        ranking: Ranking,
        verified: dict[int, VerifiedPhoto],
        seconds: dict[str, float],
    ) -> Hits:
        numbers = [int(number) for number in ranking.numbers]
        cosines = dict(zip(numbers, ranking.scores.tolist(), strict=True))
        by_words = {number: place for place, number in enumerate(numbers)}
        first = sorted(verified, key=lambda number: (-verified[number].score, by_words[number]))
        order = first + [number for number in numbers if number not in verified]
        searcher = self._current() if numbers else None
        hits = []
        for rank, number in enumerate(order[:k], start=1):
            assert searcher is not None
            row = searcher.row(number)
            if number not in verified:
                hits.append(Hit(row.id, min(cosines[number], 1.0), rank))
                continue
            photo = verified[number]
            from_work = _resized(row.width / row.work_width, row.height / row.work_height)
            seen = _moved(photo.inliers[:, :2], query.to_photo)
            found = _moved(photo.inliers[:, 2:], from_work)
            x1, y1, x2, y2 = photo.box
            corners = _moved(np.array([[x1, y1], [x2, y2]]), from_work)
            hits.append(
                Hit(
                    row.id,
                    1 + photo.score,
                    rank,
                    len(photo.inliers),
                    from_work @ photo.transform @ np.linalg.inv(query.to_photo),
                    _bounds(seen),
                    _bounds(corners),
                    np.hstack([seen, found]).astype(np.float32),
                )
            )
        listed = [] if searcher is None else [searcher.row(number).id for number in numbers]
        return Hits(
            hits,
            seconds=seconds,
            query_size=query.size,
            n_features=len(query.features.frames),
            words_ranking=listed,
        )


def _pixels(box: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """Return the pixels that a box of the query touches."""
    x1, y1, x2, y2 = _check.array(box, "box", np.float64, ndim=1) if len(box) == 4 else (0, 0, 0, 0)
    left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
    right, bottom = min(int(np.ceil(x2)), width), min(int(np.ceil(y2)), height)
    if left >= right or top >= bottom:
        raise ValueError(
            f"box must be x1, y1, x2, y2 with x1 < x2 and y1 < y2, within the query's "
            f"{width} x {height} pixels; got {tuple(box)}"
        )
    return left, top, right, bottom


def _resized(factor_x: float, factor_y: float) -> NDArray[np.float64]:
    """Return the transform of a photo enlarged so many times; (0, 0) is a pixel's centre."""
    return np.array(
        [
            [factor_x, 0, (factor_x - 1) / 2],
            [0, factor_y, (factor_y - 1) / 2],
            [0, 0, 1],
        ]
    )


def _moved(points: NDArray[np.floating], transform: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ transform[:2, :2].T + transform[:2, 2]


def _bounds(points: NDArray[np.float64]) -> Box:
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2, y2
