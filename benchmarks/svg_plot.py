# SPDX-License-Identifier: Apache-2.0
"""A plot of a few lines on two logarithmic axes, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 75, 150, 40, 55  # margins; lines are named in the right one
COLOURS = (  # told apart by the colour-blind, too; those after the eighth are dashed
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#b8a500",
)  # fmt: skip


def log_log(
    title: str, x_label: str, y_label: str, x: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> str:
    """Draw each line through (x, its numbers), all of them positive."""
    curves = {name: list(zip(x, line, strict=True)) for name, line in lines.items()}
    return log_log_curves(title, x_label, y_label, curves)


def log_log_curves(
    title: str,
    x_label: str,
    y_label: str,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    x_names: Mapping[float, str] | None = None,
) -> str:
    """Draw each curve through its own points (x, y), all of them positive.

    `x_names` are what to write at some x, in place of numbers at round ones.
    """
    xs, ys = zip(*(point for curve in curves.values() for point in curve), strict=True)
    x_axis = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_axis = _Axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP)
    parts = [_frame(), _text((LEFT + WIDTH - RIGHT) / 2, 22, title, size=15)]
    for tick, name in (x_names or {tick: _si(tick) for tick in x_axis.ticks()}).items():
        at = x_axis(tick)
        if LEFT <= at <= WIDTH - RIGHT:
            parts += [_rule(at, TOP, at, HEIGHT - BOTTOM), _text(at, HEIGHT - BOTTOM + 18, name)]
    for tick in y_axis.ticks():
        at = y_axis(tick)
        parts += [_rule(LEFT, at, WIDTH - RIGHT, at), _text(LEFT - 8, at + 4, _si(tick), "end")]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<g transform="rotate(-90 18 {middle})">{_text(18, middle, y_label)}</g>')
    names = _apart({name: y_axis(curve[-1][1]) for name, curve in curves.items()})
    for i, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        points = [(x_axis(a), y_axis(b)) for a, b in curve]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        dashes = ' stroke-dasharray="6 4"' if i >= len(COLOURS) else ""
        stroke = f'stroke="{colour}" stroke-width="2"{dashes}'
        parts.append(f'<polyline points="{path}" fill="none" {stroke}/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
        parts.append(_text(WIDTH - RIGHT + 8, names[name] + 4, name, "start", fill=colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Axis:
    """Positions of numbers between two pixels."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        self.low, self.high = low / 1.15, high * 1.15  # so that points stand off the frame
        self.start, self.stop = start, stop

    def __call__(self, value: float) -> float:
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten; also twice and five times, where those are few."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1,) if self.high / self.low > 1000 else (1, 2, 5)
        ticks = [step * 10.0**power for power in powers for step in steps]
        return [tick for tick in ticks if self.low <= tick <= self.high]


def _apart(places: dict[str, float], gap: float = 16) -> dict[str, float]:
    """Move names down until none covers another, and up where they leave the picture."""
    order = sorted(places, key=lambda name: places[name])
    last = -gap
    for name in order:
        last = places[name] = max(places[name], last + gap)
    last = HEIGHT + gap / 2
    for name in reversed(order):
        last = places[name] = min(places[name], last - gap)
    return places


def _si(value: float) -> str:
    for factor, letter in ((1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"


def _frame() -> str:
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif"><rect {size} fill="white"/>'
    )


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ddd"/>'


def _text(
    x: float, y: float, text: str, anchor: str = "middle", size: int = 12, fill: str = "#222"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="{fill}">{escape(text)}</text>'
