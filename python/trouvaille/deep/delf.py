# SPDX-License-Identifier: Apache-2.0
"""DELF: local features of a network, where it attends to."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.nn import functional

from .. import _check, images
from ..aggregate import PCAWhitening
from ..features import Features, Photo, expand
from ._delf_reduction import Reduction
from ._delf_selection import strongest
from ._fused import faster
from ._pixels import normalised
from ._prepared import Prepared
from .attention import NormAttention
from .network import LARGEST_SCALE
from .pooling import in_float32
from .receptive_field import ReceptiveFields

DELF_SCALES = tuple(2 ** (power / 2) for power in range(-4, 3))
"""The seven scales of the paper: 0.25, 0.35, 0.5, 0.71, 1, 1.41, 2."""


class _Cells(NamedTuple):
    """Cells of a photo at some scales, a row each: vectors, attention, places in the photo."""

    vectors: NDArray[Any]
    scores: NDArray[Any]
    centres: NDArray[Any]
    radii: NDArray[Any]

    def select(self, rows: NDArray[np.int64]) -> _Cells:
        return _Cells(*(column[rows] for column in self))


class _Ready(NamedTuple):
    """What features are found with: `network` returns maps and attention, in evaluation mode."""

    network: Any
    fields: ReceptiveFields


def _ready(model: DELF) -> _Ready:
    network = copy.deepcopy(model).eval()
    # A backbone that is not given so small a photo as it is tried with is taken as it is.
    with contextlib.suppress(RuntimeError):
        network = faster(network)[0]
    return _Ready(network, ReceptiveFields(model.backbone))


class DELF(nn.Module):
    """Attentive deep local features [1]_.

    A photo is seen at several scales. Each cell of the map of a layer is a feature: its vector, of
    length 1, by `pca` reduced and of length 1 again; its place, the middle of the pixels
    that it sees; its radius, half the pixels that it sees from side to side; and its response, the
    attention. Those of the greatest attention are kept, over all scales.

    Parameters
    ----------
    backbone : Module
        Normalised photos, (B, 3, H, W) → maps, (B, C, h, w): a `Backbone`, cut at an intermediate
        layer.
    attention : Module, optional
        Maps → (B, 1, h, w): an `Attention` that is trained. By default the length of the cells'
        vectors, which needs no training.
    scales : sequence of float
        Of the sides of the photo.
    max_features : int
        Features of a photo, at most.
    min_score : float
        Least attention of a feature.
    overlap : float
        Of two features whose squares overlap by more than this share of their union, the stronger
        is kept. With 1, the published setting, all are.
    pca : PCAWhitening, optional
        What reduces vectors, learned; see `fit`, which learns it. Before that nothing is reduced:
        40 of 112 channels, or as many random projections of them, find far less. It is among the
        weights (`state_dict`), in its own types, on the CPU.
    dims : int
        Numbers of a descriptor that `fit` reduces to.

    Notes
    -----
    It begins in evaluation mode. `extract` and `fit` work by a copy of the network that is faster;
    it is made again when anything of the network has changed. Photos are enlarged by scales above
    1: a photo of 1,024 x 768 pixels takes about 0.45 GB while EfficientNet-Lite0 works on it.

    References
    ----------
    .. [1] H. Noh, A. Araujo, J. Sim, T. Weyand, B. Han, "Large-scale image retrieval with attentive
       deep local features", ICCV 2017.

    Examples
    --------
    >>> from trouvaille.deep import Backbone
    >>> model = DELF(Backbone("efficientnet_lite0", layer="block_10", weights=None))
    >>> photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    >>> model.extract(photo).descriptors.shape
    (368, 112)
    """

    def __init__(
        self,
        backbone: nn.Module,
        attention: nn.Module | None = None,
        scales: Sequence[float] = DELF_SCALES,
        max_features: int = 1000,
        *,
        min_score: float = 0.0,
        overlap: float = 1.0,
        pca: PCAWhitening | None = None,
        dims: int = 40,
    ) -> None:
        super().__init__()
        attention = NormAttention() if attention is None else attention
        for name, module in (("backbone", backbone), ("attention", attention)):
            if not isinstance(module, nn.Module):
                raise TypeError(f"{name} must be a module, got {type(module).__name__}")
        self.backbone, self.attention = backbone, attention
        self.scales = tuple(_check.positive(scale, "scales") for scale in scales)
        if not self.scales:
            raise ValueError("scales must be at least one number, got none")
        if max(self.scales) > LARGEST_SCALE:
            raise ValueError(f"scales must be {LARGEST_SCALE} at most, got {max(self.scales):g}")
        self.max_features = _check.count(max_features, "max_features")
        self.min_score = _check.between(min_score, "min_score", 0, math.inf)
        self.overlap = _check.between(overlap, "overlap", 0, 1)
        self.reduction = Reduction(pca)
        self.dims = _check.count(dims, "dims")
        self._prepared = Prepared(_ready)
        self.eval()

    @property
    def pca(self) -> PCAWhitening | None:
        """What reduces vectors: a copy of what was learned, which is among the weights."""
        return self.reduction.pca()

    @pca.setter
    def pca(self, pca: PCAWhitening | None) -> None:
        self.reduction.put(pca)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return maps (B, C, h, w) and their attention (B, 1, h, w), of normalised photos."""
        maps = self.backbone(x)
        return maps, self.attention(maps)

    def extract(self, image: ArrayLike, max_features: int | None = None) -> Features:
        """Return the features of a photo, those of the greatest attention first.

        Parameters
        ----------
        image : array_like of uint8, shape (h, w, 3), (h, w) or (h, w, 4)
            RGB, gray or RGBA, at the size at which to work.
        max_features : int, optional
            In place of the model's own.

        Returns
        -------
        Features
            Upright circles, in pixels of the image; at its edge a centre may lie a little outside.
            Descriptors are float32 of length 1.
        """
        most = self.max_features
        if max_features is not None:
            most = _check.count(max_features, "max_features")
        cells = self._strongest(images.as_rgb(image), most)
        frames = np.zeros((len(cells.radii), 2, 3), np.float32)
        frames[:, 0, 0] = frames[:, 1, 1] = cells.radii
        frames[:, :, 2] = cells.centres
        return Features(
            frames, self._reduced(cells.vectors), cells.scores, cells.radii.astype(np.float32)
        )

    def fit(self, photos: Photo | Iterable[Photo], *, max_size: int = 1024) -> Self:
        """Learn `pca` from the features of photos; others than those that will be searched.

        Parameters
        ----------
        photos : path, bytes, ndarray, or an iterable of them
            A folder stands for all photos in it. A hundred are plenty.
        max_size : int
            Longest side, in pixels, at which to work.

        Returns
        -------
        DELF
            Itself.
        """
        vectors = []
        for photo in expand(photos):
            pixels = images.resize_to(images.load_rgb(photo), max_size)[0]
            vectors.append(self._strongest(pixels, self.max_features).vectors)
        if not vectors:
            raise ValueError("photos must be at least one photo, got none")
        self.pca = PCAWhitening(self.dims, whitening_power=0.0).fit(np.concatenate(vectors))
        return self

    def _reduced(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors of length 1 as descriptors."""
        pca = self.pca
        return vectors if pca is None else pca.transform(vectors)

    def _strongest(self, pixels: NDArray[np.uint8], most: int) -> _Cells:
        """Return the cells of the greatest attention, over all scales."""
        ready, photo = self._prepared.of(self), normalised(pixels, self.backbone)
        # Without the suppression between scales, none of a scale but its strongest is ever kept.
        of_scale = most if self.overlap == 1 else None
        with torch.inference_mode():
            parts = [_of_scale(ready, photo, scale, of_scale) for scale in self.scales]
        cells = _Cells(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        return cells.select(
            strongest(cells.scores, cells.centres, cells.radii, self.min_score, self.overlap, most)
        )


def _of_scale(ready: _Ready, photo: torch.Tensor, scale: float, most: int | None) -> _Cells:
    sides = tuple(photo.shape[2:])
    height, width = (max(round(side * scale), 1) for side in sides)
    x = photo
    if (height, width) != sides:
        smaller = scale < 1
        x = functional.interpolate(x, (height, width), mode="bilinear", antialias=smaller)
    maps, attention = ready.network(x)
    scores = in_float32(attention).reshape(-1)
    rows = scores.argsort(descending=True, stable=True)[:most]
    vectors = in_float32(maps)[0].flatten(1).T[rows]
    numbers = rows.cpu().numpy()
    field = ready.fields.of(height, width)
    factors = np.array([sides[1] / width, sides[0] / height])
    centres = (field.centres()[numbers] + 0.5) * factors - 0.5
    return _Cells(
        functional.normalize(vectors, dim=1).cpu().numpy(),
        scores[rows].cpu().numpy(),
        centres,
        np.full(len(numbers), field.size / 2 * np.sqrt(factors.prod())),
    )
