# SPDX-License-Identifier: Apache-2.0
"""DELF in files: its network, its attention, and what reduces its descriptors."""

import json

import numpy as np
import pytest

from deep_cases import deep, nn, small_network, torch
from trouvaille.aggregate import PCAWhitening
from trouvaille.errors import CheckpointError

safetensors = pytest.importorskip("safetensors.torch", reason="networks are kept in its files")

LEARNED = "reduction.explained_variance"


def backbone():
    return deep.Backbone(small_network())


def attention():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return deep.Attention(8, 4)


def learned(rng, **options):
    return PCAWhitening(3, **options).fit(rng.normal(size=(50, 8)).astype(np.float32))


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (96, 120, 3), np.uint8)


@pytest.fixture
def model(rng):
    return deep.DELF(
        backbone(),
        attention(),
        (0.3, 0.7),
        50,
        min_score=0.5,
        overlap=0.8,
        pca=learned(rng, whitening_power=0.25),
        dims=5,
    )


def assert_same(one, other, photo):
    for a, b in zip(one.extract(photo), other.extract(photo), strict=True):
        np.testing.assert_array_equal(a, b)
    assert deep.DELFDetector(one).fingerprint == deep.DELFDetector(other).fingerprint


def test_it_comes_back_with_the_same_features(tmp_path, model, photo):
    file = deep.save_network(model, tmp_path / "local", licence="MIT", source="a thesis")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local.json", "local.safetensors"]
    loaded = deep.load_network(tmp_path / "local", backbone())
    assert isinstance(loaded, deep.DELF)
    assert_same(loaded, model, photo)
    names = ("scales", "max_features", "min_score", "overlap", "dims")
    assert [getattr(loaded, n) for n in names] == [getattr(model, n) for n in names]
    assert loaded.pca.get_params() == model.pca.get_params()
    card = deep.read_card(file)
    assert card == deep.DELFCard.from_json((tmp_path / "local.json").read_text())
    assert (card.kind, card.architecture, card.layer) == ("DELF", "small", "third")
    assert card.attention == {"name": "Attention", "channels": 8, "hidden": 4}
    assert card.pca == {"in_features": 8, "out_features": 3}
    assert (card.outputdim, card.licence, card.source) == (3, "MIT", "a thesis")


def test_before_anything_is_learned(tmp_path, photo):
    model = deep.DELF(backbone(), scales=(0.5,))
    deep.save_network(model, tmp_path / "local")
    loaded = deep.load_network(tmp_path / "local", backbone())
    assert loaded.pca is None
    assert_same(loaded, model, photo)
    card = deep.read_card(tmp_path / "local")
    assert (card.attention, card.pca, card.outputdim) == ({"name": "NormAttention"}, None, 8)


def test_a_named_backbone_is_made_anew(tmp_path, photo):
    pytest.importorskip("efficientnet_lite_pytorch", reason="its architecture is a package")
    model = deep.DELF(deep.Backbone("efficientnet_lite0", "block_3", weights=None)).fit(photo)
    deep.save_network(model, tmp_path / "local")
    assert_same(deep.load_network(tmp_path / "local"), model, photo)


def test_what_was_learned_is_among_the_weights(model, photo, rng):
    fresh = deep.DELF(backbone(), attention(), (0.3, 0.7), 50, min_score=0.5, overlap=0.8)
    fresh.load_state_dict(model.state_dict())
    assert_same(fresh, model, photo)
    other = learned(rng, norm=None)
    fresh.pca = other
    np.testing.assert_array_equal(fresh.pca.components_, other.components_)
    assert fresh.pca.norm is None
    with pytest.raises(RuntimeError, match=r"Missing key.*reduction\.mean"):
        fresh.load_state_dict(deep.DELF(backbone(), attention()).state_dict())
    fresh.pca = None
    assert not any(name.startswith("reduction") for name in fresh.state_dict())


def test_what_was_learned_is_a_copy_in_its_own_types(model):
    before = model.pca
    model.double().half()
    after = model.pca
    assert (after.mean_.dtype, after.components_.dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(after.mean_, before.mean_)
    after.mean_[:] = 7
    np.testing.assert_array_equal(model.pca.mean_, before.mean_)


def test_only_what_was_fitted_is_taken():
    with pytest.raises(ValueError, match="call fit first"):
        deep.DELF(backbone(), pca=PCAWhitening(3))


@pytest.mark.parametrize(
    "part", ["reduction.mean", LEARNED, "reduction.unit", "attention.score.bias"]
)
def test_a_weight_that_is_missing_is_named(tmp_path, model, part):
    state, card = saved(tmp_path, model)
    del state[part]
    write(tmp_path, state, card)
    with pytest.raises(CheckpointError, match=f"missing: {part}"):
        deep.load_network(tmp_path / "x", backbone())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (LEARNED, [1.0, 0.0, 1.0]),
        (LEARNED, [1.0, float("nan"), 1.0]),
        ("reduction.mean", [float("inf")] * 8),
        ("reduction.whitening_power", 3.0),
    ],
)
def test_what_cannot_have_been_learned_is_an_error(tmp_path, model, name, value):
    state, card = saved(tmp_path, model)
    state[name] = torch.tensor(value, dtype=torch.float64)
    write(tmp_path, state, card)
    with pytest.raises(CheckpointError, match="reduction is no fitted PCAWhitening"):
        deep.load_network(tmp_path / "x", backbone())
    with pytest.raises(RuntimeError, match="reduction is no fitted PCAWhitening"):
        model.load_state_dict(state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "R-MAC"}, "must have"),
        ({"version": 3}, "version 1 or 2"),
        ({"scales": []}, "scales must be at least one"),
        ({"scales": ["1"]}, "finite numbers"),
        ({"max_features": 0}, "max_features must be"),
        ({"max_features": 1e3}, "whole numbers"),
        ({"dims": True}, "whole numbers"),
        ({"min_score": None}, "finite numbers"),
        ({"overlap": 2}, "overlap must be between"),
        ({"attention": {"name": "NormAttention"}}, "unexpected: attention.hidden.bias"),
        ({"attention": {"name": "os.system"}}, "attention of its card"),
        ({"attention": ["NormAttention"]}, "attention of its card"),
        ({"attention": {"name": "Attention", "channels": 9, "hidden": 4}}, "takes 9 channels"),
        ({"attention": {"name": "Attention", "channels": 8, "hidden": 1 << 40}}, "sizes"),
        ({"pca": None}, "outputdim of its card is 3"),
        ({"pca": {"in_features": 8}}, "pca of its card must have"),
        ({"pca": {"in_features": 9, "out_features": 3}}, "takes 9 channels"),
        ({"pca": {"in_features": 8, "out_features": 4}}, "outputdim of its card is 3"),
        ({"pca": {"in_features": 8, "out_features": -1}}, "sizes of its card"),
        ({"mean": [1, 2]}, "3 numbers"),
        ({"extra": 1}, "must have"),
        ({"layer": 3}, "must be text"),
    ],
)
def test_a_card_that_is_not_the_network_s_is_an_error(tmp_path, model, changes, message):
    state, card = saved(tmp_path, model)
    write(tmp_path, state, card | changes)
    with pytest.raises(CheckpointError, match=message):
        deep.load_network(tmp_path / "x", backbone())


def test_what_a_card_cannot_describe_is_not_saved(tmp_path):
    class Own(nn.Module):
        def forward(self, x):
            return x[:, :1]

    with pytest.raises(TypeError, match="attention must be an Attention or a NormAttention"):
        deep.save_network(deep.DELF(backbone(), Own()), tmp_path / "x")
    with pytest.raises(TypeError, match="must have a Backbone"):
        deep.save_network(deep.DELF(nn.Conv2d(3, 4, 3)), tmp_path / "x")
    with pytest.raises(TypeError, match="must be a GlobalDescriptor or a DELF"):
        deep.save_network(backbone(), tmp_path / "x")
    assert not list(tmp_path.iterdir())


def saved(folder, model):
    file = deep.save_network(model, folder / "good")
    return safetensors.load_file(file), json.loads((folder / "good.json").read_text())


def write(folder, state, card):
    safetensors.save_file(state, folder / "x.safetensors", {"trouvaille": json.dumps(card)})
