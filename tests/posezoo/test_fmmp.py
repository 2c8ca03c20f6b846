"""FMMP: its size, its switches, and what its predictions may and may not depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from posebed.contracts import Setting
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo.fmmp import FMMP, Config

SIDE = 64
QUADRUPED = Category("q", "q", tuple("abcdef"), limbs=((0, 1), (1, 2), (1, 3), (3, 4), (3, 5)))
PAIRS = Category("p", "p", tuple("abcd"), limbs=((0, 1), (2, 3)))
LOOSE = Category("l", "l", tuple("abc"))
CATEGORIES = (QUADRUPED, PAIRS, LOOSE)
SETTING = Setting((SIDE, SIDE), 6, CATEGORIES)
SMALL: dict[str, Any] = {
    "weights": "none",
    "backbone": "resnet10t",
    "width": 32,
    "heads": 4,
    "feed_forward": 32,
    "dropout": 0.0,
    "layers": 2,
    "references": 3,
    "slots": 12,
}


def built(setting: Setting = SETTING, **config: Any) -> FMMP:
    """In evaluation, and with heads that move every point to a place of its own, which new ones do not."""
    torch.manual_seed(0)
    model = FMMP(Config(**{**SMALL, **config}), setting)
    for name, parameter in model.named_parameters():
        if name.startswith("offsets.") or "sampling_offsets" in name or "attention_weights" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def drawn(category: list[int], shots: int = 2, keypoints: int = 6) -> EpisodeBatch:
    draw, count = torch.Generator().manual_seed(0), len(category)
    pictures = torch.randint(0, 256, (count, shots + 1, 3, SIDE, SIDE), generator=draw, dtype=torch.uint8)
    xy = SIDE * torch.rand(count, shots + 1, keypoints, 2, generator=draw)
    counts = torch.tensor([len(CATEGORIES[c].keypoints) for c in category])
    weight = (torch.arange(keypoints) < counts[:, None])[:, None].float().repeat(1, shots + 1, 1)
    return EpisodeBatch(
        pictures[:, 0],
        Keypoints(xy[:, 0], weight[:, 0]),
        torch.tensor(category),
        torch.arange(count),
        pictures[:, 1:],
        Keypoints(xy[:, 1:], weight[:, 1:]),
    )


def located(model: FMMP, batch: EpisodeBatch) -> torch.Tensor:
    """(B, K, 2) of the data's keypoints."""
    with torch.no_grad():
        return model(batch).points[-1, :, : batch.support.weight.shape[2]]


def test_it_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = FMMP(Config(weights="none"), replace(SETTING, size=(256, 256)))
    parameters = sum(p.numel() for p in model.parameters())
    assert round(parameters / 1e6, 1) == 40.9
    assert round(sum(p.numel() for p in model.query_miners[0].parameters()) / 1e6, 2) == 2.63


def test_every_prediction_starts_from_the_middle() -> None:
    points = located(FMMP(Config(**SMALL), SETTING).eval(), drawn([0, 1]))
    torch.testing.assert_close(points, torch.full_like(points, 0.5))


@pytest.mark.parametrize(
    "switch",
    [
        {"padding": "zero"},
        {"padding": "equal"},
        {"test_padding": "zero"},
        {"test_padding": "mixup"},
        {"slots": 35},
        {"slots": 100},
        {"layers": 1},
        {"layers": 4, "reuse_layers": True},
        {"references": 1},
        {"strides": (32,)},
        {"support_miner": False},
        {"support_miner": False, "references": 1, "padding": "zero", "test_padding": "zero"},
        {"identifier": False},
        {"hidden_neighbours": True, "query_neighbours": "last", "reversed_chains": True},
        {"supervise_shown": True},
    ],
    ids=str,
)
def test_every_switch_changes_something_and_can_be_trained(switch: dict[str, Any]) -> None:
    model, batch = built(**switch), drawn([0, 1, 2])
    batch.support.weight[0, :, 2] = 0
    batch.support.weight[0, 1, 3] = 0

    def total(of: FMMP) -> float:
        torch.manual_seed(0)
        training = torch.stack(list(of.train().losses(of(batch), batch).values())).sum()
        training.backward()
        return training.item() + located(of.eval(), batch).sum().item()

    assert total(model) != total(built())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("test_padding", ["equal", "mixup", "zero"])
def test_where_an_invisible_keypoint_is_noted_changes_nothing(test_padding: str) -> None:
    model, batch = built(test_padding=test_padding), drawn([0, 1, 2])
    batch.support.weight[0, :, 1] = 0
    batch.support.weight[1, 0, 2] = 0
    elsewhere = torch.where(batch.support.weight[..., None] > 0, batch.support.xy, -3 * SIDE)
    other = replace(batch, support=replace(batch.support, xy=elsewhere))
    torch.testing.assert_close(located(model, other), located(model, batch))


def test_the_length_that_the_data_are_padded_to_changes_nothing() -> None:
    long, short = drawn([1, 2], keypoints=6), drawn([1, 2], keypoints=6)
    shorter = {
        name: Keypoints(getattr(short, name).xy[..., :4, :], getattr(short, name).weight[..., :4])
        for name in ("keypoints", "support")
    }
    cut = replace(short, **shorter)
    torch.testing.assert_close(located(built(), long)[:, :4], located(built(), cut))
    for a, b in zip(*(built().losses(built()(x), x).values() for x in (long, cut)), strict=True):
        torch.testing.assert_close(a, b)


def test_the_order_of_the_supports_changes_nothing() -> None:
    model, batch = built(), drawn([0, 1, 0], shots=3)
    batch.support.weight[0, 0, 1] = 0
    turned = Keypoints(batch.support.xy.flip(1), batch.support.weight.flip(1))
    other = replace(batch, support_image=batch.support_image.flip(1), support=turned)
    torch.testing.assert_close(located(model, other), located(model, batch))
    released = built(query_neighbours="last")
    assert not torch.allclose(located(released, other), located(released, batch))


@pytest.mark.parametrize(
    ("category", "order", "config"),
    [
        (QUADRUPED, (3, 5, 0, 1, 4, 2), {"references": 1}),
        (PAIRS, (3, 2, 0, 1), {"references": 8}),
    ],
    ids=["any skeleton without structure", "one neighbour each"],
)
def test_keypoints_without_identifier_may_change_places(
    category: Category, order: tuple[int, ...], config: dict[str, Any]
) -> None:
    """Of several neighbours the numbers of the keypoints and the order of the links say which comes first."""
    count = len(order)
    turned = replace(category, limbs=tuple((order.index(a), order.index(b)) for a, b in category.limbs))
    batch = drawn([CATEGORIES.index(category)] * 2, keypoints=count)
    batch = replace(batch, category=torch.zeros(2, dtype=torch.int64))
    batch.support.weight[0, 0, 1] = 0
    moved = Keypoints(batch.support.xy[:, :, list(order)], batch.support.weight[:, :, list(order)])
    setting = Setting((SIDE, SIDE), count, (category,))
    expected = located(built(setting, identifier=False, **config), batch)
    actual = located(
        built(replace(setting, categories=(turned,)), identifier=False, **config), replace(batch, support=moved)
    )
    torch.testing.assert_close(actual, expected[:, list(order)])


def test_supports_may_be_encoded_once_for_all_queries() -> None:
    model, batch = built(), drawn([0, 1, 2])
    with torch.no_grad():
        separate = model.locate(batch, model.encode_support(batch)).points
        torch.testing.assert_close(separate, model(batch).points)


def test_a_category_without_links_is_padded_with_nothing() -> None:
    batch = drawn([2, 2])
    for a, b in zip(*(built(padding=mode).train()(batch).points for mode in ("mixup", "zero")), strict=True):
        torch.testing.assert_close(a, b)


def test_mixed_keypoints_are_learned_with_their_weight() -> None:
    batch = drawn([0, 1])
    losses = {weight: (model := built(mixup_weight=weight)).losses(model(batch), batch) for weight in (0.0, 0.5, 1.0)}
    assert losses[0.0]["mixup"] == 0 < losses[0.5]["mixup"]
    torch.testing.assert_close(2 * losses[0.5]["mixup"], losses[1.0]["mixup"])
    assert losses[0.0]["location"] == losses[1.0]["location"]
    model = built(test_padding="zero")
    assert model.losses(model(batch), batch)["mixup"] == 0


def test_what_no_support_shows_is_learned_unless_forbidden() -> None:
    batch = drawn([0, 0])
    batch.support.weight[:, :, 4] = 0
    away = replace(batch, keypoints=replace(batch.keypoints, xy=batch.keypoints.xy.clone()))
    away.keypoints.xy[:, 4] += 10
    for forbidden in (True, False):
        model = built(supervise_shown=forbidden)
        with torch.no_grad():
            same = model.losses(model(batch), batch)["location"] == model.losses(model(batch), away)["location"]
        assert same == forbidden
    assert model.decode(model(batch), batch).weight[0].tolist() == [1, 1, 1, 1, 0, 1]


def test_supports_that_show_nothing_leave_finite_predictions() -> None:
    model, batch = built(), drawn([0, 1])
    batch.support.weight[0] = 0
    assert located(model, batch).isfinite().all()


def test_more_keypoints_than_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="slots must be 6 or more, the keypoints of the data's largest category"):
        FMMP(Config(**{**SMALL, "slots": 5}), SETTING)
