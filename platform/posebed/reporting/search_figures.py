"""The figures of searches: how good they were after what they had spent, what mattered, and what accuracy costs."""

from __future__ import annotations

from collections.abc import Sequence
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

VALIDATION = "validation PCK@0.2"

Points = list[tuple[float, float]]


def write_figures(search: SearchResult, folder: Path) -> None:
    """Write the search's own figures as ``figures/search-NAME.svg``."""
    drawn = (history(search), importance(search), front(search))
    write_svg({"search": (search.key, [figure for figure in drawn if figure])}, folder)


def best_so_far(trials: Sequence[Trial], budget: str) -> Points:
    """What was spent when each trial ended, and the best validation of a finished trial by then.

    Args:
        budget: trials, epochs or device_seconds.
    """
    points: Points = []
    used, best = 0.0, 0.0
    for trial in trials:
        used += {"trials": 1, "epochs": trial.epochs, "device_seconds": trial.device_seconds}[budget]
        if trial.state == "complete":
            best = max(best, trial.validation or 0.0)
        if best:
            points.append((used, best))
    return points


def history(search: SearchResult) -> Figure | None:
    """Every trial at its place, and the best so far as a line."""
    judged = [(i, t) for i, t in enumerate(search.own, 1) if t.validation is not None]
    if len(judged) < 2:
        return None
    x = Axis(0, len(search.own), LEFT, RIGHT)
    y = axis([t.validation or 0.0 for _, t in judged], BOTTOM, TOP)
    dots = [
        Markup('<circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>').format(
            f"dot {series(0 if t.state == 'complete' else 1)}",
            x(i),
            y(t.validation or 0.0),
            3 if t.state == "complete" else 2,
            f"trial {t.number}, {t.state}: {t.validation:.3f} after {t.epochs} epochs",
        )
        for i, t in judged
    ]
    best = [(x(i), y(v)) for i, v in _stairs(best_so_far(search.own, "trials"))]
    marks = [line(0, "best so far", best), *dots] if len(best) > 1 else dots
    failed = sum(t.state == "failed" for t in search.own)
    return Figure(
        "history",
        "Trials in the order in which they ended",
        "Large: seen to the end. Small: stopped early. Line: the best so far."
        + (f" {failed} failed and are not drawn." if failed else ""),
        frame(f"{VALIDATION} of {len(judged)} trials of {search.key}", x, y, "trials", VALIDATION, marks),
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
    row, top, left = 22, 8, 190
    bottom = top + row * len(search.importance)
    x = Axis(0, max(search.importance.values()) or 1, left, WIDTH - 44)
    bars = [
        Markup(
            '<text x="{}" y="{}" text-anchor="end">{}</text>'
            '<line class="line {}" style="stroke-width:9" x1="{}" x2="{}" y1="{}" y2="{}"/>'
            '<text x="{}" y="{}">{}</text>'
        ).format(
            left - 8, middle + 4, name, series(0), left, max(x(share), left + 1), middle, middle,
            x(share) + 8, middle + 4, f"{share:.2f}",
        )
        for middle, (name, share) in ((top + row * i + row / 2, item) for i, item in enumerate(_ranked(search)))
    ]  # fmt: skip
    said = ", ".join(f"{name} {share:.2f}" for name, share in _ranked(search))
    return Figure(
        "importance",
        "What mattered",
        "Share of the variance of the validation, over finished trials, that each parameter explains.",
        svg(f"Importance of the parameters of {search.key}: {said}", bottom + 8, bars),
    )


def _ranked(search: SearchResult) -> list[tuple[str, float]]:
    return sorted(search.importance.items(), key=lambda item: -item[1])


def front(search: SearchResult) -> Figure | None:
    """Accuracy against cost: every finished trial, and the line of those that none beats in both."""
    best = search.front
    done = [t for t in search.own if t.state == "complete" and t.cost and t.validation is not None]
    if len(done) < 2:
        return None
    x = axis([t.cost or 0.0 for t in done], LEFT, RIGHT, log=True)
    y = axis([t.validation or 0.0 for t in done], BOTTOM, TOP)
    dots = [
        Markup('<circle class="dot {}" cx="{}" cy="{}" r="3"><title>{}</title></circle>').format(
            series(0 if t in best else 1),
            x(t.cost or 0.0),
            y(t.validation or 0.0),
            f"trial {t.number}: {t.validation:.3f} at {t.cost:.3g} {search.cost}",
        )
        for t in done
    ]
    marks = [line(0, "front", [(x(t.cost or 0.0), y(t.validation or 0.0)) for t in best]), *dots]
    title = f"{search.cost} (logarithmic)"
    label = f"{VALIDATION} against {search.cost}: {len(best)} of {len(done)} trials are on the front"
    return Figure(
        "front",
        "Accuracy against cost",
        "On the line no other trial is both better and cheaper.",
        frame(label, x, y, title, VALIDATION, marks),
    )


def budgets(searches: Sequence[SearchResult], budget: str) -> Figure | None:
    """Best validation of several searches over what they had spent."""
    curves = [(i, s.key, _stairs(best_so_far(s.own, budget))) for i, s in enumerate(searches)]
    curves = [curve for curve in curves if len(curve[2]) > 1]
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
        f"budget-{budget}",
        f"Quality by spent {words}",
        "Best finished trial by then: compare searches where they had spent the same.",
        frame(f"{VALIDATION} by {words} of {names}", x, y, words, VALIDATION, marks),
    )
