"""On files that are written here: no export with pictures was at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from label_files import write_picture
from posebed.formats import label_studio
from posebed.formats.to_dataset import to_dataset

SIZE = {"original_width": 200, "original_height": 100}


def point(name: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": 0.5, "keypointlabels": [name]}
    return {"id": f"p-{name}-{x}", "type": "keypointlabels", "value": value, **SIZE, **more}


def rectangle(identity: str, name: str = "mouse") -> dict[str, Any]:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": [name]}
    return {"id": identity, "type": "rectanglelabels", "value": value, **SIZE}


def export(folder: Path, *results: list[dict[str, Any]], address: str = "/data/upload/1/0a1b2c3d-a.png") -> Path:
    """An export of one task, with as many annotations as there are lists of results."""
    annotations = [{"id": i, "result": result} for i, result in enumerate(results)]
    tasks = [{"id": 5, "data": {"image": address}, "annotations": annotations, "predictions": []}]
    (folder / "export.json").write_text(json.dumps(tasks))
    write_picture(folder / "images/a.png", (200, 100))
    return folder


def test_percent_become_pixels(tmp_path: Path):
    labels = label_studio.read(export(tmp_path, [point("nose", 50, 25), point("tail", 0, 100)]))
    assert labels.categories[0].keypoints == ("nose", "tail")
    np.testing.assert_allclose(next(labels.animals()).points, [[100, 25, 2], [0, 100, 2]])
    dataset = to_dataset(labels, "export.json")
    assert len(dataset.records) == 1 and not dataset.problems


def test_half_a_pixel_on_demand(tmp_path: Path):
    labels = label_studio.read(export(tmp_path, [point("nose", 50, 25)]), half_pixel=True)
    np.testing.assert_allclose(next(labels.animals()).points, [[99.5, 24.5, 2]])


def test_points_are_tied_to_their_rectangle_by_parent_or_relation(tmp_path: Path):
    far = point("nose", 60, 60)
    result = [
        rectangle("one"),
        rectangle("two", "rat"),
        point("nose", 50, 25, parentID="one"),
        far,
        {"type": "relation", "from_id": far["id"], "to_id": "two"},
    ]
    labels = label_studio.read(export(tmp_path, result))
    assert [(a.category, a.box) for a in labels.animals()] == [("mouse", (20, 20, 60, 40)), ("rat", (20, 20, 60, 40))]
    assert [a.points[0].tolist() for a in labels.animals()] == [[100, 25, 2], [120, 60, 2]]


def test_annotations_of_further_people_are_no_animals(tmp_path: Path):
    labels = label_studio.read(export(tmp_path, [point("nose", 50, 25)], [point("nose", 51, 25)]))
    assert len(list(labels.animals())) == 1
    assert any("further people, left out: 1" in note for note in labels.notes)


def test_a_cancelled_annotation_does_not_count(tmp_path: Path):
    export(tmp_path, [point("nose", 50, 25)], [point("nose", 60, 25)])
    tasks = json.loads((tmp_path / "export.json").read_text())
    tasks[0]["annotations"][0]["was_cancelled"] = True
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    assert next(label_studio.read(tmp_path).animals()).points[0, 0] == 120


@pytest.mark.parametrize(
    "address",
    ["/data/local-files/?d=mice%2Fa.png", "s3://bucket/mice/a.png", "a.png", "C:\\mice\\a.png", "../../a.png"],
)
def test_pictures_are_found_by_name(tmp_path: Path, address: str):
    labels = label_studio.read(export(tmp_path, [point("nose", 50, 25)], address=address))
    assert labels.frames[0].picture == "images/a.png"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"original_width": None}, "original_width"),
        ({"original_width": 0}, "original_width"),
        ({"value": {"x": "1", "y": 2, "keypointlabels": ["nose"]}}, "as numbers"),
        ({"value": None}, "as numbers"),
    ],
)
def test_regions_that_lie(tmp_path: Path, change: dict[str, Any], what: str):
    with pytest.raises(ValueError, match=what):
        label_studio.read(export(tmp_path, [{**point("nose", 50, 25), **change}]))


def test_two_animals_without_rectangles_cannot_be_told_apart(tmp_path: Path):
    with pytest.raises(ValueError, match="tie the keypoints of an animal to its rectangle"):
        label_studio.read(export(tmp_path, [point("nose", 50, 25), point("nose", 60, 25)]))


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "[1]",
        '[{"annotations": []}]',
        '[{"annotations": 7, "data": {"image": "a.png"}}]',
        '[{"annotations": 1, "data": 2}]',
    ],
)
def test_what_is_no_export(tmp_path: Path, content: str):
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(ValueError, match="must"):
        label_studio.read(tmp_path)


def test_an_export_without_keypoints(tmp_path: Path):
    with pytest.raises(ValueError, match="regions of the type keypointlabels"):
        label_studio.read(export(tmp_path, [rectangle("one")]))
