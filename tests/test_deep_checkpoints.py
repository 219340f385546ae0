# SPDX-License-Identifier: Apache-2.0
"""Networks of cirtorch and dirtorch, in files of just their layout, and one's own in files."""

import json
import pickle
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need PyTorch")
pytest.importorskip("safetensors", reason="networks are kept in its files")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from trouvaille import _files  # noqa: E402
from trouvaille.deep import (  # noqa: E402
    MAC,
    RMAC,
    Backbone,
    CroW,
    GeM,
    GlobalDescriptor,
    Projected,
    RegionalGeM,
    SPoC,
    Whitening,
    import_network,
    load_network,
    read_card,
    rmac_regions,
    save_network,
)
from trouvaille.deep.architecture import sequential  # noqa: E402
from trouvaille.deep.card import Card  # noqa: E402
from trouvaille.errors import CheckpointError  # noqa: E402

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
SCALES = (1.0, 2**-0.5, 0.5)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6)

    def forward(self, x):
        return torch.relu(self.bn1(self.conv1(x)))


def layers(seed=0):
    """A network with the layers of a ResNet, though few and small; some are learned."""
    torch.manual_seed(seed)
    made = {
        "conv1": nn.Conv2d(3, 4, 3, 1, 1, bias=False),
        "bn1": nn.BatchNorm2d(4),
        "relu": nn.ReLU(inplace=True),
        "layer1": nn.Sequential(Block()),
    }
    for norm in (made["bn1"], made["layer1"][0].bn1):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return made


def backbone(seed=1):
    """Where the weights go: of the same layers, and weights of its own."""
    return Backbone(sequential("small", layers(seed), "layer1", SPoC()))


def unit(x):
    return functional.normalize(x, dim=-1)


def features(made, x):
    with torch.no_grad():
        return nn.Sequential(*made.values()).eval()(x)


@pytest.fixture
def x():
    return torch.randn(2, 3, 40, 56, generator=torch.Generator().manual_seed(5))


def gem(cells, p):
    return cells.clamp(min=1e-6).pow(p).mean((-2, -1)).pow(1 / p)


def cirtorch(made, pooling, *, regional=False, whitening=False, Lw=None, **meta):
    """What cirtorch writes: see its `ImageRetrievalNet`."""
    net = nn.Module()
    net.features = nn.Sequential(*made.values())
    pool = nn.Module()
    if pooling == "gem":
        pool.p = nn.Parameter(torch.full((1,), 2.5))
    if regional:
        net.pool = nn.Module()
        net.pool.rpool, net.pool.whiten = pool, nn.Linear(6, 6)
    else:
        net.pool = pool
    net.whiten = nn.Linear(6, 6) if whitening else None
    about = {
        "architecture": "resnet50",
        "local_whitening": False,
        "pooling": pooling,
        "regional": regional,
        "whitening": whitening,
        "mean": MEAN,
        "std": STD,
        "outputdim": 6,
        **({} if Lw is None else {"Lw": Lw}),
        **meta,
    }
    return {"meta": about, "state_dict": net.state_dict()}, net


def learned(rng, size=6):
    return {"m": rng.normal(size=(size, 1)) * 0.1, "P": rng.normal(size=(size, size))}


@pytest.mark.parametrize("new", [True, False])
def test_cirtorch_gem(tmp_path, x, new):
    content, _ = cirtorch(made := layers(), "gem")
    content.update(epoch=3, min_loss=np.float64(0.5), optimizer={"state": {0: torch.ones(1)}})
    torch.save(content, tmp_path / "n.pth", _use_new_zipfile_serialization=new)
    model = import_network(tmp_path / "n.pth", backbone=backbone())
    with torch.no_grad():
        torch.testing.assert_close(model(x), unit(gem(features(made, x), 2.5)))
    assert model.backbone.mean == tuple(MEAN)
    assert model.backbone.std == tuple(STD)
    assert isinstance(model.pooling, GeM)


@pytest.mark.parametrize(("name", "pool"), [("mac", torch.amax), ("spoc", torch.mean)])
def test_cirtorch_mac_and_spoc(tmp_path, x, name, pool):
    content, _ = cirtorch(made := layers(), name)
    torch.save(content, tmp_path / "n.pth")
    model = import_network(tmp_path / "n.pth", backbone=backbone())
    with torch.no_grad():
        torch.testing.assert_close(model(x), unit(pool(features(made, x), (2, 3))))


def of_regions(cells, pool, whiten):
    boxes = rmac_regions(*cells.shape[2:], include_global=True).tolist()
    vectors = [unit(pool(cells[:, :, y1:y2, x1:x2])) for x1, y1, x2, y2 in boxes]
    return unit(sum(unit(whiten(v)) for v in vectors))


@pytest.mark.parametrize(("name", "regional"), [("rmac", False), ("mac", True), ("gem", True)])
def test_cirtorch_regions(tmp_path, x, name, regional):
    content, net = cirtorch(made := layers(), name, regional=regional)
    torch.save(content, tmp_path / "n.pth")
    model = import_network(tmp_path / "n.pth", backbone=backbone())
    whiten = net.pool.whiten if regional else nn.Identity()
    kind = RegionalGeM if name == "gem" else RMAC
    assert isinstance(model.pooling, kind)
    with torch.no_grad():
        pool = (lambda r: gem(r, 2.5)) if name == "gem" else (lambda r: r.amax((2, 3)))
        torch.testing.assert_close(model(x), of_regions(features(made, x), pool, whiten))


def test_cirtorch_whitens_each_scale_where_that_was_trained(tmp_path, x):
    content, net = cirtorch(made := layers(), "gem", whitening=True)
    torch.save(content, tmp_path / "n.pth")
    model = import_network(tmp_path / "n.pth", scales=SCALES, backbone=backbone())
    with torch.no_grad():
        vectors = [
            unit(net.whiten(unit(gem(features(made, scaled(x, scale)), 2.5)))) for scale in SCALES
        ]
        torch.testing.assert_close(model(x), unit(torch.stack(vectors).mean(0)))


def scaled(x, scale):
    if scale == 1:
        return x
    sides = [int(side * scale) for side in x.shape[2:]]
    return functional.interpolate(x, sides, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("scales", [(1.0,), SCALES])
@pytest.mark.parametrize("n_components", [None, 3])
def test_cirtorch_learned_whitening(tmp_path, rng, x, scales, n_components):
    Lw = {"retrieval-SfM-120k": {"ss": learned(rng), "ms": learned(rng)}}
    content, _ = cirtorch(made := layers(), "gem", Lw=Lw)
    torch.save(content, tmp_path / "n.pth")
    options = {"scales": scales, "n_components": n_components, "backbone": backbone()}
    model = import_network(tmp_path / "n.pth", whitening="retrieval-SfM-120k", **options)
    p = 2.5 if len(scales) > 1 else 1
    vectors = [unit(gem(features(made, scaled(x, s)), 2.5)).pow(p) for s in scales]
    vector = unit(torch.stack(vectors).mean(0).pow(1 / p)).numpy()
    whitening = Lw["retrieval-SfM-120k"]["ms" if len(scales) > 1 else "ss"]
    wanted = (vector - whitening["m"].T) @ whitening["P"][:n_components].T
    with torch.no_grad():
        found = model(x).numpy()
    np.testing.assert_allclose(
        found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=2e-6
    )


def pca_of(rng, monkeypatch):
    """A PCA as scikit-learn 0.20 pickled it, without scikit-learn."""
    name = "sklearn.decomposition.pca"
    module = types.ModuleType(name)
    module.PCA = type("PCA", (), {"__module__": name})
    monkeypatch.setitem(sys.modules, name, module)
    pca = module.PCA()
    vars(pca).update(
        n_components=None, copy=True, whiten=True, svd_solver="full", tol=0.0,
        iterated_power="auto", random_state=None, n_samples_=100, n_features_=5, n_components_=5,
        mean_=rng.normal(size=5).astype(np.float32) * 0.1,
        components_=np.linalg.qr(rng.normal(size=(5, 5)))[0].astype(np.float32),
        explained_variance_=np.array([5, 4, 3, 2, 1], np.float32),
        noise_variance_=np.float32(0), _sklearn_version="0.20.2",
    )  # fmt: skip
    return pca


def dirtorch(made, pooling="gem", parallel=True, **options):
    """What dirtorch writes: see its `ResNet_RMAC`."""
    net = nn.Module()
    for name, module in made.items():
        setattr(net, name, module)
    net.adpool = nn.Module()
    if pooling == "gem":
        net.adpool.p = nn.Parameter(torch.full((1,), 3.5))
    net.fc = nn.Linear(6, 5)
    front = "module." if parallel else ""
    state = OrderedDict((front + name, value) for name, value in net.state_dict().items())
    model_options = {"arch": "resnet101_rmac", "out_dim": 5, "pooling": pooling, "gemp": 3}
    return {"state_dict": state, "model_options": model_options | options, "current_iter": 296}, net


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("norm_features", [True, False])
@pytest.mark.parametrize("pooling", ["gem", "max"])
def test_dirtorch(tmp_path, rng, monkeypatch, x, parallel, norm_features, pooling):
    made = layers()
    content, net = dirtorch(made, pooling, parallel, norm_features=norm_features)
    content["pca"] = {"Landmarks_clean": (pca := pca_of(rng, monkeypatch))}
    content["preprocess"] = {"mean": MEAN, "std": STD, "input_size": 224}
    torch.save(content, tmp_path / "R.pt", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(tmp_path / "R.pt.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "R.pt", "Resnet-101-AP-GeM.pt")
    monkeypatch.undo()
    pooled = gem(features(made, x), 3.5) if pooling == "gem" else features(made, x).amax((2, 3))
    with torch.no_grad():
        vector = unit(net.fc(unit(pooled) if norm_features else pooled))
        plain = import_network(tmp_path / "R.pt.zip", backbone=backbone())
        torch.testing.assert_close(plain(x), vector)
    assert plain.backbone.mean == tuple(MEAN)
    for power in (0.25, 0.5):
        model = import_network(
            tmp_path / "R.pt", whitening="Landmarks_clean", whitening_power=power,
            n_components=4, backbone=backbone(),
        )  # fmt: skip
        whitened = (vector.numpy() - pca.mean_) @ pca.components_[:4].T
        whitened /= pca.explained_variance_[:4] ** power
        with torch.no_grad():
            torch.testing.assert_close(
                model(x), unit(torch.from_numpy(whitened)), rtol=0, atol=2e-6
            )


# ---- What is refused


def shared_lists(levels):
    """Lists of the one before, ten times: a few bytes in a file, and endless when printed."""
    value = ["x"]
    for _ in range(levels):
        value = [value] * 10
    return value


@pytest.mark.parametrize("value", [None, 3, ["gem"], ("gem",), shared_lists(25)])
def test_what_should_be_text_is_not_even_printed(tmp_path, value):
    content, _ = cirtorch(layers(), "gem")
    content["meta"]["pooling"] = value
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="a pooling that is no text"):
        import_network(tmp_path / "c.pth", backbone=backbone())
    for name in ("arch", "pooling"):
        content, _ = dirtorch(layers())
        content["model_options"][name] = value
        torch.save(content, tmp_path / "d.pt")
        with pytest.raises(CheckpointError, match=f"has a {name} that is no text"):
            import_network(tmp_path / "d.pt", backbone=backbone())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"local_whitening": True}, "whitens each cell"),
        ({"pooling": "netvlad"}, "pools by 'netvlad'"),
        ({"pooling": "spoc", "regional": True}, "pools by 'spoc' in regions"),
        ({"mean": None}, "no mean"),
        ({"mean": [1.0, float("nan"), 0.0]}, "not finite"),
        ({"mean": [0.4, 0.5]}, "three colours"),
        ({"mean": "abc"}, "three colours"),
        ({"mean": ["0.4", "0.5", "0.6"]}, "no number"),
        ({"mean": [True, 0.5, 0.6]}, "no number"),
        ({"mean": [torch.ones(2), 0.5, 0.6]}, "no number"),
        ({"mean": [10**400, 0.5, 0.6]}, "not finite"),
        ({"std": [0.2, 0.3, 0.25, 1.0]}, "three colours"),
        ({"std": [0.2, 0.0, 0.25]}, "not positive"),
        ({"std": [0.2, -0.1, 0.25]}, "not positive"),
        ({"std": [0.2, 1e31, 0.25]}, "not finite"),
        ({"std": {0.2: 1}}, "key of type float"),
        ({"local_whitening": torch.ones(2)}, "a local_whitening that is neither true nor false"),
        ({"regional": np.ones(2)}, "a regional that is neither"),
        ({"whitening": []}, "a whitening that is neither"),
        ({"outputdim": 2048}, "its outputdim is 2048, but its network's is 6"),
        ({"outputdim": "6"}, "its outputdim is no number"),
        ({"Lw": {"x": {"ss": {"m": np.zeros((5, 1)), "P": np.eye(5)}}}}, "takes 5 numbers, not 6"),
        ({"Lw": {}}, "no whitening 'x'; it has none at all"),
        ({"Lw": {"x": {"ms": {}}}}, "without ss"),
        ({"Lw": {"x": {"ss": {"m": np.zeros((6, 1)), "P": np.zeros((3, 5))}}}}, "shapes"),
    ],
)
def test_a_cirtorch_network_that_is_not_built_here_is_an_error(tmp_path, changes, message):
    content, _ = cirtorch(layers(), "gem", regional=changes.get("regional") is True)
    content["meta"].update(changes)
    torch.save(content, tmp_path / "n.pth")
    whitening = "x" if "Lw" in changes else None
    with pytest.raises(CheckpointError, match=message):
        import_network(tmp_path / "n.pth", whitening=whitening, backbone=backbone())


BAD = [float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("part", ["m", "P"])
@pytest.mark.parametrize("kind", [np.float64, np.float32, torch.float32, torch.bfloat16])
def test_a_whitening_that_is_not_finite_is_an_error(tmp_path, rng, bad, part, kind):
    Lw = learned(rng)
    Lw[part][2, 0] = bad
    Lw = {name: of_kind(value, kind) for name, value in Lw.items()}
    content, _ = cirtorch(layers(), "gem", Lw={"x": {"ss": Lw}})
    torch.save(content, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="a whitening with NaN or infinity"):
        import_network(tmp_path / "n.pth", whitening="x", backbone=backbone())


def of_kind(array, kind):
    return torch.from_numpy(array).to(kind) if isinstance(kind, torch.dtype) else array.astype(kind)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_whitening_of_tensors_is_read(tmp_path, rng, x, dtype):
    Lw = {name: of_kind(value, dtype) for name, value in learned(rng).items()}
    content, _ = cirtorch(made := layers(), "mac", Lw={"x": {"ss": Lw}})
    torch.save(content, tmp_path / "n.pth")
    model = import_network(tmp_path / "n.pth", whitening="x", backbone=backbone())
    vector = unit(features(made, x).amax((2, 3))).double()
    wanted = unit((vector - Lw["m"].double().T) @ Lw["P"].double().T)
    with torch.no_grad():
        torch.testing.assert_close(model(x), wanted.float())


@pytest.mark.parametrize("value", [np.full((6, 6), 1e39), torch.ones(6, 6, dtype=torch.int64), "P"])
def test_a_whitening_that_no_layer_can_hold_is_an_error(tmp_path, rng, value):
    Lw = {"x": {"ss": learned(rng) | {"P": value}}}
    content, _ = cirtorch(layers(), "gem", Lw=Lw)
    torch.save(content, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="a whitening that is"):
        import_network(tmp_path / "n.pth", whitening="x", backbone=backbone())


@pytest.mark.parametrize("bad", [*BAD, 1e39])
@pytest.mark.parametrize("layout", [cirtorch, dirtorch])
def test_weights_that_are_not_finite_are_an_error(tmp_path, bad, layout):
    content, _ = layout(layers(), "gem")
    name = next(name for name in content["state_dict"] if name.endswith("0.conv1.weight"))
    content["state_dict"][name] = content["state_dict"][name].double()
    content["state_dict"][name][0, 1, 2, 2] = bad
    torch.save(content, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match=r"NaN or infinity .* in '.*0\.conv1\.weight'"):
        import_network(tmp_path / "n.pth", backbone=backbone())


def without_p(content):
    del content["state_dict"]["pool.p"]


def without_weights(content):
    del content["state_dict"]["features.0.weight"]


@pytest.mark.parametrize("damage", [without_p, without_weights])
def test_a_backbone_is_as_it_was_where_an_import_fails(tmp_path, damage):
    content, _ = cirtorch(layers(), "gem")
    damage(content)
    torch.save(content, tmp_path / "n.pth")
    given, same = backbone(), backbone()
    with pytest.raises(CheckpointError):
        import_network(tmp_path / "n.pth", backbone=given)
    assert (given.mean, given.std) == (same.mean, same.std)
    assert given.mean != tuple(MEAN)
    for name, value in same.state_dict().items():
        assert torch.equal(given.state_dict()[name], value)


def test_a_backbone_is_as_it_was_where_loading_fails(tmp_path):
    model = GlobalDescriptor(backbone(), GeM())
    model.backbone.mean = tuple(MEAN)
    save_network(model, tmp_path / "n")
    other = Backbone(sequential("other", {"conv1": nn.Conv2d(3, 4, 3)}, "conv1", SPoC()))
    mean = other.mean
    with pytest.raises(CheckpointError):
        load_network(tmp_path / "n", other)
    assert other.mean == mean
    assert load_network(tmp_path / "n", backbone()).backbone.mean == tuple(MEAN)


def test_a_name_of_no_whitening_lists_those_there_are(tmp_path, rng):
    content, _ = cirtorch(layers(), "gem", Lw={"retrieval-SfM-30k": {"ss": learned(rng)}})
    torch.save(content, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="it has retrieval-SfM-30k"):
        import_network(tmp_path / "n.pth", whitening="Landmarks_clean", backbone=backbone())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"center_bias": 0.1}, "prefers the centre"),
        ({"pooling": "rmac"}, "pools by 'rmac'"),
        ({"arch": "senet154_rmac"}, "architecture 'senet154'"),
        ({"center_bias": torch.ones(2)}, "a center_bias that is neither"),
        ({"without_fc": np.ones(2)}, "a without_fc that is neither"),
        ({"norm_features": []}, "a norm_features that is neither"),
    ],
)
def test_a_dirtorch_network_that_is_not_built_here_is_an_error(tmp_path, changes, message):
    content, _ = dirtorch(layers())
    content["model_options"].update(changes)
    torch.save(content, tmp_path / "n.pt")
    given = None if "arch" in changes else backbone()
    with pytest.raises(CheckpointError, match=message):
        import_network(tmp_path / "n.pt", backbone=given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean_": np.full(5, np.nan)}, "NaN or infinity"),
        ({"components_": "none"}, "a whitening that is none"),
        ({"components_": np.float32(2)}, "a whitening that is none"),
        ({"components_": np.ones(5)}, "variances do not fit"),
        ({"explained_variance_": np.zeros(5)}, "variances do not fit"),
        ({"explained_variance_": np.ones(4)}, "variances do not fit"),
        ({"explained_variance_": None}, "a whitening that is none"),
        ({"whiten": np.ones(2)}, "a whiten that is neither"),
    ],
)
def test_a_pca_that_is_none_is_an_error(tmp_path, rng, monkeypatch, changes, message):
    content, _ = dirtorch(layers())
    pca = pca_of(rng, monkeypatch)
    vars(pca).update(changes)
    content["pca"] = {"x": pca}
    torch.save(content, tmp_path / "n.pt")
    with pytest.raises(CheckpointError, match=message):
        import_network(tmp_path / "n.pt", whitening="x", backbone=backbone())


def test_a_checkpoint_of_another_architecture_names_what_differs(tmp_path):
    content, _ = cirtorch(layers(), "gem")
    state = content["state_dict"]
    state["features.0.weight"] = torch.zeros(4, 3, 5, 5)
    del state["features.1.bias"]
    state["features.3.1.conv1.weight"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(1)
    torch.save(content, tmp_path / "n.pth")
    with pytest.raises(CheckpointError) as caught:
        import_network(tmp_path / "n.pth", backbone=backbone())
    message = str(caught.value)
    assert "missing: backbone.layers.bn1.bias;" in message
    assert "unexpected: backbone.layers.layer1.1.conv1.weight, head.weight;" in message
    assert "backbone.layers.conv1.weight of shape (4, 3, 5, 5), not (4, 3, 3, 3)" in message


def test_counts_of_batches_may_be_missing(tmp_path, x):
    content, _ = cirtorch(made := layers(), "mac")
    state = content["state_dict"]
    for name in [name for name in state if name.endswith("num_batches_tracked")]:
        del state[name]
    torch.save(content, tmp_path / "n.pth")
    with torch.no_grad():
        found = import_network(tmp_path / "n.pth", backbone=backbone())(x)
    torch.testing.assert_close(found, unit(features(made, x).amax((2, 3))))


@pytest.mark.parametrize("content", [3, {}, {"state_dict": {}}, {"meta": {}, "state_dict": {}}])
def test_what_is_of_neither_layout_is_an_error(tmp_path, content):
    torch.save(content, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="no known layout"):
        import_network(tmp_path / "n.pth")


def test_a_state_that_is_none_is_an_error(tmp_path):
    content, _ = cirtorch(layers(), "gem")
    content["state_dict"] = {"features.0.weight": 3}
    torch.save(content, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="more than tensors by name"):
        import_network(tmp_path / "n.pth", backbone=backbone())


# ---- One's own files

POOLINGS = [
    MAC(),
    SPoC(),
    CroW(),
    GeM(2.7),
    GeM(2.7, trainable=True),
    RMAC(2, 0.3, True),
    RMAC(whitening=Whitening(6, 4)),
    RegionalGeM(4, levels=2),
    Projected(GeM(3.3), 6, 5),
    Projected(RMAC(whitening=Whitening(6, 4)), 4, 3, unit=False),
]


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda pooling: type(pooling).__name__)
@pytest.mark.parametrize("whitened", [False, True])
def test_a_network_comes_back_with_the_same_numbers(tmp_path, x, pooling, whitened):
    outputs = GlobalDescriptor(backbone(), pooling)(x).shape[1]
    whitening = Whitening(outputs, 2) if whitened else None
    model = GlobalDescriptor(backbone(), pooling, whitening, SCALES, scale_power=2)
    file = save_network(model, tmp_path / "net.v1", licence="CC-BY-4.0", source="a paper")
    assert file == tmp_path / "net.v1.safetensors"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "net.v1.json",
        "net.v1.safetensors",
    ]
    loaded = load_network(tmp_path / "net.v1", backbone(2))
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))
    card = read_card(file)
    assert Card.from_json((tmp_path / "net.v1.json").read_text()) == card
    assert (card.architecture, card.layer, card.licence) == ("small", "layer1", "CC-BY-4.0")
    assert (card.source, card.scales, card.scale_power) == ("a paper", SCALES, 2)
    assert card.outputdim == model(x).shape[1]


@pytest.mark.parametrize("step", range(4))
def test_no_card_speaks_of_other_weights_wherever_saving_ends(tmp_path, x, monkeypatch, step):
    old, new = GlobalDescriptor(backbone(1), GeM(2)), GlobalDescriptor(backbone(2), GeM(3))
    save_network(old, tmp_path / "n", source="old")
    done = []

    def until(operation):
        def interrupted(*arguments):
            if len(done) == step:
                raise KeyboardInterrupt
            done.append(operation)
            operation(*arguments)

        return interrupted

    for name in ("remove", "replace"):
        monkeypatch.setattr(_files, name, until(getattr(_files, name)))
    if step == 3:
        save_network(new, tmp_path / "n", source="new")
    else:
        with pytest.raises(KeyboardInterrupt):
            save_network(new, tmp_path / "n", source="new")
    card = read_card(tmp_path / "n")
    beside = tmp_path / "n.json"
    assert beside.exists() == (step in (0, 3))
    assert not beside.exists() or Card.from_json(beside.read_text()) == card
    wanted = old if card.source == "old" else new
    assert (wanted is new) == (step > 1)
    with torch.no_grad():
        assert torch.equal(load_network(tmp_path / "n", backbone())(x), wanted(x))


def test_what_was_imported_is_saved_and_loaded(tmp_path, rng, x):
    Lw = {"retrieval-SfM-120k": {"ss": learned(rng)}}
    content, _ = cirtorch(layers(), "gem", whitening=True, Lw=Lw)
    torch.save(content, tmp_path / "n.pth")
    model = import_network(tmp_path / "n.pth", whitening="retrieval-SfM-120k", backbone=backbone())
    save_network(model, tmp_path / "n", source="cirtorch")
    loaded = load_network(tmp_path / "n", backbone(2))
    assert loaded.backbone.mean == tuple(MEAN)
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))


def test_a_named_backbone_is_built_again(tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch", reason="has the network")
    model = GlobalDescriptor(Backbone("efficientnet_lite0", "block_3", None), GeM())
    save_network(model, tmp_path / "n")
    loaded = load_network(tmp_path / "n")
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))


def test_a_card_of_a_layer_that_its_architecture_has_not_says_so(tmp_path):
    pytest.importorskip("efficientnet_lite_pytorch", reason="has the network")
    made = Backbone("efficientnet_lite0", "block_3", None)
    made.layer = "block_99"
    save_network(GlobalDescriptor(made, GeM()), tmp_path / "n")
    message = r"a layer that efficientnet_lite0 has not: layer must be one of .*, got 'block_99'"
    with pytest.raises(CheckpointError, match=message) as caught:
        load_network(tmp_path / "n")
    assert "backbone of its own" not in str(caught.value)


def test_a_network_whose_parts_do_not_fit_together_is_an_error(tmp_path):
    pooling = Projected(RMAC(whitening=Whitening(6, 4)), 5, 3)
    with pytest.raises(ValueError, match="its linear of the pooling takes 5 numbers, not 4"):
        save_network(GlobalDescriptor(backbone(), pooling), tmp_path / "n")
    unnamed = backbone()
    del unnamed.channels
    with pytest.raises(TypeError, match="names its channels"):
        save_network(GlobalDescriptor(unnamed, GeM()), tmp_path / "n")


@pytest.mark.parametrize("layer", [None, "head", "block_3"])
def test_a_network_that_was_padded_otherwise_is_not_taken_for_ours(tmp_path, layer):
    pytest.importorskip("efficientnet_lite_pytorch", reason="has the network")
    model = GlobalDescriptor(Backbone("efficientnet_lite0", layer, None), GeM())
    as_of_before(save_network(model, tmp_path / "n"))
    with pytest.raises(CheckpointError, match="pads by a photo's size"):
        load_network(tmp_path / "n")


def test_other_networks_of_before_are_loaded(tmp_path, x):
    model = GlobalDescriptor(backbone(), GeM())
    as_of_before(save_network(model, tmp_path / "n"))
    with torch.no_grad():
        assert torch.equal(load_network(tmp_path / "n", backbone(2))(x), model(x))


def as_of_before(file):
    """Make a saved network one of the first version."""
    from safetensors.torch import load_file, save_file

    text = json.dumps({**json.loads(file.with_suffix(".json").read_text()), "version": 1})
    file.with_suffix(".json").write_text(text)
    save_file(load_file(file), file, {"trouvaille": text})


def test_files_of_another_network_or_none_are_errors(tmp_path):
    save_network(GlobalDescriptor(backbone(), GeM()), tmp_path / "n")
    with pytest.raises(CheckpointError, match="give it as backbone"):
        load_network(tmp_path / "n")
    other = sequential("other", {"conv1": nn.Conv2d(3, 4, 3)}, "conv1", SPoC())
    with pytest.raises(CheckpointError, match=r"missing: .*; unexpected: .*bn1\.bias"):
        load_network(tmp_path / "n", Backbone(other))
    with pytest.raises(FileNotFoundError):
        load_network(tmp_path / "m")
    with pytest.raises(TypeError, match="must be a GlobalDescriptor"):
        save_network(backbone(), tmp_path / "m")
    with pytest.raises(TypeError, match="pooling must be one of"):
        save_network(GlobalDescriptor(backbone(), nn.Flatten()), tmp_path / "m")
    assert not (tmp_path / "m.safetensors").exists()


def test_a_damaged_file_is_an_error(tmp_path, rng):
    file = save_network(GlobalDescriptor(backbone(), GeM()), tmp_path / "n")
    data = file.read_bytes()
    for end in (0, 1, 8, 100, len(data) - 1):
        file.write_bytes(data[:end])
        with pytest.raises(CheckpointError):
            load_network(file, backbone())
    for _ in range(200):
        changed = bytearray(data)
        for place in rng.integers(0, 1500, 2):
            changed[place] = rng.integers(256)
        file.write_bytes(changed)
        try:
            load_network(file, backbone())
        except CheckpointError:
            continue


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "version 1 or 2"),
        ({"extra": 1}, "must have"),
        ({"pooling": {"name": "NetVLAD"}}, "must be one of"),
        ({"pooling": {"name": "GeM", "p": 3}}, "GeM of its card must have"),
        ({"pooling": {"name": "GeM", "p": -3, "eps": 1}}, "p must be positive"),
        ({"whitening": {"in_features": 6, "out_features": 1 << 40, "norm": "l2"}}, "sizes"),
        ({"whitening": {"in_features": 1 << 20, "out_features": 1 << 20, "norm": "l2"}}, "sizes"),
        ({"scales": [float("1e999")]}, "finite|JSON"),
        ({"scales": [None]}, "finite numbers"),
        ({"scales": [10**400]}, "finite numbers"),
        ({"mean": [[1], 2, 3]}, "finite numbers"),
        ({"std": [0, 0, 0]}, "std of its card must be positive"),
        ({"scales": "1"}, "numbers"),
        ({"mean": [1]}, "3 numbers"),
        ({"licence": None}, "text"),
        ({"outputdim": 7}, "a card of outputdim 7, its network 6"),
    ],
)
def test_a_card_that_is_none_is_an_error(tmp_path, changes, message):
    from safetensors.torch import load_file, save_file

    file = save_network(GlobalDescriptor(backbone(), GeM()), tmp_path / "n")
    text = json.dumps({**json.loads(file.with_suffix(".json").read_text()), **changes})
    save_file(load_file(file), file, {"trouvaille": text})
    with pytest.raises(CheckpointError, match=message):
        load_network(file, backbone())


def test_a_file_without_a_card_is_an_error(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.ones(1)}, tmp_path / "n.safetensors")
    with pytest.raises(CheckpointError, match="has no card"):
        load_network(tmp_path / "n")


def test_networks_in_pickles_with_code_are_refused(tmp_path):
    class Code:
        def __reduce__(self):
            return (eval, ("1 / 0",))

    content, _ = cirtorch(layers(), "gem")
    content["meta"]["note"] = Code()
    torch.save(content, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="may be code"):
        import_network(tmp_path / "n.pth", backbone=backbone())
    (tmp_path / "p.pt").write_bytes(pickle.dumps({"model_options": Code(), "state_dict": {}}))
    with pytest.raises(CheckpointError, match="may be code"):
        import_network(tmp_path / "p.pt")
