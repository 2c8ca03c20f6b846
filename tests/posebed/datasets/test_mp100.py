"""MP-100: what the official files hold, in the order of the official loaders, and what is wrong with them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posebed.config import EpisodesConfig
from posebed.data.images import PictureFacts
from posebed.data.test_episodes import Episode, official_episodes, read_episodes
from posebed.datasets.mp100 import HELD_OUT, Options, read
from posebed.params import Params
from posebed.records import Dataset, read_records, write_records
from posebed.testing import DatasetSuite
from posestages.prepare import prepare
from posestages.split import split

PICTURE = cv2.imencode(".jpg", np.zeros((30, 40, 3), np.uint8))[1].tobytes()
EVERY = set(range(1, 101))
NAMES = {18: "face", 40: "face", 72: "person"}

Content = dict[str, list[dict[str, Any]]]


def members(number: int, part: str) -> set[int]:
    held = HELD_OUT[number]
    return set(held.get(part, EVERY - {*held["val"], *held["test"]}))


def content_of(categories: set[int]) -> Content:
    """Three records of every category on two pictures, the annotations not in the order of the pictures. Category 40
    has a keypoint more than the three of the others."""
    content: Content = {"images": [], "annotations": [], "categories": []}
    for category in sorted(categories, reverse=True):
        name, base = NAMES.get(category, f"thing{category}"), category * 10**14
        entry = {"id": category, "name": name, "supercategory": "x", "keypoints": [], "skeleton": [[0, 1]]}
        content["categories"].append(entry)
        for image in (1, 0):
            file = f"folder{category}/{image}.jpg"
            content["images"].append({"id": base + image, "file_name": file, "width": 40, "height": 30})
        for number, image in enumerate((0, 1, 0)):
            points = [1.0, 2.0, 2.0, 30, 20, 1, 5, 9, 0] + [0, 0, 0] * (category == 40)
            where = {"id": base + 10 + number, "image_id": base + image, "category_id": category}
            shape = {"keypoints": points, "num_keypoints": 2, "bbox": [0, 0, 35.0, 25.0], "area": 875.0, "iscrowd": 0}
            content["annotations"].append(where | shape)
    return content


def unchanged(part: str, content: Content) -> None:
    pass


def make(path: Path, number: int = 1, change: Callable[[str, Content], None] = unchanged, beside: bool = False) -> Path:
    """The files of a split as users have them; ``beside``: as the authors' guide puts the pictures."""
    (path / "annotations").mkdir(parents=True)
    for part in ("train", "val", "test"):
        content = content_of(members(number, part))
        change(part, content)
        (path / "annotations" / f"mp100_split{number}_{part}.json").write_text(json.dumps(content))
    for category in EVERY:
        folder = path / ("" if beside else "images") / f"folder{category}"
        folder.mkdir(parents=True)
        for image in (0, 1):
            (folder / f"{image}.jpg").write_bytes(PICTURE)
    return path


def in_test(category: int, **changes: Any) -> Callable[[str, Content], None]:
    """Changes the first annotation of a test category."""

    def change(part: str, content: Content) -> None:
        if part == "test":
            next(a for a in content["annotations"] if a["category_id"] == category).update(changes)

    return change


@pytest.mark.services
class TestContract(DatasetSuite):
    """Of a hundred categories, each test reads three hundred records."""

    dataset = "mp100"

    def write_example(self, folder: Path) -> None:
        make(folder)


def test_the_official_lists_hold_every_category_out_once() -> None:
    assert sorted(identity for held in HELD_OUT.values() for identity in held["test"]) == sorted(EVERY)
    for number in HELD_OUT:
        parts = [members(number, part) for part in ("train", "val", "test")]
        assert [len(part) for part in parts] == [70, 10, 20]
        assert set.union(*parts) == EVERY


@pytest.mark.parametrize("beside", [False, True])
def test_three_files_are_the_parts_of_a_split(tmp_path: Path, beside: bool) -> None:
    dataset = read(Options(split=3), make(tmp_path, 3, beside=beside))
    assert not dataset.problems
    assert len(dataset.records) == 300
    for part in ("train", "val", "test"):
        identities = {int(r.record) // 10**14 for r in dataset.records if r.part == part}
        assert identities == members(3, part)
    assert all((dataset.root / r.image).is_file() for r in dataset.records)


def test_records_stand_in_the_order_of_the_images_of_their_file(tmp_path: Path) -> None:
    dataset = read(Options(), make(tmp_path))
    horse = [int(r.record) % 10**14 for r in dataset.records if r.category == "thing2"]
    assert horse == [11, 10, 12]  # the second picture is listed first


def test_two_categories_of_one_name_stay_separate(tmp_path: Path) -> None:
    dataset = read(Options(split=4), make(tmp_path, 4))
    faces = [c for c in dataset.categories if c.name == "face"]
    assert sorted(c.key for c in faces) == ["face-18", "face-40"]
    assert [c.keypoints for c in faces] == [("0", "1", "2"), ("0", "1", "2", "3")]  # numbered, as they have no names
    assert {r.part for r in dataset.records if r.category == "face-40"} == {"test"}


def test_categories_belong_to_the_eight_families_of_the_paper(tmp_path: Path) -> None:
    families = [c.family for c in read(Options(), make(tmp_path)).categories]
    assert {family: families.count(family) for family in set(families)} == {
        "human body": 1,
        "human face": 2,
        "human hand": 1,
        "clothes": 13,
        "furniture": 5,
        "vehicle": 3,
        "animal face": 30,
        "animal body": 45,
    }


def test_a_file_of_another_split_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "annotations/mp100_split1_test.json").write_text(json.dumps(content_of({*members(1, "test"), 5} - {2})))
    (problem,) = (p for p in read(Options(), tmp_path).problems if p.field == "categories")
    assert (problem.reason, problem.found) == ("categories of another file", "lacks 2, has besides 5")
    assert (problem.record, problem.category) == ("", "")


def test_a_box_of_negative_sides_is_a_problem_that_a_note_explains(tmp_path: Path) -> None:
    dataset = read(Options(), make(tmp_path, change=in_test(2, bbox=[30.0, 20.0, -20.0, -10.0])))
    (problem,) = dataset.problems
    assert (problem.category, problem.reason) == ("thing2", "box without extent")
    assert "Boxes without extent, which the reference loaders drop as well: thing2 1." in dataset.notes


def params(path: Path, **splits: Any) -> Params:
    data = {"source": "mp100", "path": str(path), "invalid": splits.pop("invalid", "refuse")}
    return Params.model_validate({"data": {"mp": data}, "splits": {k: {"data": "mp", **s} for k, s in splits.items()}})


def test_missing_pictures_are_counted_by_category_and_refused_or_dropped(tmp_path: Path) -> None:
    make(tmp_path)
    for file in ("folder2/0.jpg", "folder40/1.jpg"):
        (tmp_path / "images" / file).unlink()
    with pytest.raises(ValueError, match="3 missing image: thing2 2, face-40 1"):
        prepare(params(tmp_path), "mp", tmp_path / "out")
    prepare(params(tmp_path, invalid="drop"), "mp", tmp_path / "out")
    about = json.loads((tmp_path / "out/about.json").read_text())
    assert about["dropped"] == {"missing image": {"face-40": 1, "thing2": 2}}
    assert "Records whose picture is missing: thing2 2, face-40 1." in about["notes"]
    assert len(read_records(tmp_path / "out/records.parquet")) == 297


def test_links_come_from_the_re_annotated_file_where_it_has_them(tmp_path: Path) -> None:
    make(tmp_path)
    entries = [{"id": 2, "name": "horse", "skeleton": [[1, 2], [0, 1]]}, {"id": 3, "name": "dog", "skeleton": []}]
    (tmp_path / "links.json").write_text(json.dumps({"categories": entries}))
    dataset = read(Options(skeletons="links.json"), tmp_path)
    limbs = {c.key: c.limbs for c in dataset.categories}
    assert limbs["thing2"] == ((1, 2), (0, 1))
    assert limbs["thing3"] == limbs["thing5"] == ((0, 1),)


def test_links_are_counted_from_0_and_must_name_keypoints(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "links.json").write_text(json.dumps({"categories": [{"id": 2, "skeleton": [[1, 2], [2, 3]]}]}))
    dataset = read(Options(skeletons="links.json"), tmp_path)
    (problem,) = dataset.problems
    assert (problem.category, problem.reason, problem.found) == ("thing2", "bad skeleton", "[[2, 3]]")
    assert problem.must == "pairs of two keypoints, by name or counted from 0 to 2"


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "[1]", '{"categories": null}', '{"categories": [1]}', '{"categories": [{"skeleton": [[0, 1]]}]}'],
)
def test_a_file_of_links_must_be_there_and_have_categories(tmp_path: Path, text: str) -> None:
    make(tmp_path)
    with pytest.raises(LookupError, match="must name a file of the dataset"):
        read(Options(skeletons="links.json"), tmp_path)
    (tmp_path / "links.json").write_text(text)
    with pytest.raises(ValueError, match=r"must be JSON, but|must be a JSON object with a list `categories`") as error:
        read(Options(skeletons="links.json"), tmp_path)
    assert "Error" not in str(error.value)


def test_a_category_without_links_gets_a_spanning_tree_and_a_note(tmp_path: Path) -> None:
    def without(part: str, content: Content) -> None:
        for category in content["categories"]:
            if category["id"] == 40:
                category["skeleton"] = []

    dataset = read(Options(), make(tmp_path, change=without))
    (face,) = (c for c in dataset.categories if c.key == "face-40")
    assert face.limbs == ((0, 1),)
    assert [note for note in dataset.notes if "spanning tree" in note and "face-40" in note]


@pytest.mark.parametrize(("by", "val"), [("family", ["vehicle"]), ("category", ["thing32", "thing38", "thing51"])])
def test_whole_families_can_be_held_out(tmp_path: Path, by: str, val: list[str]) -> None:
    make(tmp_path / "raw")
    held = {"by": by, "val": val, "test": ["furniture"]}
    config = params(tmp_path / "raw", across={**held, "episodes": {"queries": 2, "episodes": 3, "val_episodes": 1}})
    prepare(config, "mp", tmp_path / "mp")
    split(config, "across", tmp_path / "mp", tmp_path / "across")
    plan = read_episodes(tmp_path / "across/episodes.parquet")
    assert {e.category for e in plan["test"]} == {f"thing{i}" for i in (39, 45, 49, 84, 98)}
    assert {e.category for e in plan["val"]} == {f"thing{i}" for i in (32, 38, 51)}


def reference(file: Path, shots: int, queries: int, episodes: int) -> list[tuple[list[int], list[int]]]:
    """Annotation ids of supports and queries, drawn from the raw file as the reference loaders do."""
    content = json.loads(file.read_text())
    of_image: dict[int, list[Any]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    of_category: dict[int, list[int]] = {category["id"]: [] for category in content["categories"]}
    for image in content["images"]:
        for a in of_image[image["id"]]:
            x, y, w, h = a["bbox"]
            x1, y1 = max(0, x), max(0, y)
            x2, y2 = (
                min(side - 1, at + max(0, e - 1)) for side, at, e in ((image["width"], x1, w), (image["height"], y1, h))
            )
            if a["area"] > 0 and x2 > x1 and y2 > y1 and max(a["keypoints"]) > 0 and a["num_keypoints"]:
                of_category[a["category_id"]].append(a["id"])
    random.seed(1)
    samples = [random.sample(ids, shots + queries) for ids in of_category.values() for _ in range(episodes)]
    return [(sample[:shots], sample[shots:]) for sample in samples]


def as_numbers(plan: Sequence[Episode]) -> list[tuple[list[int], list[int]]]:
    return [([*map(int, episode.supports)], [*map(int, episode.queries)]) for episode in plan]


OFFICIAL = {"by": "official", "episodes": {"draw": "official", "queries": 1, "episodes": 2, "val_episodes": 1}}


def drawn(config: Params, folder: Path) -> str:
    prepare(config, "mp", folder / "mp")
    split(config, "official", folder / "mp", folder / "split")
    return json.loads((folder / "split/about.json").read_text())["draw"]


def test_a_split_says_whether_its_episodes_are_the_official_ones(tmp_path: Path) -> None:
    make(tmp_path / "raw", change=in_test(2, bbox=[30.0, 20.0, -20.0, -10.0]))
    config = params(tmp_path / "raw", official=OFFICIAL, invalid="drop")
    assert drawn(config, tmp_path) == "2 episodes of 1 queries per category, official draw"
    plan = read_episodes(tmp_path / "split/episodes.parquet")
    for part, episodes in (("val", 1), ("test", 2)):
        assert as_numbers(plan[part]) == reference(
            tmp_path / f"raw/annotations/mp100_split1_{part}.json", 1, 1, episodes
        )
    (tmp_path / "raw/images/folder1/1.jpg").unlink()  # a training category
    assert drawn(config, tmp_path) == "2 episodes of 1 queries per category, official draw"
    (tmp_path / "raw/images/folder3/1.jpg").unlink()
    assert drawn(config, tmp_path).endswith("for want of records that were dropped: thing3 1")


def train_file(tests: Sequence[Content], categories: set[int]) -> Content:
    """A record of each category; as every category is tested in one split, the test files have one of all."""
    whole: Content = {"images": [], "annotations": [], "categories": []}
    for test in tests:
        annotations = [*{a["category_id"]: a for a in test["annotations"] if a["category_id"] in categories}.values()]
        shown = {a["image_id"] for a in annotations}
        whole["annotations"] += annotations
        whole["images"] += [i for i in test["images"] if i["id"] in shown]
        whole["categories"] += [c for c in test["categories"] if c["id"] in categories]
    return whole


@pytest.fixture
def real_split(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Dataset]:
    """Reads the real annotations of a split as if its pictures, which are not there, were as large as is stated."""
    native = real_data / "native_samples/mp100_annotations"
    files: dict[str, Content] = {f.name: json.loads(f.read_text()) for f in native.glob("*.json")}
    facts = {i["file_name"]: PictureFacts((i["width"], i["height"])) for of in files.values() for i in of["images"]}
    monkeypatch.setattr("posebed.annotations.coco.inspect_pictures", lambda images, paths: {p: facts[p] for p in paths})

    def read_split(number: Any) -> Dataset:
        tests = [files[f"mp100_split{n}_test.json"] for n in HELD_OUT]
        train = train_file(tests, members(number, "train"))
        (tmp_path / f"mp100_split{number}_train.json").write_text(json.dumps(train))
        for name in (f"mp100_split{number}_{part}.json" for part in ("val", "test")):
            (tmp_path / name).symlink_to(native / name)
        return read(Options(split=number), tmp_path)

    return read_split


@pytest.mark.parametrize(("number", "shots"), [(1, 1), (4, 5), (5, 3)])
def test_the_official_episodes_are_those_of_the_reference_code(
    real_split: Callable[[int], Dataset], tmp_path: Path, number: int, shots: int
) -> None:
    dataset = real_split(number)
    write_records(dataset.records, tmp_path / "records.parquet")
    records = read_records(tmp_path / "records.parquet")
    config = EpisodesConfig(draw="official", shots=shots)
    for part, categories, episodes in (("test", 20, 200), ("val", 10, 100)):
        of_part = [r for r in records if r.part == part]
        plan = official_episodes(of_part, dataset.categories, part, config)
        assert sum(len(e.queries) for e in plan) == categories * episodes * 15
        assert as_numbers(plan) == reference(tmp_path / f"mp100_split{number}_{part}.json", shots, 15, episodes)


def test_the_real_files_have_the_defects_that_are_known(real_split: Callable[[int], Dataset]) -> None:
    dataset = real_split(4)
    assert {(p.category, p.reason) for p in dataset.problems} == {("face-18", "box without extent")}
    assert len(dataset.problems) == 6
    assert {len(c.keypoints) for c in dataset.categories if c.name == "face"} == {19, 68}
    assert max(len(c.keypoints) for c in dataset.categories) == 68
    assert all(c.limbs for c in dataset.categories)
    assert {len(c.flip_pairs) for c in dataset.categories if c.key in ("zebra_body", "Kingfisher", "hand")} == {7, 3, 0}
