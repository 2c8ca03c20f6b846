"""The stage that crops: from prepared data to a pack that opens."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from posebed.config import PackConfig
from posebed.data.pack import Pack
from posebed.params import Params
from posebed.records import Category, Record, categories_to_json, write_records
from posestages.pack import pack

PARAMS = Params.model_validate(
    {
        "data": {"ants": {"source": "coco_folder", "path": "ants"}},
        "packs": {"small": {"data": "ants", "crop_size": [16, 16]}},
    }
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Prepared data of two ants on one picture."""
    pictures, source = tmp_path / "pictures", tmp_path / "prepared"
    pictures.mkdir()
    source.mkdir()
    cv2.imwrite(str(pictures / "ant.png"), np.full((40, 50, 3), 90, np.uint8))
    box = (5.0, 6.0, 20.0, 20.0)
    records = [Record(name, "ant.png", 50, 40, "ant", box, 400.0, np.array([[9.0, 9.0, 2.0]])) for name in "ab"]
    write_records(records, source / "records.parquet")
    (source / "categories.json").write_text(categories_to_json([Category("ant", "ant", ("head",))]))
    about = {"root": str(pictures), "notes": [], "checked": 2, "kept": 2, "dropped": {}, "default_sigmas": []}
    (source / "about.json").write_text(json.dumps(about))
    return source


def test_prepared_data_becomes_a_pack(source: Path, tmp_path: Path) -> None:
    pack(PARAMS, "small", source, tmp_path / "packs/small")
    opened = Pack.open(tmp_path / "packs/small")
    assert opened.size == PackConfig(data="ants", crop_size=(16, 16)).crop_size
    assert opened.row == {"a": 0, "b": 1}
    assert (opened.evaluation_crops[[0, 1]] == 90).all()


def test_a_pack_that_fails_leaves_the_former_one(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "packs/small"
    pack(PARAMS, "small", source, out)
    (tmp_path / "pictures/ant.png").unlink()
    with pytest.raises(FileNotFoundError):
        pack(PARAMS, "small", source, out)
    assert Pack.open(out).row == {"a": 0, "b": 1}
    assert [path.name for path in out.parent.iterdir()] == ["small"]


def test_a_pack_that_is_not_described_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="packs must have an entry 'large', but has small"):
        pack(PARAMS, "large", source, tmp_path / "packs/large")
