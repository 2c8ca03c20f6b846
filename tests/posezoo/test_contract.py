"""What every model of the zoo keeps to. A new module is collected by itself; ``TINY`` must say how to make it small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from posebed.catalog import installed
from posebed.contracts import Setting, SupportEncoder, Task
from posebed.inference.shared_supports import predicted as predicted_once_per_episode
from posebed.pose import Batch, EpisodeBatch, Keypoints
from posebed.records import Category
from posebed.space import Choice, When

CATALOG = installed()


TWO_STAGE = {
    "weights": "none",
    "backbone": "test_resnet",
    "stride": 8,
    "width": 32,
    "heads": 4,
    "feed_forward": 64,
    "dropout": 0.0,
    "encoder_layers": 1,
    "decoder_layers": 2,
}
ADAPTIVE = {"weights": "none", "backbone": "test_resnet", "stride": 8, "deconvs": 1, "channels": 32}
TINY: dict[str, dict[str, Any]] = {
    "cape_former": {**TWO_STAGE, "slots": 8},
    "fine_tune": {**ADAPTIVE, "steps": 2},
    "fmmp": {
        "weights": "none",
        "backbone": "test_resnet",
        "width": 32,
        "heads": 4,
        "feed_forward": 64,
        "dropout": 0.0,
        "layers": 2,
        "references": 3,
        "slots": 8,
    },
    "graph_cape": {**TWO_STAGE, "map_stride": 8, "drop_path": 0.0},
    "hrnet": {"weights": "none", "width": 8, "blocks": 1, "modules": (1, 1, 1)},
    "kitpose": {"weights": "none", "width": 8, "blocks": 1, "modules": (1, 1, 1), "parts": 2, "dim": 64, "cutmix": 0.0},
    "maml": {**ADAPTIVE, "part": "head", "steps": 1, "test_steps": 2},
    "mean_pose": {},
    "nearest_box": {},
    "pomnet": {
        **{name: value for name, value in TWO_STAGE.items() if name != "decoder_layers"},
        "decoder_layers": 1,
        "deconvs": 1,
    },
    "prompt_pose": {
        "weights": "none",
        "backbone": "test_resnet",
        "stride": 16,
        "channels": 32,
        "text_encoder": "minilm",
        "text_weights": "none",
        "decoder_layers": 1,
    },
    "proto_net": {"weights": "none", "backbone": "test_resnet", "stride": 8},
    "sdpnet": {
        "weights": "none",
        "backbone": "test_resnet",
        "stride": 8,
        "fine_strides": (8,),
        "width": 32,
        "heads": 4,
        "feed_forward": 64,
        "dropout": 0.0,
        "encoder_layers": 1,
        "interaction_layers": 1,
        "stages": 2,
        "slots": 8,
    },
    "simple_baseline": {"weights": "none", "backbone": "test_resnet", "stride": 16, "deconvs": 2, "channels": 32},
    "vit_pose": {"weights": "none", "width": 64, "depth": 2, "heads": 2, "channels": 32, "drop_path": 0.0},
}
"""Overrides of each model's config that make it small and free of downloads."""

IN_ORDER = {"sdpnet"}
"""Models to which the order of the shots means something, by a code that each shot has."""
SIDE, SHOTS, SHOWN, PADDED = 64, 2, 4, 5
COLOURS = np.array([[255, 40, 40], [40, 255, 40], [60, 60, 255], [255, 255, 40]])
SETTING = Setting((SIDE, SIDE), PADDED, (Category("blob", "blob", tuple("abcd")),))

CASES = [(name, task) for name in sorted(CATALOG.models) for task in CATALOG.model(name).tasks]
TRAINED = [(name, task) for name, task in CASES if CATALOG.model(name).compute is None]
each_model = pytest.mark.parametrize(("name", "task"), CASES, ids=str)
each_trained_model = pytest.mark.parametrize(("name", "task"), TRAINED, ids=str)


def built(name: str, seed: int = 0, setting: Setting = SETTING) -> Any:
    if name not in TINY:
        pytest.fail(f"TINY must say how {name} is made small for tests, but has only {', '.join(TINY)}")
    spec = CATALOG.model(name)
    torch.manual_seed(seed)
    model = spec.model(spec.config(**TINY[name]), setting)
    if spec.compute:
        training = drawn(Task.CATEGORY_SPECIFIC, seed=10 + seed)
        spec.compute(model, training.keypoints, training.aspect)
    return model


def discs(count: int, generator: np.random.Generator) -> tuple[Tensor, Keypoints]:
    """Pictures of coloured discs, one colour per keypoint, the last keypoint being padding."""
    points = generator.uniform(6, SIDE - 7, (count, SHOWN, 2))
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.full((count, SIDE, SIDE, 3), 90) + generator.integers(-20, 20, (count, SIDE, SIDE, 1))
    for keypoint in range(SHOWN):
        centre = points[:, keypoint, :, None, None]
        image[(x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2 < 16] = COLOURS[keypoint]
    xy = torch.zeros(count, PADDED, 2)
    xy[:, :SHOWN] = torch.from_numpy(points)
    weight = (torch.arange(PADDED) < SHOWN).float().expand(count, -1)
    return torch.from_numpy(image).byte().permute(0, 3, 1, 2).contiguous(), Keypoints(xy, weight)


def aspects(shape: int | tuple[int, int], seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0.5, 2, shape))


def drawn(task: Task, count: int = 4, seed: int = 0) -> Batch:
    generator = np.random.default_rng(seed)
    image, keypoints = discs(count, generator)
    category, row = torch.zeros(count, dtype=torch.int64), torch.arange(count)
    if task == Task.CATEGORY_SPECIFIC:
        return Batch(image, keypoints, category, row, aspect=aspects(count, seed))
    shown, points = discs(count * SHOTS, generator)
    shots = (count, SHOTS)
    support = Keypoints(points.xy.unflatten(0, shots), points.weight.unflatten(0, shots))
    boxes = {"aspect": aspects(count, seed), "support_aspect": aspects(shots, seed + 1)}
    return EpisodeBatch(image, keypoints, category, row, shown.unflatten(0, shots), support, **boxes)


SMALLER = Category("bit", "bit", ("a", "b"), limbs=((0, 1),))
TWO_KINDS = replace(SETTING, categories=(replace(SETTING.categories[0], limbs=((0, 1), (1, 2), (2, 3))), SMALLER))
EPISODES = [7, 7, 7, 2, 2, 4]


def episodes() -> EpisodeBatch:
    """Queries of ``EPISODES``, the second of which is of the smaller kind; some supports hide keypoints."""
    one, queries = drawn(Task.CATEGORY_AGNOSTIC, 3), drawn(Task.CATEGORY_SPECIFIC, 6, seed=1)
    assert isinstance(one, EpisodeBatch)
    shown = one.support.weight.clone()
    shown[0, 0, 1] = shown[2, :, 3] = 0
    shown[1, :, 2:] = 0
    which = torch.tensor([0, 0, 0, 1, 1, 2])
    category = torch.tensor([0, 1, 0])[which]
    support = Keypoints(one.support.xy[which], shown[which])
    return EpisodeBatch(queries.image, queries.keypoints, category, queries.row, one.support_image[which], support)


def loss_of(model: Any, batch: Batch, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return sum(model.losses(model(batch), batch).values(), torch.zeros(()))


@torch.no_grad()
def predicted(model: Any, batch: Batch) -> Keypoints:
    model.eval()
    return model.decode(model(batch), batch)


def same(a: Keypoints, b: Keypoints) -> None:
    torch.testing.assert_close(a.xy, b.xy, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(a.weight, b.weight, rtol=1e-4, atol=1e-4)


def scattered(points: Keypoints, seed: int = 1) -> Keypoints:
    """The same, with keypoints of weight 0 put anywhere, outside the crop as well."""
    anywhere = torch.empty_like(points.xy).uniform_(-200, 200, generator=torch.Generator().manual_seed(seed))
    return replace(points, xy=torch.where(points.weight[..., None] > 0, points.xy, anywhere))


@each_trained_model
def test_one_step_lowers_the_loss_on_one_batch(name: str, task: Task) -> None:
    model = built(name)
    batch = drawn(task)
    before = loss_of(model, batch)
    before.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    slope = sum(float(p.grad.square().sum()) for p in trained if p.grad is not None)
    # So far down the slope that a straight line would lose a thousandth.
    torch.optim.SGD(trained, lr=1e-3 * before.item() / slope).step()
    assert loss_of(model, batch).item() < before.item()


@each_trained_model
def test_gradients_reach_every_trainable_parameter(name: str, task: Task) -> None:
    model = built(name)
    batch = drawn(task)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    # Layers that start from 0 let nothing through before a step, and there may be one behind another.
    for _ in range(2):
        loss_of(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    loss_of(model, batch).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    assert [n for n, g in gradients.items() if not g.any()] == []


@each_model
def test_padded_keypoints_change_nothing(name: str, task: Task) -> None:
    model = built(name)
    model.eval()
    batch = drawn(task)
    other = replace(batch, keypoints=scattered(batch.keypoints))
    if isinstance(other, EpisodeBatch):
        other = replace(other, support=scattered(other.support))
    if (name, task) in TRAINED:
        torch.testing.assert_close(loss_of(model, other), loss_of(model, batch))
    a, b = predicted(model, batch), predicted(model, other)
    same(Keypoints(a.xy[:, :SHOWN], a.weight[:, :SHOWN]), Keypoints(b.xy[:, :SHOWN], b.weight[:, :SHOWN]))


@each_model
def test_the_query_s_annotation_never_influences_its_prediction(name: str, task: Task) -> None:
    model = built(name)
    batch = drawn(task)
    nothing = Keypoints(torch.zeros_like(batch.keypoints.xy), torch.zeros_like(batch.keypoints.weight))
    same(predicted(model, replace(batch, keypoints=nothing)), predicted(model, batch))


@each_model
def test_a_prediction_does_not_depend_on_its_neighbours_in_the_batch(name: str, task: Task) -> None:
    model = built(name)
    batch = drawn(task)
    single: dict[str, Any] = {
        field: Keypoints(value.xy[:1], value.weight[:1]) if isinstance(value, Keypoints) else value[:1]
        for field, value in vars(batch).items()
    }
    whole = predicted(model, batch)
    same(predicted(model, replace(batch, **single)), Keypoints(whole.xy[:1], whole.weight[:1]))


@each_model
def test_the_order_of_the_shots_does_not_matter(name: str, task: Task) -> None:
    if task == Task.CATEGORY_SPECIFIC:
        pytest.skip("has no shots")
    if name in IN_ORDER:
        pytest.skip("knows shots by their order")
    model = built(name)
    batch = drawn(task)
    assert isinstance(batch, EpisodeBatch)
    support = Keypoints(batch.support.xy.flip(1), batch.support.weight.flip(1))
    aspect = batch.support_aspect.flip(1)
    turned = replace(batch, support_image=batch.support_image.flip(1), support=support, support_aspect=aspect)
    same(predicted(model, turned), predicted(model, batch))


@torch.no_grad()
@each_model
def test_supports_looked_at_once_tell_every_query_the_same(name: str, task: Task) -> None:
    model = built(name, setting=TWO_KINDS)
    model.eval()
    offered = isinstance(model, SupportEncoder)
    if not offered:
        pytest.skip("does not look at supports without a query")
    batch = episodes()
    same(model.decode(predicted_once_per_episode(model, batch, EPISODES), batch), predicted(model, batch))
    support = model.encode_support(batch)
    blind = replace(batch, support_image=torch.zeros_like(batch.support_image))
    same(model.decode(model.locate(blind, support), blind), predicted(model, batch))


@each_model
def test_weights_survive_a_file(name: str, task: Task, tmp_path: Path) -> None:
    model = built(name)
    batch = drawn(task)
    model(batch)  # moves the running statistics
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, tmp_path / "model.safetensors")
    other = built(name, seed=1)
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    a, b = predicted(model, batch), predicted(other, batch)
    assert torch.equal(a.xy, b.xy) and torch.equal(a.weight, b.weight)


@each_model
def test_predictions_are_finite_points_with_confidences(name: str, task: Task) -> None:
    model = built(name)
    points = predicted(model, drawn(task))
    assert points.xy.shape == (4, PADDED, 2) and points.weight.shape == (4, PADDED)
    assert points.xy.isfinite().all()
    assert ((points.weight >= 0) & (points.weight <= 1)).all()


@each_trained_model
def test_half_precision_trains_and_predicts(name: str, task: Task) -> None:
    model = built(name)
    batch = drawn(task)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = model(batch)
    loss = sum(model.losses(prediction, batch).values(), torch.zeros(()))
    loss.backward()
    exact = loss_of(model, batch)
    torch.testing.assert_close(loss, exact, rtol=0.03, atol=0)
    assert model.decode(prediction, batch).xy.dtype == torch.float32


@each_trained_model
def test_learning_can_fit_sixteen_pictures(name: str, task: Task) -> None:
    model = built(name)
    batch = drawn(task, 16)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=3e-3)
    for _ in range(20):
        model.train()
        for _ in range(10):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()
        distance = (predicted(model, batch).xy - batch.keypoints.xy)[:, :SHOWN].norm(dim=2)
        if (distance < 0.1 * SIDE).float().mean() > 0.9:
            return
    pytest.fail(f"a tenth of the crop must be met by more than 0.9, but distances are {distance}")


@pytest.mark.parametrize("name", sorted(CATALOG.models))
def test_the_search_space_offers_values_that_the_settings_take(name: str) -> None:
    spec = CATALOG.model(name)
    for dotted, dimension in spec.space.items():
        head, _, field = dotted.partition(".")
        if head == "model":
            plain = dimension.then if isinstance(dimension, When) else dimension
            for value in plain.values if isinstance(plain, Choice) else (plain.low, plain.high):
                spec.config(**{field: value})
