"""AP-10K as downloaded, and what holds of every published dataset: parts, notes, and sentences for what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from posebed.catalog import installed
from posebed.config import SplitConfig
from posebed.data.splits import divide
from posebed.datasets.ap10k import SKELETON, SPEC, Options, read

CATALOG = installed()
PUBLISHED = ("animal_kingdom", "animal_pose", "ap10k", "coco_keypoints")


@pytest.fixture
def ap10k(download: Any) -> Path:
    for split in (1, 2):
        for i, part in enumerate(("train", "val", "test")):
            files = [f"{split}{i}{n}.jpg" for n in range(2)]
            download.coco(f"annotations/ap10k-{part}-split{split}.json", SKELETON, "data", files)
    return download.path


def test_the_skeleton_is_that_of_the_paper() -> None:
    assert SKELETON.flip_pairs == ((0, 1), (5, 8), (6, 9), (7, 10), (11, 14), (12, 15), (13, 16))
    assert dict(zip(SKELETON.keypoints, SKELETON.sigmas, strict=True))["left_front_paw"] == 0.062
    assert len(SKELETON.limbs) == 17


@pytest.mark.parametrize(("report", "chooses"), [("val", "test"), ("test", "val")])
def test_the_reported_file_neither_trains_nor_chooses(ap10k: Path, report: Any, chooses: str) -> None:
    dataset = read(Options(report=report), ap10k)
    assert not dataset.problems
    parts = divide(dataset.records, dataset.categories, SplitConfig(data="d", by="official"))
    files = {part: {name.split("/")[0] for name in parts if parts[name] == part} for part in ("train", "val", "test")}
    assert files == {
        "train": {"ap10k-train-split1"},
        "val": {f"ap10k-{chooses}-split1"},
        "test": {f"ap10k-{report}-split1"},
    }
    assert f"test: annotations/ap10k-{report}-split1.json" in dataset.notes[0]


def test_each_split_has_files_of_its_own(ap10k: Path) -> None:
    assert {r.image[:6] for r in read(Options(split=2), ap10k).records} == {"data/2"}


def test_categories_get_what_the_file_lacks(ap10k: Path) -> None:
    (category,) = read(Options(), ap10k).categories
    assert (category.name, category.family, category.limbs) == ("animal", "family", SKELETON.limbs)
    assert (category.sigmas, category.flip_pairs) == (pytest.approx(SKELETON.sigmas), SKELETON.flip_pairs)
    assert category.upper_body == SKELETON.upper_body


def test_both_statements_on_the_licence_are_reported(ap10k: Path) -> None:
    notes = " ".join(read(Options(), ap10k).notes)
    assert "CC BY 4.0" in notes and "non-commercial" in notes


@pytest.mark.parametrize("inside", [True, False])
def test_pictures_may_stay_in_their_zip_file(ap10k: Path, download: Any, inside: bool) -> None:
    download.zip("data", inside)
    dataset = read(Options(), ap10k)
    assert not dataset.problems
    assert dataset.records[0].image.startswith("data.zip/")


def test_a_damaged_zip_file_is_refused(ap10k: Path, download: Any) -> None:
    download.zip("data", inside=False)
    (ap10k / "data.zip").write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"data\.zip must be a zip file"):
        read(Options(), ap10k)


def test_missing_files_are_reported_in_one_sentence(ap10k: Path) -> None:
    (ap10k / "annotations/ap10k-val-split1.json").unlink()
    with pytest.raises(ValueError, match="must lie in") as error:
        read(Options(), ap10k)
    words = str(error.value)
    assert "without annotations/ap10k-val-split1.json it" in words and "only annotations, data;" in words
    assert SPEC.source in words and SPEC.licence in words


def test_one_annotation_file_can_be_read_alone(ap10k: Path, download: Any) -> None:
    dataset = read(Options(), ap10k / "annotations/ap10k-val-split2.json")
    assert not dataset.problems
    assert [(r.record, r.part) for r in dataset.records] == [("10", ""), ("11", "")]
    assert dataset.root == ap10k


def test_a_category_of_another_skeleton_is_a_problem(ap10k: Path, download: Any) -> None:
    content = download.read("annotations/ap10k-train-split1.json")
    content["categories"][0]["keypoints"][0] = "L_Eye"
    download.write("annotations/ap10k-train-split1.json", content)
    assert {(str(p.reason), p.field) for p in read(Options(), ap10k).problems} == {("bad skeleton", "keypoints")}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_dataset_says_what_it_is_where_it_is_missing(name: str, tmp_path: Path) -> None:
    spec = CATALOG.dataset(name)
    assert spec.title and spec.licence and spec.source and spec.skeleton
    with pytest.raises(ValueError, match="must lie in") as error:
        spec.read(spec.options(), tmp_path / "nowhere")
    for text in (spec.title, spec.licence, spec.source, "nothing is there"):
        assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_skeleton_is_complete(name: str) -> None:
    skeleton = CATALOG.dataset(name).skeleton
    count = len(skeleton.keypoints)
    assert len(set(skeleton.keypoints)) == count == len(skeleton.sigmas)
    assert {i for limb in skeleton.limbs for i in limb} == set(range(count))
    assert sorted(skeleton.flip_index()) == list(range(count))
    assert 0 < len(skeleton.upper_body) < count


def test_reading_a_published_dataset_needs_no_torch() -> None:
    modules = ", ".join(f"posebed.datasets.{name}" for name in PUBLISHED)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
