# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interrupts
import reference_aggregate as reference
from aggregate_cases import KINDS, joined, photos_of, same_on_every_isa
from trouvaille import _core
from trouvaille.aggregate import FisherVector, GaussianMixture

OPTIONS = [{"power": 1, "norm": None}, {"power": 1}, {}, {"power": 0.3}]


def mixture_of(rng, n_components, n_dims, spread=20.0):
    weights = rng.dirichlet(np.full(n_components, 2.0))
    means = rng.uniform(40, 216, (n_components, n_dims))
    variances = (spread * rng.uniform(0.5, 2, means.shape)) ** 2
    return weights, means, variances


def check(actual, photos, mixture, **options):
    expected = [reference.fisher_vector(photo, *mixture, **options) for photo in photos]
    assert actual.dtype == np.float32
    scale = np.abs(expected).max() if options.get("norm", "l2") is None else 1
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("options", OPTIONS)
def test_equals_the_formula(rng, isa, dtype, options):
    photos, mixture = photos_of(rng, dtype), mixture_of(rng, 7, 12)
    given = GaussianMixture.from_parameters(*mixture)
    check(FisherVector(given, **options).transform(photos), photos, mixture, **options)


@pytest.mark.parametrize("n_dims", [1, 2, 7, 8, 9, 16, 17, 64, 130])
@pytest.mark.parametrize("n_components", [1, 2, 15, 16, 17, 65, 130])
def test_any_size(rng, isa, n_dims, n_components):
    photos = photos_of(rng, np.float32, n_dims, sizes=(5, 0, 13))
    mixture = mixture_of(rng, n_components, n_dims, 60.0)
    given = GaussianMixture.from_parameters(*mixture)
    check(FisherVector(given).transform(photos), photos, mixture)


@pytest.mark.parametrize("n_rows", [1, 5, 6, 7, 47, 48, 49, 97])
def test_around_every_block(rng, isa, n_rows):
    photos, mixture = photos_of(rng, sizes=(n_rows, 3)), mixture_of(rng, 20, 12, 60.0)
    given = GaussianMixture.from_parameters(*mixture)
    check(FisherVector(given).transform(photos), photos, mixture)


@pytest.mark.parametrize("n_rows", [1, 15, 16, 17, 191, 192, 193, 401])
def test_around_every_block_of_a_large_mixture(isa, n_rows):
    rng = np.random.default_rng(n_rows)
    photos, mixture = photos_of(rng, n_dims=40, sizes=(n_rows, 3)), mixture_of(rng, 37, 40, 60.0)
    given = GaussianMixture.from_parameters(*mixture)
    check(FisherVector(given).transform(photos), photos, mixture)


def test_what_counts_little_is_right_where_nothing_counts_more(isa):
    """Only beside greater shares of the same Gaussian is a small share left out."""
    rng = np.random.default_rng(0)
    means = rng.normal(0, 0.1, (16, 64))
    means[8:, 0] += 7  # their shares are e^-24 and less
    mixture = np.full(16, 1 / 16), means, np.ones(means.shape)
    photo = np.float32(rng.normal(0, 0.1, (300, 64)))
    given = GaussianMixture.from_parameters(*mixture)
    v = FisherVector(given, power=1, norm=None).transform([photo])[0].reshape(2, 16, 64)
    expected = reference.fisher_vector(photo, *mixture, power=1, norm=None).reshape(2, 16, 64)
    assert 0 < np.abs(expected[:, 8:]).max() < 1e-8
    for k in range(16):
        atol = 1e-5 * np.abs(expected[:, k]).max()
        np.testing.assert_allclose(v[:, k], expected[:, k], rtol=0, atol=atol)


@pytest.mark.parametrize("spread", [0.01, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("far", [0.0, 1e4])
def test_narrow_and_wide_gaussians_far_from_the_origin(rng, isa, spread, far):
    weights, means, variances = mixture_of(rng, 9, 12, spread)
    mixture = weights, means + far, variances
    near = means[rng.integers(0, 9, 40)] + far + spread * rng.normal(size=(40, 12))
    photos = [near.astype(np.float32), photos_of(rng, np.float32)[0] + np.float32(far)]
    given = GaussianMixture.from_parameters(*mixture)
    check(FisherVector(given).transform(photos), photos, mixture)


# From 1,024 numbers on float32 is used where it is enough: not for Gaussians that are far from
# the others beside their width, and not for descriptors that are far from all.
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("away", [1, 10, 40, 100, 1e7])
def test_large_mixtures(rng, isa, dtype, away):
    weights, means, variances = mixture_of(rng, 37, 40, 60.0)
    variances[0, 3] = ((means[0, 3] - weights @ means[:, 3]) / away) ** 2
    mixture = weights, means, variances
    photos = photos_of(rng, dtype, 40, sizes=(150, 0, 1, 97))
    photos += [np.clip(means[:4] + 1, 0, 255).astype(dtype)]  # the narrow one's own
    given = GaussianMixture.from_parameters(*mixture)
    check(FisherVector(given).transform(photos), photos, mixture)
    check(
        FisherVector(given, power=1, norm=None).transform(photos),
        photos,
        mixture,
        power=1,
        norm=None,
    )


@pytest.mark.parametrize("away", [2, 7, 12, 16, 30])
def test_one_descriptor_many_times(isa, away):
    """Its roundings do not even out: those of sums of p x^2, which are larger, would tell."""
    rng = np.random.default_rng(away)
    means = rng.normal(size=(16, 128))
    means[0, :3] = away
    mixture = np.full(16, 1 / 16), means, np.ones(means.shape)
    photos = [np.repeat(np.float32(means[:1] + rng.normal(size=(1, 128))), 240, axis=0)]
    v = FisherVector(GaussianMixture.from_parameters(*mixture), power=1, norm=None)
    expected = reference.fisher_vector(photos[0], *mixture, power=1, norm=None)
    atol = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(v.transform(photos)[0], expected, rtol=0, atol=atol)


@pytest.mark.parametrize("seed", range(40))
def test_random_mixtures(seed):
    rng = np.random.default_rng(seed)
    shape = [(8, 128), (16, 64), (32, 32)][seed % 3]
    deviations = np.exp(rng.normal(size=shape) * rng.choice([0.1, 1, 2.5]))
    means = rng.normal(size=shape) * rng.choice([0.3, 1, 3, 8]) * deviations.mean(axis=0)
    weights = np.maximum(rng.dirichlet(np.full(len(means), rng.choice([0.1, 1, 10]))), 1e-10)
    mixture = weights / weights.sum(), means, deviations**2
    which = rng.integers(0, len(means), 200)
    photo = np.float32(means[which] + deviations[which] * rng.normal(size=(200, shape[1])))
    given = GaussianMixture.from_parameters(*mixture)
    for power, norm in ((1, None), (0.5, "l2")):
        v = FisherVector(given, power=power, norm=norm).transform([photo])[0]
        expected = reference.fisher_vector(photo, *mixture, power=power, norm=norm)
        scale = 1 if norm else np.abs(expected).max()
        np.testing.assert_allclose(v, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("far", [1e3, 1e6, 1e20, 3e38])
def test_far_descriptors_among_others(rng, isa, far):
    mixture = mixture_of(rng, 40, 40, 60.0)
    photos = photos_of(rng, np.float32, 40, sizes=(150, 97))
    photos[0][70] = far
    photos[0][149, 3] = -far
    given = GaussianMixture.from_parameters(*mixture)
    check(FisherVector(given).transform(photos), photos, mixture)
    one = same_on_every_isa(lambda: FisherVector(given).transform(photos))
    np.testing.assert_array_equal(FisherVector(given, threads=2).transform(photos), one)


def test_large_mixtures_are_the_same_on_every_instruction_set(rng):
    photos = photos_of(rng, np.float32, 40, sizes=(150, 97))
    for width in (60.0, 4.0):  # the second is steep
        given = GaussianMixture.from_parameters(*mixture_of(rng, 40, 40, width))
        same_on_every_isa(lambda given=given: FisherVector(given).transform(photos))


@pytest.mark.parametrize("scale", [1e-15, 1e15, 1e18])
def test_any_scale(rng, isa, scale):
    photos, (weights, means, variances) = photos_of(rng, np.float32), mixture_of(rng, 5, 12)
    mixture = weights, means * scale, variances * scale**2
    photos = [(photo * scale).astype(np.float32) for photo in photos]
    check(
        FisherVector(GaussianMixture.from_parameters(*mixture)).transform(photos), photos, mixture
    )


def test_a_descriptor_far_from_all_is_no_number_less(isa):
    mixture = np.ones(2) / 2, np.float64([[0, 0], [1, 1]]), np.ones((2, 2))
    photos = [np.float32([[3e38, -3e38]]), np.float32([[1e20, 0], [0, 1]])]
    v = FisherVector(GaussianMixture.from_parameters(*mixture)).transform(photos)
    assert np.isfinite(v).all()
    check(v, photos, mixture)


def test_equal_gaussians_share_alike(isa):
    """All are candidates, more than any vector has lanes."""
    mixture = np.full(100, 0.01), np.tile([[3.0, 5.0]], (100, 1)), np.ones((100, 2))
    photos = [np.uint8([[3, 5], [4, 9]])]
    check(
        FisherVector(GaussianMixture.from_parameters(*mixture)).transform(photos), photos, mixture
    )


@pytest.mark.parametrize("dtype", KINDS)
def test_neither_threads_nor_batches_nor_instruction_sets_matter(rng, threads, dtype):
    photos = photos_of(rng, dtype, sizes=(40, 3, 0, 200) * 5)
    given = GaussianMixture.from_parameters(*mixture_of(rng, 30, 12, 50.0))
    one = same_on_every_isa(lambda: FisherVector(given, threads=threads).transform(photos))
    for photo, v in zip(photos, one, strict=True):
        np.testing.assert_array_equal(FisherVector(given).transform([photo])[0], v)
    np.testing.assert_array_equal(FisherVector(given).transform(joined(photos)), one)


def test_equals_scikit_images(rng):
    feature = pytest.importorskip("skimage.feature", reason="compared with scikit-image")
    photos = photos_of(rng, np.float32, sizes=(200, 60))
    doubles = [photo.astype(np.float64) for photo in photos]  # they compute in what they are given
    gmm = feature.learn_gmm(
        doubles, n_modes=5, gm_args={"random_state": 0, "covariance_type": "diag"}
    )
    plain = FisherVector(gmm, power=1, norm=None).transform(photos)
    improved = FisherVector(gmm).transform(photos)
    for photo, v, w in zip(doubles, plain, improved, strict=True):
        whole = feature.fisher_vector(photo, gmm)
        theirs = whole[5:] * np.repeat([1, -1], 5 * 12)  # no weights; the other sign of deviations
        np.testing.assert_allclose(v, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
        np.testing.assert_allclose(w, reference.normalized(theirs, 0.5), atol=1e-6)
        with_weights = feature.fisher_vector(photo, gmm, improved=True)[5:]
        parallel = (with_weights / np.linalg.norm(with_weights)) * np.repeat([1, -1], 60)
        np.testing.assert_allclose(w, parallel, atol=1e-6)


@pytest.mark.parametrize("dtype", KINDS)
def test_sums_of_the_mixture(rng, isa, threads, dtype):
    photos, mixture = photos_of(rng, dtype), mixture_of(rng, 6, 12, 40.0)
    values, offsets = joined(photos)
    sums, likelihoods = _core.mixture_sums(values, offsets, *mixture, threads)
    for photo, of_part, likelihood in zip(photos, sums, likelihoods, strict=True):
        *expected, log = reference.mixture_sums(photo, *mixture)
        expected = np.concatenate([part.reshape(-1) for part in expected])
        np.testing.assert_allclose(of_part, expected, rtol=1e-8, atol=1e-8 * max(len(photo), 1))
        assert likelihood == pytest.approx(log, rel=1e-9)


def test_rounds_of_expectation_maximization(rng):
    X = photos_of(rng, np.float32, sizes=(400,))[0]
    mixture = GaussianMixture(4, iterations=1, tol=0, variance_floor=0).fit(X)
    for rounds in (2, 3, 10):
        before = mixture.weights_, mixture.means_, mixture.covariances_
        for _ in range(rounds - mixture.n_iter_):
            *before, likelihood = reference.expectation_maximization(X, *before)
        mixture = GaussianMixture(4, iterations=rounds, tol=0, variance_floor=0).fit(X)
        for learned, expected in zip(
            (mixture.weights_, mixture.means_, mixture.covariances_), before, strict=True
        ):
            np.testing.assert_allclose(learned, expected, rtol=1e-6)
        assert mixture.lower_bound_ == pytest.approx(likelihood, rel=1e-8)


def test_likelihood_never_falls_and_it_converges(rng):
    X = photos_of(rng, sizes=(600,))[0]
    bounds = [GaussianMixture(9, iterations=n, tol=0).fit(X).lower_bound_ for n in range(1, 12)]
    assert (np.diff(bounds) > -1e-9).all()
    mixture = GaussianMixture(9, tol=1e-2).fit(X)
    assert mixture.converged_
    assert mixture.n_iter_ < 100
    assert mixture.weights_.sum() == pytest.approx(1)


def test_finds_the_gaussians_it_was_drawn_from(rng):
    means, deviations = np.array([[0.0, 0], [50, 9], [9, 50]]), np.array([[3.0, 1], [1, 2], [2, 5]])
    which = rng.choice(3, 6000, p=[0.5, 0.3, 0.2])
    X = means[which] + deviations[which] * rng.normal(size=(6000, 2))
    fits = [GaussianMixture(3, tol=1e-6, random_state=s).fit(np.float32(X)) for s in range(5)]
    mixture = max(fits, key=lambda fit: fit.lower_bound_)
    order = np.argsort(-mixture.weights_)
    np.testing.assert_allclose(mixture.weights_[order], [0.5, 0.3, 0.2], atol=0.02)
    np.testing.assert_allclose(mixture.means_[order], means, atol=0.4)
    np.testing.assert_allclose(np.sqrt(mixture.covariances_[order]), deviations, rtol=0.1)


def test_mixture_does_not_depend_on_threads_or_instruction_sets(rng, monkeypatch):
    monkeypatch.setattr("trouvaille.aggregate.gaussian_mixture._PART", 32)
    monkeypatch.setattr("trouvaille.aggregate.gaussian_mixture._PARTS", 3)
    X = photos_of(rng, sizes=(500,))[0]

    def learned(threads):
        mixture = GaussianMixture(6, iterations=5, threads=threads).fit(X)
        return np.concatenate([mixture.means_, mixture.covariances_])

    one = same_on_every_isa(lambda: learned(1))
    np.testing.assert_array_equal(learned(2), one)
    np.testing.assert_array_equal(learned(5), one)


def test_an_interrupted_fit_leaves_what_there_was(rng, monkeypatch):
    X, rounds, sums = photos_of(rng, sizes=(300,))[0], [], _core.mixture_sums

    def interrupted(*arguments):
        rounds.append(1)
        if len(rounds) == 3:
            raise KeyboardInterrupt
        return sums(*arguments)

    monkeypatch.setattr(_core, "mixture_sums", interrupted)
    mixture = GaussianMixture(4, tol=0)
    with pytest.raises(KeyboardInterrupt):
        mixture.fit(X)
    with pytest.raises(ValueError, match="has learned nothing"):
        FisherVector(mixture).transform([X])
    before = dict(vars(mixture.fit(X)))
    rounds.clear()
    with pytest.raises(KeyboardInterrupt):
        mixture.fit(X[:100])
    assert vars(mixture) == before


def test_variances_have_a_floor(rng):
    X = np.repeat(rng.integers(0, 256, (5, 4)).astype(np.uint8), 20, axis=0)
    X[:, 3] = 7  # a dimension that never varies
    mixture = GaussianMixture(5, variance_floor=0.01).fit(X)
    variances = X.var(axis=0)
    variances[3] = variances.mean()
    assert (mixture.covariances_ >= 0.01 * variances * (1 - 1e-9)).all()
    assert np.isfinite(FisherVector(mixture).transform([X, X[:1]])).all()


def test_a_mixture_from_anywhere_is_the_same(rng):
    photos = photos_of(rng, sizes=(300, 200))
    fisher = FisherVector(4).fit(photos)
    expected = fisher.transform(photos)
    unfitted = GaussianMixture(4)
    for mixture in (unfitted, fisher.mixture_, GaussianMixture(4).fit(np.concatenate(photos))):
        np.testing.assert_array_equal(FisherVector(mixture).fit_transform(photos), expected)
    assert not hasattr(unfitted, "weights_")
    np.testing.assert_array_equal(FisherVector(fisher.mixture_).transform(photos), expected)


def test_with_principal_components(rng):
    photos = photos_of(rng, sizes=(300, 0, 200))
    fisher = FisherVector(3, pca=4).fit(photos)
    reduced = [(photo - fisher.pca_.mean_) @ fisher.pca_.components_.T for photo in photos]
    mixture = fisher.mixture_
    check(
        fisher.transform(photos),
        reduced,
        (mixture.weights_, mixture.means_, mixture.covariances_),
    )
    assert fisher.transform(photos).shape == (3, 2 * 3 * 4)


@given(st.integers(1, 20), st.integers(1, 6), st.floats(0.1, 1000), st.integers(0, 2**32))
def test_laws(n_components, n_dims, spread, seed):
    rng = np.random.default_rng(seed)
    photos, mixture = (
        photos_of(rng, np.float32, n_dims),
        mixture_of(rng, n_components, n_dims, spread),
    )
    encoder = FisherVector(GaussianMixture.from_parameters(*mixture))
    v = encoder.transform(photos)
    lengths = np.linalg.norm(v, axis=1)
    assert (np.isclose(lengths, 1, atol=1e-6) | (lengths == 0)).all()
    doubled = encoder.transform([np.repeat(photo, 2, axis=0) for photo in photos])
    np.testing.assert_allclose(doubled, v, atol=2e-6)
    check(v, photos, mixture)


def test_interrupt_within_200_milliseconds(rng, isa):
    x = rng.integers(0, 256, (400_000, 64), np.uint8)
    mixture = mixture_of(rng, 256, 64)

    def call():
        for _ in range(100):
            _core.mixture_sums(x, np.int64([0, len(x)]), *mixture, 1)

    assert interrupts.seconds_to_stop(call) < interrupts.LIMIT


def test_the_kernel_refuses_what_does_not_fit(rng):
    x, offsets = np.zeros((3, 2), np.float32), np.int64([0, 3])
    weights, means = np.ones(4), np.zeros((4, 2))
    for bad in [
        (x, np.int64([0, 2]), weights, means, means),
        (x, offsets, weights[1:], means, means),
        (x, offsets, weights, means[:, 1:].copy(), means),
        (x, offsets, weights, means, means[1:]),
        (x, offsets, weights[:0], means[:0], means[:0]),
    ]:
        with pytest.raises(ValueError, match=r"offsets|fit together"):
            _core.mixture_sums(*bad, 1)
        with pytest.raises(ValueError, match=r"offsets|fit together"):
            _core.fisher_vectors(*bad, 0.5, True, 1)
