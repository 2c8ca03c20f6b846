"""Training steps and their gradients as graphs, with options that small forms leave out; and what is no such step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from posebed.catalog import installed
from posebed.contracts import Task
from posebed.pose import Batch
from posebed.testing.discs import TWO_KINDS, drawn
from posebed.testing.models import is_trained, seeded_losses, spec_of
from posebed.testing.steps import compiled, on_stand_in
from posebed.training.training_step import TrainingStep

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "CutMix": ("kitpose", {"cutmix": 0.5}),
    "k-means": ("kitpose", {"clustering": "k-means"}),
    "skeleton": ("kitpose", {"clustering": "skeleton"}),
    "tuned text": ("cape_x", {"tune_text": True}),
    "second order": ("maml", {"second_order": True}),
}
ZOO = sorted(name for name, entry in installed().models.items() if entry.module.startswith("posezoo."))
TRAINED = [name for name in ZOO if is_trained(name)]


def step(name: str, config: dict[str, Any]) -> tuple[TrainingStep, Batch]:
    spec = spec_of(name)
    torch.manual_seed(0)
    setting = replace(TWO_KINDS, categories=TWO_KINDS.categories[:1])
    model = spec.model(spec.config.model_validate({**spec.small, **config}), setting)
    return TrainingStep(model, "float32"), drawn(spec.tasks[0], 2)


@pytest.mark.services
@pytest.mark.parametrize(("name", "config"), [*((name, {}) for name in TRAINED), *OPTIONS.values()])
def test_a_step_and_its_gradients_are_one_graph_each(name: str, config: dict[str, Any]) -> None:
    (eager, batch), (graph, _) = step(name, config), step(name, config)
    expected, losses = seeded_losses(eager, batch), seeded_losses(compiled(graph, "aot_eager"), batch)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-7)
    for terms in (losses, expected):
        sum(terms.values(), torch.zeros(())).backward()
    for one, other in zip(graph.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["CutMix", "k-means", "skeleton", "tuned text"])
def test_options_never_wait_for_the_device(name: str) -> None:
    on_stand_in(*step(*OPTIONS[name]))


class Looking(nn.Module):
    """A model that does what none may."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, batch: Batch) -> torch.Tensor:
        image = batch.image.float()
        match self.how:
            case "item":
                return image * image.mean().item()
            case "branch":
                return image if image.sum() > 0 else -image
            case "mask":
                return image[image > 0]
            case "nonzero":
                return image.flatten().nonzero()
            case "numbers":
                return image * image.new_tensor([1.0, 2.0, 3.0])[:, None, None]
            case "list":
                return image[[1, 0]]
            case "cpu":
                return image.cpu()
            case _:
                return torch.from_numpy(image.numpy())


@pytest.mark.parametrize("how", ["item", "branch", "mask", "nonzero", "numbers", "list", "cpu", "numpy"])
def test_a_look_at_the_device_is_found(how: str) -> None:
    with pytest.raises(AssertionError):
        on_stand_in(Looking(how), drawn(Task.CATEGORY_SPECIFIC, 2))


@pytest.mark.parametrize("how", ["item", "branch", "mask", "nonzero"])
def test_a_shape_or_branch_that_depends_on_data_is_no_graph(how: str) -> None:
    with pytest.raises(AssertionError, match="there must be one graph"):
        compiled(Looking(how))(drawn(Task.CATEGORY_SPECIFIC, 2))
