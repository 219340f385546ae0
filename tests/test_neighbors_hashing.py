# SPDX-License-Identifier: Apache-2.0
"""Hashing: codes are what the papers say, near descriptors have near codes, files and refusals."""

import doctest
import importlib.util
import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from trouvaille import _core
from trouvaille.errors import IndexCorruptError
from trouvaille.neighbors import Hamming, hashing
from trouvaille.neighbors.hashing import ITQ, RandomHyperplanes, SemanticHashing, SpectralHashing

WAYS = {"itq": ITQ, "random": RandomHyperplanes, "spectral": SpectralHashing}
SMALL = partial(SemanticHashing, hidden=(24,), epochs=2)  # seconds of training less


@pytest.fixture(params=[*WAYS, "semantic"])
def way(request):
    if request.param != "semantic":
        return WAYS[request.param]
    pytest.importorskip("torch", reason="semantic hashing learns by PyTorch")
    return SMALL


def opened_by(way):
    """The class, whatever its arguments."""
    return getattr(way, "func", way)


def clustered(rng, n, dims=24, dtype=np.uint8, clusters=40):
    centers = rng.uniform(40, 200, (clusters, dims)) @ np.diag(np.linspace(1.1, 0.3, dims))
    X = centers[rng.integers(clusters, size=n)] + rng.normal(0, 8, (n, dims))
    return np.clip(X.round(), 0, 255).astype(dtype)


def bits_of(codes, n_bits):
    return np.unpackbits(codes, axis=1, count=n_bits, bitorder="little").astype(bool)


@pytest.mark.parametrize("n_bits", [1, 8, 13, 24, 70])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_codes_are_packed(rng, way, n_bits, dtype):
    X = clustered(rng, 300, dtype=dtype)
    codes = way(n_bits).fit_transform(X)
    assert codes.dtype == np.uint8
    assert codes.shape == (300, -(-n_bits // 8))
    padding = np.unpackbits(codes, axis=1, bitorder="little")[:, n_bits:]
    assert not padding.any()
    balance = bits_of(codes, n_bits).mean(axis=0)
    assert (np.abs(balance - 0.5) < 0.5).mean() > 0.9  # nearly every bit says something


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_code_depends_on_nothing_but_the_descriptor(rng, way, isa, threads, dtype):
    X = clustered(rng, 9_000, dtype=dtype)
    hashing = way(40).fit(X[:500])
    _core.use_isa("scalar")
    codes = hashing.transform(X, threads=1)
    _core.use_isa(isa)
    np.testing.assert_array_equal(hashing.transform(X, threads=threads), codes)
    parts = [hashing.transform(X[i : i + 1]) for i in range(0, 9_000, 500)]
    np.testing.assert_array_equal(np.concatenate(parts), codes[::500])
    assert hashing.transform(X[:0]).shape == (0, 5)


@pytest.mark.parametrize("dims", [1, 5, 64, 200])
@pytest.mark.parametrize("cols", [1, 63, 64, 130])
def test_projections_are_sums_in_one_order(rng, isa, dims, cols):
    for dtype in (np.uint8, np.float32):
        x = rng.integers(0, 256, (70, dims)).astype(dtype)
        weights = rng.normal(size=(dims, cols)).astype(np.float32)
        offsets = rng.normal(size=cols).astype(np.float32)
        expected = np.broadcast_to(-offsets, (70, cols))
        for d in range(dims):
            expected = expected + x[:, d : d + 1].astype(np.float32) * weights[d]
        for n in (1, 16, 17, 70):  # few rows are multiplied in another way
            found = _core.project(x[:n], weights, offsets, 1)
            np.testing.assert_array_equal(found, expected[:n])
    with pytest.raises(ValueError, match="fit together"):
        _core.project(x, weights, offsets[1:].copy(), 1)


def test_near_descriptors_have_near_codes(rng, way):
    X = clustered(rng, 3_000)
    Q = np.clip(X[:100] + rng.normal(0, 3, (100, 24)), 0, 255).round().astype(np.uint8)
    hashing = way(24).fit(X)
    truth = _core.exact_neighbors(Q, X, 10, 1)[1]
    found = Hamming().build(hashing.transform(X)).search(hashing.transform(Q), 100).ids
    recall = np.mean([np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)])
    assert recall > 0.6


def test_the_seed_decides(rng, way):
    X = clustered(rng, 500)
    one, same = (way(16, random_state=3).fit_transform(X) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    other = way(16, random_state=4).fit_transform(X)
    assert (one == other).all() == (way is SpectralHashing)


def test_random_hyperplanes_measure_angles(rng):
    X = rng.normal(size=(60, 10)).astype(np.float32)
    codes = RandomHyperplanes(8_000).fit_transform(X)
    centered = (X - X.mean(axis=0)) / np.linalg.norm(X - X.mean(axis=0), axis=1, keepdims=True)
    angles = np.arccos(np.clip(centered @ centered.T, -1, 1)) / np.pi
    np.testing.assert_allclose(reference.hamming_distances(codes, codes) / 8_000, angles, atol=0.03)


def test_itq_is_what_the_paper_says(rng):
    X = rng.normal(size=(400, 6)).astype(np.float32) * np.float32([9, 7, 5, 3, 2, 1])
    projected = reference.principal_coordinates(X, 4)
    expected = {1: -1.0, 0: np.inf}
    for iterations in (0, 1, 50):
        itq = ITQ(4, iterations=iterations).fit(X)
        corners = np.where(bits_of(itq.transform(X), 4), 1, -1)
        # The loss, up to the best rotation for these corners, goes down.
        loss = reference.quantization_loss(projected, corners)
        assert loss <= expected[0] * (1 + 1e-9)
        expected[0] = loss
    # A fixed point: the best rotation for the corners gives the corners.
    turned = projected @ reference.procrustes(projected, corners)
    assert ((turned > 0) == (corners > 0)).mean() > 0.995


@pytest.mark.parametrize("varying", [6, 4])  # dimensions
def test_itq_embeds_few_dimensions_in_many_bits(rng, varying):
    X = rng.normal(size=(400, 6)).astype(np.float32) * (np.arange(6) < varying)
    normals = ITQ(30).fit(X)._learned["normals"]
    np.testing.assert_allclose(normals @ normals.T, np.eye(6), atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 6))
def test_spectral_hashing_is_what_the_paper_says(seed, n_bits, dims):
    rng = np.random.default_rng(seed)
    X = (rng.uniform(-1, 1, (60, dims)) * 2.0 ** -np.arange(dims)).astype(np.float32)
    half_periods = reference.spectral_half_periods(X, n_bits)
    # Where no wave is at zero, but for rounding, bits are the signs of the waves, up to the
    # direction in which a side is looked along: that turns every second wave around.
    sure = np.abs(np.cos(np.pi * half_periods)) > 1e-3
    bits = bits_of(SpectralHashing(n_bits).fit_transform(X), n_bits)
    same = (np.cos(np.pi * half_periods) > 0) == bits
    for i in range(n_bits):
        assert same[sure[:, i], i].all() or not same[sure[:, i], i].any()


@pytest.mark.parametrize("value", [0, 7, 255])
def test_descriptors_that_are_all_equal(way, value):
    X = np.full((50, 9), value, np.uint8)
    hashing = way(20).fit(X)
    codes = hashing.transform(X)
    assert (codes == codes[0]).all()
    assert hashing.transform(~X).shape == (50, 3)
    assert way(20).fit_transform(X[:1]).shape == (1, 3)


def test_saved_and_opened_again(rng, way, tmp_path):
    X = clustered(rng, 300)
    hashing = way(20, random_state=5).fit(X)
    hashing.save(tmp_path / "hashing")
    opened = opened_by(way).load(tmp_path / "hashing")
    assert (opened.n_bits, opened.random_state) == (20, 5)
    np.testing.assert_array_equal(opened.transform(X), hashing.transform(X))
    other = SpectralHashing if way is not SpectralHashing else ITQ
    with pytest.raises(IndexCorruptError):
        other.load(tmp_path / "hashing")


def test_a_damaged_file_is_refused(rng, way, tmp_path):
    path = tmp_path / "hashing"
    way(20).fit(clustered(rng, 100)).save(path)
    whole = path.read_bytes()
    for at in [*range(0, len(whole), max(len(whole) // 100, 1)), len(whole) - 1]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(IndexCorruptError):
            opened_by(way).load(path)


def test_a_file_whose_parts_do_not_fit_is_refused(rng, way, tmp_path):
    hashing = way(20).fit(clustered(rng, 100))
    name, first = next(iter(hashing._learned.items()))
    for wrong in (first[:, :7].copy(), first[0].copy(), first.astype(float), first * np.nan):
        opened_by(way)._format.write(
            tmp_path / "hashing",
            {"parameters": hashing._parameters()},
            {**hashing._learned, name: wrong},
        )
        with pytest.raises(IndexCorruptError):
            opened_by(way).load(tmp_path / "hashing")


def test_what_does_not_fit_is_refused(rng, way):
    X = clustered(rng, 50)
    with pytest.raises(ValueError, match="n_bits must be between"):
        way(0)
    with pytest.raises(TypeError, match="n_bits"):
        way(8.5)
    with pytest.raises(ValueError, match="random_state"):
        way(8, random_state=-1)
    with pytest.raises(ValueError, match="call fit first"):
        way(8).transform(X)
    with pytest.raises(ValueError, match="rows and columns"):
        way(8).fit(X[:0])
    with pytest.raises(ValueError, match="2-D"):
        way(8).fit(X[0])
    with pytest.raises(ValueError, match="NaN"):
        way(8).fit(np.float32([[np.nan]]))
    with pytest.raises(ValueError, match="24 columns"):
        way(8).fit(X).transform(X[:, :5])


def test_the_examples_run():
    names = ["itq", "random_hyperplanes", "spectral"]
    if importlib.util.find_spec("torch"):
        names.append("semantic")
    modules = [importlib.import_module(f"{hashing.__name__}.{name}") for name in names]
    run = partial(doctest.testmod, extraglobs={"np": np})
    failed, attempted = map(sum, zip(*map(run, modules), strict=True))
    assert failed == 0
    assert attempted > 0


def test_semantic_hashing_learns_layers_that_numpy_can_follow(rng, tmp_path):
    torch = pytest.importorskip("torch", reason="semantic hashing learns by PyTorch")
    X = clustered(rng, 500)
    state = torch.random.get_rng_state()
    semantic = SemanticHashing(16, hidden=[40, 20], epochs=2).fit(X)
    assert torch.equal(torch.random.get_rng_state(), state)
    layer = X.astype(float)
    learned = semantic._learned
    for i in range(3):
        layer = np.maximum(layer, 0) if i else layer
        layer = layer @ learned[f"weights_{i}"] - learned[f"offsets_{i}"]
    assert (bits_of(semantic.transform(X), 16) == (layer > 0)).mean() > 0.999
    np.testing.assert_allclose(bits_of(semantic.transform(X), 16).mean(axis=0), 0.5, atol=0.01)
    semantic.save(tmp_path / "hashing")
    opened = SemanticHashing.load(tmp_path / "hashing")
    assert (opened.hidden, opened.noise, opened.epochs) == ((40, 20), 4.0, 2)


def test_without_torch_semantic_hashing_says_what_to_install(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .trouvaille\[deep\]"):
        SemanticHashing(8).fit(clustered(rng, 50))


def test_what_semantic_hashing_refuses():
    with pytest.raises(TypeError, match="hidden"):
        SemanticHashing(8, hidden=20)
    with pytest.raises(ValueError, match="hidden"):
        SemanticHashing(8, hidden=(0,))
    with pytest.raises(ValueError, match="noise"):
        SemanticHashing(8, noise=-1)
    with pytest.raises(ValueError, match="epochs"):
        SemanticHashing(8, epochs=0)


@pytest.mark.parametrize(("Way", "scale"), [(SpectralHashing, 1e-40), (ITQ, 5e37)])
def test_numbers_that_nothing_can_be_learned_from_are_refused(rng, Way, scale):
    X = (rng.normal(size=(300, 16)) * scale).astype(np.float32)
    way = Way(8)
    with pytest.raises(ValueError, match="scale them"):
        way.fit(X)
    with pytest.raises(ValueError, match="call fit"):
        way.transform(X)
