# SPDX-License-Identifier: Apache-2.0
"""What each operation of a network does to the pixels that a cell sees."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary


class Axis(NamedTuple):
    """The pixels that cell i sees along one axis: `size` of them from ``start + i * stride`` on.

    Those beyond the photo are padding.
    """

    start: int
    size: int
    stride: int

    def padded(self, before: int) -> Axis:
        """Return the field of the map with so many cells before its first."""
        return self._replace(start=self.start - before * self.stride)

    def through(self, window: int, stride: int) -> Axis:
        """Return the field of what looks at so many neighbours, each `stride` from the last."""
        return Axis(self.start, self.size + (window - 1) * self.stride, stride * self.stride)

    def joined(self, other: Axis) -> Axis:
        """Return the field of what sees the same cell of two maps."""
        if other.stride != self.stride:
            raise ValueError(f"maps of strides {self.stride} and {other.stride} are joined")
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Axis(start, end - start, self.stride)


Axes = tuple[Axis, Axis]
_ITSELF = Axis(0, 1, 1)
_aten = torch.ops.aten


class Follow(TorchDispatchMode):
    """Keeps the field of every tensor that is computed from the photo."""

    def __init__(self, photo: torch.Tensor) -> None:
        super().__init__()
        self._fields: Any = WeakIdKeyDictionary()
        self._fields[photo] = (_ITSELF, _ITSELF)

    def of(self, x: torch.Tensor) -> Axes:
        """Return what the cells of a map see, along y and x."""
        if x not in self._fields or x.ndim != 4:
            raise ValueError(f"network must return maps (B, C, h, w), got shape {tuple(x.shape)}")
        axes: Axes = self._fields[x]
        return axes

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [x for x in _tensors(args) if x in self._fields]
        # A mean over the whole photo, as of squeeze and excitation, tells of no place.
        whole = func.overloadpacket in _MEANS and result.shape[2:] == (1, 1)
        if given and not whole:
            axes = self._after(func, args, kwargs or {}, given)
            for made in _tensors(result):
                self._fields[made] = axes
        return result

    def _after(
        self, func: Any, args: Any, kwargs: dict[str, Any], given: list[torch.Tensor]
    ) -> Axes:
        of_first: Axes = self._fields[given[0]]
        packet = func.overloadpacket
        if packet in _WINDOWS:
            widened: Axes = _WINDOWS[packet](of_first, *args)
            return widened
        if packet not in _CELL_BY_CELL and torch.Tag.pointwise not in func.tags:
            raise ValueError(f"network has a part whose receptive field is unknown: {packet}")
        if packet in _ACROSS and not _ACROSS[packet](*args, **kwargs) <= _PLACELESS:
            raise ValueError(
                f"network joins rows or columns of maps by {packet}, where no cell can be followed"
            )
        for other in given[1:]:
            y, x = self._fields[other]
            of_first = of_first[0].joined(y), of_first[1].joined(x)
        return of_first


def _tensors(given: Any) -> list[torch.Tensor]:
    if isinstance(given, torch.Tensor):
        return [given]
    return [x for part in given for x in _tensors(part)] if isinstance(given, tuple | list) else []


def _convolved(
    axes: Axes,
    _x: Any,
    weight: torch.Tensor,
    _bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *_: Any,
) -> Axes:
    if transposed:
        raise ValueError("network has a transposed convolution, whose stride is a fraction")
    return _windowed(axes, list(weight.shape[2:]), stride, padding, dilation)


def _pooled(
    axes: Axes,
    _x: Any,
    kernel: Any,
    stride: Any = (),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    *_: Any,
) -> Axes:
    return _windowed(axes, kernel, stride or kernel, padding, dilation)


def _averaged(
    axes: Axes, _x: Any, kernel: Any, stride: Any = (), padding: Any = (0, 0), *_: Any
) -> Axes:
    return _windowed(axes, kernel, stride or kernel, padding, (1, 1))


def _padded(axes: Axes, _x: Any, padding: list[int], *_: Any) -> Axes:
    left, top = padding[0], padding[2] if len(padding) > 2 else 0
    return axes[0].padded(top), axes[1].padded(left)


def _windowed(axes: Axes, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Axes:
    pairs = [
        list(given) * 2 if len(given) == 1 else given
        for given in (kernel, stride, padding, dilation)
    ]
    y, x = (
        axis.padded(before).through((window - 1) * spread + 1, step)
        for axis, window, step, before, spread in zip(axes, *pairs, strict=True)
    )
    return y, x


def _joins(_maps: Any, dim: int = 0) -> set[int]:
    return {dim}


def _measures(_x: Any, _ord: Any = 2, dim: Any = None, *_: Any, **_options: Any) -> set[int]:
    return {0, 1, 2, 3} if dim is None else set(dim)


_WINDOWS: dict[Any, Any] = {
    _aten.convolution: _convolved,
    _aten.max_pool2d_with_indices: _pooled,
    _aten.avg_pool2d: _averaged,
    _aten.constant_pad_nd: _padded,
}
_CELL_BY_CELL = {
    _aten.native_batch_norm,
    _aten._native_batch_norm_legit_no_training,
    _aten.cat,
    _aten.detach,
    _aten.clone,
    _aten.linalg_vector_norm,
}
# Which axes an operation works along, and those of maps (B, C, h, w) that are none of the photo's.
_ACROSS: dict[Any, Any] = {_aten.cat: _joins, _aten.linalg_vector_norm: _measures}
_PLACELESS = {0, 1, -4, -3}
_MEANS = {_aten.mean, _aten._adaptive_avg_pool2d, _aten.adaptive_avg_pool2d}
