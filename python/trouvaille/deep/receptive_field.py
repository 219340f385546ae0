# SPDX-License-Identifier: Apache-2.0
"""Which pixels a cell of a feature map sees: from the architecture, of any network."""

from __future__ import annotations

import copy
import functools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import _check
from ._follow import Axis, Follow

_SIZES = 256  # of photos, whose fields are kept
_CELL_BY_CELL = (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish)


class ReceptiveField(NamedTuple):
    """The pixels that each cell of a feature map of `shape` (h, w) sees; see `receptive_field`.

    Attributes
    ----------
    y, x : Axis
        Cell i sees `size` pixels, from ``start + i * stride`` on.
    shape : tuple of int
        Rows and columns of the map.
    """

    y: Axis
    x: Axis
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        """Pixels from side to side, of the longer one."""
        return max(self.y.size, self.x.size)

    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the middles of what rows and columns see: y (h,), x (w,), in pixels.

        0 is the centre of the first pixel. Padding is a part of what cells at the edge see, so
        that middles lie evenly, and may be outside the photo.
        """
        y, x = (
            axis.start + (axis.size - 1) / 2 + axis.stride * np.arange(n, dtype=np.float64)
            for axis, n in zip((self.y, self.x), self.shape, strict=True)
        )
        return y, x

    def centres(self) -> NDArray[np.float64]:
        """Return the middle (x, y) of what each cell sees, shape (h * w, 2), row by row."""
        y, x = self.axes()
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def receptive_field(network: nn.Module, height: int, width: int) -> ReceptiveField:
    """Return which pixels of a photo each cell of a network's map sees.

    The network runs on shapes alone, without numbers, and each convolution, pooling and padding
    widens or moves what is seen. So branches, and padding that depends on the photo's size (as of
    EfficientNet, where it is uneven, too), are followed as they run.

    Parameters
    ----------
    network : Module
        Photos (B, 3, H, W) → maps (B, C, h, w), as `Backbone`.
    height, width : int
        Of the photo, in pixels.

    Returns
    -------
    ReceptiveField

    Raises
    ------
    ValueError
        If the network has a part through which a cell cannot be followed.

    Examples
    --------
    >>> field = receptive_field(nn.Conv2d(3, 8, 3, stride=2, padding=1), 32, 48)
    >>> field.x, field.shape
    (Axis(start=-1, size=3, stride=2), (16, 24))
    >>> field.centres()[:3]
    array([[0., 0.],
           [2., 0.],
           [4., 0.]])
    """
    height, width = _check.count(height, "height"), _check.count(width, "width")
    return ReceptiveFields(network).of(height, width)


class ReceptiveFields:
    """The receptive fields of a network for photos of several sizes; those of the last are kept."""

    def __init__(self, network: nn.Module) -> None:
        self._shapes_only = _without_numbers(network)
        self.of = functools.lru_cache(_SIZES)(self._followed)  # of (height, width); any thread

    def _followed(self, height: int, width: int) -> ReceptiveField:
        # Operations are taken apart into those that are known only outside of inference mode.
        with torch.inference_mode(False), torch.no_grad():
            photo = torch.empty(1, 3, height, width, device="meta")
            with Follow(photo) as follow:
                seen = self._shapes_only(photo)
        y, x = follow.of(seen)
        return ReceptiveField(y, x, (seen.shape[2], seen.shape[3]))


def _without_numbers(network: nn.Module) -> nn.Module:
    """Return a copy for which nothing is computed, in evaluation mode.

    It has no layers that leave a cell where it is: without numbers, PyTorch takes most time there.
    """
    numbers = [*network.parameters(), *network.buffers()]
    memo = {id(x): x.detach().to("meta") for x in numbers}
    for x in network.parameters():
        memo[id(x)] = nn.Parameter(memo[id(x)], requires_grad=False)
    shapes_only = copy.deepcopy(network, memo).eval()
    for module in list(shapes_only.modules()):
        for name, layer in module.named_children():
            if type(layer) in _CELL_BY_CELL:
                setattr(module, name, nn.Identity())
    return shapes_only
