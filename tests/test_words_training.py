# SPDX-License-Identifier: Apache-2.0
"""k-means beyond Lloyd's in memory: approximate, seeded, streamed, resumed, a batch at a time."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import interrupts
import reference
from clusterings import blobs, same
from trouvaille import _core
from trouvaille.errors import IndexCorruptError
from trouvaille.neighbors import Graph
from trouvaille.words import KMeans, _points, assign
from trouvaille.words._lloyd import Lloyd

KINDS = [np.uint8, np.float32]


# ---- approximate


@pytest.mark.parametrize("dtype", KINDS)
def test_approximate_is_nearly_exact(rng, dtype):
    X = blobs(rng, 6000, 16, dtype)
    exact = KMeans(300, iterations=5).fit(X)
    approximate = KMeans(300, algorithm="approximate", width=16, iterations=5).fit(X)
    assert approximate.inertia_ < 1.01 * exact.inertia_
    nearest = assign(X, approximate.cluster_centers_).ids[:, 0]
    assert (approximate.labels_ == nearest).mean() > 0.95
    distances = reference.squared_distances(X, approximate.cluster_centers_)
    own = distances[np.arange(len(X)), approximate.labels_]
    assert approximate.inertia_ == pytest.approx(own.sum(), rel=1e-6)


def test_approximate_inertia_never_rises(rng):
    X = rng.standard_normal((3000, 12), dtype=np.float32)
    parameters = {"algorithm": "approximate", "width": 1}
    inertias = [KMeans(200, iterations=i, **parameters).fit(X).inertia_ for i in range(1, 9)]
    assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(inertias))


def test_approximate_with_equal_centers():
    X = np.repeat(np.uint8([[0, 0], [9, 9], [200, 200]]), 100, axis=0)
    X[0] = [0, 1]  # so that there are four distinct ones
    model = KMeans(4, algorithm="approximate", width=2, iterations=4).fit(X)
    assert model.inertia_ == 0


def test_a_search_from_its_answer_finds_nothing_farther(rng):
    points = rng.integers(0, 256, (2000, 16), np.uint8)
    points[1000:1500] = points[:500]  # copies have no edges of their own
    graph = Graph(8, build_width=16).build(points)
    Q = rng.integers(0, 256, (300, 16), np.uint8)
    starts = rng.integers(0, len(points), len(Q))
    distances, ids = graph._nearest_from(Q, starts, 1, 1)
    all_distances = reference.squared_distances(Q, points)
    of_starts = all_distances[np.arange(len(Q)), starts]
    assert (distances[:, 0] <= of_starts).all()
    np.testing.assert_array_equal(distances[:, 0], all_distances[np.arange(len(Q)), ids[:, 0]])
    exact = assign(Q, points)
    again = graph._nearest_from(Q, exact.ids[:, 0], 1, 1)
    np.testing.assert_array_equal(again[0], exact.distances)


# ---- where it begins


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("n", [1, 5, 3000])
def test_spread_rows_are_drawn_by_squared_distances(rng, threads, dtype, n):
    X = blobs(rng, n, 6, dtype)
    rows = _core.spread_rows(X, 40, 7, threads)
    np.testing.assert_array_equal(rows, _core.spread_rows(X, 40, 7, 1))
    taken = X[rows]
    assert len(np.unique(taken, axis=0)) == len(rows) == min(40, len(np.unique(X, axis=0)))
    assert len(_core.spread_rows(X, 0, 7, threads)) == 0


def test_spread_rows_follow_the_distribution():
    # The second is at distance 1 or 2 from the first two, which are equal: drawn 1 to 4.
    X = np.uint8([[10], [11], [12]])
    second = []
    for seed in range(600):
        first, other = _core.spread_rows(X, 2, seed, 1)
        if first == 0:
            second.append(other)
    share = np.mean(np.array(second) == 2)
    assert len(second) > 150
    assert abs(share - 0.8) < 4 * np.sqrt(0.8 * 0.2 / len(second))


@pytest.mark.parametrize("dtype", KINDS)
def test_plus_plus_begins_nearer(rng, dtype):
    X = blobs(rng, 4000, 8, dtype)
    random = KMeans(60, iterations=1).fit(X)
    spread = KMeans(60, iterations=1, init="k-means++").fit(X)
    assert spread.inertia_ < 0.8 * random.inertia_


def test_ctrl_c_stops_the_seeding(rng):
    X = rng.integers(0, 256, (200_000, 128), np.uint8)
    assert interrupts.seconds_to_stop(lambda: _core.spread_rows(X, 5000, 0, 1)) < interrupts.LIMIT


# ---- a batch at a time


@pytest.mark.parametrize("dtype", KINDS)
def test_partial_fit_gives_means_of_all_points_seen(rng, dtype):
    X = blobs(rng, 3000, 8, dtype)
    model, sums, counts = KMeans(40), 0, 0
    for batch in np.split(X, [1000, 1700]):
        model.partial_fit(batch)
        member = model.labels_[:, None] == np.arange(40)
        sums, counts = sums + member.T @ batch.astype(np.float64), counts + member.sum(axis=0)
        means = sums / np.maximum(counts, 1)[:, None]
        np.testing.assert_allclose(
            model.cluster_centers_[counts > 0],
            np.floor(means + 0.5)[counts > 0] if dtype == np.uint8 else means[counts > 0],
            rtol=1e-6,
        )
        np.testing.assert_array_equal(model.counts_, counts)
    assert model.n_iter_ == 3
    again = KMeans(40, threads=3)
    for batch in np.split(X, [1000, 1700]):
        again.partial_fit(batch)
    same(again, model)


def test_partial_fit_goes_on_from_fit(rng):
    X = blobs(rng, 2000, 8, np.uint8)
    model = KMeans(40).fit(X)
    before = model.counts_.copy()
    fitted = model.cluster_centers_.astype(float)
    model.partial_fit(X[:100])
    member = model.labels_[:, None] == np.arange(40)
    expected = (fitted * before[:, None] + member.T @ X[:100].astype(float)) / model.counts_[
        :, None
    ]
    np.testing.assert_allclose(model.cluster_centers_, expected, atol=0.51)
    assert model.counts_.sum() == 2100
    with pytest.raises(ValueError, match=r"like the points before.*uint8 with 8.*float32 with 8"):
        model.partial_fit(X.astype(np.float32))
    with pytest.raises(ValueError, match="uint8 with 7"):
        model.partial_fit(X[:, :7])
    assert model.counts_.sum() == 2100
    with pytest.raises(ValueError, match="num_words=40 distinct points, it has 10"):
        KMeans(40).partial_fit(np.arange(10, dtype=np.uint8)[:, None])


def test_partial_fit_of_few_points_builds_no_graph(rng, monkeypatch):
    X = blobs(rng, 1000, 8, np.uint8)
    model = KMeans(200, algorithm="approximate", width=1).fit(X)
    before = model.cluster_centers_
    monkeypatch.setattr(Lloyd, "build_graph", None)
    model.partial_fit(X[:300])
    np.testing.assert_array_equal(model.labels_, assign(X[:300], before).ids[:, 0])
    model.set_params(num_words=7)
    with pytest.raises(ValueError, match="num_words is 7, but there are 200 centers"):
        model.partial_fit(X)


def test_an_interrupted_partial_fit_takes_nothing_in(rng, monkeypatch):
    X = blobs(rng, 1000, 8, np.float32)
    model = KMeans(10).fit(X[:500]).partial_fit(X[500:700])
    whole = KMeans(10).fit(X[:500]).partial_fit(X[500:700]).partial_fit(X[700:])
    add_to = Lloyd.add_to

    def interrupted(self, sums, counts):
        add_to(self, sums, counts)
        raise KeyboardInterrupt

    monkeypatch.setattr(Lloyd, "add_to", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X[700:])
    monkeypatch.setattr(Lloyd, "add_to", add_to)
    model.partial_fit(X[700:])
    np.testing.assert_allclose(model.cluster_centers_, whole.cluster_centers_, rtol=1e-5)
    np.testing.assert_array_equal(model.counts_, whole.counts_)


# ---- interrupted and resumed


class StoppedError(Exception):
    pass


def stop_after(rounds):
    def progress(done, total):
        if done == rounds:
            raise StoppedError

    return progress


@pytest.mark.parametrize("algorithm", ["exact", "approximate"])
@pytest.mark.parametrize("rounds", [1, 3, 6])
def test_a_resumed_clustering_has_the_same_bits(rng, tmp_path, algorithm, rounds):
    X, path = blobs(rng, 2000, 8, np.uint8), tmp_path / "kmeans"
    parameters = {"algorithm": algorithm, "iterations": 6, "width": 2, "dtype": "float32"}
    whole = KMeans(100, **parameters).fit(X)
    with pytest.raises(StoppedError):
        KMeans(100, **parameters).fit(X, progress=stop_after(rounds), checkpoint=path)
    calls = []
    resumed = KMeans(100, **parameters)
    resumed.fit(X, progress=lambda done, total: calls.append(done), checkpoint=path)
    same(resumed, whole)
    assert calls == list(range(rounds + 1, 7))
    same(KMeans(100, **parameters).fit(X, checkpoint=path), whole)  # all is done
    assert list(tmp_path.iterdir()) == [path]


def test_a_clustering_that_stands_still_is_done(rng, tmp_path):
    X, path = blobs(rng, 300, 2, np.uint8, count=5), tmp_path / "kmeans"
    whole = KMeans(5, iterations=100).fit(X, checkpoint=path)
    assert whole.n_iter_ < 100
    same(KMeans(5, iterations=100).fit(X, progress=stop_after(1), checkpoint=path), whole)


def another(X):
    X = X.copy()
    X[311, 2] ^= 1  # one bit
    return X


def test_a_checkpoint_of_something_else_is_refused(rng, tmp_path):
    X, path = blobs(rng, 500, 4, np.uint8), tmp_path / "kmeans"
    KMeans(20, iterations=3).fit(X, checkpoint=path)
    for other, points, message in [
        (KMeans(21, iterations=3), X, "its num_words is 20, now it is 21. Remove it"),
        (KMeans(20, iterations=3, random_state=1), X, "its random_state is 0, now it is 1"),
        (KMeans(20, iterations=3), X[:-1], "its n_points is 500, now it is 499"),
        (KMeans(20, iterations=3), X.astype(np.float32), "its points is 'uint8'"),
        (KMeans(20, iterations=3), another(X), "its checksum of the points"),
        (KMeans(20, iterations=2), X, "after 3 rounds, of which there are to be 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            other.fit(points, checkpoint=path)
    KMeans(20, iterations=4).fit(X, checkpoint=path)  # more rounds are no other clustering
    with pytest.raises(ValueError, match="num_words=20 distinct points, it has 0"):
        KMeans(20).fit(X[:0], checkpoint=tmp_path / "another")


def test_a_damaged_checkpoint_is_noticed(rng, tmp_path):
    X, path = blobs(rng, 500, 4, np.uint8), tmp_path / "kmeans"
    KMeans(20, iterations=3).fit(X, checkpoint=path)
    whole = path.read_bytes()
    for offset in range(0, len(whole), 997):
        damaged = bytearray(whole)
        damaged[offset] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(IndexCorruptError):
            KMeans(20, iterations=3).fit(X, checkpoint=path)
    path.write_bytes(b"")
    with pytest.raises(IndexCorruptError):
        KMeans(20, iterations=3).fit(X, checkpoint=path)


# ---- what it will cost


def test_the_cost_is_announced_first(rng, tmp_path):
    X, path, events = blobs(rng, 2000, 8, np.uint8), tmp_path / "kmeans", []

    def progress(done, total):
        events.append(done)
        stop_after(4)(done, total)

    with pytest.raises(StoppedError):
        KMeans(50).fit(X, announce=events.append, progress=progress, checkpoint=path)
    cost, *rounds = events
    assert rounds == [1, 2, 3, 4]
    assert cost.seconds > 0
    assert cost.memory >= X.nbytes
    said = []
    for _ in range(2):  # a round is left, then none
        KMeans(50, iterations=5).fit(X, announce=said.append, checkpoint=path)
    assert said[1].seconds == 0 < said[0].seconds < cost.seconds


# ---- laws


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_laws_of_every_way(data):
    X = data.draw(st.integers(0, 2**32).map(lambda s: np.random.default_rng(s)))
    X = X.integers(0, data.draw(st.sampled_from([3, 256])), (data.draw(st.integers(30, 90)), 3))
    X = X.astype(np.uint8)
    words = data.draw(st.integers(1, min(12, len(np.unique(X, axis=0)))))
    parameters = {
        "algorithm": data.draw(st.sampled_from(["exact", "approximate"])),
        "init": data.draw(st.sampled_from(["random", "k-means++"])),
        "dtype": data.draw(st.sampled_from([None, "float32"])),
        "metric": data.draw(st.sampled_from(["l2", "hellinger"])),
        "width": data.draw(st.integers(1, 20)),
        "random_state": data.draw(st.integers(0, 2**63 - 1)),
    }
    roots = reference.hellinger_roots(X) if parameters["metric"] == "hellinger" else X
    if len(np.unique(roots, axis=0)) < words:
        return
    model = KMeans(words, **parameters).fit(X)
    assert model.cluster_centers_.shape == (words, 3)
    assert model.counts_.sum() == len(X) == len(model.labels_)
    assert (np.bincount(model.labels_, minlength=words) == model.counts_).all()
    own = (roots.astype(float) - model.cluster_centers_[model.labels_]) ** 2
    assert model.inertia_ == pytest.approx(own.sum(), rel=1e-5, abs=1e-3)


def test_cost_knows_what_grows(rng, monkeypatch):
    X = rng.integers(0, 256, (20_000, 32), np.uint8)
    small, large = KMeans(200).cost(X), KMeans(20_000, algorithm="approximate").cost(X)
    assert 0 < small.seconds < 60
    assert small.memory < large.memory < 2**30
    with pytest.raises(ValueError, match="at least one point"):
        KMeans(2).cost(X[:0])
    seeding = KMeans(200, init="k-means++").cost(X)
    assert seeding.seconds > small.seconds / 2
    assert KMeans(200, metric="hellinger").cost(X).memory == small.memory + X.nbytes  # one block
    whole = KMeans(200).cost(X).memory
    for metric, parts, blocks in (
        ("l2", 1, 0),
        ("l2", 9, 2),
        ("hellinger", 1, 2),
        ("hellinger", 9, 3),
    ):
        with monkeypatch.context() as patched:  # what is there of a block beside what is given
            patched.setattr(_points, "BLOCK", 10_000)
            found = KMeans(200, metric=metric).cost(np.array_split(X, parts)).memory
        assert found == whole + blocks * X.nbytes // 2
    floats = KMeans(200, dtype="float32").cost(X)
    assert floats.memory == whole + 4 * 32 * (200 + 20_000)
    with pytest.raises(ValueError, match=r"'k-means.*' is for up to 100,000 words.*take 'random'"):
        KMeans(100_001, init="k-means++").fit(X)


def test_what_distances_cannot_hold_is_refused():
    with pytest.raises(ValueError, match=r"X must be within 6.36e[+]18, or distances overflow"):
        KMeans(1).fit(np.float32([[3e38, 0], [0, 0]]))
    largest = np.float32([[6.3e18, 6.3e18], [-6.3e18, -6.3e18]])
    assert KMeans(2).fit(largest).inertia_ == 0
    assert np.isfinite(KMeans(1).fit(largest).inertia_)
    with pytest.raises(ValueError, match=r"X has 32769 columns.*Pass it as float32"):
        KMeans(1).fit(np.zeros((2, 32_769), np.uint8))


def test_is_a_step_of_a_pipeline(rng):
    pipeline = pytest.importorskip("sklearn.pipeline", reason="scikit-learn is not installed")
    X = blobs(rng, 200, 8, np.uint8)
    model = pipeline.make_pipeline(KMeans(5)).fit(X, np.zeros(200))
    np.testing.assert_array_equal(model.predict(X), KMeans(5).fit(X).labels_)
