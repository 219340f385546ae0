# SPDX-License-Identifier: Apache-2.0
"""A network in evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Let a network be in evaluation mode within the block, and as it was after it.

    In training mode a photo alone would be normalised by its own statistics, and change those that
    were learned. Nothing is touched where all of it is in evaluation mode.
    """
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
