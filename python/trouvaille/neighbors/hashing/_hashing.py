# SPDX-License-Identifier: Apache-2.0
"""What all ways of hashing have in common: learned arrays, and bits that are packed."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import _check, _core
from ..._array_file import ArrayFile

Floats = NDArray[np.float32]
Bits = NDArray[np.bool_]

_BLOCK = 1 << 18  # bits of a block of rows, a thread: the numbers they come from stay in cache


class Hashing(ABC):
    """Descriptors → packed bits, of which those of near descriptors are equal for the most part.

    Bit i of a code is in byte ``i // 8``, where it is worth ``1 << i % 8``; what is left of the
    last byte is 0. So ``np.unpackbits(codes, axis=1, count=n_bits, bitorder="little")`` are the
    bits.
    """

    _format: ClassVar[ArrayFile]

    def __init__(self, n_bits: int, *, random_state: int = 0) -> None:
        self.n_bits = _check.count(n_bits, "n_bits", maximum=8 * _core.max_code_bytes)
        self.random_state = _check.seed(random_state)
        self._learned: dict[str, Floats] | None = None

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._parameters().items())
        return f"{type(self).__name__}({given})"

    # ---- what a way of hashing defines

    @abstractmethod
    def _parameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as JSON values."""

    @abstractmethod
    def _learn(self, X: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        """Return arrays of `_shapes`, learned from bytes or floats, one row or more."""

    @abstractmethod
    def _shapes(self, learned: Mapping[str, Floats]) -> Mapping[str, tuple[int, ...]]:
        """Return the arrays that there must be, by name; the first one's first axis is n_dims."""

    @abstractmethod
    def _bits(self, learned: Mapping[str, Floats], X: NDArray[Any], threads: int) -> Bits:
        """Return the bits of a block of rows, bytes or floats."""

    # ---- what they share

    def fit(self, X: ArrayLike) -> Self:
        """Learn from the rows of `X`, in place of whatever was learned before.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n, n_dims)
            Descriptors, one or more.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If `X` has the wrong type or shape, or holds NaN, infinity, numbers that float32
            cannot represent, or so large or small ones that nothing can be learned from them.
        """
        X = _check.descriptors(X, "X")
        if 0 in X.shape:
            raise ValueError(f"X must have rows and columns to learn from, got shape {X.shape}")
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                learned = {
                    name: array.astype(np.float32, order="C")
                    for name, array in self._learn(X).items()
                }
        except np.linalg.LinAlgError:
            learned = None
        if learned is None or not all(np.isfinite(array).all() for array in learned.values()):
            raise ValueError(
                "X has too large or too small numbers to learn from: scale them to about 1"
            )
        self._learned = learned
        return self

    def transform(self, X: ArrayLike, *, threads: int | None = None) -> NDArray[np.uint8]:
        """Return the codes of the rows of `X`: the same for any number of threads, on any CPU.

        Parameters
        ----------
        X : array_like of uint8 or float, shape (n, n_dims)
            Descriptors like those that were learned from.
        threads : int, optional
            One for each core by default.

        Returns
        -------
        ndarray of uint8, shape (n, ceil(n_bits / 8))
            Bits, the least significant of a byte first.

        Raises
        ------
        TypeError, ValueError
            If `X` has the wrong type or shape, or holds NaN or infinity, or `fit` was not called.
        """
        learned = self._fitted()
        n_dims = len(next(iter(learned.values())))
        X = _check.descriptors(X, "X", n_dims)
        n_threads = _check.threads(threads)
        codes = np.empty((len(X), -(-self.n_bits // 8)), np.uint8)
        step = max(n_threads * _BLOCK // self.n_bits, 1)
        for begin in range(0, len(X), step):
            bits = self._bits(learned, X[begin : begin + step], n_threads)
            codes[begin : begin + step] = _packed(bits, codes.shape[1])
        return codes

    def fit_transform(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Return the codes of the rows of `X`, having learned from them; see `fit`."""
        return self.fit(X).transform(X)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned to a file, which appears whole or not at all.

        Raises
        ------
        ValueError
            If `fit` was not called.
        OSError
            If the disk refuses. An old file is still there then.
        """
        self._format.write(path, {"parameters": self._parameters()}, self._fitted())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Open what `save` wrote; every byte of it is verified.

        Raises
        ------
        FileNotFoundError
            If there is none.
        IndexCorruptError
            If it is not what was written.
        FormatVersionError
            If it is whole, but of a newer format.
        """
        return cls._format.restore(path, cls._restored)

    @classmethod
    def _restored(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        hashing = cls(**parameters)
        hashing._learned = hashing._checked(arrays)
        return hashing

    def _checked(self, arrays: dict[str, NDArray[Any]]) -> dict[str, Floats]:
        for name, array in arrays.items():
            if array.dtype != np.float32 or not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite float32")
        shapes = self._shapes(arrays)
        if {name: array.shape for name, array in arrays.items()} != dict(shapes):
            raise ValueError("there must be the arrays " + ", ".join(map(str, shapes.items())))
        return {name: arrays[name] for name in shapes}

    def _fitted(self) -> dict[str, Floats]:
        if self._learned is None:
            raise ValueError(f"the {type(self).__name__} has learned nothing: call fit first")
        return self._learned


def _packed(bits: Bits, n_bytes: int) -> NDArray[np.uint8]:
    if bits.shape[1] == 8 * n_bytes:  # all rows as one: several times as fast
        return np.packbits(bits.reshape(-1), bitorder="little").reshape(-1, n_bytes)
    return np.packbits(bits, axis=1, bitorder="little")
