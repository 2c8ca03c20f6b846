"""The critical-difference diagram: average ranks of runs over categories, and which of them are not told apart.

It is Demsar's diagram turned: runs stand below one another, so that long names can be read on a narrow screen, and the
bars that join what is not told apart stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from posebed.reporting.chart import WIDTH, Axis, series, svg
from posebed.reporting.figures import Figure
from posebed.scoring.paired import HEADLINE, Comparison
from posebed.scoring.ranks import average_ranks, critical_difference, groups

_ROW, _TOP, _BAR = 32, 58, 9
"""Pixels of a run's row, of axis and critical difference above the first one, and between two bars."""


def rank_figure(comparison: Comparison, shown: Sequence[int]) -> Figure | None:
    """The diagram of the runs that are shown, ranked among all; None where there are fewer than three runs, or one
    category."""
    runs, categories = len(comparison.runs), len(comparison.categories)
    if runs < 3 or categories < 2:
        return None
    ranks = average_ranks(comparison.by_category[:, :, HEADLINE])
    critical = critical_difference(runs, categories)
    order = sorted(shown, key=lambda run: (ranks[run], run))
    joined = groups(ranks[order], critical)
    bars = _bars(joined)
    last_rank = max(float(np.ceil(ranks[order].max())), 1 + critical)
    x = Axis(1, last_rank, 8, WIDTH - 14 - _BAR * (max(bars, default=0) + 1))
    bottom = _TOP + _ROW * len(order)
    marks = _axis(x, bottom, critical)
    marks += [_row(place, run, ranks[run], comparison, x) for place, run in enumerate(order)]
    marks += [
        Markup('<line class="joined" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
            WIDTH - 6 - _BAR * bar, _TOP + _ROW * first + 4, _TOP + _ROW * last + 26
        )
        for bar, (first, last) in zip(bars, joined, strict=True)
    ]
    headline = comparison.metrics[HEADLINE].name
    words = "; ".join(f"{comparison.runs[run].key} {ranks[run]:.2f}" for run in order)
    among = f" among all {runs} runs" if len(order) < runs else ""
    return Figure(
        name="ranks",
        title=f"Average rank by {headline}",
        caption=f"Over {categories} categories{among}; 1 is best. Runs that a bar at the right joins lie closer than "
        f"the critical difference (CD) of {critical:.2f}: their ranks are not told apart (Nemenyi's test at 0.05).",
        svg=svg(f"Average rank by {headline}, critical difference {critical:.2f}: {words}", bottom + 4, marks),
    )


def _bars(joined: Sequence[tuple[int, int]]) -> list[int]:
    """For each group, ordered by its first place, the bar's place from the right: the first that is free."""
    ends: list[int] = []
    places: list[int] = []
    for first, last in joined:
        place = next((i for i, end in enumerate(ends) if end < first), len(ends))
        ends[place : place + 1] = [last]
        places.append(place)
    return places


def _axis(x: Axis, bottom: float, critical: float) -> list[Markup]:
    """Ticks of whole ranks, and the critical difference as a length above them."""
    ticks = [
        Markup(
            '<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>'
            '<text x="{0}" y="{3}" text-anchor="middle">{4}</text>'
        ).format(x(t), _TOP - 8, bottom, _TOP - 13, f"{t:g}")
        for t in x.ticks()
    ]
    start, end = x(x.low), x(x.low + critical)
    length = Markup(
        '<path class="measure" d="M{0},8 v8 M{0},12 H{1} M{1},8 v8"/><text class="name" x="{2}" y="28">CD {3}</text>'
    ).format(start, end, start, f"{critical:.2f}")
    return [*ticks, length]


def _row(place: int, run: int, rank: float, comparison: Comparison, x: Axis) -> Markup:
    top = _TOP + _ROW * place
    name = f"{run + 1} {comparison.runs[run].key}"
    return Markup(
        '<g><text class="name over" x="8" y="{0}">{1}</text>'
        '<text class="over" x="{2}" y="{0}" text-anchor="end">{3}</text>'
        '<circle class="dot {4}" cx="{5}" cy="{6}" r="4"/></g>'
    ).format(top + 13, name, x.end, f"{rank:.2f}", series(run), x(rank), top + 22)
