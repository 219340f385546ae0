# SPDX-License-Identifier: Apache-2.0
"""Semantic hashing: the middle of a deep autoencoder, made binary by noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _check, _core
from ..._array_file import ArrayFile
from ._autoencoder import trained_encoder
from ._hashing import Bits, Floats, Hashing
from ._principal import drawn


class SemanticHashing(Hashing):
    """Codes by semantic hashing [1]_: a deep autoencoder whose code units are nearly binary.

    A network reduces descriptors to `n_bits` sigmoid units, and a second one, its mirror image,
    restores them. What goes into the code units gets noise: only units that are far from their
    middle, and so nearly binary, come through it. A bit says on which side of its median a unit is.

    `fit` needs PyTorch (``pip install "trouvaille[deep]"``); all else does not.

    Parameters
    ----------
    n_bits : int
        Length of a code.
    hidden : sequence of int
        Units of the layers between descriptors and code.
    noise : float
        Standard deviation of the noise at the end of training; it grows from nothing.
    epochs : int
        How often each descriptor is seen.
    max_samples : int
        At most so many descriptors are learned from, drawn at random.
    random_state : int
        Seed of the weights, the noise and the sample.

    Notes
    -----
    In 2007 such networks had to be put together from restricted Boltzmann machines, layer by layer.
    Rectified units and Adam [2]_ with one cycle of its rate learn all layers at once.

    Training is on the CPU, and gives the same bits again for the same number of threads of PyTorch.

    References
    ----------
    .. [1] R. Salakhutdinov, G. Hinton, "Semantic hashing", SIGIR workshop on information retrieval
       and applications of graphical models 2007; Int. J. Approximate Reasoning 50(7), 2009.
    .. [2] D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    >>> SemanticHashing(12, hidden=(16,), epochs=2).fit_transform(X).shape
    (100, 2)
    """

    _format = ArrayFile("semantic_hashing", 1, "semantic hashing")

    def __init__(
        self,
        n_bits: int,
        *,
        hidden: Sequence[int] = (512, 256),
        noise: float = 4.0,
        epochs: int = 10,
        max_samples: int = 50_000,
        random_state: int = 0,
    ) -> None:
        super().__init__(n_bits, random_state=random_state)
        if not isinstance(hidden, Sequence):
            raise TypeError(f"hidden must be a sequence of whole numbers, got {hidden!r}")
        self.hidden = tuple(_check.count(units, "hidden", maximum=65_536) for units in hidden)
        self.noise = float(_check.array(noise, "noise", np.float64, ndim=0))
        if self.noise < 0:
            raise ValueError(f"noise must not be negative, got {noise:g}")
        self.epochs = _check.count(epochs, "epochs")
        self.max_samples = _check.count(max_samples, "max_samples")

    def _parameters(self) -> dict[str, Any]:
        return {
            "n_bits": self.n_bits,
            "hidden": list(self.hidden),
            "noise": self.noise,
            "epochs": self.epochs,
            "max_samples": self.max_samples,
            "random_state": self.random_state,
        }

    def _learn(self, X: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        sample = drawn(X, self.max_samples, np.random.default_rng(self.random_state))
        mean = sample.mean(axis=0, dtype=np.float64)
        centered = sample - mean
        scale = math.sqrt(np.square(centered).mean()) or 1.0
        layers = trained_encoder(
            (centered / scale).astype(np.float32),
            (*self.hidden, self.n_bits),
            noise=self.noise,
            epochs=self.epochs,
            seed=self.random_state,
        )
        # The first layer takes descriptors as they are; the last one's units have a median of 0.
        weights, offsets = layers[0]
        layers[0] = weights / scale, offsets + mean @ weights / scale
        learned = _named(layers)
        last = f"offsets_{len(self.hidden)}"
        medians = np.median(self._units(learned, sample, 1), axis=0)
        learned[last] += medians.astype(np.float32)
        return learned

    def _shapes(self, learned: Mapping[str, Floats]) -> Mapping[str, tuple[int, ...]]:
        sizes = [len(learned.get("weights_0", ())), *self.hidden, self.n_bits]
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (before, after) in enumerate(itertools.pairwise(sizes)):
            shapes |= {f"weights_{i}": (before, after), f"offsets_{i}": (after,)}
        return shapes

    def _bits(self, learned: Mapping[str, Floats], X: NDArray[Any], threads: int) -> Bits:
        return self._units(learned, X, threads) > 0

    def _units(self, learned: Mapping[str, Floats], X: NDArray[Any], threads: int) -> Floats:
        """Return what goes into the code units."""
        layers = range(len(self.hidden) + 1)
        for i in layers:
            X = _core.project(X, learned[f"weights_{i}"], learned[f"offsets_{i}"], threads)
            if i != layers[-1]:
                np.maximum(X, 0, out=X)
        return X


def _named(layers: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> dict[str, Floats]:
    named: dict[str, Floats] = {}
    for i, (weights, offsets) in enumerate(layers):
        named[f"weights_{i}"] = weights.astype(np.float32, order="C")
        named[f"offsets_{i}"] = offsets.astype(np.float32)
    return named
