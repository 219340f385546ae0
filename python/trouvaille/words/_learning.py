# SPDX-License-Identifier: Apache-2.0
"""Descriptors of photos to learn words from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _check
from ._sampling import Sample

if TYPE_CHECKING:
    from ..features import Extraction, Extractor


Stages = Callable[[str, int, int | None], None]  # called with (stage, steps done, steps in all)


def descriptors_of(
    photos: str | os.PathLike[str] | Iterable[Any],
    most: int,
    random_state: int,
    progress: Stages | None,
    threads: int | None,
    options: dict[str, Any],
) -> tuple[NDArray[Any], str]:
    """Return at most so many descriptors of photos, in their order, and the fingerprint.

    They are those that `Vocabulary.from_descriptors` draws of all, of which no more than twice as
    many are in memory. For `options` and errors see `Vocabulary.learn`.
    """
    from .. import features

    workers, seed = _check.threads(threads), _check.seed(random_state)
    if isinstance(photos, features.FolderFeatures):
        if options:
            raise TypeError(
                f"{sorted(options)[0]}: the features of a folder are extracted already, by "
                f"{photos.fingerprint}"
            )
        fingerprint, total = photos.fingerprint, len(photos)
        if total == 0:
            raise ValueError(f"photos must be a folder of features, {photos.path} has none")
        described: Iterator[NDArray[Any] | None] = (photos[id].descriptors for id in photos)
    else:
        extractor, decoding = _extractor(options)
        fingerprint, listed = extractor.fingerprint, features.expand(photos)
        total = len(listed)
        extractions = features.extract_all(listed, extractor, workers=workers, **decoding)
        described = _descriptors(extractions)
    kind = features.parse_fingerprint(fingerprint)
    if kind.bits:
        raise ValueError(f"{fingerprint} is of bits, of which there are no words")
    sample = Sample(most, seed)
    sample.add(np.empty((0, kind.dimensions), kind.dtype))  # there may be no other
    for done, descriptors in enumerate(described, 1):
        if descriptors is not None:
            sample.add(descriptors)
        if progress is not None:
            progress("extracting", done, total)
    return sample.rows(), fingerprint


def _extractor(options: dict[str, Any]) -> tuple[Extractor, dict[str, Any]]:
    """Return what extracts, and how it decodes."""
    from .. import features

    if "root" in options:
        raise TypeError(
            "root: words are learned from RootSIFT, whose fingerprint they carry; for others "
            "use Vocabulary.from_descriptors(X, num_words, fingerprint)"
        )
    options = dict(options)
    chosen = _popped(options, "detector", "descriptor", "orientation", "max_features")
    decoding = _popped(options, "max_size", "apply_exif")
    extractor = features.Extractor(**chosen, options=options)
    extractor.check_installed()
    return extractor, decoding


def _descriptors(extractions: Iterable[Extraction]) -> Iterator[NDArray[Any] | None]:
    """Yield the descriptors of each photo, None of one that cannot be read."""
    read, reason = 0, ""
    for extraction in extractions:
        if extraction.features is not None:
            read += 1
            yield extraction.features.descriptors
            continue
        reason = reason or f"; the first error: {extraction.error}"
        yield None
    if read == 0:
        raise ValueError(f"photos must hold at least one photo that can be read{reason}")


def _popped(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options.pop(name) for name in names if name in options}
