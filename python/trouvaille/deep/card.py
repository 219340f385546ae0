# SPDX-License-Identifier: Apache-2.0
"""What a saved network is, in JSON: all that is needed to build it, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from torch import nn

from ._card_values import VERSION, Plain, checked, layer_sizes, of_backbone, read, written
from ._dimensions import dimensions_of
from .network import GlobalDescriptor
from .pooling import MAC, CroW, GeM, SPoC
from .projected import Projected
from .regional import RMAC, RegionalGeM
from .whitening import Whitening


@dataclass(frozen=True)
class Card:
    """A network without its weights.

    Attributes
    ----------
    architecture, layer : str
        Of its `Backbone`.
    pooling : dict
        ``name`` and what it was made with.
    whitening : dict or None
        ``in_features``, ``out_features`` and ``norm`` of the last layer.
    scales : tuple of float
    scale_power : float
    mean, std : tuple of 3 float
        Of the colours that it was trained with.
    outputdim : int
        Numbers of a descriptor.
    licence, source : str
        Of the weights: under what terms they may be used, and where they come from.
    version : int
        Of this description.
    """

    architecture: str
    layer: str
    pooling: Plain
    whitening: Plain | None
    scales: tuple[float, ...]
    scale_power: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    outputdim: int
    licence: str = "unknown"
    source: str = "unknown"
    version: int = VERSION

    @classmethod
    def of(cls, model: GlobalDescriptor, licence: str, source: str) -> Card:
        """Return the card of a network."""
        about = of_backbone(model.backbone)
        outputdim = dimensions_of(model.backbone, model.pooling, model.whitening)
        if outputdim is None:
            raise TypeError(
                "model must have a backbone that names its channels, as a Backbone does"
            )
        return cls(
            **about,
            pooling=_plain(model.pooling),
            whitening=_plain_whitening(model.whitening),
            scales=model.scales,
            scale_power=model.scale_power,
            outputdim=outputdim,
            licence=licence,
            source=source,
        )

    def to_json(self) -> str:
        """Return the card as text."""
        return written(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Return the card that `to_json` wrote; a ValueError says what is wrong with a text."""
        return cls(**checked(read(text), [field.name for field in fields(cls)]))

    def build(self, backbone: nn.Module) -> GlobalDescriptor:
        """Return the network on a backbone, with weights and colours as they come."""
        return GlobalDescriptor(
            backbone,
            _built(self.pooling),
            None if self.whitening is None else _built_whitening(self.whitening),
            self.scales,
            scale_power=self.scale_power,
        )


# ---- Layers and plain values


def _plain(pooling: nn.Module) -> Plain:
    name = next((name for name, (kind, _) in _POOLINGS.items() if type(pooling) is kind), None)
    if name is None:
        raise TypeError(
            f"pooling must be one of {', '.join(_POOLINGS)} to be saved, "
            f"got {type(pooling).__name__}"
        )
    about: Any = pooling
    made: Plain = {"name": name}
    for attribute in _POOLINGS[name][1]:
        value = getattr(about, attribute)
        if attribute == "p":
            value = value.detach().item()
        elif attribute == "whitening":
            value = _plain_whitening(value)
        elif attribute == "pooling":
            value = _plain(value)
        made[attribute] = value
    if isinstance(pooling, Projected):
        linear = pooling.linear
        made |= {"in_features": linear.in_features, "out_features": linear.out_features}
    return made


def _built(made: Any) -> nn.Module:
    if not isinstance(made, dict) or made.get("name") not in _POOLINGS:
        raise ValueError(f"the pooling of its card must be one of {', '.join(_POOLINGS)}")
    kind, attributes = _POOLINGS[made["name"]]
    features = ("in_features", "out_features") if kind is Projected else ()
    if made.keys() != {"name", *attributes, *features}:
        raise ValueError(f"{made['name']} of its card must have {', '.join(attributes)}")
    options = {name: made[name] for name in (*attributes, *features)}
    if options.get("whitening") is not None:
        options["whitening"] = _built_whitening(options["whitening"])
    if kind is Projected:
        inner = options["pooling"]
        if isinstance(inner, dict) and inner.get("name") == "Projected":
            raise ValueError("the pooling of its card is projected twice")
        options["pooling"] = _built(options["pooling"])
        layer_sizes(*(options[name] for name in features))
    return kind(**options)


_REGIONS = ("levels", "overlap", "include_global", "whitening")
_POOLINGS: Mapping[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    "MAC": (MAC, ()),
    "SPoC": (SPoC, ()),
    "CroW": (CroW, ()),
    "GeM": (GeM, ("p", "eps")),
    "RMAC": (RMAC, _REGIONS),
    "RegionalGeM": (RegionalGeM, ("p", "eps", *_REGIONS)),
    "Projected": (Projected, ("pooling", "unit")),
}


def _plain_whitening(whitening: nn.Module | None) -> Plain | None:
    if whitening is None:
        return None
    if type(whitening) is not Whitening:
        raise TypeError(f"whitening must be a Whitening, got {type(whitening).__name__}")
    names = ("in_features", "out_features", "norm")
    return {name: getattr(whitening, name) for name in names}


def _built_whitening(made: Any) -> Whitening:
    if not isinstance(made, dict) or made.keys() != {"in_features", "out_features", "norm"}:
        raise ValueError("a whitening of its card must have in_features, out_features and norm")
    sizes = layer_sizes(made["in_features"], made["out_features"])
    return Whitening(*sizes, norm=made["norm"])
