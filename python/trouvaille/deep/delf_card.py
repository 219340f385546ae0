# SPDX-License-Identifier: Apache-2.0
"""What a saved DELF is, in JSON: all that is needed to build it, and where it comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from ._card_values import VERSION, Plain, checked, layer_sizes, numbers, of_backbone, read, written
from .attention import Attention, NormAttention
from .delf import DELF

KIND = "DELF"
_SIZES = {"in_features", "out_features"}


@dataclass(frozen=True)
class DELFCard:
    """A `DELF` without its weights.

    Attributes
    ----------
    architecture, layer : str
        Of its `Backbone`.
    attention : dict
        ``name``, and for an `Attention` its ``channels`` and ``hidden``.
    scales : tuple of float
    max_features : int
    min_score, overlap : float
        What it was made with.
    dims : int
        Numbers of a descriptor that `DELF.fit` reduces to.
    pca : dict or None
        ``in_features`` and ``out_features`` of what was learned, which is among the weights.
    mean, std : tuple of 3 float
        Of the colours that it was trained with.
    outputdim : int
        Numbers of a descriptor.
    licence, source : str
        Of the weights: under what terms they may be used, and where they come from.
    kind : str
        "DELF".
    version : int
        Of this description.
    """

    architecture: str
    layer: str
    attention: Plain
    scales: tuple[float, ...]
    max_features: int
    min_score: float
    overlap: float
    dims: int
    pca: Plain | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    outputdim: int
    licence: str = "unknown"
    source: str = "unknown"
    kind: str = KIND
    version: int = VERSION

    @classmethod
    def of(cls, model: DELF, licence: str, source: str) -> DELFCard:
        """Return the card of a network."""
        backbone: Any = model.backbone
        learned, pca = model.pca, None
        if learned is not None:
            out_features, in_features = learned.components_.shape
            pca = {"in_features": in_features, "out_features": out_features}
        return cls(
            **of_backbone(backbone),
            attention=_plain_attention(model.attention),
            scales=model.scales,
            max_features=model.max_features,
            min_score=model.min_score,
            overlap=model.overlap,
            dims=model.dims,
            pca=pca,
            outputdim=backbone.channels if pca is None else pca["out_features"],
            licence=licence,
            source=source,
        )

    def to_json(self) -> str:
        """Return the card as text."""
        return written(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> DELFCard:
        """Return the card that `to_json` wrote; a ValueError says what is wrong with a text."""
        given = checked(read(text), [field.name for field in fields(cls)])
        if given["kind"] != KIND:
            raise ValueError(f"its card must be of kind {KIND!r}, got {given['kind']!r}")
        names = ("max_features", "dims")
        if not all(type(given[name]) is int for name in names):
            raise ValueError(f"{', '.join(names)} of its card must be whole numbers")
        given["min_score"], given["overlap"] = numbers([given["min_score"], given["overlap"]])
        return cls(**given)

    def build(self, backbone: nn.Module) -> DELF:
        """Return the network on a backbone, with weights and colours as they come."""
        channels = getattr(backbone, "channels", None)
        model = DELF(
            backbone,
            _built_attention(self.attention, channels),
            self.scales,
            self.max_features,
            min_score=self.min_score,
            overlap=self.overlap,
            dims=self.dims,
        )
        if self.pca is not None:
            if not isinstance(self.pca, dict) or self.pca.keys() != _SIZES:
                raise ValueError(f"pca of its card must have {', '.join(sorted(_SIZES))}")
            sizes = layer_sizes(self.pca["in_features"], self.pca["out_features"])
            _fitting(sizes[0], channels, "pca")
            model.reduction.make_room(*sizes)
            channels = sizes[1]
        if channels not in (None, self.outputdim):
            raise ValueError(f"outputdim of its card is {self.outputdim}, its network's {channels}")
        return model


def _plain_attention(attention: nn.Module) -> Plain:
    if type(attention) is NormAttention:
        return {"name": "NormAttention"}
    if type(attention) is not Attention:
        raise TypeError(
            "attention must be an Attention or a NormAttention to be saved, "
            f"got {type(attention).__name__}"
        )
    hidden = attention.hidden
    return {
        "name": "Attention",
        "channels": hidden.in_channels,
        "hidden": hidden.out_channels,
    }


def _built_attention(made: Any, channels: int | None) -> nn.Module:
    if made == {"name": "NormAttention"}:
        return NormAttention()
    names = {"name", "channels", "hidden"}
    if not isinstance(made, dict) or made.keys() != names or made["name"] != "Attention":
        raise ValueError("attention of its card must be a NormAttention or an Attention")
    sizes = layer_sizes(made["channels"], made["hidden"])
    _fitting(sizes[0], channels, "attention")
    return Attention(*sizes)


def _fitting(given: int, channels: int | None, name: str) -> None:
    if channels is not None and given != channels:
        raise ValueError(f"{name} of its card takes {given} channels, its backbone has {channels}")
