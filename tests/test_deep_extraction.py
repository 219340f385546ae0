# SPDX-License-Identifier: Apache-2.0
"""Many photos become the descriptors that each has alone, whatever happens on the way."""

import copy
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need PyTorch")

from torch import nn  # noqa: E402

from trouvaille import images  # noqa: E402
from trouvaille.deep import (  # noqa: E402
    RMAC,
    Backbone,
    FolderDescriptors,
    GeM,
    GlobalDescriptor,
    extract,
    for_extraction,
)
from trouvaille.deep._batches import of_equal_shape  # noqa: E402
from trouvaille.deep._device import chosen_device  # noqa: E402
from trouvaille.deep._fingerprint import fingerprint  # noqa: E402
from trouvaille.deep._fused import fused  # noqa: E402
from trouvaille.deep._runner import _is_lost  # noqa: E402
from trouvaille.deep._same_padding import SamePadding  # noqa: E402
from trouvaille.errors import CollectionLockedError, IndexCorruptError  # noqa: E402


class Small(nn.Module):
    """A backbone whose normalisations have learned something."""

    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16))
        with torch.no_grad():
            for norm in (self.norm, self.second[2]):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2)
                norm.weight.uniform_(0.5, 2)
                norm.bias.normal_()

    def forward(self, x):
        return torch.relu(self.second(self.norm(self.first(x))))


@pytest.fixture
def model():
    return GlobalDescriptor(Small(), RMAC())


def photo(seed, height, width):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


SHAPES = [(60, 80), (80, 60), (60, 80), (64, 64), (60, 80), (80, 60), (33, 150)]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, shape in enumerate(SHAPES):
        cv2.imwrite(str(folder / f"{i}.png"), photo(i, *shape)[:, :, ::-1])
    return folder


def alone(model, pixels, scales=None):
    """What the network says of one photo, without any of what makes extraction fast."""
    mean, std = (torch.tensor(part).reshape(3, 1, 1) for part in (Small.mean, Small.std))
    x = (torch.from_numpy(pixels).permute(2, 0, 1).float() / 255 - mean) / std
    used = GlobalDescriptor(model.backbone, model.pooling, model.whitening, scales or model.scales)
    with torch.no_grad():
        return used(x[None])[0].numpy()


@pytest.mark.parametrize("batch_size", [None, 1, 2, 100])
@pytest.mark.parametrize("scales", [None, (1, 2**-0.5, 0.5)])
def test_a_photo_is_described_as_alone(model, photos, batch_size, scales):
    report = extract(model, photos, batch_size=batch_size, scales=scales)
    wanted = [alone(model, photo(i, *shape), scales) for i, shape in enumerate(SHAPES)]
    np.testing.assert_allclose(report.descriptors, wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(report.descriptors, axis=1), 1, atol=1e-6)
    assert [row.id for row in report.rows] == [f"{i}.png" for i in range(len(SHAPES))]
    assert [row.size for row in report.rows] == [(w, h) for h, w in SHAPES]
    assert report.failed == []


def test_descriptors_do_not_depend_on_the_other_photos(model):
    many = [photo(i, *shape) for i, shape in enumerate(SHAPES)]
    together = extract(model, many, batch_size=4).descriptors
    for pixels, descriptor in zip(many, together, strict=True):
        np.testing.assert_allclose(extract(model, pixels).descriptors[0], descriptor, atol=1e-6)


def test_photos_are_shrunk_and_not_enlarged_unasked(model):
    big, small = photo(0, 90, 120), photo(1, 30, 40)
    report = extract(model, [big, small], image_size=60)
    assert [row.work_size for row in report.rows] == [(60, 45), (40, 30)]
    assert [row.size for row in report.rows] == [(120, 90), (40, 30)]
    whole = extract(model, [big], image_size=None)
    assert whole.rows[0].work_size == (120, 90)


def test_small_photos_are_enlarged_where_asked(model):
    big, small = photo(0, 90, 120), photo(1, 31, 40)
    report = extract(model, [big, small], image_size=60, enlarge=True, scales=None)
    assert [row.work_size for row in report.rows] == [(60, 45), (60, 46)]
    assert [row.size for row in report.rows] == [(120, 90), (40, 31)]
    enlarged = cv2.resize(small, (60, 46), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(report.descriptors[1], alone(model, enlarged), atol=1e-5)
    assert extract(model, small, image_size=None, enlarge=True).rows[0].work_size == (40, 31)


def test_the_network_is_left_as_it_is(model, photos):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    extract(model, photos, scales=(1, 0.5))
    assert model.training
    assert model.scales == (1.0,)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.backbone.parameters())


# ---- The copy that runs


def test_normalisations_become_part_of_convolutions(model):
    copy, dimensions = fused(model)
    assert dimensions == 16
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())
    x = torch.randn(2, 3, 50, 70)
    with torch.no_grad():
        torch.testing.assert_close(copy(x), model(x), rtol=0, atol=1e-6)


def test_a_copy_for_extraction_is_taken_as_it_is(model, photos, monkeypatch, tmp_path):
    wanted = extract(model, photos, scales=(1, 0.5)).descriptors
    ready = for_extraction(model)
    monkeypatch.setattr("trouvaille.deep._fused._traced", None)  # which makes one
    for out in (None, tmp_path / "out", tmp_path / "out"):
        report = extract(ready, photos, scales=(1, 0.5), out=out)
        np.testing.assert_allclose(report.descriptors, wanted, atol=1e-6)
    assert report.n_skipped == len(SHAPES)
    with pytest.raises(TypeError):
        extract(model, photos)


class ReadTwice(Small):
    def forward(self, x):
        made = self.first(x)
        return torch.relu(self.second(self.norm(made)) + made.mean())


class UsedTwice(Small):
    def forward(self, x):
        return torch.relu(self.norm(self.first(x)) + self.norm(2 * self.first(x)))


@pytest.mark.parametrize("backbone", [ReadTwice, UsedTwice])
def test_what_is_read_or_used_twice_is_left_alone(backbone):
    model = GlobalDescriptor(backbone(), GeM())
    x = torch.randn(2, 3, 50, 70)
    with torch.no_grad():
        torch.testing.assert_close(fused(model)[0](x), model(x), rtol=0, atol=1e-5)


class Conv2dSame(nn.Conv2d):
    """As others pad by a photo's size: half of the cells before, the rest behind."""

    def forward(self, x):
        pads = []
        for side, size, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            missing = max((-(-side // stride) - 1) * stride + size - side, 0)
            pads += [missing // 2, missing - missing // 2]
        x = nn.functional.pad(x, pads)
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_by_the_size_of_a_photo_needs_no_copy(size, stride):
    torch.manual_seed(0)
    layer = Conv2dSame(3, 6, size, stride, groups=3)
    model = GlobalDescriptor(nn.Sequential(layer, nn.ReLU()), GeM())
    copy, _ = fused(model)
    assert type(copy.backbone[0]) is SamePadding
    assert type(layer) is Conv2dSame
    for height in (size, 7, 8, 9, 12):
        for width in (8, 9, 11):
            x = torch.randn(2, 3, height, width)
            with torch.no_grad():
                torch.testing.assert_close(copy.backbone(x), model.backbone(x), atol=1e-6, rtol=0)


class Conv2dStaticSamePadding(nn.Conv2d):
    """As others pad whatever the size of a photo, more behind than before."""

    def __init__(self, *options, **named):
        super().__init__(*options, **named)
        size, stride = self.kernel_size[0], self.stride[0]
        before, both = max(size - stride, 0) // 2, max(size - stride, 0)
        self.static_padding = nn.ZeroPad2d((before, both - before) * 2)

    def forward(self, x):
        x = self.static_padding(x)
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_uneven_padding_needs_no_copy(size, stride):
    torch.manual_seed(0)
    layer = Conv2dStaticSamePadding(3, 6, size, stride, groups=3)
    model = GlobalDescriptor(nn.Sequential(layer, nn.ReLU()), GeM())
    copy, _ = fused(model)
    assert type(copy.backbone[0]) is nn.Conv2d
    assert type(layer) is Conv2dStaticSamePadding
    for height in (7, 8, 9, 12):
        for width in (8, 9, 11):
            x = torch.randn(2, 3, height, width)
            with torch.no_grad():
                torch.testing.assert_close(copy.backbone(x), model.backbone(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.5)])
def test_activations_write_over_what_nobody_reads_again(scales):
    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.activation, self.conv = nn.ReLU(), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return torch.relu(self.conv(self.activation(x) - x))

    model = GlobalDescriptor(First(), GeM(), scales=scales)
    assert not fused(model)[0].backbone.activation.inplace
    model = GlobalDescriptor(Small(), GeM(), scales=scales)
    assert fused(model)[0].backbone.second[0].inplace
    assert not model.backbone.second[0].inplace


# ---- Batches


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("look_ahead", [1, 2])
def test_batches_are_of_one_shape_and_few_photos_wait(rng, size, look_ahead):
    shapes = [(*rng.integers(1, 3, 2), 3) for _ in range(60)]
    given, taken = 0, []

    def photos():
        nonlocal given
        for number, shape in enumerate(shapes):
            given += 1
            yield number, np.zeros(shape, np.uint8)

    for batch in of_equal_shape(photos(), lambda: size, look_ahead):
        assert 1 <= len(batch) <= size
        assert len({pixels.shape for _, pixels in batch}) == 1
        taken += [number for number, _ in batch]
        assert given - len(taken) <= look_ahead * size
    assert sorted(taken) == list(range(60))


class Limited(nn.Module):
    """A network for whose batches, or for whose largest photos, a GPU has no memory."""

    mean, std = Small.mean, Small.std

    def __init__(self, photos, pixels=10**9):
        super().__init__()
        self.inner, self.photos, self.pixels = GlobalDescriptor(Small(), GeM()), photos, pixels
        self.sizes = []

    def __deepcopy__(self, memo):
        return self  # so that what happens to the copy is seen

    def forward(self, x):
        if len(x) > self.photos or x.shape[2] * x.shape[3] > self.pixels:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.sizes.append(len(x))
        return self.inner(x)


def test_a_batch_that_does_not_fit_is_halved_and_it_says_so():
    model = Limited(3)
    many = [photo(i, 40, 50) for i in range(20)]
    report = extract(model, many, batch_size=16, scales=None)
    assert report.failed == []
    assert report.batch_size == 2
    assert sum(model.sizes[-10:]) == 20
    assert len(report.notes) == 3
    assert "16 photos at a time do not fit into the memory of cpu" in report.notes[0]
    wanted = extract(model.inner, many, scales=None).descriptors
    np.testing.assert_allclose(report.descriptors, wanted, atol=1e-6)


def test_a_photo_that_does_not_fit_alone_is_a_row():
    many = [photo(0, 98, 98), photo(1, 120, 120), photo(2, 98, 98)]
    report = extract(Limited(8, 100 * 100), many, scales=None)
    assert [row.status for row in report.rows] == ["ok", "out_of_memory", "ok"]
    assert "120 x 120 pixels do not fit" in report.rows[1].error
    assert not report.descriptors[1].any()
    assert report.descriptors[2].any()


class Refusing(nn.Module):
    """A network that fails with photos of more than 100 x 100 pixels."""

    def __init__(self, error):
        super().__init__()
        self.inner, self.error = Limited(8).inner, error

    def forward(self, x):
        if x.shape[2] * x.shape[3] > 100 * 100:
            raise self.error
        return self.inner(x)


def test_the_memory_of_a_cpu_that_does_not_suffice_is_a_row():
    error = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    many = [photo(0, 98, 98), photo(1, 120, 120), photo(2, 98, 98)]
    report = extract(Refusing(error), many, scales=None)
    assert [row.status for row in report.rows] == ["ok", "out_of_memory", "ok"]


class Kernels(nn.Module):
    """A network with a layer that cannot take photos of less than 50 pixels a side."""

    mean, std = Small.mean, Small.std

    def __init__(self, of_one=False):
        super().__init__()
        self.inner, self.kernel, self.of_one = Limited(8).inner, nn.Conv2d(3, 1, 50), of_one

    def forward(self, x):
        if self.of_one and len(x) > 1:
            raise RuntimeError("shape '[1, 16]' is invalid")
        return self.inner(x) + 0 * self.kernel(x).mean()


SIDES = (98, 98, 40, 98, 60, 40, 60, 98)


@pytest.fixture
def some_small(tmp_path):
    (tmp_path / "photos").mkdir()
    for i, side in enumerate(SIDES):
        cv2.imwrite(str(tmp_path / f"photos/{i}.png"), photo(i, side, side))
    return tmp_path / "photos"


@pytest.mark.parametrize("batch_size", [None, 1, 2, 100])
def test_a_photo_with_which_the_network_fails_is_a_row(some_small, batch_size):
    model = Kernels()
    report = extract(model, some_small, scales=None, batch_size=batch_size)
    assert [row.status == "failed" for row in report.rows] == [side == 40 for side in SIDES]
    for row in report.failed:
        assert row.error.startswith("RuntimeError: ")
        assert "Kernel size can't be greater than actual input size" in row.error
        assert "\n" not in row.error
        assert row.work_size == (40, 40)
    wanted = extract(model.inner, some_small, scales=None).descriptors
    wanted = np.where(np.array(SIDES)[:, None] == 40, 0, wanted)
    np.testing.assert_allclose(report.descriptors, wanted, atol=1e-6)
    assert report.notes == ()


def test_a_photo_with_which_the_network_failed_is_not_tried_again(some_small, tmp_path):
    first = extract(Kernels(), some_small, scales=None, out=tmp_path / "out")
    assert [row.id for row in first.failed] == ["2.png", "5.png"]
    again = extract(Kernels(), some_small, scales=None, out=tmp_path / "out")
    assert all(row.skipped for row in again.rows)
    assert [row.error for row in again.failed] == [row.error for row in first.failed]
    cv2.imwrite(str(some_small / "2.png"), photo(0, 70, 70))
    changed = extract(Kernels(), some_small, scales=None, out=tmp_path / "out")
    assert [row.id for row in changed.rows if not row.skipped] == ["2.png"]
    assert [row.id for row in changed.failed] == ["5.png"]


def test_a_network_that_takes_one_photo_at_a_time_is_given_one():
    many = [photo(i, 60, 60) for i in range(6)]
    report = extract(Kernels(of_one=True), many, scales=None, batch_size=3)
    assert report.failed == []
    assert report.batch_size == 1
    assert len(report.notes) == 1
    assert "3 photos at a time make the network fail (RuntimeError: shape" in report.notes[0]


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_a_network_that_fails_with_the_first_batches_is_at_fault(tmp_path, batch_size):
    many = [photo(i, 40, 40) for i in range(2 * batch_size + 1)]
    ids = [str(i) for i in range(len(many) + 1)]
    options = {"scales": None, "batch_size": batch_size}
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        extract(Kernels(), many, ids=ids[:-1], out=tmp_path / "out", **options)
    assert len(FolderDescriptors.open(tmp_path / "out")) == 0
    report = extract(Kernels(), many[:-1], **options)
    assert [row.status for row in report.rows] == ["failed"] * 2 * batch_size
    many = [photo(0, 60, 60), *many]
    report = extract(Kernels(), many, ids=ids, out=tmp_path / "out", **options)
    assert [row.status for row in report.rows] == ["ok", *["failed"] * (len(many) - 1)]


def test_numbers_of_another_count_are_a_failure():
    class Flat(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) if x.shape[3] == 96 else x.mean((1, 2))

    report = extract(Flat(), [photo(0, 96, 96), photo(0, 96, 50)], scales=None)
    assert [row.status for row in report.rows] == ["ok", "failed"]
    assert "model must return (1, 3) of these, got (1, 50)" in report.rows[1].error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a device's assertion")])
def test_what_ends_a_run_leaves_what_was_described(tmp_path, error, monkeypatch):
    def of_large(self, x):
        if x.shape[2] > 100:
            raise error
        return self.inner(x)

    monkeypatch.setattr(Kernels, "forward", of_large)
    monkeypatch.setattr("trouvaille.deep._runner._is_lost", lambda device: True)
    many = [photo(i, side, 98) for i, side in enumerate((98, 98, 120, 98))]
    with pytest.raises(type(error)) as caught:
        extract(Kernels(), many, ids=list("abcd"), scales=None, out=tmp_path / "out")
    assert caught.value is error
    kept = [row.id for row in FolderDescriptors.open(tmp_path / "out").rows]
    assert kept in (["a", "b"], ["a"])
    assert len(kept) == 2 or isinstance(error, KeyboardInterrupt)


def test_a_gpu_is_lost_where_waiting_for_it_is_an_error(monkeypatch):
    def synchronize(device):
        if device.index == 1:
            raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    devices = [torch.device(name) for name in ("cpu", "cuda:0", "cuda:1")]
    assert [_is_lost(device) for device in devices] == [False, False, True]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.Conv2d(3, 4, 3, stride=1), nn.Conv2d(3, 4, 3, stride=2)),
        (nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3, padding=1)),
        (nn.MaxPool2d(2), nn.MaxPool2d(3)),
        (nn.BatchNorm2d(3, eps=1e-5), nn.BatchNorm2d(3, eps=1e-3)),
        (GeM(eps=1e-6), GeM(eps=1e-3)),
    ],
)
def test_a_fingerprint_knows_settings_without_weights(one, other):
    other.load_state_dict(one.state_dict())
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(copy.deepcopy(one))


# ---- Odd photos


def test_bad_photos_are_rows(model, photos, tmp_path):
    (photos / "2.png").write_bytes(b"no photo")
    (photos / "3.png").write_bytes(b"")
    listed = [*sorted(photos.iterdir()), tmp_path / "missing.jpg"]
    seen = []
    report = extract(model, listed, progress=lambda *given: seen.append(given))
    statuses = [row.status for row in report.rows]
    assert statuses == ["ok", "ok", "unsupported", "empty", "ok", "ok", "ok", "missing"]
    assert [row.id for row in report.failed] == ["2.png", "3.png", "missing.jpg"]
    assert not report.descriptors[[2, 3, 7]].any()
    assert seen == [("describing", done, 8) for done in range(9)]
    assert "5 of 8 photos, on cpu" in repr(report)


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1), (2, 3), (7, 300)])
def test_strips_and_photos_smaller_than_the_receptive_field_have_descriptors(model, shape):
    report = extract(model, photo(0, *shape))
    assert report.rows[0].status == "ok"
    np.testing.assert_allclose(np.linalg.norm(report.descriptors), 1, atol=1e-6)


def test_a_gray_photo_is_described_as_its_colours(model, tmp_path):
    gray = photo(0, 60, 80)[:, :, 0]
    cv2.imwrite(str(tmp_path / "gray.png"), gray)
    cv2.imwrite(str(tmp_path / "deep.png"), gray.astype(np.uint16) << 8)
    colours = np.repeat(gray[:, :, None], 3, axis=2)
    given = [gray, gray[:, :, None], colours, tmp_path / "gray.png", tmp_path / "deep.png"]
    report = extract(model, given)
    assert report.failed == []
    for descriptor in report.descriptors[1:]:
        np.testing.assert_allclose(descriptor, report.descriptors[0], atol=1e-6)


def test_pixels_of_16_bits_are_an_error_that_says_what_to_do(model):
    with pytest.raises(TypeError, match="image must be uint8, got uint16; pass"):
        extract(model, np.zeros((20, 20, 3), np.uint16))


def test_what_a_network_cannot_express_is_a_row():
    class Overflowing(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)) / (x.amax((1, 2, 3), keepdim=True)[:, :, 0, 0] > 0)

    model = Overflowing()
    report = extract(model, [np.zeros((9, 9, 3), np.uint8), photo(0, 9, 9)], scales=None)
    assert [row.status for row in report.rows] == ["not_finite", "ok"]
    assert not report.descriptors[0].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1), (40, 30)])
def test_a_real_backbone_describes_odd_photos(shape):
    pytest.importorskip("efficientnet_lite_pytorch", reason="has the network")
    model = GlobalDescriptor(Backbone("efficientnet_lite0", weights=None), RMAC())
    report = extract(model, photo(0, *shape), image_size=320)
    assert report.rows[0].status == "ok"
    np.testing.assert_allclose(report.descriptors[0], alone_of(model, photo(0, *shape)), atol=1e-5)


def alone_of(model, pixels):
    pixels, _ = images.resize_to(pixels, 320)
    mean, std = (
        torch.tensor(p).reshape(3, 1, 1) for p in (model.backbone.mean, model.backbone.std)
    )
    x = (torch.from_numpy(pixels).permute(2, 0, 1).float() / 255 - mean) / std
    multi_scale = GlobalDescriptor(model.backbone, model.pooling, scales=(1.0, 2**-0.5, 0.5))
    with torch.no_grad():
        return multi_scale(x[None])[0].numpy()


# ---- Boxes


def test_a_box_is_described_at_the_scale_of_its_photo(model):
    pixels = photo(0, 100, 200)
    report = extract(model, pixels, box=(20, 10, 120, 90), image_size=100)
    assert report.rows[0].size == (100, 80)
    assert report.rows[0].work_size == (50, 40)
    same = extract(model, pixels[10:90, 20:120], image_size=50)
    np.testing.assert_allclose(report.descriptors, same.descriptors, atol=1e-6)


def test_a_box_of_an_enlarged_photo_is_enlarged_alike(model):
    pixels = photo(0, 100, 200)
    report = extract(model, pixels, box=(20, 10, 120, 90), image_size=400, enlarge=True)
    assert report.rows[0].work_size == (200, 160)
    same = extract(model, pixels[10:90, 20:120], image_size=200, enlarge=True)
    np.testing.assert_allclose(report.descriptors, same.descriptors, atol=1e-6)


def test_a_box_outside_of_its_photo_is_an_error(model):
    with pytest.raises(ValueError, match="box must be"):
        extract(model, photo(0, 100, 200), box=(300, 10, 400, 90))
    with pytest.raises(ValueError, match="box is of one photo"):
        extract(model, [photo(0, 9, 9)] * 2, box=(0, 0, 5, 5))


# ---- Options


def test_shorter_types_change_little(model, photos):
    full = extract(model, photos).descriptors
    short = extract(model, photos, autocast="bfloat16").descriptors
    assert short.dtype == np.float32
    assert (full * short).sum(1).min() > 0.99
    assert not np.array_equal(full, short)


def test_the_network_is_compiled_where_that_is_asked_for(model, photos, monkeypatch):
    compiled = []

    def recorded(module, dynamic):
        compiled.append((module, dynamic))
        return module

    monkeypatch.setattr(torch, "compile", recorded)
    report = extract(model, photos, compile=True)
    assert [dynamic for _, dynamic in compiled] == [True]
    np.testing.assert_allclose(report.descriptors, extract(model, photos).descriptors, atol=1e-6)
    assert len(compiled) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_network_of_another_type_is_used_in_float32(model, photos, dtype):
    wanted = extract(model, photos).descriptors
    report = extract(model.to(dtype), photos)
    np.testing.assert_allclose(report.descriptors, wanted, atol=5e-3)
    assert next(model.parameters()).dtype == dtype


def test_the_report_says_where_and_why(model, photos):
    report = extract(model, photos)
    if not torch.cuda.is_available():
        assert report.device == "cpu"
        assert "CPU alone" in report.device_reason or "no GPU" in report.device_reason
    assert extract(model, photos, device="cpu").device_reason == "it was asked for"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "gpu"}, ValueError, "device must be"),
        ({"device": 3}, TypeError, "device must be"),
        ({"batch_size": 0}, ValueError, "batch_size must be"),
        ({"image_size": 0}, ValueError, "image_size must be"),
        ({"autocast": "int8"}, ValueError, "autocast must be"),
        ({"scales": ()}, TypeError, "scales must be"),
        ({"scales": (0,)}, ValueError, "scales must be"),
        ({"workers": 0}, ValueError, "workers must be"),
        ({"resume": "no", "out": "x"}, TypeError, "resume must be"),
    ],
)
def test_options_that_are_none_are_errors(model, photos, options, error, message, monkeypatch):
    monkeypatch.chdir(photos.parent)
    with pytest.raises(error, match=message):
        extract(model, photos, **options)


def test_a_gpu_that_is_not_there_is_an_error(model, photos):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="device is 'cuda', but"):
        extract(model, photos, device="cuda")


@pytest.mark.parametrize("device", ["meta", "cuda:77", "xpu:77", "mps:1", "mtia", "vulkan"])
def test_a_device_that_is_not_there_is_an_error_that_lists_those_there_are(model, device):
    pixels = photo(0, 9, 9)
    for given in (device, torch.device(device)):
        with pytest.raises(ValueError, match=f"device is '{device}', but .*; use cpu"):
            extract(model, pixels, device=given)


def test_the_devices_that_are_there_are_listed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for given in ("cuda", "cuda:1", "mps", "mps:0", "cpu"):
        assert chosen_device(given) == (torch.device(given), "it was asked for")
    for given in ("cuda:2", "mps:1", "meta"):
        with pytest.raises(ValueError, match="none; use cpu or cuda:0 or cuda:1 or mps:0"):
            chosen_device(given)


def test_what_is_no_network_is_an_error(model, photos):
    with pytest.raises(TypeError, match="model must be a module"):
        extract(lambda x: x, photos)
    with pytest.raises(TypeError, match="scales are of a GlobalDescriptor"):
        extract(nn.Flatten(), photos)
    with pytest.raises(ValueError, match="model must return"):
        extract(Small(), photos, scales=None)
    with pytest.raises(ValueError, match="there is no photo"):
        extract(model, [])


# ---- Folders


def test_a_folder_holds_what_memory_would(model, photos, tmp_path):
    report = extract(model, photos, out=tmp_path / "out", batch_size=2)
    wanted = extract(model, photos).descriptors
    np.testing.assert_allclose(report.descriptors, wanted, atol=1e-6)
    folder = FolderDescriptors.open(tmp_path / "out")
    assert folder.ids == [row.id for row in report.rows]
    assert np.array_equal(folder.descriptors, report.descriptors)
    assert isinstance(folder.descriptors.base, np.memmap)
    assert np.array_equal(folder["3.png"], report.descriptors[3])
    assert folder.row("3.png").work_size == (64, 64)
    assert "3.png" in folder
    assert len(folder) == len(SHAPES)
    assert np.array_equal(folder.of(["5.png", "1.png"]), report.descriptors[[5, 1]])


def test_what_is_there_is_not_described_again(model, photos, tmp_path):
    extract(model, photos, out=tmp_path / "out")
    (photos / "1.png").unlink()
    cv2.imwrite(str(photos / "1.png"), photo(99, 50, 60))
    cv2.imwrite(str(photos / "a.png"), photo(98, 50, 60))
    report = extract(model, photos, out=tmp_path / "out")
    assert [row.id for row in report.rows if not row.skipped] == ["1.png", "a.png"]
    assert report.n_skipped == len(SHAPES) - 1
    np.testing.assert_allclose(report.descriptors, extract(model, photos).descriptors, atol=1e-6)
    fewer = extract(model, sorted(photos.iterdir())[::-2], out=tmp_path / "out")
    assert all(row.skipped for row in fewer.rows)
    assert np.array_equal(fewer.descriptors, report.descriptors[::-2])


def test_a_photo_that_was_missing_is_tried_again(model, photos, tmp_path):
    listed = [photos / "0.png", photos / "late.png"]
    first = extract(model, listed, out=tmp_path / "out")
    assert [row.status for row in first.rows] == ["ok", "missing"]
    assert not first.descriptors[1].any()
    cv2.imwrite(str(photos / "late.png"), photo(5, 40, 40))
    second = extract(model, listed, out=tmp_path / "out")
    assert [(row.status, row.skipped) for row in second.rows] == [("ok", True), ("ok", False)]


def test_pixels_need_ids_and_are_known_by_their_content(model, tmp_path):
    pixels = [photo(i, 40, 50) for i in range(3)]
    with pytest.raises(ValueError, match="ids must be given"):
        extract(model, pixels, out=tmp_path / "out")
    extract(model, pixels, ids=["a", "b", "c"], out=tmp_path / "out")
    pixels[1] = photo(9, 40, 50)
    report = extract(model, pixels, ids=["a", "b", "c"], out=tmp_path / "out")
    assert [row.skipped for row in report.rows] == [True, False, True]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image_size": 50}, "image_size=1024, not 50"),
        ({"enlarge": True}, "enlarge=False, not True"),
        ({"scales": (1,)}, "another network"),
        ({"autocast": "bfloat16"}, "autocast=None, not 'bfloat16'"),
        ({"apply_exif": False}, "apply_exif=True, not False"),
        ({"model": GlobalDescriptor(Small(1), RMAC())}, "another network"),
        ({"model": GlobalDescriptor(Small(), GeM())}, "another network"),
        ({"model": GlobalDescriptor(Small(), RMAC(levels=2))}, "another network"),
        ({"resume": False}, "holds descriptors"),
    ],
)
def test_a_folder_of_another_network_or_settings_is_refused(
    model, photos, tmp_path, changed, message
):
    extract(model, photos, out=tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    options = {"model": model, "photos": photos, "out": tmp_path / "out", **changed}
    with pytest.raises(ValueError, match=message):
        extract(**options)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_folder_from_before_photos_could_be_enlarged_is_resumed(model, photos, tmp_path):
    extract(model, photos, out=tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["settings"]["enlarge"]
    path.write_text(json.dumps(manifest))
    assert extract(model, photos, out=tmp_path / "out").n_skipped == len(SHAPES)
    with pytest.raises(ValueError, match="enlarge=False, not True"):
        extract(model, photos, out=tmp_path / "out", enlarge=True)


def test_a_folder_of_something_else_is_refused(model, photos):
    with pytest.raises(ValueError, match=r"holds no descriptors but '\d.png'"):
        extract(model, [photos / "0.png"], out=photos)


def test_one_at_a_time_extracts_into_a_folder(model, photos, tmp_path):
    from trouvaille._lock import Lock

    (tmp_path / "out").mkdir()
    with Lock(tmp_path / "out" / "LOCK"), pytest.raises(CollectionLockedError):
        extract(model, photos, out=tmp_path / "out")


def test_a_run_that_was_cut_anywhere_is_resumed(model, photos, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    extract(model, photos, out=whole, batch_size=1)
    files = {path.name: path.read_bytes() for path in whole.iterdir()}
    lines, data = files["rows.jsonl"], files["descriptors.f32"]
    row = 16 * 4
    cuts = itertools.chain(
        ((text, len(data)) for text in range(0, len(lines), 37)),
        ((len(lines), rows) for rows in range(0, len(data), row + 3)),
    )
    for text_bytes, data_bytes in cuts:
        cut.mkdir(exist_ok=True)
        (cut / "manifest.json").write_bytes(files["manifest.json"])
        (cut / "rows.jsonl").write_bytes(lines[:text_bytes])
        (cut / "descriptors.f32").write_bytes(data[:data_bytes])
        report = extract(model, photos, out=cut, batch_size=1)
        assert np.array_equal(report.descriptors, FolderDescriptors.open(whole).descriptors)
        whole_rows = min(text_bytes and lines[:text_bytes].count(b"\n"), data_bytes // row)
        assert report.n_skipped == whole_rows
        assert (cut / "descriptors.f32").read_bytes() == data


@pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal")
def test_a_run_that_was_killed_is_resumed(model, photos, tmp_path):
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_deep_extraction import *
model = GlobalDescriptor(Small(), RMAC())
def slowly(stage, done, total):
    print(done, flush=True)
    time.sleep(0.2)
extract(model, {str(photos)!r}, out={str(tmp_path / "out")!r}, progress=slowly)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ.copy()
    )
    while int(process.stdout.readline()) < 3:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    report = extract(model, photos, out=tmp_path / "out")
    assert 2 <= report.n_skipped < len(SHAPES)
    np.testing.assert_allclose(report.descriptors, extract(model, photos).descriptors, atol=1e-6)


def test_damaged_rows_are_described_again_and_refused_by_readers(model, photos, tmp_path):
    report = extract(model, photos, out=tmp_path / "out")
    wanted = np.array(report.descriptors)
    del report
    data = bytearray((tmp_path / "out" / "descriptors.f32").read_bytes())
    data[2 * 64 + 5] ^= 1
    (tmp_path / "out" / "descriptors.f32").write_bytes(data)
    folder = FolderDescriptors.open(tmp_path / "out")
    assert np.array_equal(folder["1.png"], wanted[1])
    with pytest.raises(IndexCorruptError, match="checksum"):
        folder["2.png"]
    again = extract(model, photos, out=tmp_path / "out")
    assert [row.id for row in again.rows if not row.skipped] == ["2.png"]
    assert np.array_equal(again.descriptors, wanted)


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"id": 1}', "\x00", "9" * 5000])
def test_a_damaged_record_is_an_error_that_names_it(model, photos, tmp_path, text):
    extract(model, photos, out=tmp_path / "out")
    with (tmp_path / "out" / "rows.jsonl").open("a") as file:
        file.write(text + "\n")
    with pytest.raises(IndexCorruptError, match=r"rows\.jsonl"):
        FolderDescriptors.open(tmp_path / "out")


def test_a_record_that_gives_two_photos_one_row_is_an_error(model, photos, tmp_path):
    extract(model, photos, out=tmp_path / "out")
    path = tmp_path / "out" / "rows.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[4]["slot"] = lines[1]["slot"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    message = r"rows\.jsonl.*gives '1\.png' and '4\.png' one row, 1"
    with pytest.raises(IndexCorruptError, match=message) as caught:
        FolderDescriptors.open(tmp_path / "out")
    assert json.loads(path.read_bytes()[caught.value.offset :].splitlines()[0])["id"] == "4.png"
    with pytest.raises(IndexCorruptError, match=message):
        extract(model, photos, out=tmp_path / "out")
    lines[4]["slot"] = 4
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, lines[2]]))
    assert len(FolderDescriptors.open(tmp_path / "out")) == len(SHAPES)


@pytest.mark.parametrize("change", [{"format": 2}, {"dimensions": -1}, {"settings": None}])
def test_a_damaged_manifest_is_an_error(model, photos, tmp_path, change):
    extract(model, photos, out=tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=r"manifest\.json"):
        FolderDescriptors.open(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="holds no descriptors"):
        FolderDescriptors.open(tmp_path)


def test_what_is_done_is_on_disk(model, tmp_path):
    seen = []

    def look(stage, done, total):
        lines = tmp_path / "out" / "rows.jsonl"
        seen.append((done, lines.read_text().count("\n") if lines.exists() else 0))

    many = [photo(i % 7, 40 + i % 5, 50) for i in range(60)]
    ids = [str(i) for i in range(60)]
    extract(model, many, ids=ids, out=tmp_path / "out", progress=look)
    assert all(done == written for done, written in seen)
