# SPDX-License-Identifier: Apache-2.0
"""The collection: photos in, verified matches out."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from .. import _check, images
from ..features import Photo, list_photos
from ..features.extraction import load
from ..features.registry import Orientation
from ..words import Vocabulary
from .creating import chosen_network, chosen_vocabulary, create_storage
from .describing import Describer, NetworkLike, describer_of
from .pipeline import Adding, Progress
from .query import Query
from .ranker import Ranking
from .report import AddReport
from .results import Found, Hits, hits_of
from .searcher import Searcher, Seconds, VerifiedPhoto, without
from .settings import Settings
from .signing import check
from .storage import Snapshot, Storage

if TYPE_CHECKING:
    from ..deep import GlobalDescriptor


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
        self._describer: Describer | None = None
        self._ids: tuple[Snapshot, list[str]] | None = None
        self._making = threading.Lock()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        vocabulary: Vocabulary | Literal["ready", "own"] | None = None,
        *,
        num_words: int | None = None,
        max_features: int = 2000,
        max_size: int = 1024,
        keep_descriptors: bool = True,
        random_state: int = 0,
        detector: str = "sift",
        descriptor: str | None = None,
        orientation: Orientation = "dominant",
        ranking: str = "hamming",
        signature_bits: int | None = None,
        pipeline: str = "local",
        network: NetworkLike | None = None,
    ) -> Self:
        """Make a new, empty collection in the folder `path`.

        Parameters
        ----------
        path : path
            The folder to make; it must not exist, or be empty.
        vocabulary : Vocabulary, "ready" or "own", optional
            Visual words to use: given ones, those that come with the library, or the collection's
            own, which it learns from the first photos that are added: add a good number of them at
            once then. The default is "ready" where there are such words of the descriptor, and
            `num_words` is not given.
        num_words : int, optional
            Words of a vocabulary of its own; by default one for 16 descriptors, 20,000 at most.
        max_features : int
            Local features a photo, at most.
        max_size : int
            Longest side in pixels at which photos are worked on; a smaller one is not enlarged.
        keep_descriptors : bool
            Keep every feature's descriptor (of SIFT 128 bytes), so that verification compares
            descriptors, and not signatures, where there is one a feature, or words alone.
        random_state : int
            Seed of a vocabulary of its own.
        detector, descriptor : str, optional
            What finds features and what describes them, by name; see `features.Extractor`. By
            default SIFT, and the descriptor that a detector comes with.
        orientation : {"dominant", "upright"}
            Turn each feature to its dominant gradients, so that a turned photo is found; or let up
            be up, which tells more apart where cameras are held upright.
        ranking : {"hamming", "asmk", "tfidf"}
            What ranks photos before verification: features of one word whose signatures are near
            (`index.HammingIndex`), one signature a word (`index.ASMK`), or words alone. Signatures
            find more; words alone take fewer bytes. docs/match_kernels.md compares them.
        signature_bits : int, optional
            Of a feature, by "hamming"; by default 128, at most the descriptor's dimensions.
        pipeline : {"local", "global", "local+global"}
            Find photos by local features, which geometry verifies; by one vector a photo, which a
            network makes, and no verification; or by both: the photos that are verified are those
            that either puts first. docs/deep.md says what each finds. Both others than "local" need
            PyTorch (``pip install 'trouvaille[deep]'``), "global" takes no option of local
            features.
        network : deep.GlobalDescriptor or path, optional
            What makes the vectors, or the file of `deep.save_network`. It is stored in the
            collection, and describes photos and queries at `max_size`, at its own scales. By
            default EfficientNet-Lite0 with R-MAC at three scales.

        Returns
        -------
        Collection

        Raises
        ------
        FileExistsError
            If there is something at `path`.
        ValueError
            If the vocabulary belongs to another descriptor, an option is out of range, words cannot
            be made of the descriptor, or the network cannot be stored.
        ImportError
            If what the network needs is not installed; it says what to install.
        """
        stored = chosen_network(network, pipeline, max_size)
        settings = Settings(
            max_features,
            max_size,
            keep_descriptors,
            num_words,
            random_state,
            detector,
            descriptor,
            orientation,
            ranking,
            signature_bits,
            pipeline,
            stored and stored.name,
            stored and stored.dimensions,
        )
        if settings.has_features:
            settings.extractor.check_installed()
        return cls(create_storage(path, settings, chosen_vocabulary(vocabulary, settings), stored))

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
        collection = cls(storage)
        if storage.snapshot.fingerprint != collection.settings.fingerprint:
            raise ValueError(
                f"{path} is made of descriptor {storage.snapshot.fingerprint!r}; "
                f"this version extracts {collection.settings.fingerprint!r}"
            )
        check(storage.snapshot, collection.settings)
        return collection

    def refresh(self) -> None:
        """See what was committed since the collection was opened, by another process say."""
        self._storage.refresh()
        self._forget()

    def close(self) -> None:
        """Let go of what is held in memory; the collection can be opened again."""
        self._forget()
        self._describer = None

    def _forget(self) -> None:
        """Let go of what is of one state of the collection; its network never changes."""
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
        return f"<Collection {self.path}: {self.summary}>"

    @property
    def summary(self) -> str:
        """What is in it, in a few words."""
        parts = [f"{len(self):,} photos"]
        if self._settings.has_features:
            parts.append(f"{self.num_words:,} visual words")
        if self._settings.has_vectors:
            parts.append(f"vectors of {self._settings.vector_dimensions:,} numbers")
        return ", ".join(parts)

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
        return None if words is None else Vocabulary(words, self._settings.fingerprint)

    @property
    def network(self) -> GlobalDescriptor | None:
        """The network that makes the vectors, read from the collection; None where there are none.

        Raises
        ------
        ImportError
            If what it needs is not installed; it says what to install.
        IndexCorruptError
            If it is not the network that the collection was made with.
        """
        describer = self._current_describer()
        return None if describer is None else describer.network

    @property
    def ids(self) -> list[str]:
        """The ids of all photos, in the order in which they were added."""
        held, snapshot = self._ids, self._storage.snapshot  # into locals, as in `_current`
        if held is None or held[0] is not snapshot:
            ids = [id for segment in snapshot.segments for id in segment.catalogue.ids()]
            self._ids = held = (snapshot, ids)
        return list(held[1])

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
        photos, 2 million features or ten minutes are committed together, and a vocabulary once it
        is learned: an interruption or a crash leaves what was committed. What is committed is a
        folder of up to seven files, which are open while the collection is: add photos together
        rather than one by one.

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
            try:
                describer = self._current_describer()
                return Adding(writer, self._settings, describer, progress).run(named, workers)
            finally:
                self._forget()  # what was committed is searched from now on

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

        The photos that rank first by visual words and signatures (or by vectors, or by either) are
        verified by geometry. Those it confirms come first, by the weight of the matches that agree
        on one transform; the others keep the order of that ranking. Where it confirms none, the
        query is asked once more at a third of its size (not by DELF, whose features are of all
        scales): a photo from far shows what is large in a photo from near. A collection of the
        pipeline "global" has no features to verify.

        Parameters
        ----------
        photo : path, bytes or ndarray of uint8
            The query.
        k : int
            Photos to return, at most; it may be as many as there are.
        box : sequence of float, optional
            Search with this part of the query only: x1, y1, x2, y2 in its pixels.
        verify : int
            Photos to verify; 0 for the first ranking alone.
        exclude : iterable of str
            Ids that are not wanted (the query's own, say).
        threads : int, optional
            Worker threads; one for each core by default. Features of OpenCV's, and networks, have
            their own.

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
        excluded = _ids(exclude, "exclude")
        searcher, seconds = self._current(), Seconds()
        describer = self._current_describer() if searcher.snapshot.n_images > 0 else None
        with seconds.of("extract"):
            pixels = load(photo, self._settings.mode)
            query = Query.of(pixels, box, self._settings, threads)
        if describer is not None:
            with seconds.of("describe"):
                if self._settings.mode != "rgb":
                    pixels = load(photo, "rgb")
                query = replace(query, vector=describer.of_query(pixels, box))
        found = self._found(searcher, query, max(k, verify), verify, excluded, threads, seconds)
        reducible = query.can_be_reduced and not self._settings.extractor.overlapping
        if verify > 0 and not found.verified and reducible:
            # Nothing is confirmed. The strongest features of a close view are details that a far
            # one cannot show: a smaller query has those that it can. What overlaps is of all scales
            # at once.
            with seconds.of("extract"):
                smaller = query.reduced(self._settings, threads)
            again = self._found(searcher, smaller, verify, verify, excluded, threads, seconds)
            found = Found(found.ranking, again.verified, smaller)
        with seconds.of("collect"):
            hits = hits_of(searcher, found, k)
        return Hits(
            hits,
            seconds=dict(seconds),
            query_size=query.size,
            n_features=len(query.features.frames),
            first=lambda: [searcher.row(int(number)).id for number in found.ranking.numbers],
        )

    def _current(self) -> Searcher:
        # One thread makes it, and the others wait: it may be as large as the index. Into a local:
        # another thread may add, and forget the searcher, at any time.
        with self._making:
            searcher, snapshot = self._searcher, self._storage.snapshot
            if searcher is None or searcher.snapshot is not snapshot:
                self._searcher = searcher = Searcher(snapshot, self._settings)
            return searcher

    def _current_describer(self) -> Describer | None:
        with self._making:
            section = self._storage.snapshot.network
            if self._describer is None and section is not None:
                self._describer = describer_of(section, self._settings)
            return self._describer

    def _found(
        self,
        searcher: Searcher,
        query: Query,
        n: int,
        verify: int,
        excluded: set[str],
        threads: int | None,
        seconds: Seconds,
    ) -> Found:
        """Rank `n` photos, and verify the first of them."""
        if searcher.snapshot.n_images == 0:
            return Found(Ranking(np.empty(0, np.int64), np.empty(0)), {}, query)
        words = None
        if self._settings.has_features:
            with seconds.of("words"):
                words = searcher.words(query.features, threads)
        with seconds.of("search"):
            left_out = searcher.numbers(excluded)
            ranking = searcher.rank(query, words, n + len(left_out), threads)
            ranking = without(ranking, left_out, n)
        verified: dict[int, VerifiedPhoto] = {}
        if verify > 0 and words is not None and len(query.features.frames) > 0:
            shortlist = ranking.numbers[:verify]
            verified = searcher.verify(query.features, words, shortlist, threads, seconds)
        return Found(ranking, verified, query)


def _ids(ids: Iterable[str], name: str) -> set[str]:
    if not isinstance(ids, Iterable):
        raise TypeError(f"{name} must be ids, that is text, got {ids!r}")
    given = {ids} if isinstance(ids, str) else set(ids)
    for id in given:
        if not isinstance(id, str):
            raise TypeError(f"{name} must be ids, that is text, got {id!r}")
    return given
