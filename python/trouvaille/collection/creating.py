# SPDX-License-Identifier: Apache-2.0
"""A new collection: what it begins with, checked before anything is written."""

from __future__ import annotations

import os
from typing import Literal

from ..words import Vocabulary, has_ready_vocabulary, ready_vocabulary
from .describing import NetworkFile, NetworkLike, network_file
from .settings import Settings, check_pipeline, check_size, check_vocabulary
from .signing import new_embedding
from .storage import Storage


def chosen_vocabulary(
    vocabulary: Vocabulary | Literal["ready", "own"] | None, settings: Settings
) -> Vocabulary | None:
    """Return the vocabulary that a collection begins with, or None if it learns its own, or none.

    Raises
    ------
    TypeError, ValueError
        If it is no vocabulary, or not one for these settings.
    """
    if not settings.has_features:
        if vocabulary is not None:
            raise ValueError("vocabulary is of local features, which pipeline='global' has none of")
        return None
    if vocabulary is None:
        ready = settings.num_words is None and has_ready_vocabulary(settings.fingerprint)
        vocabulary = "ready" if ready else "own"
    if not isinstance(vocabulary, Vocabulary | str):
        raise TypeError(
            f"vocabulary must be a Vocabulary, 'ready' or 'own', got {type(vocabulary).__name__}"
        )
    if vocabulary == "own":
        return None
    if vocabulary == "ready":
        vocabulary = ready_vocabulary(settings.fingerprint)
    if isinstance(vocabulary, str):
        raise ValueError(f"vocabulary must be a Vocabulary, 'ready' or 'own', got {vocabulary!r}")
    _check(vocabulary, settings)
    return vocabulary


def _check(vocabulary: Vocabulary, settings: Settings) -> None:
    if settings.num_words not in (None, vocabulary.num_words):
        raise ValueError(
            f"num_words is {settings.num_words}, but the vocabulary given has "
            f"{vocabulary.num_words} words; leave num_words out"
        )
    if vocabulary.fingerprint != settings.fingerprint:
        raise ValueError(
            f"vocabulary belongs to descriptor {vocabulary.fingerprint!r}; this collection "
            f"has {settings.fingerprint!r}. Learn one with Vocabulary.learn(photos, "
            f"num_words, detector={settings.detector!r}, "
            f"descriptor={settings.descriptor!r}, orientation={settings.orientation!r})"
        )
    check_vocabulary(vocabulary.words, settings)


def chosen_network(network: NetworkLike | None, pipeline: str, max_size: int) -> NetworkFile | None:
    """Return the network of a collection, or None where its pipeline has none."""
    check_pipeline(pipeline)
    check_size(max_size)
    if pipeline != "local":
        return network_file(network, max_size)
    if network is not None:
        raise ValueError("network goes with pipeline='global' or 'local+global'")
    return None


def create_storage(
    path: str | os.PathLike[str],
    settings: Settings,
    vocabulary: Vocabulary | None,
    network: NetworkFile | None,
) -> Storage:
    """Make the folder of a collection, with its vocabulary and its network."""
    embedding = None if vocabulary is None else new_embedding(settings, vocabulary.words)
    storage = Storage.create(path, settings.as_dict(), settings.fingerprint)
    try:
        with storage.writer() as writer:
            if vocabulary is not None:
                writer.set_vocabulary(vocabulary.words, settings.fingerprint, embedding)
            if network is not None:
                writer.set_network(network.data)
            writer.commit()
    except BaseException:
        storage.discard()  # nothing is left of a collection that could not be made
        raise
    return storage
