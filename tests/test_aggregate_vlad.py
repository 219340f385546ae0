# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import interrupts
import reference_aggregate as reference
from aggregate_cases import KINDS, joined, photos_of, same_on_every_isa
from trouvaille import _core
from trouvaille.aggregate import VLAD, FisherVector
from trouvaille.neighbors import Exact
from trouvaille.words import KMeans, Vocabulary

NORMALIZATIONS = [
    {"intra": False, "norm": None},
    {"intra": False},
    {"intra": False, "power": 0.5},
    {"power": 0.2},
    {"unit_residuals": True},
    {"unit_residuals": True, "intra": False, "power": 0.5},
    {},
]


def check(actual, photos, words, **options):
    expected = [reference.vlad(photo, words, **options) for photo in photos]
    assert actual.dtype == np.float32
    scale = np.abs(expected).max() if options.get("norm", "l2") is None else 1
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("options", NORMALIZATIONS)
def test_equals_the_formula(rng, isa, dtype, options):
    photos = photos_of(rng, dtype)
    words = photos_of(rng, dtype, sizes=(7,))[0]
    check(VLAD(words, **options).transform(photos), photos, words, **options)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("n_dims", [1, 2, 7, 8, 9, 16, 31, 64, 128, 130])
def test_any_length(rng, isa, dtype, n_dims):
    photos, words = photos_of(rng, dtype, n_dims), photos_of(rng, dtype, n_dims, sizes=(5,))[0]
    for options in NORMALIZATIONS[:5]:
        check(VLAD(words, **options).transform(photos), photos, words, **options)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("assignments", [2, 3, 9, 20])
@pytest.mark.parametrize("sigma", [1.0, 30.0, 1e4])
def test_several_words_for_a_descriptor(rng, isa, dtype, assignments, sigma):
    photos, words = photos_of(rng, dtype), photos_of(rng, dtype, sizes=(12,))[0]
    for options in ({}, {"intra": False}, {"unit_residuals": True}):
        options = {"assignments": assignments, "sigma": sigma, **options}
        check(VLAD(words, **options).transform(photos), photos, words, **options)


def test_the_learned_width_is_that_of_gaussians(rng):
    words = rng.integers(40, 216, (9, 12)).astype(np.float32)
    x = words[rng.integers(0, 9, 2000)] + rng.normal(0, 12, (2000, 12))
    photos = [x.astype(np.float32)]
    vlad = VLAD(words, assignments=3).fit(photos)
    assert vlad.sigma_ == pytest.approx(12, rel=0.05)
    check(vlad.transform(photos), photos, vlad.words_, assignments=3, sigma=vlad.sigma_)


@pytest.mark.parametrize("num_words", [1, 15, 16, 17, 128, 129, 257])
def test_any_number_of_words(rng, isa, num_words):
    photos = photos_of(rng, sizes=(60, 0, 9))
    words = rng.integers(0, 256, (num_words, 12), np.uint8)
    words[-1] = words[0]  # of equal words the first is the nearest
    check(VLAD(words).transform(photos), photos, words)


def test_bytes_beyond_32_bits_are_taken_as_floats(rng):
    photos = [rng.integers(0, 256, (2, _core.max_byte_dims + 1), np.uint8)]
    check(VLAD(photos[0]).transform(photos), photos, photos[0])
    check(VLAD(photos[0][:1]).transform(photos), photos, photos[0][:1])


def test_sums_of_bytes_are_exact(rng, isa):
    """A thousand descriptors, in any order."""
    photo = rng.integers(0, 256, (1000, 24)).astype(np.uint8)
    words = rng.integers(0, 256, (4, 24)).astype(np.uint8)
    vlad = VLAD(words, intra=False, norm=None)
    v = vlad.transform([photo, photo[::-1]])
    np.testing.assert_array_equal(v[0], v[1])
    np.testing.assert_array_equal(v[0], reference.vlad(photo, words, intra=False, norm=None))


@pytest.mark.parametrize("n_rows", [256, 257, 258, 514, 600])
def test_a_word_that_has_more_bytes_than_16_bits_hold(isa, n_rows):
    words = np.uint8([[0, 3, 255], [200, 0, 0]])
    photos = [np.full((n_rows, 3), 255, np.uint8), np.full((5, 3), 255, np.uint8)] * 2
    v = VLAD(words, intra=False, norm=None).transform(photos)
    for photo, own in zip(photos, v, strict=True):
        np.testing.assert_array_equal(own, reference.vlad(photo, words, intra=False, norm=None))


@pytest.mark.parametrize("dtype", KINDS)
def test_neither_threads_nor_batches_nor_instruction_sets_matter(rng, threads, dtype):
    photos, words = photos_of(rng, dtype, sizes=(40, 3, 0, 200) * 9), rng.integers(0, 256, (6, 12))
    words = words.astype(dtype)
    options = {"power": 0.5, "assignments": 2, "sigma": 20.0}
    one = same_on_every_isa(lambda: VLAD(words, threads=threads, **options).transform(photos))
    for photo, v in zip(photos, one, strict=True):
        np.testing.assert_array_equal(VLAD(words, **options).transform([photo])[0], v)
    np.testing.assert_array_equal(VLAD(words, **options).transform(joined(photos)), one)


def test_more_descriptors_than_a_block(rng, monkeypatch):
    photos, words = photos_of(rng, sizes=(40, 3, 0, 200, 0, 90, 0)), rng.integers(0, 256, (6, 12))
    vlad = VLAD(words.astype(np.uint8))
    expected = vlad.transform(photos)
    monkeypatch.setattr("trouvaille.aggregate._images._BLOCK", 50)
    np.testing.assert_array_equal(vlad.transform(photos), expected)
    np.testing.assert_array_equal(vlad.transform(joined(photos)), expected)
    np.testing.assert_array_equal(VLAD(5).fit(photos).words_, VLAD(5).fit(joined(photos)).words_)


def test_words_from_anywhere_are_the_same(rng):
    photos = photos_of(rng)
    learned = VLAD(5, random_state=3).fit(photos)
    model = KMeans(5, random_state=3)
    expected = learned.transform(photos)
    for words in (
        model,
        KMeans(5, random_state=3).fit(np.concatenate(photos)),
        learned.words_,
        learned.words_.tolist(),
        Vocabulary(learned.words_, "sift"),
    ):
        np.testing.assert_array_equal(VLAD(words).fit_transform(photos), expected)
    assert not hasattr(model, "cluster_centers_")  # what was given is not changed
    np.testing.assert_array_equal(VLAD(learned.words_).transform(photos), expected)
    other = VLAD(5, random_state=4).fit(photos)
    assert not np.array_equal(other.words_, learned.words_)


def test_a_sample_is_learned_from(rng):
    photos = photos_of(rng, sizes=(500, 400, 0, 800))
    vlad = VLAD(4, max_descriptors=300).fit(photos)
    assert vlad.words_.dtype == np.uint8
    assert not np.array_equal(vlad.words_, VLAD(4).fit(photos).words_)
    again = VLAD(4, max_descriptors=300).fit(joined(photos))
    np.testing.assert_array_equal(vlad.words_, again.words_)


@pytest.mark.parametrize("dtype", KINDS)
def test_with_principal_components(rng, dtype):
    photos = photos_of(rng, dtype)
    photos[3][7] = 0  # a descriptor like others, which is not where the mean is
    vlad = VLAD(5, pca=3, power=0.5).fit(photos)
    assert vlad.words_.shape == (5, 3)
    reduced = [(photo - vlad.pca_.mean_) @ vlad.pca_.components_.T for photo in photos]
    check(vlad.transform(photos), reduced, vlad.words_, power=0.5)
    mean, axes, _ = reference.principal_axes(np.concatenate(photos), 3)
    coordinates = (photos[0] - mean) @ axes.T
    np.testing.assert_allclose(np.abs(reduced[0]), np.abs(coordinates), atol=1e-3)


@pytest.mark.parametrize("far", [1e30, 3e38])
def test_far_descriptors_after_principal_components(rng, isa, far):
    photos = photos_of(rng, np.float32)
    encoders = VLAD(5, pca=3).fit(photos), FisherVector(4, pca=3).fit(photos)
    photos[0][5], photos[0][6], photos[1] = far, -far, np.full((2, 12), far, np.float32)
    for encoder in encoders:
        v = encoder.transform(photos)
        np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, atol=1e-6)


def test_bytes_and_floats_mix(rng):
    photos, words = photos_of(rng), rng.integers(0, 256, (6, 12)).astype(np.uint8)
    expected = VLAD(words).transform(photos)
    mixed = [photo.astype(np.float64) if i % 2 else photo for i, photo in enumerate(photos)]
    np.testing.assert_array_equal(VLAD(words.astype(np.float32)).transform(mixed), expected)
    np.testing.assert_array_equal(VLAD(words).transform(mixed), expected)
    np.testing.assert_array_equal(VLAD(words.astype(np.float32)).transform(photos), expected)


def test_photos_of_the_same_are_found(rng):
    things = rng.integers(0, 256, (20, 30, 16))
    views = [np.clip(t[:25] + rng.normal(0, 6, (25, 16)), 0, 255).astype(np.uint8) for t in things]
    vlad = VLAD(4).fit(list(things.astype(np.uint8)))
    index = Exact("ip").build(vlad.transform(list(things.astype(np.uint8))))
    assert (index.search(vlad.transform(views), 1).ids[:, 0] == np.arange(20)).all()


@given(
    st.lists(
        hnp.arrays(np.uint8, st.tuples(st.integers(0, 12), st.just(3))), min_size=1, max_size=6
    ),
    st.integers(1, 4),
    st.sampled_from(NORMALIZATIONS),
)
def test_laws(photos, num_words, options):
    words = np.random.default_rng(0).integers(0, 256, (num_words, 3)).astype(np.uint8)
    v = VLAD(words, **options).transform(photos)
    check(v, photos, words, **options)
    if options.get("norm", "l2"):
        lengths = np.linalg.norm(v, axis=1)
        assert (np.isclose(lengths, 1, atol=1e-6) | (lengths == 0)).all()
    doubled = VLAD(words, **options).transform([np.repeat(photo, 2, axis=0) for photo in photos])
    factor = 1 if options.get("norm", "l2") else 2
    np.testing.assert_allclose(doubled, factor * v, atol=1e-6)


def test_interrupt_within_200_milliseconds(rng, isa):
    x = rng.integers(0, 256, (50_000, 512), np.uint8)
    words = x[:2]
    ids = np.zeros((len(x), 200), np.int64)  # one photo that takes most of a second
    offsets, none = np.int64([0, len(x)]), np.empty((0, 0), np.float32)

    def call():
        for _ in range(100):
            _core.vlad(x, offsets, words, ids, none, False, 1.0, True, True, 1)

    assert interrupts.seconds_to_stop(call) < interrupts.LIMIT


def test_the_kernel_refuses_what_would_be_unsafe(rng):
    x, words = np.zeros((3, 2), np.float32), np.zeros((2, 2), np.float32)
    ids, none = np.zeros((3, 1), np.int64), np.empty((0, 0), np.float32)
    good = (x, np.int64([0, 3]), words, ids, none)
    for i, bad in [
        (1, np.int64([0, 4])),
        (1, np.int64([])),
        (1, np.int64([0, 2, 1, 3])),
        (1, np.int64([1, 3])),
        (2, np.zeros((2, 3), np.float32)),
        (3, ids[1:]),
        (3, ids + 2),
        (3, ids - 1),
        (4, np.zeros((3, 2), np.float32)),
    ]:
        given = [bad if i == j else array for j, array in enumerate(good)]
        with pytest.raises(ValueError, match=r"offsets|fit together|differ|names no word"):
            _core.vlad(*given, False, 1.0, True, True, 1)
    with pytest.raises(ValueError, match="power"):
        _core.vlad(*good, False, 0.0, True, True, 1)
