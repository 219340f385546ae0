# SPDX-License-Identifier: Apache-2.0

import tracemalloc

import numpy as np
import pytest

import interrupts
import reference_aggregate as reference
from aggregate_cases import same_on_every_isa
from trouvaille import _core
from trouvaille.aggregate import VLAD, LearnedWhitening, PCAWhitening


def varied(rng, n, n_dims):
    """Vectors with a mean, of variances from large to small."""
    turn = np.linalg.qr(rng.normal(size=(n_dims, n_dims)))[0]
    x = rng.normal(size=(n, n_dims)) * np.geomspace(30, 1, n_dims) @ turn + rng.normal(size=n_dims)
    return x.astype(np.float32)


def unit_rows(y):
    return y / np.linalg.norm(y, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "n_dims"), [(200, 10), (30, 30), (20, 70), (12, 1500), (5, 9000)])
@pytest.mark.parametrize("power", [0.0, 0.25, 0.5, 1.0])
def test_equals_the_formula(rng, n, n_dims, power):
    """From columns, and from rows where there are fewer; in one chunk, and in several."""
    X = varied(rng, n, min(n_dims, 300))
    X = np.tile(X, (1, -(-n_dims // X.shape[1])))[:, :n_dims] * rng.uniform(1, 2, n_dims)
    X, count = X.astype(np.float32), min(n - 1, n_dims, 6)
    pca = PCAWhitening(count, whitening_power=power, norm=None).fit(X)
    mean, axes, variances = reference.principal_axes(X, count)
    np.testing.assert_allclose(pca.mean_, mean, atol=1e-6 * np.abs(X).max())
    np.testing.assert_allclose(pca.explained_variance_, variances, rtol=1e-6)
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    np.testing.assert_allclose(pca.components_, axes * signs, atol=1e-6)
    expected = (X - mean) @ (axes * signs).T / variances**power
    np.testing.assert_allclose(
        pca.transform(X), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )
    unit = PCAWhitening(count, whitening_power=power).fit(X).transform(X)
    np.testing.assert_allclose(unit, unit_rows(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_dims", [40, 1100])
@pytest.mark.parametrize("far", [1e4, -1e6])
def test_a_mean_that_is_large_costs_nothing(rng, n_dims, far):
    X = (rng.normal(size=(60, n_dims)) * rng.uniform(0.5, 2, n_dims) + far).astype(np.float32)
    for power in (0.0, 0.5):
        pca = PCAWhitening(8, whitening_power=power, norm=None).fit(X)
        weights = pca.components_.astype(float) / pca.explained_variance_[:, None] ** power
        expected = (X - pca.mean_) @ weights.T
        atol = 1e-6 * np.abs(expected).max()
        np.testing.assert_allclose(pca.transform(X), expected, rtol=0, atol=atol)
        unit = pca.set_params(norm="l2").transform(X)
        np.testing.assert_allclose(unit, unit_rows(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e30, 1e37, 5e37])
def test_sums_too_large_for_float32(rng, isa, scale):
    """Of rows that are, not of those beside them, whose bits stay."""
    X = rng.normal(size=(60, 600)).astype(np.float32)
    pca = PCAWhitening(5).fit(X)
    far = X.copy()
    far[::3] *= np.float32(scale)
    expected = unit_rows((far - pca.mean_) @ (pca.components_.T * pca.explained_variance_**-0.5))
    Y = pca.transform(far)
    np.testing.assert_allclose(Y, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(Y[1::3], pca.transform(X)[1::3])
    far[0, :300], far[1] = 3e38, np.sign(pca.components_[0]) * np.float32(3e38)
    plain = pca.set_params(norm=None, whitening_power=0).transform(far)
    assert np.isfinite(plain).all()
    assert plain[1, 0] == np.finfo(np.float32).max  # it is that large, or larger


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float64])
def test_any_type_of_the_same_numbers(rng, dtype):
    X = rng.integers(0, 256, (50, 30)).astype(np.uint8)
    pca = PCAWhitening(5).fit(X)
    np.testing.assert_array_equal(pca.transform(X.astype(dtype)), pca.transform(np.float32(X)))


def test_equals_scikit_learns(rng):
    decomposition = pytest.importorskip("sklearn.decomposition")
    X = varied(rng, 300, 20)
    theirs = decomposition.PCA(5, whiten=True, svd_solver="full").fit(X)
    ours = PCAWhitening(5, norm=None).fit(X)
    np.testing.assert_allclose(
        np.abs(ours.transform(X)), np.abs(theirs.transform(X)), rtol=0, atol=1e-4
    )


def test_whitened_vectors_have_variances_of_one(rng):
    X = varied(rng, 500, 12)
    Y = PCAWhitening(norm=None).fit_transform(X)
    np.testing.assert_allclose(np.cov(Y.T), np.eye(12), atol=1e-4)
    np.testing.assert_allclose(
        np.linalg.norm(PCAWhitening(4).fit_transform(X), axis=1), 1, atol=1e-6
    )


def test_zeros_stay_zeros(rng):
    X = varied(rng, 50, 8)
    X[7] = 0
    for whitening in (PCAWhitening(3).fit(X), LearnedWhitening(3).fit(X, [[0, 1], [2, 3], [4, 5]])):
        Y = whitening.transform(X)
        assert (Y[7] == 0).all()
        np.testing.assert_allclose(np.linalg.norm(np.delete(Y, 7, 0), axis=1), 1, atol=1e-6)


def test_bytes_are_taken_as_they_are(rng):
    X = rng.integers(0, 256, (90, 20), np.uint8)
    pca = PCAWhitening(5).fit(X)
    np.testing.assert_array_equal(pca.transform(X), pca.transform(X.astype(np.float32)))


def test_neither_threads_nor_batches_nor_instruction_sets_matter(rng, threads):
    X = varied(rng, 300, 700)
    pca = PCAWhitening(9, threads=threads).fit(X)
    one = same_on_every_isa(lambda: pca.transform(X))
    np.testing.assert_array_equal(pca.transform(X[17:18])[0], one[17])
    np.testing.assert_array_equal(PCAWhitening(9).fit(X).transform(X), one)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n_dims", [1, 17, 511, 512, 513, 1040])
@pytest.mark.parametrize("n_components", [1, 15, 64, 65, 130])
def test_the_kernel_at_any_size(rng, dtype, n_dims, n_components):
    """Rows around a tile and a block, dimensions around a chunk, directions around a panel."""
    X = rng.integers(1, 256, (150, n_dims)).astype(dtype)  # no row of zeros
    mean, scales = rng.uniform(0, 256, n_dims), rng.uniform(0.5, 2, n_components)
    axes = rng.normal(size=(n_components, n_dims)).astype(np.float32)
    expected = (X - mean) @ axes.T.astype(float) * scales
    Y = same_on_every_isa(lambda: _core.whiten(X, mean, axes, scales, True, False, 1))
    np.testing.assert_allclose(Y, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    for n in (0, 1, 3, 4, 5, 6, 7, 143, 144, 145):
        np.testing.assert_array_equal(
            _core.whiten(X[:n], mean, axes, scales, True, False, 2), Y[:n]
        )
    unit = _core.whiten(X, mean, axes, scales, True, True, 1)
    np.testing.assert_allclose(unit, unit_rows(expected), rtol=0, atol=1e-5)


def test_interrupt_within_200_milliseconds(rng, isa):
    X, mean = rng.normal(size=(2000, 8192)).astype(np.float32), np.zeros(8192)

    def call():
        for _ in range(100):
            _core.whiten(X, mean, X, np.ones(2000), True, True, 1)

    assert interrupts.seconds_to_stop(call) < interrupts.LIMIT


def test_the_kernel_refuses_what_does_not_fit():
    X, axes = np.zeros((3, 5), np.float32), np.zeros((2, 5), np.float32)
    for bad in [
        (X, np.zeros(4), axes, np.ones(2)),
        (X, np.zeros(5), axes[:, :4].copy(), np.ones(2)),
        (X, np.zeros(5), axes, np.ones(3)),
    ]:
        with pytest.raises(ValueError, match="fit together"):
            _core.whiten(*bad, True, True, 1)


@pytest.mark.parametrize("regularization", [0.0, 0.1])
def test_learned_equals_the_formula(rng, regularization):
    X, pairs = varied(rng, 200, 9), rng.permutation(200)[:120].reshape(-1, 2)
    learned = LearnedWhitening(4, regularization=regularization, norm=None).fit(X, pairs)
    mean, weights = reference.learned_whitening(X, pairs, 4, regularization)
    expected = (X - mean) @ weights.T
    Y = learned.transform(X)
    np.testing.assert_allclose(
        Y * np.sign(Y[0]), expected * np.sign(expected[0]), atol=1e-5 * np.abs(expected).max()
    )
    unit = LearnedWhitening(4, regularization=regularization).fit(X, pairs).transform(X)
    np.testing.assert_allclose(unit, unit_rows(Y), atol=1e-6)


def test_learned_whitening_evens_differences_and_orders_the_rest(rng):
    X, pairs = varied(rng, 400, 6), rng.permutation(400).reshape(-1, 2)
    learned = LearnedWhitening(regularization=0, norm=None).fit(X, pairs)
    Y = learned.transform(X)
    differences = Y[pairs[:, 0]] - Y[pairs[:, 1]]
    np.testing.assert_allclose(differences.T @ differences / len(pairs), np.eye(6), atol=1e-4)
    np.testing.assert_allclose(Y.var(axis=0), learned.explained_variance_, rtol=1e-4)
    assert (np.diff(learned.explained_variance_) <= 0).all()


def test_learned_block_by_block(rng, monkeypatch):
    X, pairs = varied(rng, 200, 9), rng.permutation(200)[:120].reshape(-1, 2)
    for vectors in (X, X.astype(np.uint8)):
        one = LearnedWhitening(4, norm=None).fit(vectors, pairs).transform(vectors)
        with monkeypatch.context() as patch:
            patch.setattr("trouvaille.aggregate._projection._ROWS", 7)
            some = LearnedWhitening(4, norm=None).fit(vectors, pairs).transform(vectors)
        np.testing.assert_allclose(np.abs(some), np.abs(one), atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize("kind", [PCAWhitening, LearnedWhitening])
def test_learning_takes_no_copies_of_all_vectors(rng, kind):
    X = rng.normal(size=(200_000, 8)).astype(np.float32)
    pairs = rng.permutation(len(X)).reshape(-1, 2)
    tracemalloc.start()
    kind(4).fit(X, pairs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes


def test_learned_whitening_ignores_what_differs_between_views(rng):
    things = rng.normal(size=(60, 5))
    views = [things + rng.normal(size=(60, 5)) * [5, 0.1, 0.1, 0.1, 0.1] for _ in range(2)]
    X = np.concatenate(views).astype(np.float32)
    pairs = np.stack([np.arange(0, 40), np.arange(60, 100)], axis=1)

    def found(Y):
        return (np.argmax(Y[40:60] @ Y[100:].T, axis=1) == np.arange(20)).mean()

    learned = LearnedWhitening(4).fit(X, pairs).transform(X)
    assert found(learned) > 0.9 > found(unit_rows(X))


def test_in_a_pipeline(rng):
    pipeline = pytest.importorskip("sklearn.pipeline")
    base = pytest.importorskip("sklearn.base")
    photos = [rng.integers(0, 256, (30, 8), np.uint8) for _ in range(12)]
    steps = VLAD(3, power=0.5), PCAWhitening(4)
    chain = pipeline.make_pipeline(*(base.clone(step) for step in steps))
    vectors = chain.fit_transform(photos)
    vlad = VLAD(3, power=0.5).fit(photos)
    expected = PCAWhitening(4).fit_transform(vlad.transform(photos))
    np.testing.assert_array_equal(vectors, expected)
    np.testing.assert_array_equal(chain.transform(photos), expected)
    chain.set_params(pcawhitening__n_components=2)
    assert chain.fit(photos).transform(photos).shape == (12, 2)
    assert "n_components=2" in repr(chain)
