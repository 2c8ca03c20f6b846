"""What a model's own code does wrong is told in one sentence that says which promise it breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from posebed.config import Section
from posebed.contracts import ModelSpec, Task
from posebed.pose import Keypoints
from posebed.testing.discs import SETTING, drawn
from posebed.training.pose_module import TooLargeError, build, decoded, losses_of


class Broken(nn.Module):
    """Gives what it was told to."""

    def __init__(self, config: Section, setting: object) -> None:
        super().__init__()
        self.given: Any = None

    def losses(self, prediction: Any, batch: Any) -> Any:
        return self.given

    def decode(self, prediction: Any, batch: Any) -> Any:
        return self.given


SPEC = ModelSpec(tasks=(Task.CATEGORY_SPECIFIC,), config=Section, model=Broken, space={})


def test_a_model_that_cannot_be_built_says_for_what():
    def build_badly(config: Section, setting: object) -> Any:
        return nn.Linear("wide", 3)  # pyright: ignore[reportArgumentType]

    spec = ModelSpec(tasks=(Task.CATEGORY_SPECIFIC,), config=Section, model=build_badly, space={})
    with pytest.raises(ValueError, match=r"must be built for 5 keypoints in crops of 64 x 64, but raises TypeError: "):
        build(spec, Section(), SETTING)


def _without_end(part: Callable[[], nn.Module]) -> Any:
    def grow(config: Section, setting: object) -> nn.Module:
        return nn.Sequential(*(part() for _ in iter(int, 1)))

    return grow


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda: nn.Linear(1000, 1000, device="meta"), "numbers must fit into 1.0 GB, but take more"),
        (lambda: nn.Sequential(nn.ReLU()), "must have at most 50000 layers and tensors, but has more"),
    ],
)
def test_a_model_that_grows_without_end_is_refused(part: Callable[[], nn.Module], message: str):
    spec = ModelSpec(tasks=(Task.CATEGORY_SPECIFIC,), config=Section, model=_without_end(part), space={})
    with pytest.raises(TooLargeError, match=message):
        build(spec, Section(), SETTING, most_bytes=10**9)
    build(SPEC, Section(), SETTING, most_bytes=0)  # nothing is counted any more


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "none"), ({"map": torch.zeros(4)}, "{'map': (4,)}")],
)
def test_losses_are_named_scalars(given: Any, found: str):
    model: Any = build(SPEC, Section(), SETTING)
    model.given = given
    with pytest.raises(ValueError, match=re.escape(f"losses of Broken must be named scalars, but are {found}")):
        losses_of(model, None, drawn(Task.CATEGORY_SPECIFIC))


def test_answers_are_a_point_and_a_confidence_for_every_keypoint():
    model: Any = build(SPEC, Section(), SETTING)
    model.given = Keypoints(torch.zeros(4, 3, 2), torch.zeros(4, 5))
    message = "decode of Broken must give points (4, 5, 2) and confidences (4, 5), but gives (4, 3, 2) and (4, 5)"
    with pytest.raises(ValueError, match=re.escape(message)):
        decoded(model, None, drawn(Task.CATEGORY_SPECIFIC))
