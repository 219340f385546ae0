# SPDX-License-Identifier: Apache-2.0
"""Hostile inputs, for every public kernel: hostile.py and others have the kernels and cases."""

import importlib
import inspect
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import hostile
import hostile_aggregate
import hostile_hashing
import hostile_match_kernel
import hostile_neighbors
import hostile_trees
from hostile import EITHER, EXACT, ROLES

KERNELS = (
    hostile.KERNELS
    + hostile_neighbors.KERNELS
    + hostile_hashing.KERNELS
    + hostile_trees.KERNELS
    + hostile_match_kernel.KERNELS
    + hostile_aggregate.KERNELS
)


@dataclass(frozen=True)
class Case:
    kernel: hostile.Kernel
    argument: str  # the one that an error must name
    name: str
    contradiction: bool  # with another array, whose name will do as well
    rule: Any
    change: Any  # valid arguments -> hostile ones

    @property
    def id(self):
        return f"{self.kernel.id}-{self.argument}-{self.name}"


def cases_of(kernel):
    valid = kernel.arguments(np.random.default_rng(0))
    for argument, role in kernel.roles.items():
        cases = dict(hostile.cases_of(role, valid[argument].dtype))
        if argument in kernel.columns:
            columns = hostile.SPARSE_COLUMNS if role == "sparse" else hostile.COLUMNS
            cases |= {name: (ValueError, case) for name, case in columns.items()}
        else:
            columns = {}
        if argument in kernel.optional:
            del cases["None"]
        for name, (rule, case) in cases.items():
            change = hostile.replacing(**{argument: case})
            yield Case(kernel, argument, name, rule is EITHER or name in columns, rule, change)
    values = [(argument, hostile.COUNTS) for argument in kernel.counts]
    for argument, table in [*values, ("threads", hostile.THREADS)]:
        for value, rule in table:
            change = setting(argument, value)
            yield Case(kernel, argument, f"{argument}={value!r}", False, rule, change)
    for name, (rule, argument, change) in kernel.special.items():
        yield Case(kernel, argument, name, rule is EITHER, rule, change)


def setting(argument, value):
    return lambda given: given | {argument: value}


def parameter(case):
    known = hostile.KNOWN.get(case.id)
    marks = [pytest.mark.xfail(reason=known[0], run=known[1])] if known else []
    return pytest.param(case, id=case.id, marks=marks)


CASES = [case for kernel in KERNELS if kernel.exists for case in cases_of(kernel)]


def plain(kernel, given):
    """Convert what was given to plain arrays, as the documentation says it is understood."""
    result = {}
    for name, value in given.items():
        role = kernel.roles.get(name)
        if role == "sparse":
            dense = value.toarray() if scipy.sparse.issparse(value) else np.asarray(value)
            result[name] = scipy.sparse.csr_array(dense.astype(np.float64))
        elif role is not None:
            result[name] = np.array(ROLES[role](np.asarray(value)), order="C")
        elif name != "threads":
            result[name] = value
    return result


def contents(given):
    """Take the bytes of all arrays among the arguments, to see later that none has changed."""
    arrays = []
    for value in given.values():
        parts = [value]
        if scipy.sparse.issparse(value):
            parts = [getattr(value, part, None) for part in ("data", "indices", "indptr")]
        for part in parts:
            if isinstance(part, np.ndarray):
                arrays.append((part.dtype, part.shape, repr(np.asarray(part).tolist())))
    return arrays


def assert_same(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        if e is not None:  # the oracle says nothing of that part
            np.testing.assert_array_equal(a, e)


def check_result(kernel, result, given):
    for i, part in enumerate(result):
        assert i in kernel.nan or not np.isnan(np.asarray(part, np.float64)).any()
    understood = plain(kernel, given)
    for threads in (1, 5):
        assert_same(kernel(understood | {"threads": threads}), result)
    if kernel.oracle is not None:
        assert_same(result, kernel.oracle(**understood))


@pytest.mark.parametrize("case", [parameter(case) for case in CASES])
def test_hostile_input(case):
    kernel = case.kernel
    given = case.change(kernel.arguments(np.random.default_rng(0)))
    before = contents(given)
    try:
        result, error = kernel(given), None
    except (ValueError, TypeError) as refusal:
        error = refusal
    assert contents(given) == before
    if error is None:
        assert case.rule in (EXACT, EITHER), f"accepted: {result}"
        check_result(kernel, result, given)
    else:
        assert case.rule is not EXACT, f"refused: {error}"
        assert isinstance(error, case.rule), f"another error: {error!r}"
        arguments = [case.argument, *(kernel.roles if case.contradiction else ())]
        names = [kernel.named.get(argument, argument) for argument in arguments]
        assert re.search(rf"\b({'|'.join(names)})\b", str(error)), f"does not name it: {error}"


@pytest.mark.parametrize("module", sorted({kernel.module for kernel in KERNELS if kernel.exists}))
def test_every_public_kernel_has_joined(module):
    stage = importlib.import_module(f"trouvaille.{module}")
    public = {
        f"{module}.{name}"
        for name, value in vars(stage).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == stage.__name__
        and (inspect.isfunction(value) or inspect.isclass(value))
        and not hasattr(value, "_fields")  # a named tuple is a result
    }
    joined = {f"{kernel.module}.{kernel.name}" for kernel in KERNELS}
    assert public <= joined | hostile.EXEMPT.keys()
    assert not joined & hostile.EXEMPT.keys()
