# SPDX-License-Identifier: Apache-2.0
import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from trouvaille import _core


class WithoutTorch(PathFinder):
    """Finds what is installed but PyTorch, which an emulated CPU takes a minute to import."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "torch" else super().find_spec(name, path, target)


if os.environ.get("TROUVAILLE_TESTS_WITHOUT_TORCH"):
    sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTorch

# A deadline would fail on a busy machine. The fixtures `isa` and `threads` are the same for every
# example of a test, so drawing many examples within one of them is sound.
settings.register_profile(
    "house",
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("house")
settings.register_profile("emulated", max_examples=5)  # an emulated CPU is twenty times slower


def pytest_collection_modifyitems(items):
    """Mark what runs once per instruction set, for the emulated CPUs of `make test-isa`."""
    for item in items:
        if "isa" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kernel)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=_core.isas())
def isa(request):
    """Run the test once per instruction set this machine has."""
    _core.use_isa(request.param)
    yield request.param
    _core.reset_isa()


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    """Run the test with one thread, with two, and with more than the machine has."""
    return request.param


@pytest.fixture(scope="session")
def data():
    """The folder of real photos with known answers."""
    folder = os.environ.get("TROUVAILLE_DATA")
    if not folder:
        pytest.skip("TROUVAILLE_DATA names no folder of labelled photos")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"TROUVAILLE_DATA is {folder!r}, which is not a folder")
    return path
