# SPDX-License-Identifier: Apache-2.0
"""What an inverted file is told when it is made, and which of it goes together."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from .. import _check, _sparse

METRICS = ("dot", "cosine", "lp", "hellinger", "intersection")
WEIGHTINGS = (None, "tfidf", "tfidf_smooth", "bm25")
NORMS = ("auto", None, "l1", "l2")
BURSTINESSES = (None, "sqrt", "intra")
IDFS = ("following", "frozen", "given")
VALUES = ("auto", "float32", "float16", "uint8")

_P, _K1, _B = 2.0, 1.5, 0.75
_AUTO_NORMS = {"cosine": "l2", "hellinger": "l1", "intersection": "l1", "dot": None, "lp": None}
# The normal numbers of float16, so that the error is relative.
_FLOAT16_LIMITS = 2.0**-14, 65504.0


@dataclass(frozen=True)
class Options:
    """Options of `InvertedFile`, checked; see there for what they mean."""

    metric: str = "dot"
    p: float = _P
    weighting: str | None = None
    norm: str | None = "auto"
    burstiness: str | None = None
    idf: str = "following"
    """"following", "frozen", or "given": the weights themselves are no option."""
    k1: float = _K1
    b: float = _B
    values: str = "auto"
    forward: bool = False

    def __post_init__(self) -> None:
        _one_of(self.metric, "metric", METRICS)
        _one_of(self.weighting, "weighting", WEIGHTINGS)
        _one_of(self.norm, "norm", NORMS)
        _one_of(self.burstiness, "burstiness", BURSTINESSES)
        _one_of(self.idf, "idf", IDFS)
        _one_of(self.values, "values", VALUES)
        object.__setattr__(self, "forward", _check.boolean(self.forward, "forward"))
        for name in ("p", "k1", "b"):
            object.__setattr__(self, name, _check.number(getattr(self, name), name))
        self._check_numbers()
        self._check_together()
        if self.norm == "auto":
            object.__setattr__(self, "norm", _AUTO_NORMS[self.metric])

    def _check_numbers(self) -> None:
        if self.metric != "lp" and self.p != _P:
            raise ValueError(f"p belongs to metric 'lp', not to {self.metric!r}; got {self.p}")
        if not 0 < self.p < math.inf:
            raise ValueError(f"p must be above 0 and finite, got {self.p}")
        if self.weighting != "bm25" and (self.k1, self.b) != (_K1, _B):
            raise ValueError(
                f"k1 and b belong to weighting 'bm25', not to {self.weighting!r}; "
                f"got {self.k1} and {self.b}"
            )
        if not 0 <= self.k1 < math.inf:
            raise ValueError(f"k1 must be at least 0 and finite, got {self.k1}")
        if not 0 <= self.b <= 1:
            raise ValueError(f"b must be between 0 and 1, got {self.b}")

    def _check_together(self) -> None:
        if self.metric == "cosine" and self.norm not in ("auto", "l2"):
            raise ValueError(f"norm must be 'l2' (or 'auto') with 'cosine', got {self.norm!r}")
        if self.weighting == "bm25":
            if self.metric != "dot":
                raise ValueError(f"metric must be 'dot' with 'bm25', got {self.metric!r}")
            if self.norm not in ("auto", None):
                raise ValueError(f"norm must be None with 'bm25', got {self.norm!r}")
            if self.burstiness is not None:
                raise ValueError(f"burstiness must be None with 'bm25', got {self.burstiness!r}")
        if self.idf == "given" and self.weighting is None:
            raise ValueError("idf is an array, but weighting is None: nothing would use it")

    @property
    def distances(self) -> bool:
        """Whether smaller is better."""
        return self.metric == "lp"

    @property
    def kernel(self) -> str:
        """What is summed over the words, by the name the reader has for it."""
        if self.weighting == "bm25":
            return "bm25"
        return {"lp": "power", "intersection": "minimum"}.get(self.metric, "dot")

    @property
    def roots(self) -> tuple[int, int]:
        """How many square roots burstiness takes of documents and of queries."""
        return {None: (0, 0), "sqrt": (1, 1), "intra": (1, 0)}[self.burstiness]

    @property
    def steady(self) -> bool:
        """Whether the weights of the words stay as they are while the collection grows."""
        return self.weighting is None or self.idf != "following"

    @cached_property
    def not_negative(self) -> str | None:
        """The option that excludes negative values, as it is written; None if none does."""
        for option in ("metric", "weighting", "burstiness"):
            choice = getattr(self, option)
            if choice in ("hellinger", "intersection", "bm25", "sqrt", "intra"):
                return f"{option}={choice!r}"
        return None

    def check(self, rows: _sparse.Rows, name: str) -> None:
        """Refuse values that the options exclude, of documents and of queries alike."""
        if self.not_negative is not None and len(rows.values) > 0 and rows.values.min() < 0:
            raise ValueError(
                f"{name} must not be negative with {self.not_negative}, got {rows.values.min()}"
            )

    def check_documents(self, rows: _sparse.Rows, name: str) -> None:
        """Refuse what the options exclude, or what `values` cannot hold."""
        self.check(rows, name)
        if self.values == "float16":
            _sparse.check_magnitudes(rows.values, name, *_FLOAT16_LIMITS)
        if self.values == "uint8" and len(rows.values) > 0 and rows.values.min() < 0:
            raise ValueError(
                f"{name} must not be negative with values='uint8', got {rows.values.min()}"
            )


def _one_of(choice: object, name: str, choices: Collection[str | None]) -> None:
    # Of text and None alone: what is compared may be an array.
    if not (choice is None or isinstance(choice, str)) or choice not in choices:
        *most, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(most)} or {last}, got {choice!r}")
