"""The space of a search: the model's own, as the parameters narrow and widen it, with the run's setting in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from posebed.catalog import installed
from posebed.config import SearchConfig
from posebed.contracts import SEARCHED_EVERYWHERE, Task
from posebed.experiment import Experiment, decide
from posebed.jobs.search_space import own_setting, space_of
from posebed.params import Params
from posebed.space import Choice, LogUniform, Uniform, When, holds

CATALOG = installed()


def searched(model: str, split: str = "plain", **search: Any) -> tuple[Experiment, SearchConfig]:
    params = Params.model_validate(
        {
            "data": {"zoo": {"source": "coco_folder", "path": "zoo"}},
            "splits": {"plain": {"data": "zoo"}, "shown": {"data": "zoo", "by": "category", "episodes": {"shots": 1}}},
            "packs": {"small": {"data": "zoo", "crop_size": [64, 64]}},
            "models": {model: {}},
            "searches": {"s": {"model": model, "split": split, "pack": "small", "budget": {"trials": 2}, **search}},
        }
    )
    return decide(params, "search@s", 1000, CATALOG, Path("split"), Path("pack")), params.searches["s"]


def space(**search: Any) -> dict[str, Any]:
    return space_of(*searched("kitpose", **search))


SEARCHED = [name for name in sorted(CATALOG.models) if CATALOG.model(name).compute is None]


@pytest.mark.parametrize("model", SEARCHED)
def test_every_model_s_space_holds_the_model_s_own_setting(model: str):
    specific = Task.CATEGORY_SPECIFIC in CATALOG.model(model).tasks
    experiment, settings = searched(model, "plain" if specific else "shown")
    actual = space_of(experiment, settings)
    everywhere = SEARCHED_EVERYWHERE if experiment.spec.trained else {}
    assert {*actual} == {*everywhere, *experiment.spec.space}
    for name, value in own_setting(experiment, actual).items():
        dimension = actual[name]
        assert holds(dimension.then if isinstance(dimension, When) else dimension, value), name
    assert experiment.with_overrides(own_setting(experiment, actual)) == experiment


def test_a_setting_outside_the_model_s_space_widens_it():
    actual = space(train={"lr": 0.03}, config={"layers": 9})
    assert holds(actual["train.lr"], 0.03) and holds(actual["train.lr"], 5e-4)
    assert holds(actual["model.layers"], 9) and holds(actual["model.layers"], 4)


def test_only_the_named_dimensions_are_taken_and_others_may_be_added():
    actual = space(
        only=["model.layers", "train.lr"],
        space={"train.lr": {"low": 1e-5, "high": 1e-2, "log": True}, "train.augment.flip": [0.0, 0.5]},
    )
    assert actual == {
        "model.layers": Choice(1, 2, 3, 4),
        "train.lr": LogUniform(1e-5, 1e-2),
        "train.augment.flip": Choice(0.0, 0.5),
    }


def test_null_leaves_a_dimension_out():
    assert "train.augment.rotation" in space()
    assert "train.augment.rotation" not in space(space={"train.augment.rotation": None})


def test_a_narrower_dimension_still_holds_the_run_s_own_value():
    narrow = space(space={"train.augment.rotation": {"low": 0, "high": 10}}, train={"augment": {"rotation": 40}})
    assert narrow["train.augment.rotation"] == Uniform(0, 40)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"only": ["model.layer"]}, r"only must name dimensions of the model's space, but has model\.layer; there is"),
        ({"space": {"model.layer": [1, 2]}}, r"model\.layer must name a parameter, but 'layer' is none; there is"),
        ({"space": {"layers": [1, 2]}}, "layers must name a parameter"),
        ({"space": {"train.augment": {"low": 0, "high": 1}}}, "must be able to hold"),
        ({"space": {"train.augment.rotate": None}}, "'rotate' is none"),
        ({"space": {"train.lr": 0.1}}, r"search@s\.space\.train\.lr must be a list of values"),
        ({"space": {"train.lr": [1e-3, -1.0]}}, r"greater than 0.* is -1\.0"),
        ({"space": {"train.lr": {"low": -1.0, "high": 1.0}}}, "greater than 0"),
        ({"space": {"model.layers": [1, "two"]}}, "is 'two'"),
        ({"space": {"train.batch_size": [64, 63], "train.micro_batch": None}, "train": {"micro_batch": 8}}, "multiple"),
        ({"only": ["train.lr"], "space": {"train.lr": None}}, "must leave something to vary"),
        (
            {
                "space": {
                    "train.clip": {"choice": [0.0, 1.0], "when": {"train.engine": ["torch"]}},
                    "train.engine": ["torch", "deepspeed"],
                }
            },
            r"train\.clip must depend on an earlier dimension, but depends on train\.engine",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_before_the_first_trial(search: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        space(**search)


@pytest.mark.parametrize(("parts", "there"), [(0, False), (4, True)])
def test_a_dimension_whose_condition_is_not_searched_is_there_as_the_run_s_own_setting_says(parts: int, there: bool):
    actual = space(config={"parts": parts}, space={"model.parts": None})
    assert ("model.clustering" in actual) is there
    assert not there or actual["model.clustering"] == Choice("k-medoids", "k-means", "skeleton")


def test_the_run_s_own_value_of_a_conditional_dimension_is_held():
    actual = space(config={"ghrl_weight": 0.5, "ghrl_sigma": 5.0})
    conditional = actual["model.ghrl_sigma"]
    assert isinstance(conditional, When) and holds(conditional.then, 5.0)


def test_values_are_as_the_parameter_holds_them_and_each_once():
    actual = space(
        space={"train.sync_batchnorm": ["yes", "no", True], "train.lr": [1e-4, "1e-4", 0.001], "train.clip": [1, 1.0]}
    )
    assert actual["train.sync_batchnorm"] == Choice(True, False)
    assert actual["train.lr"].values[-2:] == (1e-4, 0.001) and len(actual["train.lr"].values) == 3  # and the run's own
    assert actual["train.clip"].values == (0.0, 1.0)
    assert all(isinstance(value, float) for name in ("train.lr", "train.clip") for value in actual[name].values)
