# SPDX-License-Identifier: Apache-2.0
"""What every kernel of the features owes: the same bits everywhere, and what it may take."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import interrupts
import scenes
from trouvaille import _core, features

SHAPES = [(1, 1), (1, 200), (200, 1), (7, 9), (10, 10), (11, 11), (12, 1000), (33, 400)]
SHAPES += [(40, 16 * k + tail) for k in (1, 2, 3, 4, 5, 8) for tail in (-1, 0, 1)]
SHAPES += [(257, 131), (64 * 3 + 5, 90)]  # several chunks of rows


def everything(photo, threads, first_octave=-1):
    """The bits that each kernel makes of a photo."""
    space = _core.ScaleSpace(photo, first_octave, threads)
    parts = [layer[0] for octave in space.octaves() for layer in octave]
    frames, responses = _core.detect_dog(space, 0.5, 10, threads)
    height, width = photo.shape
    for spread in (False, True):
        most = max(1, len(frames) // 3)
        parts.append(_core.select(frames, responses, width, height, most, None, spread))
    turned, sources = _core.orient(space, frames, 4, threads)
    shape = np.float32([[1.3, 0.4, 1], [-0.2, 0.9, 1]])
    for root in (True, False):
        parts += [_core.describe_sift(space, x, 3, root, threads) for x in (turned, turned * shape)]
    return [(part.shape, part.tobytes()) for part in [*parts, frames, responses, turned, sources]]


def with_isa(name, *arguments):
    _core.use_isa(name)
    try:
        return everything(*arguments)
    finally:
        _core.reset_isa()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_bits_are_the_same_on_every_cpu_with_any_threads(isa, threads, rng, shape):
    photo = rng.integers(0, 256, shape).astype(np.uint8)
    actual = everything(photo, threads)
    assert actual == with_isa("scalar", photo, 1)


@pytest.mark.parametrize("first_octave", [-1, 0])
def test_all_bits_of_a_real_structure_are_the_same(isa, threads, first_octave):
    photo = scenes.scene(5, (515, 333))
    actual = everything(photo, threads, first_octave)
    assert len(actual[-1][1]) > 1000
    assert actual == with_isa("scalar", photo, 1, first_octave)


@settings(max_examples=50)
@given(
    st.integers(1, 80),
    st.integers(1, 150),
    st.sampled_from([1, 2, 4, 32, 256]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_all_bits_of_any_image_are_the_same(height, width, levels, floats, seed):
    """Of few gray levels, so that neighbours and whole regions are equal; or of any floats."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, levels, (height, width)) * (255 / max(levels - 1, 1))
    block = int(rng.integers(1, 9))
    cells = cells[: height // block + 1, : width // block + 1]
    photo = np.kron(cells, np.ones((block, block)))[:height, :width]
    if floats:
        photo = photo + np.where(photo == 0, rng.choice([0, 1e-45, 1e-38, 1e-9, 0.1]), 0)
    photo = np.ascontiguousarray(photo, np.float32 if floats else np.uint8)
    results = [with_isa(name, photo, threads) for name in _core.isas() for threads in (1, 3)]
    assert all(result == results[0] for result in results[1:])


def test_many_threads_share_one_space():
    space = _core.ScaleSpace(scenes.scene(6), -1, 2)
    frames, _ = _core.detect_dog(space, 2, 10, 1)
    expected = _core.describe_sift(space, frames, 3, True, 1)
    found = []
    workers = [
        threading.Thread(
            target=lambda: found.append(
                _core.describe_sift(space, _core.detect_dog(space, 2, 10, 2)[0], 3, True, 2)
            )
        )
        for _ in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 6
    for one in found:
        np.testing.assert_array_equal(one, expected)


def test_a_photo_does_not_see_the_one_before():
    """The memory of a scale space is used again: nothing of a photo stays in it."""
    small, large = scenes.scene(7, (90, 70)), scenes.scene(8, (640, 480))
    fresh = everything(small, 1)
    everything(large, 1)
    assert everything(small, 1) == fresh
    for shape in [(1, 300), (300, 1), (50, 17)]:
        photo = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        before = everything(photo, 1)
        everything(np.full((480, 640), 255, np.uint8), 1)
        assert everything(photo, 1) == before


# ---- Ctrl-C


@pytest.fixture(scope="module")
def large():
    tile = scenes.scene(9, (800, 600))
    return np.tile(tile, (10, 10))


def test_ctrl_c_stops_every_stage(large):
    """48 Mpx: the scale space first, then everything after it in turn."""

    def blur():
        while True:
            features.ScaleSpace(large, threads=2)

    assert interrupts.seconds_to_stop(blur, tries=2) < interrupts.LIMIT
    space = features.ScaleSpace(large, threads=2)
    frames = np.tile(features.dog(space, max_features=2000, threads=2).frames, (100, 1, 1))

    def again(call, *arguments):
        while True:
            call(space._space, *arguments)

    for stage in (
        lambda: again(_core.detect_dog, 3.4, 10, 2),
        lambda: again(_core.orient, frames, 4, 2),
        lambda: again(_core.describe_sift, frames, 3, True, 2),
    ):
        assert interrupts.seconds_to_stop(stage, tries=2) < interrupts.LIMIT


@pytest.mark.parametrize("order", ["random", "sorted"])
def test_selection_stops_when_interrupted(order):
    """While it sorts, and, if there is little to sort, while it looks for the distance."""
    n, side = 3_000_000, 4000
    rng = np.random.default_rng(0)
    frames = np.zeros((n, 2, 3), np.float32)
    frames[:, 0, 0] = frames[:, 1, 1] = 2
    frames[:, :, 2] = rng.uniform(0, side - 1, (n, 2))
    responses = rng.uniform(1, 9, n).astype(np.float32)
    if order == "sorted":
        responses[::-1].sort()

    def select():
        while True:
            _core.select(frames, responses, side, side, 2_000_000, None, True)

    assert interrupts.seconds_to_stop(select, tries=2) < interrupts.LIMIT


# ---- Memory

MEASURE = """
import resource
import numpy as np
from trouvaille import features
rng = np.random.default_rng(0)
tiles = rng.integers(0, 256, ({side} // 8, {side} // 8)).astype(np.uint8)
photo = np.kron(tiles, np.ones((8, 8), np.uint8))
features.sift(photo[:300, :300], threads=2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = features.sift(photo, threads=2, spread={spread})
assert len(found.frames) == 2000, len(found.frames)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def bytes_of_sift(side, spread):
    script = MEASURE.format(side=side, spread=spread)
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def promised(side, results):
    """44 bytes a pixel, what some hundred rows need on their way, and the keypoints."""
    return 44 * side * (side + 32) + 2 * 1200 * side + results


@pytest.mark.parametrize("side", [2000])
def test_memory_is_as_promised(side):
    # Everything found is listed before the strongest are kept: 28 bytes each, a few times over.
    assert bytes_of_sift(side, False) < promised(side, 16e6)


SPREAD = """
import resource
import numpy as np
from trouvaille import _core
frames = np.zeros((5000, 2, 3), np.float32)
frames[:, :, 2] = np.random.default_rng(0).uniform(0, 90, (5000, 2))  # all in one corner
responses = np.arange(5000, dtype=np.float32)
_core.select(frames, responses, 100, 100, 4000, None, True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kept = _core.select(frames, responses, 40_000, 40_000, 4000, None, True)
assert len(kept) == 4000, len(kept)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_spreading_over_a_huge_photo_takes_little_memory():
    run = subprocess.run(
        [sys.executable, "-c", SPREAD], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 64e6


@pytest.mark.slow
def test_100_megapixels_take_the_memory_promised():
    side = 10_000
    assert bytes_of_sift(side, False) < promised(side, 300e6)
