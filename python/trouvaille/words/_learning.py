# SPDX-License-Identifier: Apache-2.0
"""Descriptors of photos to learn words from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _check
from ._sampling import Sample


def descriptors_of(
    photos: str | os.PathLike[str] | Iterable[Any],
    most: int,
    random_state: int,
    threads: int | None,
    options: dict[str, Any],
) -> tuple[NDArray[Any], str]:
    """Return at most so many descriptors of photos, in their order, and the fingerprint.

    They are those that `Vocabulary.from_descriptors` draws of all, of which no more than twice as
    many are in memory. For `options` and errors see `Vocabulary.learn`.
    """
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
    if extractor.bits:
        raise ValueError(
            f"descriptor {extractor.descriptor!r} is of bits, of which there are no words"
        )
    kind = features.parse_fingerprint(extractor.fingerprint)
    workers = _check.threads(threads)
    sample = Sample(most, _check.seed(random_state))
    sample.add(np.empty((0, kind.dimensions), kind.dtype))  # there may be no other
    read, reason = 0, ""
    for extraction in features.extract_all(
        features.expand(photos), extractor, workers=workers, **decoding
    ):
        if extraction.features is not None:
            read += 1
            sample.add(extraction.features.descriptors)
        elif not reason:
            reason = f"; the first error: {extraction.error}"
    if read == 0:
        raise ValueError(f"photos must hold at least one photo that can be read{reason}")
    return sample.rows(), extractor.fingerprint


def _popped(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options.pop(name) for name in names if name in options}
