# SPDX-License-Identifier: Apache-2.0
"""Bad input of the encoders, their files, and the examples of their documentation."""

import doctest
import importlib

import numpy as np
import pytest

import hostile
from aggregate_cases import joined, photos_of
from trouvaille.aggregate import (
    VLAD,
    BagOfWords,
    FisherVector,
    GaussianMixture,
    LearnedWhitening,
    PCAWhitening,
)
from trouvaille.errors import IndexCorruptError
from trouvaille.words import KMeans

ENCODERS = [
    BagOfWords(3),
    VLAD(3),
    VLAD(3, assignments=2, pca=4),
    FisherVector(3),
    FisherVector(2, pca=4),
]
WORDS = np.uint8([[0, 0], [9, 9]])
PCA = {
    "pca_mean": np.zeros(4),
    "pca_components": np.eye(3, 4, dtype=np.float32),
    "pca_explained_variance": np.ones(3),
}
ROOTED = KMeans(2, metric="hellinger").fit(np.uint8([[1, 2], [9, 1]]))
UNIT = GaussianMixture.from_parameters([1], [[0, 0]], [[1, 1]])


def fresh(encoder):
    return type(encoder)(**encoder.get_params())


@pytest.fixture(params=ENCODERS, ids=repr)
def encoder(request):
    return fresh(request.param)


def test_photos_without_features_have_zeros(rng, encoder):
    photos = [*photos_of(rng), np.empty((0, 12), np.float32), np.empty(0), [], np.zeros((0, 7))]
    vectors = encoder.fit(photos).transform(photos)
    none = [i for i, photo in enumerate(photos) if len(photo) == 0]
    assert (vectors[none] == 0).all()
    assert (np.abs(np.delete(vectors, none, 0)).max(axis=1) > 0).all()
    assert encoder.transform([]).shape == (0, vectors.shape[1])
    assert (encoder.transform([np.empty(0)]) == 0).all()


def test_zero_descriptors_are_descriptors(rng, encoder):
    photos = [*photos_of(rng), np.zeros((4, 12), np.uint8)]
    assert np.isfinite(encoder.fit_transform(photos)).all()


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((5, 12)), ValueError, r"X must be a list.*\(5, 12\).*pass \[X\]"),
        (np.zeros(5), ValueError, "X must be a list"),
        ("photo", TypeError, "X must be a list"),
        (b"photo", TypeError, "X must be a list"),
        ({"a": 1}, TypeError, "X must be a list"),
        (7, TypeError, "X must be a list"),
        (None, TypeError, "X must be a list"),
        ([np.zeros(12)], ValueError, r"X\[0\] must be 2-D"),
        ([np.zeros((1, 12)), np.zeros((1, 13))], ValueError, r"X\[1\] must have 12 columns"),
        ([np.zeros((2, 3, 4))], ValueError, r"X\[0\] must be 2-D"),
        ([np.full((2, 12), np.nan)], ValueError, r"X\[0\] must be finite"),
        ([np.full((2, 12), np.inf)], ValueError, r"X\[0\] must be finite"),
        ([np.full((2, 12), 0.1)], ValueError, r"X\[0\] must be float32"),
        ([np.zeros((2, 12), complex)], TypeError, r"X\[0\] must hold"),
        ([np.zeros((2, 12), object)], TypeError, r"X\[0\] must hold"),
        ([np.ma.zeros((2, 12))], TypeError, r"X\[0\] must not be a masked array"),
        ([None], TypeError, r"X\[0\]"),
        ((np.zeros((4, 12)), [0, 3]), ValueError, r"X\[1\] must go from 0 to 4"),
        ((np.zeros((4, 12)), [1, 4]), ValueError, r"X\[1\] must go from 0 to 4"),
        ((np.zeros((4, 12)), [0, 3, 2, 4]), ValueError, r"X\[1\] must not decrease"),
        ((np.zeros((4, 12)), [0, 1.5, 4]), ValueError, r"X\[1\] must be int64"),
        ((np.zeros(4), [0, 4]), ValueError, r"X\[0\] must be 2-D"),
        ((np.zeros((4, 13)), [0, 4]), ValueError, r"X\[0\] must have 12 columns"),
    ],
)
def test_says_what_is_wrong_with_photos(rng, encoder, X, error, message):
    encoder.fit(photos_of(rng))
    with pytest.raises(error, match=message):
        encoder.transform(X)


@pytest.mark.parametrize(
    ("encoder", "X", "message"),
    [
        (VLAD(3), [], "X must hold descriptors"),
        (VLAD(3), [np.empty((0, 2))], "X must hold descriptors"),
        (VLAD(3), [WORDS], "at least num_words=3 distinct points, it has 2"),
        (VLAD(2), [np.ones((9, 2))], "at least num_words=2 distinct points, it has 1"),
        (BagOfWords(3), [WORDS], "at least num_words=3 distinct points"),
        (FisherVector(3), [WORDS], "at least num_words=3 distinct points"),
        (FisherVector(1), [np.ones((9, 2))], "X must be of points that vary"),
        (FisherVector(1), [np.ones((1, 2))], "X must be of points that vary"),
        (FisherVector(1), [], "X must hold descriptors"),
        (VLAD(WORDS), [np.zeros((2, 3))], "words must have the 3 columns of X"),
        (FisherVector(UNIT), [np.zeros((2, 3))], "mixture must have the 3 columns of X"),
        (
            VLAD(WORDS),
            [np.full((2, 2), 1e20, np.float32)],
            "X must be within 1.8e\\+19 of the near",
        ),
        (VLAD(1, pca=3), [WORDS], "pca must be between 1 and 2"),
        (VLAD(1, pca=2), [WORDS], "X must vary in at least n_components=2 directions"),
        (VLAD(KMeans(2, metric="hellinger")), [WORDS], "KMeans of metric='l2', got 'hellinger'"),
        (BagOfWords(ROOTED), [WORDS], "KMeans of metric='l2', got 'hellinger'.*Give RootSIFT"),
        (VLAD(np.zeros((0, 2))), [WORDS], "words must hold at least one word"),
        (VLAD(np.zeros(2)), [WORDS], "words must be 2-D"),
        (VLAD([[np.nan, 0]]), [WORDS], "words must be finite"),
        (VLAD(0), [WORDS], "words must be between 1"),
        (VLAD(1, max_descriptors=0), [WORDS], "max_descriptors must be between 1"),
        (VLAD(1, random_state=-1), [WORDS], "random_state must be between 0"),
        (VLAD(1, threads=0), [WORDS], "threads must be between 1"),
        (VLAD(1, power=0), [WORDS], "power must be above 0"),
        (VLAD(1, power=1.5), [WORDS], "power must be between 0 and 1"),
        (VLAD(1, norm="l1"), [WORDS], "norm must be 'l2' or None"),
        (VLAD(1, norm=2), [WORDS], "norm must be 'l2' or None"),
        (VLAD(WORDS, assignments=0), [WORDS], "assignments must be between 1"),
        (VLAD(WORDS, assignments=2, sigma=0), [WORDS], "sigma must be positive"),
        (VLAD(WORDS, assignments=2, sigma=np.nan), [WORDS], "sigma must be positive"),
        (BagOfWords(1, weighting="bm25"), [WORDS], "weighting must be None, 'tfidf' or"),
        (BagOfWords(1, burstiness="intra"), [WORDS], "burstiness must be None or 'sqrt'"),
        (BagOfWords(1, norm="l3"), [WORDS], "norm must be 'l2', 'l1' or None"),
        (FisherVector(0), [WORDS], "mixture must be between 1"),
        (FisherVector(GaussianMixture(1, tol=-1)), [WORDS], "tol must be between 0"),
        (FisherVector(GaussianMixture(1, iterations=0)), [WORDS], "iterations must be between 1"),
        (FisherVector(GaussianMixture(1, variance_floor=2)), [WORDS], "variance_floor must be"),
        (FisherVector(UNIT, power=0), [WORDS], "power must be above 0"),
    ],
    ids=str,
)
def test_says_what_is_wrong_with_arguments(encoder, X, message):
    with pytest.raises(ValueError, match=message):
        fresh(encoder).fit_transform(X)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (VLAD("many"), "words must be a whole number"),
        (VLAD(None), "words must be a number, a Vocabulary"),
        (VLAD(2.5), "words must be a whole number"),
        (VLAD(True), "words must be a whole number"),
        (VLAD(WORDS, intra="no"), "intra must be True or False"),
        (VLAD(WORDS, unit_residuals=1), "unit_residuals must be True or False"),
        (VLAD(WORDS, power="half"), "power must be a number"),
        (BagOfWords(WORDS, sparse="yes"), "sparse must be True or False"),
        (FisherVector("many"), "mixture must be a whole number"),
        (FisherVector(2.5), "mixture must be a whole number"),
    ],
    ids=str,
)
def test_refuses_wrong_types(encoder, message):
    with pytest.raises(TypeError, match=message):
        fresh(encoder).fit_transform([WORDS])


@pytest.mark.parametrize(
    "encoder",
    [
        VLAD(3),
        VLAD(WORDS, pca=1),
        BagOfWords(3),
        BagOfWords(WORDS, weighting="tfidf"),
        FisherVector(3),
        FisherVector(GaussianMixture(2)),
        FisherVector(UNIT, pca=1),
        VLAD(KMeans(2)),
    ],
    ids=str,
)
def test_says_that_nothing_was_learned(tmp_path, encoder):
    encoder = fresh(encoder)
    with pytest.raises(ValueError, match=f"this {type(encoder).__name__} has learned nothing"):
        encoder.transform([WORDS])
    with pytest.raises(ValueError, match="has learned nothing"):
        encoder.save(tmp_path / "encoder.tv")
    assert not (tmp_path / "encoder.tv").exists()


@pytest.mark.parametrize(
    ("encoder", "changes"),
    [
        (VLAD(5, pca=2), {"pca": 4, "words": 10**5}),
        (VLAD(5), {"pca": 4, "words": 10**5}),
        (VLAD(5, pca=2), {"pca": None, "words": np.zeros((3, 5))}),
        (BagOfWords(5), {"words": 10**5}),
        (BagOfWords(5, weighting="tfidf"), {"words": 6, "weighting": "bm25"}),
        (BagOfWords(5, weighting="tfidf"), {"words": 6, "assignments": 0}),
        (FisherVector(3, pca=2), {"pca": 4, "mixture": 10**5}),
        (FisherVector(3, pca=2), {"pca": 4, "mixture": UNIT}),
    ],
    ids=str,
)
def test_what_was_learned_outlives_a_fit_that_fails(rng, encoder, changes):
    photos, encoder = photos_of(rng), fresh(encoder)
    before = encoder.get_params()
    expected = encoder.fit(photos).transform(photos)
    encoder.set_params(**changes)
    with pytest.raises(ValueError, match="must"):
        encoder.fit(photos)
    np.testing.assert_array_equal(encoder.set_params(**before).transform(photos), expected)


@pytest.mark.parametrize("kind", [VLAD, BagOfWords])
def test_any_width(rng, kind):
    """Of a very small one the nearest word counts alone; of a very large one all count alike."""
    photos = photos_of(rng)
    words = np.concatenate(photos)[:7]
    nearest = kind(words).transform(photos)
    for sigma in (1e-200, 5e-324, 1e-3):
        narrow = kind(words, assignments=3, sigma=sigma).transform(photos)
        np.testing.assert_array_equal(narrow, nearest)
    alike = kind(words, assignments=3, sigma=1e12).transform(photos)
    for sigma in (1e200, 1e308):
        wide = kind(words, assignments=3, sigma=sigma).transform(photos)
        np.testing.assert_array_equal(wide, alike)


def test_says_that_the_width_is_missing():
    with pytest.raises(ValueError, match="sigma must be given with assignments > 1"):
        VLAD(WORDS, assignments=2).transform([WORDS])


def test_one_word_only(rng):
    photos = photos_of(rng)
    for encoder in (BagOfWords(1), VLAD(1), VLAD(1, assignments=5), FisherVector(1)):
        assert np.isfinite(encoder.fit_transform(photos)).all()
    assert (BagOfWords(1).fit_transform(photos)[:, 0] == [1, 0, 1, 1, 1]).all()
    words = np.uint8([[3, 4]])
    np.testing.assert_allclose(VLAD(words).transform([[[6, 8]], [[3, 4]]]), [[0.6, 0.8], [0, 0]])


def test_all_descriptors_are_words():
    """Nothing is left of them: a vector of zeros, and no division by the width of nothing."""
    for options in ({}, {"assignments": 2}, {"unit_residuals": True}, {"power": 0.5}):
        vectors = VLAD(WORDS, **options).fit([WORDS]).transform([WORDS, WORDS[:1]])
        assert (vectors == 0).all()


@pytest.mark.parametrize(
    "name",
    [
        "strided",
        "Fortran order",
        "read-only",
        "unaligned",
        "list",
        "int64",
        "float16",
        "byte-swapped",
    ],
)
def test_any_form_of_the_same_numbers(rng, encoder, name):
    photos = photos_of(rng)
    expected = encoder.fit(photos).transform(photos)
    changed = [hostile.FORMS[name](photo) if len(photo) else photo for photo in photos]
    np.testing.assert_array_equal(encoder.transform(changed), expected)
    values, offsets = joined(photos)
    np.testing.assert_array_equal(
        encoder.transform((hostile.FORMS[name](values), hostile.FORMS[name](offsets))), expected
    )


def test_two_photos_in_a_tuple_are_no_offsets(rng, encoder):
    photos = photos_of(rng)
    encoder.fit(photos)
    expected = encoder.transform(photos[:2])
    np.testing.assert_array_equal(encoder.transform(tuple(photos[:2])), expected)
    np.testing.assert_array_equal(encoder.transform((photos[0], np.empty(0))), expected)
    with pytest.raises(TypeError, match=r"X must be a list.*list_iterator"):
        encoder.transform(iter(photos[:2]))


@pytest.mark.parametrize(
    "module",
    [
        *("bag_of_words", "fisher_vector", "gaussian_mixture"),
        *("learned_whitening", "pca_whitening", "vlad"),
    ],
)
def test_the_examples_of_a_module(module):
    found = doctest.testmod(importlib.import_module(f"trouvaille.aggregate.{module}"))
    assert found.failed == 0
    assert found.attempted > 0


def test_parameters(encoder):
    params = encoder.get_params()
    assert encoder.set_params(threads=2).threads == 2
    assert encoder.get_params() == params | {"threads": 2}
    assert repr(encoder).startswith(type(encoder).__name__)
    with pytest.raises(ValueError, match="has no parameter 'clusters'; it has "):
        encoder.set_params(clusters=3)


def learned(rng):
    photos = photos_of(rng)
    X = rng.normal(size=(30, 6)).astype(np.float32)
    encoders = [fresh(encoder).fit(photos) for encoder in ENCODERS]
    encoders += [VLAD(photos[0][:3], assignments=2).fit(photos)]
    encoders += [BagOfWords(np.int64(4), weighting="tfidf").fit(photos)]
    encoders += [BagOfWords(photos[0][:3]).fit(photos)]
    encoders += [FisherVector(GaussianMixture(2)).fit(photos)]
    pairs = [[0, 1], [2, 3], [4, 9]]
    return [(encoder, photos) for encoder in encoders] + [
        (PCAWhitening(3, whitening_power=0.25).fit(X), X),
        (LearnedWhitening(3, regularization=0.5).fit(X, pairs), X),
    ]


def test_files_bring_back_the_same(rng, tmp_path):
    for i, (encoder, X) in enumerate(learned(rng)):
        path = tmp_path / f"{i}.tv"
        encoder.save(path)
        opened = type(encoder).load(path)
        np.testing.assert_array_equal(opened.transform(X), encoder.transform(X))
        plain = {k: v for k, v in encoder.get_params().items() if isinstance(v, (int, float, str))}
        assert plain.items() <= opened.get_params().items()
        assert type(encoder)(**opened.get_params()).get_params() == opened.get_params()
        opened.save(path)
        np.testing.assert_array_equal(type(encoder).load(path).transform(X), encoder.transform(X))
    mixture = GaussianMixture(2).fit(X)
    mixture.save(path)
    opened = GaussianMixture.load(path)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(opened, name), getattr(mixture, name))


@pytest.mark.parametrize(
    "encoder",
    [
        VLAD(WORDS),
        VLAD(WORDS.astype(np.float32), assignments=2, sigma=3.0),
        BagOfWords(WORDS),
        FisherVector(UNIT),
        VLAD(KMeans(2).fit(WORDS)),
    ],
    ids=str,
)
def test_what_was_given_is_saved_without_a_fit(rng, tmp_path, encoder):
    photos = [rng.integers(0, 10, (20, 2), np.uint8)]
    encoder = fresh(encoder)
    for _ in range(2):  # whether or not it was used before
        encoder.save(tmp_path / "encoder.tv")
        opened = type(encoder).load(tmp_path / "encoder.tv")
        np.testing.assert_array_equal(opened.transform(photos), encoder.transform(photos))
    np.testing.assert_array_equal(
        opened.fit(photos).transform(photos), encoder.fit(photos).transform(photos)
    )


@pytest.mark.parametrize(
    "encoder",
    [
        VLAD(KMeans(np.int64(3), random_state=5)),
        VLAD(KMeans(4, algorithm="approximate"), pca=3),
        BagOfWords(KMeans(3, iterations=2)),
        FisherVector(GaussianMixture(2, iterations=3), pca=3),
    ],
    ids=str,
)
def test_an_opened_encoder_learns_as_the_saved_one_did(rng, tmp_path, encoder):
    photos, others = photos_of(rng), photos_of(rng)
    encoder = fresh(encoder).fit(photos)
    encoder.save(tmp_path / "encoder.tv")
    opened = type(encoder).load(tmp_path / "encoder.tv")
    np.testing.assert_array_equal(opened.transform(photos), encoder.transform(photos))
    assert repr(opened) == repr(encoder).replace("np.int64(3)", "3")
    expected = encoder.fit(others).transform(others)
    np.testing.assert_array_equal(opened.fit(others).transform(others), expected)


def test_damaged_files_are_refused(rng, tmp_path):
    path = tmp_path / "encoder.tv"
    for encoder, _ in learned(rng):
        encoder.save(path)
        content = bytearray(path.read_bytes())
        for place in rng.integers(0, len(content), 40):
            damaged = content.copy()
            damaged[place] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            with pytest.raises(IndexCorruptError):
                type(encoder).load(path)
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(IndexCorruptError):
            type(encoder).load(path)
    with pytest.raises(FileNotFoundError):
        VLAD.load(tmp_path / "none.tv")


@pytest.mark.parametrize(
    ("kind", "parameters", "changes"),
    [
        (VLAD, {}, {"words": np.zeros((0, 3), np.uint8)}),
        (VLAD, {}, {"words": np.zeros(3, np.uint8)}),
        (VLAD, {}, {"words": np.zeros((2, 3))}),
        (VLAD, {}, {"words": np.full((2, 3), np.nan, np.float32)}),
        (VLAD, {}, {"words": np.zeros((2, 3), np.int32)}),
        (VLAD, {}, {"sigma": np.float64([-1])}),
        (VLAD, {}, {"sigma": np.float64([1, 2])}),
        (VLAD, {}, {"more": np.zeros(3)}),
        (VLAD, {}, {"pca_mean": np.zeros(3)}),
        (VLAD, {"clusters": 3}, {}),
        (VLAD, {"words": {}}, {}),
        (VLAD, {"words": {"model": [], "parameters": {}}}, {}),
        (VLAD, {"words": {"model": "GaussianMixture", "parameters": {}}}, {}),
        (VLAD, {"words": {"model": "KMeans", "parameters": {"clusters": 3}}}, {}),
        (VLAD, {"words": {"model": "KMeans", "parameters": 3}}, {}),
        (BagOfWords, {}, {"idf": np.ones(3)}),
        (BagOfWords, {}, {"idf": np.float64([1, np.inf])}),
        (BagOfWords, {}, {"idf": None}),
        (BagOfWords, {}, {"idf": np.float64([1, -1e-9])}),
        (BagOfWords, {}, PCA),
        (FisherVector, {}, {"weights": np.float64([1, -1])}),
        (FisherVector, {}, {"weights": np.ones(3)}),
        (FisherVector, {}, {"weights": np.ones(2)}),
        (FisherVector, {}, {"weights": np.uint8([1, 1])}),
        (FisherVector, {}, {"means": np.zeros((2, 3), np.uint8)}),
        (FisherVector, {}, {"covariances": np.ones((2, 3), np.float32)}),
        (GaussianMixture, {}, {"weights": np.uint8([1, 1])}),
        (FisherVector, {}, {"covariances": np.zeros((2, 3))}),
        (FisherVector, {}, {"means": np.zeros((2, 4))}),
        (FisherVector, {}, {"means": np.full((2, 3), 1e300)}),
        (PCAWhitening, {}, {"explained_variance": np.zeros(2)}),
        (PCAWhitening, {}, {"mean": np.zeros(4)}),
        (PCAWhitening, {}, {"mean": np.zeros(3, np.float32)}),
        (PCAWhitening, {}, {"components": np.zeros((3, 3), np.float32)}),
    ],
)
def test_files_of_other_arrays_are_refused(tmp_path, kind, parameters, changes):
    words = {"words": np.zeros((2, 3), np.uint8), "sigma": np.ones(1)}
    mixture = {
        "weights": np.full(2, 0.5),
        "means": np.zeros((2, 3)),
        "covariances": np.ones((2, 3)),
    }
    arrays = {
        VLAD: words,
        BagOfWords: words | {"idf": np.ones(2)},
        FisherVector: mixture,
        GaussianMixture: mixture,
        PCAWhitening: {
            "mean": np.zeros(3),
            "components": np.zeros((2, 3), np.float32),
            "explained_variance": np.ones(2),
        },
    }[kind]
    parameters = ({"words": None} if kind is BagOfWords else {}) | parameters
    path = tmp_path / "encoder.tv"
    kind._format.write(path, {"parameters": parameters}, arrays)
    if not changes and parameters == {}:
        pytest.fail("changes nothing")
    changed = {name: array for name, array in (arrays | changes).items() if array is not None}
    if changes and parameters.keys() <= {"words"}:
        kind.load(path)  # it is the change that is refused
    kind._format.write(path, {"parameters": parameters}, changed)
    with pytest.raises(IndexCorruptError):
        kind.load(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([], np.zeros((0, 2)), np.zeros((0, 2))), "one or more"),
        (([1], np.zeros((2, 2)), np.ones((2, 2))), "as many components"),
        (([1], np.zeros((1, 2)), np.ones((1, 3))), "covariances must be variances"),
        (([1], np.zeros((1, 2)), np.ones((1, 2, 2))), "covariances must be variances"),
        (([0], np.zeros((1, 2)), np.ones((1, 2))), "weights must be positive"),
        (([1, 1e-320], np.zeros((2, 2)), np.ones((2, 2))), "weights must be .* their sum"),
        (([1e308, 1e308], np.zeros((2, 2)), np.ones((2, 2))), "weights must be .* their sum"),
        (([1], np.zeros((1, 2)), np.zeros((1, 2))), "covariances must be at least"),
        (([1], np.full((1, 2), 1e39), np.ones((1, 2))), "means must be within"),
        (([1], np.full((1, 2), np.nan), np.ones((1, 2))), "means must be finite"),
    ],
)
def test_says_what_is_wrong_with_a_mixture(arrays, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture.from_parameters(*arrays)


def test_scikit_learns_mixtures_must_be_diagonal(rng):
    mixture = pytest.importorskip("sklearn.mixture")
    photos = photos_of(rng, np.float32)
    X = np.concatenate(photos)
    for kind in ("full", "tied", "spherical"):
        # As many Gaussians as dimensions, so that a tied covariance is of the shape of the means.
        learned = mixture.GaussianMixture(X.shape[1], covariance_type=kind, reg_covar=9).fit(X)
        learned.covariances_ = np.abs(learned.covariances_)
        with pytest.raises(ValueError, match=f"must have covariance_type='diag', got '{kind}'"):
            FisherVector(learned).transform(photos)
    with pytest.raises(ValueError, match="mixture must be fitted"):
        FisherVector(mixture.GaussianMixture(2)).fit(photos)


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.zeros((0, 3)), {}, "X must have rows and columns"),
        (np.zeros((3, 0)), {}, "X must have rows and columns"),
        (np.ones((3, 3)), {}, "at least n_components=1 directions, it varies in 0"),
        (np.ones((1, 3)), {}, "at least n_components=1 directions, it varies in 0"),
        (np.eye(3), {"n_components": 3}, "n_components=3 directions, it varies in 2"),
        (np.eye(3), {"n_components": 0}, "n_components must be between 1"),
        (np.eye(3), {"whitening_power": 2}, "whitening_power must be between 0 and 1"),
        (np.eye(3), {"norm": "l1"}, "norm must be 'l2' or None"),
        (np.full((3, 3), np.nan), {}, "X must be finite"),
        (np.zeros(3), {}, "X must be 2-D"),
    ],
)
def test_says_what_is_wrong_with_vectors(X, options, message):
    with pytest.raises(ValueError, match=message):
        PCAWhitening(**options).fit_transform(X)


@pytest.mark.parametrize(
    ("pairs", "options", "message"),
    [
        (np.zeros((0, 2), int), {}, "must not be empty"),
        ([[0, 3]], {}, "pairs must be of rows from 0 to 2"),
        ([[0, -1]], {}, "pairs must be of rows from 0 to 2"),
        ([[0, 1, 2]], {}, "pairs must have 2 columns"),
        ([[0, 1.5]], {}, "pairs must be int64"),
        ([[0, 1]], {"regularization": 0}, "pairs must differ in as many directions"),
        ([[1, 1]], {}, "pairs must differ in as many directions"),
        ([[0, 1]], {"regularization": -1}, "regularization must not be negative"),
        ([[0, 1]], {"n_components": 4}, "n_components must be between 1 and 3"),
    ],
)
def test_says_what_is_wrong_with_pairs(pairs, options, message):
    with pytest.raises(ValueError, match=message):
        LearnedWhitening(**options).fit(np.eye(3), pairs)


@pytest.mark.parametrize(
    ("scale", "regularization"), [(1e-40, 0), (1, 1e90), (1e4, 1e300), (1e4, 1e308)]
)
def test_refuses_pairs_that_float32_cannot_divide_by(rng, scale, regularization):
    X = rng.normal(size=(50, 6)).astype(np.float32) * np.float32(scale)
    pairs = rng.permutation(50).reshape(-1, 2)
    with pytest.raises(ValueError, match="pairs must differ by amounts between"):
        LearnedWhitening(3, regularization=regularization).fit(X, pairs)


def test_whitenings_say_what_does_not_fit(rng):
    X = rng.normal(size=(30, 6)).astype(np.float32)
    pairs = [[0, 1]]
    for whitening in (PCAWhitening(3), LearnedWhitening(3)):
        with pytest.raises(ValueError, match="has learned nothing"):
            whitening.transform(X)
        fit = whitening.fit(X) if isinstance(whitening, PCAWhitening) else whitening.fit(X, pairs)
        with pytest.raises(ValueError, match="X must have 6 columns"):
            fit.transform(X[:, 1:])
