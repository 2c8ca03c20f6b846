"""The common ground as the page shows it: who is above whom, in words, in a figure and in tables, and the queries that
all find hard.

What is measured there is said in ``scoring.paired``; how the page is laid out, in ``page/common.html``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from markupsafe import Markup

from posebed.config import ScoringConfig
from posebed.contracts import Metric, MetricSpec, Task
from posebed.listing import shortened
from posebed.metrics.distances import keypoint_pck
from posebed.metrics.symmetry import SPE
from posebed.predictions import Predictions
from posebed.records import Category, Record
from posebed.reporting.caution import cautions
from posebed.reporting.chart import WIDTH, axis, series, svg
from posebed.reporting.compare import KeypointTable
from posebed.reporting.csv_tables import Line
from posebed.reporting.figures import Figure
from posebed.reporting.formats import number, p_value, signed
from posebed.reporting.gallery import Decode
from posebed.reporting.hard_queries import HardQuery, hard_queries
from posebed.reporting.rank_figure import rank_figure
from posebed.reporting.sure import what_is_sure
from posebed.scoring.common_ground import Answers, Read, aligned, grounds
from posebed.scoring.members import mean_tables
from posebed.scoring.paired import HEADLINE, Comparison, Estimate, compared, with_p
from posebed.scoring.result import Result
from posebed.scoring.scores import labels

SHOWN = 8
"""Runs, the best ones, that stand in figures, pictures and tables between runs; the reference stands there as well."""
HARDEST = 6
"""Queries in pictures."""
Album = Callable[[str], tuple[Decode, Mapping[str, Record]]]
"""From the key of data to what reads its pictures, and its records by identity."""


@dataclass(frozen=True)
class GroundSection:
    """One common ground."""

    comparison: Comparison
    reference: int
    """Place of the run that all are compared with."""
    against: np.ndarray
    """(R, M) corrected p of the differences to it."""
    shown: tuple[int, ...]
    """Places of the runs in figures, pictures and tables between runs."""
    left_out: tuple[str, ...]
    facts: Mapping[str, str]
    figures: tuple[Figure, ...]
    skeletons: tuple[KeypointTable, ...]
    """Of the runs that are shown."""
    hardest: tuple[HardQuery, ...]

    @property
    def runs(self) -> tuple[Result, ...]:
        return self.comparison.runs

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The headline first."""
        return self.comparison.metrics

    def title(self) -> str:
        told = f", told {self.facts['told']}" if "told" in self.facts else ""
        return f"{self.runs[0].data}, split {self.runs[0].split}, common ground{told}"

    def caution(self) -> str:
        """What to know of the intervals and verdicts; empty where there is nothing to say."""
        return " ".join(cautions(self.comparison))

    def words(self) -> list[str]:
        """Which differences are real: the best run against each other one that is shown, and these against the
        reference."""
        best, reference = 0, self.reference
        pairs = [(best, i) for i in self.shown if i != best]
        pairs += [(i, reference) for i in self.shown if reference != best and i not in (best, reference)]
        return [self._describe(run, other) for run, other in pairs]

    def sure(self) -> str:
        """Which differences between all runs are real, in one sentence."""
        floors = [i for i, run in enumerate(self.runs) if run.floor]
        return what_is_sure([r.key for r in self.runs], floors, self.comparison.sign)

    def difference(self, run: int, metric: int) -> Estimate:
        """The run's value of a metric less the reference's."""
        return with_p(self.comparison.difference(run, self.reference, metric), self.against[run, metric])

    def _describe(self, run: int, other: int) -> str:
        difference, names = self.comparison.difference(run, other), (self.runs[run].key, self.runs[other].key)
        if difference.low is None:
            return f"{names[0]} differs from {names[1]} by {signed(difference.value)}."
        if not difference.sign:
            return (
                f"{names[0]} is not separated from {names[1]}: {signed(difference.value)} {spanned(difference)}, "
                f"p {p_value(difference.p)}."
            )
        ahead = difference if difference.sign > 0 else self.comparison.difference(other, run)
        where = "above" if difference.sign > 0 else "below"
        return f"{names[0]} is {where} {names[1]} by {number(ahead.value)} {spanned(ahead)}, p {p_value(ahead.p)}."

    def categories(self) -> dict[str, list[float | None]]:
        """Category to the headline of every run that is shown."""
        names = labels(self.comparison.categories).values()
        values = self.comparison.by_category[:, list(self.shown), HEADLINE]
        return dict(sorted(zip(names, values.tolist(), strict=True)))

    def sides(self) -> dict[str, list[float | None]]:
        """Category to the symmetric-pair error of every run that is shown; those without pairs are left out."""
        place = next((m for m, metric in enumerate(self.metrics) if metric.name == SPE.name), None)
        if place is None:
            return {}
        values = self.comparison.by_category[:, list(self.shown), place]
        names = labels(self.comparison.categories).values()
        known = {name: row for name, row in zip(names, values.tolist(), strict=True) if np.isfinite(row).all()}
        return dict(sorted(known.items()))

    def tally(self, run: int, other: int) -> tuple[int, int, int]:
        """Categories in which the first wins, in which it ties and in which it loses."""
        wins, losses = int(self.comparison.wins[run, other]), int(self.comparison.wins[other, run])
        return wins, len(self.comparison.categories) - wins - losses, losses


def spanned(estimate: Estimate) -> str:
    """The interval, as it stands behind a number."""
    if estimate.low is None or estimate.high is None:
        return ""
    sign = signed if estimate.low < 0 else number
    return f"[{sign(estimate.low)}, {sign(estimate.high)}]"


def ground_sections(
    results: Iterable[Result],
    read: Read,
    album: Album | None,
    scoring: ScoringConfig,
    specs: Sequence[MetricSpec],
    reference: str | None = None,
) -> list[GroundSection]:
    """Every ground on which runs meet, one of which at least has the table of its queries; first those on which both
    families do.

    Args:
        album: None for no pictures.
        specs: the metrics.
        reference: Key of the run that the others are compared with, on the grounds where it stands; elsewhere, and by
            default, the best floor, or where none has a part, the best run.

    Raises:
        LookupError: the reference stands on no ground.
    """
    sections: list[GroundSection] = []
    for ground in grounds(results):
        if answers := aligned(ground, read):
            sections.append(_section(answers, compared(answers, scoring, specs), album, reference))
    keys = sorted({run.key for section in sections for run in section.runs})
    if reference is not None and reference not in keys:
        raise LookupError(
            f"the reference must stand on a common ground, but is {reference!r}; there is {shortened(keys)}"
        )
    return sorted(sections, key=lambda section: len({run.task for run in section.runs}), reverse=True)


def _section(answers: Answers, comparison: Comparison, album: Album | None, wanted: str | None) -> GroundSection:
    runs = comparison.runs
    floor = next((i for i, run in enumerate(runs) if run.floor), 0)
    reference = next((i for i, run in enumerate(runs) if run.key == wanted), floor)
    shown = tuple(sorted({*range(min(SHOWN, len(runs))), reference}))
    table_of = dict(zip((run.key for run in answers.runs), answers.tables, strict=True))
    tables = [table_of[runs[i].key] for i in shown]
    names, firsts = [(i, runs[i].key) for i in shown], [of_run[0] for of_run in tables]
    return GroundSection(
        comparison,
        reference,
        comparison.against(reference),
        shown,
        answers.left_out,
        _facts(runs, firsts[0]),
        tuple(filter(None, (_forest(comparison, reference, shown), rank_figure(comparison, shown)))),
        tuple(_skeletons(comparison.categories, tables)),
        tuple(hard_queries(comparison.hardest[:HARDEST], names, firsts, *album(runs[0].data)) if album else ()),
    )


def _facts(runs: Sequence[Result], queries: Predictions) -> dict[str, str]:
    numbers = {
        "queries": len(queries),
        "instances": len(np.unique(queries.record)),
        "categories": len(np.unique(queries.category)),
        "runs": len(runs),
    }
    protocol = next(run.protocol for run in runs if run.task == Task.CATEGORY_AGNOSTIC)
    return {name: f"{value:,}" for name, value in numbers.items()} | protocol


def _skeletons(categories: Sequence[Category], tables: Sequence[Sequence[Predictions]]) -> list[KeypointTable]:
    """Per keypoint the mean PCK@0.2 over the categories in which it counts and over members, for each skeleton.

    Args:
        tables: of each run those of its members.
    """
    pck = [mean_tables([keypoint_pck(table, 0.2) for table in of_run]) for of_run in tables]
    groups: dict[tuple[str, ...], list[Category]] = {}
    for category in categories:
        groups.setdefault(category.keypoints, []).append(category)
    name_of = labels(categories)
    return [
        KeypointTable(
            tuple(name_of[c.key] for c in members),
            {name: [_mean(of_run, members, name) for of_run in pck] for name in keypoints},
        )
        for keypoints, members in groups.items()
    ]


def _mean(pck: Mapping[str, Mapping[str, float]], categories: Sequence[Category], keypoint: str) -> float | None:
    values = [pck[c.key][keypoint] for c in categories if keypoint in pck[c.key]]
    return fmean(values) if values else None


def _forest(comparison: Comparison, reference: int, shown: Sequence[int]) -> Figure | None:
    """The paired difference of each run to the reference, whose own place is the dashed line."""
    rows = [(i, comparison.runs[i].key, comparison.difference(i, reference)) for i in shown if i != reference]
    ends = [end for _, _, d in rows for end in (d.low, d.high) if end is not None]
    if not ends:
        return None
    row_height, top = 36, 8
    bottom = top + row_height * len(rows)
    x = axis([0, *ends], 6, WIDTH - 6)
    marks = [
        Markup(
            '<line class="grid" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/><text x="{0}" y="{3}" text-anchor="{4}">{5}</text>'
        ).format(x(t), top, bottom, bottom + 15, {x.low: "start", x.high: "end"}.get(t, "middle"), f"{t:g}")
        for t in x.ticks()
    ]
    marks.append(Markup('<line class="floor" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x(0), top, bottom))
    marks += [
        Markup(
            '<g><text class="name over" x="6" y="{0}">{1}</text>'
            '<text class="over" x="{2}" y="{0}" text-anchor="end">{3}</text>'
            '<line class="thick {4}" x1="{5}" x2="{6}" y1="{7}" y2="{7}"/>'
            '<circle class="dot {4}" cx="{8}" cy="{7}" r="3.5"/></g>'
        ).format(
            top + row_height * place + 14, f"{i + 1} {key}", WIDTH - 6, f"{signed(d.value)} {spanned(d)}",
            series(i), x(d.low or 0), x(d.high or 0), top + row_height * place + 25, x(d.value),
        )
        for place, (i, key, d) in enumerate(rows)
    ]  # fmt: skip
    against, headline = comparison.runs[reference].key, comparison.metrics[HEADLINE].name
    differences = "; ".join(f"{key} {signed(d.value)} {spanned(d)}" for _, key, d in rows)
    return Figure(
        name="differences",
        title=f"{headline} less that of {against}",
        caption="Paired, with 95 % intervals that resample seeds and categories. Dashed: no difference.",
        svg=svg(f"{headline} less that of {against}: {differences}", bottom + 20, marks),
    )


def ground_lines(sections: Sequence[GroundSection]) -> list[Line]:
    """One line for each ground and run: every metric and its difference to the reference, with their intervals."""
    return [_line(section, i) for section in sections for i in range(len(section.runs))]


def _line(section: GroundSection, place: int) -> Line:
    run, comparison = section.runs[place], section.comparison
    line: dict[str, object] = {
        **{name: getattr(run, name) for name in ("data", "split")},
        "ground": "; ".join(f"{name}: {value}" for name, value in section.facts.items()),
        **{"run": run.key, "seeds": len(run.seeds), "model": run.model, "task": run.task, "submitted": run.submitted},
        "reference": section.runs[section.reference].key,
        **dict(zip(("wins", "ties", "losses"), section.tally(place, section.reference), strict=True)),
    }
    for m, metric in enumerate(section.metrics):
        difference = section.difference(place, m)
        score = comparison.score(place, m)
        line |= {metric.name: score.value, f"{metric.name} spread": score.spread}
        line |= {f"{metric.name} low": score.low, f"{metric.name} high": score.high}
        name = f"{metric.name} difference"
        line |= {name: difference.value, f"{name} low": difference.low, f"{name} high": difference.high}
        line |= {f"{name} p": difference.p}
    return line | run.cost.model_dump() | {"fingerprint": run.fingerprint}
