from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from posebed.predictions import Predictions, read_predictions, write_predictions
from posebed.records import Category, Record

Drawn = Callable[..., Predictions]


def record(name: str, visibility: list[int]) -> Record:
    points = np.array([[10, 20, v] for v in visibility], np.float32)
    return Record(name, f"{name}.png", 100, 80, "cat", (5.0, 5.0, 40.0, 30.0), 1200.0, points)


CAT = Category("cat", "Cat", ("nose", "tail", "paw"))


def assert_same(one: Predictions, other: Predictions) -> None:
    for field in fields(Predictions):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        else:
            assert a == b, field.name


@pytest.mark.parametrize("episodes", [False, True])
def test_a_written_table_is_read_back_unchanged(drawn: Drawn, tmp_path: Path, episodes: bool) -> None:
    predictions = drawn(0, queries=9, categories=3, episodes=episodes)
    write_predictions(predictions, tmp_path / "predictions.parquet")
    assert_same(predictions, read_predictions(tmp_path / "predictions.parquet"))


def test_rows_on_disk_hold_no_padding(drawn: Drawn, tmp_path: Path) -> None:
    write_predictions(drawn(0, queries=4, categories=2), tmp_path / "predictions.parquet")
    rows = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert [len(row["xy"]) for row in rows] == [8, 10, 8, 10]
    assert [len(row["counts"]) for row in rows] == [4, 5, 4, 5]


def test_a_keypoint_counts_only_where_query_and_every_support_are_labelled() -> None:
    query = record("query", [2, 1, 2])
    shots = [record("a", [1, 0, 2]), record("b", [2, 2, 1])]
    zero = np.zeros((1, 3, 2))
    alone = Predictions.from_records([CAT], [query], zero, zero[..., 0])
    shown = Predictions.from_records([CAT], [query], zero, zero[..., 0], [7], [shots])
    assert alone.counts.tolist() == [[True, True, True]]
    assert shown.counts.tolist() == [[True, False, True]]
    assert shown.labelled.tolist() == [[True, True, True]]
    assert shown.supports == (("a", "b"),)
    assert shown.episode.tolist() == [7]
    assert alone.episode.tolist() == [-1]


@pytest.mark.parametrize(
    ("confidence", "score"), [([0.4, 0.6, 0.1], 0.5), ([0.1, 0.2, 0.0], 0.1), ([0.9, 0.9, 0.9], 0.9)]
)
def test_the_score_is_the_mean_confidence_above_a_fifth_or_else_of_all(confidence: list[float], score: float) -> None:
    padded = np.array([[*confidence, 0.9]])
    predictions = Predictions.from_records([CAT], [record("a", [2, 2, 2])], np.zeros((1, 4, 2)), padded)
    assert predictions.score[0] == pytest.approx(score)


def test_a_detected_box_has_no_truth_and_its_score_is_that_of_box_times_pose() -> None:
    detected = replace(record("found", [0, 0, 0]), detection=0.5)
    truth = record("truth", [2, 1, 0])
    confidence = np.array([[0.4, 0.6, 0.1]])
    table = Predictions.from_records([CAT], [detected], np.ones((1, 3, 2)), confidence, unmatched_truths=[truth])
    assert table.record.tolist() == ["found", "truth"]
    assert table.predicted.tolist() == [True, False]
    assert table.annotated.tolist() == [False, True]
    assert table.counts.tolist() == [[False] * 3, [True, True, False]]
    assert table.score.tolist() == pytest.approx([0.25, 0])
    assert not table.paired
    assert not table.xy[1].any()


def test_a_truth_that_nobody_asked_for_leaves_the_others_paired() -> None:
    queried, crowd = record("a", [2, 2, 2]), record("crowd", [0, 0, 0])
    assert Predictions.from_records(
        [CAT], [queried], np.zeros((1, 3, 2)), np.ones((1, 3)), unmatched_truths=[crowd]
    ).paired


def test_a_record_that_is_predicted_twice_in_one_episode_is_refused(drawn: Drawn) -> None:
    predictions = drawn(0, queries=3)
    with pytest.raises(ValueError, match="'record0001' is there 2 times in episode -1"):
        predictions.take(np.array([0, 1, 1]))


def test_a_prediction_that_is_no_number_is_refused_by_name(drawn: Drawn) -> None:
    predictions = drawn(0, queries=3)
    xy = predictions.xy.copy()
    xy[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="xy must be finite, but is not for record 'record0002'"):
        replace(predictions, xy=xy)


def test_an_unknown_category_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="one of dog, but predictions have cat"):
        Predictions.from_records(
            [replace(CAT, key="dog")], [record("a", [2, 2, 2])], np.zeros((1, 3, 2)), np.zeros((1, 3))
        )


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        Predictions.from_records([CAT], [], np.zeros((0, 3, 2)), np.zeros((0, 3)))


def test_another_table_is_no_table_of_predictions(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match=r"with record, image, .* but has other columns or other types: a; remove"):
        read_predictions(tmp_path / "other.parquet")


def test_rows_that_do_not_fit_their_category_are_refused(drawn: Drawn, tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(drawn(0, queries=2, categories=1), path)
    table = pq.read_table(path)
    lists = pa.array([[1.0, 2.0]] * 2, pa.list_(pa.float32()))
    pq.write_table(table.set_column(table.schema.get_field_index("xy"), "xy", lists), path)
    with pytest.raises(ValueError, match="xy must hold 2 x keypoints"):
        read_predictions(path)


def test_half_a_table_is_refused_by_its_rows_and_another_one_by_its_hash(drawn: Drawn, tmp_path: Path) -> None:
    path = tmp_path / "predicted/predictions.parquet"
    write_predictions(drawn(0, queries=8, categories=2), path)
    whole = pq.read_table(path)
    pq.write_table(whole.slice(0, 4), path)
    with pytest.raises(ValueError, match=r"predictions\.parquet must have 8 rows, but has 4; remove its folder"):
        read_predictions(path)
    pq.write_table(whole.take(pa.array([1, 0, *range(2, 8)])), path)
    with pytest.raises(ValueError, match=r"predictions\.parquet must be as it was written, but its content has"):
        read_predictions(path)
    (tmp_path / "predicted/about.json").unlink()  # as former versions left it
    assert len(read_predictions(path)) == 8


def test_a_table_without_its_categories_is_refused(drawn: Drawn, tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(drawn(0, queries=2, categories=1), path)
    table = pq.read_table(path)
    for metadata in (None, {**table.schema.metadata, b"categories": b"["}, {**table.schema.metadata, b"size": b"[1]"}):
        pq.write_table(table.replace_schema_metadata(metadata), path)
        with pytest.raises(ValueError, match=r"predictions\.parquet must be a table of predictions"):
            read_predictions(path)
