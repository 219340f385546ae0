# SPDX-License-Identifier: Apache-2.0
"""What a collection is made with; fixed when it is created, and stored in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _check
from ..features import DIMENSIONS, FINGERPRINT


@dataclass(frozen=True)
class Settings:
    """How the photos of a collection, and the queries asked of it, are worked on.

    Attributes
    ----------
    max_features : int
        Local features a photo, at most.
    max_size : int
        Longest side in pixels at which features are found; a smaller photo is not enlarged.
    keep_descriptors : bool
        Keep every feature's descriptor (128 bytes), so that verification compares descriptors and
        not words alone.
    num_words : int or None
        Words of the vocabulary that the collection learns; None: as many as its photos allow.
    random_state : int
        Seed of that vocabulary.
    """

    max_features: int = 2000
    max_size: int = 1024
    keep_descriptors: bool = True
    num_words: int | None = None
    random_state: int = 0

    def __post_init__(self) -> None:
        _check.count(self.max_features, "max_features")
        _check.count(self.max_size, "max_size", minimum=16)
        if not isinstance(self.keep_descriptors, bool):
            raise TypeError(
                f"keep_descriptors must be True or False, got {self.keep_descriptors!r}"
            )
        if self.num_words is not None:
            _check.count(self.num_words, "num_words")
        _check.seed(self.random_state)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as the collection stores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Settings:
        """Return the settings that `as_dict` made; those of a newer version are refused."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(stored.keys() - known):
            raise ValueError(
                f"the collection has a setting {unknown[0]!r} that this version does not know; "
                "open it with a newer version of trouvaille"
            )
        try:
            return cls(**stored)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the collection's settings are wrong: {error}") from None


def check_vocabulary(words: NDArray[Any]) -> None:
    """Refuse words that are not of the descriptor that a collection is made of."""
    if words.ndim != 2 or words.shape[1] != DIMENSIONS or words.dtype != np.uint8:
        raise ValueError(
            f"vocabulary must hold words of {DIMENSIONS} bytes, as {FINGERPRINT!r} has, "
            f"got {words.dtype} of shape {words.shape}"
        )
