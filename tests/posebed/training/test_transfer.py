"""Weights of another run: what is equal is copied, keypoints find their own by name, and a stranger is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from experiments import experiment_of
from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.inference.trained_model import open_trained
from posebed.params import read_params
from posebed.records import Category
from posebed.training.transfer import initial_model, keypoint_axes, same_keypoints, transferred
from posestages.train_without_ray import train_without_ray


def setting(*keypoints: str) -> Setting:
    return Setting((64, 64), len(keypoints), (Category("animal", "animal", keypoints),))


class Model(nn.Module):
    """A trunk, a head per keypoint, and one layer that takes two channels before those of the keypoints."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.trunk = nn.Linear(3, 4)
        self.head = nn.Linear(4, setting.keypoints)
        self.fused = nn.Linear(2 + setting.keypoints, 5)
        self.pairs = nn.Parameter(torch.randn(setting.keypoints, setting.keypoints))


PEOPLE = setting("nose", "left_eye", "right_eye", "left_ear")
ANIMALS = setting("Eye_Right", "neck", "left eye")


def moved() -> tuple[dict, dict, dict, str]:
    """Weights before, weights of the source, weights after, and what is told."""
    target, source = Model(ANIMALS), Model(PEOPLE)
    before, given = dict(target.state_dict()), dict(source.state_dict())
    after = transferred(before, given, build=Model, setting=ANIMALS, given=PEOPLE)
    assert after.new == ["neck"]
    return before, given, after.state, after.line


def test_tensors_without_keypoints_are_copied():
    _, source, after, _ = moved()
    for name in ("trunk.weight", "trunk.bias", "fused.bias"):
        assert torch.equal(after[name], source[name])


def test_keypoints_of_the_same_name_take_their_entries_and_the_others_keep_theirs():
    before, source, after, line = moved()
    assert torch.equal(after["head.weight"][[0, 2]], source["head.weight"][[2, 1]])
    assert torch.equal(after["head.weight"][1], before["head.weight"][1])
    assert torch.equal(after["fused.weight"][:, [0, 1, 2, 4]], source["fused.weight"][:, [0, 1, 4, 3]])
    assert torch.equal(after["fused.weight"][:, 3], before["fused.weight"][:, 3])
    assert torch.equal(after["pairs"][[0, 2]][:, [0, 2]], source["pairs"][[2, 1]][:, [2, 1]])
    assert torch.equal(after["pairs"][1], before["pairs"][1])
    assert "2 of 3 keypoints by name" in line and "new are neck" in line


def test_several_skeletons_are_matched_when_they_are_the_same():
    several = Setting((64, 64), 3, (*ANIMALS.categories, Category("fish", "fish", ("nose", "tail"))))
    source = dict(Model(several).state_dict())
    own = dict(Model(several).state_dict())
    after = transferred(own, source, build=Model, setting=several, given=several)
    assert not after.new and all(torch.equal(after.state[name], source[name]) for name in source)
    assert transferred(own, source, build=Model, setting=several, given=ANIMALS).new == ["0", "1", "2"]


def test_nothing_of_the_given_weights_is_changed():
    before, source, after, _ = moved()
    after["head.weight"].zero_()
    assert before["head.weight"].any() and source["head.weight"].any()


def test_keypoint_axes_are_those_that_grow_with_the_keypoints():
    axes = keypoint_axes(Model(ANIMALS).state_dict(), Model, ANIMALS)
    assert axes["head.weight"] == (0,) and axes["fused.weight"] == (1,) and axes["pairs"] == (0, 1)
    assert axes["trunk.weight"] == ()


@pytest.mark.parametrize("theirs", ["L_F_Paw", "Left front paw", "front_paw_left"])
def test_names_are_the_same_in_every_spelling(theirs: str):
    assert same_keypoints(setting("nose", "left_front_paw"), setting(theirs, "left_eye")) == {1: 0}


@given(st.permutations(["nose", "left_eye", "right_eye", "left_ear", "tail"]))
def test_the_same_skeleton_in_any_order_is_matched_whole(names: list[str]):
    other = setting(*(name.upper().replace("_", " ") for name in names))
    matched = same_keypoints(other, setting(*sorted(names)))
    assert {names[i]: sorted(names)[j] for i, j in matched.items()} == {n: n for n in names}


def test_another_architecture_is_refused_in_one_sentence():
    source = Model(PEOPLE).state_dict() | {"trunk.weight": torch.zeros(7, 3), "more": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"of 7 tensors 2 differ, among them more, trunk\.weight"):
        transferred(Model(ANIMALS).state_dict(), source, build=Model, setting=ANIMALS, given=PEOPLE)


START = "runs:\n  tuned: {init_from: baseline, model: simple_baseline, split: quads, pack: small}\n"


@pytest.fixture
def tuned(project: Path) -> Path:
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("runs:\n", START))
    return project


def test_a_fine_tuning_starts_from_the_best_weights_of_its_run(tuned: Path, capsys: pytest.CaptureFixture[str]):
    train_without_ray("baseline")
    experiment = experiment_of("tuned")
    trained = open_trained(tuned / "runs/baseline/seed-0/train", installed())
    model, _ = initial_model(experiment, trained.setting)
    best = load_file(tuned / "runs/baseline/seed-0/train/best.safetensors")
    assert all(torch.equal(tensor, best[name]) for name, tensor in model.state_dict().items())
    train_without_ray("tuned")
    assert "tuned starts from baseline" in capsys.readouterr().out
    about = json.loads((tuned / "runs/tuned/seed-0/train/run.json").read_text())
    assert about["init_from"] == "baseline"


def test_the_fingerprint_follows_the_weights_that_a_run_starts_from(tuned: Path):
    train_without_ray("baseline")
    first = experiment_of("tuned")
    assert experiment_of("tuned").fingerprint == first.fingerprint
    params = tuned / "params.yaml"
    params.write_text(
        params.read_text().replace(
            "baseline: {model: simple_baseline,", "baseline: {seeds: [3], model: simple_baseline,"
        )
    )
    train_without_ray("baseline")
    assert experiment_of("tuned").fingerprint != first.fingerprint


def test_a_run_to_start_from_that_is_not_trained_is_named(tuned: Path):
    with pytest.raises(LookupError, match="must hold a trained run"):
        experiment_of("tuned")


def test_a_run_of_another_model_is_refused(project: Path):
    text = (project / "params.yaml").read_text()
    start = START.replace("baseline,", "floor,", 1)
    (project / "params.yaml").write_text(text.replace("runs:\n", start))
    train_without_ray("floor")
    with pytest.raises(ValueError, match=r"must start from a run of its own model"):
        experiment_of("tuned")
    assert read_params(project / "params.yaml").runs["tuned"].model == "simple_baseline"
