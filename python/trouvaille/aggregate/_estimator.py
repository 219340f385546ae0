# SPDX-License-Identifier: Apache-2.0
"""What everything that learns here has in common: parameters by name, and a file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from .._array_file import ArrayFile
from .._parameters import Parameters

Arrays = Mapping[str, NDArray[Any]]


class Estimator(Parameters, ABC):
    """An estimator in the manner of scikit-learn: the constructor only keeps its arguments."""

    _format: ClassVar[ArrayFile]
    _models: ClassVar[tuple[type[Parameters], ...]] = ()  # what arguments may be, not fitted

    @abstractmethod
    def _learned(self) -> Arrays:
        """Return what was learned; a ValueError if that is nothing yet."""

    @abstractmethod
    def _take(self, arrays: Arrays) -> None:
        """Put arrays from a file in place of what was learned, or raise a ValueError."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned to a file, which appears whole or not at all.

        With it go the arguments of the constructor. Words or a mixture that were given as they are
        come back as arrays; a model that was to be fitted comes back so, and `fit` learns anew.

        Raises
        ------
        ValueError
            If nothing was learned yet, nor given.
        OSError
            If the disk refuses. An old file is still there then.
        """
        learned = self._learned()
        parameters = {name: self._stored(value) for name, value in self.get_params().items()}
        self._format.write(path, {"parameters": parameters}, learned)

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
        return cls._format.restore(path, cls._of_file)

    @classmethod
    def _of_file(cls, parameters: dict[str, Any], arrays: Arrays) -> Self:
        estimator = cls(**{name: cls._restored(value) for name, value in parameters.items()})
        estimator._take(arrays)
        return estimator

    def _stored(self, value: Any) -> Any:
        """Return an argument as a JSON value: a model to be fitted by name and parameters."""
        if type(value) in self._models and vars(value).keys() <= value.get_params().keys():
            parameters = {name: _plain(own) for name, own in value.get_params().items()}
            return {"model": type(value).__name__, "parameters": parameters}
        return _plain(value)

    @classmethod
    def _restored(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        models = {model.__name__: model for model in cls._models}
        if value.keys() != {"model", "parameters"} or value["model"] not in models:
            raise ValueError("a parameter is of no model that this may have")
        return models[value["model"]](**value["parameters"])

    def _nothing_learned(self) -> ValueError:
        return ValueError(f"this {type(self).__name__} has learned nothing: call fit first")


def chosen(value: Any, name: str, choices: tuple[str | None, ...]) -> str | None:
    """Return `value`, one of `choices`."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        *most, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(most)} or {last}, got {value!r}")
    return value


def expect(arrays: Arrays, *names: str) -> None:
    """Refuse arrays from a file that are not those of `names`, finite."""
    if set(arrays) != set(names):
        raise ValueError(f"there must be the arrays {', '.join(names)}")
    for name, array in arrays.items():
        if array.dtype not in (np.uint8, np.float32, np.float64) or not np.isfinite(array).all():
            raise ValueError(f"{name} must hold finite numbers")


def _plain(value: Any) -> bool | int | float | str | None:
    """Return an argument as a JSON value; None for words and mixtures, which are learned arrays."""
    scalar = value.item() if isinstance(value, np.generic) else value
    return scalar if isinstance(scalar, bool | int | float | str) else None
