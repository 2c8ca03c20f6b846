"""Learning curves: the headline of a method against the number of supports, or of records that it was trained on.

The points of a curve are the runs of one ``method``; `posebed curve` writes them. How the page is laid out is left to
``page/curves.html``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from posebed.listing import counted
from posebed.reporting.chart import BOTTOM, LEFT, RIGHT, TOP, Axis, axis, end_labels, frame, line, series
from posebed.reporting.compare import headline_of
from posebed.reporting.figures import Figure
from posebed.reporting.table_text import Line
from posebed.scoring.result import Result, Score

_STEPS = {"shots": "shots", "records": "training records"}
"""What runs along a curve, and its title."""


@dataclass(frozen=True)
class Point:
    run: Result
    score: Score

    @property
    def low(self) -> float:
        """Of the 95 % interval over categories, or where there is one, over images."""
        return self.score.low if self.score.low_categories is None else self.score.low_categories

    @property
    def high(self) -> float:
        return self.score.high if self.score.high_categories is None else self.score.high_categories


@dataclass(frozen=True)
class CurveOf:
    """One method."""

    name: str
    points: Mapping[int, Point]
    """By the number along the curve, in ascending order."""


@dataclass(frozen=True)
class LearningCurves:
    """Curves that can be compared, the highest at its end first."""

    title: str
    unit: str
    """shots or records."""
    metric: str
    over: str
    """What the intervals resample."""
    methods: tuple[CurveOf, ...]
    figure: Figure
    left_out: tuple[str, ...]
    """A sentence for each run at whose number another one of its method stands."""

    @property
    def places(self) -> list[int]:
        """The numbers along the curves."""
        return sorted({at for method in self.methods for at in method.points})

    def place(self, at: int) -> str:
        """Such as ``5 shots``."""
        return counted(at, self.unit.removesuffix("s"))


def learning_curves(results: Iterable[Result]) -> list[LearningCurves]:
    """First those against shots, then those against training size."""
    known = [*results]
    made = [_curves(unit, group) for unit, along in _ALONG.items() for group in _groups(known, unit, along)]
    return [curves for curves in made if curves]


def _shots(result: Result) -> int | None:
    shots = result.protocol.get("shots", "")
    return int(shots) if shots.isdecimal() else None


_ALONG: dict[str, Callable[[Result], int | None]] = {"shots": _shots, "records": lambda result: result.trained_on}


def _groups(
    results: Sequence[Result], unit: str, along: Callable[[Result], int | None]
) -> list[dict[str, dict[int, list[Result]]]]:
    """For each protocol, apart from what runs along the curve, method to number to runs."""
    groups: dict[tuple[object, ...], dict[_Key, dict[int, list[Result]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for result in sorted(results, key=lambda r: r.key):
        at = along(result)
        if at is not None:
            headline = headline_of(result)
            protocol = sorted((name, value) for name, value in result.protocol.items() if name != unit)
            # Categories say that the test is the same, which with other supports has other episodes; and else numbers.
            same = () if unit == "shots" else (result.queries, result.images, result.instances)
            categories = sorted(result.by_category)
            where = (result.provenance.data_hash, result.task, *protocol, headline.metric, *same, *categories)
            key = (result.method or result.key, result.trained_on if unit == "shots" else None)
            groups[*where, headline.definition][key][at].append(result)
    return [_named(methods) for methods in groups.values()]


_Key = tuple[str, int | None]
"""A method, and of curves against shots the number of records that its runs were trained on."""


def _named(methods: Mapping[_Key, dict[int, list[Result]]]) -> dict[str, dict[int, list[Result]]]:
    """Those of the methods that have several points."""
    curves = {key: points for key, points in methods.items() if len(points) > 1}
    times = Counter(name for name, _ in curves)
    return {name if times[name] == 1 else f"{name}, {records} records": of for (name, records), of in curves.items()}


def _curves(unit: str, methods: Mapping[str, Mapping[int, Sequence[Result]]]) -> LearningCurves | None:
    if not methods:
        return None
    curves = [
        CurveOf(name, {at: Point(points[at][0], headline_of(points[at][0])) for at in sorted(points)})
        for name, points in methods.items()
    ]
    one = unit.removesuffix("s")
    left_out = [
        f"{other.key} is left out, since {first.key} of the same method stands at {counted(at, one)}."
        for points in methods.values()
        for at, (first, *others) in sorted(points.items())
        for other in others
    ]
    curves.sort(key=lambda curve: (-[*curve.points.values()][-1].score.value, curve.name))
    first = next(iter(curves[0].points.values()))
    over = "images" if first.score.low_categories is None else "categories"
    seeds = any(point.score.spread is not None for curve in curves for point in curve.points.values())
    over = f"seeds and {over}" if seeds else over
    number = len(first.run.by_category)
    where = f"{first.run.data}, {number} categor{'y' if number == 1 else 'ies'}"
    shots = f", {first.run.protocol['shots']}-shot" if unit != "shots" and "shots" in first.run.protocol else ""
    told = f", told {first.run.protocol['told']}" if "told" in first.run.protocol else ""
    metric = first.score.metric
    return LearningCurves(
        title=f"{where}{shots}{told}",
        unit=unit,
        metric=metric,
        over=over,
        methods=tuple(curves),
        figure=_figure(unit, metric, over, curves),
        left_out=tuple(left_out),
    )


def _figure(unit: str, metric: str, over: str, curves: Sequence[CurveOf]) -> Figure:
    places = sorted({at for curve in curves for at in curve.points})
    if unit == "shots":
        x = Axis(places[0], places[-1], LEFT + 8, RIGHT - 8)
    else:
        x = axis([float(at) for at in places], LEFT, RIGHT - 8, log=True)
    points = [point for curve in curves for point in curve.points.values()]
    y = axis([end for point in points for end in (point.low, point.high)], BOTTOM, TOP)
    marks = [_drawn(i, curve, x, y) for i, curve in enumerate(curves)]
    ends = [(curve, [*curve.points][-1]) for curve in curves]
    marks.append(end_labels([(i, x(at) + 2, y(c.points[at].score.value)) for i, (c, at) in enumerate(ends)]))
    label = "; ".join(
        f"{curve.name} {', '.join(f'{point.score.value:.3f} at {at}' for at, point in curve.points.items())}"
        for curve in curves
    )
    return Figure(
        name=unit,
        title=f"{metric} against {_STEPS[unit]}",
        caption=f"Thin: 95 % intervals that resample {over}."
        + ("" if unit == "shots" else " The axis of records is logarithmic."),
        svg=frame(f"{metric} against {_STEPS[unit]}: {label}", x, y, _STEPS[unit], metric, marks),
    )


def _drawn(index: int, curve: CurveOf, x: Axis, y: Axis) -> Markup:
    shift = 1.5 * (index % 5 - 2)  # pixels, so that intervals at one place can be told apart
    spans = Markup().join(
        Markup(
            '<line class="thin {0}" x1="{1}" x2="{1}" y1="{2}" y2="{3}"/>'
            '<circle class="dot {0}" cx="{1}" cy="{4}" r="3"/>'
        ).format(series(index), round(x(at) + shift, 1), y(point.low), y(point.high), y(point.score.value))
        for at, point in curve.points.items()
    )
    path = [(round(x(at) + shift, 1), y(point.score.value)) for at, point in curve.points.items()]
    return line(index, curve.name, path) + spans


def curve_lines(curves: Iterable[LearningCurves]) -> list[Line]:
    """One line for each point."""
    return [
        {
            "curve": of.title,
            "along": of.unit,
            "method": method.name,
            of.unit: at,
            "run": point.run.key,
            **{"seeds": len(point.run.seeds), "metric": of.metric, "value": point.score.value},
            **{"spread": point.score.spread, "low": point.low, "high": point.high, "intervals resample": of.over},
        }
        for of in curves
        for method in of.methods
        for at, point in method.points.items()
    ]
