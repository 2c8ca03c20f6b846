"""What a run refuses, it refuses before any worker starts; and runs that only ask other questions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from experiments import experiment_of
from posebed.catalog import installed
from posebed.params import read_params
from posebed.places import PARAMS, member_folder, pack_folder, prepared_folder, split_folder
from posebed.provenance import origin
from posestages.pack import pack
from posestages.prepare import prepare
from posestages.score import score
from posestages.split import split
from posestages.tasks import predict_member
from posestages.train_without_ray import train_without_ray

CATALOG = installed()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("model: simple_baseline, config: {weights: lost.pth}", "weights must be a file, but lost.pth is none"),
        ("model: simple_baseline, config: {stride: 24}", "height and width of the crop must be multiples of 24"),
        ("model: simple_baseline, preset: hrnet-w32-ap10k", "model must be hrnet, as its preset hrnet-w32-ap10k says"),
        ("model: simple_baseline, preset: hrnet-w33-ap10k", "a preset must be one that `posebed presets` lists"),
    ],
)
def test_what_a_model_refuses_is_reported_when_the_run_is_decided(project: Path, entry: str, message: str):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("runs:\n", f"runs:\n  new: {{split: quads, pack: small, {entry}}}\n")
    )
    with pytest.raises((ValueError, LookupError), match=message):
        experiment_of("new")


STARTED = """runs:
  more-shots: {init_from: prototypes, model: proto_net, split: two-shots, pack: small, train: {epochs: 0}}
"""
TWO_SHOTS = """
  two-shots:
    {data: quads, by: category, val: [cow], test: [fox], episodes: {shots: 2, queries: 3, episodes: 4, val_episodes: 2}}
"""


def test_no_epochs_take_the_weights_as_they_are_to_other_questions(project: Path):
    text = (project / "params.yaml").read_text().replace("runs:\n", STARTED)
    (project / "params.yaml").write_text(text.replace("splits:\n", "splits:" + TWO_SHOTS))
    split(read_params(project / "params.yaml"), "two-shots", prepared_folder("quads"), split_folder("two-shots"))
    train_without_ray("prototypes")
    train_without_ray("more-shots")
    trained, taken = (
        load_file(member_folder(key, 0) / "train/best.safetensors") for key in ("prototypes", "more-shots")
    )
    assert trained.keys() == taken.keys() and all(torch.equal(trained[name], taken[name]) for name in trained)
    predict_member("more-shots", 0, CATALOG)
    assert score("more-shots", read_params(PARAMS), CATALOG, origin(prepared_folder("quads"))).protocol["shots"] == "2"


def test_a_run_that_starts_from_no_other_needs_epochs(project: Path):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("epochs: 4", "epochs: 0"))
    with pytest.raises(ValueError, match=r"runs\.baseline\.train\.epochs must be 1 or more"):
        experiment_of("baseline")


def test_weights_are_not_taken_as_they_are_to_keypoints_that_they_do_not_know(project: Path):
    started = "other: {init_from: baseline, model: simple_baseline, split: renamed, pack: renamed, train: {epochs: 0}}"
    annotations = Path(shutil.copytree("data/menagerie/quads", "data/menagerie/renamed")) / "annotations.json"
    annotations.write_text(annotations.read_text().replace('"nose"', '"snout"'))
    text = (project / "params.yaml").read_text().replace("runs:\n", f"runs:\n  {started}\n")
    for section in ("data", "splits", "packs"):
        entry = "source: coco_folder, path: data/menagerie/renamed" if section == "data" else "data: renamed"
        text = text.replace(f"{section}:\n", f"{section}:\n  renamed: {{{entry}}}\n", 1)
    (project / "params.yaml").write_text(text)
    params = read_params(project / "params.yaml")
    prepare(params, "renamed", prepared_folder("renamed"))
    split(params, "renamed", prepared_folder("renamed"), split_folder("renamed"))
    pack(params, "renamed", prepared_folder("renamed"), pack_folder("renamed"))
    train_without_ray("baseline")
    with pytest.raises(ValueError, match="must have no keypoint that baseline has not learnt, but new are snout"):
        experiment_of("other")
