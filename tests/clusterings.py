# SPDX-License-Identifier: Apache-2.0
"""Points to cluster, and clusterings to compare."""

import numpy as np


def blobs(rng, n, dims, dtype, count=60):
    centers = rng.integers(0, 256, (count, dims))
    x = centers[rng.integers(0, count, n)] + rng.integers(-20, 21, (n, dims))
    return np.clip(x, 0, 255).astype(dtype)


def same(a, b):
    np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)
    np.testing.assert_array_equal(a.labels_, b.labels_)
    np.testing.assert_array_equal(a.counts_, b.counts_)
    assert (a.inertia_, a.n_iter_) == (b.inertia_, b.n_iter_)
