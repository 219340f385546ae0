# SPDX-License-Identifier: Apache-2.0
"""Ten thousand inputs that no photo gives: `geometry.estimate` answers or refuses, and ends."""

import faulthandler
import time

import numpy as np
import pytest

from estimate_cases import MODELS
from trouvaille.geometry import estimate

CHUNKS, CASES = 20, 500
LONGEST, CHUNK_LIMIT = 10.0, 120.0  # seconds of a call and of a chunk, on a busy machine
FLOATS = np.finfo(np.float64)
MAGNITUDES = (0.0, 5e-324, FLOATS.tiny, 1e-150, 1e-30, 1e-9, 1.0, 1e3, 1e6, 1e9, 1e15)
TOO_LARGE = (1e18, 1e19, 1e150, FLOATS.max)  # for some or all of the code
THRESHOLDS = (5e-324, 1e-12, 0.01, 1.0, 3.0, 1e3, 1e12, FLOATS.max)
BAD_THRESHOLDS = (0.0, -1.0, -5e-324, np.nan, np.inf, -np.inf)
DTYPES = (np.float64, np.float32, np.float16, np.int8, np.uint16, np.int64, np.bool_, ">f4")


@pytest.fixture
def watchdog():
    """Abort with a traceback, rather than wait for ever on a loop that does not end."""
    faulthandler.dump_traceback_later(CHUNK_LIMIT, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def plain(rng, n):
    return rng.uniform(0, 1000, (n, 2))


def whole(rng, n):
    """Few distinct values: copies, lines, right angles."""
    return rng.integers(0, rng.integers(1, 6), (n, 2)).astype(float)


def copies(rng, n):
    return plain(rng, 1 + n // 3)[rng.integers(0, 1 + n // 3, n)]


def line(rng, n):
    return plain(rng, 1) + rng.normal(size=(n, 1)) * plain(rng, 1)


def almost_line(rng, n):
    return line(rng, n) + rng.normal(size=(n, 2)) * 10.0 ** rng.integers(-15, 0)


def far(rng, n):
    """A small cluster far from the origin."""
    return 10.0 ** rng.integers(3, 15) + rng.normal(size=(n, 2))


def huge(rng, n):
    magnitudes = MAGNITUDES if rng.random() < 0.8 else MAGNITUDES + TOO_LARGE
    return rng.choice([-1.0, 1.0], (n, 2)) * rng.choice(magnitudes, (n, 2))


def scaled(rng, n):
    return plain(rng, n) * rng.choice(MAGNITUDES) / 1000


def mixed(rng, n):
    return np.where(rng.random((n, 1)) < 0.1, huge(rng, n), plain(rng, n))


def circle(rng, n):
    angles = rng.uniform(0, 7, n)
    return 500 + 100 * np.c_[np.cos(angles), np.sin(angles)]


POINTS = (plain, whole, copies, line, almost_line, far, huge, scaled, mixed, circle)


def related(rng, x):
    """What some transform, often a degenerate one, makes of x."""
    with np.errstate(all="ignore"):
        transform = rng.normal(size=(3, 3)) * 10.0 ** rng.integers(-8, 4, (3, 3))
        if rng.random() < 0.3:
            transform[rng.integers(3)] = transform[rng.integers(3)]
        if rng.random() < 0.5:
            transform[2] = [0, 0, 1]
        y = np.c_[x, np.ones(len(x))] @ transform.T
        y = y[:, :2] / y[:, 2:]
        y += rng.normal(size=y.shape) * rng.choice([0, 0.1, 1])
    return np.where(np.abs(y) < 1e18, y, 0.0)


def frames(rng, x):
    """Frames at x: regular, singular, mirrored, tiny or huge."""
    linear = rng.normal(size=(len(x), 2, 2)) * rng.choice(MAGNITUDES, (len(x), 1, 1))
    kind = rng.integers(0, 4, len(x))
    linear[kind == 0] = np.eye(2)
    linear[kind == 1, 1] = linear[kind == 1, 0]
    return np.concatenate([linear, x[:, :, None]], 2)


def hostile(rng, x):
    """A copy with another dtype, layout or shape, or with a bad value."""
    choice = rng.integers(0, 40)
    if choice == 0 and x.size:
        x = x.copy()
        x.flat[rng.integers(x.size)] = rng.choice([np.nan, np.inf, -np.inf])
    elif choice == 1:
        shapes = (x.T, x[:-1], x[:, :1], x[..., None], x[None])
        x = shapes[rng.integers(len(shapes))]
    elif choice == 2:
        x = x[::-1]
    elif choice == 3:
        x = np.asfortranarray(x)
    elif choice in (4, 5):
        with np.errstate(all="ignore"):
            x = x.astype(DTYPES[rng.integers(len(DTYPES))])
    elif choice == 6:
        x = np.repeat(x, 2, axis=0)[::2]
    return x


def case(rng):
    n = int(rng.integers(0, 9 if rng.random() < 0.3 else 61))
    with np.errstate(all="ignore"):
        x1 = POINTS[rng.integers(len(POINTS))](rng, n)
        x2 = POINTS[rng.integers(len(POINTS))](rng, n) if rng.random() < 0.4 else related(rng, x1)
        if rng.random() < 0.4:
            x1, x2 = frames(rng, x1), frames(rng, x2)
    options = {
        "residual_threshold": rng.choice(THRESHOLDS if rng.random() < 0.95 else BAD_THRESHOLDS),
        "max_trials": int(rng.choice([0, 1, 10, 200], p=[0.02, 0.18, 0.3, 0.5])),
        "confidence": rng.choice([5e-324, 0.5, 0.999, 1 - 2**-53]),
        "random_state": int(rng.integers(0, 2**63)),
    }
    if rng.random() < 0.3:
        options["quality"] = rng.choice([-1.0, 0, 1, FLOATS.max], n + (rng.random() < 0.02))
    return hostile(rng, x1), hostile(rng, x2), options


def assert_sound(found, n):
    assert found.inliers.shape == (n,)
    assert found.inliers.dtype == bool
    assert found.n_inliers == found.inliers.sum()
    assert np.isfinite(found.score)
    assert found.trials >= 0
    if found.reason:
        assert np.isnan(found.model).all()
        assert (found.n_inliers, found.score) == (0, 0.0)
    else:
        assert np.isfinite(found.model).all()
        assert found.model.any()
        assert found.n_inliers > 0


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_fuzzed_input_is_answered_or_refused(seed, watchdog):
    rng = np.random.default_rng(seed)
    answered = 0
    for i in range(CASES):
        x1, x2, options = case(rng)
        model = MODELS[i % len(MODELS)]
        start = time.perf_counter()
        try:
            found = estimate(model, x1, x2, **options)
        except (ValueError, TypeError) as refusal:
            assert any(name in str(refusal) for name in ("x1", "x2", *options)), refusal  # noqa: PT017
            continue
        finally:
            assert time.perf_counter() - start < LONGEST
        assert_sound(found, len(x1))
        answered += not found.reason
    assert answered > CASES / 20  # most of this file would test nothing, were all refused
