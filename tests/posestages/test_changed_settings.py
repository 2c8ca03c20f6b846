"""A changed setting always re-runs its stage: every field of the sections behind draw, prepare, split and pack is
changed under the real dvc.yaml and the real DVC, and the stage's output with it."""

from __future__ import annotations

import ast
import copy
import hashlib
import importlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from inspect import isclass
from pathlib import Path
from typing import Any, get_args, get_origin

import cv2
import numpy as np
import pytest
import yaml
from dvc.exceptions import ReproductionError
from dvc.repo import Repo
from dvc.stage.exceptions import StageCmdFailedError
from dvc_data.hashfile.meta import Meta

from label_files import MOUSE, NAMES, with_pictures
from menagerie import MenagerieConfig
from posebed.catalog import installed
from posebed.config import DataConfig, PackConfig, Section, SplitConfig
from posebed.datasets.mp100 import HELD_OUT
from posebed.formats.labels import Animal, Frame, Labels
from posebed.formats.table_projects import write_deeplabcut
from posebed.params import Params
from posebed.records import Category
from posebed.source_code import SourceCode
from posestages.identities import identities

CATALOG = installed()
CHECKOUT = Path(__file__).parents[2]
DATASETS = {name: CATALOG.dataset(name) for name in sorted(CATALOG.datasets)}
OUTPUTS = {"draw": "menagerie", "prepare": "prepared", "split": "splits", "pack": "packs"}
"""The data stages, and where below ``data`` their outputs lie."""
SECTIONS = {"menagerie": "draw", "data": "prepare", "splits": "split", "packs": "pack"}

PARAMS = r"""
menagerie:
  drawn: {set: quadrupeds, images: 6, side: 32}
data:
  drawn: {source: coco_folder, path: data/menagerie/drawn}
  zoo: {source: coco_folder, path: photographs/zoo, options: {skeleton_base: 1}}
  frames:
    source: coco_folder
    path: photographs/zoo
    options:
      group_field: frame
      group_run: 2
      groups: {beach: {group_pattern: '(\d)'}}
      skeletons: {cat: {}}
  faulty: {source: coco_folder, path: photographs/faulty, invalid: drop}
  single: {source: ap10k, path: photographs/single}
  ap10k: {source: ap10k, path: photographs/ap10k}
  animal-pose: {source: animal_pose, path: photographs/animal_pose}
  kingdom: {source: animal_kingdom, path: photographs/animal_kingdom}
  birds: {source: animal_kingdom, path: photographs/animal_kingdom, options: {protocol: P3, group: bird}}
  coco: {source: coco_keypoints, path: photographs/coco}
  mp100: {source: mp100, path: photographs/mp100}
  mice: {source: sleap_io, path: photographs/mice, options: {group_run: 2, skeletons: {mouse: {}}}}
  towels: {source: sleap_io, path: photographs/towels, options: {format: cvat}, invalid: drop}
splits:
  images: {data: zoo, val: 0.25, test: 0.25}
  unseen:
    data: zoo
    by: category
    val: [dog]
    test: [fox]
    episodes: {shots: 1, queries: 1, episodes: 2, val_episodes: 2}
  official: {data: mp100, by: official, episodes: {draw: official, queries: 1, episodes: 1, val_episodes: 1}}
  chain: {data: drawn, by: category}
packs:
  small: {data: zoo, crop_size: [16, 12]}
  chain: {data: drawn, crop_size: [16, 12]}
"""

ANNOTATED = ("zoo", "ap10k", "animal-pose", "kingdom", "coco", "mp100", "mice")
"""An entry of every source."""
CHANGES: dict[str, Any] = {
    "menagerie.drawn.set": "mixed",
    "menagerie.drawn.images": 5,
    "menagerie.drawn.side": 40,
    "menagerie.drawn.seed": 1,
    "menagerie.drawn.categories": ["tiger", "horse"],
    "data.single.source": "coco_folder",
    "data.zoo.path": "photographs/copy",
    "data.faulty.invalid": "refuse",
    "data.zoo.options.folders": ["beach"],
    "data.zoo.options.annotations": "other.json",
    "data.zoo.options.images": "pictures",
    "data.zoo.options.skeleton_base": 0,
    "data.zoo.options.group_field": "clip",
    "data.zoo.options.group_pattern": r"(\d)",
    "data.frames.options.group_run": 3,
    "data.zoo.options.groups": {"beach": {"group_field": "clip"}},
    "data.zoo.options.groups.beach.group_field": "clip",
    "data.frames.options.groups.beach.group_pattern": r"(\D+)",
    "data.frames.options.groups.beach.group_run": 2,
    "data.zoo.options.skeletons": {"cat": {"sigmas": [0.1, 0.1, 0.1]}},
    "data.frames.options.skeletons.cat.skeleton": [["nose", "tail"]],
    "data.frames.options.skeletons.cat.flip_pairs": [["nose", "tail"]],
    "data.frames.options.skeletons.cat.sigmas": [0.1, 0.1, 0.1],
    "data.frames.options.skeletons.cat.upper_body": ["nose"],
    "data.zoo.options.parts": "parts.csv",
    **{f"data.{key}.options.orientation": "displayed" for key in ANNOTATED},
    **{f"data.{key}.options.linked": ["photographs/copy"] for key in ANNOTATED},
    "data.ap10k.options.split": 2,
    "data.ap10k.options.report": "test",
    "data.animal-pose.options.report": "test",
    "data.kingdom.options.protocol": "P2",
    "data.birds.options.group": "fish",
    "data.coco.options.detections": "found.json",
    "data.mp100.options.split": 2,
    "data.mp100.options.skeletons": "links.json",
    "data.mice.options.group_run": 3,
    "data.mice.options.skeletons": {"mouse": {"sigmas": [0.1] * len(NAMES)}},
    "data.mice.options.skeletons.mouse.skeleton": [["snout", "tailbase"]],
    "data.mice.options.skeletons.mouse.flip_pairs": [["snout", "tailbase"]],
    "data.mice.options.skeletons.mouse.sigmas": [0.1] * len(NAMES),
    "data.mice.options.skeletons.mouse.upper_body": ["snout"],
    "data.towels.options.format": "coco",
    "data.towels.options.half_pixel": True,
    "data.towels.options.pictures": "photographs/copy/beach/images",
    "splits.images.data": "frames",
    "splits.images.by": "category",
    "splits.images.val": 0.5,
    "splits.images.test": 0.5,
    "splits.images.few_shot": 1,
    "splits.images.seed": 1,
    "splits.images.equal_pictures": "keep_together",
    "splits.unseen.episodes": None,
    "splits.unseen.episodes.shots": 2,
    "splits.unseen.episodes.queries": 2,
    "splits.unseen.episodes.episodes": 3,
    "splits.unseen.episodes.val_episodes": 3,
    "splits.official.episodes.draw": "seeded",
    "packs.small.data": "frames",
    "packs.small.crop_size": [16, 16],
    "packs.small.padding": 1.5,
    "packs.small.margin": 2.0,
    "packs.small.convention": "udp",
}
"""For each field behind the data stages a place in ``PARAMS`` and another value of it."""
REFUSED = "data.faulty.invalid"
"""The one change after which the stage refuses its data."""


def sections_in(annotation: Any, step: str = "") -> Iterator[tuple[type[Section], str]]:
    """The sections in a type, each with what stands between a field's name and theirs."""
    if isclass(annotation) and issubclass(annotation, Section):
        yield annotation, step
    for inner in get_args(annotation):
        yield from sections_in(inner, ".*" if get_origin(annotation) in (dict, list, tuple) else step)


def fields(section: type[Section], at: str) -> Iterator[str]:
    """The dotted place of every field, and of those of the sections in it."""
    for name, field in section.model_fields.items():
        aliases = getattr(field.validation_alias, "choices", [field.validation_alias])
        yield from (f"{at}.{known}" for known in {name, *aliases} - {None})
        for inner, step in sections_in(field.annotation):
            yield from fields(inner, f"{at}.{name}{step}")


def settings_of_the_data_stages() -> set[str]:
    own = {*fields(MenagerieConfig, "menagerie.*"), *fields(DataConfig, "data.*")} - {"data.*.options"}
    own |= {*fields(SplitConfig, "splits.*"), *fields(PackConfig, "packs.*")}
    return own.union(*(fields(spec.options, f"data.{name}.options") for name, spec in DATASETS.items()))


def field_of(place: str) -> str:
    """The field as ``settings_of_the_data_stages`` names it."""
    section, key, *rest = place.split(".")
    if rest[0] != "options":
        return ".".join([section, "*", *rest])
    rest[2:3] = ["*"] * len(rest[2:3])
    return ".".join([section, yaml.safe_load(PARAMS)["data"][key]["source"], *rest])


def test_every_setting_of_the_data_stages_has_a_change():
    assert {field_of(place) for place in CHANGES} == settings_of_the_data_stages()


def test_no_parameter_has_a_name_that_the_run_cache_of_dvc_ignores():
    places = {*fields(Params, "params"), *settings_of_the_data_stages()}
    for name in sorted(CATALOG.models):
        places |= {*fields(CATALOG.model(name).config, name)}
    assert len(places) > 200
    assert not {p for p in places if p.rpartition(".")[2] in (Meta.PARAM_SIZE, Meta.PARAM_NFILES)}


ROOTS = {"posebed": "platform", "menagerie": "platform", "posezoo": "models", "posestages": "pipelines"}


def reached(path: Path) -> set[Path]:
    """The modules of ours that a module imports, not for type checkers alone, and those that they import. Those of the
    parameters are left out: they enter by value."""
    seen, left = set[Path](), [path]
    while left:
        module = left.pop()
        if module in {CHECKOUT / "platform/posebed" / name for name in ("config.py", "params.py")}:
            continue
        seen.add(module)
        tree = ast.parse(module.read_text())
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node))]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOTS:
                at = CHECKOUT / ROOTS[node.module.split(".")[0]] / Path(*node.module.split("."))
                files = [at.with_suffix(".py"), at / "__init__.py", *(at / f"{n.name}.py" for n in node.names)]
                left += [file for file in files if file.is_file() and file not in seen]
    return seen


def behind(stage: str, source: str) -> set[str]:
    """Modules that a data stage of a dataset can reach, as paths below the checkout."""
    modules = reached(CHECKOUT / f"pipelines/posestages/{stage}.py")
    if stage == "prepare":
        modules |= reached(CHECKOUT / f"platform/posebed/datasets/{source}.py")
    return {module.relative_to(CHECKOUT).as_posix() for module in modules}


def test_another_statement_in_a_module_behind_a_data_stage_changes_its_identity_and_that_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Copy(SourceCode):
        def __post_init__(self) -> None:
            self._roots = {package: tmp_path / ROOTS[package] / package for package in ROOTS}

    for root in set(ROOTS.values()):
        shutil.copytree(CHECKOUT / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("posestages.identities.SourceCode", Copy)
    params = Params.model_validate(yaml.safe_load(PARAMS))
    entries = [(stage, key) for section, stage in SECTIONS.items() for key in getattr(params, section)]
    sources = {key: data.source for key, data in params.data.items()}
    modules = {place: behind(place[0], sources.get(place[1], "")) for place in entries}
    before = identities(params)
    changing = sorted(set().union(*modules.values()))
    assert len(changing) > 40
    for file in changing:
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(text + "\nADDED = 1\n")
        after = identities(params)
        (tmp_path / file).write_text(text)
        other = {place for place in entries if before[place[0]][place[1]] != after[place[0]][place[1]]}
        users = {place for place in entries if file in modules[place]}
        assert users <= other, file
        if not file.endswith("__init__.py"):
            assert other == users, file


ANIMALS = [
    Category(name, name, ("nose", "neck", "tail"), limbs=((0, 1),), family="animal") for name in ("cat", "dog", "fox")
]


def write_coco(
    folder: Path, file: str, images: str, names: Sequence[str], categories: Sequence[Category], first: int = 1
) -> None:
    """An annotation file and its pictures of noise, ``names`` of every category; ids of categories from ``first``."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    pictures, annotations, entries = [], [], []
    for identity, category in enumerate(categories, first):
        links = [[a + 1, b + 1] for a, b in category.limbs]
        entry = {"id": identity, "name": category.name, "supercategory": "animal", "skeleton": links}
        entries.append(entry | {"keypoints": category.keypoints})
        for number, name in enumerate(names):
            path = folder / images / name.format(category.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(identity * 100 + number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
            path.write_bytes(cv2.imencode(path.suffix, noise)[1].tobytes())
            pictures.append({"id": len(pictures), "file_name": name.format(category.name), "width": 40, "height": 30})
            points = [v for i in range(len(category.keypoints)) for v in (5 + i, 6 + number, 2)]
            where = {"id": len(annotations), "image_id": len(annotations), "category_id": identity}
            shape = {"keypoints": points, "num_keypoints": len(points) // 3, "bbox": [4, 5, 30, 30], "area": 700}
            annotations.append(where | shape | {"clip": f"clip{number}", "frame": number})
    content = {"images": pictures, "annotations": annotations, "categories": entries}
    (folder / file).write_text(json.dumps(content))


def write_zoo(folder: Path) -> None:
    for name in ("beach", "wood"):
        for file, images in (("annotations.json", "images"), ("other.json", "images"), ("spare.json", "pictures")):
            count = 3 if file == "other.json" else 4
            write_coco(folder / name, file, images, [f"{{}}{n}.png" for n in range(count)], ANIMALS)
    pictures = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/images/*"))
    (folder / "parts.csv").write_text("".join(["picture,part\n", *(f"{picture},train\n" for picture in pictures)]))


def write_published(root: Path) -> None:
    """Every published dataset in miniature."""
    skeleton = {name: [spec.skeleton] for name, spec in DATASETS.items() if spec.skeleton}
    for split in (1, 2):
        for part in ("train", "val", "test"):
            file = f"annotations/ap10k-{part}-split{split}.json"
            write_coco(root / "ap10k", file, "data", [f"{part}{split}.jpg"], skeleton["ap10k"])
    for part, folder in (("train", "VOC2012/JPEGImages"), ("val", "VOC2012/JPEGImages")):
        names = [f"{folder}/{part}.jpg"]
        write_coco(root / "animal_pose", f"annotations/animalpose_{part}.json", "", names, skeleton["animal_pose"])
    names = ["animalpose_image_part2/cat/test.jpg"]
    write_coco(root / "animal_pose", "annotations/animalpose_test.json", "", names, skeleton["animal_pose"])
    for protocol in ("P1", "P2", "P3_bird", "P3_fish"):
        for part in ("train", "test"):
            file = f"annotation_coco/ak_{protocol}/{part}.json"
            names = [f"CLIP/{protocol}{part}.jpg"]
            write_coco(root / "animal_kingdom", file, "dataset", names, skeleton["animal_kingdom"])
    for part in ("train", "val"):
        file, images = f"annotations/person_keypoints_{part}2017.json", f"{part}2017"
        write_coco(root / "coco", file, images, [f"{0:012}.jpg"], skeleton["coco_keypoints"])
    detections = [{"image_id": 0, "category_id": 1, "bbox": [1, 2, 30, 20], "score": 0.5}]
    (root / "coco" / "found.json").write_text(json.dumps(detections))


def write_mp100(folder: Path) -> None:
    """The files of two splits, whose categories are all a hundred, and a file with other links."""
    every = [Category(f"thing{i}", f"thing{i}", ("a", "b", "c"), limbs=((0, 1),)) for i in range(1, 101)]
    write_coco(folder, "all.json", "images", ["{}/0.jpg", "{}/1.jpg"], every)
    content = json.loads((folder / "all.json").read_text())
    (folder / "all.json").unlink()
    (folder / "annotations").mkdir()
    for split in (1, 2):
        held = {part: set(HELD_OUT[split][part]) for part in ("val", "test")}
        for part, ids in (held | {"train": set(range(1, 101)) - held["val"] - held["test"]}).items():
            of_part = {
                "images": content["images"],
                "annotations": [a for a in content["annotations"] if a["category_id"] in ids],
                "categories": [c | {"skeleton": [[0, 1]]} for c in content["categories"] if c["id"] in ids],
            }
            (folder / "annotations" / f"mp100_split{split}_{part}.json").write_text(json.dumps(of_part))
    links = [c | {"skeleton": [[1, 2]]} for c in content["categories"]]
    (folder / "links.json").write_text(json.dumps({"categories": links}))


def write_labels_of_tools(root: Path) -> None:
    """DeepLabCut's labels of a film's frames; and CVAT's and COCO's in one folder, where a picture of CVAT's is
    missing."""
    animal = Animal("mouse", np.array([[5, 6, 2]] * len(NAMES), np.float64), "")
    frames = [Frame(f"labeled-data/film/img{n:04}.png", (animal,), "film", n, (64, 48)) for n in range(6)]
    (root / "mice").mkdir(parents=True)
    write_deeplabcut(with_pictures(Labels(root, (MOUSE,), tuple(frames)), root / "drawn"), root / "mice")
    write_coco(root / "towels", "annotations.json", "images", ["0.png"], ANIMALS[:1])
    box = '<box label="cat" xtl="4" ytl="5" xbr="34" ybr="35" group_id="1"/>'
    point = '<points label="cat:nose" points="6.00,7.00" group_id="1"/>'
    images = "".join(
        f'<image id="{n}" name="{name}" width="40" height="30">{box}{point}</image>'
        for n, name in enumerate(("0.png", "cat1.png"))
    )
    (root / "towels/annotations.xml").write_text(f"<annotations>{images}</annotations>")


def write_photographs(root: Path) -> None:
    write_labels_of_tools(root)
    write_zoo(root / "zoo")
    shutil.copytree(root / "zoo", root / "copy")
    write_coco(root / "faulty", "annotations.json", "images", ["0.png", "1.png"], ANIMALS[:1])
    (root / "faulty/images/1.png").unlink()
    write_coco(root / "single", "annotations.json", "images", ["0.png"], [DATASETS["ap10k"].skeleton])
    write_published(root)
    write_mp100(root / "mp100")


def run_here(stage: Any, dry: bool = False, run_env: Any = None) -> None:
    """A stage's command without an interpreter of its own, whose start would take most of the test's time."""
    _, _, module, *key = stage.cmd.split()
    try:
        importlib.import_module(module).main(key)
    except (ValueError, LookupError) as error:
        raise StageCmdFailedError(stage.cmd, 2) from error


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with the data stages of the real dvc.yaml, none of which has run. The others, which no run of the
    parameters needs, are left out: DVC would spend most of its time on reading them."""
    folder = tmp_path_factory.mktemp("changed")
    for part in ("models", "pipelines"):
        (folder / part).symlink_to(CHECKOUT / part)
    shutil.copytree(CHECKOUT / "platform", folder / "platform", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / ".dvcignore", folder)
    stages = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())["stages"]
    (folder / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": {name: stages[name] for name in ("identities", *OUTPUTS)}})
    )
    write_photographs(folder / "photographs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("dvc.stage.run.cmd_run", run_here)
        patch.setattr("os.cpu_count", lambda: 1)  # draws without further processes
        Repo.init(no_scm=True).close()
        yield folder


def parts_of(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The parameters of these stages and of those that they build on, before or after a change."""
    every, kept = yaml.safe_load(PARAMS), {section: dict[str, Any]() for section in SECTIONS}
    for section, key in (place_of(name) for name in names):
        kept[section][key] = entry = every[section][key]
        datasets = {entry.get("data", "zoo"), CHANGES.get(f"{section}.{key}.data", "zoo")}
        if section in ("splits", "packs"):
            kept["data"] |= {data: every["data"][data] for data in datasets}
    if "drawn" in kept["data"]:
        kept["menagerie"] = every["menagerie"]
    return kept


def place_of(name: str) -> tuple[str, str]:
    stage, _, key = name.partition("@")
    return next(section for section, of in SECTIONS.items() if of == stage), key


def write_params(params: dict[str, dict[str, Any]], place: str = "", value: Any = None) -> None:
    """Write parameters, with another value at one dotted place."""
    at = params = copy.deepcopy(params)
    *way, name = place.split(".")
    for step in way:
        at = at.setdefault(step, {})
    if place:
        at[name] = value
    Path("params.yaml").write_text(yaml.safe_dump(params))


def due() -> set[str]:
    """The stages that DVC would run now, were each to run alone, but the one that always runs."""
    with Repo() as repo:
        return set(repo.status()) - {"identities"}


def reproduce(*names: str, single: bool = False) -> set[str]:
    """Run stages with those that they build on, or alone, and return which were run, but the one that always is."""
    with Repo() as repo:
        return {stage.addressing for stage in repo.reproduce(names, single_item=single)} - {"identities"}


def output(name: str) -> dict[str, str]:
    """The files of the stage's output, with their hashes; none where the stage refused."""
    stage, _, key = name.partition("@")
    out = Path("data", OUTPUTS[stage], key)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


STAGES_CHANGED = sorted({f"{SECTIONS[place.split('.')[0]]}@{place.split('.')[1]}" for place in CHANGES})


@pytest.mark.services
@pytest.mark.parametrize("name", STAGES_CHANGED)
def test_a_changed_setting_re_runs_its_stage_alone_and_changes_its_output(root: Path, name: str):
    (root / "dvc.lock").unlink(missing_ok=True)
    params = parts_of([name])
    write_params(params)
    reproduce(*(f"{SECTIONS[section]}@{key}" for section in params for key in params[section]))
    assert due() == set()
    first, seen = output(name), set[str]()
    for place, value in CHANGES.items():
        if place.startswith(".".join(place_of(name)) + "."):
            seen.add(place)
            write_params(params, place, value)
            assert due() == {name}, place
            with suppress(ReproductionError):
                reproduce(name, single=True)
            changed = output(name)
            assert changed != first, place
            assert bool(changed) == (place != REFUSED), place
            write_params(params)
            reproduce(name, single=True)
            assert output(name) == first, place
    assert seen


@pytest.mark.services
def test_a_changed_first_stage_re_runs_all_that_build_on_it_and_nothing_else(root: Path):
    ends = ["split@chain", "pack@chain", "split@images", "pack@small"]
    (root / "dvc.lock").unlink(missing_ok=True)
    params = parts_of(ends)
    write_params(params)
    reproduce(*ends)
    write_params(params, "menagerie.drawn.side", 48)
    assert reproduce(*ends) == {"draw@drawn", "prepare@drawn", "split@chain", "pack@chain"}
