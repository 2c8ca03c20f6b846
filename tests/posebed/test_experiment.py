"""Experiments: decided once, varied by overrides, and known by their fingerprint."""

from __future__ import annotations

from pathlib import Path

import pytest

from posebed.catalog import installed
from posebed.contracts import Task
from posebed.experiment import Experiment, decide
from posebed.params import Params
from posebed.records import Category


def params(**run: object) -> Params:
    return Params.model_validate(
        {
            "data": {"zoo": {"source": "coco_folder", "path": "zoo"}},
            "splits": {"plain": {"data": "zoo"}, "shown": {"data": "zoo", "by": "category", "episodes": {"shots": 3}}},
            "packs": {"small": {"data": "zoo", "crop_size": [64, 64]}},
            "models": {
                "simple_baseline": {"config": {"channels": 16}, "train": {"lr": 0.01, "augment": {"rotation": 10}}},
                "mean_pose": {},
                "proto_net": {},
            },
            "runs": {"run": {"model": "simple_baseline", "split": "plain", "pack": "small", **run}},
        }
    )


def decided(folder: Path = Path("nowhere"), seed: int = 0, **run: object) -> Experiment:
    return decide(params(**run), "run", seed, installed(), folder / "split", folder / "pack")


def test_settings_are_laid_over_one_another():
    experiment = decided(config={"deconvs": 2}, train={"augment": {"flip": 0.1}})
    assert experiment.config.model_dump()["channels"] == 16
    assert experiment.config.model_dump()["deconvs"] == 2
    assert experiment.train.lr == 0.01
    assert experiment.train.augment.rotation == 10
    assert experiment.train.augment.flip == 0.1
    assert experiment.train.epochs == 210, "the published setting"


def test_a_preset_stands_in_the_place_of_the_model_s_own_settings():
    name = "simple-baseline-r101-ap10k-384"
    experiment = decided(preset=name, train={"workers": 2, "augment": {"flip": 0.1}})
    assert experiment.config.model_dump()["backbone"] == "resnet101.tv_in1k"
    assert experiment.config.model_dump()["channels"] == 256, "the published setting"
    assert (experiment.train.lr, experiment.train.workers) == (5e-4, 2)
    assert (experiment.train.augment.rotation, experiment.train.augment.flip) == (40, 0.1)
    assert decided(preset=name, config={"channels": 8}).config.model_dump()["channels"] == 8


def test_a_preset_of_another_model_or_of_no_name_is_refused():
    with pytest.raises(ValueError, match=r"runs\.run\.model must be hrnet, as its preset hrnet-w32-ap10k says"):
        decided(preset="hrnet-w32-ap10k")
    with pytest.raises(LookupError, match=r"close ones: .*hrnet-w32-ap10k"):
        decided(preset="hrnet-w33-ap10k")


def test_a_wrong_setting_is_refused_by_its_place():
    with pytest.raises(ValueError, match=r"runs\.run: chanels"):
        decided(config={"chanels": 3})
    with pytest.raises(ValueError, match=r"runs\.run: .*must be a multiple"):
        decided(train={"batch_size": 10, "workers": 3})


def test_training_may_show_another_number_of_supports_than_the_test():
    assert decided(model="proto_net", split="shown").training_shots == 3
    one = decided(model="proto_net", split="shown", train={"shots": 1})
    assert (one.training_shots, one.shots) == (1, 3)
    with pytest.raises(ValueError, match=r"runs\.run\.train\.shots must be left out .* but is 1"):
        decided(train={"shots": 1})


@pytest.mark.parametrize(
    ("run", "task", "shots"),
    [
        ({"model": "mean_pose"}, Task.CATEGORY_SPECIFIC, 0),
        ({"model": "mean_pose", "split": "shown"}, Task.CATEGORY_AGNOSTIC, 3),
        ({"model": "mean_pose", "split": "shown", "task": "category_specific"}, Task.CATEGORY_SPECIFIC, 0),
        ({"model": "proto_net", "split": "shown"}, Task.CATEGORY_AGNOSTIC, 3),
        ({"split": "shown"}, Task.CATEGORY_SPECIFIC, 0),
    ],
)
def test_the_task_follows_from_model_and_split(run: dict, task: Task, shots: int):
    experiment = decided(**run)
    assert (experiment.task, experiment.shots) == (task, shots)


def test_a_category_agnostic_model_needs_episodes():
    with pytest.raises(ValueError, match="must have episodes"):
        decided(model="proto_net")


def test_episodes_have_annotated_boxes_alone():
    assert decided(boxes="detected").described()["boxes"] == "detected"
    with pytest.raises(ValueError, match=r"boxes must be annotated for episodes"):
        decided(model="proto_net", split="shown", boxes="detected")


def test_a_task_that_the_model_does_not_serve_is_refused():
    with pytest.raises(ValueError, match="must be one of category_specific"):
        decided(split="shown", task="category_agnostic")


def test_a_category_specific_model_refuses_two_skeletons():
    tiger, fly = Category("tiger", "tiger", ("nose", "tail")), Category("fly", "fly", ("head",))
    decided().check_fits([tiger, tiger])
    decided(model="proto_net", split="shown").check_fits([tiger, fly])
    with pytest.raises(ValueError, match="must be given data of one skeleton"):
        decided().check_fits([tiger, fly])


def test_overrides_go_through_the_same_checks():
    experiment = decided().with_overrides({"model.channels": 32, "train.augment.flip": 0.0, "train.lr": 0.5})
    assert experiment.config.model_dump()["channels"] == 32
    assert (experiment.train.lr, experiment.train.augment.flip, experiment.train.augment.rotation) == (0.5, 0.0, 10)
    for wrong in ({"model.chanels": 1}, {"train.lr": -1}, {"data.seed": 1}, {"lr": 1}):
        with pytest.raises(ValueError):
            decided().with_overrides(wrong)


def test_a_member_has_the_seed_that_is_asked_for_and_a_name_of_its_own():
    experiment = decided(seed=3, seeds=[3, 4])
    assert (experiment.seed, experiment.name, experiment.described()["seed"]) == (3, "run seed 3", 3)
