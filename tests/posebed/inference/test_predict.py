"""Predictions for scoring: in annotated boxes, and in those of a detector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import experiment_of
from posebed.catalog import installed
from posebed.data.crop import clip_box
from posebed.data.pack import Pack
from posebed.data.queries import queries_of
from posebed.data.splits import read_split
from posebed.params import read_params
from posebed.places import PARAMS, member_folder, pack_folder, prepared_folder, split_folder
from posebed.predictions import PREDICTIONS, Predictions, read_predictions
from posebed.provenance import origin
from posebed.records import Record, read_records, write_records
from posebed.training.process_group import join_process_group
from posebed.training.training_stream import training_stream
from posestages import pack, split
from posestages.score import score
from posestages.tasks import predict_member
from posestages.train_without_ray import train_without_ray
from redescribed import redescribe

CATALOG = installed()


def predictions_of(key: str) -> Predictions:
    predict_member(key, 0, CATALOG)
    return read_predictions(member_folder(key, 0) / PREDICTIONS)


def detected(record: Record) -> Record:
    """What a detector makes of an annotated animal: its box, a little off."""
    x, y, width, height = record.box
    keypoints = np.zeros_like(record.keypoints)
    box = (x + 1, y, width, height)
    return replace(record, record=f"found/{record.record}", box=box, keypoints=keypoints, detection=0.5)


@pytest.fixture
def with_detections(project: Path) -> Path:
    """The project with a detector's boxes beside its records, and a run that is asked for poses in them."""
    text = (project / "params.yaml").read_text()
    run = "  found: {model: mean_pose, split: quads, pack: small, boxes: detected}\n"
    (project / "params.yaml").write_text(text.replace("  baseline: {model", f"{run}  baseline: {{model"))
    table = prepared_folder("quads") / "records.parquet"
    records = read_records(table)
    write_records([*records, *map(detected, records)], table)
    redescribe(table.parent, kept=2 * len(records))
    params = read_params(project / "params.yaml")
    split.split(params, "quads", prepared_folder("quads"), split_folder("quads"))
    pack.pack(params, "small", prepared_folder("quads"), pack_folder("small"))
    return project


def test_annotated_boxes_are_predicted_once_and_each_has_its_truth(project: Path):
    train_without_ray("floor")
    table = predictions_of("floor")
    test = read_split(split_folder("quads")).records("test")
    assert sorted(table.record) == sorted(test)
    assert table.predicted.all() and table.annotated.all() and table.paired
    assert table.size == (64, 64)
    box = np.array([clip_box(b, w, h) for b, w, h in zip(table.box, table.width, table.height, strict=True)])
    side = 1.25 * box[:, 2:].max(1)
    expected = np.hstack([box[:, :2] + box[:, 2:] / 2 - side[:, None] / 2, side[:, None], side[:, None]])
    np.testing.assert_allclose(table.crop, expected, atol=1e-6)


def test_detected_boxes_are_predicted_and_matched_with_every_truth_of_the_part(with_detections: Path):
    train_without_ray("found")
    table = predictions_of("found")
    test = read_split(split_folder("quads")).records("test")
    assert sorted(table.record) == sorted(test)
    assert (table.predicted == np.char.startswith(table.record, "found/")).all()
    assert (table.annotated == ~table.predicted).all()
    result = score("found", read_params(PARAMS), CATALOG, origin(prepared_folder("quads")))
    assert result.protocol["boxes"] == "detected"
    measured = {s.metric for s in result.scores}
    assert {"AP", "AR"} <= measured
    assert "PCK@0.2" not in measured
    assert (result.queries, result.instances) == (len(test) // 2, len(test) // 2)


def test_training_and_validation_never_see_a_detectors_box(with_detections: Path):
    experiment = experiment_of("found")
    crops, parts = Pack.open(experiment.pack_folder), read_split(experiment.split_folder)
    rows = {
        int(row) for batch in training_stream(experiment, crops, parts, join_process_group(), 1) for row in batch.row
    }
    rows |= {query.row for query in queries_of(experiment.task, crops, parts, "val")}
    records = crops.records()
    assert rows
    assert all(records[row].detection is None for row in rows)


def test_a_run_in_detected_boxes_is_refused_where_the_data_has_none(with_detections: Path):
    records = read_records(prepared_folder("quads") / "records.parquet")
    annotated = [r for r in records if r.detection is None]
    write_records(annotated, prepared_folder("quads") / "records.parquet")
    redescribe(prepared_folder("quads"), kept=len(annotated))
    params = read_params(with_detections / "params.yaml")
    split.split(params, "quads", prepared_folder("quads"), split_folder("quads"))
    with pytest.raises(ValueError, match="'test' must hold at least one box that is detected, but holds none"):
        experiment_of("found")


def test_a_result_says_how_it_was_measured_and_how_the_model_predicted(project: Path):
    train_without_ray("baseline")
    predict_member("baseline", 0, CATALOG)
    result = score("baseline", read_params(PARAMS), CATALOG, origin(prepared_folder("quads")))
    assert result.protocol == {
        "part": "test",
        "boxes": "annotated",
        "padding": "1.25",
        "OKS sigmas": "the dataset's own",
        "OKS-NMS": "0.9",
    }
    assert result.answered == {
        "input": "64 x 64",
        "crop": "plain",
        "backbone": "test_resnet",
        "weights": "none",
        "target": "msra",
        "flip test": "off",
    }
