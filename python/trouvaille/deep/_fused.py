# SPDX-License-Identifier: Apache-2.0
"""A copy of a network for extraction alone: faster, and the same function but for rounding.

A batch normalisation in evaluation mode is linear, so it becomes part of the convolution before it,
and a pass over the map is saved, which is what a CPU waits for. Nothing in a network says
which follows which; so one photo is passed through it, and where a normalisation is given the very
tensor that a convolution made, the two are taken for neighbours. Activations write over what they
are given: fresh memory costs a CPU more than they do. If anything else reads such a tensor, too,
the copy differs from the network, and is thrown away.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ._same_padding import replace_same_padding

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish)
_DIMENSIONS = "_dimensions_of_descriptors"  # the attribute of a copy that is ready
_SIDE = 96  # pixels of the photo
_TOLERANCE = 1e-4  # of a vector's length; sums in another order differ by some 1e-6 of it


def for_extraction(model: nn.Module) -> nn.Module:
    """Return a copy of a network that `extract` takes as it is, which saves it some 0.1 s a call.

    For one photo at a time, such as queries. It has the weights that the network has now, is in
    evaluation mode and of float32, and cannot be trained; on a GPU it stays there. A folder of
    descriptors takes it for another network than the one it was made of.

    Parameters
    ----------
    model : Module
        A `GlobalDescriptor`, or any module of normalised photos, (B, 3, H, W), that returns
        (B, n_dims).

    Returns
    -------
    Module

    Examples
    --------
    >>> from trouvaille.deep import RMAC, Backbone, GlobalDescriptor, extract
    >>> model = GlobalDescriptor(Backbone("efficientnet_lite0", weights=None), RMAC())
    >>> ready = for_extraction(model)
    >>> extract(ready, torch.zeros(96, 128, 3, dtype=torch.uint8).numpy()).descriptors.shape
    (1, 1280)
    """
    ready, dimensions = fused(model)
    setattr(ready, _DIMENSIONS, dimensions)
    return ready


def is_ready(model: nn.Module) -> bool:
    """Whether a network is such a copy: it has described a photo then."""
    return hasattr(model, _DIMENSIONS)


def fused(model: nn.Module) -> tuple[nn.Module, int]:
    """Return a copy for extraction, and how many numbers its descriptors have.

    It is in evaluation mode, of float32, channels last, and does without what need not be done.
    """
    if is_ready(model):
        return model, getattr(model, _DIMENSIONS)
    ready, output = faster(copy.deepcopy(model).float())
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 1:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
        raise ValueError(f"model must return (B, n_dims) of (B, 3, H, W), got {shape} of one")
    return ready, output.shape[1]


def faster(network: nn.Module) -> tuple[nn.Module, Any]:
    """Return a network, which is not the caller's any more, made faster; and what it returns.

    That is of one photo: a tensor, or a tuple of them.
    """
    plain = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    photo = _photo(plain)
    with torch.no_grad(), torch.autocast(photo.device.type, enabled=False):
        wanted, pairs = _traced(plain, photo)
        merged = _merged(plain, pairs)
        for candidate in (_in_place(merged), merged):
            given = photo.clone()
            if _alike(candidate(given), wanted) and torch.equal(given, photo):
                return candidate, wanted
    return plain, wanted


def _alike(found: Any, wanted: Any) -> bool:
    """Whether tensors differ by no more than rounding, of the length of each as a vector."""
    if isinstance(wanted, tuple):
        return all(map(_alike, found, wanted))
    if not isinstance(wanted, torch.Tensor):
        return False
    return bool((found - wanted).norm() <= _TOLERANCE * wanted.norm())


def _photo(model: nn.Module) -> Any:
    first = next(model.parameters(), torch.zeros(()))
    photo = torch.randn(1, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    return photo.to(first.device, first.dtype)


def _traced(model: nn.Module, photo: Any) -> tuple[Any, list[tuple[str, str]]]:
    """Return what the model makes of a photo, and the names of convolutions with normalisations."""
    makers: dict[int, tuple[str, Any]] = {}
    found: dict[str, set[str | None]] = {}

    def made(name: str) -> Any:
        def hook(_module: nn.Module, _given: Any, output: Any) -> None:
            makers[id(output)] = name, output  # which is kept, so that its id is its own

        return hook

    def asked(name: str) -> Any:
        def hook(_module: nn.Module, given: Any) -> None:
            maker, output = makers.get(id(given[0]), (None, None))
            found.setdefault(name, set()).add(maker if output is given[0] else None)

        return hook

    hooks = []
    for name, module in model.named_modules():
        if type(module) is nn.BatchNorm2d and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(asked(name)))
        elif isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(made(name)))
    try:
        output = model(photo)
    finally:
        for hook in hooks:
            hook.remove()
    pairs = [(next(iter(of)), norm) for norm, of in found.items() if len(of) == 1]
    return output, [(conv, norm) for conv, norm in pairs if conv is not None]


def _in_place(model: nn.Module) -> nn.Module:
    changed = copy.deepcopy(model)
    for module in changed.modules():
        if isinstance(module, _ACTIVATIONS):
            module.inplace = True
    return changed


def _merged(model: nn.Module, pairs: list[tuple[str, str]]) -> nn.Module:
    merged = copy.deepcopy(model)
    for conv_name, norm_name in pairs:
        conv, norm = merged.get_submodule(conv_name), merged.get_submodule(norm_name)
        of_both = fuse_conv_bn_eval(conv, norm)
        conv.weight, conv.bias = of_both.weight, of_both.bias
        parent, _, own = norm_name.rpartition(".")
        setattr(merged.get_submodule(parent), own, nn.Identity())
    replace_same_padding(merged)
    return merged.to(memory_format=torch.channels_last)
