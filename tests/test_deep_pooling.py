# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import reference_deep as reference
from deep_cases import deep, torch
from trouvaille.aggregate import LearnedWhitening, PCAWhitening

SHAPES = [(1, 1), (1, 2), (1, 50), (2, 3), (7, 7), (9, 5), (6, 22), (20, 15), (33, 4)]
WHERE = [{}, {"include_global": True}, {"levels": 5, "overlap": 0.6}]


def activations(rng, shape, channels=6, batch=2):
    """As after a ReLU: about half of the cells are zero, and one channel is."""
    x = np.maximum(rng.normal(size=(batch, channels, *shape)), 0)
    x[:, -1] = 0
    return x.astype(np.float32)


def methods():
    yield deep.MAC(), reference.mac
    yield deep.SPoC(), reference.spoc
    yield deep.GeM(), reference.gem
    yield deep.GeM(1.7, eps=0.1), lambda x: reference.gem(x, 1.7, 0.1)
    yield deep.CroW(), reference.crow
    for where in WHERE:
        yield deep.RMAC(**where), lambda x, w=where: reference.regional(x, reference.mac, **w)
        yield (
            deep.RegionalGeM(2.5, **where),
            lambda x, w=where: reference.regional(x, lambda r: reference.gem(r, 2.5), **w),
        )


METHODS = [pytest.param(*pair, id=f"{pair[0]}") for pair in methods()]
EACH = [deep.MAC, deep.SPoC, deep.GeM, deep.CroW, deep.RMAC, deep.RegionalGeM]


def unit(x):
    return torch.nn.functional.normalize(x, dim=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("pooling", "meaning"), METHODS)
def test_pooling_is_what_the_reference_says(rng, pooling, meaning, shape):
    x = activations(rng, shape)
    expected = np.array([meaning(photo.astype(np.float64)) for photo in x])
    for layout in torch.contiguous_format, torch.channels_last:
        found = pooling(torch.from_numpy(x).to(memory_format=layout))
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(force=True), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("include_global", [False, True])
def test_the_vectors_of_regions_are_in_the_order_of_the_regions(rng, include_global):
    x = activations(rng, (9, 5))
    found = deep.RMAC(include_global=include_global).regions(torch.from_numpy(x)).numpy()
    places = deep.rmac_regions(9, 5, include_global=include_global)
    assert found.shape == (2, len(places), 6)
    for i, (x1, y1, x2, y2) in enumerate(places):
        expected = reference.unit(reference.mac(x[1, :, y1:y2, x1:x2]))
        np.testing.assert_allclose(found[1, i], expected, atol=1e-6)


@pytest.mark.parametrize("pool", EACH)
def test_the_photos_of_a_batch_do_not_touch_each_other(rng, pool):
    x = torch.from_numpy(activations(rng, (8, 11), batch=5))
    together = pool()(x)
    for photo, vector in zip(x, together, strict=True):
        torch.testing.assert_close(pool()(photo[None])[0], vector, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("pool", EACH)
def test_brighter_activations_have_the_same_direction(rng, pool):
    x = torch.from_numpy(activations(rng, (8, 11)))
    torch.testing.assert_close(unit(pool()(8 * x)), unit(pool()(x)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pool", [deep.MAC, deep.SPoC, deep.GeM, deep.CroW])
@pytest.mark.parametrize("axes", [(2,), (3,), (2, 3)])
def test_a_mirrored_map_has_the_same_vector(rng, pool, axes):
    x = torch.from_numpy(activations(rng, (8, 11)))
    torch.testing.assert_close(pool()(x.flip(axes)), pool()(x))


@pytest.mark.parametrize("pool", [deep.RMAC, deep.RegionalGeM])
@pytest.mark.parametrize("shape", [(12, 12), (18, 13), (13, 18)])
def test_a_mirrored_map_has_the_same_regions_where_the_squares_are_evenly_spaced(rng, pool, shape):
    height, width = shape
    mirrored = deep.rmac_regions(height, width)
    mirrored = np.stack(
        [width - mirrored[:, 2], mirrored[:, 1], width - mirrored[:, 0], mirrored[:, 3]], axis=1
    )
    even = set(map(tuple, mirrored)) == set(map(tuple, deep.rmac_regions(height, width)))
    x = torch.from_numpy(activations(rng, shape))
    same = torch.allclose(pool()(x.flip(3)), pool()(x), atol=1e-6)
    assert same == even


@pytest.mark.parametrize("pool", EACH)
def test_a_turned_map_has_the_same_vector(rng, pool):
    x = torch.from_numpy(activations(rng, (7, 16)))
    torch.testing.assert_close(pool()(x.transpose(2, 3)), pool()(x), atol=1e-6, rtol=1e-6)


def test_of_one_cell_all_are_that_cell():
    x = torch.rand(3, 5, 1, 1) + 0.1
    for pooling in deep.MAC(), deep.SPoC(), deep.GeM():
        torch.testing.assert_close(pooling(x), x[..., 0, 0])
    for pooling in deep.RMAC(), deep.RegionalGeM():
        torch.testing.assert_close(pooling(x), unit(x[..., 0, 0]))


def test_gem_goes_from_the_mean_to_the_maximum():
    x = torch.rand(2, 4, 6, 6) + 0.1
    torch.testing.assert_close(deep.GeM(1)(x), deep.SPoC()(x))
    torch.testing.assert_close(deep.GeM(60)(x), deep.MAC()(x), rtol=0.07, atol=0)


@pytest.mark.parametrize("pool", EACH)
def test_nothing_anywhere_is_no_nan(pool):
    x = torch.zeros(2, 3, 4, 5, requires_grad=True)
    found = pool()(x)
    found.sum().backward()
    assert found.isfinite().all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("pool", EACH)
def test_no_photos_have_no_vectors(pool):
    assert pool()(torch.zeros(0, 3, 4, 5)).shape == (0, 3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (5, 11)])
@pytest.mark.parametrize("pool", EACH)
def test_gradients(pool, shape):
    torch.manual_seed(0)
    x = torch.rand(2, 3, *shape, dtype=torch.float64) + 0.1
    x.requires_grad_()
    assert torch.autograd.gradcheck(pool().double(), x)


@pytest.mark.parametrize("pool", [deep.GeM, deep.RegionalGeM])
def test_the_power_is_learned_where_that_is_asked_for(pool):
    assert not list(pool().parameters())
    pooling = pool(trainable=True).double()
    x = torch.rand(1, 3, 4, 5, dtype=torch.float64)

    def of_power(p):
        return torch.func.functional_call(pooling, {"p": p}, x)

    assert [name for name, _ in pooling.named_parameters()] == ["p"]
    assert torch.autograd.gradcheck(of_power, pooling.p)


def test_gradients_come_through_whitened_regions():
    torch.manual_seed(0)
    pooling = deep.RMAC(whitening=deep.Whitening(4, 3)).double()
    x = torch.rand(1, 4, 5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pooling, x)
    pooling(x)[0, 0].backward()
    assert all(weights.grad.abs().sum() > 0 for weights in pooling.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pool", EACH)
def test_maps_of_fewer_bits_are_pooled_in_float32(rng, pool, dtype):
    x = torch.from_numpy(activations(rng, (8, 11)) * 50).to(dtype)  # cubes overflow float16
    pooling = pool()
    torch.testing.assert_close(pooling(x), pooling(x.float()))
    with torch.autocast("cpu", torch.bfloat16):
        assert pooling(x).dtype == torch.float32
        torch.testing.assert_close(pooling(x), pooling(x.float()))


def test_training_follows_an_extraction():
    deep.regional._indices.cache_clear()
    x = torch.rand(1, 3, 17, 23)
    pooling = deep.RMAC()
    with torch.inference_mode():
        pooling(x)
    x.requires_grad_()
    pooling(x).sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("pool", EACH)
@pytest.mark.parametrize(
    ("x", "error", "said"),
    [
        ("a photo", TypeError, "x must be a tensor of floats, got str"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), TypeError, "got torch.uint8"),
        (torch.zeros(3, 4, 4), ValueError, r"\(B, C, h, w\).*got \(3, 4, 4\)"),
        (torch.zeros(1, 3, 0, 4), ValueError, r"got \(1, 3, 0, 4\)"),
    ],
)
def test_what_is_no_map_is_refused(pool, x, error, said):
    with pytest.raises(error, match=said):
        pool()(x)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: deep.GeM(0), ValueError, "p must be positive"),
        (lambda: deep.GeM(eps=-1), ValueError, "eps must be positive"),
        (lambda: deep.GeM(trainable="yes"), TypeError, "trainable must be True or False"),
        (lambda: deep.RMAC(levels=0), ValueError, "levels must be between"),
        (lambda: deep.RMAC(overlap=1.0), ValueError, "overlap must be less than 1"),
        (lambda: deep.RMAC(whitening="pca"), TypeError, "whitening must be a module.*got str"),
        (lambda: deep.RMAC(whitening=PCAWhitening()), ValueError, "fit"),
        (lambda: deep.RegionalGeM(p=float("inf")), ValueError, "p must be positive"),
    ],
)
def test_wrong_options_are_named(make, error, said):
    with pytest.raises(error, match=said):
        make()


def learned(rng, kind, **options):
    """A whitening of vectors with a mean, whose directions differ a thousandfold."""
    spread = np.geomspace(1, 1e-3, 24)
    X = np.abs(rng.normal(size=(300, 24)) * spread + 0.3).astype(np.float32)
    if kind is PCAWhitening:
        return PCAWhitening(12, **options).fit(X), X
    pairs = np.stack([np.arange(150), np.arange(150, 300)], axis=1)
    return LearnedWhitening(12, **options).fit(X, pairs), X


@pytest.mark.parametrize("norm", ["l2", None])
@pytest.mark.parametrize("kind", [PCAWhitening, LearnedWhitening])
def test_a_layer_gives_the_numbers_of_what_was_learned(rng, kind, norm):
    whitening, X = learned(rng, kind, norm=norm)
    X[5] = 0
    make = deep.Whitening.from_pca if kind is PCAWhitening else deep.Whitening.from_learned
    layer = make(whitening)
    found = layer(torch.from_numpy(X)).numpy(force=True)
    np.testing.assert_allclose(found, whitening.transform(X), rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32
    assert not found[5].any()
    assert layer.weight.requires_grad
    assert layer.bias.requires_grad


@pytest.mark.parametrize("power", [0.0, 0.25, 0.5])
def test_the_power_of_whitening_is_kept(rng, power):
    whitening, X = learned(rng, PCAWhitening, whitening_power=power)
    found = deep.Whitening.from_pca(whitening)(torch.from_numpy(X)).numpy(force=True)
    np.testing.assert_allclose(found, whitening.transform(X), atol=1e-5)


@pytest.mark.parametrize("kind", [PCAWhitening, LearnedWhitening])
@pytest.mark.parametrize("pool", [deep.RMAC, deep.RegionalGeM])
def test_regions_are_whitened_by_what_was_learned(rng, kind, pool):
    whitening, _ = learned(rng, kind)
    x = activations(rng, (9, 14), channels=24)
    cell = reference.mac if pool is deep.RMAC else reference.gem

    def whiten(v):
        return whitening.transform(v[None].astype(np.float32))[0].astype(np.float64)

    expected = [reference.regional(photo.astype(np.float64), cell, whiten) for photo in x]
    found = pool(whitening=whitening)(torch.from_numpy(x)).numpy(force=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_layer_is_not_made_slack_by_autocast(rng):
    whitening, X = learned(rng, PCAWhitening)
    layer = deep.Whitening.from_pca(whitening)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(torch.from_numpy(X))
    np.testing.assert_allclose(found.numpy(force=True), whitening.transform(X), atol=1e-5)


def test_the_wrong_whitening_is_named(rng):
    whitening, _ = learned(rng, PCAWhitening)
    with pytest.raises(TypeError, match="learned must be a LearnedWhitening, got PCAWhitening"):
        deep.Whitening.from_learned(whitening)
    with pytest.raises(ValueError, match="norm must be 'l2' or None, got 'l1'"):
        deep.Whitening(3, 2, norm="l1")
    with pytest.raises(ValueError, match="in_features"):
        deep.Whitening(0, 2)
