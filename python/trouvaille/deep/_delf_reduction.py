# SPDX-License-Identifier: Apache-2.0
"""What reduces the descriptors of a DELF, among its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..aggregate import PCAWhitening

_TYPES = {
    "mean": torch.float64,
    "components": torch.float32,
    "explained_variance": torch.float64,
    "whitening_power": torch.float64,
    "unit": torch.bool,
}


class Reduction(nn.Module):
    """A fitted `PCAWhitening` as buffers, so that it goes where the weights go; or nothing yet.

    Descriptors are reduced on the CPU, in the types of `PCAWhitening`. So the buffers stay there,
    and of these types, whatever the network is moved or converted to.
    """

    def __init__(self, pca: PCAWhitening | None = None) -> None:
        super().__init__()
        self._threads: int | None = None
        for name in _TYPES:
            self.register_buffer(name, None)
        self.put(pca)

    def put(self, pca: PCAWhitening | None) -> None:
        """Take a copy of what was learned in place of what there is, or nothing."""
        if pca is not None and not isinstance(pca, PCAWhitening):
            raise TypeError(f"pca must be a PCAWhitening, got {type(pca).__name__}")
        arrays: dict[str, Any] = dict.fromkeys(_TYPES)
        if pca is not None:
            arrays = {**pca._learned(), "whitening_power": pca.whitening_power}
            arrays["unit"] = pca.norm == "l2"
            self._threads = pca.threads
        for name, dtype in _TYPES.items():
            value = arrays[name]
            setattr(self, name, None if value is None else torch.tensor(value, dtype=dtype))

    def make_room(self, in_features: int, out_features: int) -> None:
        """Let buffers have these sizes, for what is loaded into them."""
        shapes = ((in_features,), (out_features, in_features), (out_features,), (), ())
        for (name, dtype), shape in zip(_TYPES.items(), shapes, strict=True):
            setattr(self, name, torch.ones(shape, dtype=dtype))

    def pca(self) -> PCAWhitening | None:
        """Return what was learned; a ValueError says why it can be nothing that was."""
        if self.mean is None:
            return None
        held = {n: getattr(self, n).detach().cpu().to(t).numpy() for n, t in _TYPES.items()}
        parameters = {
            "n_components": len(held["components"]),
            "whitening_power": float(held.pop("whitening_power")),
            "norm": "l2" if held.pop("unit") else None,
            "threads": self._threads,
        }
        return PCAWhitening._of_file(parameters, {n: array.copy() for n, array in held.items()})

    def _apply(self, *_: Any, **__: Any) -> Reduction:
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *given: Any, **named: Any
    ) -> None:
        found = {name: state_dict.get(prefix + name) for name in _TYPES}
        if any(value is not None for value in found.values()):
            for (name, dtype), value in zip(_TYPES.items(), found.values(), strict=True):
                shape = () if value is None else value.shape
                setattr(self, name, torch.zeros(shape, dtype=dtype))
        super()._load_from_state_dict(state_dict, prefix, *given, **named)
        errors = given[-1]
        try:
            if (pca := self.pca()) is not None:
                pca.learned_mean_and_weights()
        except (TypeError, ValueError) as error:
            errors.append(f"{prefix.rstrip('.')} is no fitted PCAWhitening: {error}")
