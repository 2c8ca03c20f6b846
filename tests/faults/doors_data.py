"""Malformed inputs at the doors of data: annotations, pictures and what holds them, labels of other tools, boxes.

Each is written into an empty folder and read by one command, which is given below that folder. Tables of kinds are
crossed with the formats that can hold them, so that every reader meets every kind.
"""

from __future__ import annotations

import copy
import importlib
import io
import json
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from faults.door import RUN, Door

Answer = Literal["problem", "sentence", "note", "refused", "any"]
"""What the command must do: list a problem and end with 1, end with 2 and a sentence, note what is odd and end with 0;
``refused`` is either of the first two, ``any`` one of the three."""
CODES: Mapping[Answer, tuple[int, ...]] = {
    "problem": (1,),
    "sentence": (2,),
    "note": (0,),
    "refused": (1, 2),
    "any": (0, 1, 2),
}

Content = dict[str, Any]
Make = Callable[[Path], None]


@dataclass(frozen=True)
class Malformed:
    """One input and the command that reads it."""

    name: str
    make: Make
    command: tuple[str, ...]
    """Arguments of ``posebed``; it is run in the folder."""
    answer: Answer

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Mapping[str, str]]:
        self.make(folder)
        yield {}


WIDTH, HEIGHT = 64, 48
NAMES = ("nose", "left_eye", "right_eye", "tail")


def picture(ending: str = ".jpg", value: int = 90, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A grey picture with a gradient."""
    pixels = np.full((size[1], size[0], 3), value, np.uint8)
    pixels[:, :, 0] = np.arange(size[0]) % 256
    return cv2.imencode(ending, pixels)[1].tobytes()


def coco(pictures: int = 4) -> Content:
    """Sound annotations of so many pictures."""
    points = [10, 10, 2, 20, 12, 2, 30, 14, 1, 0, 0, 0]
    return {
        "images": [
            {"id": i, "file_name": f"f{i}.jpg", "width": WIDTH, "height": HEIGHT} for i in range(1, pictures + 1)
        ],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "bbox": [5, 5, 40, 30],
                "area": 1200,
                "iscrowd": 0,
                "keypoints": list(points),
                "num_keypoints": 3,
            }
            for i in range(1, pictures + 1)
        ],
        "categories": [
            {
                "id": 1,
                "name": "fox",
                "supercategory": "mammal",
                "keypoints": list(NAMES),
                "skeleton": [[1, 2], [1, 3], [1, 4]],
            }
        ],
    }


def write_coco(folder: Path, content: Any = None, file: str = "annotations.json") -> None:
    """A sound data set; its annotations are ``content``, bytes or what JSON writes, if that is given."""
    (folder / "images").mkdir(exist_ok=True)
    for i in range(1, 5):
        (folder / f"images/f{i}.jpg").write_bytes(picture(value=80 + i))
    content = coco() if content is None else content
    (folder / file).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


# What stands in the place of a file, whatever the file is.


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def device(path: Path, target: str = "/dev/zero") -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    other = path.with_name(f"other-{path.name}")
    path.symlink_to(other.name)
    other.symlink_to(path.name)


def folder_there(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def unix_socket(path: Path) -> None:
    path.unlink(missing_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # addresses are short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(5).bytes(3000))


def zeros(path: Path) -> None:
    path.write_bytes(bytes(4000))


def terminal(path: Path) -> None:
    path.write_bytes(b"\x1b[2J\x1b]0;owned\x07[/bold][red]\r\n" * 50)


def torn_utf8(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:40] + b"\xff\xfe\xc3" + data[40:])


def removed(path: Path) -> None:
    path.unlink()


REPLACED: Mapping[str, Callable[[Path], None]] = {
    "fifo": fifo,
    "endless device": device,
    "terminal device": partial(device, target="/dev/tty"),
    "loop of links": loop,
    "folder": folder_there,
    "socket": unix_socket,
    "empty": empty,
    "cut": cut,
    "noise": noise,
    "zeros": zeros,
    "escape sequences": terminal,
    "torn UTF-8": torn_utf8,
    "missing": removed,
}


# JSON as a whole.

JSON: Mapping[str, Callable[[], bytes]] = {
    "null": lambda: b"null",
    "number": lambda: b"1",
    "list": lambda: b"[1, 2]",
    "text": lambda: b'"annotations"',
    "empty object": lambda: b"{}",
    "half": lambda: json.dumps(coco()).encode()[:300],
    "UTF-16": lambda: json.dumps(coco()).encode("utf-16"),
    "UTF-32": lambda: json.dumps(coco()).encode("utf-32"),
    "Latin-1": lambda: json.dumps(coco()).replace("fox", "f\xf6x").encode("latin-1"),
    "deep lists": lambda: b"[" * 100_000,
    "deep lists, closed": lambda: b'{"images": ' + b"[" * 900 + b"]" * 900 + b"}",
    "deep objects, closed": lambda: b'{"a":' * 900 + b"1" + b"}" * 900,
    "deep skeleton": lambda: json.dumps(coco()).replace("[[1, 2]", "[[1, " + "[" * 800 + "]" * 800 + "]").encode(),
    "a key twice": lambda: json.dumps(coco()).replace('"images":', '"images": [], "images":').encode(),
    **{
        f"three million entries {entry or 'of nothing'}": lambda entry=entry: (
            b'{"annotations": [' + f"{entry},".encode() * 3_000_000 + b'1], "images": [], "categories": []}'
        )
        for entry in ("{}", "1", '""')
    },
    "a key twice, inside": lambda: json.dumps(coco()).replace('"area":', '"bbox": [0, 0, 1, 1], "area":', 1).encode(),
    "a number of 10,000 digits": lambda: json.dumps(coco()).replace("1200", "1" * 10_000, 1).encode(),
    "a number of 1,000 digits": lambda: json.dumps(coco()).replace("1200", "1" * 1000, 1).encode(),
    "two documents": lambda: json.dumps(coco()).encode() * 2,
    "a comment": lambda: b"// COCO\n" + json.dumps(coco()).encode(),
    "zero bytes": lambda: json.dumps(coco()).encode() + bytes(100),
    "escape sequences in a key": lambda: json.dumps({"\x1b[2J[/bold]": 1}).encode(),
}


# Values in annotations in COCO's form.

ANNOTATION, IMAGE, CATEGORY = ("annotations", 0), ("images", 0), ("categories", 0)


def at(content: Content, place: Sequence[str | int], value: Any) -> Content:
    """A copy with another value at a place."""
    changed = copy.deepcopy(content)
    inner: Any = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return changed


def points(x: float, y: float) -> list[float]:
    return [10, 10, 2, 20, 12, 2, x, y, 2, 0, 0, 0]


INFINITE, NAN = float("inf"), float("nan")
LONG = "x" * 100_000

BOXES: Mapping[str, tuple[Any, Answer]] = {
    "1e30": ([0, 0, 1e30, 1e30], "problem"),
    "1e308": ([0, 0, 1e308, 1e308], "problem"),
    "-1e30": ([-1e30, -1e30, 2e30, 2e30], "problem"),
    "ten pictures": ([-300, -200, 640, 480], "problem"),
    "four sides beyond": ([5, 5, 4 * WIDTH + 5, 30], "problem"),
    "a little beyond": ([-10, -10, 84, 68], "note"),
    "NaN": ([NAN, 5, 40, 30], "problem"),
    "infinite": ([5, 5, INFINITE, 30], "problem"),
    "texts": (["5", "5", "40", "30"], "problem"),
    "null": (None, "problem"),
    "nulls": ([None] * 4, "problem"),
    "true": ([True, True, True, True], "problem"),
    "three numbers": ([5, 5, 40], "problem"),
    "objects": ([{}, {}, {}, {}], "problem"),
    "no extent": ([5, 5, 0, 0], "problem"),
    "negative extent": ([50, 40, -40, -30], "problem"),
    "elsewhere": ([500, 500, 40, 30], "problem"),
    "100,000 numbers": ([1.0] * 100_000, "problem"),
    "integer of 400 digits": ([0, 0, int("9" * 400), 4], "problem"),
    "1e-300": ([5, 5, 1e-300, 1e-300], "problem"),
}
AREAS: Mapping[str, tuple[Any, Answer]] = {
    "1e38": (1e38, "problem"),
    "of ten pictures": (10.0 * WIDTH * HEIGHT, "problem"),
    "NaN": (NAN, "problem"),
    "infinite": (INFINITE, "problem"),
    "0": (0, "problem"),
    "negative": (-5, "problem"),
    "text": ("large", "problem"),
    "list": ([1200], "problem"),
    "true": (True, "problem"),
}
KEYPOINTS: Mapping[str, tuple[Any, Answer]] = {
    "1e30": (points(1e30, 14), "problem"),
    "-1e30": (points(30, -1e30), "problem"),
    "1e39": (points(1e39, 14), "problem"),
    "four sides beyond": (points(30 + 4 * WIDTH, 14), "problem"),
    "four sides before": (points(30, 14 - 4 * HEIGHT), "problem"),
    "a little beyond": (points(WIDTH + 9, 14), "note"),
    "NaN": (points(NAN, 14), "problem"),
    "NaN where unlabelled": ([10, 10, 2, 20, 12, 2, 30, 14, 2, NAN, None, 0], "any"),
    "infinite": (points(30, INFINITE), "problem"),
    "visibility 7": ([10, 10, 7, 20, 12, 2, 30, 14, 2, 0, 0, 0], "problem"),
    "visibility NaN": ([10, 10, NAN, 20, 12, 2, 30, 14, 2, 0, 0, 0], "problem"),
    "all unlabelled": ([0] * 12, "problem"),
    "nested": ([[10, 10, 2]] * 4, "problem"),
    "one too few": ([10, 10, 2] * 3, "problem"),
    "a number too many": ([10, 10, 2] * 4 + [1], "problem"),
    "300,000 numbers": ([10, 10, 2] * 100_000, "problem"),
    "texts": (["a"] * 12, "problem"),
    "object": ({"nose": [1, 2]}, "problem"),
}
IDS: Mapping[str, tuple[Any, Answer]] = {
    "list": ([1], "problem"),
    "null": (None, "problem"),
    "1.5": (1.5, "problem"),
    "NaN": (NAN, "problem"),
    "1e300": (1e300, "problem"),
    "true": (True, "problem"),
    "100,000 letters": (LONG, "problem"),
    "lone surrogate": ("\ud800", "problem"),
    "of 400 digits": (int("9" * 400), "any"),
}
PATHS: Mapping[str, tuple[Any, Answer]] = {
    "300 letters": ("y" * 300 + ".jpg", "problem"),
    "100,000 letters": (LONG, "problem"),
    "10,000 folders": ("a/" * 10_000 + "f.jpg", "problem"),
    "upwards": ("../../../../etc/passwd", "problem"),
    "absolute": ("/etc/passwd", "problem"),
    "zero byte": ("f\0.jpg", "problem"),
    "line breaks": ("f\n\r\n1.jpg", "problem"),
    "escape sequences": ("\x1b[2J[/bold].jpg", "problem"),
    "empty": ("", "problem"),
    "folder": (".", "problem"),
    "list": (["f1.jpg"], "problem"),
    "lone surrogate": ("\ud800.jpg", "problem"),
    "a zip that is none": ("f1.jpg/none.zip/a.jpg", "problem"),
    "a film that is none": ("none.mp4/5", "problem"),
    "device": ("dev.jpg", "problem"),
    "fifo": ("fifo.jpg", "problem"),
    "loop": ("loop.jpg", "problem"),
    "socket": ("socket.jpg", "problem"),
}
SIDES: Mapping[str, tuple[Any, Answer]] = {
    "0": (0, "problem"),
    "-5": (-5, "problem"),
    "1e30": (1e30, "problem"),
    "NaN": (NAN, "problem"),
    "infinite": (INFINITE, "problem"),
    "63.5": (63.5, "problem"),
    "text": ("64", "problem"),
    "2 ** 40": (2**40, "problem"),
    "another": (1000, "problem"),
}
NAMES_OF_CATEGORIES: Mapping[str, tuple[Any, Answer]] = {
    "[/bold]": ("fox [/bold]", "any"),
    "[link]": ("[link=file:///etc/passwd]fox", "any"),
    "escape sequences": ("\x1b[31mfox\x1b]0;owned\x07", "any"),
    "direction turned": ("fox\u202egpj", "any"),
    "line breaks": ("fox\r\nNo problem in 4 annotations", "any"),
    "100,000 letters": (LONG, "problem"),
    "empty": ("", "problem"),
    "list": (["fox"], "problem"),
    "null": (None, "problem"),
    "lone surrogate": ("fox\ud800", "problem"),
    "formula": ("=cmd|'/c calc'!A0", "any"),
    "path": ("../../fox", "any"),
    "zero byte": ("fox\0", "any"),
}
LISTS_OF_KEYPOINTS: Mapping[str, tuple[Any, Answer]] = {
    "20,000": ([f"k{i}" for i in range(20_000)], "problem"),
    "of equal names": (["a", "a", "b", "c"], "problem"),
    "object": ({"nose": 1}, "problem"),
    "text": ("nose", "problem"),
    "of 100,000 letters": ([LONG, "b", "c", "d"], "problem"),
    "of numbers": ([1, 2, 3, 4], "problem"),
    "empty": ([], "any"),
    "of escape sequences": (["\x1b[2J", "[/red]", "\r", "d"], "any"),
}
SKELETONS: Mapping[str, tuple[Any, Answer]] = {
    "indices of 400 digits": ([[1, int("9" * 400)]], "problem"),
    "negative": ([[-1, 2]], "problem"),
    "text": ("1-2", "problem"),
    "of three": ([[1, 2, 3]], "problem"),
    "NaN": ([[NAN, 1]], "problem"),
    "100,000 links": ([[1, 2]] * 100_000, "any"),
    "nested": ([[[[[[1, 2]]]]]], "problem"),
    "object": ({"a": 1}, "problem"),
    "to itself": ([[1, 1]], "problem"),
}
FIELDS: Mapping[str, tuple[tuple[str | int, ...], Mapping[str, tuple[Any, Answer]]]] = {
    "box": ((*ANNOTATION, "bbox"), BOXES),
    "area": ((*ANNOTATION, "area"), AREAS),
    "keypoints": ((*ANNOTATION, "keypoints"), KEYPOINTS),
    "annotation id": ((*ANNOTATION, "id"), IDS),
    "image id": ((*IMAGE, "id"), IDS),
    "id of a category": ((*CATEGORY, "id"), IDS),
    "path": ((*IMAGE, "file_name"), PATHS),
    "width": ((*IMAGE, "width"), SIDES),
    "name of a category": ((*CATEGORY, "name"), NAMES_OF_CATEGORIES),
    "family": ((*CATEGORY, "supercategory"), {"100,000 letters": (LONG, "any"), "[/bold]": ("[/bold]", "any")}),
    "list of keypoints": ((*CATEGORY, "keypoints"), LISTS_OF_KEYPOINTS),
    "links": ((*CATEGORY, "skeleton"), SKELETONS),
    "pairs": ((*CATEGORY, "flip_pairs"), SKELETONS),
    "sigmas": (
        (*CATEGORY, "sigmas"),
        {
            "NaN": ([NAN] * 4, "problem"),
            "infinite": ([INFINITE] * 4, "problem"),
            "0": ([0] * 4, "problem"),
            "1e30": ([1e30] * 4, "problem"),
            "too few": ([0.05], "problem"),
            "text": ("0.05", "problem"),
        },
    ),
    "upper body": ((*CATEGORY, "upper_body"), {"beyond": ([99], "problem"), "object": ({"a": 1}, "problem")}),
    "info": (
        ("info",),
        {
            "escape sequences": ({"source": "\x1b[2J[/bold]", "license": "\x1b]0;owned\x07"}, "any"),
            "100,000 letters": ({"url": LONG}, "any"),
            "list": ([1], "any"),
        },
    ),
}


def with_value(place: Sequence[str | int], value: Any, folder: Path) -> None:
    write_coco(folder, at(coco(), place, value))
    fifo(folder / "images/fifo.jpg")
    device(folder / "images/dev.jpg")
    loop(folder / "images/loop.jpg")
    unix_socket(folder / "images/socket.jpg")


def crowded(records: int, folder: Path) -> None:
    """So many boxes on one picture."""
    content = coco()
    one = content["annotations"][0]
    content["annotations"] = [{**one, "id": i, "bbox": [i % 20, i % 17, 20 + i % 7, 20]} for i in range(records)]
    write_coco(folder, content)


def many_categories(count: int, folder: Path) -> None:
    content = coco()
    content["categories"] = [{**content["categories"][0], "id": i, "name": f"fox {i}"} for i in range(1, count + 1)]
    write_coco(folder, content)


def in_value_files() -> Iterator[Malformed]:
    for name, content in JSON.items():
        make = partial(_written, content)
        answer: Answer = "any" if name in ("a number of 1,000 digits", "UTF-16", "UTF-32", "zero bytes") else "problem"
        yield Malformed(f"JSON: {name}", make, ("check", "."), answer)
        yield Malformed(
            f"JSON of Roboflow's: {name}", partial(_written, content, "_annotations.coco.json"), ("check", "."), answer
        )
        yield Malformed(f"JSON to convert: {name}", make, ("convert", ".", "out", "--from", "coco"), "any")
    for field, (place, values) in FIELDS.items():
        for name, (value, answer) in values.items():
            yield Malformed(f"{field}: {name}", partial(with_value, place, value), ("check", "."), answer)
    for field in ("box", "keypoints", "name of a category", "list of keypoints"):
        place, values = FIELDS[field]
        for name, (value, _) in values.items():
            make = partial(with_value, place, value)
            yield Malformed(f"{field}, drawn: {name}", make, ("show", "."), "any")
            to = "yolo" if field == "box" else "coco"
            yield Malformed(f"{field}, converted: {name}", make, ("convert", ".", "out", "--to", to), "any")
    for count in (8_000, 30_000):
        yield Malformed(f"{count} boxes on a picture", partial(crowded, count), ("check", "."), "problem")
    yield Malformed("8,000 boxes on a picture, drawn", partial(crowded, 8_000), ("show", "."), "any")
    yield Malformed("50,000 categories", partial(many_categories, 50_000), ("check", "."), "problem")


def _written(content: Callable[[], bytes], *more: Any) -> None:
    *file, folder = more
    write_coco(folder, content(), *file)


def in_place_of_files() -> Iterator[Malformed]:
    for name, replace in REPLACED.items():
        answer: Answer = "any" if name in ANYHOW else "refused"
        make = partial(_replaced, replace, write_coco, "annotations.json")
        yield Malformed(f"annotations: {name}", make, ("check", "."), answer)
        yield Malformed(f"annotations by name: {name}", make, ("check", "annotations.json"), answer)
        make = partial(_replaced, replace, write_coco, "images/f1.jpg")
        yield Malformed(f"picture: {name}", make, ("check", "."), "any" if name in ANYHOW else "problem")
        for form, (write, files) in FORMS.items():
            for file in files:
                make = partial(_replaced, replace, write, file)
                yield Malformed(f"{form}, {file}: {name}", make, ("check", "."), "any")
                yield Malformed(f"{form}, {file}, by name: {name}", make, ("check", file), "any")
                yield Malformed(f"{form}, {file}, converted: {name}", make, ("convert", ".", "out"), "any")


ANYHOW = ("torn UTF-8",)
"""Damage that may leave the data sound."""


def _replaced(replace: Callable[[Path], None], write: Callable[[Path], None], file: str, folder: Path) -> None:
    write(folder)
    replace(folder / file)


# Labels of other tools.


def rows(*lines: Sequence[object]) -> bytes:
    return "".join(",".join(map(str, line)) + "\n" for line in lines).encode()


def table(several: bool = False, cells: Sequence[object] = (10, 12, 20, 14)) -> list[Sequence[object]]:
    """Header rows and one row of two body parts."""
    head: list[Sequence[object]] = [["scorer", *["a"] * 4]]
    head += [["individuals", *["m1"] * 4]] if several else []
    head += [["bodyparts", "nose", "nose", "tail", "tail"], ["coords", "x", "y", "x", "y"]]
    return [*head, ["labeled-data/film/img001.png", *cells]]


def write_deeplabcut(folder: Path, data: bytes | None = None, config: str | None = None) -> None:
    place = folder / "labeled-data/film"
    place.mkdir(parents=True)
    (place / "img001.png").write_bytes(picture(".png"))
    (place / "CollectedData_a.csv").write_bytes(rows(*table()) if data is None else data)
    usual = "Task: mouse\nscorer: a\nbodyparts: [nose, tail]\nskeleton: [[nose, tail]]\n"
    (folder / "config.yaml").write_text(usual if config is None else config, encoding="utf-8")


def _h5py() -> Any:  # its types lack half of its names
    return importlib.import_module("h5py")


def write_deeplabcut_hdf5(folder: Path, change: Callable[[Any], None] | None = None) -> None:
    """The same as HDF5 in pandas' fixed form, written with h5py."""
    h5py = _h5py()

    write_deeplabcut(folder)
    (folder / "labeled-data/film/CollectedData_a.csv").unlink()
    with h5py.File(folder / "labeled-data/film/CollectedData_a.h5", "w") as file:
        group = file.create_group("df_with_missing")
        levels = {"scorer": [b"a"], "bodyparts": [b"nose", b"tail"], "coords": [b"x", b"y"]}
        group.attrs["axis0_nlevels"], group.attrs["axis1_nlevels"], group.attrs["nblocks"] = 3, 3, 1
        codes = ([0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1])
        for axis in ("axis0", "block0_items"):
            group.attrs[f"{axis}_nlevels"] = 3
            for level, (name, texts) in enumerate(levels.items()):
                group[f"{axis}_level{level}"] = np.array(texts)
                group[f"{axis}_level{level}"].attrs["name"] = name
                group[f"{axis}_label{level}"] = np.array(codes[level], np.int8)
        for level, text in enumerate((b"labeled-data", b"film", b"img001.png")):
            group[f"axis1_level{level}"] = np.array([text])
            group[f"axis1_label{level}"] = np.array([0], np.int8)
        group["block0_values"] = np.array([[10.0, 12.0, 20.0, 14.0]])
        if change:
            change(group)


def write_lightning_pose(folder: Path, data: bytes | None = None) -> None:
    place = folder / "labeled-data/film"
    place.mkdir(parents=True)
    (place / "img001.png").write_bytes(picture(".png"))
    (folder / "CollectedData.csv").write_bytes(rows(*table()) if data is None else data)


def write_yolo(folder: Path, label: bytes | None = None, about: str | None = None) -> None:
    for part in ("train", "val"):
        (folder / "images" / part).mkdir(parents=True)
        (folder / "labels" / part).mkdir(parents=True)
        (folder / f"images/{part}/a.jpg").write_bytes(picture())
        usual = b"0 0.5 0.5 0.4 0.4 0.5 0.5 2 0.4 0.4 2\n"
        (folder / f"labels/{part}/a.txt").write_bytes(usual if label is None else label)
    shape = "kpt_shape: [2, 3]\nflip_idx: [1, 0]\nnames: {0: fox}\n"
    (folder / "data.yaml").write_text(_ABOUT + shape if about is None else about, encoding="utf-8")


_CVAT = (
    '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task><labels><label>'
    "<name>fox</name><type>skeleton</type></label></labels></task></meta>"
    '<image id="0" name="f1.jpg" width="64" height="48"><skeleton label="fox" occluded="0">'
    '<points label="nose" outside="0" occluded="0" points="10.5,12.5"></points>'
    '<points label="tail" outside="0" occluded="0" points="30.5,22.5"></points></skeleton></image></annotations>'
)


def write_cvat(folder: Path, text: str | bytes = _CVAT) -> None:
    (folder / "images").mkdir()
    (folder / "images/f1.jpg").write_bytes(picture())
    (folder / "f1.jpg").write_bytes(picture())
    (folder / "annotations.xml").write_bytes(text if isinstance(text, bytes) else text.encode())


def label_studio() -> list[Content]:
    def region(kind: str, identity: str, **value: Any) -> Content:
        return {"id": identity, "type": kind, "original_width": WIDTH, "original_height": HEIGHT, "value": value}

    box = region("rectanglelabels", "r", x=10, y=10, width=50, height=50, rectanglelabels=["fox"])
    nose = region("keypointlabels", "p", x=20, y=20, width=1, keypointlabels=["nose"]) | {"parentID": "r"}
    return [{"id": 1, "data": {"img": "/data/upload/1/f1.jpg"}, "annotations": [{"id": 1, "result": [box, nose]}]}]


def write_label_studio(folder: Path, content: Any = None) -> None:
    (folder / "f1.jpg").write_bytes(picture())
    content = label_studio() if content is None else content
    (folder / "export.json").write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def write_slp(folder: Path) -> None:
    """A file that has SLEAP's ending and HDF5's first bytes alone: a whole one takes sleap-io to write."""
    h5py = _h5py()

    with h5py.File(folder / "flies.slp", "w") as file:
        file.create_group("metadata").attrs["json"] = "{}"


FORMS: Mapping[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "DeepLabCut": (write_deeplabcut, ("labeled-data/film/CollectedData_a.csv", "config.yaml")),
    "DeepLabCut's HDF5": (write_deeplabcut_hdf5, ("labeled-data/film/CollectedData_a.h5",)),
    "Lightning Pose": (write_lightning_pose, ("CollectedData.csv",)),
    "Ultralytics": (write_yolo, ("data.yaml", "labels/train/a.txt", "images/train/a.jpg")),
    "CVAT": (write_cvat, ("annotations.xml",)),
    "Label Studio": (write_label_studio, ("export.json",)),
    "SLEAP": (write_slp, ("flies.slp",)),
}

CELLS: Mapping[str, Sequence[object]] = {
    "1e30": (1e30, 12, 20, 14),
    "-1e30": (10, -1e30, 20, 14),
    "infinite": ("inf", 12, 20, 14),
    "1e400": ("1e400", 12, 20, 14),
    "half a point": ("", 12, 20, 14),
    "text": ("a", 12, 20, 14),
    "escape sequences": ("\x1b[2J[/bold]", 12, 20, 14),
    "100,000 letters": (LONG, 12, 20, 14),
    "four sides beyond": (30 + 4 * WIDTH, 12, 20, 14),
    "zero byte": ("1\0", 12, 20, 14),
    "a cell too many": (10, 12, 20, 14, 1),
    "10,000 digits": ("9" * 10_000, 12, 20, 14),
}
ROWS: Mapping[str, Callable[[], bytes]] = {
    "no rows": lambda: rows(*table()[:3]),
    "headers of different lengths": lambda: rows(["scorer", "a", "a"], *table()[1:]),
    "a column twice": lambda: rows(*table()[:1], ["bodyparts", *["nose"] * 4], *table()[2:]),
    "a picture twice": lambda: rows(*table(), table()[-1]),
    "no name": lambda: rows(*table()[:1], ["bodyparts", "", "", "", ""], *table()[2:]),
    "20,000 body parts": lambda: rows(
        ["scorer", *["a"] * 40_000],
        ["bodyparts", *(f"k{i // 2}" for i in range(40_000))],
        ["coords", *["x", "y"] * 20_000],
        ["labeled-data/film/img001.png", *[5] * 40_000],
    ),
    "a body part of 100,000 letters": lambda: rows(
        *table()[:1], ["bodyparts", LONG, LONG, "tail", "tail"], *table()[2:]
    ),
    "body parts of escape sequences": lambda: rows(
        *table()[:1], ["bodyparts", *["\x1b[2J[/bold]"] * 2, "t", "t"], *table()[2:]
    ),
    "a picture outside": lambda: rows(*table()[:-1], ["../../../etc/passwd", 10, 12, 20, 14]),
    "an open quote": lambda: rows(*table()) + b'"' + b"a" * 200_000,
    "pictures of 100,000 letters": lambda: rows(*table()[:-1], [LONG, 10, 12, 20, 14]),
    "predictions": lambda: rows(*table()[:2], ["coords", "x", "y", "likelihood", "y"], table()[-1]),
}


def _hdf5_vast(group: Any) -> None:
    del group["block0_values"]
    group.create_dataset("block0_values", (2**20, 2**16), "f8", chunks=(2**10, 2**6), compression="gzip")


def _hdf5_elsewhere(group: Any) -> None:
    h5py = _h5py()

    del group["block0_values"]
    group["block0_values"] = h5py.ExternalLink("/etc/passwd", "/data")


def _hdf5_loop(group: Any) -> None:
    h5py = _h5py()

    group["loop"] = h5py.SoftLink("/df_with_missing/loop")
    group["again"] = group


def _hdf5_objects(group: Any) -> None:
    h5py = _h5py()

    del group["axis0_level1"]
    group.create_dataset("axis0_level1", data=["nose", "tail"], dtype=h5py.string_dtype())


def _hdf5_value(value: object, group: Any) -> None:
    del group["block0_values"]
    group["block0_values"] = np.array([[value, 12, 20, 14]])


def _hdf5_codes(group: Any) -> None:
    group["axis0_label1"][:] = 100


def _hdf5_blocks(group: Any) -> None:
    group.attrs["nblocks"] = 2**40


def _hdf5_levels(group: Any) -> None:
    group.attrs["axis0_nlevels"] = 2**40


HDF5: Mapping[str, Callable[[Any], None]] = {
    "a table of 512 GB": _hdf5_vast,
    "values in another file": _hdf5_elsewhere,
    "links in a circle": _hdf5_loop,
    "texts of any length": _hdf5_objects,
    "1e30": partial(_hdf5_value, 1e30),
    "infinite": partial(_hdf5_value, INFINITE),
    "codes beyond": _hdf5_codes,
    "a trillion blocks": _hdf5_blocks,
    "a trillion levels": _hdf5_levels,
}

YOLO_LABELS: Mapping[str, bytes] = {
    "1e30": b"0 0.5 0.5 1e30 1e30 0.5 0.5 2 0.4 0.4 2\n",
    "a point of 1e30": b"0 0.5 0.5 0.4 0.4 1e30 0.5 2 0.4 0.4 2\n",
    "pixels for shares": b"0 30 20 40 30 30 20 2 20 20 2\n",
    "NaN": b"0 nan 0.5 0.4 0.4 0.5 0.5 2 0.4 0.4 2\n",
    "infinite": b"0 0.5 0.5 inf 0.4 0.5 0.5 2 0.4 0.4 2\n",
    "negative": b"0 0.5 0.5 -0.4 -0.4 0.5 0.5 2 0.4 0.4 2\n",
    "class 9": b"9 0.5 0.5 0.4 0.4 0.5 0.5 2 0.4 0.4 2\n",
    "class -1": b"-1 0.5 0.5 0.4 0.4 0.5 0.5 2 0.4 0.4 2\n",
    "class 0.5": b"0.5 0.5 0.5 0.4 0.4 0.5 0.5 2 0.4 0.4 2\n",
    "visibility 5": b"0 0.5 0.5 0.4 0.4 0.5 0.5 5 0.4 0.4 2\n",
    "too few": b"0 0.5 0.5 0.4\n",
    "texts": b"fox a b c d e f g h i j\n",
    "escape sequences": b"\x1b[2J[/bold] 0.5 0.5 0.4 0.4 0.5 0.5 2 0.4 0.4 2\n",
    "zero bytes": bytes(500),
    "no text": b"\xff\xfe\xfa" * 100,
    "8,000 boxes": b"0 0.5 0.5 0.4 0.4 0.5 0.5 2 0.4 0.4 2\n" * 8000,
    "a line of 10 MB": b"0 " * 5_000_000,
}
_ABOUT = "path: .\ntrain: images/train\nval: images/val\n"
YOLO_ABOUT: Mapping[str, str] = {
    "no names": _ABOUT + "kpt_shape: [2, 3]\n",
    "20,000 keypoints": _ABOUT + "kpt_shape: [20000, 3]\nnames: {0: fox}\n",
    "no shape": _ABOUT + "kpt_shape:\nnames: {0: fox}\n",
    "shape of texts": _ABOUT + "kpt_shape: [two, three]\nnames: {0: fox}\n",
    "negative shape": _ABOUT + "kpt_shape: [-2, 3]\nnames: {0: fox}\n",
    "a list": "- kpt_shape\n- 3\n",
    "kpt_shape in a text": "a: |\n  b\nkpt_shape: [2, 3\n",
    "flip beyond": _ABOUT + "kpt_shape: [2, 3]\nflip_idx: [5, 0]\nnames: {0: fox}\n",
    "flip twice": _ABOUT + "kpt_shape: [2, 3]\nflip_idx: [0, 0]\nnames: {0: fox}\n",
    "names of numbers": _ABOUT + "kpt_shape: [2, 3]\nnames: {0: 1e400}\n",
    "names of 100,000 letters": _ABOUT + f"kpt_shape: [2, 3]\nnames: {{0: {LONG}}}\n",
    "names with escape sequences": _ABOUT + 'kpt_shape: [2, 3]\nnames: {0: "\\e[2J[/bold]"}\n',
    "keypoint names of lists": _ABOUT + "kpt_shape: [2, 3]\nnames: {0: fox}\nkpt_names: {0: [[a], [b]]}\n",
    "outside": "path: /\ntrain: ../../../../etc\nval: /etc\nkpt_shape: [2, 3]\nnames: {0: fox}\n",
    "a device": "path: .\ntrain: /dev/zero\nval: /dev/zero\nkpt_shape: [2, 3]\nnames: {0: fox}\n",
    "aliases": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{c}: &{c} [{', '.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    + _ABOUT
    + "kpt_shape: [2, 3]\nnames: *i\n",
    "2,000 levels": _ABOUT + f"kpt_shape: {'[' * 2000}{']' * 2000}\nnames: {{0: fox}}\n",
    "a key twice": _ABOUT + "kpt_shape: [2, 3]\nkpt_shape: [3, 3]\nnames: {0: fox}\n",
    "an object of Python": _ABOUT + "kpt_shape: !!python/object/apply:os.system [touch owned]\nnames: {0: fox}\n",
}
_BOMB = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
CVAT: Mapping[str, str | bytes] = {
    "entities": f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e0 "ha">{_BOMB}]><annotations>&e12;</annotations>',
    "a file as an entity": '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    "<annotations>&e;</annotations>",
    "100,000 levels": "<annotations>" + "<a>" * 100_000 + "</a>" * 100_000 + "</annotations>",
    "a point at 1e30": _CVAT.replace("10.5,12.5", "1e30,12.5"),
    "a point at NaN": _CVAT.replace("10.5,12.5", "nan,12.5"),
    "an infinite point": _CVAT.replace("10.5,12.5", "inf,12.5"),
    "a point of three": _CVAT.replace("10.5,12.5", "1,2,3"),
    "a point twice": _CVAT.replace('label="tail"', 'label="nose"'),
    "no name": _CVAT.replace('label="tail"', 'label=""'),
    "no picture": _CVAT.replace('name="f1.jpg"', ""),
    "a picture outside": _CVAT.replace('name="f1.jpg"', 'name="../../../etc/passwd"'),
    "a picture of 300 letters": _CVAT.replace('name="f1.jpg"', f'name="{"y" * 300}.jpg"'),
    "a picture of 100,000 letters": _CVAT.replace('name="f1.jpg"', f'name="{LONG}"'),
    "a width of 1e30": _CVAT.replace('width="64"', f'width="{10**30}"'),
    "a width of 10,000 digits": _CVAT.replace('width="64"', f'width="{"9" * 10_000}"'),
    "a width in other digits": _CVAT.replace('width="64"', 'width="\u0666\u0664"'),
    "a width of superscripts": _CVAT.replace('width="64"', 'width="\u00b2"'),
    "a label of 100,000 letters": _CVAT.replace("fox", LONG),
    "a label like markup": _CVAT.replace("fox", "fox [/bold]"),
    "20,000 keypoints": _CVAT.replace(
        "</skeleton>", "".join(f'<points label="k{i}" points="1,1"/>' for i in range(20_000)) + "</skeleton>"
    ),
    "an encoding that is none": _CVAT.replace("utf-8", "klingon"),
    "a box of 1e30": _CVAT.replace(
        "</image>", '<box label="fox" xtl="0" ytl="0" xbr="1e30" ybr="9"/><points label="fox.n" points="1,1"/></image>'
    ),
    "a box of NaN": _CVAT.replace(
        "</image>", '<box label="animal" xtl="nan" ytl="0" xbr="9" ybr="9"/><points label="n" points="1,1"/></image>'
    ),
    "a film of no name": "<annotations><track id='0' label='fox'><skeleton frame='1' keyframe='1'>"
    "<points label='n' points='1,1'/></skeleton></track></annotations>",
    "a frame of 10,000 digits": "<annotations><source>a.mp4</source><track id='0' label='fox'><skeleton frame='"
    + "9" * 10_000
    + "' keyframe='1'><points label='n' points='1,1'/></skeleton></track></annotations>",
    "a step of 10,000 digits": "<annotations><source>a.mp4</source><frame_filter>step="
    + "9" * 10_000
    + "</frame_filter><track id='0' label='fox'><skeleton frame='1' keyframe='1'><points label='n' points='1,1'/>"
    "</skeleton></track></annotations>",
}
_BOX, _POINT = (0, "annotations", 0, "result", 0, "value"), (0, "annotations", 0, "result", 1, "value")
LABEL_STUDIO: Mapping[str, tuple[tuple[str | int, ...], Any]] = {
    "a box of 1e30": ((*_BOX, "width"), 1e30),
    "a box of NaN": ((*_BOX, "width"), NAN),
    "a box of 5,000 percent": ((*_BOX, "width"), 5000),
    "a point at 1e8": ((*_POINT, "x"), 1e8),
    "a point at NaN": ((*_POINT, "x"), NAN),
    "a point at 1e30": ((*_POINT, "x"), 1e30),
    "a text for x": ((*_POINT, "x"), "5"),
    "no value": (_POINT, None),
    "a label of 100,000 letters": ((*_POINT, "keypointlabels"), [LONG]),
    "a label like markup": ((*_BOX, "rectanglelabels"), ["fox [/bold]\x1b[2J"]),
    "a label of a list": ((*_POINT, "keypointlabels"), [["nose"]]),
    "an empty label": ((*_POINT, "keypointlabels"), [""]),
    "a width of 2 ** 40": ((0, "annotations", 0, "result", 1, "original_width"), 2**40),
    "a width of NaN": ((0, "annotations", 0, "result", 1, "original_width"), NAN),
    "a picture of 100,000 letters": ((0, "data", "img"), LONG),
    "a picture outside": ((0, "data", "img"), "/data/local-files/?d=../../../../etc/passwd"),
    "a picture with a zero byte": ((0, "data", "img"), "/data/f%001.jpg"),
    "an address that is none": ((0, "data", "img"), "http://[::1/f1.jpg"),
    "no picture": ((0, "data"), {}),
    "a result of a text": ((0, "annotations", 0, "result"), "none"),
    "annotations of numbers": ((0, "annotations"), [1, 2]),
    "an id of a list": ((0, "id"), [LONG]),
}


def in_formats() -> Iterator[Malformed]:
    for form, write in (("DeepLabCut", write_deeplabcut), ("Lightning Pose", write_lightning_pose)):
        for name, cells in CELLS.items():
            yield from _both(f"{form}, a cell: {name}", partial(_with, write, rows(*table(cells=cells))))
        for name, data in ROWS.items():
            yield from _both(f"{form}, {name}", partial(_later, write, data))
    for name, cells in CELLS.items():
        yield from _both(
            f"DeepLabCut of several, a cell: {name}", partial(_with, write_deeplabcut, rows(*table(True, cells)))
        )
    for name, change in HDF5.items():
        yield from _both(f"DeepLabCut's HDF5, {name}", partial(_with, write_deeplabcut_hdf5, change))
    for name, label in YOLO_LABELS.items():
        yield from _both(f"Ultralytics, {name}", partial(_with, write_yolo, label))
    for name, about in YOLO_ABOUT.items():
        yield from _both(f"Ultralytics, data.yaml: {name}", partial(_with, write_yolo, None, about))
    for name, text in CVAT.items():
        yield from _both(f"CVAT, {name}", partial(_with, write_cvat, text))
    for name, (place, value) in LABEL_STUDIO.items():
        changed = at(label_studio(), place, value)  # pyright: ignore[reportArgumentType]
        yield from _both(f"Label Studio, {name}", partial(_with, write_label_studio, changed))
    for name, content in JSON.items():
        yield from _both(f"Label Studio, JSON: {name}", partial(_as_tasks, content))


def _both(name: str, make: Make) -> Iterator[Malformed]:
    yield Malformed(name, make, ("check", "."), "any")
    yield Malformed(f"{name}, converted", make, ("convert", ".", "out"), "any")


def _with(write: Callable[..., None], *more: Any) -> None:
    *given, folder = more
    write(folder, *given)


def _later(write: Callable[..., None], data: Callable[[], bytes], folder: Path) -> None:
    write(folder, data())


def _as_tasks(content: Callable[[], bytes], folder: Path) -> None:
    write_label_studio(folder, b'[{"annotations": ' + content() + b"}]")


# Pictures, and what holds them.


def jpeg_without_end(count: int) -> bytes:
    return picture()[:400] + b"\xff" * count


def jpeg_of_scans(count: int) -> bytes:
    """Scans after scans, and no end."""
    return picture()[:-2] + b"\xff\xda\x00\x02" * count


def jpeg_of_looks(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each is decoded over the whole picture."""
    _, data = cv2.imencode(".jpg", np.full((2000, 2000, 3), 90, np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    whole = data.tobytes()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * count + b"\xff\xd9"


def png(width: int, height: int, depth: int = 8, body: bytes | None = None) -> bytes:
    """A PNG that declares so many pixels and holds few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 22)) if body is None else body
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def blank(size: int) -> bytes:
    """So many zeros, packed."""
    packer, piece = zlib.compressobj(1), bytes(1 << 24)
    return b"".join(packer.compress(piece) for _ in range(size // len(piece) + 1)) + packer.flush()


def tiff(width: int, height: int, bits: int = 8) -> bytes:
    """A TIFF that declares so many pixels in one strip."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 200), (277, 3, 1)]
    tags += [(278, 4, height), (279, 4, 1000)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return head.ljust(200, b"\0") + bytes(1000)


def bmp(width: int, height: int) -> bytes:
    data = bytearray(picture(".bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def jpeg_stating(width: int, height: int) -> bytes:
    data = bytearray(picture())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp(width: int, height: int) -> bytes:
    """An extended WebP whose canvas is that large."""
    data = picture(".webp")
    inner = b"VP8X" + struct.pack("<I", 10) + bytes(4)
    inner += struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3] + data[12:]
    return b"RIFF" + struct.pack("<I", len(inner) + 4) + b"WEBP" + inner


def gif(width: int, height: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, width, height) + b"\0\x02\x02\x44\x01\0"
    return head + frame + b"\x3b"


def zeroed_scan() -> bytes:
    data = bytearray(picture(size=(640, 480)))
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    return bytes(data)


def looping_exif() -> bytes:
    """A directory of tags that names itself as the next one."""
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 0x0112, 3, 2**31, 8) + struct.pack("<I", 8)
    segment = b"Exif\0\0" + block
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + picture()[2:]


DAMAGED = "JPEG with zeros in its scan"
DECODED = ("PFM of NaN", "EXIF in a loop")
"""Odd ones that are whole pictures."""
PICTURES: Mapping[str, Callable[[], bytes]] = {
    **{f"JPEG cut before {n} bytes of 0xFF": partial(jpeg_without_end, n) for n in (8_000, 100_000, 3_000_000)},
    "JPEG of 5,000 last scans": partial(jpeg_of_looks, 5_000),
    "JPEG of 500,000 scans": partial(jpeg_of_scans, 500_000),
    "JPEG of 65,500 x 65,500": partial(jpeg_stating, 65_500, 65_500),
    DAMAGED: zeroed_scan,
    "JPEG cut": lambda: picture()[:-200],
    "PNG of 32,000 x 32,000": partial(png, 32_000, 32_000),
    "PNG of 32,000 x 32,000 whose pixels are there": lambda: png(32_000, 32_000, 8, blank(32_000 * 96_001)),
    "PNG of 12,000 x 12,000 and 16 bits, wrongly packed": lambda: png(12_000, 12_000, 16, b"\x78\x9c" + bytes(999)),
    "PNG of 32,000 x 32,000 and 16 bits": partial(png, 32_000, 32_000, 16),
    "PNG of 2 ** 31 x 1": partial(png, 2**31 - 1, 1),
    "PNG of 2 ** 31 x 2 ** 31": partial(png, 2**31 - 1, 2**31 - 1),
    "PNG of 0 x 0": partial(png, 0, 0),
    "PNG with no pixels": partial(png, 64, 48, 8, b""),
    "TIFF of 60,000 x 60,000": partial(tiff, 60_000, 60_000),
    "TIFF of 60,000 x 60,000 and 16 bits": partial(tiff, 60_000, 60_000, 16),
    "TIFF of 2 ** 31 x 2 ** 31": partial(tiff, 2**31, 2**31),
    "TIFF of 30,000 x 20,000": partial(tiff, 30_000, 20_000),
    "TIFF of 7 bits": partial(tiff, 64, 48, 7),
    "BMP of 30,000 x 30,000": partial(bmp, 30_000, 30_000),
    "BMP of negative size": partial(bmp, -64, -(2**31)),
    "WebP of 16,000 x 16,000": partial(webp, 16_000, 16_000),
    "WebP of 2 ** 24 x 2 ** 24": partial(webp, 2**24, 2**24),
    "GIF of 65,535 x 65,535": partial(gif, 65_535, 65_535),
    "PPM of 100,000 x 100,000": lambda: b"P6\n100000 100000\n255\n" + bytes(100),
    "PPM of 30,000 x 30,000": lambda: b"P6\n30000 30000\n255\n" + bytes(100),
    "PPM of text": lambda: b"P3\n64 48\n255\n" + b"9 " * 100,
    "PFM of NaN": lambda: b"PF\n64 48\n-1.0\n" + struct.pack("<f", NAN) * (64 * 48 * 3),
    "HDR of 30,000 x 30,000": lambda: b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n" + bytes(100),
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"/>',
    "EXIF in a loop": looping_exif,
    "text": lambda: b"\x1b[2Jno picture",
    "script": lambda: b"<?php system('touch owned'); ?>",
    "nothing": lambda: b"",
}


def with_picture(data: Callable[[], bytes], ending: str, folder: Path) -> None:
    """The data set, whose first picture is another."""
    name = f"f1{ending}"
    write_coco(folder, at(coco(), (*IMAGE, "file_name"), name))
    (folder / "images/f1.jpg").unlink()
    (folder / f"images/{name}").write_bytes(data())


def zipped(method: int = zipfile.ZIP_STORED, members: Mapping[str, bytes] | None = None) -> bytes:
    """Pictures in a zip file."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as file:
        for name, content in ({f"f{i}.jpg": picture() for i in range(1, 5)} if members is None else members).items():
            file.writestr(name, content)
    return data.getvalue()


def vast_member(method: int) -> bytes:
    """A zip whose first member unpacks to 2 GB."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method, compresslevel=1 if method == zipfile.ZIP_DEFLATED else None) as file:
        with file.open("f1.jpg", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(1 << 25))
        for i in range(2, 5):
            file.writestr(f"f{i}.jpg", picture())
    return data.getvalue()


def understated(method: int) -> bytes:
    """A zip whose first member unpacks to 256 MB and states 1,000 bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as file:
        file.writestr("f1.jpg", bytes(1 << 28))
    raw = bytearray(data.getvalue())
    at_local, at_central = raw.index(b"PK\3\4"), raw.index(b"PK\1\2")
    raw[at_local + 22 : at_local + 26] = raw[at_central + 24 : at_central + 28] = struct.pack("<I", 1000)
    return bytes(raw)


def _patched(offset_in_central: int, value: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip whose first entry in the central directory has other bytes."""
    data = bytearray(zipped(method))
    at = data.index(b"PK\1\2") + offset_in_central
    data[at : at + len(value)] = value
    return bytes(data)


def _torn_body(method: int) -> bytes:
    data = bytearray(zipped(method))
    data[60:160] = b"\xa5" * 100
    return bytes(data)


def _of_a_million() -> bytes:
    """An end record that states a million members."""
    data = bytearray(zipped())
    at = data.rindex(b"PK\5\6")
    data[at + 8 : at + 12] = b"\xff\xff\xff\xff"
    return bytes(data)


ZIPS: Mapping[str, Callable[[], bytes]] = {
    "deflated 2 GB": partial(vast_member, zipfile.ZIP_DEFLATED),
    "LZMA of 2 GB": partial(vast_member, zipfile.ZIP_LZMA),
    "bzip2 of 2 GB": partial(vast_member, zipfile.ZIP_BZIP2),
    "bzip2, understated": partial(understated, zipfile.ZIP_BZIP2),
    "deflated, understated": partial(understated, zipfile.ZIP_DEFLATED),
    "LZMA, understated": partial(understated, zipfile.ZIP_LZMA),
    "damaged LZMA": partial(_torn_body, zipfile.ZIP_LZMA),
    "damaged bzip2": partial(_torn_body, zipfile.ZIP_BZIP2),
    "damaged deflate": partial(_torn_body, zipfile.ZIP_DEFLATED),
    "damaged stored": partial(_torn_body, zipfile.ZIP_STORED),
    "version 99": partial(_patched, 6, b"\x63\0"),
    "method 99": partial(_patched, 10, b"\x63\0"),
    "encrypted": partial(_patched, 8, b"\x01\0"),
    "patched data": partial(_patched, 8, b"\x20\0"),
    "strongly encrypted": partial(_patched, 8, b"\x40\0"),
    "offset beyond": partial(_patched, 42, b"\xff\xff\xff\x7f"),
    "size of 4 GB": partial(_patched, 24, b"\xfe\xff\xff\xff"),
    "name that is no text": partial(_patched, 8, b"\0\x08"),
    "extra field torn": partial(_patched, 30, b"\xff\xff"),
    "a million members stated": _of_a_million,
    "no end": lambda: zipped()[:-20],
    "no zip": lambda: b"PK\3\4" + bytes(500),
    "empty": lambda: b"",
    "members outside": lambda: zipped(members={"../f1.jpg": picture(), "/f2.jpg": picture()}),
    "a zip in a zip": lambda: zipped(members={"f1.jpg": zipped()}),
}


def with_zip(data: Callable[[], bytes], folder: Path) -> None:
    """The data set, whose pictures lie in a zip file."""
    write_coco(folder)
    for file in (folder / "images").iterdir():
        file.unlink()
    (folder / "images").rmdir()
    (folder / "images.zip").write_bytes(data())


def _holding(path: Path, data: bytes) -> None:
    path.write_bytes(data)


FILMS: Mapping[str, Callable[[Path], None]] = {
    "fifo": fifo,
    "device": device,
    "loop": loop,
    "folder": folder_there,
    "noise": noise,
    "empty": empty,
    "text": terminal,
    "concat list": partial(_holding, data=b"ffconcat version 1.0\nfile /etc/passwd\n"),
    "playlist": partial(_holding, data=b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
    "picture": partial(_holding, data=picture()),
    "PNG of 32,000 x 32,000": partial(_holding, data=png(32_000, 32_000)),
}


def with_film(replace: Callable[[Path], None], number: str, folder: Path) -> None:
    content = coco()
    content["images"][0] = {"id": 1, "file_name": f"film.mp4/{number}"}
    write_coco(folder, content)
    (folder / "images/film.mp4").write_bytes(b"")
    replace(folder / "images/film.mp4")


def in_pictures() -> Iterator[Malformed]:
    endings = {"TIFF": ".tif", "PNG": ".png", "BMP": ".bmp", "WebP": ".webp", "GIF": ".gif", "PPM": ".ppm"}
    for name, data in PICTURES.items():
        ending = endings.get(name.split()[0], ".jpg")
        make = partial(with_picture, data, ending)
        answer: Answer = "any" if name in DECODED else "problem"
        yield Malformed(f"picture: {name}", make, ("check", "."), answer)
        yield Malformed(f"picture, drawn: {name}", make, ("show", "."), "any")
        yield Malformed(f"picture, to Ultralytics: {name}", make, ("convert", ".", "out", "--to", "yolo"), "any")
        yield Malformed(f"picture of labels: {name}", partial(_labelled, data), ("check", "."), "any")
        command = ("predict", RUN, f"images/f1{ending}")
        yield Malformed(
            f"picture for a model: {name}", make, command, "any" if name in (*DECODED, DAMAGED) else "sentence"
        )
    for name, data in ZIPS.items():
        yield Malformed(f"zip: {name}", partial(with_zip, data), ("check", "."), "any")
        yield Malformed(f"zip, drawn: {name}", partial(with_zip, data), ("show", "."), "any")
    for name, replace in FILMS.items():
        for number in ("0", "99999999999999999999", "-1", "\u0663"):
            make = partial(with_film, replace, number)
            yield Malformed(f"film, frame {number}: {name}", make, ("check", "."), "problem")
        make = partial(with_film, replace, "0")
        answer: Answer = "any" if name == "picture" else "sentence"  # FFmpeg takes a picture for a film of one frame
        yield Malformed(f"film for a model: {name}", make, ("predict", RUN, "images/film.mp4"), answer)


def _labelled(data: Callable[[], bytes], folder: Path) -> None:
    write_yolo(folder)
    (folder / "images/train/a.jpg").write_bytes(data())


# Boxes of a model.


def with_boxes(box: Any, folder: Path) -> None:
    write_coco(folder)
    (folder / "boxes.json").write_text(json.dumps(at(coco(1), (*ANNOTATION, "bbox"), box)))


def boxes_replaced(replace: Callable[[Path], None], folder: Path) -> None:
    with_boxes([5, 5, 40, 30], folder)
    replace(folder / "boxes.json")


def boxes_of_bytes(data: Callable[[], bytes], folder: Path) -> None:
    write_coco(folder)
    (folder / "boxes.json").write_bytes(data())


def in_boxes() -> Iterator[Malformed]:
    command = ("predict", RUN, "images/f1.jpg", "--boxes", "boxes.json")
    for name, (box, answer) in BOXES.items():
        answer = "any" if answer == "note" else "sentence"
        yield Malformed(f"--boxes: {name}", partial(with_boxes, box), command, answer)
    for name, replace in REPLACED.items():
        answer = "any" if name == "torn UTF-8" else "sentence"
        yield Malformed(f"--boxes: {name} file", partial(boxes_replaced, replace), command, answer)
    for name, data in JSON.items():
        yield Malformed(f"--boxes, JSON: {name}", partial(boxes_of_bytes, data), command, "any")


def doors() -> Iterator[Door]:
    """All of them, each under a name of its own."""
    kinds = {
        "COCO annotations": in_value_files(),
        "in place of annotations": in_place_of_files(),
        "labels of other tools": in_formats(),
        "pictures and films": in_pictures(),
        "boxes to predict in": in_boxes(),
    }
    for kind, of in kinds.items():
        for one in of:
            yield Door(
                "data", kind, one.name, ("posebed", *one.command), one.opened, CODES[one.answer], in_project=False
            )
