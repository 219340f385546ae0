# SPDX-License-Identifier: Apache-2.0
"""Visual words, the descriptor they belong to, and their file."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check, _core, _files
from ..errors import FormatVersionError, IndexCorruptError
from ..neighbors import Neighbors
from ._sampling import SAMPLE, shuffled
from .assignment import assign
from .kmeans import KMeans, Progress


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
            sample = shuffled(len(X), _check.seed(random_state), SAMPLE)[:most]
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
        from .. import features

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
