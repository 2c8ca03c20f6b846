"""The figures of searches: how good they were after what they had spent, what mattered, and what accuracy costs.

In figures of several searches each keeps the number and the colour of its place in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from posebed.reporting.chart import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    axis,
    end_labels,
    frame,
    line,
    series,
    svg,
)
from posebed.reporting.exports import write_figures as write_svg
from posebed.reporting.figures import Figure
from posebed.scoring.search_result import SearchResult, Trial

BUDGETS = ("trials", "epochs", "device_seconds")
UNITS: dict[str, tuple[str, float]] = {"gflops": ("GFLOPs per image", 1.0), "parameters": ("million parameters", 1e6)}
"""Second objectives in words, and by what their numbers are divided for an axis."""
_SPENT: dict[str, Callable[[Trial], float]] = {
    "trials": lambda trial: 1,
    "epochs": lambda trial: trial.epochs,
    "device_seconds": lambda trial: trial.device_seconds,
}
_LOGARITHMIC = 3
"""Costs that differ by so many times stand on a logarithmic axis."""

Points = list[tuple[float, float]]


def write_figures(search: SearchResult, folder: Path) -> None:
    """Write the search's own figures as ``figures/search-NAME.svg``."""
    write_svg({"search": (search.key, search_figures(search))}, folder)


def search_figures(search: SearchResult) -> list[Figure]:
    """Every figure of one search for which its trials have something to show."""
    return [figure for figure in (history(search), importance(search), front(search)) if figure]


def best_so_far(trials: Sequence[Trial], budget: str) -> Points:
    """What was spent when each trial ended, and the best validation of a finished trial by then; from the first
    finished trial on.

    Args:
        budget: trials, epochs or device_seconds.
    """
    points: Points = []
    used, best = 0.0, None
    for trial in trials:
        used += _SPENT[budget](trial)
        if trial.state == "complete" and trial.validation is not None:
            best = trial.validation if best is None else max(best, trial.validation)
        if best is not None:
            points.append((used, best))
    return points


def _validation(search: SearchResult) -> str:
    return f"validation {search.judged_by}"


def history(search: SearchResult) -> Figure | None:
    """Every trial at its place, and the best so far as a line."""
    words = _validation(search)
    judged = [(i, t, t.validation) for i, t in enumerate(search.own, 1) if t.validation is not None]
    if len(judged) < 2:
        return None
    x = Axis(0, len(search.own), LEFT, RIGHT)
    y = axis([value for *_, value in judged], BOTTOM, TOP)
    best = [(x(i), y(v)) for i, v in _stairs(best_so_far(search.own, "trials"))]
    marks = [line(0, "best so far", best)] if len(best) > 1 else []
    marks += [_trial(x(i), y(value), t, _reached(t, value)) for i, t, value in judged]
    failed = [(i, t) for i, t in enumerate(search.own, 1) if t.state == "failed"]
    marks += [_cross(x(i), t) for i, t in failed]
    stopped = any(t.state == "pruned" for t in search.own)
    return Figure(
        "history",
        "Trials in the order in which they ended",
        "Line: the best so far."
        + (" Rings: stopped early." if stopped else "")
        + (" Crosses: failed." if failed else ""),
        frame(f"{words} of {len(judged)} trials of {search.key}", x, y, "trials", words, marks),
    )


def _reached(trial: Trial, validation: float) -> str:
    return f"{validation:.3f}" + (f" after {trial.epochs} epochs" if trial.epochs else "")


def _trial(x: float, y: float, trial: Trial, title: str) -> Markup:
    """A disc, or a ring where the trial was not seen to its end."""
    kind, place, radius = ("ring", 1, 2.5) if trial.state == "pruned" else ("dot", 0, 3.5)
    return Markup('<circle class="{} {}" cx="{:g}" cy="{:g}" r="{}"><title>{}</title></circle>').format(
        kind, series(place), x, y, radius, f"trial {trial.number}, {trial.state}: {title}"
    )


def _cross(x: float, trial: Trial) -> Markup:
    return Markup('<path class="thin {}" d="M{:g} {:g}l7 7m0 -7l-7 7"><title>{}</title></path>').format(
        series(5), x - 3.5, BOTTOM - 9, f"trial {trial.number} failed: {trial.failed}"
    )


def _stairs(points: Points) -> Points:
    """Points joined by level lines and steps."""
    stairs: Points = []
    for at, value in points:
        if stairs:
            stairs.append((at, stairs[-1][1]))
        stairs.append((at, value))
    return stairs


def importance(search: SearchResult) -> Figure | None:
    """Share of the validation's variance that each parameter explains."""
    if not search.importance:
        return None
    row, top = 30, 4
    ranked = sorted(search.importance.items(), key=lambda item: -item[1])
    x = Axis(0, ranked[0][1] or 1, 6, WIDTH - 6)
    bars = [
        Markup(
            '<text class="name over" x="6" y="{0}">{1}</text>'
            '<text class="over" x="{2}" y="{0}" text-anchor="end">{3:.2f}</text>'
            '<line class="thick {4}" x1="6" x2="{5:g}" y1="{6}" y2="{6}"/>'
        ).format(top + row * i + 13, name, WIDTH - 6, share, series(0), max(x(share), 7), top + row * i + 22)
        for i, (name, share) in enumerate(ranked)
    ]
    words = ", ".join(f"{name} {share:.2f}" for name, share in ranked)
    return Figure(
        "importance",
        "What mattered",
        "Share of the variance of the validation, over finished trials, that each parameter explains.",
        svg(f"Importance of the parameters of {search.key}: {words}", top + row * len(ranked) + 4, bars),
    )


def front(search: SearchResult) -> Figure | None:
    """Accuracy against cost: every finished trial, and the line of those that none beats in both."""
    unit, scale = UNITS.get(search.cost, (search.cost, 1.0))
    done = [
        (t, t.cost / scale, t.validation)
        for t in search.own
        if t.state == "complete" and t.cost is not None and t.validation is not None
    ]
    if len(done) < 2:
        return None
    costs = [cost for _, cost, _ in done]
    log = min(costs) > 0 and max(costs) > _LOGARITHMIC * min(costs)
    x, y = axis(costs, LEFT, RIGHT, log=log), axis([value for *_, value in done], BOTTOM, TOP)
    best = {t.number for t in search.front}
    edge = [(x((t.cost or 0) / scale), y(t.validation or 0)) for t in search.front]
    marks = [line(0, "front", _stairs(edge))] if len(edge) > 1 else []
    for trial, cost, value in done:
        marks.append(_dot(x(cost), y(value), trial.number in best, trial.number, f"{value:.3f} at {cost:.3g} {unit}"))
    label = f"{_validation(search)} against {unit}: {len(best)} of {len(done)} trials are on the front"
    return Figure(
        "front",
        "Accuracy against cost",
        "Up and to the left is better. No trial beats one on the line, here with its number, in both.",
        frame(label, x, y, f"{unit}{' (logarithmic)' if log else ''}", _validation(search), marks),
    )


def _dot(x: float, y: float, on_front: bool, number: int, title: str) -> Markup:
    name = Markup('<text class="mark over {}" x="{:g}" y="{:g}" text-anchor="end">{}</text>').format(
        series(0), x - 5, y - 5, number
    )
    return Markup('<circle class="dot {}" cx="{:g}" cy="{:g}" r="3.5"><title>{}</title></circle>{}').format(
        series(0 if on_front else 7), x, y, f"trial {number}: {title}", name if on_front else ""
    )


def budgets(searches: Sequence[SearchResult], budget: str) -> Figure | None:
    """Best validation of several searches over what they had spent.

    Args:
        budget: trials, epochs or device_seconds.
    """
    curves = [(i, s.key, _stairs(best_so_far(s.own, budget))) for i, s in enumerate(searches)]
    # What is not trained spends no epochs.
    curves = [curve for curve in curves if len(curve[2]) > 1 and curve[2][-1][0] > 0]
    if not curves:
        return None
    x = Axis(0, max(at for _, _, points in curves for at, _ in points), LEFT, RIGHT)
    y = axis([value for _, _, points in curves for _, value in points], BOTTOM, TOP)
    drawn = [(i, name, [(x(at), y(value)) for at, value in points]) for i, name, points in curves]
    marks = [line(i, name, points) for i, name, points in drawn]
    marks.append(end_labels([(i, *points[-1]) for i, _, points in drawn]))
    words = budget.replace("_", "-")
    names = ", ".join(name for _, name, _ in drawn)
    return Figure(
        f"budget-{budget.replace('_', '-')}",
        f"Quality by spent {words}",
        "The best finished trial by then." + (" Compare where the same was spent." if len(drawn) > 1 else ""),
        frame(f"{_validation(searches[0])} by {words} of {names}", x, y, words, _validation(searches[0]), marks),
    )
