# SPDX-License-Identifier: Apache-2.0
"""DELF in SIFT's place: a detector whose descriptors may be bytes."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..features import Features
from ._fingerprint import fingerprint
from .delf import DELF

BYTE_RANGE = 0.5
"""Numbers of a descriptor from minus this to this become bytes from 0 to 255; others are clipped.

Of random unit vectors of 40 numbers one number in 600 is clipped.
"""


_RUNS = 2  # the second keeps the cores busy while the first selects
_running = threading.BoundedSemaphore(_RUNS)


class DELFDetector:
    """A `DELF` as `features.extract`, vocabularies and match kernels take it: a detector.

    Parameters
    ----------
    model : DELF
        Not to be changed afterwards: `fingerprint` names what it is now.
    as_bytes : bool
        Descriptors as uint8, which words are learned of; distances are 255 times as great. Else
        float32 of length 1.

    Attributes
    ----------
    fingerprint : str
        Names the descriptor: the network and its layer, and what they have learned.
    mode : str
        Which pixels it is given.

    Examples
    --------
    >>> from trouvaille import features
    >>> from trouvaille.deep import Backbone
    >>> model = DELF(Backbone("efficientnet_lite0", layer="block_10", weights=None))
    >>> photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    >>> found = features.extract(photo, DELFDetector(model), max_features=50).features
    >>> found.descriptors.shape, found.descriptors.dtype
    ((50, 112), dtype('uint8'))
    """

    mode = "rgb"

    def __init__(self, model: DELF, *, as_bytes: bool = True) -> None:
        if not isinstance(model, DELF):
            raise TypeError(f"model must be a DELF, got {type(model).__name__}")
        self._model, self._as_bytes = model, as_bytes
        network = [getattr(model.backbone, name, "") for name in ("name", "layer")]
        flavour = "-".join(["delf", *(name.replace("/", "_") for name in network if name)])
        dtype = "uint8" if as_bytes else "float32"
        dims = _dims(model)
        self.fingerprint = f"{flavour}-{_digest(model)}/l2/{dtype}/{dims}"

    def __call__(self, image: ArrayLike) -> Features:
        """Return the features of an image, those of the greatest attention first."""
        found = find(self._model, image)
        return found._replace(descriptors=to_bytes(found.descriptors)) if self._as_bytes else found


def find(model: DELF, image: ArrayLike, max_features: int | None = None) -> Features:
    """`DELF.extract`, of two photos at a time: other threads wait.

    Each takes its memory, as many workers as a collection has; and PyTorch uses all cores for one.
    """
    with _running:
        return model.extract(image, max_features)


def _dims(model: DELF) -> int:
    """Return how many numbers a descriptor has."""
    if (pca := model.pca) is not None:
        return len(pca.components_)
    channels = getattr(model.backbone, "channels", None)
    if not isinstance(channels, int):
        raise TypeError("model must have a backbone that names its channels, or a pca")
    return channels


def to_bytes(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return descriptors of length 1 as bytes: `BYTE_RANGE` to each side of 127.5, rounded."""
    scaled = np.float32(127.5) + descriptors * np.float32(127.5 / BYTE_RANGE)
    rounded: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return rounded


def _digest(model: DELF) -> str:
    """Return eight digits that differ where what was learned, or how a photo is seen, does."""
    digest = hashlib.sha256(f"{model.scales} {fingerprint(model)}".encode())
    if (pca := model.pca) is not None:
        for learned in pca.learned_mean_and_weights():
            digest.update(learned.tobytes())
    return digest.hexdigest()[:8]
