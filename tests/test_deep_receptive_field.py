# SPDX-License-Identifier: Apache-2.0
"""Which pixels a cell sees, by changing pixels.

Networks here have positive weights and no bias: to a black photo they answer with zeros, and to one
white pixel with more than zero in just those cells that see it.
"""

import doctest
import importlib

import numpy as np
import pytest

from deep_cases import deep, nn, torch


class Residual(nn.Module):
    """A block of ResNet's kind that halves the map on both of its ways."""

    def __init__(self):
        super().__init__()
        self.long = nn.Sequential(
            nn.Conv2d(4, 4, 3, 2, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 5, 1, 2, bias=False),
        )
        self.short = nn.Conv2d(4, 4, 1, 2, bias=False)

    def forward(self, x):
        return torch.relu_(self.long(x) + self.short(x))


class Excited(nn.Module):
    """A map, of which each channel is multiplied by what is seen of the whole photo."""

    def forward(self, x):
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


NETWORKS = {
    "pooled": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 11, 4, 2, bias=False), nn.MaxPool2d(3, 2), nn.Conv2d(4, 4, 5, 1, 2)
    ),
    "rounded up": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
    ),
    "averaged": lambda: nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 4, 3, 2, (0, 1))),
    "dilated": lambda: nn.Conv2d(3, 4, 3, 1, padding=(2, 3), dilation=(2, 3), bias=False),
    "kept in size": lambda: nn.Conv2d(3, 4, (3, 5), padding="same", bias=False),
    "residual": lambda: nn.Sequential(nn.Conv2d(3, 4, 7, 2, 3, bias=False), Residual(), Residual()),
    "excited": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, bias=False), Excited()),
    "uneven": lambda: nn.Sequential(nn.ZeroPad2d((0, 3, 2, 1)), nn.Conv2d(3, 4, 5, 3, bias=False)),
    **{
        layer: (lambda layer=layer: deep.Backbone("efficientnet_lite0", layer, weights=None))
        for layer in ("stem", "block_1", "block_3", "block_5", "block_8")
    },
}


def positive(network):
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network.eval()


def seeing(network, height, width, y, x):
    """Rows and columns of the cells that see a pixel."""
    photo = torch.zeros(1, 3, height, width)
    photo[:, :, y, x] = 1
    with torch.no_grad():
        found = network(photo)[0].amax(0).numpy() > 0
    return np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))


def seen_by(network, height, width, cell):
    """First and last row and column of the pixels that a cell sees."""
    photo = torch.full((1, 3, height, width), 1e-3, requires_grad=True)
    network(photo)[0, :, cell[0], cell[1]].sum().backward()
    rows, columns = np.nonzero(photo.grad[0].amax(0).numpy())
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize("size", [(96, 128), (61, 251)])
@pytest.mark.parametrize("name", NETWORKS)
def test_just_the_cells_that_see_a_pixel_answer_to_it(name, size, rng):
    network = positive(NETWORKS[name]())
    field = deep.receptive_field(network, *size)
    last = 0 if name == "pooled" else 1  # of which pooling drops the windows that are not whole
    corners = [(0, 0), (last * (size[0] - 1), last * (size[1] - 1))]
    for pixel in [*corners, *rng.integers(0, np.subtract(size, 16), (5, 2)).tolist()]:
        expected = [
            np.flatnonzero((first <= p) & (p < first + axis.size))
            for axis, n, p in zip((field.y, field.x), field.shape, pixel, strict=True)
            for first in [axis.start + axis.stride * np.arange(n)]
        ]
        found = seeing(network, *size, *pixel)
        if not all(map(len, expected)):  # beyond the last window: no cell sees it
            assert not any(map(len, found))
            continue
        for cells, those in zip(found, expected, strict=True):
            if name == "dilated":  # between what it sees there are holes
                assert set(cells) <= set(those)
            else:
                np.testing.assert_array_equal(cells, those, err_msg=str(pixel))


@pytest.mark.parametrize("size", [(400, 432), (391, 450)])
@pytest.mark.parametrize("name", ["averaged", "dilated", "residual", "uneven", "stem", "block_10"])
def test_a_centre_is_the_middle_of_the_pixels_that_a_cell_sees(name, size):
    make = NETWORKS.get(name) or (lambda: deep.Backbone("efficientnet_lite0", name, weights=None))
    network = positive(make())
    field = deep.receptive_field(network, *size)
    cell = field.shape[0] // 2, field.shape[1] // 2
    top, bottom, left, right = seen_by(network, *size, cell)
    assert (bottom - top + 1, right - left + 1) == (field.y.size, field.x.size)
    x, y = field.centres().reshape(*field.shape, 2)[cell]
    assert (x, y) == ((left + right) / 2, (top + bottom) / 2)


def test_the_uneven_padding_of_efficientnet_is_at_the_end_alone():
    network = deep.Backbone("efficientnet_lite0", "stem", weights=None)
    for height, width in ((64, 64), (64, 63), (63, 64)):
        assert deep.receptive_field(network, height, width).centres()[0].tolist() == [1, 1]


def test_padding_that_depends_on_the_photo_is_followed():
    """Of an even side it is at the end alone, as TensorFlow has it."""
    utils = pytest.importorskip("efficientnet_lite_pytorch.utils", reason="has such a layer")
    network = utils.Conv2dDynamicSamePadding(3, 4, 3, 2)
    assert deep.receptive_field(network, 64, 64).centres()[0].tolist() == [1, 1]
    assert deep.receptive_field(network, 64, 63).centres()[0].tolist() == [0, 1]


def test_a_photo_smaller_than_what_is_seen_has_a_field():
    network = deep.Backbone("efficientnet_lite0", "block_10", weights=None)
    field = deep.receptive_field(network, 1, 10_000)
    assert field.shape == (2, 625)  # of 32 rows: smaller photos are padded to them
    assert field.size == 339
    assert abs(np.median(field.centres()[:, 0]) - 5000) < 16


def test_the_network_is_left_as_it_is():
    network = deep.Backbone("efficientnet_lite0", "block_1", weights=None).train()
    before = {name: x.clone() for name, x in network.state_dict().items()}
    with torch.inference_mode():
        deep.receptive_field(network, 64, 64)
    assert network.training
    for name, x in network.state_dict().items():
        assert x.device.type == "cpu"
        torch.testing.assert_close(x, before[name])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Flatten(), "network has a part whose receptive field is unknown: aten"),
        (nn.ConvTranspose2d(3, 4, 2, 2), "transposed convolution"),
        (nn.Upsample(scale_factor=2), "whose receptive field is unknown"),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1)), "must return maps"),
    ],
)
def test_what_cannot_be_followed_is_refused(network, message):
    with pytest.raises(ValueError, match=message):
        deep.receptive_field(network, 32, 32)


class Along(nn.Module):
    """Maps that are joined, or measured, along an axis."""

    def __init__(self, operation, dim):
        super().__init__()
        self.operation, self.dim = operation, dim

    def forward(self, x):
        if self.operation == "norm":
            return torch.linalg.vector_norm(x, dim=self.dim, keepdim=True)
        return torch.cat([x, x], self.dim)


@pytest.mark.parametrize("operation", ["cat", "norm"])
def test_joining_rows_or_columns_is_refused_and_channels_are_not(operation):
    for dim in (2, 3, -1, -2):
        with pytest.raises(ValueError, match="network joins rows or columns of maps by aten"):
            deep.receptive_field(Along(operation, dim), 32, 48)
    for dim in (1, -3):
        field = deep.receptive_field(Along(operation, dim), 32, 48)
        assert field == deep.receptive_field(nn.Identity(), 32, 48)
    if operation == "norm":
        with pytest.raises(ValueError, match="network joins"):
            deep.receptive_field(Along(operation, (1, 3)), 32, 48)


@pytest.mark.parametrize("height", [0, -1, 2.5, "32"])
def test_sides_are_whole_and_positive(height):
    with pytest.raises((ValueError, TypeError), match="height"):
        deep.receptive_field(nn.Identity(), height, 32)


def test_examples():
    module = importlib.import_module("trouvaille.deep.receptive_field")
    assert doctest.testmod(module, extraglobs={"nn": nn}).failed == 0
