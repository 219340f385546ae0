# SPDX-License-Identifier: Apache-2.0
"""What a collection is made with; fixed when it is created, and stored in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _check
from ..features import Extractor
from ..features.registry import Orientation

# What collections were made with before they said so.
_FIRST = {"detector": "opencv_sift", "ranking": "tfidf"}

RANKINGS = ("hamming", "asmk", "tfidf")
_SIGNATURE_BITS = 128

PIPELINES = ("local", "global", "local+global")
# Of the settings below, those that a network has, and those that both pipelines have.
_OF_NETWORK = ("network", "vector_dimensions")
_OF_BOTH = ("max_size", "random_state", "pipeline")


@dataclass(frozen=True)
class Settings:
    """How the photos of a collection, and the queries asked of it, are worked on.

    Attributes
    ----------
    max_features : int
        Local features a photo, at most.
    max_size : int
        Longest side in pixels at which photos are worked on; a smaller one is not enlarged.
    keep_descriptors : bool
        Keep every feature's descriptor, so that verification compares descriptors, and not
        signatures, where there is one a feature, or words alone.
    num_words : int or None
        Words of the vocabulary that the collection learns; None: as many as its photos allow.
    random_state : int
        Seed of that vocabulary.
    detector, descriptor : str
        What finds the features and what describes them, as `features.Extractor` names them; by
        default SIFT.
    orientation : {"dominant", "upright"}
        Features are turned to their dominant gradients, or up is up.
    ranking : {"hamming", "asmk", "tfidf"}
        What ranks photos before verification.
    signature_bits : int or None
        Of a feature, by "hamming"; by default 128, or as many as the descriptor has dimensions.
        None by the others, of which the words say how long signatures are.
    pipeline : {"local", "global", "local+global"}
        Photos are found by local features, by one vector each, which a network makes, or by both.
    network : str or None
        The SHA-256 of the file of that network.
    vector_dimensions : int or None
        Numbers of a vector.
    """

    max_features: int = 2000
    max_size: int = 1024
    keep_descriptors: bool = True
    num_words: int | None = None
    random_state: int = 0
    detector: str = "sift"
    descriptor: str | None = None
    orientation: Orientation = "dominant"
    ranking: str = "hamming"
    signature_bits: int | None = None
    pipeline: str = "local"
    network: str | None = None
    vector_dimensions: int | None = None

    def __post_init__(self) -> None:
        self._check_pipeline()
        _check.count(self.max_features, "max_features")
        check_size(self.max_size)
        if not isinstance(self.keep_descriptors, bool):
            raise TypeError(
                f"keep_descriptors must be True or False, got {self.keep_descriptors!r}"
            )
        if self.num_words is not None:
            _check.count(self.num_words, "num_words")
        _check.seed(self.random_state)
        if not self.has_features:
            return
        extractor = self.extractor
        if extractor.bits:
            raise ValueError(
                f"descriptor {extractor.descriptor!r} is of bits, of which there are no visual "
                "words; a collection takes sift, for one"
            )
        # By their own names: an alias may stand for another one in a later version.
        object.__setattr__(self, "detector", extractor.detector)
        object.__setattr__(self, "descriptor", extractor.descriptor)
        object.__setattr__(self, "signature_bits", self._checked_bits())

    def _check_pipeline(self) -> None:
        check_pipeline(self.pipeline)
        of_network = [getattr(self, name) for name in _OF_NETWORK]
        if not self.has_vectors and of_network != [None, None]:
            raise ValueError("a network goes with pipeline='global' or 'local+global'")
        if self.has_vectors:
            if not isinstance(self.network, str) or not re.fullmatch("[0-9a-f]{64}", self.network):
                raise ValueError(f"network must be a SHA-256 in hexadecimal, got {self.network!r}")
            if self.vector_dimensions is None:
                raise ValueError("vector_dimensions must be how many numbers a vector has")
            _check.count(self.vector_dimensions, "vector_dimensions")
        if self.has_features:
            return
        for field in fields(self):
            given = getattr(self, field.name)
            if field.name not in _OF_NETWORK + _OF_BOTH and given != field.default:
                raise ValueError(
                    f"{field.name} is of local features, which pipeline='global' does without; "
                    "leave it out, or take 'local+global'"
                )

    @property
    def has_features(self) -> bool:
        """Whether there are local features."""
        return self.pipeline != "global"

    @property
    def has_vectors(self) -> bool:
        """Whether there are vectors of a network."""
        return self.pipeline != "local"

    def _checked_bits(self) -> int | None:
        if not isinstance(self.ranking, str) or self.ranking not in RANKINGS:
            raise ValueError(
                f"ranking must be one of {', '.join(map(repr, RANKINGS))}, got {self.ranking!r}"
            )
        if self.ranking != "hamming":
            if self.signature_bits is not None:
                raise ValueError(
                    f"signature_bits goes with ranking='hamming', not with {self.ranking!r}"
                )
            return None
        if self.signature_bits is None:
            return min(_SIGNATURE_BITS, self.dimensions)
        return _check.count(self.signature_bits, "signature_bits", maximum=self.dimensions)

    @cached_property
    def extractor(self) -> Extractor:
        """What makes the features of photos and of queries."""
        for name in ("detector", "descriptor"):
            given = getattr(self, name)
            if not isinstance(given, str | None):
                kind = type(given).__name__
                raise TypeError(f"{name} must be a name, which a collection can store, got {kind}")
        return Extractor(
            self.detector, self.descriptor, self.max_features, orientation=self.orientation
        )

    @property
    def fingerprint(self) -> str:
        """Names the descriptor: that of the features, or the network if it is alone.

        See `features.Extractor.fingerprint`.
        """
        return self.extractor.fingerprint if self.has_features else f"network-{self.network}"

    @property
    def mode(self) -> str:
        """What pixels of a photo are worked on, "gray" or "rgb"; a network always takes "rgb"."""
        return self.extractor.mode if self.has_features else "rgb"

    @property
    def dimensions(self) -> int:
        """Bytes a descriptor."""
        return self.extractor.dimensions

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
            return cls(**{**_FIRST, **stored})
        except (TypeError, ValueError) as error:
            raise ValueError(f"the collection's settings are wrong: {error}") from None


def check_pipeline(pipeline: str) -> None:
    """Refuse what is no pipeline."""
    if not isinstance(pipeline, str) or pipeline not in PIPELINES:
        listed = ", ".join(map(repr, PIPELINES))
        raise ValueError(f"pipeline must be one of {listed}, got {pipeline!r}")


def check_size(max_size: int) -> None:
    """Refuse what is no longest side of a photo, in pixels."""
    _check.count(max_size, "max_size", minimum=16, maximum=1 << 16)


def check_vocabulary(words: NDArray[Any], settings: Settings) -> None:
    """Refuse words that are not of the descriptor that a collection is made of."""
    if words.ndim != 2 or words.shape[1] != settings.dimensions or words.dtype != np.uint8:
        raise ValueError(
            f"vocabulary must hold words of {settings.dimensions} bytes, as "
            f"{settings.fingerprint!r} has, got {words.dtype} of shape {words.shape}"
        )
