# SPDX-License-Identifier: Apache-2.0
"""Feature map → the vectors of its regions → one vector: R-MAC and regional GeM."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional

from .. import _check
from ..aggregate import LearnedWhitening, PCAWhitening
from .pooling import Pooling, add_power, checked_map, in_float32
from .regions import Level, checked, rmac_levels
from .whitening import as_layer


class Regional(Pooling):
    """Vectors of regions, each of length 1, whitened, of length 1 again; their sum, of length 1."""

    def __init__(
        self,
        levels: int,
        overlap: float,
        include_global: bool,
        whitening: nn.Module | PCAWhitening | LearnedWhitening | None,
    ) -> None:
        super().__init__()
        self.levels, self.overlap = checked(levels, overlap)
        self.include_global = _check.boolean(include_global, "include_global")
        self.whitening = as_layer(whitening)

    def regions(self, x: torch.Tensor) -> torch.Tensor:
        """Return the vectors of the regions of feature maps, before they are summed.

        Parameters
        ----------
        x : Tensor, shape (B, C, h, w)

        Returns
        -------
        Tensor, shape (B, n, D)
            Of length 1, in the order of ``rmac_regions(h, w, levels, overlap, include_global)``.
        """
        x = checked_map(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._unit_vectors(x)

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self._unit_vectors(x).sum(1), dim=1)

    def _unit_vectors(self, x: torch.Tensor) -> torch.Tensor:
        vectors = in_float32(self._found(x).transpose(1, 2))
        vectors = functional.normalize(vectors, dim=2)
        if self.whitening is None:
            return vectors
        return functional.normalize(self.whitening(vectors), dim=2)

    @torch.compiler.disable  # it would trace for each shape anew where its regions are
    def _found(self, x: torch.Tensor) -> torch.Tensor:
        return self._of_regions(x, rmac_levels(*x.shape[2:], self.levels, self.overlap))

    @abstractmethod
    def _of_regions(self, x: torch.Tensor, levels: tuple[Level, ...]) -> torch.Tensor:
        """Return what each channel is in each region, (B, C, n)."""

    def extra_repr(self) -> str:
        """Return where the regions are, for printing."""
        return f"levels={self.levels}, overlap={self.overlap}, include_global={self.include_global}"


class RMAC(Regional):
    """The sum of what `MAC` finds in regions of several sizes [1]_, [2]_. Of length 1.

    The largest values of a region's channels are normalised, whitened, normalised again, and
    summed over the regions; the sum is normalised. So each part of a photo counts, not only its
    most striking ones.

    Parameters
    ----------
    levels, overlap, include_global
        Where the regions are; see `rmac_regions`.
    whitening : module, PCAWhitening, LearnedWhitening or None
        What is learned becomes a layer, `Whitening`, and can be trained further.

    Notes
    -----
    Regions of one level and one height lie in a band. Maxima are taken down the bands, of which
    there are few, and then along them, each from two maxima of as many cells as the greatest power
    of two within the square [3]_: every region costs the same, whatever its size.

    References
    ----------
    .. [1] G. Tolias, R. Sicre, H. Jégou, "Particular object retrieval with integral max-pooling of
       CNN activations", ICLR 2016.
    .. [2] A. Gordo, J. Almazán, J. Revaud, D. Larlus, "End-to-end learning of deep visual
       representations for image retrieval", IJCV 2017.
    .. [3] M. Bender, M. Farach-Colton, "The LCA problem revisited", LATIN 2000 (sparse tables).

    Examples
    --------
    >>> RMAC()(torch.rand(2, 32, 15, 20)).shape
    torch.Size([2, 32])
    """

    def __init__(
        self,
        levels: int = 3,
        overlap: float = 0.4,
        include_global: bool = False,
        whitening: nn.Module | PCAWhitening | LearnedWhitening | None = None,
    ) -> None:
        super().__init__(levels, overlap, include_global, whitening)

    def _of_regions(self, x: torch.Tensor, levels: tuple[Level, ...]) -> torch.Tensor:
        # All channels of a cell together, as networks that are channels last have them: what is
        # compared lies side by side.
        cells = x.permute(0, 2, 3, 1).contiguous()
        found = [cells.amax((1, 2))[:, None]] if self.include_global else []
        for size, lefts, tops in levels:
            bands = torch.stack([cells.narrow(1, top, size).amax(1) for top in tops], 1)
            found.append(_maxima(_maxima_of_powers(bands, size), size, lefts).flatten(1, 2))
        return torch.cat(found, 1).transpose(1, 2)


class RegionalGeM(Regional):
    """The sum of what `GeM` finds in the regions of R-MAC. Of length 1.

    Parameters
    ----------
    p, eps, trainable
        See `GeM`.
    levels, overlap, include_global
        Where the regions are; see `rmac_regions`.
    whitening : module, PCAWhitening, LearnedWhitening or None
        Of the regions' vectors.

    Examples
    --------
    >>> RegionalGeM(p=4)(torch.rand(2, 32, 15, 20)).shape
    torch.Size([2, 32])
    """

    p: torch.Tensor

    def __init__(
        self,
        p: float = 3.0,
        *,
        eps: float = 1e-6,
        trainable: bool = False,
        levels: int = 3,
        overlap: float = 0.4,
        include_global: bool = False,
        whitening: nn.Module | PCAWhitening | LearnedWhitening | None = None,
    ) -> None:
        super().__init__(levels, overlap, include_global, whitening)
        add_power(self, p, trainable)
        self.eps = _check.positive(eps, "eps")

    def _of_regions(self, x: torch.Tensor, levels: tuple[Level, ...]) -> torch.Tensor:
        x = in_float32(x).clamp(min=self.eps).pow(self.p)
        found = [x.mean((2, 3))[..., None]] if self.include_global else []
        for size, lefts, tops in levels:
            columns = x @ _shares(x, x.shape[3], size, lefts)
            cells = columns.transpose(2, 3) @ _shares(x, x.shape[2], size, tops)
            found.append(cells.transpose(2, 3).flatten(2))
        return torch.cat(found, 2).pow(1 / self.p)

    def extra_repr(self) -> str:
        """Return the power and where the regions are, for printing."""
        return f"p={self.p.item():.4g}, {super().extra_repr()}"


def _maxima_of_powers(bands: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Return (B, n, w, C), the maxima of 2 neighbours in a row, of 4, and so on up to `size`."""
    maxima, width = [bands], 1
    while 2 * width <= size:
        maxima.append(torch.maximum(maxima[-1][:, :, :-width], maxima[-1][:, :, width:]))
        width *= 2
    return maxima


def _maxima(powers: list[torch.Tensor], size: int, begins: tuple[int, ...]) -> torch.Tensor:
    """Return the maxima of `size` neighbours in a row, from where they begin.

    Two overlapping spans of 2^k cover what begins at 3 and is 5 long: 3..6 and 4..7.
    """
    k = size.bit_length() - 1
    spans = powers[k]
    first = _indices(begins, spans.device)
    last = _indices(tuple(begin + size - (1 << k) for begin in begins), spans.device)
    return torch.maximum(spans.index_select(2, first), spans.index_select(2, last))


def _shares(x: torch.Tensor, side: int, size: int, begins: tuple[int, ...]) -> torch.Tensor:
    """Return what means of spans are products with: 1 / size inside, 0 outside, (side, n)."""
    cells = torch.arange(side, device=x.device)[:, None] - _indices(begins, x.device)
    return ((cells >= 0) & (cells < size)).to(x.dtype) / size


@lru_cache(maxsize=1024)
def _indices(numbers: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return numbers as a tensor, sent to the device once: sending waits for all it computes."""
    with torch.inference_mode(False):  # or training after an extraction could not use it
        return torch.tensor(numbers, device=device)
