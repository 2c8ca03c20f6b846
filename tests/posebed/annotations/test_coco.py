"""COCO files: every kind of bad input is found, all in one pass, and what is kept has no fault."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.annotations import checks, coco_file
from posebed.annotations.checks import summary
from posebed.annotations.coco import read_coco
from posebed.annotations.coco_file import CocoFile
from posebed.limits import LONGEST_NAME, MOST_CATEGORIES, MOST_ON_PICTURE
from posebed.listing import cell
from posebed.records import Dataset, Problem, read_problems, read_records, write_problems, write_records

RECORDS = 6
PICTURE = cv2.imencode(".jpg", np.full((30, 40, 3), 128, np.uint8))[1].tobytes()


def sound() -> dict[str, Any]:
    """One annotation on each of six images."""
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 40, "height": 30} for i in range(RECORDS)],
        "annotations": [
            {
                "id": 100 + i,
                "image_id": i,
                "category_id": 1,
                "keypoints": [1, 2, 2, 30, 20, 1.0, -1, -1, 0],
                "bbox": [0, 0, 35, 25],
                "area": 500,
            }
            for i in range(RECORDS)
        ],
        "categories": [
            {"id": 1, "name": "cat", "keypoints": ["nose", "left_ear", "right_ear"], "skeleton": [[1, 2], [1, 3]]}
        ],
    }


def read(content: Any, folder: Path, **options: Any) -> Dataset:
    (folder / "images").mkdir(exist_ok=True)
    for i in range(RECORDS):
        if not (folder / "images" / f"{i}.jpg").exists():
            (folder / "images" / f"{i}.jpg").write_bytes(PICTURE)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "set.json").write_text(text, encoding="utf-8")
    return read_coco(folder, [CocoFile("set.json", "images", **options)])


def annotation(**changes: Any) -> Callable[[dict[str, Any], int], None]:
    return lambda content, i: content["annotations"][i].update(changes)


def image(**changes: Any) -> Callable[[dict[str, Any], int], None]:
    return lambda content, i: content["images"][i].update(changes)


def without(entries: str, name: str) -> Callable[[dict[str, Any], int], None]:
    return lambda content, i: content[entries][i].pop(name)


FAULTS: dict[str, tuple[Callable[[dict[str, Any], int], Any], str, str, str]] = {
    "missing": (image(file_name="none.jpg"), "file_name", "missing image", "'images/none.jpg'"),
    "unreadable": (image(file_name="text.jpg"), "file_name", "unreadable image", "'images/text.jpg'"),
    "truncated": (image(file_name="short.jpg"), "file_name", "truncated image", "'images/short.jpg'"),
    "size": (image(width=41), "width", "image size differs", "41 x 30"),
    "leaves": (image(file_name="../../x.jpg"), "file_name", "image path leaves its folder", "'images/../../x.jpg'"),
    "no file name": (without("images", "file_name"), "file_name", "missing field", "nothing"),
    "no width": (without("images", "width"), "width", "missing field", "nothing"),
    "zero height": (image(height=0), "height", "wrong type", "0"),
    "no keypoints": (without("annotations", "keypoints"), "keypoints", "missing field", "nothing"),
    "no image id": (without("annotations", "image_id"), "image_id", "missing field", "nothing"),
    "odd image id": (annotation(image_id=[1]), "image_id", "wrong type", "[1]"),
    "unknown image": (annotation(image_id=77), "image_id", "unknown image", "77"),
    "unknown category": (annotation(category_id=77), "category_id", "unknown category", "77"),
    "length": (annotation(keypoints=[1, 2, 2]), "keypoints", "wrong number of keypoint values", "3 values"),
    "nan": (
        annotation(keypoints=[1, 2, 2, float("nan"), 3, 2, 0, 0, 0]),
        "keypoints",
        "not finite",
        "x of left_ear is nan",
    ),
    "infinite": (
        annotation(keypoints=[1, 2, 2, 3, float("-inf"), 2, 0, 0, 0]),
        "keypoints",
        "not finite",
        "y of left_ear is -inf",
    ),
    "no number": (
        annotation(keypoints=[1, 2, 2, 3, "4", 2, 0, 0, 0]),
        "keypoints",
        "not a number",
        "y of left_ear is '4'",
    ),
    "visibility": (
        annotation(keypoints=[1, 2, 3, 3, 4, 2, 0, 0, 0]),
        "keypoints",
        "visibility not 0, 1 or 2",
        "v of nose is 3",
    ),
    "part of a flag": (
        annotation(keypoints=[1, 2, 1.5, 3, 4, 2, 0, 0, 0]),
        "keypoints",
        "visibility not 0, 1 or 2",
        "v of nose is 1.5",
    ),
    "unlabelled": (annotation(keypoints=[0] * 9), "keypoints", "no labelled keypoint", "v > 0 nowhere"),
    "zero box": (annotation(bbox=[1, 2, 0, 3]), "bbox", "box without extent", "[1, 2, 0, 3]"),
    "negative box": (annotation(bbox=[30, 20, -9, -9]), "bbox", "box without extent", "[30, 20, -9, -9]"),
    "outside box": (annotation(bbox=[40, 2, 9, 9]), "bbox", "box outside the image", "[40, 2, 9, 9]"),
    "no box": (without("annotations", "bbox"), "bbox", "missing field", "nothing"),
    "area": (annotation(area=-1), "area", "area not positive", "-1"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    (folder / "images").mkdir()
    (folder / "images" / "text.jpg").write_text("no picture")
    (folder / "images" / "short.jpg").write_bytes(PICTURE[:-30])
    return folder


def test_a_sound_file_has_no_problem(folder: Path) -> None:
    dataset = read(sound(), folder)
    assert dataset.problems == ()
    assert dataset.checked == len(dataset.records) == RECORDS
    assert [c.key for c in dataset.categories] == ["cat"]
    record = dataset.records[0]
    assert (record.record, record.image, record.box, record.area) == ("100", "images/0.jpg", (0, 0, 35, 25), 500)
    assert record.keypoints.tolist() == [[1, 2, 2], [30, 20, 1], [0, 0, 0]]


@pytest.mark.parametrize("kind", FAULTS)
def test_every_kind_of_bad_record_is_found_with_its_place(folder: Path, kind: str) -> None:
    spoil, field, reason, actual = FAULTS[kind]
    content = sound()
    spoil(content, 2)
    dataset = read(content, folder)
    (problem,) = dataset.problems
    assert (problem.file, problem.record, problem.field) == ("set.json", "102", field)
    assert (problem.reason, problem.found) == (reason, actual)
    assert problem.category == ("77" if kind == "unknown category" else "cat")
    assert problem.must
    assert [r.record for r in dataset.records] == ["100", "101", "103", "104", "105"]


@settings(deadline=None)
@given(kinds=st.lists(st.none() | st.sampled_from(sorted(FAULTS)), min_size=RECORDS, max_size=RECORDS))
def test_all_problems_are_found_in_one_pass(folder: Path, kinds: list[str | None]) -> None:
    content = sound()
    expected = {}
    for i, kind in enumerate(kinds):
        if kind is not None:
            FAULTS[kind][0](content, i)
            expected[str(100 + i)] = FAULTS[kind][1:3]
    dataset = read(content, folder)
    assert {p.record: (p.field, p.reason) for p in dataset.problems} == expected
    assert {r.record for r in dataset.records} == {str(100 + i) for i in range(RECORDS)} - set(expected)


def test_a_record_with_several_faults_has_several_problems(folder: Path) -> None:
    content = sound()
    for kind in ("truncated", "nan", "negative box", "area"):
        FAULTS[kind][0](content, 0)
    assert [str(p.reason) for p in read(content, folder).problems] == [
        "truncated image",
        "not finite",
        "box without extent",
        "area not positive",
    ]


def test_records_with_one_id_are_all_refused(folder: Path) -> None:
    content = sound()
    content["annotations"][1]["id"] = 100
    dataset = read(content, folder)
    assert [(p.record, str(p.reason)) for p in dataset.problems] == [("100", "duplicate annotation id")] * 2
    assert len(dataset.records) == RECORDS - 2


def test_what_lies_on_images_with_one_id_is_refused(folder: Path) -> None:
    content = sound()
    content["images"][1]["id"] = 0
    actual = [(p.record, str(p.reason)) for p in read(content, folder).problems]
    assert actual == [("100", "duplicate image id"), ("101", "unknown image")]


def test_faults_of_an_image_without_annotations_are_reported(folder: Path) -> None:
    content = sound()
    content["images"].append({"id": 50, "file_name": 7, "width": 40, "height": 30})
    content["images"].append("an image")
    dataset = read(content, folder)
    assert [(p.record, p.field, p.category) for p in dataset.problems] == [
        ("images[7]", "images", ""),
        ("image 50", "file_name", ""),
    ]
    assert dataset.notes == ("Images without annotation: 1.",)


@pytest.mark.parametrize(
    ("content", "field", "reason"),
    [
        ('{"images": [', "", "not JSON"),
        ("[]" * 50_000, "", "not JSON"),
        ("[" * 100_000, "", "not JSON"),
        ([1], "", "wrong type"),
        ({**sound(), "images": []}, "images", "no images"),
        ({**sound(), "categories": None}, "categories", "no categories"),
        ({**sound(), "annotations": []}, "annotations", "no annotations"),
        ({**sound(), "annotations": {"1": {}}}, "annotations", "wrong type"),
    ],
    ids=["cut", "twice", "deep", "list", "images", "categories", "annotations", "object"],
)
def test_a_fault_of_the_whole_file_names_no_record(folder: Path, content: Any, field: str, reason: str) -> None:
    problem = read(content, folder).problems[0]
    assert (problem.file, problem.record, problem.category) == ("set.json", "", "")
    assert (problem.field, problem.reason) == (field, reason)


def test_a_missing_annotation_file_is_a_problem(tmp_path: Path) -> None:
    (problem,) = read_coco(tmp_path, [CocoFile("none.json")]).problems
    assert (problem.file, problem.reason) == ("none.json", "missing annotation file")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": 5}, "name"),
        ({"keypoints": ["nose", "nose", "tail"]}, "keypoints"),
        ({"keypoints": "nose"}, "keypoints"),
        ({"skeleton": [[1, 9]]}, "skeleton"),
        ({"sigmas": [1]}, "sigmas"),
    ],
)
def test_a_fault_of_a_category_is_reported_once(folder: Path, changes: dict[str, Any], field: str) -> None:
    content = sound()
    content["categories"][0].update(changes)
    problems = [p for p in read(content, folder).problems if p.reason != "faulty category"]
    assert [(p.record, p.field) for p in problems] == [("", field)]
    assert problems[0].category


def test_crowd_regions_are_skipped_and_noted(folder: Path) -> None:
    content = sound()
    content["annotations"][0].update(iscrowd=1, keypoints=None)
    dataset = read(content, folder)
    assert (len(dataset.records), dataset.checked, dataset.problems) == (RECORDS - 1, RECORDS - 1, ())
    assert dataset.notes == ("Skipped crowd regions: 1.",)


def test_annotations_without_keypoints_can_be_skipped_as_coco_means_them(folder: Path) -> None:
    content = sound()
    content["annotations"][0].update(num_keypoints=0, keypoints=[0] * 9)
    assert [str(p.reason) for p in read(content, folder).problems] == ["no labelled keypoint"]
    dataset = read(content, folder, unlabelled="skip")
    assert (len(dataset.records), dataset.problems) == (RECORDS - 1, ())
    assert dataset.notes == ("Skipped annotations with num_keypoints 0: 1.",)


def test_ids_beyond_32_bits_and_text_ids_stay_themselves(folder: Path) -> None:
    content = sound()
    content["annotations"][0].update(id=1800000000001530, image_id="a")
    content["images"][0]["id"] = "a"
    assert read(content, folder).records[0].record == "1800000000001530"


def test_keypoints_without_names_are_numbered(folder: Path) -> None:
    content = sound()
    content["categories"][0].update(keypoints=[], skeleton=[[0, 1]])
    dataset = read(content, folder)
    assert dataset.categories[0].keypoints == ("0", "1", "2")
    assert dataset.categories[0].limbs == ((0, 1),)


def test_links_of_a_file_are_counted_alike(folder: Path) -> None:
    content = sound()
    content["categories"][0]["skeleton"] = [[0, 1]]
    content["categories"].append({"id": 2, "name": "dog", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2]]})
    assert read(content, folder).categories[1].limbs == ((1, 2),)
    assert read(content, folder, skeleton_base=1).categories[1].limbs == ((0, 1),)


def test_labelled_keypoints_outside_their_image_are_sound_but_noted(folder: Path) -> None:
    content = sound()
    content["annotations"][0]["keypoints"] = [41, 2, 2, 3, 4, 2, 99, 99, 0]
    dataset = read(content, folder)
    assert dataset.problems == ()
    assert dataset.notes == ("Labelled keypoints outside their image: 1.",)


def test_a_group_that_cannot_be_found_is_a_problem(folder: Path) -> None:
    dataset = read(sound(), folder, group=lambda a, _: "clip" if a["id"] > 100 else "")
    assert [(p.record, str(p.reason)) for p in dataset.problems] == [("100", "no group")]
    assert {r.group for r in dataset.records} == {"clip"}


def test_several_files_become_one_dataset(folder: Path) -> None:
    read(sound(), folder)
    files = [CocoFile("set.json", "images", label=label, part=label) for label in ("train", "test")]
    dataset = read_coco(folder, files)
    assert len({r.record for r in dataset.records}) == 2 * RECORDS
    assert {(r.part, r.record.split("/")[0]) for r in dataset.records} == {("train", "train"), ("test", "test")}
    assert [c.key for c in dataset.categories] == ["cat"]


def test_one_id_in_two_files_without_labels_is_a_duplicate(folder: Path) -> None:
    read(sound(), folder)
    dataset = read_coco(folder, [CocoFile("set.json", "images"), CocoFile("set.json", "images")])
    assert dataset.records == ()
    assert {str(p.reason) for p in dataset.problems} == {"duplicate annotation id"}


def places(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [here, *(place for key, child in children for place in places(child, (*here, key)))]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_no_content_raises_and_no_kept_record_has_a_problem(folder: Path, data: st.DataObject) -> None:
    content = {"all": sound()}
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(places(content)[1:]))
        node: Any = content
        for key in path:
            node = node[key]
        node[last] = copy.deepcopy(data.draw(anything))
    dataset = read(content["all"], folder)
    assert not {r.record for r in dataset.records} & {p.record for p in dataset.problems}
    assert len({r.record for r in dataset.records}) == len(dataset.records) <= dataset.checked
    assert {r.category for r in dataset.records} <= {c.key for c in dataset.categories}
    for record in dataset.records:
        assert np.isfinite(record.keypoints).all() and record.keypoints[:, 2].any()
        assert np.isfinite(record.area) and min(record.box[2:]) > 0
    with tempfile.TemporaryDirectory() as out:
        write_records(dataset.records, Path(out) / "records.parquet")
        write_problems(dataset.problems, Path(out) / "problems.csv")
        assert [r.record for r in read_records(Path(out) / "records.parquet")] == [r.record for r in dataset.records]
        shown = [Problem(*(str(cell(value)) for value in astuple(problem))) for problem in dataset.problems]
        assert read_problems(Path(out) / "problems.csv") == shown


@settings(deadline=None)
@given(data=st.data())
def test_ids_written_as_whole_floats_or_texts_are_the_same_ids(folder: Path, data: st.DataObject) -> None:
    content, forms = sound(), st.sampled_from([int, float, str])
    for entry in (*content["images"], *content["annotations"], *content["categories"]):
        for field in {"id", "image_id", "category_id"} & entry.keys():
            entry[field] = data.draw(forms)(entry[field])
    content["categories"][0]["skeleton"] = [[float(a), b] for a, b in content["categories"][0]["skeleton"]]
    dataset, plain = read(content, folder), read(sound(), folder)
    assert (dataset.problems, dataset.categories) == ((), plain.categories)
    assert [(r.record, r.image) for r in dataset.records] == [(r.record, r.image) for r in plain.records]


@pytest.mark.parametrize("value", [1.5, float("inf"), float("nan"), 2.0**60, True, None, [1]])
def test_what_is_no_id_is_refused(folder: Path, value: Any) -> None:
    content = sound()
    content["annotations"][0]["image_id"] = value
    assert [(p.record, p.field) for p in read(content, folder).problems] == [("100", "image_id")]


hidden = st.none() | st.floats() | st.integers() | st.just(10**400)


@settings(deadline=None)
@given(x=hidden, y=hidden, flag=st.sampled_from([0, 0.0]))
def test_coordinates_of_unlabelled_keypoints_are_zero_whatever_they_were(
    folder: Path, x: Any, y: Any, flag: float
) -> None:
    content = sound()
    content["annotations"][0]["keypoints"] = [x, y, flag, 5, 6, 2, 7, 8, 1]
    dataset = read(content, folder)
    assert (len(dataset.records), dataset.problems) == (RECORDS, ())
    assert dataset.records[0].keypoints.tolist() == [[0, 0, 0], [5, 6, 2], [7, 8, 1]]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
@pytest.mark.parametrize("flag", [1, 2, None])
def test_coordinates_of_labelled_keypoints_must_be_numbers(folder: Path, value: Any, flag: Any) -> None:
    content = sound()
    content["annotations"][0]["keypoints"] = [value, 1, flag, 5, 6, 2, 7, 8, 1]
    assert {p.record for p in read(content, folder).problems} == {"100"}


@pytest.mark.parametrize(
    "changes", [{"name": 5}, {"keypoints": ["nose", "nose"]}, {"keypoints": [{"name": "nose"}]}, {"keypoints": 3}]
)
def test_annotations_of_a_faulty_category_name_its_fault_and_are_counted_with_it(
    folder: Path, changes: dict[str, Any]
) -> None:
    content = sound()
    content["categories"][0].update(changes)
    first, *others = read(content, folder).problems
    assert {(str(p.reason), p.field, p.category) for p in others} == {
        ("faulty category", "category_id", first.category)
    }
    assert len(others) == RECORDS
    assert all(f"whose {first.field} must be {first.must}" in p.found for p in others)


def test_annotations_of_a_category_without_keypoints_are_not_of_an_unknown_one(folder: Path) -> None:
    content = sound()
    content["categories"].append({"id": 2, "name": "box"})
    content["annotations"][0].update(category_id=2.0, keypoints=None)
    actual = [(str(p.reason), p.category) for p in read(content, folder).problems]
    assert actual == [("faulty category", "box"), ("missing field", "box")]


@pytest.mark.parametrize(("entries", "field"), [("images", "image_id"), ("categories", "category_id")])
def test_a_missing_list_is_reported_once_and_not_of_every_annotation(folder: Path, entries: str, field: str) -> None:
    content = sound()
    del content[entries]
    dataset = read(content, folder)
    assert dataset.records == ()
    assert [(p.field, p.record) for p in dataset.problems] == [(entries, "")]


@pytest.mark.parametrize(("entries", "field"), [("images", "image_id"), ("categories", "category_id")])
def test_an_unknown_id_is_reported_beside_entries_that_have_none(folder: Path, entries: str, field: str) -> None:
    content = sound()
    content[entries].append({})
    content["annotations"][0][field] = 77
    problem = next(p for p in read(content, folder).problems if p.record == "100")
    assert problem.must == f"an id that the file lists; 1 of its {entries} have no usable id"


def test_a_byte_order_mark_in_annotations_changes_nothing(folder: Path) -> None:
    read(sound(), folder)
    (folder / "set.json").write_text(json.dumps(sound()), encoding="utf-8-sig")
    assert not read_coco(folder, [CocoFile("set.json", "images")]).problems


def test_a_picture_with_more_annotations_than_can_be_compared_is_refused(folder: Path) -> None:
    content = sound()
    one = content["annotations"][0]
    content["annotations"] += [{**one, "id": 1000 + i} for i in range(MOST_ON_PICTURE)]
    dataset = read(content, folder)
    assert len(dataset.records) == RECORDS - 1, "other pictures are as they were"
    assert {problem.reason for problem in dataset.problems} == {"too many annotations on one image"}
    assert len(dataset.problems) == MOST_ON_PICTURE + 1


@pytest.mark.parametrize("entry", [{}, 1, None, [], {"id": [7]}, {"image_id": 0}], ids=str)
@pytest.mark.parametrize("name", ["images", "annotations"])
def test_more_faults_than_are_kept_refuse_the_file_by_the_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, entry: object
) -> None:
    monkeypatch.setattr(checks, "MOST_PROBLEMS", 50)
    content = sound()
    content[name] += [entry] * 10
    assert 1 <= len(read(content, folder).problems) <= 50
    content[name] += [entry] * 100
    with pytest.raises(ValueError, match=r"set\.json must have at most 50 faults, but has more; .* record .*must be"):
        read(content, folder)


@pytest.mark.parametrize("name", ["images", "annotations"])
def test_a_file_of_more_entries_than_any_has_is_one_problem(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(coco_file, "MOST_ENTRIES", RECORDS)
    content = sound()
    assert len(read(content, folder).records) == RECORDS
    content[name].append({})
    problems = read(content, folder).problems
    assert [(p.reason, p.found) for p in problems if not p.record] == [("too many entries", f"{RECORDS + 1} {name}")]


def test_a_file_of_more_categories_than_there_are_species_is_one_problem(folder: Path) -> None:
    content = sound()
    content["categories"] = [{**content["categories"][0], "id": i} for i in range(MOST_CATEGORIES + 1)]
    (problem,) = read(content, folder).problems
    assert problem.reason == "too many categories" and not problem.record


def test_boxes_and_keypoints_that_leave_their_image_a_little_are_counted(folder: Path) -> None:
    content = sound()
    content["annotations"][0]["bbox"] = [-3, 2, 50, 40]
    content["annotations"][0]["area"] = None
    dataset = read(content, folder)
    assert not dataset.problems
    assert "Boxes that reach beyond their image: 1, the first is 100." in dataset.notes
    assert dataset.records[0].area == 40 * 30, "an area is never larger than its image"


@pytest.mark.parametrize("changes", [{"bbox": [0, 0, 1e30, 1e30]}, {"area": 1e38}, {"keypoints": [1e30, 2, 2] * 3}])
def test_what_no_camera_makes_is_a_problem_and_no_record(folder: Path, changes: dict[str, Any]) -> None:
    content = sound()
    content["annotations"][0] |= changes
    dataset = read(content, folder)
    assert len(dataset.records) == RECORDS - 1 and len(dataset.problems) == 1


HOSTILE = "\x1b[2J\x1b]0;owned\x07[/bold]\r\n\u202e"


def test_hostile_text_is_kept_as_a_name_and_shown_as_text(folder: Path) -> None:
    content = sound()
    content["categories"][0]["name"] = f"fox {HOSTILE}x"
    content["annotations"][0]["id"] = HOSTILE * 30
    content["annotations"][0]["area"] = -1
    content["info"] = {"source": HOSTILE * 1000}
    dataset = read(content, folder)
    assert dataset.categories[0].name == f"fox {HOSTILE}x"
    for text in (*dataset.notes, *summary(dataset.problems).splitlines()):
        assert text.isprintable() and len(text) < 1000


@pytest.mark.parametrize("name", ["name", "supercategory"])
def test_a_name_has_an_end(folder: Path, name: str) -> None:
    content = sound()
    content["categories"][0][name] = "x" * 100_000
    dataset = read(content, folder)
    assert all(len(text) < 1000 for text in summary(dataset.problems).splitlines())
    assert all(len(c.name) + len(c.family) <= 2 * LONGEST_NAME for c in dataset.categories)
