# SPDX-License-Identifier: Apache-2.0
"""Pickles read as data: tensors, arrays and plain values, and nothing that runs.

A pickle is a program for a small machine, and Python's own calls whatever the program names. This
one knows the instructions that make data, and a name is a key of `_pickled_values.CALLS`, never
looked up in a module: there is nothing that a file could reach. Unlike Python's it also bounds what
a few bytes can ask for: memory is in proportion to the file, and keys of dicts are text or numbers.
For that each instruction is charged with about what it takes in memory, since one byte of a pickle
can make a list, and two more remember it.
"""

from __future__ import annotations

import pickletools
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ._pickled_values import (
    CALLS,
    OBJECT,
    OBJECTS,
    ORDERS,
    STORAGES,
    VALUES,
    DType,
    Global,
    PickledObject,
    RefusedError,
    fill,
    key_of,
    set_of,
)


class Readable(Protocol):
    """A file, as pickletools reads it; it never returns more bytes than it has."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...
    def tell(self) -> int: ...


class Unpickler:
    """Reads pickles, one after the other, of one file.

    Parameters
    ----------
    storage_of : callable
        Given the parts of a persistent id, which have the form of torch's, returns a flat tensor.
    max_bytes : int
        Of all tensors and arrays together, counting what shares memory as often as it is there.
    max_overhead : int
        Bytes of all that holds them, and of plain values: lists, dicts, tuples, text and what the
        pickle remembers.
    """

    def __init__(
        self, storage_of: Callable[[tuple[Any, ...]], Any], max_bytes: int, max_overhead: int
    ) -> None:
        self._storage_of = storage_of
        self._bytes_left = max_bytes
        self._overhead_left = max_overhead

    def read(self, file: Readable) -> Any:
        """Return the value of the pickle that begins where `file` is; it ends behind it."""
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        for opcode, argument, _ in pickletools.genops(file):  # type: ignore[arg-type]
            if opcode.name == "STOP":
                return self._stack.pop()
            self.hold(_COSTS.get(opcode.name, OBJECT))
            if opcode.name in _LITERALS:
                self.hold(sys.getsizeof(argument))
                self._stack.append(argument)
            elif opcode.name in _STEPS:
                _STEPS[opcode.name](self, argument)
            else:
                raise RefusedError(
                    f"its pickle has the instruction {opcode.name}, which data has not"
                )
        raise AssertionError("genops ends with STOP or raises")

    # ---- Instructions

    def _mark(self, _: Any) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _tuple(self, _: Any) -> None:
        items = self._since_mark()
        self._stack.append(tuple(items))

    def _tuple_of(self, count: int) -> None:
        items = tuple(self._pop() for _ in range(count))
        self._stack.append(items[::-1])

    def _pop(self) -> Any:
        return self._stack.pop()

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _append(self, _: Any) -> None:
        item = self._pop()
        self._list().append(item)

    def _appends(self, _: Any) -> None:
        items = self._since_mark()
        self._list().extend(items)

    def _list(self) -> list[Any]:
        if type(self._stack[-1]) is not list:
            raise RefusedError("its pickle appends to what is no list")
        return self._stack[-1]

    def _make_list(self, _: Any) -> None:
        items = self._since_mark()
        self._stack.append(items)

    def _make_dict(self, _: Any) -> None:
        items = self._since_mark()
        self._stack.append({})
        self._set(items)

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _set_items(self, _: Any) -> None:
        self._set(self._since_mark())

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, OrderedDict) or len(items) % 2:
            raise RefusedError("its pickle sets items of what is no dict")
        self.hold(OBJECT * (len(items) // 2))
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[key_of(key)] = value

    def _add_items(self, _: Any) -> None:
        items = self._since_mark()
        if type(self._stack[-1]) is not set:
            raise RefusedError("its pickle adds items to what is no set")
        self._stack[-1].update(set_of(self, items))

    def _frozen_set(self, _: Any) -> None:
        items = self._since_mark()
        self._stack.append(frozenset(set_of(self, items)))

    def _global(self, argument: str) -> None:
        self._push_global(argument.replace(" ", "."))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if type(module) is not str or type(name) is not str:
            raise RefusedError("its pickle names something by what is no text")
        self._push_global(f"{module}.{name}")

    def _push_global(self, name: str) -> None:
        if name in VALUES:
            self._stack.append(VALUES[name])
        elif name in CALLS or name in STORAGES or name in OBJECTS:
            self._stack.append(Global(name))
        else:
            raise RefusedError(
                f"its pickle names {name[:200]!r}, which is not read here, since it may be code: "
                "nothing was run, and the file is refused. Read here are tensors, arrays and plain "
                "values"
            )

    def _persistent(self, _: Any) -> None:
        given = self._pop()
        if type(given) is not tuple:
            raise RefusedError("its pickle refers to a storage by what is no tuple")
        parts = tuple(part.name if isinstance(part, Global) else part for part in given)
        self._stack.append(self._storage_of(parts))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        call = CALLS.get(function.name) if isinstance(function, Global) else None
        if call is None or type(arguments) is not tuple:
            raise RefusedError("its pickle calls what is no function")
        self._stack.append(call(self, *arguments))

    def _new_object(self, _: Any) -> None:
        arguments, kind = self._pop(), self._pop()
        if not (isinstance(kind, Global) and kind.name in OBJECTS) or arguments != ():
            raise RefusedError("its pickle makes an object that is not read here")
        self._stack.append(PickledObject(OBJECTS[kind.name]))

    def _build(self, _: Any) -> None:
        state = self._pop()
        target = self._stack[-1]
        if isinstance(target, PickledObject) and type(state) is dict:
            target.state = state
        elif isinstance(target, DType) and type(state) is tuple:
            target.order = ORDERS[state[1]]
        elif type(target) is np.ndarray and type(state) is tuple:
            fill(self, target, *state)
        elif not (type(target) is OrderedDict and type(state) is dict):  # the _metadata of a module
            raise RefusedError("its pickle gives a state to what has none")

    def spend(self, count: int) -> None:
        """Count bytes of numbers that are made of few: a pickle can say so again and again."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise RefusedError("its pickle makes far more of its bytes than there are")

    def hold(self, count: int) -> None:
        """Count bytes of what is no numbers."""
        self._overhead_left -= count
        if self._overhead_left < 0:
            raise RefusedError(
                "its pickle makes far more lists, dicts and plain values than a file of its size "
                "holds of a network"
            )


_NUMBERS = "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"
_BYTES = "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"
_TEXT = "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"
_LITERALS = frozenset([*_NUMBERS, *_BYTES, "BYTEARRAY8", *_TEXT])

# Bytes that an instruction takes: most make an object or remember one.
_REFERENCE, _DEAR = 16, 256
_COSTS = {
    **dict.fromkeys(_LITERALS, _REFERENCE),  # and the value itself
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE"), _REFERENCE),
    **dict.fromkeys(("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"), _REFERENCE),
    **dict.fromkeys(("PROTO", "FRAME", "EMPTY_TUPLE", "POP"), _REFERENCE),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ"), _DEAR),
    **dict.fromkeys(("EMPTY_SET", "FROZENSET", "BINPERSID"), _DEAR),
}


def _push(value: Callable[[], Any]) -> Callable[[Unpickler, Any], None]:
    return lambda machine, _: machine._stack.append(value())


def _ignore(_machine: Unpickler, _argument: Any) -> None:
    pass


_STEPS: dict[str, Callable[[Unpickler, Any], Any]] = {
    "PROTO": _ignore,
    "FRAME": _ignore,
    "NONE": _push(lambda: None),
    "NEWTRUE": _push(lambda: True),
    "NEWFALSE": _push(lambda: False),
    "EMPTY_LIST": _push(list),
    "EMPTY_TUPLE": _push(tuple),
    "EMPTY_DICT": _push(dict),
    "EMPTY_SET": _push(set),
    "MARK": Unpickler._mark,
    "TUPLE": Unpickler._tuple,
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "LIST": Unpickler._make_list,
    "DICT": Unpickler._make_dict,
    "APPEND": Unpickler._append,
    "APPENDS": Unpickler._appends,
    "SETITEM": Unpickler._set_item,
    "SETITEMS": Unpickler._set_items,
    "ADDITEMS": Unpickler._add_items,
    "FROZENSET": Unpickler._frozen_set,
    "POP": lambda machine, _: machine._pop(),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Unpickler._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Unpickler._get),
    "MEMOIZE": Unpickler._memoize,
    "GLOBAL": Unpickler._global,
    "STACK_GLOBAL": Unpickler._stack_global,
    "BINPERSID": Unpickler._persistent,
    "REDUCE": Unpickler._reduce,
    "NEWOBJ": Unpickler._new_object,
    "BUILD": Unpickler._build,
}
