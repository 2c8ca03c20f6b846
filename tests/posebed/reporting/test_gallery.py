from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from posebed.predictions import Predictions, write_predictions
from posebed.records import Category, Record
from posebed.reporting.gallery import GAP, TILE, chosen, gallery_of

CAT = Category("cat", "house cat", ("left_eye", "right_eye", "tail"), limbs=((0, 2), (1, 2)))
PICTURE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


def record(number: int, labelled: int = 3) -> Record:
    keypoints = np.array([[30, 30, 2], [30, 60, 2], [80, 45, 1]], np.float32)
    keypoints[labelled:] = 0
    return Record(f"r{number}", "a.png", 120, 90, "cat", (20.0, 20.0, 70.0, 50.0), 3500.0, keypoints)


def predictions(path: Path, errors: list[float], shots: int = 0, labelled: int = 3) -> dict[str, Record]:
    queries = [record(i, labelled) for i in range(len(errors))]
    xy = np.stack([r.keypoints[:, :2] + [e, 0] for r, e in zip(queries, errors, strict=True)])
    episodes = {"episode": range(len(errors)), "supports": [queries[:shots]] * len(errors)} if shots else {}
    table = Predictions.from_records([CAT], queries, xy, np.ones(xy.shape[:2]), **episodes)
    write_predictions(table, path)
    return {r.record: r for r in queries}


def decoded(image: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def test_worst_median_and_best_are_shown_with_what_went_wrong(tmp_path: Path):
    records = predictions(tmp_path / "p.parquet", [1, 40, 2, 3, 4, 7, 0])
    shown = gallery_of("run", tmp_path / "p.parquet", lambda path: PICTURE, records, each=1)
    assert [p.title for p in shown] == ["Worst: house cat", "Median: house cat", "Best: house cat"]
    assert [p.note.partition(",")[0] for p in shown] == [f"{n} of 3 keypoints found" for n in (0, 3, 3)]
    assert [p.note.rpartition(" of ")[0].rpartition(" ")[2] for p in shown] == ["58.0%", "4.3%", "0.0%"]


def test_pictures_of_category_specific_runs_are_squares(tmp_path: Path):
    records = predictions(tmp_path / "p.parquet", [1.0])
    (picture,) = gallery_of("run", tmp_path / "p.parquet", lambda path: PICTURE, records)
    assert decoded(picture.image_bytes).shape[:2] == (TILE, TILE)


def test_supports_stand_at_the_left_of_their_query(tmp_path: Path):
    for shots, columns in ((1, 1), (2, 1), (3, 2), (5, 2)):
        records = predictions(tmp_path / "p.parquet", [1.0] * 5, shots)
        picture = gallery_of("run", tmp_path / "p.parquet", lambda path: PICTURE, records)[0]
        assert decoded(picture.image_bytes).shape[:2] == (TILE, columns * TILE // 2 + GAP + TILE)


def test_queries_without_a_keypoint_that_counts_are_left_out(tmp_path: Path):
    records = predictions(tmp_path / "p.parquet", [1.0, 2.0], labelled=0)
    assert gallery_of("run", tmp_path / "p.parquet", lambda path: PICTURE, records) == []


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=30), st.integers(1, 4))
def test_no_query_is_chosen_twice_and_the_worst_are_the_worst(errors: list[float], each: int):
    actual = chosen(np.array(errors), each)
    rows = [row for _, row in actual]
    known = sorted((e for e in errors if e == e), reverse=True)
    assert len(rows) == len(set(rows)) == min(len(known), len(rows))
    assert [errors[row] for kind, row in actual if kind == "Worst"] == known[:each]
    assert len(known) < 3 * each or len(rows) == 3 * each
