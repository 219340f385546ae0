# SPDX-License-Identifier: Apache-2.0
"""The card of a network, whichever it is."""

from __future__ import annotations

from ._card_values import read
from .card import Card
from .delf import DELF
from .delf_card import KIND, DELFCard
from .network import GlobalDescriptor


def card_of(model: GlobalDescriptor | DELF, licence: str, source: str) -> Card | DELFCard:
    """Return the card of a network; a TypeError says why it has none."""
    if isinstance(model, GlobalDescriptor):
        return Card.of(model, licence, source)
    if isinstance(model, DELF):
        return DELFCard.of(model, licence, source)
    raise TypeError(f"model must be a GlobalDescriptor or a DELF, got {type(model).__name__}")


def card_from_json(text: str) -> Card | DELFCard:
    """Return the card of a text; a ValueError says what is wrong with it."""
    kind = DELFCard if read(text).get("kind") == KIND else Card
    return kind.from_json(text)
