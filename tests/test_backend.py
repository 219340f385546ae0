# SPDX-License-Identifier: Apache-2.0
import importlib
import sys
import types

import pytest

from trouvaille import _backend

NAME = "trouvaille._cuda"


def module(devices):
    fake = types.ModuleType(NAME)
    fake.devices = devices
    return fake


def raising(error):
    def devices():
        raise error

    return module(devices)


def test_without_the_module_there_is_no_device(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    assert _backend.cuda_devices() == ()
    assert "no CUDA module" in _backend.cuda_reason()


def test_a_module_that_does_not_load_says_why(monkeypatch):
    def broken(name):
        raise ImportError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", broken)
    assert _backend.cuda_devices() == ()
    assert "does not load: libcudart.so.13" in _backend.cuda_reason()


@pytest.mark.parametrize(
    ("fake", "devices", "reason"),
    [
        (module(lambda: ["gpu"]), ("gpu",), ""),
        (module(list), (), "no GPU is visible (CUDA_VISIBLE_DEVICES may hide them)"),
        (raising(RuntimeError("too old")), (), "the CUDA driver does not answer: too old"),
    ],
)
def test_devices_and_the_reason_for_none(monkeypatch, fake, devices, reason):
    monkeypatch.setitem(sys.modules, NAME, fake)
    assert _backend.cuda_devices() == devices
    assert _backend.cuda_reason() == reason


def test_either_a_device_or_a_reason():
    assert bool(_backend.cuda_devices()) != bool(_backend.cuda_reason())


def test_real_devices_describe_themselves():
    devices = _backend.cuda_devices()
    if not devices:
        pytest.skip(_backend.cuda_reason())
    for i, device in enumerate(devices):
        assert device.index == i
        assert device.name
        assert device.memory > 2**30
        assert device.compute_capability >= (5, 0)
        assert device.multiprocessors > 0
