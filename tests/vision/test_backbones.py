# SPDX-License-Identifier: Apache-2.0
"""Backbones of torchvision and timm, by these themselves; run by `make test-vision`."""

import sys

import pytest

import trouvaille

reason = "networks of torchvision and timm: make test-vision"
torchvision = pytest.importorskip("torchvision", reason=reason)
timm = pytest.importorskip("timm", reason=reason)
torch = pytest.importorskip("torch", reason=reason)
deep, nn = trouvaille.deep, torch.nn

SHAPES = [(1, 1), (1, 300), (31, 65), (96, 128)]


def photos(*shape):
    return torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


def whole(name):
    return seeded(lambda: torchvision.models.get_model(name, weights=None))


def unit(x):
    return nn.functional.normalize(x, dim=1)


@pytest.mark.parametrize(
    ("name", "channels", "stride", "layers"),
    [
        ("resnet18", 512, 32, 8),
        ("resnet50", 2048, 32, 8),
        ("resnet101", 2048, 32, 8),
        ("resnet152", 2048, 32, 8),
        ("vgg16", 512, 16, 30),
        ("alexnet", 256, 16, 12),
    ],
)
def test_what_is_known_of_a_network(name, channels, stride, layers):
    backbone = deep.Backbone(name, weights=None)
    assert (backbone.channels, backbone.stride) == (channels, stride)
    assert len(backbone.describe_layers()) == layers
    assert "BSD" in backbone.licence


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["resnet18", "alexnet"])
def test_photos_of_any_size_have_a_map_and_a_vector(name, shape):
    with torch.no_grad():
        assert deep.Backbone(name, weights=None)(photos(*shape)).isfinite().all()
        vectors = deep.off_the_shelf(name, weights=None)(photos(*shape))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_a_resnet_is_torchvisions():
    network, x = whole("resnet18"), photos(96, 128)
    with torch.no_grad():
        found = deep.off_the_shelf("resnet18", weights=None)(x)
        network.fc = nn.Identity()
        torch.testing.assert_close(found, unit(network(x)))
        stem = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        expected = network.layer2(network.layer1(stem))
        found = deep.Backbone("resnet18", "layer2", weights=None)(x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("name", "middle"), [("alexnet", "relu3"), ("vgg16", "relu3_3")])
def test_a_plain_network_is_torchvisions(name, middle):
    network, x = whole(name), photos(224, 224)
    with torch.no_grad():
        found = deep.off_the_shelf(name, weights=None)(x)
        fc7 = network.classifier[:-1](network.avgpool(network.features(x)).flatten(1))
        torch.testing.assert_close(found, unit(fc7))
        assert found.shape == (2, 4096)
        names = [layer.name for layer in deep.Backbone(name, weights=None).describe_layers()]
        expected = network.features[: names.index(middle) + 1](x)
        torch.testing.assert_close(deep.Backbone(name, middle, weights=None)(x), expected)


def test_names_of_layers_are_the_papers():
    names = [layer.name for layer in deep.Backbone("vgg16", weights=None).describe_layers()]
    assert names[:5] == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1"]
    assert names[-1] == "relu5_3"
    alexnet = deep.Backbone("alexnet", weights=None).describe_layers()
    assert [alexnet[2], alexnet[-1]] == [("pool1", 64, 8), ("relu5", 256, 16)]


def test_weights_come_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"resnet18-f37072fd\.pth"):
        deep.Backbone("resnet18")
    network = seeded(torchvision.models.resnet18)
    (tmp_path / "checkpoints").mkdir()
    torch.save(network.state_dict(), tmp_path / "checkpoints/resnet18-f37072fd.pth")
    x = photos(64, 64)
    with torch.no_grad():
        found = deep.Backbone("resnet18", random_state=5)(x)
        expected = deep.Backbone("resnet18", weights=None)(x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "convnext_atto", "regnety_002"])
def test_networks_of_timm(name, shape):
    backbone = deep.Backbone(f"timm/{name}", weights=None)
    network = seeded(lambda: timm.create_model(name, pretrained=False))
    with torch.no_grad():
        found = backbone(photos(*shape))
        if min(shape) >= backbone.smallest_side:
            torch.testing.assert_close(found, network.forward_features(photos(*shape)))
    assert found.shape[1] == backbone.channels
    assert found.isfinite().all()


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_networks_of_timm_are_cut_at_their_stages(name):
    x = photos(128, 192)
    layers = deep.Backbone(f"timm/{name}", weights=None).describe_layers()
    with torch.no_grad():
        for layer, channels, stride in layers:
            found = deep.Backbone(f"timm/{name}", layer, weights=None)(x)
            assert found.shape == (2, channels, 128 // stride, 192 // stride)


@pytest.mark.parametrize("file", ["model.safetensors", "model.pth"])
def test_weights_of_timm_come_from_a_file(file, tmp_path):
    from safetensors.torch import save_file

    network = seeded(lambda: timm.create_model("resnet18", pretrained=False))
    save = save_file if file.endswith("safetensors") else torch.save
    save(network.state_dict(), tmp_path / file)
    backbone = deep.Backbone("timm/resnet18", weights=tmp_path / file, random_state=5)
    with torch.no_grad():
        x = photos(64, 64)
        torch.testing.assert_close(backbone(x), network.forward_features(x))


def test_nothing_is_downloaded_from_a_hub(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="are not in the hub's cache"):
        deep.Backbone("timm/resnet18")
    with pytest.raises(ValueError, match="a network of timm"):
        deep.Backbone("timm/hf-hub:somebody/something", weights=None)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_networks_for_photos_of_one_size_are_refused(name):
    with pytest.raises(ValueError, match="photos of any size"):
        deep.Backbone(f"timm/{name}", weights=None)


def test_neither_is_imported_before_its_network_is_asked_for(monkeypatch):
    for module in "torchvision", "timm":
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"trouvaille\[vision\]"):
        deep.Backbone("resnet18")
