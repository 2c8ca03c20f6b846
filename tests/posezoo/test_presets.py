"""Published results as runs: every number is the published one, and every setting is one that its section takes."""

from __future__ import annotations

import csv
import pkgutil
import re
from collections import Counter, defaultdict
from importlib import import_module
from pathlib import Path

import pytest

from posebed.catalog import installed
from posebed.config import PackConfig, SplitConfig, TrainConfig, merged
from posebed.contracts import Claim, Preset, Task
from posezoo import presets
from posezoo.presets import mp100, mp100_ablations, mp100_edge_cape, proto_pose, tables

CATALOG = installed()
PRESETS = CATALOG.published().presets


each_preset = pytest.mark.parametrize("name", PRESETS)
Row = dict[str, str]
BACKBONES = {
    "ResNet-50": "resnet50",
    "ResNet-101": "resnet101",
    "ViT-Base": "vit_b",
    "ViT-B": "vit_",
    "ViT-L": "'width': 1024",
    "HRNet-W32": "'width': 32",
    "HRNet-W48": "'width': 48",
}
"""What the config of a preset says of the backbone that the table names."""
METRICS = {"APM": "AP_M", "APL": "AP_L"}
AGNOSTIC = {**mp100.PRESETS, **mp100_ablations.PRESETS, **mp100_edge_cape.PRESETS}
ON_THE_WAY = {preset.init_from for preset in mp100_edge_cape.PRESETS.values()} - {None}
"""Stages that another one starts from, and that nothing is published of."""
OTHERS = {*AGNOSTIC, *proto_pose.PRESETS, *tables.PRESETS}
SPECIFIC = {name: preset for name, preset in PRESETS.items() if name not in OTHERS}
PAPERS = {
    "PromptPose: Language Prompt Helps Animal Pose Estimation": "PromptPose",
    "KITPose official README (Raojiyong/KITPose)": "KITPose README",
}


@pytest.fixture
def published(parity_folders: list[Path]) -> list[Row]:
    """The tables of published results, which lie beside the reference numbers."""
    paths = sorted((parity_folders[0].parent / "reference").glob("published_results*.csv"))
    if not paths:
        pytest.skip("needs reference/published_results.csv beside the folder of --parity")
    rows: list[Row] = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            rows += [row for row in csv.DictReader(file) if row["setting"] != "model size"]
    return rows


@each_preset
def test_every_section_takes_the_settings_of_a_preset(name: str):
    preset = PRESETS[name]
    spec = CATALOG.model(preset.model)
    spec.config.model_validate(preset.config)
    TrainConfig.model_validate(merged(spec.train, preset.train))
    dataset = CATALOG.dataset(preset.data["source"])
    dataset.options.model_validate(preset.data.get("options", {}))
    SplitConfig.model_validate({"data": "data", **preset.split})
    PackConfig.model_validate({"data": "data", **preset.pack})
    assert dataset.skeleton or CATALOG.model(preset.model).tasks == (Task.CATEGORY_AGNOSTIC,)


@each_preset
def test_a_preset_claims_something_once_and_starts_from_one_of_its_model(name: str):
    preset = PRESETS[name]
    claimed = [(claim.split, claim.metric, claim.source) for claim in preset.claims]
    unpublished = name in tables.PRESETS or name in ON_THE_WAY or preset.split["by"] == "category"
    assert bool(claimed) != unpublished and len(set(claimed)) == len(claimed)
    if preset.init_from:
        assert PRESETS[preset.init_from].model == preset.model
        assert {**PRESETS[preset.init_from].config, "stage": ""} == {**preset.config, "stage": ""}


def place(source: str) -> str:
    """Paper and table of a row, as claims say it."""
    table = re.search(r"[Tt]able (\d+)", source)
    paper = next((short for long, short in PAPERS.items() if source.startswith(long)), "")
    return f"{paper}, table {table[1]}" if table and paper else ""


def metric_of(row: Row) -> str:
    group = row["metric"].removeprefix("PCK@0.05_")
    if group == row["metric"]:
        return METRICS.get(group, group)
    return "PCK@0.05 of the box" + ("" if group == "Mean" else f", {group}")


def results(rows: list[Row]) -> dict[tuple[str, ...], dict[str, float]]:
    """Every published result: what it is to its numbers."""
    values: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if where := place(row["source"]):
            fields = ("method", "backbone", "pretrain", "setting", "input_size", "dataset", "split")
            values[where, *(row[field] for field in fields)][metric_of(row)] = float(row["value"])
    return values


def claimed(preset: Preset) -> tuple[tuple[str, ...], dict[str, float]]:
    first: Claim = preset.claims[0]
    return (first.source, first.dataset, first.split), {claim.metric: claim.value for claim in preset.claims}


def test_every_claim_is_a_published_number_of_that_model_and_size(published: list[Row]):
    known = results(published)
    for name, preset in SPECIFIC.items():
        where, numbers = claimed(preset)
        matching = [key for key, values in known.items() if (key[0], *key[-2:]) == where and values == numbers]
        assert len(matching) == 1, f"{name} claims {numbers} of {where}, which matches {matching}"
        backbone, size = matching[0][2], matching[0][5].split()[0]
        assert "x".join(map(str, preset.pack["crop_size"])) == size, name
        facts = f"{preset.model} {preset.config}"
        assert BACKBONES[backbone.removesuffix(" (inferred)")] in facts, name


def test_every_result_of_kitpose_and_promptpose_has_a_preset(published: list[Row]):
    presets = [claimed(preset) for preset in SPECIFIC.values()]

    def wanted(key: tuple[str, ...]) -> bool:
        return key[0].startswith("PromptPose") or key[1].startswith("KITPose")

    missing = [
        key
        for key, numbers in results(published).items()
        if wanted(key) and ((key[0], *key[-2:]), numbers) not in presets
    ]
    assert missing == []


MP100_SOURCES = {
    "Dynamic Support Information Mining for Category-Agnostic Pose Estimation": "SDPNet",
    "CapeFormer official README": "CapeFormer README",
    "GraphCape official README": "GraphCape README",
    "CapeX official README": "CapeX README",
    "FMMP official README": "FMMP README",
    "third-party machine-written paper note, not checked against the paper: FMMP": mp100.NOTE,
    "third-party machine-written paper note, not checked against the paper: GenCape": mp100.OTHER_NOTE,
    "third-party leaderboard page listing for POMNet": mp100.LISTING,
    "third-party machine-written paper note, not checked against the paper: EdgeCape": mp100_edge_cape.NOTE,
}
"""Where numbers come from, as the table and as claims say it. Left out are means of ours, what a note on EdgeCape says
of other methods or of links that are false, and one on SCAPE, whose numbers stand in SDPNet's table 5, are speeds, or
are of a backbone (DINOv2's, with patches of 14 pixels) whose crops it does not state."""
MP100_BACKBONES = {
    "ResNet-50": ("resnet50.tv_in1k", 32),
    "HRNet-W32": ("hrnet", 32),
    "SwinV2-Tiny": ("swinv2_tiny_window16_256.ms_in1k", 32),
    "SwinV2-Small": ("swinv2_small_window16_256.ms_in1k", 32),
    "DINOv2 ViT-S/14": ("vit_small_patch14_dinov2.lvd142m", 32),
}
"""The config's backbone, and the width of an HRNet."""
Number = tuple[str, str, str, str, float]
"""Where, method with backbone and shots, split, metric and value."""


def mp100_place(source: str) -> str:
    table = re.search(r", Table (\d+)$", source)
    place = next((short for long, short in MP100_SOURCES.items() if source.startswith(long)), "")
    return f"{place}, table {table[1]}" if table and place else place


def mp100_numbers(rows: list[Row]) -> set[Number]:
    """Every number on MP-100 of a method that the zoo has."""
    methods = {method.name.partition(",")[0] for method in (*mp100.METHODS.values(), mp100_edge_cape.METHOD)}
    metrics = {"PCK@0.2": "PCK@0.2", "mPCK(0.05,0.1,0.15,0.2)": mp100.MEAN, "mPCK(thresholds not stated)": mp100.MEAN}
    values: set[Number] = set()
    for row in rows:
        where = mp100_place(row["source"])
        if where == mp100_edge_cape.NOTE:
            if "false links" in row["setting"] or (row["method"] != "EdgeCape" and "neither" not in row["setting"]):
                continue
            row = {**row, "method": "EdgeCape", "backbone": "DINOv2 ViT-S/14"}
        if row["dataset"] == "MP-100" and row["method"] in methods and where and row["metric"] in metrics:
            backbone, shots = (row[field].removesuffix(" (inferred)") for field in ("backbone", "shots"))
            # CapeX is shown no support: "0 (text)", and "1" where a note quotes it.
            shots = "0" if row["method"].startswith("CapeX") else shots
            what = f"{row['method']}, {backbone}, {shots}-shot"
            split = row["split"].replace("split", "split ")
            values.add((where, what, split, metrics[row["metric"]], float(row["value"])))
    return values


def number(claim: Claim) -> Number:
    what = ", ".join(claim.setting.split(", ")[:3])
    return claim.source, what, claim.split, claim.metric, claim.value


def test_claims_on_mp100_are_all_the_published_numbers_and_no_others(published: list[Row]):
    elsewhere = (mp100_edge_cape.LOG, mp100_edge_cape.MEASURED)
    listed = [claim for preset in AGNOSTIC.values() for claim in preset.claims if claim.source not in elsewhere]
    claims = Counter(map(number, listed))
    assert set(claims) == mp100_numbers(published)
    assert all(count == (5 if split == "average" else 1) for (_, _, split, *_), count in claims.items())


@pytest.mark.parametrize("name", AGNOSTIC)
def test_a_preset_on_mp100_is_the_run_that_its_claims_are_of(name: str):
    preset = AGNOSTIC[name]
    config = CATALOG.model(preset.model).config.model_validate(preset.config)
    assert preset.pack["crop_size"] == [224 if preset.model == "edge_cape" else 256] * 2
    for claim in preset.claims:
        _, backbone, shots, *_ = claim.setting.split(", ")
        assert (config.backbone, getattr(config, "hrnet_width", 32)) == MP100_BACKBONES[backbone]
        assert claim.split in ("average", f"split {preset.data['options']['split']}")
        # One support says which keypoints count where none is shown.
        assert preset.split["episodes"] == {"shots": int(shots.removesuffix("-shot")) or 1, "draw": "official"}
        assert (shots == "0-shot") is (preset.protocol.get("shots") == "0")


def test_each_method_has_a_run_for_every_split_and_number_of_shots():
    runs = Counter((p.model, p.config.get("backbone")) for p in mp100.PRESETS.values() if p.split["by"] == "official")
    assert len(runs) == len(mp100.METHODS)
    assert all(count == (5 if model == "cape_x" else 10) for (model, _), count in runs.items())
    assert sum(name.startswith("edge-cape-s-") for name in set(mp100_edge_cape.PRESETS) - ON_THE_WAY) == 10


def test_every_module_of_presets_can_be_used():
    modules = {module.name for module in pkgutil.iter_modules(presets.__path__) if not module.name.startswith("_")}
    of_modules = [import_module(f"{presets.__name__}.{name}").SPEC.presets for name in modules]
    assert {name for of_one in of_modules for name in of_one} == {*PRESETS}


@each_preset
def test_a_preset_says_what_its_model_is_told(name: str):
    preset, spec = PRESETS[name], CATALOG.model(PRESETS[name].model)
    assert preset.protocol == spec.protocol(spec.config.model_validate(preset.config))


def test_the_full_method_of_sdpnet_stands_in_every_table_of_ablations():
    claims = PRESETS["sdpnet-hrnet-w32-mp100-split1-3shot"].claims
    assert [(claim.source, claim.value) for claim in claims] == [(f"SDPNet, table {n}", 93.54) for n in (1, 2, 3, 4)]


def test_claims_of_proto_pose_are_all_its_numbers_on_the_splits(parity_folders: list[Path]):
    path = parity_folders[0].parent / "reference/published_results_2026.csv"
    if not path.is_file():
        pytest.skip("needs reference/published_results_2026.csv beside the folder of --parity")
    names = {"mPCK(0.05,0.1,0.15,0.2)": "mPCK@.05-.20 by index"}
    with path.open(newline="", encoding="utf-8") as file:
        published = {
            (row["split"], row["shots"], names.get(row["metric"], f"{row['metric']} by index"), float(row["value"]))
            for row in csv.DictReader(file)
            if row["method"] == "ProtoPose" and row["split"].startswith("split")
        }
    claims = {
        (claim.split.replace(" ", ""), str(preset.split["episodes"]["shots"]), claim.metric, claim.value)
        for preset in proto_pose.PRESETS.values()
        for claim in preset.claims
    }
    assert claims == published
