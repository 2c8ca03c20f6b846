"""Films and packages go through prepare, split and pack without a copy of their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from command_line import posebed
from posebed.data.images import prepared_pictures
from posebed.data.pack import Pack
from posebed.params import read_params
from posebed.places import pack_folder, prepared_folder, split_folder
from posebed.records import read_records
from posestages import pack, prepare, split

PARAMS = """
data:
  flies: {{source: sleap_io, path: {samples}/sleap_pkg/flies.pkg.slp, options: {{group_run: 10}}}}
  dance:
    source: sleap_io
    path: {samples}/sleap/slp_hdf5/dance.mp4.labels.slp
    options: {{pictures: {samples}/sleap/videos, group_run: 1}}
  lost: {{source: sleap_io, path: {samples}/sleap/slp_hdf5/dance.mp4.labels.slp}}
splits:
  flies: {{data: flies, val: 0.34, test: 0.34}}
  dance: {{data: dance, val: 0.34, test: 0.34}}
packs:
  flies: {{data: flies, crop_size: [64, 64]}}
  dance: {{data: dance, crop_size: [64, 64]}}
"""


@pytest.fixture
def project(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS.format(samples=real_data / "native_samples"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "count"), [("flies", 6), ("dance", 3)])
def test_the_stages_take_them(project: Path, name: str, count: int):
    params = read_params(project / "params.yaml")
    prepare.prepare(params, name, prepared_folder(name))
    assert "Boxes that look like" not in (prepared_folder(name) / "about.json").read_text()
    split.split(params, name, prepared_folder(name), split_folder(name))
    pack.pack(params, name, prepared_folder(name), pack_folder(name))
    records = read_records(prepared_folder(name) / "records.parquet")
    assert len(records) == count
    packed = Pack.open(pack_folder(name))
    assert len(packed.records()) == count
    assert (packed.evaluation_crops[np.arange(count)].std((1, 2, 3)) > 1).all()
    picture = prepared_pictures(prepared_folder(name)).decode(records[0].image)
    assert picture.shape[:2] == (records[0].height, records[0].width)


def test_films_that_are_missing_end_prepare_in_one_sentence(project: Path):
    params = read_params(project / "params.yaml")
    with pytest.raises(ValueError, match=r"dance\.mp4; looked for in .*put them there, or name their folder"):
        prepare.prepare(params, "lost", prepared_folder("lost"))


def test_the_source_is_listed():
    done = posebed("datasets")
    assert done.returncode == 0 and "sleap_io" in done.stdout
