# SPDX-License-Identifier: Apache-2.0
"""Networks in files: those of other programs, imported, and one's own, saved and loaded.

A saved network is one file, ``<name>.safetensors``: its weights, with a `Card` in the header. The
card stands beside it as ``<name>.json``, too, for people. Nothing is pickled, and reading runs no
code, of whatever file; see `_unpickle`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from .. import _files
from ..errors import CheckpointError
from ._cards import card_from_json, card_of
from ._cirtorch import from_cirtorch, is_of_cirtorch
from ._dimensions import dimensions_of
from ._dirtorch import from_dirtorch, is_of_dirtorch
from ._imported import Choices
from ._torch_file import load as load_torch_file
from ._weights import differences, imported
from .backbone import Backbone, load
from .card import Card
from .delf import DELF
from .delf_card import DELFCard
from .network import GlobalDescriptor

Network = TypeVar("Network", GlobalDescriptor, DELF)

_KEY = "trouvaille"  # of the card in the header of a file
_SHOWN = 5  # names in an error


def import_network(
    path: str | os.PathLike[str],
    *,
    whitening: str | None = None,
    n_components: int | None = None,
    whitening_power: float = 0.25,
    scales: Sequence[float] = (1.0,),
    backbone: nn.Module | None = None,
) -> GlobalDescriptor:
    """Read a network of cirtorch [1]_, [2]_ or dirtorch [3]_, [4]_ as this library's.

    Parameters
    ----------
    path : path
        A file of ``torch.save``, also in a zip archive. Code in it is refused, and never run.
    whitening : str, optional
        What is learned on the photos of that name, and comes with the network: cirtorch's ``Lw``
        (retrieval-SfM-30k, retrieval-SfM-120k), dirtorch's ``pca`` (Landmarks_clean). A wrong name
        is an error that lists those that there are. Besides, a network has the linear layer that
        was trained with it.
    n_components : int, optional
        Of that whitening; by default all.
    whitening_power : float
        Of dirtorch's whitening, whose authors take 0.25.
    scales : sequence of float
        Of the network; cirtorch has whitenings of their own for one scale and for several.
    backbone : Module, optional
        Where the weights go: by default the `Backbone` of the name in the file.

    Returns
    -------
    GlobalDescriptor

    Raises
    ------
    CheckpointError
        If the file is damaged, holds code, is of neither layout, or of another architecture (it
        names what is missing and what is not expected), or is of a network that is not built here;
        if its numbers are not finite. A `backbone` that was given keeps its weights and colours.
    ImportError
        If the package that has the backbone is not installed.

    References
    ----------
    .. [1] F. Radenović, G. Tolias, O. Chum, "Fine-tuning CNN image retrieval with no human
       annotation", TPAMI 2019; github.com/filipradenovic/cnnimageretrieval-pytorch.
    .. [2] F. Radenović, A. Iscen, G. Tolias, Y. Avrithis, O. Chum, "Revisiting Oxford and Paris:
       large-scale image retrieval benchmarking", CVPR 2018.
    .. [3] A. Gordo, J. Almazán, J. Revaud, D. Larlus, "End-to-end learning of deep visual
       representations for image retrieval", IJCV 2017; github.com/naver/deep-image-retrieval.
    .. [4] J. Revaud, J. Almazán, R. Rezende, C. de Souza, "Learning with average precision:
       training image retrieval with a listwise loss", ICCV 2019.
    """
    path = Path(path)
    content = load_torch_file(path)
    choices = Choices(path, whitening, n_components, whitening_power, tuple(scales), backbone)
    if is_of_cirtorch(content):
        found = from_cirtorch(content, choices)
    elif is_of_dirtorch(content):
        found = from_dirtorch(content, choices)
    else:
        raise CheckpointError(
            path,
            "is of no known layout: cirtorch's has meta and state_dict, dirtorch's has "
            "model_options and state_dict",
        )
    put(found.model, found.weights, path)
    return _coloured(found.model, *found.colours)


def save_network(
    model: GlobalDescriptor | DELF,
    path: str | os.PathLike[str],
    *,
    licence: str | None = None,
    source: str = "unknown",
) -> Path:
    """Write a network: its weights, with its card, and the card again as JSON, for people.

    Each file appears whole or not at all. An earlier ``.json`` is removed first, so that none ever
    speaks of other weights than those beside it, wherever this is interrupted.

    Parameters
    ----------
    model : GlobalDescriptor or DELF
        Of a `Backbone`, a pooling or an attention of this library, and a `Whitening`, a
        `PCAWhitening` or none.
    path : path
        Without a suffix, or with ``.safetensors``; replaced if it exists.
    licence : str, optional
        Of the weights; by default what the backbone says.
    source : str
        Where they come from.

    Returns
    -------
    Path
        The file of the weights.

    Raises
    ------
    TypeError
        If the network has a part that a card cannot describe.
    """
    if licence is None:
        backbone = getattr(model, "backbone", None)
        licence = str(getattr(backbone, "licence", "unknown"))
    text = card_of(model, licence, source).to_json()
    weights = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in model.state_dict().items()
    }
    file = file_of_network(path)
    data = _safetensors("torch").save(weights, {_KEY: text})
    _files.remove(file.with_suffix(".json"))
    _files.replace(file, [data])
    _files.replace(file.with_suffix(".json"), [text.encode()])
    return file


def load_network(
    path: str | os.PathLike[str], backbone: nn.Module | None = None
) -> GlobalDescriptor | DELF:
    """Read a network that `save_network` wrote.

    Parameters
    ----------
    path : path
        Without a suffix, or with ``.safetensors``.
    backbone : Module, optional
        Needed where the network's was none of the names of `Backbone`.

    Returns
    -------
    GlobalDescriptor or DELF
        The same numbers.

    Raises
    ------
    CheckpointError
        If the file is damaged, or its weights are of another network than its card says.
    FileNotFoundError
        If there is none.
    """
    file = file_of_network(path)
    card, weights = _read(file)
    if backbone is None:
        backbone = _backbone(card, file)
    try:
        model = card.build(backbone)
    except (TypeError, ValueError) as error:
        raise CheckpointError(file, f"its card describes no network: {error}") from None
    put(model, weights, file, card.outputdim)
    return _coloured(model, card.mean, card.std)


def read_card(path: str | os.PathLike[str]) -> Card | DELFCard:
    """Return what a file of `save_network` says of its network; the weights are not read."""
    file = file_of_network(path)
    return _card(file, _header(file))


def put(
    model: GlobalDescriptor | DELF,
    weights: Mapping[str, Any],
    path: Path,
    outputdim: int | None = None,
) -> None:
    """Put weights into a network of just these names and shapes, or say what differs."""
    missing, unexpected, other = differences(model, weights)
    if missing or unexpected or other:
        own = model.state_dict()
        shapes = [
            f"{name} of shape {tuple(weights[name].shape)}, not {tuple(own[name].shape)}"
            for name in other
        ]
        listed = (("missing", missing), ("unexpected", unexpected), ("other shapes", shapes))
        said = [f"{what}: {_listed(names)}" for what, names in listed if names]
        raise CheckpointError(path, f"is of another architecture; {'; '.join(said)}")
    if isinstance(model, GlobalDescriptor):
        _check_dimensions(model, outputdim, path)
    try:
        model.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:
        raise CheckpointError(path, f"holds what cannot be a network's: {error}") from None


def _check_dimensions(model: GlobalDescriptor, outputdim: int | None, path: Path) -> None:
    try:
        count = dimensions_of(model.backbone, model.pooling, model.whitening)
    except ValueError as error:
        raise CheckpointError(path, f"is of parts that do not fit together: {error}") from None
    if outputdim is not None and count not in (None, outputdim):
        raise CheckpointError(path, f"has a card of outputdim {outputdim}, its network {count}")


def _coloured(model: Network, mean: Any, std: Any) -> Network:
    """Say which colours a network was trained with, once nothing can fail any more."""
    backbone: Any = model.backbone
    backbone.mean, backbone.std = mean, std
    return model


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _backbone(card: Card | DELFCard, file: Path) -> nn.Module:
    try:
        architecture = load(card.architecture, None)
    except ValueError as error:
        raise CheckpointError(
            file, f"has a backbone of its own, {card.architecture!r}; give it as backbone: {error}"
        ) from None
    try:
        return Backbone(architecture, card.layer)
    except ValueError as error:
        raise CheckpointError(
            file, f"has a card with a layer that {card.architecture} has not: {error}"
        ) from None


def file_of_network(path: str | os.PathLike[str]) -> Path:
    """Return the file of a network that is named with its suffix or without."""
    path = Path(path)
    return path if path.suffix == ".safetensors" else path.with_name(f"{path.name}.safetensors")


def _safetensors(module: str) -> Any:
    return imported(f"safetensors.{module}", "saving", "pip install 'trouvaille[deep]'")


def _header(file: Path) -> Mapping[str, str]:
    safe_open = imported("safetensors", "loading", "pip install 'trouvaille[deep]'").safe_open
    if not file.is_file():
        raise FileNotFoundError(f"there is no network at {file}")
    try:
        with safe_open(file, "pt") as opened:
            return opened.metadata() or {}
    except Exception as error:  # whatever a damaged file makes of safetensors
        raise CheckpointError(file, f"cannot be read: {error}") from None


def _card(file: Path, header: Mapping[str, str]) -> Card | DELFCard:
    if _KEY not in header:
        raise CheckpointError(file, "has no card: it was not written by save_network")
    try:
        return card_from_json(header[_KEY])
    except ValueError as error:
        raise CheckpointError(file, str(error)) from None


def _read(file: Path) -> tuple[Card | DELFCard, dict[str, torch.Tensor]]:
    card = _card(file, _header(file))
    try:
        return card, _safetensors("torch").load_file(file)
    except Exception as error:  # whatever a damaged file makes of safetensors
        raise CheckpointError(file, f"cannot be read: {error}") from None
