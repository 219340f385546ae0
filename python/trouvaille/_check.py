# SPDX-License-Identifier: Apache-2.0
"""Argument checks shared by every public function; each returns what the kernel should be given.

Whatever can be converted without changing a value is converted, once; the rest is refused with an
error that names the argument, what was given and what was expected.
"""

from __future__ import annotations

import math
import operator
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

MAX_COUNT = 2**31 - 1
MAX_FRAME = 1e18
"""Of a frame's entries: whatever is computed of smaller ones, areas included, is a float32."""


def array(x: ArrayLike, name: str, dtype: DTypeLike, ndim: int | None = None) -> NDArray[Any]:
    """Return `x` as an aligned C-contiguous array of `dtype`, where the conversion is exact.

    Raises
    ------
    TypeError
        If `x` is masked, or holds booleans, complex numbers, text or objects.
    ValueError
        If it is not an array, has another number of axes, holds NaN or infinity, or values that
        `dtype` cannot represent.
    """
    given = as_array(x, name)
    if given.dtype.kind not in "uif":
        raise TypeError(f"{name} must hold {np.dtype(dtype)} numbers, got dtype {given.dtype}")
    if ndim is not None and given.ndim != ndim:
        raise ValueError(f"{name} must be {ndim}-D, got shape {given.shape}")
    if given.dtype.kind == "f" and not _is_finite(given):
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return np.require(_exactly(given, name, np.dtype(dtype)), requirements=["C", "A"])


def _is_finite(x: NDArray[Any]) -> bool:
    """Whether no number is NaN or infinite: they stay so in a sum, which takes no memory."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum()) or np.isfinite(x).all())


def as_array(x: ArrayLike, name: str) -> NDArray[Any]:
    """Return `x` as an array of whatever it holds, or say that it is none."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array; fill it: {name}.filled(...)")
    try:
        return np.asarray(x)
    except ValueError as error:  # lists of unequal lengths
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None
    except (TypeError, RuntimeError) as error:  # a tensor on a GPU, or one that has a gradient
        raise TypeError(f"{name} cannot become a NumPy array: {error}") from None


def _exactly(given: NDArray[Any], name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    if given.dtype == dtype:
        return given
    # NumPy calls int64 to float64 safe, though it rounds.
    rounds = given.dtype.kind in "ui" and given.dtype.itemsize == 8 and dtype.kind == "f"
    always = np.can_cast(given.dtype, dtype, "safe") and not rounds
    if not always and not _representable(given, dtype).all():
        raise ValueError(
            f"{name} must be {dtype}; its {given.dtype} values do not fit exactly. "
            f"If rounding is meant, pass {name}.astype(np.{dtype.name})"
        )
    return given.astype(dtype)


def _representable(given: NDArray[Any], dtype: np.dtype[Any]) -> Any:
    """Say which of the finite numbers `given` are exactly numbers of `dtype`."""
    if dtype.kind in "ui":
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if given.dtype.kind in "ui":  # NumPy compares integers with Python's exactly
            return (given >= low) & (given <= high)
        # In floats high + 1 is a power of two, and exact, where high may not be.
        within = (given >= np.float64(low)) & (given < np.float64(high + 1))
        return within & (given == np.rint(given))
    with np.errstate(over="ignore"):
        converted = given.astype(dtype)
    if given.dtype.kind == "f":
        return converted == given
    # An integer came through if it comes back. One that is rounded up to 2^63 would not: that
    # conversion overflows, so it is excluded first.
    fits = converted < np.float64(int(np.iinfo(given.dtype).max) + 1)
    return fits & (np.where(fits, converted, 0).astype(given.dtype) == given)


def matrix(x: ArrayLike, name: str, dtype: DTypeLike, cols: int | None = None) -> NDArray[Any]:
    """Return `x` as a matrix of `dtype`, with `cols` columns if that is given; see `array`."""
    result = array(x, name, dtype, ndim=2)
    if cols is not None and result.shape[1] != cols:
        raise ValueError(f"{name} must have {cols} columns, got shape {result.shape}")
    return result


def descriptors(x: ArrayLike, name: str, cols: int | None = None) -> NDArray[Any]:
    """Return `x` as a matrix of bytes if it is one, and of float32 otherwise; see `array`."""
    # A tensor of another library has a dtype of its own; NumPy's is known once it is converted.
    given = as_array(x, name)
    dtype = np.uint8 if given.dtype == np.uint8 else np.float32
    return matrix(given, name, dtype, cols)


def frames(x: ArrayLike, name: str, limit: float = np.inf) -> NDArray[np.float32]:
    """Return `x` as local affine frames, shape (n, 2, 3) float32, within limit; see `array`."""
    result = array(x, name, np.float32, ndim=3)
    if result.shape[1:] != (2, 3):
        raise ValueError(f"{name} must have shape (n, 2, 3), got {result.shape}")
    if limit < np.inf and (np.abs(result) > limit).any():
        raise ValueError(f"{name} must be within {limit:g}, got {np.abs(result).max():g}")
    return result


def offsets(x: ArrayLike, name: str, total: int, what: str) -> NDArray[np.int64]:
    """Return `x` as the offsets of parts, one behind the other, of `total` of something."""
    offsets = array(x, name, np.int64, ndim=1)
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != total:
        given = f"from {offsets[0]} to {offsets[-1]}" if len(offsets) else "an empty array"
        raise ValueError(f"{name} must go from 0 to {total}, the number of {what}, got {given}")
    if (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"{name} must not decrease")
    return offsets


def box(x: ArrayLike, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the pixels that a box x1, y1, x2, y2 of a query of that size touches."""
    corners = array(x, "box", np.float64, ndim=1)
    if len(corners) != 4:
        raise ValueError(f"box must be four numbers, x1, y1, x2, y2; got {len(corners)}")
    limits = np.array([width, height, width, height])
    x1, y1, x2, y2 = np.clip(corners, 0, limits).tolist()
    left, top, right, bottom = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
    if left >= right or top >= bottom:
        raise ValueError(
            f"box must be x1, y1, x2, y2 with x1 < x2 and y1 < y2, within the query's "
            f"{width} x {height} pixels; got {tuple(corners.tolist())}"
        )
    return left, top, right, bottom


def count(n: int, name: str, minimum: int = 1, maximum: int = MAX_COUNT) -> int:
    """Return the whole number `n` of [minimum, maximum]."""
    try:
        value = operator.index(n)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {n!r}") from None
    if isinstance(n, (bool, np.bool_)):
        raise TypeError(f"{name} must be a whole number, got {n!r}")
    if not minimum <= value <= maximum:
        raise ValueError(f"{name} must be between {minimum} and {maximum}, got {value}")
    return value


def number(x: Any, name: str) -> float:
    """Return the number `x`, which may be NaN; text is refused, and so are True and False."""
    if isinstance(x, str | bytes | bool | np.bool_):
        raise TypeError(f"{name} must be a number, got {x!r}")
    try:
        return float(x)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {x!r}") from None
    except OverflowError:
        raise ValueError(f"{name} must be a number that float64 can hold") from None


def positive(x: Any, name: str) -> float:
    """Return the finite number `x` above 0."""
    value = number(x, name)
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value


def between(x: Any, name: str, minimum: float, maximum: float) -> float:
    """Return the number `x` of [minimum, maximum]."""
    value = number(x, name)
    if not minimum <= value <= maximum:
        raise ValueError(f"{name} must be between {minimum} and {maximum}, got {value}")
    return value


def boolean(x: bool, name: str) -> bool:
    """Return `x` if it is True or False; text and numbers are refused, since "no" would be true."""
    if not isinstance(x, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {x!r}")
    return bool(x)


def threads(n: int | None) -> int:
    """Return the number of threads: `n`, or one for each core this process may use."""
    return available_cores() if n is None else count(n, "threads", maximum=1024)


def available_cores() -> int:
    """Return the number of cores this process may use: its affinity, where that is known."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def seed(random_state: int) -> int:
    """Return `random_state` as a seed for the kernels: a whole number below 2^63."""
    return count(random_state, "random_state", minimum=0, maximum=2**63 - 1)
