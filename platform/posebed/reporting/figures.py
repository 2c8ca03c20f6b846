"""The figures of one protocol's runs: intervals, curves, thresholds and cost. A run keeps its number and its colour,
its place in the leader table, through all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from posebed.reporting.chart import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Axis, axis, end_labels, frame, line, series, svg
from posebed.reporting.compare import Row, Table
from posebed.reporting.formats import mean
from posebed.scoring.result import Epoch, Score

_THRESHOLD = re.compile(r"PCK@(0?\.\d+)$")

Curve = tuple[int, str, list[tuple[float, float]]]
"""Place of the run in the table, its key, and its points."""


@dataclass(frozen=True)
class Figure:
    name: str
    """Short, for its file."""
    title: str
    caption: str
    svg: Markup


def figures(table: Table) -> list[Figure]:
    """Every figure for which the runs have something to show."""
    candidates = (forest(table), thresholds(table), losses(table), validation(table), cost(table))
    return [figure for figure in candidates if figure]


def forest(table: Table) -> Figure:
    """Headline and both its intervals for every run, with the floor as a line through all."""
    row_height, top = 36, 8
    bottom = top + row_height * len(table.rows)
    x = axis([value for row in table.rows for value in _extent(row)], 6, WIDTH - 6)
    marks = [_vertical(x(t), top, bottom, "grid") for t in x.ticks()]
    marks += [
        Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
            x(t), bottom + 15, {x.low: "start", x.high: "end"}.get(t, "middle"), f"{t:g}"
        )
        for t in x.ticks()
    ]
    floor = next((row.floor for row in table.rows if row.floor), None)
    if floor:
        marks.append(_vertical(x(floor.value), top, bottom, "floor"))
    marks += [_interval(i, row, x, top + row_height * i) for i, row in enumerate(table.rows)]
    words = "; ".join(f"{r.result.key} {_with_interval(r.headline)}" for r in table.rows)
    return Figure(
        "intervals",
        f"{table.protocol.headline} with its 95 % intervals",
        "Thick: resampling images. Thin: resampling categories."
        + (" Dashed: the floor, which ignores the picture." if floor else "")
        + _note_on_members(table.rows),
        svg(f"{table.protocol.headline} of every run: {words}", bottom + 20, marks),
    )


def _with_interval(score: Score) -> str:
    return f"{mean(score.value, score.spread)} ({score.low:.3f} to {score.high:.3f})"


def _vertical(x: float, top: float, bottom: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(kind, x, x, top, bottom)


def _spans(score: Score) -> list[tuple[str, float, float]]:
    """How each interval is drawn, and its ends."""
    spans = [("thick", score.low, score.high)]
    if score.low_categories is not None and score.high_categories is not None:
        spans.append(("thin", score.low_categories, score.high_categories))
    return spans


def _extent(row: Row) -> list[float]:
    """All values that are drawn of a run."""
    return [*(end for _, *ends in _spans(row.headline) for end in ends), *row.of_members().values()]


def _member_dots(index: int, places: Sequence[tuple[float, float]]) -> Markup:
    """The values of a run's members beside its mean."""
    return Markup().join(
        Markup('<circle class="member {}" cx="{}" cy="{}" r="2"/>').format(series(index), x, y) for x, y in places
    )


def _note_on_members(rows: Iterable[Row]) -> str:
    return " Small dots: the seeds of a run." if any(row.of_members() for row in rows) else ""


def _interval(index: int, row: Row, x: Axis, top: float) -> Markup:
    middle, score = top + 25, row.headline
    lines = Markup().join(
        Markup('<line class="{} {}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            width, series(index), x(low), x(high), middle, middle
        )
        for width, low, high in _spans(score)
    )
    dot = Markup('<circle class="dot {}" cx="{}" cy="{}" r="3.5"/>').format(series(index), x(score.value), middle)
    # Beside the intervals, so that they can be seen.
    members = _member_dots(index, [(x(value), middle + 7) for value in row.of_members().values()])
    return Markup(
        '<g><text class="name over" x="6" y="{0}">{1}</text><text class="over" x="{2}" y="{0}" text-anchor="end">{3}'
        "</text>{4}{5}{6}</g>"
    ).format(top + 14, f"{index + 1} {row.result.key}", WIDTH - 6, _with_interval(score), lines, dot, members)


def losses(table: Table) -> Figure | None:
    return _curves(
        "losses",
        table,
        lambda epoch: epoch.loss if epoch.loss > 0 else None,
        "Training loss",
        "Logarithmic. Each model has its own loss: compare how they fall, not how high they are.",
        log=True,
    )


def validation(table: Table) -> Figure | None:
    judges = dict.fromkeys(epoch.judged_by for row in table.rows for epoch in row.result.curve)
    return _curves(
        "validation",
        table,
        lambda epoch: epoch.validation,
        f"Validation {' or '.join(judges)}",
        "On the validation part, while training.",
    )


def _curves(
    name: str, table: Table, value: Callable[[Epoch], float | None], title: str, caption: str, *, log: bool = False
) -> Figure | None:
    curves: list[Curve] = []
    for index, row in enumerate(table.rows):
        points = [(float(e.epoch), v) for e in row.result.curve if (v := value(e)) is not None]
        if len(points) > 1:
            curves.append((index, row.result.key, points))
    if any(row.of_members() for row in table.rows):
        caption += " Of a run with several seeds, the one with the median validation."
    return _lines(name, title, caption, curves, "epoch", title, log=log) if curves else None


def thresholds(table: Table) -> Figure | None:
    """PCK over its threshold, from the thresholds that were scored."""
    curves: list[Curve] = []
    for index, row in enumerate(table.rows):
        measured = ((_THRESHOLD.match(s.metric), s.value) for s in row.result.scores)
        points = sorted((float(match[1]), value) for match, value in measured if match)
        if len(points) > 1:
            curves.append((index, row.result.key, points))
    if not curves:
        return None
    caption = "How the share of keypoints found grows with the distance that is allowed."
    return _lines("thresholds", "PCK by threshold", caption, curves, "threshold", "PCK")


def _lines(
    name: str,
    title: str,
    caption: str,
    curves: list[Curve],
    x_title: str,
    y_title: str,
    *,
    log: bool = False,
) -> Figure:
    across = [px for _, _, points in curves for px, _ in points]
    x = Axis(min(across), max(across), LEFT, RIGHT)
    heights = [py for _, _, points in curves for _, py in points]
    y = axis(heights if log else [0, *heights], BOTTOM, TOP, log=log)
    drawn = [(i, key, [(x(px), y(py)) for px, py in points]) for i, key, points in curves]
    marks = [line(i, key, points) for i, key, points in drawn]
    marks.append(end_labels([(i, *points[-1]) for i, _, points in drawn]))
    names = ", ".join(key for _, key, _ in drawn)
    return Figure(name, title, caption, frame(f"{title} of {names}", x, y, x_title, y_title, marks))


def cost(table: Table) -> Figure | None:
    """Headline against the computation that one crop takes."""
    known = [(i, r, g) for i, r in enumerate(table.rows) if (g := r.result.cost.gflops)]
    if len(known) < 2:
        return None
    x = axis([g for _, _, g in known], LEFT, RIGHT, log=True)
    y = axis([v for _, r, _ in known for v in (r.headline.low, r.headline.high, *r.of_members().values())], BOTTOM, TOP)
    marks = [
        Markup(
            '<line class="thin {0}" x1="{1}" x2="{1}" y1="{2}" y2="{3}"/>'
            '<circle class="dot {0}" cx="{1}" cy="{4}" r="4.5"><title>{5}</title></circle>{6}'
        ).format(
            series(i), x(g), y(r.headline.low), y(r.headline.high), y(r.headline.value),
            f"{r.result.key}: {_value(r)} at {g:.3g} GFLOPs",
            _member_dots(i, [(x(g) - 8, y(value)) for value in r.of_members().values()]),
        )
        for i, r, g in known
    ]  # fmt: skip
    marks.append(end_labels([(i, x(g) + 3, y(r.headline.value)) for i, r, g in known]))
    left_out = [r.result.key for r in table.rows if not r.result.cost.gflops]
    caption = "Up and to the left is better." + _note_on_members(r for _, r, _ in known)
    caption += f" Without a count: {', '.join(left_out)}." if left_out else ""
    label = "; ".join(f"{r.result.key} {_value(r)} at {g:.3g} GFLOPs" for _, r, g in known)
    headline = table.protocol.headline
    return Figure(
        "cost",
        f"{headline} against cost",
        caption,
        frame(label, x, y, "GFLOPs per image (logarithmic)", headline, marks),
    )


def _value(row: Row) -> str:
    return mean(row.headline.value, row.headline.spread)
