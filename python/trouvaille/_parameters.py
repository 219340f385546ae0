# SPDX-License-Identifier: Apache-2.0
"""The constructor's arguments by name, as scikit-learn's estimators have them."""

from __future__ import annotations

import inspect
from typing import Any, Self

import numpy as np


class Parameters:
    """What keeps the arguments of its constructor, unchanged, under their names."""

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments (`deep` changes nothing: no estimator is nested)."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; an unknown name is a ValueError."""
        names = self._names()
        if unknown := sorted(params.keys() - set(names)):
            raise ValueError(
                f"{type(self).__name__} has no parameter {unknown[0]!r}; it has {', '.join(names)}"
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn, which alone calls this, asks of the steps of a pipeline."""
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(None, TargetTags(required=False), TransformerTags())

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={_shown(value)}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({given})"


def _shown(value: Any) -> str:
    return f"array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
