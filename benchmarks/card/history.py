"""How long a step of each model took in the runs that are kept, drawn for every kind of device."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby

from markupsafe import Markup

from card.run_file import Run
from card.table import fastest, names_in
from posebed import reporting
from posebed.reporting.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axis, end_labels, frame, line, series


def drawn(runs: Sequence[Run]) -> str:
    """An SVG that stands alone: a chart per device, its runs from left to right, oldest first.

    Raises:
        ValueError: no run has a step's time.
    """
    names = list(dict.fromkeys(name for run in runs for name in names_in(run) if fastest(run, name)))
    if not names:
        raise ValueError("benchmarks/history must hold a run with the time of a step, but holds none")
    by_device = sorted(runs, key=lambda run: run.about.device)
    charts = [_chart(device, [*of], names) for device, of in groupby(by_device, lambda run: run.about.device)]
    style = Markup((files(reporting) / "page" / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    place = Markup('<svg x="{}" y="0" width="{}" height="{}">{}</svg>').format
    placed = [place(i * WIDTH, WIDTH, HEIGHT, chart) for i, chart in enumerate(charts)]
    width, below = max(2, len(charts)) * WIDTH, HEIGHT + 25
    columns = width // 160
    named = [
        Markup('<text class="mark {}" x="{}" y="{}">{} {}</text>').format(
            series(i), LEFT + i % columns * 150, below + i // columns * 18, i + 1, name
        )
        for i, name in enumerate(names)
    ]
    height = below + -(-len(names) // columns) * 18
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {0} {1}" width="{0}" height="{1}">'
        '<style>{2}</style><rect x="-8" y="-8" width="100%" height="100%" fill="var(--paper)"/>{3}'
        '<g class="chart">{4}</g></svg>'
    ).format(width + 16, height + 16, style, Markup().join(placed), Markup().join(named))


def _chart(device: str, runs: Sequence[Run], names: Sequence[str]) -> Markup:
    points = {
        name: [(i, step["ms"]) for i, run in enumerate(runs, 1) if (step := fastest(run, name))] for name in names
    }
    x = axis(range(1, len(runs) + 1), LEFT, RIGHT)
    y = axis([ms for of in points.values() for _, ms in of] or [1.0], BOTTOM, TOP, log=True)
    marks, ends = list[Markup](), list[tuple[int, float, float]]()
    for index, (name, of) in enumerate(points.items()):
        if of:
            marks += [line(index, name, [(x(number), y(ms)) for number, ms in of]), *_dots(index, x, y, of)]
            ends.append((index, x(of[-1][0]), y(of[-1][1])))
    what = f"{device}, from {runs[0].about.date} to {runs[-1].about.date}"
    return frame(f"Time of a training step on {what}", x, y, f"run of {what}", "ms a step", [*marks, end_labels(ends)])


def _dots(index: int, x: object, y: object, points: Sequence[tuple[float, float]]) -> list[Markup]:
    return [
        Markup('<circle class="line {}" cx="{}" cy="{}" r="1.5"/>').format(series(index), x(number), y(ms))  # pyright: ignore[reportCallIssue]
        for number, ms in points
    ]
