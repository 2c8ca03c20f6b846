"""The stage that divides: episodes ask for what was not trained on, and it says how they were drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posebed.data.splits import read_split
from posebed.params import Params
from posebed.records import Category, Record, categories_to_json, write_hashes, write_problems, write_records
from posestages.split import split

PARTS = {"cat": "train", "dog": "train", "cow": "val", "fly": "test", "bee": "test"}
EPISODES = {"queries": 2, "episodes": 3, "val_episodes": 1}


def divided(folder: Path, parts: dict[str, str] = PARTS, equal: tuple[str, ...] = (), **settings: Any) -> Path:
    """Ten records of every category, prepared and divided.

    Args:
        equal: pictures with the same bytes.
    """
    points = np.full((2, 3), 2, np.float32)
    records = [
        Record(f"{key}{i}", f"{key}{i}.jpg", 9, 9, key, (0, 0, 5, 5), 25.0, points, part=part)
        for key, part in parts.items()
        for i in range(10)
    ]
    write_records(records, folder / "records.parquet")
    hashes = {r.image: "same" if r.image in equal else r.image for r in records}
    write_hashes(hashes, folder / "pictures.parquet")
    (folder / "categories.json").write_text(categories_to_json(Category(key, key, ("a", "b")) for key in parts))
    write_problems([], folder / "problems.csv")
    entries = {"data": {"d": {"source": "mp100", "path": "raw"}}, "splits": {"s": {"data": "d", **settings}}}
    split(Params.model_validate(entries), "s", folder, folder / "out")
    return folder / "out"


@pytest.mark.parametrize("by", ["official", "category"])
def test_episodes_ask_for_categories_that_were_not_trained_on(tmp_path: Path, by: str) -> None:
    held: dict[str, Any] = {} if by == "official" else {"val": ["cow"], "test": ["fly", "bee"]}
    written = read_split(divided(tmp_path, by=by, episodes=EPISODES, **held))
    assert {e.category for e in written.episodes("val")} == {"cow"}
    assert {e.category for e in written.episodes("test")} == {"fly", "bee"}


def test_episodes_of_a_category_that_is_trained_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not trained on, but val shares bee, cat, cow, dog, fly with train"):
        divided(tmp_path, by="image", episodes=EPISODES)
    assert not (tmp_path / "out").exists()
    assert "draw" not in json.loads((divided(tmp_path, by="image") / "about.json").read_text())


@pytest.mark.parametrize(("draw", "says"), [("seeded", "drawn with seed 4"), ("official", "official draw")])
def test_a_split_says_how_its_episodes_were_drawn(tmp_path: Path, draw: str, says: str) -> None:
    out = divided(tmp_path, by="official", seed=4, episodes={**EPISODES, "draw": draw})
    assert json.loads((out / "about.json").read_text())["draw"] == f"3 episodes of 2 queries per category, {says}"


def test_official_episodes_are_drawn_of_official_parts_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must go with by: official, but by is category"):
        divided(tmp_path, by="category", episodes={"draw": "official"})


EQUAL = tuple(f"{name}.jpg" for name in ("cat0", "cat1", "cow3", "fly7"))


def test_equal_pictures_in_several_parts_are_counted_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = json.loads((divided(tmp_path, by="official", equal=EQUAL) / "about.json").read_text())
    assert about["equal_pictures_in_several_parts"] == 1
    assert "pictures whose bytes stand in several parts: 1 in train and val and test\n" in capsys.readouterr().out


def test_a_split_without_equal_pictures_says_nothing_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = json.loads((divided(tmp_path, by="official", equal=("cat0.jpg", "dog1.jpg")) / "about.json").read_text())
    assert about["equal_pictures_in_several_parts"] == 0
    assert "several parts" not in capsys.readouterr().out


def test_equal_pictures_keep_together_where_the_split_is_to(tmp_path: Path) -> None:
    out = divided(tmp_path, by="image", equal=EQUAL, equal_pictures="keep_together")
    assert json.loads((out / "about.json").read_text())["equal_pictures_in_several_parts"] == 0
    part = read_split(out).part
    assert len({part[image.removesuffix(".jpg")] for image in EQUAL}) == 1


def test_an_official_split_is_not_changed_for_equal_pictures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_together must go with by: image, category or family"):
        divided(tmp_path, by="official", equal_pictures="keep_together")


def test_data_that_an_earlier_version_prepared_must_be_prepared_again(tmp_path: Path) -> None:
    divided(tmp_path, by="official")
    (tmp_path / "pictures.parquet").unlink()
    entries = {"data": {"d": {"source": "mp100", "path": "raw"}}, "splits": {"s": {"data": "d"}}}
    with pytest.raises(ValueError, match="prepare d again"):
        split(Params.model_validate(entries), "s", tmp_path, tmp_path / "again")
    assert not (tmp_path / "again").exists()
