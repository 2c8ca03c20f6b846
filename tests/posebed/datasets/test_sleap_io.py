from __future__ import annotations

import json
from pathlib import Path

import pytest

from label_files import write_picture
from posebed.catalog import installed
from posebed.datasets.sleap_io import Options, check_path, read


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("dlc_single", 4),
        ("dlc_multi/flies", 6),
        ("dlc_multi/unique", 5),
        ("lightning_pose", 3),
        ("sleap_pkg/flies.pkg.slp", 6),
        ("sleap_pkg/minimal_instance.pkg.slp", 2),
        ("cvat", 5),
    ],
)
def test_every_format_is_read_without_options(real_data: Path, name: str, records: int):
    dataset = check_path(real_data / "native_samples" / name)
    assert not dataset.problems and len(dataset.records) == dataset.checked == records


def test_films_in_a_folder_of_their_own(real_data: Path):
    samples = real_data / "native_samples/sleap"
    options = Options(pictures=str(samples / "videos"), group_run=1)
    dataset = read(options, samples / "slp_hdf5/dance.mp4.labels.slp")
    assert [record.group for record in dataset.records] == [f"dance.mp4/{n}" for n in range(3)]


def test_pairs_that_were_guessed_can_be_corrected(real_data: Path):
    sample = real_data / "native_samples/dlc_single"
    right = {"openfield": {"flip_pairs": [], "skeleton": [("snout", "tailbase")]}}
    category = read(Options.model_validate({"skeletons": right}), sample).categories[0]
    assert (category.flip_pairs, category.limbs) == ((), ((0, 3),))
    with pytest.raises(LookupError, match="has mouse; there is openfield"):
        read(Options.model_validate({"skeletons": {"mouse": {}}}), sample)


def test_coco_without_boxes_gets_them_from_the_points(tmp_path: Path):
    write_picture(tmp_path / "images/a.png")
    content = {
        "images": [{"id": 0, "file_name": "a.png"}],
        "annotations": [{"id": "x", "image_id": 0, "category_id": 1, "keypoints": ["10", "12", "2", 20, 30, 1]}],
        "categories": [{"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    dataset = read(Options(format="coco"), tmp_path)
    assert not dataset.problems and dataset.records[0].box == (5, 7, 20, 28)


def test_the_catalog_has_it():
    spec = installed().dataset("sleap_io")
    assert set(spec.options.model_fields) >= {"format", "pictures", "half_pixel", "group_run", "orientation", "linked"}


def test_coco_keypoints_are_read_as_before(real_data: Path):
    assert len(check_path(real_data / "native_samples/ap10k").records) == 2


def test_where_nothing_lies_every_format_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"annotations\.json.*Of other formats.*SLEAP.*Label Studio"):
        check_path(tmp_path)
