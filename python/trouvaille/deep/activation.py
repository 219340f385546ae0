# SPDX-License-Identifier: Apache-2.0
"""Where a network fires: maps of single dimensions, and of attention, over the photo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from .. import _check, _picture, images
from ..features import Photo
from ._evaluating import evaluating
from ._pixels import normalised
from .delf import DELF
from .network import GlobalDescriptor
from .pooling import in_float32
from .receptive_field import ReceptiveField, receptive_field


class ActivationMap(NamedTuple):
    """What the dimensions of a descriptor see in a photo.

    Attributes
    ----------
    dimensions : ndarray of int64, shape (k,)
        Which, the strongest first where none were asked for.
    maps : ndarray of float32, shape (k, H, W)
        The activation at each pixel of the photo.
    """

    dimensions: NDArray[np.int64]
    maps: NDArray[np.float32]


def activation_map(
    model: GlobalDescriptor,
    photo: Photo,
    dimensions: Sequence[int] | NDArray[np.integer] | None = None,
    k: int = 4,
) -> ActivationMap:
    """Return where in a photo single dimensions of its descriptor come from.

    The activations of a channel lie at the middles of the pixels that the cells see; between them
    they are interpolated, and beyond the outermost they stay as they are. So a map lies on the
    photo to a pixel.

    Parameters
    ----------
    model : GlobalDescriptor
        Whose pooling keeps channels apart, as all of the library do. Dimensions are those before
        any whitening, at scale 1.
    photo : path, bytes or ndarray of uint8
        At the size at which to work.
    dimensions : sequence of int, optional
        Which; by default the `k` strongest of the photo's descriptor.
    k : int
        How many, where none are named.

    Returns
    -------
    ActivationMap

    Raises
    ------
    ImageError, OSError
        If the photo cannot be read.
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from trouvaille.deep import MAC, Backbone
    >>> model = GlobalDescriptor(Backbone("efficientnet_lite0", weights=None), MAC())
    >>> photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    >>> activation_map(model, photo, k=2).maps.shape
    (2, 96, 128)
    """
    if not isinstance(model, GlobalDescriptor):
        raise TypeError(f"model must be a GlobalDescriptor, got {type(model).__name__}")
    pixels = images.load_rgb(photo)
    with evaluating(model), torch.inference_mode():
        maps = model.backbone(normalised(pixels, model.backbone))
        pooled = in_float32(model.pooling(maps))[0].cpu().numpy()
    channels = maps.shape[1]
    if len(pooled) != channels:
        raise ValueError(
            f"model must pool each channel into a dimension, got {len(pooled)} of {channels}"
        )
    if dimensions is None:
        k = _check.count(k, "k", maximum=channels)
        chosen = np.argsort(-np.abs(pooled), kind="stable")[:k]
    else:
        chosen = _check.array(dimensions, "dimensions", np.int64, ndim=1)
        if not ((chosen >= 0) & (chosen < channels)).all():
            raise ValueError(f"dimensions must be from 0 to {channels - 1}, got {dimensions!r}")
    field = receptive_field(model.backbone, *pixels.shape[:2])
    cells = in_float32(maps)[0][torch.from_numpy(chosen).to(maps.device)].cpu().numpy()
    return ActivationMap(chosen, over_pixels(cells, field, pixels.shape[:2]))


def attention_map(model: DELF, photo: Photo) -> NDArray[np.float32]:
    """Return how much `DELF` attends to each pixel of a photo, at scale 1; shape (H, W).

    Parameters and errors are those of `activation_map`.
    """
    if not isinstance(model, DELF):
        raise TypeError(f"model must be a DELF, got {type(model).__name__}")
    pixels, ready = images.load_rgb(photo), model._prepared.of(model)
    with torch.inference_mode():
        _, attention = ready.network(normalised(pixels, model.backbone))
    field = ready.fields.of(*pixels.shape[:2])
    found: NDArray[np.float32] = over_pixels(
        in_float32(attention)[0].cpu().numpy(), field, pixels.shape[:2]
    )[0]
    return found


def over_pixels(
    cells: NDArray[np.float32], field: ReceptiveField, size: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return maps (k, h, w) at each pixel of a photo, (k, H, W), by where their cells look."""
    y, x = field.axes()
    rows, columns = _interpolation(y, size[0]), _interpolation(x, size[1])
    maps: NDArray[np.float32] = (rows @ cells @ columns.T).astype(np.float32)
    return maps


def _interpolation(places: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return what each of n pixels takes of values at places: linear between, the end's beyond."""
    taken: NDArray[np.float64] = np.stack(
        [np.interp(np.arange(n), places, one) for one in np.eye(len(places))], axis=1
    )
    return taken


def draw_activation(
    photo: Photo,
    activation: ArrayLike,
    *,
    dim: float = 0.35,
    path: str | os.PathLike[str] | None = None,
) -> NDArray[np.uint8]:
    """Draw a map over a photo: the stronger, the more it covers the photo, from blue to yellow.

    Parameters
    ----------
    photo : path, bytes or ndarray of uint8
        As it was given to `activation_map`.
    activation : array_like of float32, shape (H, W)
        One of its maps, or what `attention_map` returned. Drawn from its least to its greatest
        value.
    dim : float
        How much darker and grayer the photo becomes, from 0 to 1.
    path : path, optional
        Write the picture to this file, too: a PNG, a JPEG or a WebP by its name.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.

    Raises
    ------
    ImageError, OSError
        If the photo cannot be read.
    TypeError, ValueError
        If an argument is out of range, or the map is not of the photo's size.
    """
    pixels = images.load_rgb(photo)
    strength = _check.array(activation, "activation", np.float32, ndim=2)
    if strength.shape != pixels.shape[:2]:
        raise ValueError(
            f"activation must be of the photo's size {pixels.shape[:2]}, got {strength.shape}"
        )
    low, high = float(strength.min()), float(strength.max())
    heat = (strength - low) / (high - low) if high > low else np.zeros_like(strength)
    colours = np.array(_picture.COLOURS[::-1], np.float32)
    stops = np.linspace(0, 1, len(colours))
    warm = np.stack([np.interp(heat, stops, channel) for channel in colours.T], axis=2)
    share = 0.85 * heat[:, :, None]
    mixed = (1 - share) * _picture.dimmed(pixels, dim) + share * warm
    picture: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    if path is not None:
        _picture.write(Path(path), picture)
    return picture


def draw_attention(
    model: DELF,
    photo: Photo,
    *,
    dim: float = 0.35,
    path: str | os.PathLike[str] | None = None,
) -> NDArray[np.uint8]:
    """Draw where `DELF` looks, over a photo: `draw_activation` of `attention_map`.

    Parameters, return value and errors are those of the two.
    """
    return draw_activation(photo, attention_map(model, photo), dim=dim, path=path)
