"""Files with random damage are read, or refused in a sentence: nothing else is raised."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_files import MOUSE, points, with_pictures, write_picture
from posebed.formats import coco, cvat, deeplabcut, label_studio, lightning_pose, sleap, table_projects, yolo
from posebed.formats.labels import Animal, Frame, Labels
from posebed.formats.sleap_writer import write, write_package

PIECES = (
    "\n",
    ",",
    "nan",
    "inf",
    "-",
    "0",
    "[",
    "]",
    ":",
    "<",
    ">",
    '"',
    "\x00",
    "é",
    "1e999",
    "..",
    "/",
    "9999999999",
)
VALUES: tuple[Any, ...] = (None, True, -1, 1e400, "x", "", [], {}, [1], {"a": 1}, 10**30, float("nan"), "..")
REGION = {"original_width": 200, "original_height": 100}
BOX = {"x": 10, "y": 20, "width": 30, "height": 40, "rectanglelabels": ["mouse"]}
TASKS = [
    {
        "id": 5,
        "data": {"image": "a.png"},
        "annotations": [
            {
                "result": [
                    {"id": "r", "type": "rectanglelabels", "value": BOX, **REGION},
                    {"id": "p", "type": "keypointlabels", "value": {"x": 1, "y": 2, "keypointlabels": ["a"]}, **REGION},
                    {"type": "relation", "from_id": "p", "to_id": "r"},
                ]
            }
        ],
    }
]
XML = """<annotations><version>1.1</version>
<meta><task><labels><label><name>mouse.a</name></label></labels></task></meta>
<image id="0" name="a.png" width="64" height="48"><points label="mouse.a" points="1,2" occluded="1"/>
<skeleton label="rat"><points label="b" points="3,4"/></skeleton></image></annotations>"""


def damaged_text(text: str, random: Random) -> str:
    for _ in range(random.randint(1, 5)):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice([*PIECES, ""]) + text[at + random.choice((0, 0, 1, 20)) :]
    return text


def damaged_json(value: Any, random: Random) -> Any:
    if random.random() < 0.06:
        return random.choice(VALUES)
    if isinstance(value, dict):
        return {key: damaged_json(inner, random) for key, inner in value.items() if random.random() > 0.02}
    return [damaged_json(inner, random) for inner in value] if isinstance(value, list) else value


def labels_in(root: Path) -> Labels:
    animal = Animal("mouse", points((1, 2, 2), (3, 4, 1), (0, 0, 0), (5, 6, 2)))
    return with_pictures(Labels(root, (MOUSE,), (Frame("film/img0001.png", (animal,), "film", 1),)), root)


def must_be_read_or_refused(read: Callable[[Path], Labels], path: Path) -> None:
    try:
        read(path)
    except (ValueError, LookupError) as error:
        assert not isinstance(error, KeyError | IndexError | UnicodeError), repr(error)
        assert str(error)


@settings(max_examples=40)
@given(st.integers(0, 2**32))
@pytest.mark.parametrize(
    ("write", "read", "names"),
    [
        (table_projects.write_deeplabcut, deeplabcut.read, ("config.yaml", "*/*/*.csv")),
        (table_projects.write_lightning_pose, lightning_pose.read, ("project.yaml", "CollectedData.csv")),
        (yolo.write, yolo.read, ("data.yaml", "labels/**/*.txt")),
    ],
)
def test_text(write: Callable[..., object], read: Callable[[Path], Labels], names: tuple[str, ...], seed: int):
    random = Random(seed)
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        write(labels_in(Path(folder)), out)
        file = next(out.glob(random.choice(names)))
        file.write_text(damaged_text(file.read_text(), random))
        must_be_read_or_refused(read, out)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_xml_and_json(seed: int):
    random = Random(seed)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_picture(root / "images/a.png")
        (root / "annotations.xml").write_text(damaged_text(XML, random))
        must_be_read_or_refused(cvat.read, root / "annotations.xml")
        (root / "tasks.json").write_text(json.dumps(damaged_json(TASKS, random)))
        must_be_read_or_refused(label_studio.read, root / "tasks.json")
        coco.write(labels_in(root), root / "coco")
        content = json.loads((root / "coco/annotations.json").read_text())
        (root / "coco/annotations.json").write_text(json.dumps(damaged_json(content, random)))
        must_be_read_or_refused(coco.read, root / "coco")


@pytest.mark.parametrize("seed", range(12))
def test_hdf5(seed: int):
    """A few seeds alone: the HDF5 library itself does not withstand all damage."""
    random = Random(seed)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        table_projects.write_deeplabcut(labels_in(root), root / "dlc")
        write_package(labels_in(root), root / "a.pkg.slp")
        for file, read in ((next((root / "dlc").rglob("*.h5")), deeplabcut.read), (root / "a.pkg.slp", sleap.read)):
            data = bytearray(file.read_bytes())
            for _ in range(random.randint(1, 20)):
                data[random.randrange(len(data))] = random.randrange(256)
            file.write_bytes(data)
            must_be_read_or_refused(read, file)


def test_a_sleap_file_says_what_it_lacks(tmp_path: Path):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("sleap_io")
    for name in ("frames", "instances", "points", "pred_points", "tracks_json", "videos_json", "metadata"):
        write(labels_in(tmp_path), tmp_path / "a.slp")
        with h5py.File(tmp_path / "a.slp", "a") as file:
            del file[name]
        with pytest.raises(ValueError, match=rf"a\.slp must be a SLEAP file, but lacks {name}; save it in SLEAP again"):
            sleap.read(tmp_path / "a.slp")


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        *((text, "but lacks nodes in its metadata, skeletons in its metadata") for text in ("", "[1]", "{}", "{")),
        ('{"nodes": [], "skeletons": []}', "with a skeleton, but has none"),
        *((f'{{"nodes": [1], "skeletons": [{s}]}}', "but is not whole; save it") for s in ("1", "{}", "[]")),
    ],
)
def test_a_sleap_file_of_any_metadata_is_told_in_plain_words(tmp_path: Path, metadata: str, told: str):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("sleap_io")
    write(labels_in(tmp_path), tmp_path / "a.slp")
    with h5py.File(tmp_path / "a.slp", "a") as file:
        file["metadata"].attrs["json"] = metadata
    with pytest.raises(ValueError, match=rf"a\.slp must be a SLEAP file.*{told}"):
        sleap.read(tmp_path / "a.slp")
