"""MAML and Fine-tune: an episode's weights are its own, made once, the same every time, and never the stored ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.data.codecs import HeatmapCodec
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo.blocks.adaptation import PARTS, Adaptive, supports_of
from posezoo.maml import MAML

CATALOG = installed()


SIDE, SHOTS, SHOWN, PADDED = 64, 2, 4, 5
SETTING = Setting((SIDE, SIDE), PADDED, (Category("blob", "blob", tuple("abcd")),))
NETWORK = {"weights": "none", "backbone": "resnet10t", "stride": 8, "deconvs": 1, "channels": 16}
SMALL = {
    "maml": {**NETWORK, "part": "all", "inner_lr": 0.1, "test_steps": 2},
    "fine_tune": {**NETWORK, "inner_lr": 1e-2, "steps": 3},
}
both = pytest.mark.parametrize("name", SMALL)


def built(name: str, **config: Any) -> Any:
    spec = CATALOG.model(name)
    torch.manual_seed(0)
    return spec.model(spec.config(**{**SMALL[name], **config}), SETTING).eval()


def episodes(count: int = 4, seed: int = 1) -> EpisodeBatch:
    """Two episodes, whose queries take turns."""
    random = torch.Generator().manual_seed(seed)
    shown = (torch.arange(PADDED) < SHOWN).float()

    def points(*shape: int) -> Keypoints:
        xy = torch.empty(*shape, PADDED, 2).uniform_(4, SIDE - 5, generator=random)
        return Keypoints(xy, shown.repeat(*shape, 1))

    def images(*shape: int) -> Tensor:
        return torch.randint(0, 256, (*shape, 3, SIDE, SIDE), generator=random, dtype=torch.uint8)

    rows = torch.arange(count)
    of, supports = rows % 2, points(2, SHOTS)
    shots = Keypoints(supports.xy[of], supports.weight[of])
    return EpisodeBatch(images(count), points(count), torch.zeros_like(rows), rows, images(2, SHOTS)[of], shots)


@torch.no_grad()
def heatmaps(model: Adaptive, batch: EpisodeBatch) -> Tensor:
    return model.eval()(batch)


def counted(model: Adaptive, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Fills with the supports that weights are fitted to."""
    seen, fitted = [], model.fitted
    monkeypatch.setattr(model, "fitted", lambda supports: seen.append(supports.digests) or fitted(supports))
    return seen


@both
def test_adaptation_leaves_the_stored_weights_untouched(name: str) -> None:
    model = built(name, part="all")
    stored = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    heatmaps(model, episodes())
    assert all(torch.equal(tensor, stored[key]) for key, tensor in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@both
def test_an_episode_always_gives_the_same_answer(name: str) -> None:
    batch = episodes()
    torch.manual_seed(0)
    first = heatmaps(built(name), batch)
    torch.manual_seed(1)
    model = built(name)
    heatmaps(model, episodes(seed=2))
    assert torch.equal(heatmaps(model, batch), first)


@both
def test_other_supports_give_another_answer(name: str) -> None:
    model, batch, other = built(name), episodes(), episodes(seed=2)
    moved = replace(batch, support_image=other.support_image, support=other.support)
    assert not torch.allclose(heatmaps(model, moved), heatmaps(model, batch), rtol=0.1, atol=0)


@both
def test_an_episode_is_fitted_once_for_all_its_queries(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = built(name), episodes()
    seen = counted(model, monkeypatch)
    with torch.no_grad():
        model(batch)
        assert len(seen) == len(set(seen)) == 2
        last = replace(batch, support_image=batch.support_image[[1, 1, 0, 0]])
        last = replace(last, support=Keypoints(batch.support.xy[[1, 1, 0, 0]], batch.support.weight))
        model(last)
    assert len(seen) == 3, "the batch begins with the episode that the one before ended with"


@both
def test_what_was_fitted_is_forgotten_when_stored_weights_may_have_changed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = built(name), episodes()
    seen = counted(model, monkeypatch)
    heatmaps(model, batch)
    model.train().eval()
    heatmaps(model, batch)
    assert len(seen) == 4


@both
def test_where_a_keypoint_lies_that_a_support_hides_changes_nothing(name: str) -> None:
    model, batch = built(name), episodes()
    batch.support.weight[:, 0, 1] = 0
    elsewhere = replace(batch, support=replace(batch.support, xy=batch.support.xy.clone()))
    elsewhere.support.xy[:, 0, 1] = 11.0
    assert torch.equal(heatmaps(model, elsewhere), heatmaps(model, batch))


@both
@pytest.mark.parametrize("part", PARTS)
def test_an_episode_changes_the_chosen_part_and_nothing_else(name: str, part: str) -> None:
    model = built(name, part=part)
    stored = dict(model.network.named_parameters())
    fitted = model._fitted_once(supports_of(episodes())[0])
    assert fitted.keys() == stored.keys()
    changed = {key for key, tensor in fitted.items() if not torch.equal(tensor, stored[key])}
    assert changed and all(key.startswith(PARTS[part]) for key in changed)
    assert not any(tensor.requires_grad for tensor in fitted.values())


@both
def test_fitted_weights_know_the_supports_better(name: str) -> None:
    model = built(name, **({"steps": 30, "scale": 0.0, "rotation": 0.0} if name == "fine_tune" else {"test_steps": 30}))
    supports = supports_of(episodes())[0]
    before = model.error(model.network(supports.image), supports.keypoints)
    after = model.error(model.by(model._fitted_once(supports), supports.image), supports.keypoints)
    assert after < 0.9 * before


@both
def test_weights_are_fitted_in_single_precision(name: str) -> None:
    model, supports = built(name), supports_of(episodes())[0]
    with torch.autocast("cpu", torch.bfloat16):
        half = model._fitted_once(supports)
    model.eval()
    single = model._fitted_once(supports)
    assert all(torch.equal(half[key], tensor) for key, tensor in single.items())


@both
def test_an_episode_without_any_keypoint_takes_the_stored_weights(name: str) -> None:
    model, batch = built(name), episodes()
    batch.support.weight[:] = 0
    with torch.no_grad():
        prediction = model(batch)
        torch.testing.assert_close(prediction.view(4, PADDED, 16, 16), model.network(batch.image))
        assert not model.decode(prediction, batch).weight.any()


@both
def test_scattered_parameters_are_refused(name: str) -> None:
    assert CATALOG.model(name).max_zero == 2


def test_the_seed_decides_how_supports_are_varied() -> None:
    batch = episodes()
    assert not torch.allclose(heatmaps(built("fine_tune", seed=1), batch), heatmaps(built("fine_tune"), batch))


def test_keypoints_move_with_the_varied_picture() -> None:
    model, supports = built("fine_tune", steps=20), supports_of(episodes())[0]
    spots = torch.zeros(SHOTS, 3, SIDE, SIDE, dtype=torch.uint8)
    spots[:, :, 28:31, 38:41] = 255
    points = Keypoints(torch.tensor([39.0, 29.0]).expand(SHOTS, PADDED, 2), supports.keypoints.weight)
    places = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="xy"), -1)
    varied = list(model._varied(replace(supports, image=spots, keypoints=points)))
    for image, keypoints in varied:
        light = image[:, 0, :, :, None]
        centre = (light * places).sum((1, 2)) / light.sum((1, 2))
        torch.testing.assert_close(centre, keypoints.xy[:, 0], rtol=0, atol=0.1)
    assert len(varied) == 20 and len({tuple(keypoints.xy[0, 0].tolist()) for _, keypoints in varied}) > 10


class Smooth(nn.Module):
    """A network so small, and so smooth, that gradients can be measured."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, PADDED, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.second(self.first(image / 255).tanh())


def meta_learner(steps: int, second_order: bool) -> MAML:
    model = built("maml", steps=steps, second_order=second_order, inner_lr=1.0).train()
    torch.manual_seed(0)
    model.network, model.codec = Smooth().double(), HeatmapCodec((SIDE, SIDE), (16, 16), kind="dark")
    return model


def in_double() -> EpisodeBatch:
    batch = episodes()
    query, support = (Keypoints(p.xy.double(), p.weight.double()) for p in (batch.keypoints, batch.support))
    image, shown = batch.image.double(), batch.support_image.double()
    return replace(batch, image=image, keypoints=query, support_image=shown, support=support)


def loss_of(model: MAML, batch: EpisodeBatch) -> Tensor:
    return model.losses(model(batch), batch)["heatmap"]


def slope(model: MAML) -> Tensor:
    parameters = list(model.network.parameters())
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss_of(model, in_double()), parameters)])


def test_without_steps_first_and_second_order_are_the_same() -> None:
    assert torch.equal(slope(meta_learner(0, second_order=False)), slope(meta_learner(0, second_order=True)))


def test_gradients_of_second_order_are_those_of_what_the_steps_lead_to() -> None:
    model, batch = meta_learner(2, second_order=True), in_double()
    direction = torch.randn(sum(p.numel() for p in model.network.parameters()), dtype=torch.float64)
    start = nn.utils.parameters_to_vector(model.network.parameters()).detach()

    def at(step: float) -> float:
        nn.utils.vector_to_parameters(start + step * direction, model.network.parameters())
        return loss_of(model, batch).item()

    first, second = slope(meta_learner(2, second_order=False)) @ direction, slope(model) @ direction
    measured = (at(1e-5) - at(-1e-5)) / 2e-5
    assert second.item() == pytest.approx(measured, rel=1e-6)
    assert abs(first.item() - measured) > 1e-3 * abs(measured)


def test_training_moves_batch_norm_s_statistics_by_the_batch_as_it_is() -> None:
    model, plain = built("maml", steps=1).train(), built("maml", steps=1).network.train()
    batch = episodes()
    model(batch)
    plain(torch.cat([batch.image, batch.support_image.flatten(0, 1)]))
    for name, expected in plain.named_buffers():
        torch.testing.assert_close(model.network.get_buffer(name), expected)
