"""What every metric keeps to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from posebed.catalog import installed
from posebed.contracts import Metric, MetricSpec, Need, Units
from posebed.predictions import Predictions
from posebed.scoring.drawn import drawn_predictions
from posebed.scoring.measuring import measured_by
from posebed.scoring.scores import usable
from posebed.testing.clauses import clause, clauses_of

SEEDS = range(4)


class MetricSuite:
    """Tests of the contract; a subclass whose name begins with ``Test`` is collected by pytest."""

    module: ClassVar[str] = ""
    """Import path of the module of metrics, which the catalog knows."""

    @classmethod
    def worked_cases(cls) -> Mapping[str, Sequence[tuple[Predictions, float]]]:
        """By the names of its metrics, tables and the values that they have by hand; at least one of each."""
        raise NotImplementedError

    def exceptions(self, given: Mapping[str, Any]) -> Mapping[str, str]:
        return self.spec.exceptions

    @property
    def spec(self) -> MetricSpec:
        return installed().measured()[0][self.module]

    def test_the_catalog_takes_them(self) -> None:
        known, left_out = installed().measured()
        assert self.module in known, left_out
        assert usable({self.module: known[self.module]})[1] == []

    def test_exceptions_are_of_clauses(self) -> None:
        assert self.spec.exceptions.keys() <= clauses_of(MetricSuite)

    def test_worked_cases_have_the_values_of_the_hand(self) -> None:
        cases = self.worked_cases()
        assert {*cases} == {metric.name for metric in self.spec.metrics}, "each has a case, and there are no others"
        for place, metric in enumerate(self.spec.metrics):
            for table, value in cases[metric.name]:
                assert values_of(self.spec, table)[place] == pytest.approx(value), metric.name

    @clause
    def test_values_lie_within_their_bounds(self) -> None:
        for table in tables(self.spec):
            for metric, value in zip(self.spec.metrics, values_of(self.spec, table), strict=True):
                assert np.isnan(value) or 0 <= value <= (np.inf if metric.unit else 1), metric.name

    @clause
    def test_nothing_is_better_than_the_truth(self) -> None:
        for table in tables(self.spec):
            perfect = values_of(self.spec, replace(table, xy=table.truth))
            for metric, best, value in zip(self.spec.metrics, perfect, values_of(self.spec, table), strict=True):
                assert np.isnan(value) or not_better(metric, value, best), metric.name

    @clause
    def test_the_order_of_the_rows_does_not_matter(self) -> None:
        for table in tables(self.spec):
            order = np.random.default_rng(0).permutation(len(table))
            same(values_of(self.spec, table.take(order)), values_of(self.spec, table))

    @clause
    def test_keypoints_that_do_not_count_change_nothing(self) -> None:
        for table in tables(self.spec):
            elsewhere = np.where(table.counts[..., None], table.xy, table.xy + np.float32(500))
            same(values_of(self.spec, replace(table, xy=elsewhere)), values_of(self.spec, table))

    @clause
    def test_moving_picture_truth_and_prediction_together_changes_nothing(self) -> None:
        for table in tables(self.spec):
            shift = np.array([40, 25], np.float32)
            moved = replace(
                table,
                width=table.width + 40,
                height=table.height + 25,
                box=table.box + np.array([*shift, 0, 0]),
                crop=table.crop + np.array([*shift, 0, 0]),
                truth=table.truth + shift,
                xy=table.xy + shift,
            )
            same(values_of(self.spec, moved), values_of(self.spec, table))

    @clause
    def test_an_image_that_is_drawn_twice_weighs_as_much_as_a_copy_of_it(self) -> None:
        for table in tables(self.spec):
            images, image = np.unique(table.image, return_inverse=True)
            times = np.random.default_rng(0).multinomial(len(images), np.full(len(images), 1 / len(images)))
            weighted = measured_by(self.spec, table)(Units("images", image))(times[:, None].astype(float))[0]
            same(weighted, values_of(self.spec, copied(table, times[image])))

    def test_images_and_categories_give_the_same_value(self) -> None:
        for table in tables(self.spec):
            images, image = np.unique(table.image, return_inverse=True)
            by_image = measured_by(self.spec, table)(Units("images", image))(np.ones((len(images), 1)))[0]
            same(by_image, values_of(self.spec, table))

    def test_the_faster_way_on_common_ground_gives_the_same(self) -> None:
        if self.spec.on_common_ground is None:
            pytest.skip("has none")
        paired = [metric.paired for metric in self.spec.metrics]
        for table in tables(self.spec):
            if (table.episode >= 0).all():
                present, category = np.unique(table.category, return_inverse=True)
                units, each = Units("categories", category), np.eye(len(present))
                quick = self.spec.on_common_ground(table)(units)(each)
                same(quick, measured_by(self.spec, table)(units)(each)[:, paired])


def values_of(spec: MetricSpec, table: Predictions) -> np.ndarray:
    """(M,) of the whole table."""
    present, category = np.unique(table.category, return_inverse=True)
    return measured_by(spec, table)(Units("categories", category))(np.ones((len(present), 1)))[0]


def tables(spec: MetricSpec) -> Iterator[Predictions]:
    """Drawn ones that offer what it needs; in every row a keypoint counts."""
    kinds = [(1, False)] if Need.ONE_SKELETON in spec.needs else [(1, False), (3, False), (3, True)]
    for seed in SEEDS:
        for categories, episodes in kinds:
            table = drawn_predictions(seed, queries=30, categories=categories, episodes=episodes)
            first = np.arange(table.counts.shape[1]) == 0
            yield replace(table, counts=table.counts | first, labelled=table.labelled | first)


def copied(table: Predictions, times: np.ndarray) -> Predictions:
    """With every row as often as ``times`` (N,) says; copies are records, images and episodes of their own."""
    rows = np.repeat(np.arange(len(table)), times)
    copy = np.concatenate([np.arange(number) for number in times])
    columns = {field.name: getattr(table, field.name) for field in fields(table)}
    arrays = {name: column[rows] for name, column in columns.items() if isinstance(column, np.ndarray)}
    for name in ("record", "image"):
        arrays[name] = np.char.add(arrays[name], np.char.add(" copy ", copy.astype(str)))
    arrays["episode"] = np.where(arrays["episode"] >= 0, np.arange(len(rows)), -1).astype(np.int32)
    return replace(table, **arrays, supports=tuple(table.supports[row] for row in rows))


def same(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def not_better(metric: Metric, value: float, best: float) -> bool:
    return value <= best + 1e-9 if metric.better == "higher" else value >= best - 1e-9
