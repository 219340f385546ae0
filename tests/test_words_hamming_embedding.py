# SPDX-License-Identifier: Apache-2.0
"""Hamming embedding: an orthogonal projection, compared with the medians of a word."""

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference_match_kernel as reference
from trouvaille import _core
from trouvaille._array_file import ArrayFile
from trouvaille.errors import IndexCorruptError
from trouvaille.words import (
    HammingEmbedding,
    Vocabulary,
    _medians,
    _neighborhoods,
    neighborhood_means,
)

FORMAT = ArrayFile("hamming_embedding", 1, "a Hamming embedding")


def points(rng, n, n_dims=24, dtype=np.uint8):
    X = rng.integers(0, 256, (n, n_dims), dtype=np.uint8)
    return X if dtype == np.uint8 else (X / 7 - 15).astype(dtype)


def bits_of(signatures, n_bits):
    return np.unpackbits(signatures, axis=-1, count=n_bits, bitorder="little")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n_bits", [1, 8, 13, 24])
def test_bits_say_on_which_side_of_the_median_a_projection_is(rng, isa, threads, dtype, n_bits):
    X, ids = points(rng, 700, dtype=dtype), rng.integers(0, 9, 700)
    ids[ids == 4] = 3  # word 4 has no points
    ids[:3] = 9  # word 9 has three
    embedding = HammingEmbedding(n_bits, min_points=5).fit(X, ids, threads=threads)
    values = X.astype(np.float64) @ embedding.projection_
    expected = reference.medians(values, ids, 10, 5)
    np.testing.assert_allclose(embedding.medians_, expected, atol=1e-3)
    np.testing.assert_array_equal(embedding.medians_[4], embedding.medians_[9])
    signatures = embedding.transform(X, ids, threads=threads)
    assert signatures.shape == (700, -(-n_bits // 8))
    differences = values - expected[ids]
    clear = np.abs(differences) > 1e-2
    assert clear.mean() > 0.98
    np.testing.assert_array_equal(bits_of(signatures, n_bits)[clear], differences[clear] > 0)


def test_the_same_bits_for_all(rng, isa, threads):
    X, ids = points(rng, 3000, 128), rng.integers(0, 40, 3000)
    embedding = HammingEmbedding().fit(X, ids, threads=threads)
    found = embedding.transform(X, ids, threads=threads)
    _core.use_isa("scalar")
    other = HammingEmbedding().fit(X, ids, threads=1)
    np.testing.assert_array_equal(embedding.projection_, other.projection_)
    np.testing.assert_array_equal(embedding.medians_, other.medians_)
    np.testing.assert_array_equal(found, other.transform(X, ids, threads=1))
    one_by_one = [other.transform(X[i : i + 1], ids[i : i + 1]) for i in range(5)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), found[:5])


def test_the_projection_is_what_it_was():
    """Bits in files depend on it: it must not change with a version."""
    projection = HammingEmbedding(2, random_state=7).fit(np.eye(3, dtype=np.uint8), [0, 0, 0])
    expected = [
        [-0.22056633234024048, 0.8042610883712769],
        [-0.6239380240440369, -0.5512043833732605],
        [-0.7497011423110962, 0.22212113440036774],
    ]
    np.testing.assert_array_equal(projection.projection_, np.float32(expected))
    usual = HammingEmbedding().fit(np.zeros((1, 128), np.uint8), [0]).projection_
    assert zlib.crc32(usual.astype("<f4").tobytes()) == 2402972305


def test_many_directions_are_orthonormal():
    projection = HammingEmbedding(256).fit(np.zeros((1, 256), np.uint8), [0]).projection_
    np.testing.assert_allclose(projection.T @ projection, np.eye(256), atol=1e-6)


@pytest.mark.parametrize("block", [1, 100, 1 << 18])
@pytest.mark.parametrize("min_points", [1, 2, 5, 1000])
def test_medians_are_exact(rng, monkeypatch, block, min_points):
    monkeypatch.setattr(_medians, "_BLOCK", block)
    monkeypatch.setattr(_medians, "_COLUMNS", min(block, 16))
    ids = np.repeat(rng.permutation(60), [*range(10), *range(10), *range(10), 50, 51, *[3] * 28])
    rng.shuffle(ids)
    X = points(rng, len(ids), 8)
    embedding = HammingEmbedding(8, min_points=min_points).fit(X, ids, num_words=62)
    values = _core.project(X, embedding.projection_, np.zeros(8, np.float32), 1)
    expected = reference.medians(values, ids, 62, min_points)
    assert embedding.medians_.dtype == expected.dtype
    np.testing.assert_array_equal(embedding.medians_, expected)


def test_medians_of_a_word_of_many_points_take_little_memory(rng):
    values = rng.random((300_000, 64), np.float32)
    ids = np.zeros(len(values), np.int64)
    tracemalloc.start()
    try:
        medians = _medians.medians_by_word(values, ids, 2, 2)  # and of a word that has none
        assert tracemalloc.get_traced_memory()[1] < values.nbytes
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(medians, np.median(values, axis=0)[None].repeat(2, axis=0))


def test_medians_of_zeros_have_no_sign():
    values = np.float32([[0.0, -0.0], [-0.0, -0.0], [-0.0, 0.0], [0.0, 0.0]])
    medians = _medians.medians_by_word(values, np.array([1, 1, 1, 0]), 3, 1)
    assert not np.signbit(medians).any()


@given(st.integers(1, 40), st.integers(0, 2**63 - 1), st.data())
def test_directions_are_orthonormal(n_dims, seed, data):
    n_bits = data.draw(st.integers(1, n_dims))
    X = np.zeros((1, n_dims), np.uint8)
    projection = HammingEmbedding(n_bits, random_state=seed).fit(X, [0]).projection_
    np.testing.assert_allclose(projection.T @ projection, np.eye(n_bits), atol=1e-5)


def test_half_of_a_words_bits_are_set(rng):
    X, ids = points(rng, 4000, 128, np.float32), rng.integers(0, 20, 4000)
    bits = bits_of(HammingEmbedding(64).fit_transform(X, ids), 64)
    for word in range(20):
        np.testing.assert_allclose(bits[ids == word].mean(axis=0), 0.5, atol=0.01)


def test_near_descriptors_have_near_signatures(rng):
    X, ids = points(rng, 2000, 128), np.zeros(2000, int)
    embedding = HammingEmbedding(64).fit(X, ids)
    noisy = np.clip(X + rng.normal(0, 12, X.shape), 0, 255).astype(np.uint8)
    a, b = bits_of(embedding.transform(X, ids), 64), bits_of(embedding.transform(noisy, ids), 64)
    assert (a != b).sum(axis=1).mean() < 8
    assert (a != b[::-1]).sum(axis=1).mean() > 28


def test_several_words(rng):
    X, ids = points(rng, 300), rng.integers(0, 6, 300)
    embedding = HammingEmbedding(12).fit(X, ids)
    several = rng.integers(0, 6, (300, 4))
    found = embedding.transform(X, several)
    assert found.shape == (300, 4, 2)
    for i in range(4):
        np.testing.assert_array_equal(found[:, i], embedding.transform(X, several[:, i]))
    assert embedding.transform(X[:0], []).shape == (0, 2)
    assert embedding.transform(X[:0], several[:0]).shape == (0, 4, 2)


def test_degenerate_descriptors():
    equal = HammingEmbedding(4).fit(np.full((20, 6), 7, np.uint8), np.zeros(20, int))
    assert not equal.transform(np.full((2, 6), 7, np.uint8), [0, 0]).any()  # none is above
    one = HammingEmbedding(4).fit(np.full((1, 6), 7, np.uint8), [3])
    assert one.medians_.shape == (4, 4)
    assert not np.ptp(one.medians_, axis=0).any()
    assert HammingEmbedding(4).fit(np.zeros((1, 6)), [0], num_words=9).medians_.shape == (9, 4)


def test_a_file_gives_back_the_same_bits(rng, tmp_path):
    X, ids = points(rng, 300), rng.integers(0, 6, 300)
    embedding = HammingEmbedding(12, min_points=3, random_state=5).fit(X, ids)
    embedding.save(tmp_path / "embedding")
    opened = HammingEmbedding.load(tmp_path / "embedding")
    assert opened.get_params() == embedding.get_params()
    np.testing.assert_array_equal(opened.transform(X, ids), embedding.transform(X, ids))
    damaged = bytearray((tmp_path / "embedding").read_bytes())
    damaged[-200] ^= 1
    (tmp_path / "embedding").write_bytes(damaged)
    with pytest.raises(IndexCorruptError):
        HammingEmbedding.load(tmp_path / "embedding")


ARRAYS = {"projection": np.eye(10, 8, dtype=np.float32), "medians": np.ones((3, 8), np.float32)}


@pytest.mark.parametrize(
    ("parameters", "arrays"),
    [
        ({"n_bits": 8.0}, {}),
        ({"n_bits": True}, {name: array[:, :1] for name, array in ARRAYS.items()}),
        ({"n_bits": "8"}, {}),
        ({"n_bits": 0}, {}),
        ({"n_bits": 9}, {}),
        ({"min_points": 0}, {}),
        ({"min_points": None}, {}),
        ({"random_state": -1}, {}),
        ({"random_state": 0.5}, {}),
        ({"bits": 8}, {}),
        ({}, {"medians": np.ones((3, 8))}),
        ({}, {"medians": np.ones((0, 8), np.float32)}),
        ({}, {"projection": np.full((10, 8), np.nan, np.float32)}),
        ({}, {"more": np.ones(1)}),
    ],
)
def test_files_of_other_contents_are_refused(tmp_path, parameters, arrays):
    known = {"n_bits": 8, "min_points": 2, "random_state": 0}
    path = tmp_path / "embedding"
    FORMAT.write(path, {"parameters": known}, ARRAYS)
    assert HammingEmbedding.load(path).get_params() == known
    FORMAT.write(path, {"parameters": known | parameters}, ARRAYS | arrays)
    with pytest.raises(IndexCorruptError, match="hamming_embedding"):
        HammingEmbedding.load(path)


def test_parameters():
    embedding = HammingEmbedding(32).set_params(random_state=3, min_points=4)
    assert embedding.get_params() == {"n_bits": 32, "min_points": 4, "random_state": 3}
    assert repr(embedding) == "HammingEmbedding(n_bits=32, min_points=4, random_state=3)"
    with pytest.raises(ValueError, match="no parameter 'bits'"):
        embedding.set_params(bits=3)


X = np.zeros((4, 6), np.uint8)
WRONG = {
    "no rows": (X[:0], [], {}, "X must have rows"),
    "too many bits": (X, [0] * 4, {"n_bits": 7}, "n_bits must be at most the 6 columns"),
    "bits": (X, [0] * 4, {"n_bits": 0}, "n_bits"),
    "points": (X, [0] * 4, {"min_points": 0}, "min_points"),
    "seed": (X, [0] * 4, {"random_state": -1}, "random_state"),
    "NaN": (np.full((4, 6), np.nan), [0] * 4, {}, "X must be finite"),
    "huge": (np.full((4, 6), np.float32(3e38)), [0] * 4, {}, "sums are finite"),
    "words too few": (X, [0] * 3, {}, r"words must have shape \(4,\)"),
    "negative word": (X, [0, 0, 0, -1], {}, "got -1"),
    "word of half": (X, [0, 0, 0, 0.5], {}, "words must be int64"),
    "words 2-D": (X, [[0]] * 4, {}, "words must be 1-D"),
    "a great word": (X, [0, 0, 0, 2**60], {}, "num_words"),
}


@pytest.mark.parametrize(("x", "words", "options", "message"), WRONG.values(), ids=list(WRONG))
def test_what_fit_refuses(x, words, options, message):
    with pytest.raises(ValueError, match=message):
        HammingEmbedding(**{"n_bits": 4} | options).fit(x, words)


def test_what_transform_refuses():
    with pytest.raises(ValueError, match="call fit first"):
        HammingEmbedding(4).transform(X, [0] * 4)
    with pytest.raises(ValueError, match="call fit first"):
        HammingEmbedding(4).save("nowhere")
    embedding = HammingEmbedding(4).fit(X, [0, 1, 2, 0])
    with pytest.raises(ValueError, match="words must be from 0 to 2, got 3"):
        embedding.transform(X, [0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"words must have shape \(4,\)"):
        embedding.transform(X, [0, 1])
    with pytest.raises(ValueError, match="6 columns"):
        embedding.transform(X[:, :5], [0] * 4)
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        HammingEmbedding(4).fit(X, [0, 1, 2, 0], num_words=2)


# Embeddings of a vocabulary alone.


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("k", [1, 2, 7, 1000])
def test_means_of_neighborhoods(rng, threads, dtype, k):
    words = points(rng, 120, 16, dtype)
    means = neighborhood_means(words, k, threads=threads)
    expected = reference.neighborhood_means(words, k)
    assert means.dtype == dtype
    if dtype == np.uint8:
        np.testing.assert_array_equal(means, expected)
    else:
        np.testing.assert_allclose(means, expected, rtol=1e-5, atol=1e-5)
    if k == 1:
        np.testing.assert_array_equal(means, words)


def test_neighborhoods_of_very_many_words_are_found_by_a_graph(rng, monkeypatch):
    words = points(rng, 2000, 32)
    exact = neighborhood_means(words, threads=1)
    monkeypatch.setattr(_neighborhoods, "_EXACT_TO", 100)
    monkeypatch.setattr(_neighborhoods, "_BLOCK", 1 << 12)
    found = neighborhood_means(words)
    assert (found == exact).all(axis=1).mean() > 0.9
    np.testing.assert_array_equal(found, neighborhood_means(words, threads=1))


def test_equal_words_are_their_own_surroundings():
    words = np.full((300, 8), 7, np.uint8)
    np.testing.assert_array_equal(neighborhood_means(words), words)


@pytest.mark.parametrize("n_bits", [1, 13, 24])
def test_an_embedding_of_words_compares_with_what_is_around_them(rng, threads, n_bits):
    words, X = points(rng, 60), points(rng, 400)
    ids = rng.integers(0, 60, (400, 3))
    embedding = HammingEmbedding.from_words(words, n_bits, n_neighbors=5, threads=threads)
    fitted = HammingEmbedding(n_bits).fit(X, ids[:, 0])
    np.testing.assert_array_equal(embedding.projection_, fitted.projection_)
    same = HammingEmbedding.from_words(Vocabulary(words, "x"), n_bits, n_neighbors=5)
    np.testing.assert_array_equal(same.medians_, embedding.medians_)
    around = reference.neighborhood_means(words, 5).astype(np.float64) @ embedding.projection_
    differences = (X.astype(np.float64) @ embedding.projection_)[:, None] - around[ids]
    clear = np.abs(differences) > 1e-2
    bits = bits_of(embedding.transform(X, ids, threads=threads), n_bits)
    np.testing.assert_array_equal(bits[clear], differences[clear] > 0)


def test_an_embedding_of_words_is_saved(rng, tmp_path):
    words = points(rng, 30)
    embedding = HammingEmbedding.from_words(words, 13, random_state=3)
    embedding.save(tmp_path / "e")
    loaded = HammingEmbedding.load(tmp_path / "e")
    assert loaded.get_params() == embedding.get_params()
    np.testing.assert_array_equal(loaded.medians_, embedding.medians_)
    again = HammingEmbedding.from_means(neighborhood_means(words), 13, random_state=3)
    np.testing.assert_array_equal(again.medians_, embedding.medians_)
    means, projection = neighborhood_means(words), embedding.projection_
    again = HammingEmbedding.from_means(means, projection=projection)
    assert again.n_bits == 13
    np.testing.assert_array_equal(again.medians_, embedding.medians_)
    with pytest.raises(ValueError, match="a row for each of the 24 columns of means"):
        HammingEmbedding.from_means(means, projection=projection[1:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: neighborhood_means(np.zeros((0, 4), np.uint8)), "at least one word"),
        (lambda: neighborhood_means(np.zeros((4, 4), np.uint8), 0), "n_neighbors must be"),
        (lambda: neighborhood_means([[np.nan]]), "finite"),
        (
            lambda: HammingEmbedding.from_means(np.zeros((0, 4), np.uint8), 2),
            "the number of means must be",
        ),
        (lambda: HammingEmbedding.from_means(np.zeros((3, 4), np.uint8), 5), "4 columns of means"),
        (
            lambda: HammingEmbedding.from_means(np.full((3, 4), 3e38, np.float32), 2),
            "sums are finite",
        ),
        (lambda: HammingEmbedding.from_words(np.zeros((3, 4), np.uint8), 0), "n_bits must be"),
    ],
)
def test_words_without_an_embedding_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_projection_that_was_given_may_be_changed(rng):
    means = points(rng, 30)
    projection = HammingEmbedding.from_means(means, 13).projection_
    own = projection.copy()
    embedding = HammingEmbedding.from_means(means, projection=own)
    own[:] = 0
    np.testing.assert_array_equal(embedding.projection_, projection)
