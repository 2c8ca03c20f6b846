"""Official checkpoints: names mapped, every tensor accounted for, and a run that finds poses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from parity_adapters.case import cases
from posebed.catalog import installed
from posebed.config import PackConfig, SplitConfig
from posebed.contracts import Setting
from posebed.data.pack import write_pack
from posebed.data.splits import Split, write_split
from posebed.data.test_episodes import Episode
from posebed.inference.trained_model import open_trained
from posebed.places import member_folder, pack_folder, split_folder
from posebed.predictions import read_predictions
from posebed.records import Category, Record
from posebed.training.run_folder import read_about
from posestages.cli import app
from posestages.commands.import_checkpoint import Origin, import_checkpoint, read_size
from posestages.commands.pictures import predict_pictures
from posestages.tasks import predict_member

CATALOG = installed()
SMALL = {"width": 8, "blocks": 1, "modules": [1, 1, 1]}
ORIGIN = Origin(data="ap10k", size=(64, 64), config=SMALL)


def released(folder: Path, wrap: str = "state_dict", prefix: str = "", **more: Tensor) -> Path:
    """A small HRNet with the names of mmpose 0.x."""
    spec, dataset = CATALOG.model("hrnet"), CATALOG.dataset("ap10k")
    torch.manual_seed(0)
    model = spec.model(spec.config(**SMALL, weights="none"), Setting((64, 64), 17, (dataset.skeleton,)))
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("normalise.")}
    state = {prefix + name.replace("head.", "keypoint_head."): tensor for name, tensor in own.items()}
    state |= more
    torch.save({wrap: state, "epoch": 3} if wrap else state, folder / "official.pth")
    return folder / "official.pth"


def picture(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    cv2.imwrite(str(folder / "animal.png"), noise)
    return folder / "animal.png"


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("wrap", "prefix"), [("state_dict", ""), ("state_dict", "module."), ("best_state_dict", ""), ("", "")]
)
def test_an_imported_checkpoint_predicts_with_the_names_of_its_dataset(empty: Path, wrap: str, prefix: str):
    folder = import_checkpoint("hrnet", released(empty, wrap, prefix), "official", ORIGIN)
    assert predict_pictures("official", [picture(empty)], None, empty / "poses") == 1
    poses = json.loads((empty / "poses/poses.json").read_text())
    assert poses["categories"][0]["keypoints"][3] == "neck"
    about = json.loads((folder / "run.json").read_text())
    assert (about["size"], about["padding"], about["imported"]) == ([64, 64], 1.25, "official.pth")
    assert json.loads((folder / "curve.json").read_text()) == []


def test_the_weights_are_those_of_the_file(empty: Path):
    file = released(empty)
    trained = open_trained(import_checkpoint("hrnet", file, "official", ORIGIN), CATALOG)
    state = torch.load(file, weights_only=True)["state_dict"]
    own = trained.model.state_dict()
    assert all(torch.equal(own[name.replace("keypoint_head.", "head.")], tensor) for name, tensor in state.items())


def test_what_is_missing_and_left_over_is_reported_and_nothing_is_written(empty: Path):
    file = released(empty, extra=torch.zeros(3))
    content: Any = torch.load(file, weights_only=True)
    del content["state_dict"]["keypoint_head.final_layer.bias"]
    torch.save(content, file)
    with pytest.raises(ValueError, match=r"missing head\.final_layer\.bias, and unexpected extra"):
        import_checkpoint("hrnet", file, "official", ORIGIN)
    assert not Path("runs").exists()


def test_a_checkpoint_of_another_shape_is_refused(empty: Path):
    with pytest.raises(ValueError, match="must have the module's shapes"):
        import_checkpoint("hrnet", released(empty), "official", Origin(data="animal_pose", size=(64, 64), config=SMALL))


@pytest.mark.parametrize(
    ("model", "origin", "message"),
    [
        ("hrnet", Origin(), "--preset or --data must say"),
        ("hrnet", Origin(preset="kitpose-e2c4-w32-ap10k"), "must be one of hrnet, but kitpose-e2c4-w32-ap10k is one"),
        ("hrnet", Origin(data="coco_folder"), "must be a dataset whose skeleton is known"),
        ("hrnet", Origin(data="ap10k", config={"widht": 3}), "widht"),
        ("mean_pose", Origin(data="ap10k"), "none is known of mean_pose"),
    ],
)
def test_a_wrong_origin_is_refused(empty: Path, model: str, origin: Origin, message: str):
    with pytest.raises(ValueError, match=message):
        import_checkpoint(model, released(empty), "official", origin)


def test_a_run_is_named_like_a_key(empty: Path):
    with pytest.raises(ValueError, match="import-checkpoint: runs"):
        import_checkpoint("hrnet", released(empty), "../elsewhere", ORIGIN)


def test_a_preset_brings_size_crops_and_names(empty: Path):
    spec, preset = CATALOG.model("hrnet"), CATALOG.preset("udp-w48-coco-384")
    setting = Setting((384, 288), 17, (CATALOG.dataset("coco_keypoints").skeleton,))
    small = {"width": 8, "blocks": 1, "modules": (1, 1, 1)}
    model = spec.model(spec.config(**{**preset.config, **small, "weights": "none"}), setting)
    torch.save(model.state_dict(), empty / "official.pth")
    folder = import_checkpoint("hrnet", empty / "official.pth", "mine", Origin(preset="udp-w48-coco-384", config=small))
    about = json.loads((folder / "run.json").read_text())
    assert (about["key"], about["preset"], about["boxes"]) == ("mine", "udp-w48-coco-384", "detected")
    assert (about["size"], about["convention"], about["config"]["target"]) == ([384, 288], "udp", "udp")
    assert about["pack"] == "coco-keypoints-detections-384x288-udp"
    assert predict_pictures("mine", [picture(empty)], None, empty / "poses") == 1


def test_a_file_that_would_run_code_is_refused(empty: Path):
    torch.save({"state_dict": {"x": Path("x")}}, empty / "evil.pth")
    with pytest.raises(ValueError, match="must hold tensors alone"):
        import_checkpoint("hrnet", empty / "evil.pth", "official", ORIGIN)


def test_the_command_takes_settings_in_words(empty: Path):
    words = [f"{name}={json.dumps(value)}" for name, value in SMALL.items()]
    options = [part for word in words for part in ("--set", word)]
    command = ["import-checkpoint", "hrnet", str(released(empty)), "--out", "official", "--data", "ap10k"]
    app([*command, "--size", "64x96", *options], standalone_mode=False)
    assert open_trained(Path("runs/official/seed-0/train"), CATALOG).setting.size == (64, 96)
    for wrong in ("64", "axb", "64x"):
        with pytest.raises(ValueError, match="must be HEIGHTxWIDTH"):
            read_size(wrong)


@pytest.mark.services
@pytest.mark.parametrize(
    ("folder", "model", "preset"),
    [
        ("hrnet", "hrnet", "hrnet-w32-ap10k"),
        ("simplebaseline", "simple_baseline", "simple-baseline-r50-animal-kingdom"),
        ("kitpose", "kitpose", "kitpose-e2c4-w32-ap10k"),
        ("clamp", "prompt_pose", "clamp-r50-animal-pose"),
    ],
)
def test_official_names_and_shapes_load(
    empty: Path, parity: Callable[[str], Path], folder: str, model: str, preset: str
):
    """The first case of each reference, as a checkpoint of a run that has its size and number of keypoints."""
    case = next(cases(parity(folder)))
    fitting = {17: "ap10k", 20: "animal_pose", 23: "animal_kingdom"}
    data = fitting[case.spec["K"]]
    torch.save({"state_dict": dict(case.state), "meta": {}}, empty / "official.pth")
    width, height = case.spec.get("image_size", (256, 256))
    config = CATALOG.preset(preset).config
    origin = Origin(data=data, size=(height, width), config=config)
    import_checkpoint(model, empty / "official.pth", "official", origin)
    assert predict_pictures("official", [picture(empty)], None, empty / "poses") == 1


SLIM = {"backbone": "test_resnet", "weights": "none", "width": 16, "heads": 2, "feed_forward": 16}
AGNOSTIC: dict[str, dict[str, Any]] = {
    "cape_former": {**SLIM, "encoder_layers": 1, "decoder_layers": 1},
    "graph_cape": {**SLIM, "encoder_layers": 1, "decoder_layers": 1, "drop_path": 0.0},
    "cape_x": {
        **SLIM,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "drop_path": 0.0,
        "text_encoder": "minilm",
        "text_weights": "none",
    },
    "edge_cape": {**SLIM, "stride": 32, "encoder_layers": 1, "decoder_layers": 1, "edge_layers": 1},
    "fmmp": {**SLIM, "layers": 1},
    "pomnet": {**SLIM, "encoder_layers": 1, "decoder_layers": 1},
}
"""The models of any category that are released, made small."""
THEIRS = {
    "cape_former": {"backbone.trunk.": "encoder_sample.", "feed_forward.linear": "linear"},
    "graph_cape": {"backbone.trunk.": "backbone."},
    "cape_x": {
        "backbone.trunk.": "backbone.",
        "proposal_generator.query_proj.": "proposal_generator.query_projection.",
        "query_proj.": "text_proj.",
        "query_projection.": "query_proj.",
        "descriptions.reader.tower.": "text_backbone.",
    },
    "edge_cape": {"backbone.trunk.": "encoder_query."},
    "fmmp": {"backbone.trunk.": "backbone."},
    "pomnet": {},
}
"""What their releases call parts of them."""
CATEGORIES = [Category("kite", "kite", tuple("abcd"), limbs=((0, 1), (1, 2))), Category("pin", "pin", ("head", "tip"))]


def episodes_for(run: str, shots: int) -> int:
    """The pack and the split that the run names, with one episode for each of two categories; the number of queries."""
    about, rng = read_about(member_folder(run, 0) / "train"), np.random.default_rng(0)
    records: list[Record] = []
    for category in CATEGORIES:
        for number in range(shots + 2):
            name = f"{category.key}{number}"
            cv2.imwrite(f"{name}.png", rng.integers(0, 256, (64, 64, 3), np.uint8))
            points = np.column_stack(
                [rng.uniform(5, 60, (len(category.keypoints), 2)), np.full(len(category.keypoints), 2)]
            )
            records.append(Record(name, f"{name}.png", 64, 64, category.key, (0.0, 0.0, 64.0, 64.0), 4096.0, points))
    write_pack(
        records, CATEGORIES, Path(), PackConfig(data="d", crop_size=tuple(about["size"])), pack_folder(about["pack"])
    )
    names = {c.key: [r.record for r in records if r.category == c.key] for c in CATEGORIES}
    plan = [Episode(i, c, tuple(of[:shots]), tuple(of[shots:])) for i, (c, of) in enumerate(names.items())]
    split = Split({r.record: "test" for r in records}, {"test": plan})
    write_split(split_folder(about["split"]), split, records, SplitConfig(data="d"))
    return 2 * len(plan)


def small_release(model: str) -> tuple[Path, Origin]:
    spec = CATALOG.model(model)
    built = spec.model(spec.config(**AGNOSTIC[model]), Setting((64, 64), 4, tuple(CATEGORIES)))
    state = {}
    for name, tensor in built.state_dict().items():
        for ours, theirs in THEIRS[model].items():
            name = name.replace(ours, theirs)
        state[name] = tensor
    torch.save(state, "official.pth")
    return Path("official.pth"), Origin(data="mp100", size=(64, 64), config=AGNOSTIC[model])


@pytest.mark.parametrize("model", AGNOSTIC)
def test_an_imported_run_of_any_category_answers_the_episodes_of_its_data(empty: Path, model: str):
    file, origin = small_release(model)
    folder = import_checkpoint(model, file, "official", origin)
    assert read_about(folder)["categories"] == []
    queries = episodes_for("official", shots=1)
    predict_member("official", 0, CATALOG)
    predictions = read_predictions(member_folder("official", 0) / "predicted/predictions.parquet")
    assert len(predictions) == queries


@pytest.mark.parametrize("model", AGNOSTIC)
def test_an_incomplete_or_foreign_release_is_refused_in_one_sentence(empty: Path, model: str):
    file, origin = small_release(model)
    state = torch.load(file, weights_only=True)
    del state[next(name for name in state if name.endswith("conv1.0.weight"))]
    torch.save(state | {"optimizer.step": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match=r"missing \S*conv1.0.weight, and unexpected optimizer.step$") as refusal:
        import_checkpoint(model, file, "official", origin)
    assert "\n" not in str(refusal.value)
    assert not Path("runs").exists()


@pytest.mark.services
@pytest.mark.parametrize(
    ("folder", "model", "preset", "shots"),
    [
        ("capeformer", "cape_former", "cape-former-r50-mp100-split1-1shot", 1),
        ("graphcape", "graph_cape", "graph-cape-t-mp100-split1-1shot", 1),
        ("edgecape", "edge_cape", "edge-cape-s-mp100-split1-1shot", 1),
        ("fmmp", "fmmp", "fmmp-r50-mp100-split3-5shot", 5),
        ("pomnet", "pomnet", "pomnet-r50-mp100-split1-1shot", 1),
    ],
)
def test_official_releases_of_any_category_load(
    empty: Path, parity: Callable[[str], Path], folder: str, model: str, preset: str, shots: int
):
    """Whole, with the tables that a backbone makes by itself, under the preset's settings."""
    case = next(cases(parity(folder)))
    kept = {name: torch.zeros(shape) for name, shape, _ in case.variant["state_dict"] if name not in case.state}
    torch.save({"state_dict": {**case.state, **kept}, "meta": {}}, "official.pth")
    run = import_checkpoint(model, Path("official.pth"), "official", Origin(preset=preset))
    assert read_about(run)["config"].get("reversed_chains", True), "as the released code of FMMP"
    queries = episodes_for("official", shots)
    predict_member("official", 0, CATALOG)
    assert len(read_predictions(member_folder("official", 0) / "predicted/predictions.parquet")) == queries
