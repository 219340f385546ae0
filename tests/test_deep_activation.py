# SPDX-License-Identifier: Apache-2.0
import doctest
import importlib

import numpy as np
import pytest
from PIL import Image

from deep_cases import deep, nn, small_network, torch


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (70, 91, 3), np.uint8)


@pytest.fixture
def model():
    return deep.GlobalDescriptor(deep.Backbone(small_network()), deep.MAC())


class Bright(nn.Module):
    """A map of three channels, a cell for each 8 pixels, that sees how bright 11 pixels are."""

    channels = 3

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3)[:, :, None, None].expand(3, 3, 11, 11) / 121)
        self.mean, self.std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def forward(self, x):
        return nn.functional.conv2d(x, self.weight, stride=8, padding=(2, 4))


def test_a_map_lies_where_its_cells_look(model, photo):
    """At the middle of what a cell sees, a map has just the cell's activation."""
    found = deep.activation_map(model, photo, dimensions=[5, 0])
    assert found.dimensions.tolist() == [5, 0]
    assert found.maps.shape == (2, 70, 91)
    assert found.maps.dtype == np.float32
    x = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    backbone = model.backbone
    mean, std = (torch.tensor(c).reshape(1, 3, 1, 1) for c in (backbone.mean, backbone.std))
    with torch.no_grad():
        cells = backbone((x - mean) / std)[0].numpy()
    # Of this network they are at 0, 8, 16 ...
    expected = cells[[5, 0]][:, :9, :12]
    np.testing.assert_allclose(found.maps[:, 0:70:8, 0:91:8], expected, rtol=1e-4, atol=1e-5)
    between = (expected[:, :, 1:] + expected[:, :, :-1]) / 2
    np.testing.assert_allclose(found.maps[:, 0:70:8, 4:88:8], between, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("y", "x"), [(19, 25), (43, 49), (35, 65)])
def test_a_bright_spot_is_where_it_is(y, x):
    """Cells look at 8 i + 3 along y, and at 8 j + 1 along x."""
    spot = np.zeros((80, 96, 3), np.uint8)
    spot[y - 2 : y + 3, x - 2 : x + 3, 1] = 255
    model = deep.GlobalDescriptor(Bright(), deep.MAC())
    found = deep.activation_map(model, spot, k=1)
    assert found.dimensions.tolist() == [1]
    rows, columns = np.nonzero(found.maps[0] > 0.9 * found.maps[0].max())
    assert (rows.min() + rows.max(), columns.min() + columns.max()) == (2 * y, 2 * x)


def test_the_strongest_dimensions_are_the_descriptors(model, photo):
    x = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    backbone = model.backbone
    mean, std = (torch.tensor(c).reshape(1, 3, 1, 1) for c in (backbone.mean, backbone.std))
    with torch.no_grad():
        descriptor = model((x - mean) / std)[0].numpy()
    found = deep.activation_map(model, photo, k=3)
    assert found.dimensions.tolist() == np.argsort(-descriptor)[:3].tolist()


def test_attention_over_the_photo_is_that_of_the_features(photo):
    model = deep.DELF(deep.Backbone(small_network()), scales=(1.0,))
    found = deep.attention_map(model, photo)
    assert found.shape == (70, 91)
    features = model.extract(photo)
    inside = (features.frames[:, :, 2] < [91, 70]).all(axis=1)
    x, y = features.frames[inside, :, 2].astype(int).T
    np.testing.assert_allclose(found[y, x], features.responses[inside], rtol=1e-4, atol=1e-5)


def test_a_picture_is_warm_where_the_map_is_high(photo, tmp_path):
    heat = np.zeros((70, 91), np.float32)
    heat[20:30, 40:60] = 3
    path = tmp_path / "map.png"
    picture = deep.draw_activation(photo, heat, dim=0.5, path=path)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    yellow = 0.85 * np.array([255, 225, 77])
    assert (picture[20:30, 40:60] >= yellow - 1).all()
    elsewhere = heat == 0
    plain = deep.draw_activation(photo, np.zeros_like(heat), dim=0.5)
    np.testing.assert_array_equal(picture[elsewhere], plain[elsewhere])
    assert plain.mean() < photo.mean()


def test_attention_can_be_drawn(photo):
    model = deep.DELF(deep.Backbone(small_network()))
    drawn = deep.draw_attention(model, photo)
    expected = deep.draw_activation(photo, deep.attention_map(model, photo))
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": [8]}, "dimensions must be from 0 to 7"),
        ({"dimensions": [-1]}, "dimensions must be from 0 to 7"),
        ({"k": 0}, "k must be"),
        ({"k": 9}, "k must be"),
    ],
)
def test_dimensions_are_those_that_there_are(model, photo, options, message):
    with pytest.raises(ValueError, match=message):
        deep.activation_map(model, photo, **options)


def test_says_what_is_wrong(model, photo):
    with pytest.raises(TypeError, match="model must be a GlobalDescriptor"):
        deep.activation_map(model.backbone, photo)
    with pytest.raises(TypeError, match="model must be a DELF"):
        deep.attention_map(model, photo)
    with pytest.raises(ValueError, match="activation must be of the photo's size"):
        deep.draw_activation(photo, np.zeros((70, 90), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        deep.draw_activation(photo, np.full((70, 91), np.nan, np.float32))
    flat = deep.GlobalDescriptor(model.backbone, nn.Flatten())
    with pytest.raises(ValueError, match="must pool each channel into a dimension"):
        deep.activation_map(flat, photo)


def test_examples():
    module = importlib.import_module("trouvaille.deep.activation")
    assert doctest.testmod(module).failed == 0


def test_a_network_that_is_trained_is_left_as_it_is(photo):
    pytest.importorskip("efficientnet_lite_pytorch", reason="a network's package is needed")
    network = deep.Backbone("efficientnet_lite0", "block_3", weights=None)
    model = deep.GlobalDescriptor(network, deep.MAC())
    local = deep.DELF(network, scales=(1.0,))

    def results():
        return (
            deep.activation_map(model, photo).maps,
            deep.attention_map(local, photo),
            local.extract(photo).descriptors,
        )

    expected = results()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for trained in (model, local):
        trained.train()
    modes = [module.training for module in network.modules()]
    for found, wanted in zip(results(), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
