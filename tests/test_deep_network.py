# SPDX-License-Identifier: Apache-2.0
import doctest
import importlib

import numpy as np
import pytest

from deep_cases import deep, nn, photos, small_network, torch
from trouvaille.aggregate import PCAWhitening

EXAMPLES = ["backbone", "network", "pooling", "regional", "regions", "whitening"]


def unit(x):
    return nn.functional.normalize(x, dim=1)


def model(pooling=None, **options):
    backbone = deep.Backbone(small_network())
    return deep.GlobalDescriptor(backbone, pooling or deep.RMAC(), **options)


def of_scale(pooling, x, scale):
    """Pooled and normalised, of a photo resized by another function than the model's."""
    backbone = deep.Backbone(small_network())
    size = [max(int(side * scale), 1) for side in x.shape[2:]]
    resized = nn.Upsample(size, mode="bilinear", align_corners=False)(x)
    return unit(pooling(backbone(resized)))


@pytest.mark.parametrize("pooling", [deep.MAC(), deep.GeM(), deep.CroW(), deep.RMAC()])
def test_one_scale_is_the_pooled_map_of_length_one(pooling):
    x = photos(40, 56)
    found = model(pooling)(x)
    assert found.shape == (2, 8)
    torch.testing.assert_close(found, of_scale(pooling, x, 1))
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


def test_several_scales_are_their_mean_of_length_one():
    x, pooling = photos(40, 56), deep.GeM()
    expected = sum(of_scale(pooling, x, scale) for scale in deep.MULTI_SCALE) / 3
    found = model(pooling, scales=deep.MULTI_SCALE)(x)
    torch.testing.assert_close(found, unit(expected))
    assert (found - of_scale(pooling, x, 1)).abs().max() > 1e-3


def test_the_mean_of_scales_can_be_a_power_mean():
    x, pooling = photos(40, 56), deep.GeM()
    scales = [of_scale(pooling, x, scale) for scale in (1, 0.5)]
    expected = ((scales[0] ** 3 + scales[1] ** 3) / 2) ** (1 / 3)
    found = model(pooling, scales=(1, 0.5), scale_power=3)(x)
    torch.testing.assert_close(found, unit(expected))


def test_a_power_mean_keeps_the_signs_of_whitened_regions():
    pooling = deep.RMAC(whitening=deep.Whitening(8, 8))
    x = photos(40, 56)
    assert (of_scale(pooling, x, 1) < 0).any()
    found = model(pooling, scales=(1, 0.5), scale_power=3)(x)
    assert found.isfinite().all()
    same = model(pooling, scales=(1, 1), scale_power=3)(x)
    torch.testing.assert_close(same, of_scale(pooling, x, 1))


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.5)])
def test_whitening_comes_after_the_scales(rng, scales):
    x = photos(40, 56, batch=30)
    plain = model(scales=scales)(x).numpy(force=True)
    whitening = PCAWhitening(4).fit(plain)
    found = model(scales=scales, whitening=whitening)(x).numpy(force=True)
    np.testing.assert_allclose(found, whitening.transform(plain), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (3, 2)])
def test_small_photos_and_strips_have_vectors_at_all_scales(shape):
    found = model(scales=deep.MULTI_SCALE)(photos(*shape))
    assert found.isfinite().all()
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.5)])
def test_a_photo_without_activation_has_a_vector_of_zeros(scales):
    class Nothing(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    net = deep.GlobalDescriptor(Nothing(), deep.RMAC(), deep.Whitening(3, 2), scales)
    assert torch.equal(net(photos(8, 8)), torch.zeros(2, 2))


def test_a_vector_does_not_depend_on_the_batch():
    x = photos(40, 56, batch=6)
    net = model(scales=deep.MULTI_SCALE)
    torch.testing.assert_close(net(x)[3:4], net(x[3:4]), atol=1e-6, rtol=1e-6)


def test_a_model_begins_in_evaluation_and_can_be_trained():
    net = model(deep.RMAC(whitening=deep.Whitening(8, 8)), scales=(1, 0.5))
    assert not any(module.training for module in net.modules())
    (net(photos(40, 56)) @ torch.ones(8)).sum().backward()
    assert all(weights.grad is not None for weights in net.parameters())
    assert net.backbone.layers.first[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_little(dtype):
    x, net = photos(64, 96), model(scales=(1, 0.5))
    with torch.autocast("cpu", dtype):
        found = net(x)
    assert found.dtype == torch.float32
    assert ((found * net(x)).sum(1) > 0.999).all()


def test_channels_last_changes_nothing():
    x, net = photos(64, 96), model()
    expected = net(x)
    found = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_compiling_changes_nothing():
    net = model(scales=(1, 0.5))
    compiled = torch.compile(net, backend="eager")  # traced as for any backend, without a compiler
    with torch.no_grad():
        for shape in (40, 56), (56, 40):
            x = photos(*shape)
            torch.testing.assert_close(compiled(x), net(x))


def test_weights_come_back_from_a_state(tmp_path):
    net = model(deep.GeM(trainable=True), whitening=deep.Whitening(8, 4))
    other = model(deep.GeM(2.0, trainable=True), whitening=deep.Whitening(8, 4))
    x = photos(40, 56)
    assert not torch.allclose(other(x), net(x))
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), net(x))


def test_the_off_the_shelf_vector_of_efficientnet_is_the_mean_of_its_map():
    pytest.importorskip("efficientnet_lite_pytorch", reason="EfficientNet-Lite0 is a package")
    x = photos(64, 96)
    found = deep.off_the_shelf("efficientnet_lite0", weights=None)(x)
    backbone = deep.Backbone("efficientnet_lite0", "head", weights=None)
    torch.testing.assert_close(found, unit(backbone(x).mean((2, 3))))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: deep.GlobalDescriptor("resnet50", deep.MAC()), TypeError, "backbone.*got str"),
        (lambda: deep.GlobalDescriptor(nn.Identity(), "gem"), TypeError, "pooling.*got str"),
        (lambda: model(scales=1.0), TypeError, "scales must be a sequence of numbers.*got 1.0"),
        (lambda: model(scales=()), TypeError, "of at least one"),
        (lambda: model(scales=(1, 0)), ValueError, "scales must be positive"),
        (lambda: model(scale_power=0), ValueError, "scale_power must be positive"),
        (lambda: model(whitening=3), TypeError, "whitening must be a module.*got int"),
    ],
)
def test_wrong_arguments_are_named(make, error, said):
    with pytest.raises(error, match=said):
        make()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_module(name):
    if name in ("backbone", "network"):
        pytest.importorskip("efficientnet_lite_pytorch", reason="EfficientNet-Lite0 is a package")
    module = importlib.import_module(f"trouvaille.deep.{name}")
    failed, attempted = doctest.testmod(module)
    assert failed == 0
    assert attempted > 0
