# SPDX-License-Identifier: Apache-2.0
"""What the names in a pickle stand for: `CALLS` has all that may be called, and each makes data."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

_MAX_DIMS = 64
OBJECT = 128  # bytes that a list, a pair of a dict or a remembered value takes, about
_TENSOR = 1024  # without its numbers
_DTYPES = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])
ORDERS = {"<": "<", ">": ">", "=": "=", "|": "|"}

STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
VALUES = {  # of torch, which stand for themselves
    f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)
}
OBJECTS = {
    "sklearn.decomposition.pca.PCA": "PCA",
    "sklearn.decomposition._pca.PCA": "PCA",
}


class RefusedError(ValueError):
    """What a file holds is none of the data that is read here."""


@dataclass
class PickledObject:
    """An object of another library: what it is, and its attributes as data."""

    kind: str
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Global:
    """A name in a pickle. It stands for itself."""

    name: str


@dataclass
class DType:
    code: str
    order: str = "="

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class Machine(Protocol):
    """What reads a pickle."""

    def spend(self, count: int) -> None: ...
    def hold(self, count: int) -> None: ...


def _tensor(
    machine: Machine, storage: Any, offset: Any, size: Any, stride: Any, *_hooks_and_gradient: Any
) -> Any:
    if not isinstance(storage, torch.Tensor) or storage.ndim != 1:
        raise RefusedError("a tensor of its is not of a storage")
    size, stride = _whole(size), _whole(stride)
    (offset,) = _whole((offset,))
    if len(size) != len(stride):
        raise RefusedError("size and stride of a tensor do not fit together")
    count = math.prod(size)
    end = offset + sum((s - 1) * step for s, step in zip(size, stride, strict=True)) + 1
    if count > len(storage) or (count and end > len(storage)):
        raise RefusedError(f"a tensor of shape {size} does not fit into its storage")
    machine.spend(count * storage.element_size())
    machine.hold(_TENSOR)
    return storage.as_strided(size, stride, offset if count else 0)


def key_of(key: Any) -> Any:
    if type(key) not in (str, int):  # whose hash takes no longer than they are
        raise RefusedError(f"a dict of its has a key of type {type(key).__name__}")
    return key


def set_of(machine: Machine, items: Any) -> set[Any]:
    """Return plain values, of a list or a tuple, as a set."""
    if type(items) not in (list, tuple):
        raise RefusedError("a set of its is not made of a list")
    machine.hold(OBJECT * len(items))
    for item in items:
        if type(item) not in (str, int, float, bool, type(None)):
            raise RefusedError(f"a set of its has an item of type {type(item).__name__}")
    return set(items)


def _whole(numbers: Any) -> tuple[int, ...]:
    if type(numbers) is not tuple or len(numbers) > _MAX_DIMS:
        raise RefusedError("a size of its is none")
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise RefusedError("a size of its is not made of whole numbers")
    return numbers


def _ordered_dict(machine: Machine, pairs: Any = ()) -> OrderedDict[Any, Any]:
    machine.hold(OBJECT * len(pairs))
    return OrderedDict((key_of(key), value) for key, value in pairs)


def _default_dict(_: Machine, factory: Any = None) -> dict[Any, Any]:
    """Return a dict without what it makes of a key that is not there."""
    if factory is not None and not (isinstance(factory, Global) and factory.name in _FACTORIES):
        raise RefusedError("a dict of its makes values in a way that is not read here")
    return {}


def _set(machine: Machine, items: Any = ()) -> set[Any]:
    return set_of(machine, items)


def _frozen_set(machine: Machine, items: Any = ()) -> frozenset[Any]:
    return frozenset(set_of(machine, items))


def _device(_: Machine, *type_and_index: Any) -> Any:
    name, index = (*type_and_index, 0)[:2]
    if type(name) is not str or len(name) > 20 or type(index) is not int:
        raise RefusedError("a device of its is none")
    return torch.device(*type_and_index)


def _parameter(_: Machine, data: Any, *_hooks_and_gradient: Any) -> Any:
    return data


def _size(_: Machine, numbers: Any) -> tuple[int, ...]:
    return _whole(numbers)


def _dtype(_: Machine, code: Any, *_align_and_copy: Any) -> DType:
    if code not in _DTYPES:
        raise RefusedError("an array of its is not of numbers")
    return DType(code)


def _array(_: Machine, *_type_shape_and_code: Any) -> Any:
    return np.empty(0, np.uint8)  # that a state fills


def fill(
    machine: Machine,
    array: Any,
    _version: Any,
    shape: Any,
    dtype: Any,
    is_fortran: Any,
    data: Any,
) -> None:
    if not isinstance(dtype, DType):
        raise RefusedError("an array of its has no type")
    shape, numbers = _whole(shape), dtype.numpy()
    machine.spend(len(data))
    data = _bytes(data)
    if len(shape) > _MAX_DIMS // 2 or math.prod(shape) * numbers.itemsize != len(data):
        raise RefusedError(f"an array of shape {shape} does not have {len(data)} bytes")
    array.__setstate__((1, shape, numbers, bool(is_fortran), data))


def _array_of_buffer(machine: Machine, data: Any, dtype: Any, shape: Any, order: Any) -> Any:
    array = np.empty(0, np.uint8)
    fill(machine, array, 1, shape, dtype, order == "F", data)
    return array


def _scalar(machine: Machine, dtype: Any, data: Any) -> Any:
    machine.spend(len(data))
    return np.frombuffer(_bytes(data), dtype.numpy(), 1)[0]


def _encode(machine: Machine, text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise RefusedError("bytes of its are encoded in a strange way")
    machine.spend(len(text))
    return _bytes(text)


def _bytes(data: Any) -> bytes:
    """Return bytes that Python 2 wrote, or Python 3 for it, as text."""
    if type(data) not in (str, bytes, bytearray):
        raise RefusedError("bytes of its are none")
    return data.encode("latin-1") if type(data) is str else bytes(data)


def _type(_: Machine, *_arguments: Any) -> Any:
    raise RefusedError("its pickle makes a value in a strange way")


_BUILTINS = "builtins", "__builtin__"  # of Python 3, and of Python 2
_FACTORIES = frozenset(
    f"{builtins}.{kind}"
    for builtins in _BUILTINS
    for kind in ("list", "dict", "set", "tuple", "int", "float", "str")
)
CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
    "_codecs.encode": _encode,
    "numpy.ndarray": _type,
    "numpy.dtype": _dtype,
    **{f"numpy.{core}.multiarray._reconstruct": _array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array_of_buffer for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **dict.fromkeys(_FACTORIES, _type),  # which are named, not called
    **{f"{builtins}.set": _set for builtins in _BUILTINS},
    **{f"{builtins}.frozenset": _frozen_set for builtins in _BUILTINS},
}
