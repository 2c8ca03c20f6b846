"""Why a number of the report is what it is: its definition and interval, and everything that it depends on."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path
from textwrap import fill

from posebed.config import SEARCH
from posebed.reporting.formats import mean
from posebed.reporting.search_tables import search_trace
from posebed.reporting.trace import trace
from posebed.scoring.result import Result, Score, read_result
from posebed.scoring.search_result import read_search
from posestages.commands.report_sources import results_in, tracked_runs

_WIDTH = 88
_LISTED = 12  # choices; of more, those that are spelled most alike


def why(cell: str, folder: Path) -> str:
    """A page of text for RUN, RUN:METRIC or RUN:METRIC:CATEGORY, or for a search by its key.

    Raises:
        LookupError: no result, metric, category or search of that name.
    """
    if cell.startswith(SEARCH):
        return _of_search(cell, folder)
    run, _, place = cell.partition(":")
    metric, _, category = place.partition(":")
    paths = {path.parent.name: path for path in results_in(folder)}
    result = read_result(paths[_known("a run with a result", run, paths)])
    facts = trace(result, tracked_runs([paths[run].parent]).get(run))
    return "\n\n".join([cell, _numbers(result, metric, category), *(_section(*item) for item in facts.items())])


def _of_search(key: str, folder: Path) -> str:
    searches = {path.parent.name: path.parent for path in sorted(folder.glob(f"{SEARCH}*/search.json"))}
    search = read_search(searches[_known("a search", key, searches)])
    return "\n\n".join([key, *(_section(*item) for item in search_trace(search).items())])


def _numbers(result: Result, metric: str, category: str) -> str:
    scores = {score.metric: score for score in result.scores}
    if not metric:
        return "\n".join(_pair(name, _with_interval(score)) for name, score in scores.items())
    score = scores[_known(f"a metric of {result.key}", metric, scores)]
    if category:
        value = result.by_category[_known(f"a category of {result.key}", category, result.by_category)]
        return _numbers_of_category(result, score, value, category)
    return "\n".join(
        [
            _pair(metric, _with_interval(score)),
            *([_pair("over categories", _interval(*over))] if (over := _categories(score)) else []),
            _pair("measured on", _measured(result)),
            "",
            fill(score.definition, _WIDTH),
        ]
    )


def _numbers_of_category(result: Result, score: Score, values: dict[str, float], category: str) -> str:
    metric = _known(f"a metric of {category}", score.metric, values)
    return "\n".join(
        [
            _pair(metric, f"{values[metric]:.4f} on {category} alone, which has no interval of its own"),
            _pair("all categories", _with_interval(score)),
            _pair("measured on", _measured(result)),
            "",
            fill(score.definition, _WIDTH),
        ]
    )


def _measured(result: Result) -> str:
    return (
        f"{result.queries:,} queries of {result.instances:,} instances in {result.images:,} images; "
        f"{result.without_keypoints:,} of the queries without a keypoint that counts"
    )


def _with_interval(score: Score) -> str:
    drawn = "images" if score.spread is None else "seeds and images"
    return f"{mean(score.value, score.spread, 4)}, {_interval(score.low, score.high)} over {drawn}"


def _interval(low: float, high: float) -> str:
    return f"95 % {low:.4f} to {high:.4f}"


def _categories(score: Score) -> tuple[float, float] | None:
    if score.low_categories is None or score.high_categories is None:
        return None
    return score.low_categories, score.high_categories


def _section(heading: str, facts: list[tuple[str, str]]) -> str:
    return "\n".join([heading, *(_pair(name, value) for name, value in facts)])


def _pair(name: str, value: str) -> str:
    return f"  {name:<24}  {value}"


def _known(what: str, name: str, known: Collection[str]) -> str:
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, _LISTED, cutoff=0) if len(known) > _LISTED else known
    more = ", and more" if len(known) > len(near) else ""
    raise LookupError(f"CELL must name {what}, but names {name!r}; there is {', '.join(near) or 'none'}{more}")
