"""A run from its members: trainings that differ in their seed alone and answered the same queries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np

from posebed.config import ScoringConfig
from posebed.contracts import MetricSpec
from posebed.predictions import Predictions
from posebed.scoring.result import Epoch, PairError, Result
from posebed.scoring.scores import Measures, scores_of


def combined(
    results: Sequence[Result], tables: Sequence[Predictions], scoring: ScoringConfig, specs: Sequence[MetricSpec]
) -> Result:
    """The result of a run: means over its members, how far they lie apart, and intervals over seeds with images, and
    with categories. The curve is that of the member whose best validation is the median, of an even number the lower of
    the two in the middle; all curves stand in the members' own results.

    Args:
        results: each member's own, of one run.
        tables: each member's predictions, in the same order.
        specs: the metrics.

    Raises:
        ValueError: there is no member, seeds are not unique, or members are of different runs, protocols or queries.
    """
    _check(results, tables)
    first, cost = results[0], results[0].cost
    if len(results) == 1:
        return first.model_copy(update={"members": (first.as_member(),)})
    times = {name: fmean(getattr(r.cost, name) for r in results) for name in ("ms_per_image", "train_seconds")}
    return first.model_copy(
        update={
            "fingerprint": _joined(result.fingerprint for result in results),
            "seeds": tuple(result.seed for result in results),
            "members": tuple(result.as_member() for result in results),
            "scores": scores_of([Measures.of(table, specs) for table in tables], scoring),
            "curve": _median_curve(results),
            "shortfalls": list(dict.fromkeys(line for result in results for line in result.shortfalls)),
            "cost": cost.model_copy(update=times),
            "provenance": first.provenance.model_copy(
                update={"created": max(result.provenance.created for result in results)}
            ),
            **{
                name: mean_tables([getattr(result, name) for result in results])
                for name in ("by_category", "by_keypoint", "by_keypoint_of_box")
            },
            "by_pair": {
                category: {pair: _mean_error([result.by_pair[category][pair] for result in results]) for pair in pairs}
                for category, pairs in first.by_pair.items()
            },
        }
    )


def _check(results: Sequence[Result], tables: Sequence[Predictions]) -> None:
    if not results or len(results) != len(tables):
        raise ValueError(
            f"a run must have a result and a table for each of its members, but has {len(results)} and {len(tables)}"
        )
    seeds = [result.seed for result in results]
    if len({*seeds}) < len(seeds):
        raise ValueError(f"members of {results[0].key} must have seeds of their own, but have {seeds}")
    for name in ("key", "model", "task", "protocol"):
        for result in results[1:]:
            if getattr(result, name) != getattr(results[0], name):
                raise ValueError(
                    f"members of one run must agree in {name}, but seed {result.seed} has {getattr(result, name)!r} "
                    f"and seed {seeds[0]} {getattr(results[0], name)!r}"
                )
    for result, table in zip(results[1:], tables[1:], strict=True):
        if not _same_queries(table, tables[0]):
            raise ValueError(
                f"members of {result.key} must answer the same queries, but those of seed {result.seed} and seed "
                f"{seeds[0]} differ"
            )


def _same_queries(table: Predictions, other: Predictions) -> bool:
    same_rows = all(
        np.array_equal(np.sort(getattr(table, name)), np.sort(getattr(other, name)))
        for name in ("image", "category", "episode")
    )
    return same_rows and table.categories == other.categories and _truths(table) == _truths(other)


def _truths(table: Predictions) -> set[tuple[str, int]]:
    rows = table.annotated
    return {*zip(table.record[rows].tolist(), table.episode[rows].tolist(), strict=True)}


def _joined(fingerprints: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()


def _median_curve(results: Sequence[Result]) -> list[Epoch]:
    best = [(max(values), i) for i, r in enumerate(results) if (values := _validations(r.curve))]
    return results[sorted(best)[(len(best) - 1) // 2][1]].curve if best else results[0].curve


def _validations(curve: Sequence[Epoch]) -> list[float]:
    return [epoch.validation for epoch in curve if epoch.validation is not None]


def mean_tables(tables: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Row to column to the mean over the tables, of the columns that all of them have."""
    return {
        row: {name: fmean(table[row][name] for table in tables) for name in columns if _everywhere(tables, row, name)}
        for row, columns in tables[0].items()
    }


def _mean_error(errors: Sequence[PairError]) -> PairError:
    """Of members, which answered the same queries and so judged the same keypoints."""
    known = [error.spe for error in errors if error.spe is not None]
    return errors[0].model_copy(update={"spe": fmean(known) if known else None})


def _everywhere(tables: Sequence[Mapping[str, Mapping[str, float]]], row: str, name: str) -> bool:
    return all(name in table.get(row, {}) for table in tables)
