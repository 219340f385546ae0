# SPDX-License-Identifier: Apache-2.0
"""What tests of deep descriptors share: a small network, and photos.

A test that imports this is skipped where PyTorch is not installed.
"""

import pytest

import trouvaille

torch = pytest.importorskip("torch", reason="deep descriptors need PyTorch")
deep, nn = trouvaille.deep, torch.nn


def small_network(channels=8):
    """A network of three layers for photos of any size, with weights that do not change."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        modules = {
            "first": nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU()),
            "second": nn.Sequential(nn.Conv2d(6, 7, 3, 2, 1), nn.ReLU()),
            "third": nn.Sequential(nn.Conv2d(7, channels, 3, 2, 1), nn.ReLU()),
        }
    return deep.sequential("small", modules, "third", deep.SPoC())


def photos(*shape, batch=2, seed=0):
    """Normalised photos of noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *shape, generator=generator)
