"""Packs: what is stored, and that it is stored whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from posebed.config import Convention, PackConfig
from posebed.data import pack as pack_module
from posebed.data.crop import apply_affine, centre_and_extent, clip_box, crop_affine, warp
from posebed.data.images import Images
from posebed.data.pack import Pack, write_pack
from posebed.records import Category, Dataset, Record
from redescribed import redescribe

CONFIG = PackConfig(data="tiny", crop_size=(64, 48))


def write(tiny: Dataset, folder: Path, config: PackConfig = CONFIG) -> Pack:
    write_pack(tiny.records, tiny.categories, tiny.root, config, folder)
    return Pack.open(folder)


@pytest.mark.parametrize("convention", ["plain", "udp", "aligned"])
def test_an_evaluation_crop_is_one_warp_from_the_image_byte_for_byte(
    tiny: Dataset, tmp_path: Path, convention: Convention
) -> None:
    pack = write(tiny, tmp_path / "pack", CONFIG.model_copy(update={"convention": convention}))
    for record in tiny.records:
        picture = cv2.imread(str(tiny.root / record.image), cv2.IMREAD_COLOR_RGB)
        assert picture is not None
        box = clip_box(record.box, record.width, record.height)
        direct = warp(
            picture, crop_affine(*centre_and_extent(box, (64, 48)), (64, 48), convention=convention), (64, 48)
        )
        assert (pack.evaluation_crops[[pack.row[record.record]]][0] == direct).all()


def test_the_middle_of_a_training_crop_is_the_evaluation_crop(tiny: Dataset, tiny_pack: Pack) -> None:
    rows = np.arange(len(tiny.records))
    above, left = tiny_pack.border
    middle = tiny_pack.training_crops[rows][:, above:-above, left:-left].astype(int)
    difference = abs(middle - tiny_pack.evaluation_crops[rows])
    assert difference.max() <= 3  # cv2 counts in 1/32 of a pixel
    assert difference.mean() < 0.1


def test_training_crops_are_larger_by_the_margin(tiny: Dataset, tmp_path: Path) -> None:
    pack = write(tiny, tmp_path / "wide", PackConfig(data="tiny", crop_size=(32, 64), margin=1.25))
    assert pack.training_crops[[0]].shape == (1, 40, 80, 3)
    assert write(tiny, tmp_path / "none", PackConfig(data="tiny", crop_size=(32, 32), margin=1)).border == (0, 0)


def test_every_picture_is_decoded_once(tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = Counter[str]()
    decode = Images.decode

    def counted(self: Images, path: str) -> np.ndarray:
        decoded[path] += 1
        return decode(self, path)

    monkeypatch.setattr(Images, "decode", counted)
    write(tiny, tmp_path / "pack")
    assert decoded == {record.image: 1 for record in tiny.records}


def test_crops_are_the_same_in_many_shards_as_in_one(
    tiny: Dataset, tiny_pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module, "_SHARD_BYTES", 5 * 64 * 48 * 3)
    pack = write(tiny, tmp_path / "pack")
    assert len(list((tmp_path / "pack").glob("evaluation-*.npy"))) == 4
    rows = np.random.default_rng(0).permutation(len(tiny.records))
    assert (pack.evaluation_crops[rows] == tiny_pack.evaluation_crops[rows]).all()
    assert (pack.training_crops[rows] == tiny_pack.training_crops[rows]).all()


def test_the_index_leads_back_to_the_image(tiny: Dataset, tiny_pack: Pack) -> None:
    assert [record.box for record in tiny_pack.records()] == [record.box for record in tiny.records]
    assert tiny_pack.index["record"].to_pylist() == list(tiny_pack.row) == [record.record for record in tiny.records]
    for record in tiny.records:
        row = tiny_pack.row[record.record]
        known = len(record.keypoints)
        np.testing.assert_array_equal(tiny_pack.keypoints[row, :known], record.keypoints)
        assert tiny_pack.categories[tiny_pack.category[row]].key == record.category
        centre, _ = centre_and_extent(clip_box(record.box, record.width, record.height), (64, 48))
        np.testing.assert_allclose(apply_affine(tiny_pack.affine[row], centre[None])[0], (24, 32), atol=1e-6)


def test_keypoints_are_padded_to_the_largest_category_without_visibility(tiny: Dataset, tiny_pack: Pack) -> None:
    assert tiny_pack.max_keypoints == 6
    fish = tiny_pack.category == 1
    assert fish.any()
    assert not tiny_pack.keypoints[fish, 3:].any()
    setting = tiny_pack.setting()
    assert (setting.size, setting.keypoints, setting.categories) == ((64, 48), 6, tiny.categories)


def test_a_pack_of_other_pictures_is_another_one_although_its_geometry_is_the_same(
    tiny: Dataset, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(tiny.root, pictures)
    abouts: list[bytes] = []
    for name in ("first", "again", "changed"):
        if name == "changed":
            file = pictures / tiny.records[0].image
            cv2.imwrite(str(file), 255 - cv2.imread(str(file)))
        write_pack(tiny.records, tiny.categories, pictures, CONFIG, tmp_path / name)
        abouts.append((tmp_path / name / "about.json").read_bytes())
    assert abouts[0] == abouts[1] != abouts[2]


def test_progress_hears_of_every_crop(tiny: Dataset, tmp_path: Path) -> None:
    heard: list[int] = []
    write_pack(tiny.records, tiny.categories, tiny.root, CONFIG, tmp_path / "pack", heard.append)
    assert sum(heard) == len(tiny.records)


def test_an_interrupted_pack_cannot_be_opened(tiny: Dataset, tmp_path: Path) -> None:
    def interrupt(crops: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pack(tiny.records, tiny.categories, tiny.root, CONFIG, tmp_path, interrupt)
    with pytest.raises(ValueError, match="must be a finished pack"):
        Pack.open(tmp_path)


def test_a_pack_is_not_written_over_other_files(tiny: Dataset, tmp_path: Path) -> None:
    (tmp_path / "evaluation-0007.npy").write_text("of another pack")
    with pytest.raises(ValueError, match="must be empty for a new pack"):
        write(tiny, tmp_path)


def test_a_picture_of_another_size_than_recorded_is_refused(tiny: Dataset, tmp_path: Path) -> None:
    wrong = dataclasses.replace(tiny.records[0], width=999)
    with pytest.raises(ValueError, match=r"0\.png must be 999 x 96 pixels as record '0-0' says, but is 150 x 96"):
        write_pack([wrong], tiny.categories, tiny.root, CONFIG, tmp_path / "pack")


def test_a_pack_of_nothing_is_refused(tiny: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one record"):
        write_pack([], tiny.categories, tiny.root, CONFIG, tmp_path / "pack")


def test_a_full_disk_is_noticed_before_anything_is_written(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(OSError, match="GiB for this pack"):
        write(tiny, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_finished_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be a finished pack, but has no about\.json"):
        Pack.open(tmp_path)


@pytest.mark.parametrize("name", ["person", "tiger", "face68"])
def test_real_photographs_come_out_as_direct_warps(real_data: Path, tmp_path: Path, name: str) -> None:
    coco = json.loads((real_data / name / "annotations.json").read_text())
    image = {each["id"]: each for each in coco["images"]}
    names = tuple(coco["categories"][0]["keypoints"])
    records = [
        Record(
            record=str(each["id"]),
            image=image[each["image_id"]]["file_name"],
            width=image[each["image_id"]]["width"],
            height=image[each["image_id"]]["height"],
            category=name,
            box=tuple(each["bbox"]),
            area=each["bbox"][2] * each["bbox"][3],
            keypoints=np.reshape(each["keypoints"], (-1, 3)),
        )
        for each in coco["annotations"][:8]
    ]
    root = real_data / name / "images"
    write_pack(records, [Category(name, name, names)], root, PackConfig(data=name), tmp_path / "pack")
    pack = Pack.open(tmp_path / "pack")
    for row, record in enumerate(records):
        direct = warp(Images(root).decode(record.image), pack.affine[row], (256, 256))
        assert (pack.evaluation_crops[[row]][0] == direct).all()
    xy = apply_affine(pack.affine, pack.keypoints[..., :2])[pack.keypoints[..., 2] > 0]
    assert ((xy > -1) & (xy < 257)).mean() > 0.95


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda crops: crops[:, :32], "must be crops of uint8 of 64 x 48 x 3, as its pack says, but is .* 32, 48, 3"),
        (lambda crops: crops.astype(np.float32), "must be crops of uint8 .* of float32"),
        (lambda crops: np.asfortranarray(crops), "must be crops of uint8 .* of uint8 in columns"),
        (lambda crops: np.array([{}], object), "must be crops of uint8 .* of object"),
        (lambda crops: crops[::-1].copy(), "must be as it was written, but its content has another hash"),
    ],
)
def test_crops_that_are_not_what_the_pack_says_are_refused(tiny: Dataset, tmp_path: Path, change, says: str) -> None:
    write(tiny, tmp_path / "pack")
    path = tmp_path / "pack/evaluation-0000.npy"
    np.save(path, change(np.load(path)))
    with pytest.raises(ValueError, match=rf"evaluation-0000\.npy {says}.*; `dvc repro pack` makes it again"):
        Pack.open(tmp_path / "pack")


def test_missing_and_further_shards_are_refused(tiny: Dataset, tmp_path: Path) -> None:
    write(tiny, tmp_path / "pack")
    shard = tmp_path / "pack/training-0000.npy"
    shutil.copy(shard, tmp_path / "pack/training-0001.npy")
    with pytest.raises(ValueError, match=r"but training-0001\.npy is missing or too many"):
        Pack.open(tmp_path / "pack")
    (tmp_path / "pack/training-0001.npy").unlink()
    shard.unlink()
    with pytest.raises(ValueError, match=r"but training-0000\.npy is missing or too many"):
        Pack.open(tmp_path / "pack")


def test_memory_is_not_taken_for_what_a_header_says(tiny: Dataset, tmp_path: Path) -> None:
    write(tiny, tmp_path / "pack")
    path = tmp_path / "pack/evaluation-0000.npy"
    with path.open("r+b") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 64, 48, 3)}
        )
    with pytest.raises(ValueError, match=r"must have \d+ bytes, but has \d+"):
        Pack.open(tmp_path / "pack")


def test_a_pack_of_a_former_version_says_nothing_of_its_files_and_is_read(tiny: Dataset, tmp_path: Path) -> None:
    row = write(tiny, tmp_path / "pack").row
    about = json.loads((tmp_path / "pack/about.json").read_text())
    former = {name: value for name, value in about.items() if name not in ("files", "crops")} | {"schema": 1}
    (tmp_path / "pack/about.json").write_text(json.dumps(former))
    assert Pack.open(tmp_path / "pack").row == row


def test_an_index_that_is_another_one_is_refused(tiny: Dataset, tmp_path: Path) -> None:
    write(tiny, tmp_path / "pack")
    index = pq.read_table(tmp_path / "pack/index.parquet")
    pq.write_table(index, tmp_path / "pack/index.parquet", compression="none")
    with pytest.raises(ValueError, match=r"index\.parquet must be as it was written"):
        Pack.open(tmp_path / "pack")
    pq.write_table(index.slice(1), tmp_path / "pack/index.parquet")
    redescribe(tmp_path / "pack")
    with pytest.raises(ValueError, match=r"must be of \d+ crops with its like, but they are"):
        Pack.open(tmp_path / "pack")


def test_a_record_that_a_split_has_and_the_pack_has_not_is_named(tiny_pack: Pack) -> None:
    with pytest.raises(ValueError, match="must hold every record of the split, but lacks 'nobody'"):
        tiny_pack.row_of("nobody")
