# SPDX-License-Identifier: Apache-2.0
import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from trouvaille import _check

NUMBERS = ["u1", "i1", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]
# Around every place where a conversion stops being exact.
EDGES = [
    s * (2**e + d) for e in (7, 8, 11, 24, 31, 53, 63, 64) for d in (-1, 0, 1) for s in (-1, 1)
]


def numbers_of(dtype):
    """Draw numbers of a dtype, many of them near the limits of the others."""
    if np.dtype(dtype).kind == "f":
        edges = [np.dtype(dtype).type(edge) for edge in EDGES]
        edges = [edge for edge in edges if np.isfinite(edge)] + [0.5, -0.0]
        width = 8 * np.dtype(dtype).itemsize
        return st.sampled_from(edges) | st.floats(
            allow_nan=False, allow_infinity=False, width=width
        )
    info = np.iinfo(dtype)
    inside = [edge for edge in EDGES if info.min <= edge <= info.max]
    return st.sampled_from(inside) | st.integers(int(info.min), int(info.max))


@st.composite
def arrays(draw):
    dtype = draw(st.sampled_from(NUMBERS))
    with np.errstate(over="ignore"):
        return np.array(draw(st.lists(numbers_of(dtype), max_size=5)), dtype)


def fits(value, dtype):
    """Say whether the rational `value` is a number of `dtype`."""
    if np.dtype(dtype).kind in "ui":
        info = np.iinfo(dtype)
        return value.denominator == 1 and info.min <= value <= info.max
    with np.errstate(over="ignore"):
        rounded = np.dtype(dtype).type(value.numerator / value.denominator)
    return bool(np.isfinite(rounded)) and Fraction(float(rounded)) == value


def fraction(number):
    return Fraction(int(number) if isinstance(number, np.integer) else float(number))


@given(arrays(), st.sampled_from(["u1", "i4", "i8", "u8", "f4", "f8"]))
def test_array_converts_exactly_or_not_at_all(x, dtype):
    before = x.copy()
    if all(fits(fraction(value), dtype) for value in x):
        result = _check.array(x, "x", dtype)
        assert result.dtype == dtype
        assert [fraction(value) for value in result] == [fraction(value) for value in x]
    else:
        with pytest.raises(ValueError, match=rf"x must be .*\.astype\(np\.{np.dtype(dtype).name}"):
            _check.array(x, "x", dtype)
    np.testing.assert_array_equal(x, before)


@given(
    npst.arrays(
        st.sampled_from(["u1", ">f4", "<f8"]),
        npst.array_shapes(max_dims=3),
        elements=st.integers(0, 100),
    ),
    st.integers(-2, 2).filter(bool),
    st.booleans(),
)
def test_array_is_contiguous_and_aligned_whatever_is_given(x, step, transpose):
    view = x[::step].T if transpose else x[::step]
    view.flags.writeable = False
    result = _check.array(view, "x", np.float32)
    assert result.flags.c_contiguous
    assert result.flags.aligned
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, view)


def test_array_copies_only_what_it_must():
    x = np.zeros((3, 4), np.float32)
    assert _check.array(x, "x", np.float32) is x
    unaligned = np.zeros(17, np.uint8)[1:].view(np.float32)
    assert not unaligned.flags.aligned
    assert _check.array(unaligned, "x", np.float32).flags.aligned


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (None, TypeError, "x must hold float32 numbers, got dtype object"),
        ("text", TypeError, "got dtype <U4"),
        ([[1, 2], [3]], ValueError, "x must be a rectangular array"),
        (np.array([True]), TypeError, "got dtype bool"),
        (np.array([1j]), TypeError, "got dtype complex128"),
        (np.array([1, None]), TypeError, "got dtype object"),
        (np.array(["2020-01-01"], "M8[D]"), TypeError, "got dtype datetime64"),
        (np.zeros(1, [("a", "f4")]), TypeError, "x must hold"),
        (np.ma.masked_array([1.0, 2.0], [0, 1]), TypeError, "x must not be a masked array"),
        (np.array([np.nan]), ValueError, "x must be finite, got NaN"),
        (np.array([np.inf], np.float16), ValueError, "x must be finite, got NaN or inf"),
        (np.zeros((2, 2)), ValueError, r"x must be 1-D, got shape \(2, 2\)"),
        (0.0, ValueError, r"x must be 1-D, got shape \(\)"),
    ],
)
def test_array_names_what_is_wrong(x, error, message):
    with pytest.raises(error, match=message):
        _check.array(x, "x", np.float32, ndim=1)


@pytest.mark.parametrize("raises", [TypeError, RuntimeError])
def test_array_names_what_cannot_become_an_array(raises):
    class Tensor:  # as of torch, on a GPU or with a gradient
        def __array__(self, dtype=None, copy=None):
            raise raises("call cpu() first")

    with pytest.raises(TypeError, match=r"x cannot become a NumPy array: call cpu\(\) first"):
        _check.array(Tensor(), "x", np.float32)


def test_matrix_and_frames_check_shapes():
    assert _check.matrix([[1, 2]], "x", np.uint8, cols=2).tolist() == [[1, 2]]
    with pytest.raises(ValueError, match=r"x must have 3 columns, got shape \(1, 2\)"):
        _check.matrix([[1, 2]], "x", np.uint8, cols=3)
    assert _check.frames(np.zeros((0, 2, 3)), "x").shape == (0, 2, 3)
    with pytest.raises(ValueError, match=r"x must have shape \(n, 2, 3\), got \(1, 3, 2\)"):
        _check.frames(np.zeros((1, 3, 2)), "x")
    with pytest.raises(ValueError, match=r"x must be within 1e\+18, got 2e\+18"):
        _check.frames(np.full((1, 2, 3), -2e18, np.float32), "x", 1e18)


def test_descriptors_stay_bytes():
    assert _check.descriptors(np.zeros((1, 2), np.uint8), "x").dtype == np.uint8
    for dtype in (np.int8, np.float16, np.float64, np.int64):
        assert _check.descriptors(np.zeros((1, 2), dtype), "x").dtype == np.float32
    with pytest.raises(TypeError, match="masked"):
        _check.descriptors(np.ma.zeros((1, 2)), "x")


@pytest.mark.parametrize("k", [1, np.int8(1), np.uint64(1), np.array(1)])
def test_count_takes_whole_numbers(k):
    assert _check.count(k, "k") == 1


@pytest.mark.parametrize("k", [True, np.True_, 1.0, "1", None, [1], np.array([1, 2])])
def test_count_refuses_what_is_no_whole_number(k):
    with pytest.raises(TypeError, match="k must be a whole number, got"):
        _check.count(k, "k")


@pytest.mark.parametrize("k", [0, -1, 2**31, 2**63, 2**64])
def test_count_refuses_what_is_out_of_range(k):
    with pytest.raises(ValueError, match=f"k must be between 1 and 2147483647, got {k}"):
        _check.count(k, "k")


def test_threads_default_to_the_cores_of_this_process():
    assert _check.threads(None) == _check.available_cores() >= 1
    assert _check.threads(64) == 64
    for n in (0, -1, 1025):
        with pytest.raises(ValueError, match="threads must be between 1 and 1024"):
            _check.threads(n)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity to set")
def test_available_cores_respects_the_affinity():
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert _check.available_cores() == 1
    finally:
        os.sched_setaffinity(0, cores)


def test_seed_is_below_2_to_the_63():
    assert _check.seed(2**63 - 1) == 2**63 - 1
    with pytest.raises(ValueError, match="random_state"):
        _check.seed(2**63)
    with pytest.raises(ValueError, match="random_state"):
        _check.seed(-1)
    with pytest.raises(TypeError, match="random_state"):
        _check.seed(None)
