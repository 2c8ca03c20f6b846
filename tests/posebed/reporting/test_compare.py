from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebed.reporting.compare import (
    by_category,
    by_keypoint,
    by_pair,
    pairs_too_close,
    protocol_of,
    signs,
    summary,
    tables,
)
from posebed.reporting.csv_tables import write_csv_tables
from posebed.reporting.headlines import headlines_of
from posebed.scoring.result import PairError, Result, Score

Make = Callable[..., Result]

DIFFERENCES = {
    "data": "plants",
    "split": "by-family",
    "task": "category_agnostic",
    "protocol": {"boxes": "detected", "part": "test"},
    "data_hash": "0" * 32,
    "split_hash": "1" * 32,
    "episodes_hash": "2" * 32,
}
NAMES = {"shots": "0", "told": "keypoint names"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(st.sets(st.sampled_from(sorted(DIFFERENCES))), min_size=1, max_size=8))
def test_protocols_are_never_mixed(result: Make, chosen: list[set[str]]):
    results = [result(str(i), **{name: DIFFERENCES[name] for name in names}) for i, names in enumerate(chosen)]
    actual = tables(results)
    assert sorted(row.result.key for table in actual for row in table.rows) == sorted(r.key for r in results)
    for table in actual:
        assert {protocol_of(row.result) for row in table.rows} == {table.protocol}
    assert len(actual) == len({frozenset(names) for names in chosen})


def test_runs_in_detected_boxes_are_ordered_by_average_precision(result: Make, score: Callable[..., Score]):
    protocol = {"boxes": "detected"}
    runs = [
        result(key, protocol=protocol, scores=[score("AP", value), score("AR", 0.9)])
        for key, value in (("a", 0.3), ("b", 0.5))
    ]
    (table,) = tables(runs)
    assert [row.result.key for row in table.rows] == ["b", "a"]
    assert (table.protocol.headline, table.metrics) == ("AP", ())
    assert "Highest AP: b with 0.500 on animals" in summary([table])[1]
    assert table.protocol.title().endswith(", detected boxes")


def test_runs_that_are_told_names_instead_of_shown_supports_have_a_table_that_says_so(result: Make):
    shown = {"part": "test", "shots": "1"}
    first, second = tables([result("a", protocol=shown), result("b", protocol={**shown, **NAMES})])
    assert [[row.result.key for row in table.rows] for table in (first, second)] == [["a"], ["b"]]
    assert second.protocol.title() == f"{first.protocol.title()}, told keypoint names"
    assert (first.protocol.facets()["shots"], second.protocol.facets()["shots"]) == ("1", "0")
    of = headlines_of([], [first, second], {})
    assert [table.title.rpartition(", ")[2] for table in of.tables] == ["1-shot", "0-shot"]


def test_what_a_model_does_itself_parts_no_table(result: Make):
    (table,) = tables([result("a"), result("b", answered={"flip test": "off", "input": "384 x 384"})])
    assert len(table.rows) == 2


def test_two_definitions_of_the_headline_never_share_a_table(result: Make, score: Callable[..., Score]):
    other = result("b", scores=[score("PCK@0.2", 0.7, definition="Something else.")])
    assert len(tables([result("a"), other])) == 2


def test_two_definitions_of_a_metric_never_share_a_column(result: Make, score: Callable[..., Score], tmp_path: Path):
    four = result("a", scores=[score("PCK@0.2", 0.7), score("mPCK", 0.5, definition="Four thresholds.", column=True)])
    five = result("b", scores=[score("PCK@0.2", 0.6), score("mPCK", 0.4, definition="Five thresholds.", column=True)])
    (table,) = tables([four, five])
    assert [row.values(table.metrics) for row in table.rows] == [[0.5, None], [None, 0.4]]
    write_csv_tables([table], tmp_path)
    first, second = csv.DictReader((tmp_path / "leaders.csv").open())
    assert (first["mPCK: Four thresholds."], first["mPCK: Five thresholds."]) == ("0.5", "")
    assert (second["mPCK: Four thresholds."], second["mPCK: Five thresholds."]) == ("", "0.4")


def test_the_best_run_comes_first(result: Make):
    (table,) = tables([result("a", 0.3), result("b", 0.9), result("c", 0.6)])
    assert [row.result.key for row in table.rows] == ["b", "c", "a"]


@pytest.mark.parametrize(("value", "word"), [(0.5, "above"), (0.33, "not separated"), (0.1, "below")])
def test_the_difference_to_the_floor_has_a_word_only_where_intervals_part(result: Make, value: float, word: str):
    (table,) = tables([result("a", value), result("floor", 0.3, model="mean_pose", floor=True)])
    row = next(row for row in table.rows if row.result.key == "a")
    assert row.difference() == pytest.approx(value - 0.3)
    assert row.verdict() == word


def test_the_floor_of_another_protocol_is_no_floor(result: Make):
    actual = tables([result("a"), result("floor", 0.3, model="mean_pose", floor=True, split="other")])
    assert [row.floor for table in actual for row in table.rows] == [None, None]


@pytest.mark.parametrize("best", [0.4, 0.2])
def test_of_two_floors_the_better_one_is_what_runs_must_exceed(result: Make, best: float):
    nearest = result("nearest", best, model="nearest_box", floor=True)
    (table,) = tables([result("a"), result("mean", 0.3, model="mean_pose", floor=True), nearest])
    floors = {row.result.key: row.floor and row.floor.value for row in table.rows}
    higher, lower = sorted(["mean", "nearest"], key={"mean": 0.3, "nearest": best}.__getitem__, reverse=True)
    assert floors == {"a": max(0.3, best), lower: max(0.3, best), higher: None}


def test_the_floor_has_no_floor_below_it(result: Make):
    (table,) = tables([result("floor", 0.3, model="mean_pose", floor=True)])
    assert table.rows[0].difference() is None and table.rows[0].verdict() is None


def test_overlap_over_categories_forbids_a_victory_over_images(score: Callable[..., Score]):
    floor = score("PCK@0.2", 0.5)
    assert signs([score("PCK@0.2", 0.6), floor]).tolist() == [[0, 1], [-1, 0]]
    wide = score("PCK@0.2", 0.6, low_categories=0.45, high_categories=0.7)
    assert not signs([wide, floor]).any()


def test_of_many_runs_a_difference_must_be_larger_to_be_sure(score: Callable[..., Score]):
    two = [score("PCK@0.2", value) for value in (0.5, 0.541)]
    assert signs(two)[1, 0] == 1
    assert signs(two * 20)[1, 0] == 0, "780 pairs"


@given(st.lists(st.floats(0.1, 0.9), min_size=2, max_size=8), st.randoms())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_permuting_scores_permutes_their_signs(score: Callable[..., Score], values: list[float], random: Random):
    order = [*range(len(values))]
    random.shuffle(order)
    found = signs([score("PCK@0.2", value) for value in values])
    assert (found == -found.T).all()
    assert (signs([score("PCK@0.2", values[i]) for i in order]) == found[np.ix_(order, order)]).all()


def test_mirror_partners_stand_in_tables_with_their_pooled_error(result: Make, tmp_path: Path):
    pairs = {
        "cat": {
            "l / r": PairError(spe=0.5, judged=10, too_close=2),
            "a / b": PairError(spe=None, judged=0, too_close=4),
        },
        "dog": {"l / r": PairError(spe=0.0, judged=30, too_close=0)},
    }
    (table,) = tables([result("a", 0.9, by_pair=pairs), result("b")])
    assert by_pair(table) == {"a / b": [None, None], "l / r": [0.125, None]}
    assert pairs_too_close(table.rows[0].result) == (40, 6) and pairs_too_close(table.rows[1].result) == (0, 0)
    write_csv_tables([table], tmp_path)
    lines = [*csv.DictReader((tmp_path / "pairs.csv").open())]
    assert [(line["category"], line["pair"], line["spe"], line["judged"], line["too_close"]) for line in lines] == [
        ("cat", "l / r", "0.5", "10", "2"),
        ("cat", "a / b", "", "0", "4"),
        ("dog", "l / r", "0.0", "30", "0"),
    ]


def test_the_summary_names_every_leader_and_who_is_level_with_it(result: Make):
    actual = tables([result("a", 0.80), result("b", 0.79), result("c", 0.2), result("z", 0.4, data="plants")])
    first, second = summary(actual)
    assert first == "4 runs of 1 model under 2 protocols."
    assert "a with 0.800 on animals, split by-image, category-specific (not separated from b)" in second
    assert "z with 0.400 on plants" in second


def test_without_results_the_summary_says_so():
    assert summary(tables([]))[0] == "No run has a result yet."


def test_a_category_that_one_run_lacks_leaves_a_gap(result: Make):
    other = result("b", 0.5, by_category={"bee": {"PCK@0.2": 0.1}})
    (table,) = tables([result("a"), other])
    assert by_category(table, "PCK@0.2") == {"bee": [0.5, 0.1], "tiger": [0.7, None]}


def test_categories_with_the_same_keypoints_are_averaged_keypoint_by_keypoint(result: Make):
    values = {
        "cat": {"nose": 0.2, "paw": 0.4, "tail": 0.1},
        "cow": {"paw": 0.8, "tail": 0.5},
        "worm": {"tail": 0.3},
        "fish": {"fin": 0.9},
    }
    (table,) = tables([result("a", by_keypoint=values)])
    actual = {group.categories: group.keypoints for group in by_keypoint(table)}
    assert actual == {
        ("cat", "cow"): {"nose": [0.2], "paw": [pytest.approx(0.6)], "tail": [pytest.approx(0.3)]},
        ("fish",): {"fin": [0.9]},
        ("worm",): {"tail": [0.3]},
    }


def test_csv_tables_hold_unrounded_numbers_and_name_their_protocol(result: Make, tmp_path: Path):
    write_csv_tables(tables([result("a", 1 / 3), result("floor", 0.1, model="mean_pose", floor=True)]), tmp_path)
    line, floor = csv.DictReader((tmp_path / "leaders.csv").open())
    assert float(line["PCK@0.2"]) == 1 / 3
    assert (line["data"], line["protocol"]) == ("animals", "boxes: ground truth; part: test")
    assert (line["floor_verdict"], floor["floor_verdict"]) == ("above", "")
    assert len(list(csv.DictReader((tmp_path / "keypoints.csv").open()))) == 2 * 3
    assert len(list(csv.DictReader((tmp_path / "categories.csv").open()))) == 2 * 2
