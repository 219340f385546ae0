# SPDX-License-Identifier: Apache-2.0
"""DELF works by a faster copy of its network, which must never be one of another network."""

import copy
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from deep_cases import deep, nn, small_network, torch
from trouvaille.deep._fused import faster
from trouvaille.deep._prepared import Prepared


def delf(**options):
    return deep.DELF(deep.Backbone(small_network()), scales=(0.5, 1.0), **options)


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (96, 120, 3), np.uint8)


def by_the_network_itself(model, photo):
    """Responses without the copy: the length of each cell's vector, at all scales."""
    mean, std = (
        torch.tensor(c).reshape(1, 3, 1, 1) for c in (model.backbone.mean, model.backbone.std)
    )
    x = (torch.from_numpy(photo).permute(2, 0, 1)[None] / 255 - mean) / std
    smaller = nn.functional.interpolate(x, (48, 60), mode="bilinear", antialias=True)
    evaluated = copy.deepcopy(model).eval()
    with torch.no_grad():
        cells = torch.cat([evaluated(size)[1].flatten() for size in (smaller, x)])
    return np.sort(cells.numpy())[::-1]


def assert_up_to_date(model, photo):
    expected = by_the_network_itself(model, photo)
    np.testing.assert_allclose(model.extract(photo).responses, expected, rtol=1e-4, atol=1e-5)


def step_of_training(model):
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    model(torch.randn(2, 3, 32, 32))[0].square().sum().backward()
    optimizer.step()


def data_of_a_weight(model):
    next(model.parameters()).data.mul_(2)


def statistics(model):
    model.backbone.layers.first[1].running_mean += 1


def padding(model):
    model.backbone.layers.second[0].padding = (0, 0)
    model.backbone.layers.second[0].stride = (1, 1)


def another_layer(model):
    model.backbone.layers.second[1] = nn.Tanh()


def half_precision_and_back(model):
    model.half().float()


def another_state(model):
    model.load_state_dict({name: 1.5 * x for name, x in model.state_dict().items()})


@pytest.mark.parametrize(
    "change",
    [
        step_of_training,
        data_of_a_weight,
        statistics,
        padding,
        another_layer,
        half_precision_and_back,
        another_state,
    ],
)
def test_what_changes_afterwards_is_seen(change, photo):
    model = delf()
    assert_up_to_date(model, photo)
    before = model.extract(photo).responses
    change(model)
    assert not np.array_equal(model.extract(photo).responses, before)
    assert_up_to_date(model, photo)


def test_places_follow_the_layers(photo):
    model = delf()
    size = model.extract(photo).scales[0]
    padding(model)
    assert model.extract(photo).scales[0] != size


def test_the_network_is_left_as_it_is(photo):
    """Its mode, its statistics and its gradients: it may be in the middle of its training."""
    model = delf().train()
    model(torch.randn(2, 3, 32, 32))[0].sum().backward()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    model.extract(photo)
    deep.attention_map(model, photo)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert parameter.requires_grad
        assert torch.equal(parameter.grad, gradient)
    model(torch.randn(2, 3, 32, 32))[0].sum().backward()


def test_copies_have_copies_of_their_own(photo):
    model = delf()
    before = model.extract(photo)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for copied in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        np.testing.assert_array_equal(copied.extract(photo).descriptors, before.descriptors)
        data_of_a_weight(copied)
        assert_up_to_date(copied, photo)
        assert_up_to_date(model, photo)


def test_normalisations_are_folded(photo):
    ready = delf()
    ready.extract(photo)
    copied = ready._prepared.of(ready).network
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copied.modules())


def test_a_network_that_writes_over_its_photo_does_not_reach_the_next_scale(photo):
    backbone = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3))
    forwards, backwards = (
        deep.DELF(backbone, scales=scales).extract(photo) for scales in ((1.0, 0.5), (0.5, 1.0))
    )
    np.testing.assert_allclose(forwards.responses, backwards.responses, rtol=1e-5)


def test_a_network_that_takes_only_large_photos_is_taken_as_it_is(photo):
    model = deep.DELF(nn.Conv2d(3, 4, (60, 100)), scales=(1.0,))
    with pytest.raises(RuntimeError, match="Kernel size"):
        faster(copy.deepcopy(model))
    assert len(model.extract(photo).frames) == 37 * 21


def test_it_is_made_once_for_many_threads():
    made, begin = [], threading.Barrier(8)

    def make(network):
        made.append(network)
        return object()

    prepared, network = Prepared(make), small_network().cut("third")

    def ask(_):
        begin.wait()
        return prepared.of(network)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(ask, range(8)))) == 1
    assert made == [network]


def test_a_tensor_or_setting_that_is_no_weight_counts():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor, self.powers, self.of = torch.ones(2), [1, 2], "photos"

    network = Scaled()
    prepared = Prepared(lambda _: object())
    seen = [prepared.of(network)]
    for change in (
        lambda: network.factor.add_(1),
        lambda: network.powers.append(3),
        lambda: setattr(network, "of", "maps"),
        lambda: network.to(torch.float64),
        lambda: setattr(network, "factor", torch.ones(3)),
    ):
        assert prepared.of(network) is seen[-1]
        change()
        seen.append(prepared.of(network))
    assert len(set(map(id, seen))) == 5  # a tensor that is an attribute stays of its type
    assert prepared.of(network.train()) is prepared.of(network.eval())
