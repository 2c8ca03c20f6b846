"""Axes and frames of the report's charts: static SVG that takes type and colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 400, 260
LEFT, RIGHT, TOP, BOTTOM = 48, WIDTH - 26, 12, HEIGHT - 40
SERIES = 8
"""Colours that the style sheet has for runs; further runs start again with dashed lines."""
_LABEL_SPACING = 11  # pixels between the base lines of two labels


@dataclass(frozen=True)
class Axis:
    """Values from low to high, laid from pixel ``start`` to pixel ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return round(self.start + (at - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        steps = _decades(self.low, self.high) if self.log else _steps(self.low, self.high)
        return [t for t in steps if self.low * (1 - 1e-9) <= t <= self.high * (1 + 1e-9)]


def axis(values: Iterable[float], start: float, end: float, *, log: bool = False) -> Axis:
    """An axis that just holds the values: whole steps, or, if logarithmic, with a little room at both ends."""
    known = list(values)
    low, high = min(known), max(known)
    if log:
        room = max((high / low) ** 0.06, 1.15)
        return Axis(low / room, high * room, start, end, log=True)
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = _step(low, high)
    return Axis(math.floor(low / step) * step, math.ceil(high / step) * step, start, end)


def _step(low: float, high: float) -> float:
    """The round number of which about five fit between low and high."""
    rough = (high - low) / 5
    magnitude = 10 ** math.floor(math.log10(rough))
    return next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.99)


def _steps(low: float, high: float) -> list[float]:
    step = _step(low, high)
    return [round(i * step, 10) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    factors = (1,) if high / low > 300 else (1, 3) if high / low > 30 else (1, 2, 5)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [f * 10.0**e for e in exponents for f in factors]


def frame(label: str, x: Axis, y: Axis, x_title: str, y_title: str, marks: Sequence[Markup]) -> Markup:
    """A chart with both axes, horizontal grid lines and the marks; ``label`` is what a screen reader says."""
    grid = Markup().join(
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>'
        ).format(LEFT, RIGHT, y(t), y(t), LEFT - 6, y(t) + 4, f"{t:g}")
        for t in y.ticks()
    )
    below = Markup().join(
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(x(t), BOTTOM + 17, f"{t:g}")
        for t in x.ticks()
    )
    titles = Markup(
        '<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>'
        '<text class="axis" transform="translate(5 {}) rotate(-90)" text-anchor="middle">{}</text>'
    ).format((LEFT + RIGHT) / 2, HEIGHT - 6, x_title, (TOP + BOTTOM) / 2, y_title)
    return svg(label, HEIGHT, [grid, below, titles, *marks])


def svg(label: str, height: float, parts: Sequence[Markup]) -> Markup:
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, label, Markup().join(parts)
    )


def series(index: int) -> str:
    """The style sheet's class for a run, by its place in the table."""
    return f"s{index % SERIES}" + (" again" if index >= SERIES else "")


def line(index: int, name: str, points: Sequence[tuple[float, float]]) -> Markup:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return Markup('<polyline class="line {}" points="{}"><title>{}</title></polyline>').format(
        series(index), path, name
    )


def end_labels(ends: Sequence[tuple[int, float, float]]) -> Markup:
    """Place numbers (from 1) beside the ends of lines, moved apart where they would touch.

    Args:
        ends: index of the run, x and y of its last point.
    """
    placed: list[tuple[int, float, float]] = []
    for index, x, y in sorted(ends, key=lambda end: end[2]):
        placed.append((index, x, max([y + 4, *(other + _LABEL_SPACING for other in _near(x, placed))])))
    for i in reversed(range(len(placed))):
        index, x, y = placed[i]
        placed[i] = index, x, min([y, BOTTOM, *(other - _LABEL_SPACING for other in _near(x, placed[i + 1 :]))])
    return Markup().join(
        Markup('<text class="mark over {}" x="{:g}" y="{:g}">{}</text>').format(series(index), x + 6, y, index + 1)
        for index, x, y in placed
    )


def _near(x: float, placed: Sequence[tuple[int, float, float]]) -> list[float]:
    return [y for _, other, y in placed if abs(other - x) < 18]
