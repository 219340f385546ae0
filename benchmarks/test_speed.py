# SPDX-License-Identifier: Apache-2.0
"""Guards the kernels against regressions: `make guard` compares with its last run here.

Not a comparison with anybody: that is what bench_*.py are for.
"""

import numpy as np
import pytest

from trouvaille import _core, features, geometry, index, words


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_bytes(rng, n):
    return rng.integers(0, 256, (n, 128), dtype=np.uint8)


def test_assign_bytes(benchmark, rng):
    benchmark(words.assign, random_bytes(rng, 500), random_bytes(rng, 10_000), threads=1)


def test_assign_floats(benchmark, rng):
    X, W = rng.random((500, 128), np.float32), rng.random((5_000, 128), np.float32)
    benchmark(words.assign, X, W, threads=1)


@pytest.mark.parametrize("kind", ["counts", "weights"])
def test_search_inverted_file(benchmark, rng, kind):
    import scipy.sparse

    n, num_words, length = 20_000, 20_000, 200
    values = 1.0 + (rng.random(n * length) ** 20 * 3).astype(int)
    if kind == "weights":  # none so small that sums are float64
        values *= rng.uniform(0.5, 1, n * length)
    indices, offsets = rng.integers(0, num_words, n * length), np.arange(n + 1) * length
    X = scipy.sparse.csr_array((values, indices, offsets), shape=(n, num_words))
    inverted = index.InvertedFile.from_csr(X, metric="cosine", weighting="tfidf")
    benchmark(inverted.search, X[:20], 100, threads=1)


def test_match_shortlist(benchmark, rng):
    query, own = random_bytes(rng, 1000), rng.integers(0, 20_000, (1000, 15))
    shortlist = [
        (np.sort(rng.integers(0, 20_000, 1000)).astype(np.uint32), random_bytes(rng, 1000))
        for _ in range(100)
    ]
    bounds = np.full(1000, 10**6)
    benchmark(geometry.match_shortlist, query, own, shortlist, bounds, threads=1)


def test_verify(benchmark, rng):
    n, frames = 100, np.tile(np.eye(2, 3, dtype=np.float32), (100_100, 1, 1))
    frames[:, :, 2] = rng.uniform(0, 1000, (len(frames), 2))
    pairs = np.tile(np.column_stack([np.arange(n), np.arange(n)]), (1000, 1)).astype(np.int32)
    offsets = np.arange(0, 100_001, n)
    benchmark(geometry.verify, frames[:n], frames[n:], offsets, pairs, offsets, threads=1)


def test_sift(benchmark, rng):
    benchmark(features.sift, rng.integers(0, 256, (480, 640), dtype=np.uint8))


def test_cs_lbp(benchmark, rng):
    space = features.ScaleSpace(rng.integers(0, 256, (480, 640), dtype=np.uint8))
    frames = np.zeros((500, 2, 3), np.float32)
    frames[:, 0, 0] = frames[:, 1, 1] = 4
    frames[:, :, 2] = rng.uniform(0, 480, (500, 2))
    benchmark(features.cs_lbp, space, frames, threads=1)


def test_checksum(benchmark, rng):
    benchmark(_core.crc32c, rng.bytes(2**22))
