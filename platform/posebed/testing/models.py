"""What every model keeps to, clause by clause.

A ``ModelSpec`` says how its model is made small (``small``), and which clauses it does not hold and why
(``exceptions``, by their names without ``test_``); those must indeed fail, so that no excuse outlives its reason.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from posebed.catalog import installed
from posebed.contracts import ModelSpec, RoundLearner, Setting, SupportEncoder, Task
from posebed.inference.freezing import frozen
from posebed.inference.shared_supports import predicted as predicted_once_per_episode
from posebed.pose import Batch, EpisodeBatch, Keypoints, taken
from posebed.space import Choice, When
from posebed.testing.clauses import clause, clauses_of
from posebed.testing.discs import (
    EPISODES,
    PADDED,
    SETTING,
    SHOWN,
    SIDE,
    TWO_KINDS,
    drawn,
    episodes,
    reordered,
    scattered,
)
from posebed.testing.steps import Answer, Unseen, compiled, on_accelerator, on_stand_in
from posebed.training.precision import computing, keep_float32
from posebed.training.training_step import TrainingStep


class ModelSuite:
    """Tests of the contract; a subclass whose name begins with ``Test`` is collected by pytest."""

    models: ClassVar[Sequence[str]] = ()
    """Names in the catalog."""

    def exceptions(self, given: Mapping[str, Any]) -> Mapping[str, str]:
        return spec_of(given["name"]).exceptions

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if {"name", "task"} <= {*metafunc.fixturenames}:
            cases = [(name, task) for name in self.models for task in spec_of(name).tasks]
            metafunc.parametrize(("name", "task"), cases, ids=str)
        elif "name" in metafunc.fixturenames:
            metafunc.parametrize("name", self.models)

    # --- what it predicts

    @clause
    def test_predictions_are_finite_points_with_confidences(self, name: str, task: Task) -> None:
        points = predicted(built(name), drawn(task))
        assert points.xy.shape == (4, PADDED, 2) and points.weight.shape == (4, PADDED)
        assert points.xy.isfinite().all()
        assert ((points.weight >= 0) & (points.weight <= 1)).all()

    @clause
    def test_the_same_seed_gives_the_same_numbers(self, name: str, task: Task) -> None:
        one, other = built(name), built(name)
        batch = drawn(task)
        if is_trained(name):
            assert torch.equal(loss_of(one, batch), loss_of(other, batch))
        a, b = predicted(one, batch), predicted(other, batch)
        assert torch.equal(a.xy, b.xy) and torch.equal(a.weight, b.weight)

    @clause
    def test_padded_keypoints_change_nothing(self, name: str, task: Task) -> None:
        model = built(name)
        model.eval()
        batch = drawn(task)
        other = replace(batch, keypoints=scattered(batch.keypoints))
        if isinstance(other, EpisodeBatch):
            other = replace(other, support=scattered(other.support))
        if is_trained(name):
            torch.testing.assert_close(loss_of(model, other), loss_of(model, batch))
        a, b = predicted(model, batch), predicted(model, other)
        same(without_padding(a), without_padding(b))

    @clause
    def test_the_query_s_annotation_never_influences_its_prediction(self, name: str, task: Task) -> None:
        model, batch = built(name), drawn(task)
        nothing = Keypoints(torch.zeros_like(batch.keypoints.xy), torch.zeros_like(batch.keypoints.weight))
        same(predicted(model, replace(batch, keypoints=nothing)), predicted(model, batch))

    @clause
    def test_a_prediction_does_not_depend_on_its_neighbours_in_the_batch(self, name: str, task: Task) -> None:
        model, batch = built(name), drawn(task)
        single: dict[str, Any] = {
            field: Keypoints(value.xy[:1], value.weight[:1]) if isinstance(value, Keypoints) else value[:1]
            for field, value in vars(batch).items()
        }
        whole = predicted(model, batch)
        same(predicted(model, replace(batch, **single)), Keypoints(whole.xy[:1], whole.weight[:1]))

    @clause
    def test_frozen_for_answers_it_gives_the_same(self, name: str, task: Task) -> None:
        model, batch = built(name), drawn(task)
        model(batch)  # moves the running statistics
        stored = through_a_file(model)
        answering = frozen(model.eval(), batch)
        for seed in (1, 2):
            other = drawn(task, seed=seed)
            a, b = predicted(answering, other), predicted(model, other)
            torch.testing.assert_close(a.weight, b.weight, rtol=1e-4, atol=1e-4)
            # Rounding may turn a choice between cells that are nearly alike.
            met = (a.xy - b.xy).norm(dim=2) < 1e-2
            assert met.float().mean() >= 0.9
        assert all(torch.equal(stored[key], tensor) for key, tensor in model.state_dict().items())

    # --- what it does with supports

    @clause
    def test_the_order_of_the_shots_does_not_matter(self, name: str, task: Task) -> None:
        model, batch = built(name), episode_batch(task)
        support = Keypoints(batch.support.xy.flip(1), batch.support.weight.flip(1))
        aspect = batch.support_aspect.flip(1) if batch.support_aspect is not None else None
        turned = replace(batch, support_image=batch.support_image.flip(1), support=support, support_aspect=aspect)
        same(predicted(model, turned), predicted(model, batch))

    @clause
    def test_the_order_of_the_keypoints_does_not_matter(self, name: str, task: Task) -> None:
        model, batch = built(name), episode_batch(task)
        order = [2, 0, 3, 1, 4]
        turned = replace(batch, keypoints=reordered(batch.keypoints, order), support=reordered(batch.support, order))
        expected = reordered(predicted(model, batch), order)
        points = predicted(model, turned)
        same(without_padding(points), without_padding(expected))

    @clause
    def test_supports_looked_at_once_tell_every_query_the_same(self, name: str, task: Task) -> None:
        model: Any = built(name, setting=TWO_KINDS)
        model.eval()
        offered = isinstance(model, SupportEncoder)
        if not offered:
            pytest.skip("does not look at supports without a query")
        batch = episodes()
        with torch.no_grad():
            same(model.decode(predicted_once_per_episode(model, batch, EPISODES), batch), predicted(model, batch))
            support = model.encode_support(batch)
            blind = replace(batch, support_image=torch.zeros_like(batch.support_image))
            same(model.decode(model.locate(blind, support), blind), predicted(model, batch))

    @clause
    def test_a_round_teaches_the_same_whatever_the_order_of_its_categories(self, name: str, task: Task) -> None:
        model: Any = built(name, setting=TWO_KINDS)
        model.eval()
        offered = isinstance(model, RoundLearner)
        if not offered:
            pytest.skip("does not learn from rounds")
        stored, batch = through_a_file(model), episodes()
        with torch.no_grad():
            firsts = [EPISODES.index(episode) for episode in dict.fromkeys(EPISODES)]
            one, other = (model.learn_round(taken(batch, torch.tensor(rows))) for rows in (firsts, firsts[::-1]))
            same(*(model.decode(model.locate_after(batch, learnt), batch) for learnt in (one, other)))
        assert all(torch.equal(stored[key], tensor) for key, tensor in model.state_dict().items())

    # --- how it learns

    @clause
    def test_one_step_lowers_the_loss_on_one_batch(self, name: str, task: Task) -> None:
        model, batch = trained_model(name), drawn(task)
        before = loss_of(model, batch)
        before.backward()
        trained = trainable(model)
        slope = sum(float(p.grad.square().sum()) for p in trained if p.grad is not None)
        # So far down the slope that a straight line would lose a thousandth.
        torch.optim.SGD(trained, lr=1e-3 * before.item() / slope).step()
        assert loss_of(model, batch).item() < before.item()

    @clause
    def test_gradients_reach_every_trainable_parameter(self, name: str, task: Task) -> None:
        model, batch = trained_model(name), drawn(task)
        optimizer = torch.optim.Adam(trainable(model), lr=1e-3)
        # Layers that start from 0 let nothing through before a step, and there may be one behind another.
        for _ in range(2):
            step(model, batch, optimizer)
        loss_of(model, batch).backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        assert all(g is not None and g.isfinite().all() for g in gradients.values())
        assert [n for n, g in gradients.items() if not g.any()] == []

    @clause
    def test_half_precision_trains_and_predicts(self, name: str, task: Task) -> None:
        model, batch = trained_model(name), drawn(task)
        keep_float32(model, torch.device("cpu"))
        with computing("bfloat16", torch.device("cpu")):
            prediction = model(batch)
        loss = sum(model.losses(prediction, batch).values(), torch.zeros(()))
        loss.backward()
        torch.testing.assert_close(loss, loss_of(model, batch), rtol=0.03, atol=0)
        assert model.decode(prediction, batch).xy.dtype == torch.float32

    @clause
    def test_learning_can_fit_sixteen_pictures(self, name: str, task: Task) -> None:
        model, batch = trained_model(name), drawn(task, 16)
        optimizer = torch.optim.Adam(trainable(model), lr=3e-3)
        for _ in range(20):
            model.train()
            for _ in range(10):
                step(model, batch, optimizer)
            distance = (predicted(model, batch).xy - batch.keypoints.xy)[:, :SHOWN].norm(dim=2)
            if (distance < 0.1 * SIDE).float().mean() > 0.9:
                return
        pytest.fail(f"a tenth of the crop must be met by more than 0.9, but distances are {distance}")

    # --- what it asks of a compiler and an accelerator

    @clause
    def test_a_training_step_is_one_graph_of_fixed_shapes(self, name: str, task: Task) -> None:
        eager, graph, batch = (
            TrainingStep(trained_model(name), "float32"),
            TrainingStep(built(name), "float32"),
            drawn(task, 2),
        )
        expected, losses = (seeded_losses(run, batch) for run in (eager, compiled(graph)))
        torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-7)
        sum(losses.values(), torch.zeros(())).backward()
        sum(expected.values(), torch.zeros(())).backward()
        for one, other in zip(graph.parameters(), eager.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)

    @clause
    def test_an_answer_is_one_graph_of_fixed_shapes(self, name: str, task: Task) -> None:
        batch = drawn(task, 2)
        with torch.no_grad():
            answer, expected = compiled(Answer(built(name)))(batch), predicted(built(name), batch)
        same(without_padding(answer), without_padding(expected))

    @clause
    def test_a_training_step_never_waits_for_the_device(self, name: str, task: Task) -> None:
        step, batch = TrainingStep(trained_model(name), "float32"), drawn(task, 2)
        try:
            on_stand_in(step, batch)
            loss = loss_of(built(name), batch)
        except NotImplementedError:
            with Unseen():
                loss = loss_of(built(name), batch)
        with Unseen():
            loss.backward()
        if torch.cuda.is_available():
            on_accelerator(TrainingStep(built(name), "float32"), batch)

    @clause
    @torch.no_grad()
    def test_an_answer_never_waits_for_the_device(self, name: str, task: Task) -> None:
        batch = drawn(task, 2)
        on_stand_in(Answer(built(name)), batch)
        if torch.cuda.is_available():
            on_accelerator(Answer(built(name)), batch)

    # --- how it is kept

    @clause
    def test_weights_survive_a_file(self, name: str, task: Task) -> None:
        model, batch = built(name), drawn(task)
        model(batch)  # moves the running statistics
        other = built(name, seed=1)
        other.load_state_dict(through_a_file(model))
        a, b = predicted(model, batch), predicted(other, batch)
        assert torch.equal(a.xy, b.xy) and torch.equal(a.weight, b.weight)

    @clause
    def test_a_training_goes_on_from_a_file_to_the_same_numbers(self, name: str, task: Task) -> None:
        whole, batch = trained_model(name), drawn(task)
        optimizer = torch.optim.SGD(trainable(whole), lr=1e-3)
        step(whole, batch, optimizer)
        resumed = built(name, seed=1)
        resumed.load_state_dict(through_a_file(whole))
        step(whole, batch, optimizer)
        step(resumed, batch, torch.optim.SGD(trainable(resumed), lr=1e-3))
        for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
            assert torch.equal(a, b)

    @clause
    def test_a_model_that_is_not_trained_stays_as_it_is(self, name: str, task: Task) -> None:
        if is_trained(name):
            pytest.skip("is trained")
        model, batch = built(name), drawn(task)
        before, expected = through_a_file(model), predicted(model, batch)
        model.train()
        model(batch)
        assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())
        assert not trainable(model)
        same(predicted(model, batch), expected)

    # --- what its SPEC says

    def test_settings_that_a_run_keeps_are_read_again_as_they_were(self, name: str) -> None:
        spec = spec_of(name)
        for given in ({}, spec.small):
            config = spec.config.model_validate(given)
            assert spec.config.model_validate(config.model_dump(mode="json")) == config

    def test_the_search_space_offers_values_that_the_settings_take(self, name: str) -> None:
        spec = spec_of(name)
        for dotted, dimension in spec.space.items():
            head, _, field = dotted.partition(".")
            if head == "model":
                plain = dimension.then if isinstance(dimension, When) else dimension
                for value in plain.values if isinstance(plain, Choice) else (plain.low, plain.high):
                    spec.config(**{field: value})

    def test_exceptions_are_of_clauses(self, name: str) -> None:
        assert spec_of(name).exceptions.keys() <= clauses_of(ModelSuite)


@functools.cache
def spec_of(name: str) -> ModelSpec:
    return installed().model(name)


def is_trained(name: str) -> bool:
    return spec_of(name).trained


def built(name: str, seed: int = 0, setting: Setting = SETTING) -> Any:
    """The small form of a model; one with a closed form is computed from some pictures."""
    spec = spec_of(name)
    torch.manual_seed(seed)
    model = spec.model(spec.config.model_validate(spec.small), setting)
    if spec.compute:
        training = drawn(Task.CATEGORY_SPECIFIC, seed=10 + seed)
        assert training.aspect is not None
        spec.compute(model, training.keypoints, training.aspect)
    return model


def trained_model(name: str) -> Any:
    if not is_trained(name):
        pytest.skip("is not trained")
    return built(name)


def trainable(model: Any) -> list[Tensor]:
    return [p for p in model.parameters() if p.requires_grad]


def episode_batch(task: Task) -> EpisodeBatch:
    batch = drawn(task)
    if not isinstance(batch, EpisodeBatch):
        pytest.skip("has no supports")
    return batch


def step(model: Any, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss_of(model, batch).backward()
    optimizer.step()


def loss_of(model: Any, batch: Batch, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return sum(model.losses(model(batch), batch).values(), torch.zeros(()))


def seeded_losses(step: Callable[[Batch], Any], batch: Batch) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(step(batch)[1])


@torch.no_grad()
def predicted(model: Any, batch: Batch) -> Keypoints:
    model.eval()
    return model.decode(model(batch), batch)


def same(a: Keypoints, b: Keypoints) -> None:
    torch.testing.assert_close(a.xy, b.xy, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(a.weight, b.weight, rtol=1e-4, atol=1e-4)


def without_padding(points: Keypoints) -> Keypoints:
    return Keypoints(points.xy[:, :SHOWN], points.weight[:, :SHOWN])


def through_a_file(model: Any) -> dict[str, Tensor]:
    """The state dictionary, as a file of weights keeps it."""
    return load(save({n: t.contiguous() for n, t in model.state_dict().items()}))
