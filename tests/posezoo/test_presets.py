"""Published results as runs: every number is the published one, and every setting is one that its section takes."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path

import pytest

from posebed import catalog
from posebed.config import PackConfig, SplitConfig, TrainConfig, merged
from posebed.contracts import Claim, Preset
from posezoo.presets import PRESETS

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
PAPERS = {
    "PromptPose: Language Prompt Helps Animal Pose Estimation": "PromptPose",
    "KITPose official README (Raojiyong/KITPose)": "KITPose README",
}


@pytest.fixture
def published(parity: Path) -> list[Row]:
    """The table of published results, which lies beside the reference numbers."""
    path = parity.parent / "reference/published_results.csv"
    if not path.is_file():
        pytest.skip("needs reference/published_results.csv beside the folder of --parity")
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["setting"] != "model size"]


@each_preset
def test_every_section_takes_the_settings_of_a_preset(name: str):
    preset = PRESETS[name]
    spec = catalog.load("posezoo", preset.model)
    spec.config.model_validate(preset.config)
    TrainConfig.model_validate(merged(spec.train, preset.train))
    dataset = catalog.load("posebed.datasets", preset.data["source"])
    dataset.options.model_validate(preset.data.get("options", {}))
    SplitConfig.model_validate({"data": "data", **preset.split})
    PackConfig.model_validate({"data": "data", **preset.pack})
    assert dataset.skeleton is not None


@each_preset
def test_a_preset_claims_something_once_and_starts_from_one_of_its_model(name: str):
    preset = PRESETS[name]
    metrics = [claim.metric for claim in preset.claims]
    assert metrics and len(set(metrics)) == len(metrics)
    if preset.init_from:
        assert PRESETS[preset.init_from].model == preset.model
        assert PRESETS[preset.init_from].config == preset.config


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
    found: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if where := place(row["source"]):
            fields = ("method", "backbone", "pretrain", "setting", "input_size", "dataset", "split")
            found[where, *(row[field] for field in fields)][metric_of(row)] = float(row["value"])
    return found


def claimed(preset: Preset) -> tuple[tuple[str, ...], dict[str, float]]:
    first: Claim = preset.claims[0]
    return (first.source, first.dataset, first.split), {claim.metric: claim.value for claim in preset.claims}


def test_every_claim_is_a_published_number_of_that_model_and_size(published: list[Row]):
    known = results(published)
    for name, preset in PRESETS.items():
        where, numbers = claimed(preset)
        matching = [key for key, values in known.items() if (key[0], *key[-2:]) == where and values == numbers]
        assert len(matching) == 1, f"{name} claims {numbers} of {where}, which matches {matching}"
        backbone, size = matching[0][2], matching[0][5].split()[0]
        assert "x".join(map(str, preset.pack["size"])) == size, name
        facts = f"{preset.model} {preset.config}"
        assert BACKBONES[backbone.removesuffix(" (inferred)")] in facts, name


def test_every_result_of_kitpose_and_promptpose_has_a_preset(published: list[Row]):
    presets = [claimed(preset) for preset in PRESETS.values()]

    def wanted(key: tuple[str, ...]) -> bool:
        return key[0].startswith("PromptPose") or key[1].startswith("KITPose")

    missing = [
        key
        for key, numbers in results(published).items()
        if wanted(key) and ((key[0], *key[-2:]), numbers) not in presets
    ]
    assert missing == []
