# SPDX-License-Identifier: Apache-2.0
"""Descriptors → visual words: learn them by k-means, find the nearest ones, keep them in a file."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core, _files
from .errors import FormatVersionError, IndexCorruptError
from .neighbors import Neighbors

Progress = Callable[[int, int], None]  # called with (steps done, steps in all)


def assign(X: ArrayLike, words: ArrayLike, k: int = 1, *, threads: int | None = None) -> Neighbors:
    """Find the `k` nearest words of each descriptor, exactly.

    Parameters
    ----------
    X : array_like of uint8 or float, shape (n_descriptors, n_dims)
        Descriptors. If they and the words are bytes, distances are exact integers; otherwise
        both are taken as float32, which must represent them exactly.
    words : array_like of uint8 or float, shape (n_words, n_dims)
        Words, or any other vectors: it is the exact search of one set among another.
    k : int
        Neighbours of each descriptor. It may exceed the number of words.
    threads : int, optional
        Worker threads; one per core by default.

    Returns
    -------
    Neighbors
        ``(distances, ids)``, each of shape (n_descriptors, k).

    Raises
    ------
    TypeError
        If an array does not hold numbers, or `k` or `threads` is not a whole number.
    ValueError
        If an array is not 2-D, has NaN, infinity or numbers that float32 cannot represent, the
        dimensions differ, bytes have more than 32,768 dimensions, or `k` or `threads` is not
        positive.

    Notes
    -----
    The same bits for any number of threads and on every CPU. Float distances are float32 sums of
    ``(x - w) ** 2`` in a fixed order (relative error at most ``(n_dims / 16 + 8) * 2**-24``), and
    the neighbours are those with the smallest such sums, so equal vectors are at exactly 0.
    Time O(n_descriptors * n_words * n_dims); memory is the result and a few MiB.

    Examples
    --------
    >>> assign(np.uint8([[3, 4]]), np.uint8([[0, 0], [3, 3]]), k=2)
    Neighbors(distances=array([[ 1, 25]], dtype=int32), ids=array([[1, 0]]))
    """
    X, words = _alike(_check.descriptors(X, "X"), _check.descriptors(words, "words"))
    if words.shape[1] != X.shape[1]:
        raise ValueError(f"words must have the {X.shape[1]} columns of X, got shape {words.shape}")
    if X.dtype == np.uint8 and X.shape[1] > _core.max_byte_dims:
        raise ValueError(
            f"X has {X.shape[1]} columns; distances between bytes fit 32 bits up to "
            f"{_core.max_byte_dims}. Pass X.astype(np.float32)"
        )
    k = _check.count(k, "k")
    return Neighbors(*_core.exact_neighbors(X, words, k, _check.threads(threads)))


def _alike(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as they are if their dtypes agree, else both as float32."""
    if x.dtype == y.dtype:
        return x, y
    return x.astype(np.float32, copy=False), y.astype(np.float32, copy=False)


class KMeans:
    """Lloyd's k-means, in the style of scikit-learn.

    Parameters
    ----------
    num_words : int
        Clusters.
    iterations : int
        At most so many rounds of assignment and update; fewer if the centres stop changing.
    random_state : int
        Seed of the initial centres, which are distinct points chosen at random.
    threads : int, optional
        Worker threads; one per core by default. The result does not depend on it.

    Attributes
    ----------
    cluster_centers_ : ndarray, shape (num_words, n_dims)
        The centres, in the dtype of the points: means of bytes are rounded to the nearest.
    inertia_ : float
        Sum of the squared distances of the points to their nearest centres.
    n_iter_ : int
        Rounds that were run.

    Notes
    -----
    A cluster that loses all its points takes the point that is farthest from its centre (the first
    in order among equals; every such cluster another point).

    References
    ----------
    .. [1] S. Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory
       28(2), 1982.

    Examples
    --------
    >>> KMeans(2).fit(np.uint8([[0], [1], [10], [11]])).inertia_
    2.0
    """

    cluster_centers_: NDArray[Any]
    inertia_: float
    n_iter_: int

    def __init__(
        self,
        num_words: int,
        *,
        iterations: int = 10,
        random_state: int = 0,
        threads: int | None = None,
    ) -> None:
        self.num_words = num_words
        self.iterations = iterations
        self.random_state = random_state
        self.threads = threads

    def fit(self, X: ArrayLike, progress: Progress | None = None) -> Self:
        """Learn the centres of `X`.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n_points, n_dims)
            Points: bytes stay bytes, everything else becomes float32.
        progress : callable, optional
            ``progress(done, total)`` is called after each round, the last before `total` where the
            centres stop changing.

        Returns
        -------
        KMeans
            Itself.

        Raises
        ------
        ValueError
            If `X` has fewer distinct points than `num_words`, or an argument is out of range.
        """
        X = _check.descriptors(X, "X")
        num_words = _check.count(self.num_words, "num_words")
        iterations = _check.count(self.iterations, "iterations")
        threads = _check.threads(self.threads)
        centers = X[_distinct_rows(X, num_words, _check.seed(self.random_state))]
        nearest = assign(X, centers, threads=threads)
        for done in range(1, iterations + 1):
            previous, distances, ids = centers, nearest.distances[:, 0], nearest.ids[:, 0]
            centers = _core.update_centers(X, ids, distances, previous, threads)
            changed = not np.array_equal(centers, previous)
            if changed:
                nearest = assign(X, centers, threads=threads)
            if progress is not None:
                progress(done, iterations)
            if not changed:
                break
        self.cluster_centers_ = centers
        self.inertia_ = float(nearest.distances.sum(dtype=_wide(nearest.distances)))
        self.n_iter_ = done
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the number of the nearest centre of each row of `X`, shape (n_points,)."""
        if not hasattr(self, "cluster_centers_"):
            raise ValueError("this KMeans has no centres yet: call fit first")
        return assign(X, self.cluster_centers_, threads=self.threads).ids[:, 0]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments (`deep` changes nothing: none is an estimator)."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; an unknown name is a ValueError."""
        unknown = sorted(params.keys() - set(_PARAMETERS))
        if unknown:
            raise ValueError(
                f"KMeans has no parameter {unknown[0]!r}; it has {', '.join(_PARAMETERS)}"
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"KMeans({given})"


_PARAMETERS = ("num_words", "iterations", "random_state", "threads")

# The streams of random numbers that a seed has here (the `item` of the counter-based generator).
_CENTERS, _SAMPLE = 0, 1


def _wide(distances: NDArray[Any]) -> type[np.int64] | type[np.float64]:
    return np.int64 if distances.dtype == np.int32 else np.float64


def _shuffled(n: int, seed: int, stream: int) -> NDArray[np.int64]:
    """Return the numbers below n in an order that depends on n, the seed and the stream alone."""
    keys = np.frombuffer(_core.random_bytes(seed, stream, 2 * n), "<u8")
    return np.argsort(keys, kind="stable")


def _distinct_rows(X: NDArray[Any], count: int, seed: int) -> NDArray[np.int64]:
    """Return `count` random rows of X, no two of them equal."""
    order = _shuffled(len(X), seed, _CENTERS)
    tried = 0
    while tried < len(X) and X.shape[1] > 0:
        tried = min(len(X), max(count, 2 * tried))
        rows = np.ascontiguousarray(X[order[:tried]] + X.dtype.type(0))  # makes -0.0 equal to 0.0
        whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
        _, first = np.unique(whole, return_index=True)
        if len(first) >= count:
            return order[np.sort(first)[:count]]
    distinct = len(first) if tried else min(len(X), 1)
    raise ValueError(f"X must have at least num_words={count} distinct points, it has {distinct}")


@dataclass(frozen=True, eq=False, repr=False)
class Vocabulary:
    """Visual words, and the descriptor that they belong to.

    Parameters
    ----------
    words : array_like of uint8 or float, shape (num_words, n_dims)
        The words; kept as a read-only array of uint8 or float32.
    fingerprint : str
        Names the descriptor, for example ``"trouvaille-sift/rootsift/uint8/128"``: words and
        descriptors of different fingerprints must not be compared.
    """

    words: NDArray[Any]
    fingerprint: str

    def __post_init__(self) -> None:
        words = _check.descriptors(self.words, "words")
        if words.size == 0:
            raise ValueError(f"words must hold at least one word, got shape {words.shape}")
        if not isinstance(self.fingerprint, str) or not self.fingerprint:
            raise ValueError(f"fingerprint must name a descriptor, got {self.fingerprint!r}")
        words = words.copy()
        words.flags.writeable = False
        object.__setattr__(self, "words", words)

    def __repr__(self) -> str:
        return f"Vocabulary(num_words={self.num_words}, fingerprint={self.fingerprint!r})"

    @property
    def num_words(self) -> int:
        """The number of words."""
        return len(self.words)

    def assign(self, X: ArrayLike, k: int = 1, *, threads: int | None = None) -> Neighbors:
        """Find the `k` nearest words of each descriptor; see `trouvaille.words.assign`."""
        return assign(X, self.words, k, threads=threads)

    @classmethod
    def from_descriptors(
        cls,
        X: ArrayLike,
        num_words: int,
        fingerprint: str,
        *,
        random_state: int = 0,
        max_descriptors: int | None = None,
        iterations: int = 10,
        progress: Progress | None = None,
        threads: int | None = None,
    ) -> Self:
        """Learn words by k-means.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n_descriptors, n_dims)
            Descriptors.
        num_words : int
            Words to learn.
        fingerprint : str
            Names the descriptor.
        random_state : int
            Seed of the sample and of the initial centres.
        max_descriptors : int, optional
            If there are more, a random sample of so many is used; by default 256 a word.
        iterations, progress, threads
            As in `KMeans`.

        Returns
        -------
        Vocabulary
            The words, in the dtype of the descriptors.

        Raises
        ------
        ValueError
            If there are fewer distinct descriptors than `num_words`, or an argument is out of
            range.
        """
        X = _check.descriptors(X, "X")
        num_words = _check.count(num_words, "num_words")
        most = 256 * num_words if max_descriptors is None else max_descriptors
        most = _check.count(most, "max_descriptors", minimum=num_words, maximum=2**63 - 1)
        if len(X) > most:
            sample = _shuffled(len(X), _check.seed(random_state), _SAMPLE)[:most]
            X = X[np.sort(sample)]
        model = KMeans(num_words, iterations=iterations, random_state=random_state, threads=threads)
        return cls(model.fit(X, progress).cluster_centers_, fingerprint)

    @classmethod
    def learn(
        cls,
        photos: str | os.PathLike[str] | Iterable[Any],
        num_words: int,
        *,
        random_state: int = 0,
        max_descriptors: int | None = None,
        progress: Progress | None = None,
        threads: int | None = None,
        **options: Any,
    ) -> Self:
        """Learn words from the local features of photos; those that cannot be read are left out.

        Parameters
        ----------
        photos : path or iterable
            A folder, or photos as `trouvaille.features.extract` takes them, or several of both.
        num_words : int
            Words to learn.
        random_state, max_descriptors, progress, threads
            As in `from_descriptors`.
        **options
            As for `trouvaille.features.extract`: which detector and descriptor, how many features,
            of photos how large. Not `root`: the words are of RootSIFT.

        Returns
        -------
        Vocabulary
            Words of RootSIFT descriptors, in bytes, unless another descriptor is asked for.

        Raises
        ------
        TypeError
            If `photos` are none, or an option is not one of `extract`, or is `root`.
        ValueError
            If no photo can be read, they have fewer distinct descriptors than `num_words`, or the
            descriptor is of bits.
        """
        from . import features

        if "root" in options:
            raise TypeError(
                "root: words are learned from RootSIFT, whose fingerprint they carry; for others "
                "use Vocabulary.from_descriptors(X, num_words, fingerprint)"
            )
        chosen = _popped(options, "detector", "descriptor", "orientation", "max_features")
        decoding = _popped(options, "max_size", "apply_exif")
        extractor = features.Extractor(**chosen, options=options)
        if extractor.bits:
            raise ValueError(
                f"descriptor {extractor.descriptor!r} is of bits, of which there are no words"
            )
        kind = features.parse_fingerprint(extractor.fingerprint)
        workers = _check.threads(threads)
        listed = features.expand(photos)
        found = features.extract_all(listed, extractor, workers=workers, **decoding)
        descriptors: list[NDArray[Any]] = [np.empty((0, kind.dimensions), kind.dtype)]
        unread = []
        for extraction in found:
            if extraction.features is None:
                unread.append(extraction.error)
            else:
                descriptors.append(extraction.features.descriptors)
        if len(descriptors) == 1:
            reason = f"; the first error: {unread[0]}" if unread else ""
            raise ValueError(f"photos must hold at least one photo that can be read{reason}")
        return cls.from_descriptors(
            np.concatenate(descriptors),
            num_words,
            extractor.fingerprint,
            random_state=random_state,
            max_descriptors=max_descriptors,
            progress=progress,
            threads=threads,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to one file, which appears whole or not at all.

        Little-endian: the magic ``TVWORDS`` and a line feed, the format's version and the size of
        the header (uint32 each), the header (JSON: fingerprint, dtype, shape), zeros up to a
        multiple of 64 bytes, the rows, and the CRC-32C of all that (uint32).
        """
        stored = np.ascontiguousarray(self.words, self.words.dtype.newbyteorder("<"))
        fields = {
            "fingerprint": self.fingerprint,
            "dtype": self.words.dtype.name,
            "shape": self.words.shape,
        }
        header = json.dumps(fields).encode()
        head = _PREFIX.pack(_MAGIC, _VERSION, len(header)) + header
        head += bytes(-len(head) % _ALIGNMENT)
        checksum = _core.crc32c(stored.data, _core.crc32c(head))
        _files.replace(Path(path), [head, stored.data, _CHECKSUM.pack(checksum)])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a vocabulary that `save` wrote.

        Raises
        ------
        IndexCorruptError
            If the file is not whole or not as it was written.
        FormatVersionError
            If a newer version of this library wrote it.
        ValueError
            If it is not a vocabulary.
        """
        with Path(path).open("rb") as file:
            prefix = file.read(_PREFIX.size)
            _check_prefix(prefix, path)
            content = prefix + file.read()
        end = len(content) - _CHECKSUM.size
        view = memoryview(content)
        if end < _PREFIX.size or _CHECKSUM.unpack(view[end:])[0] != _core.crc32c(view[:end]):
            raise IndexCorruptError(
                path, "checksum", max(end, 0), "it does not match: the file is damaged or cut short"
            )
        _, _, header_size = _PREFIX.unpack(prefix)
        try:
            fields = json.loads(content[_PREFIX.size : _PREFIX.size + header_size])
            dtype = {"uint8": np.uint8, "float32": np.float32}[fields["dtype"]]
            rows, cols = (_check.count(n, "shape", maximum=2**48) for n in fields["shape"])
            start = _PREFIX.size + header_size
            start += -start % _ALIGNMENT
            if start + rows * cols * np.dtype(dtype).itemsize != end:
                raise ValueError(f"{rows} x {cols} words do not fill the file")
            stored = np.frombuffer(content, np.dtype(dtype).newbyteorder("<"), rows * cols, start)
            return cls(stored.astype(dtype).reshape(rows, cols), fields["fingerprint"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise IndexCorruptError(path, "header", _PREFIX.size, f"it is wrong: {error}") from None


_MAGIC, _VERSION, _ALIGNMENT = b"TVWORDS\n", 1, 64
_PREFIX = struct.Struct("<8sII")  # magic, version, size of the header
_CHECKSUM = struct.Struct("<I")


def _check_prefix(prefix: bytes, path: str | os.PathLike[str]) -> None:
    if prefix[: len(_MAGIC)] != _MAGIC[: len(prefix)] or not prefix:
        raise ValueError(f"{path} is not a vocabulary: it does not begin as one does")
    if len(prefix) < _PREFIX.size:
        raise IndexCorruptError(path, "prefix", len(prefix), "the file ends here")
    _, version, _ = _PREFIX.unpack(prefix)
    if version > _VERSION:
        raise FormatVersionError(path, f"vocabulary format {version}", f"format {_VERSION}")
    if version < _VERSION:
        raise IndexCorruptError(path, "prefix", len(_MAGIC), f"there is no format {version}")


def _popped(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options.pop(name) for name in names if name in options}
