"""POMNet: it works on the keypoints that exist alone, with the numbers that come out on the long way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from drawn_episodes import PADDED, SHOWN, SIDE, episodes
from posebed.contracts import Setting
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo import pomnet
from posezoo.blocks.token_convolution import TokenConvolution
from posezoo.blocks.two_stage import Support
from posezoo.pomnet import Config, POMNet

SETTING = Setting((SIDE, SIDE), PADDED, (Category("blob", "blob", tuple("abcd")),))
SMALL = {
    "weights": "none",
    "backbone": "resnet10t",
    "stride": 8,
    "width": 32,
    "heads": 4,
    "feed_forward": 64,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "deconvs": 1,
}
with_and_without = pytest.mark.parametrize("transformer", [True, False])


def built(setting: Setting = SETTING, **config: Any) -> POMNet:
    torch.manual_seed(0)
    model = POMNet(Config(**{**SMALL, **config}), setting)
    for name, parameter in model.matching.named_parameters():
        if parameter.dim() > 1:  # the weights start so small that any two heatmaps look alike
            torch.nn.init.normal_(parameter, std=0.05 if name.startswith("relation") else 0.2)
    return model.eval()


@torch.no_grad()
def heatmaps(model: POMNet, batch: EpisodeBatch) -> Tensor:
    return model(batch).heatmaps


@pytest.mark.parametrize("cells", [(1, 1), (1, 4), (2, 3), (5, 4)])
def test_a_token_is_convolved_as_a_map_that_is_the_same_everywhere(cells: tuple[int, int]) -> None:
    layer = TokenConvolution(5, 3, 4).double()
    torch.nn.init.normal_(layer.weight)
    picture, tokens = torch.randn(2, 5, *cells, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    of = torch.tensor([0, 1, 1, 0, 1, 1])
    spread = tokens[:, :, None, None].expand(-1, -1, *cells)
    expected = functional.conv2d(torch.cat([picture[of], spread], 1), layer.weight, padding=1)
    torch.testing.assert_close(layer(picture, tokens, of), expected)


@with_and_without
def test_more_padding_changes_nothing(transformer: bool) -> None:
    narrow, wide = built(replace(SETTING, keypoints=SHOWN), transformer=transformer), built(transformer=transformer)
    fewer, more = episodes(keypoints=SHOWN), episodes()
    torch.testing.assert_close(heatmaps(wide, more)[:, :SHOWN], heatmaps(narrow, fewer))
    torch.testing.assert_close(wide.losses(wide(more), more), narrow.losses(narrow(fewer), fewer))


@with_and_without
def test_where_a_keypoint_lies_that_one_support_hides_changes_nothing(transformer: bool) -> None:
    model, batch = built(transformer=transformer), episodes()
    batch.support.weight[:, 0, 1] = 0
    elsewhere = replace(batch, support=replace(batch.support, xy=batch.support.xy.clone()))
    elsewhere.support.xy[:, :, 1] = 11.0
    maps = heatmaps(model, batch)
    torch.testing.assert_close(heatmaps(model, elsewhere), maps)
    assert not maps[:, 1].any() and maps[:, 0].any()


@with_and_without
def test_keypoints_in_another_order_give_the_same_heatmaps_in_that_order(transformer: bool) -> None:
    order = torch.tensor([2, 0, 4, 3, 1, 5])
    model, batch = built(transformer=transformer), episodes()
    turned = Keypoints(batch.support.xy[:, :, order], batch.support.weight[:, :, order])
    torch.testing.assert_close(heatmaps(model, replace(batch, support=turned)), heatmaps(model, batch)[:, order])


@pytest.mark.parametrize("training", [True, False])
@with_and_without
def test_fixed_shapes_give_the_same_numbers(transformer: bool, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = episodes()
    batch.support.weight[1, 0, 0] = 0
    batch = replace(batch, support=Keypoints(batch.support.xy.double(), batch.support.weight.double()))
    outcomes = list[dict[str, Tensor]]()
    for follow in (True, False):
        monkeypatch.setattr(pomnet, "may_follow_data", lambda tensor, follow=follow: follow)
        model = built(transformer=transformer, dropout=0.0).double().train(training)
        heatmaps = model(batch).heatmaps
        (heatmaps * torch.arange(heatmaps.numel()).view_as(heatmaps).cos()).sum().backward()
        slopes = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        means = {name: b.clone() for name, b in model.named_buffers() if name.endswith("running_mean")}
        outcomes.append({"heatmaps": heatmaps.detach(), **slopes, **means})
    torch.testing.assert_close(outcomes[1], outcomes[0])


def test_keypoints_that_do_not_exist_are_not_decoded() -> None:
    model, batch, seen = built(), episodes(), []
    batch.support.weight[1, 0, 0] = 0
    model.matching.head.register_forward_hook(lambda layer, inputs, output: seen.append(len(output)))
    heatmaps(model, batch)
    assert seen == [2 * SHOWN - 1]


def test_matching_a_few_keypoints_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = built(), episodes()
    whole = heatmaps(model, batch)
    monkeypatch.setattr(pomnet, "AT_ONCE", 3)
    torch.testing.assert_close(heatmaps(model, batch), whole)


@pytest.mark.parametrize("follow", [True, False])
@with_and_without
def test_an_episode_without_any_keypoint_is_finite_and_costs_nothing(
    transformer: bool, follow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pomnet, "may_follow_data", lambda tensor: follow)
    model, batch = built(transformer=transformer).train(), episodes()
    batch.support.weight[:, 0] = 0
    prediction = model(batch)
    (loss,) = model.losses(prediction, batch).values()
    loss.backward()
    assert loss == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    points = model.decode(prediction, batch)
    assert points.xy.isfinite().all() and not points.weight.any()


def test_supports_are_encoded_once_for_all_queries_of_an_episode() -> None:
    model, batch = built(), episodes()
    first = Keypoints(batch.support.xy[:1].expand_as(batch.support.xy), batch.support.weight)
    same = replace(batch, support_image=batch.support_image[:1].expand_as(batch.support_image), support=first)
    with torch.no_grad():
        once = model.encode_support(batch)
        shared = Support(once.tokens[:1].expand_as(once.tokens), once.mask[:1].expand_as(once.mask))
        torch.testing.assert_close(model.locate(batch, shared).heatmaps, heatmaps(model, same))


def test_the_loss_is_a_mean_over_all_slots() -> None:
    model, batch = built(slots=12), episodes()
    maps = torch.zeros(2, PADDED, 16, 16)
    target, _ = model.codec.encode(batch.keypoints)
    prediction = pomnet.Matched(maps, batch.support.weight.prod(1))
    expected = target.square().sum() / (2 * 12 * 16 * 16)
    torch.testing.assert_close(model.losses(prediction, batch)["heatmap"], expected)


def test_a_category_with_more_keypoints_than_slots_is_refused() -> None:
    with pytest.raises(ValueError, match=f"slots must be {PADDED} or more"):
        built(slots=5)


def test_the_published_model_has_its_size() -> None:
    with torch.device("meta"):
        setting = replace(SETTING, size=(256, 256), keypoints=100)
        model = POMNet(Config(weights="none"), setting)
        shared = POMNet(Config(weights="none", shared_backbone=True), setting)
    size = sum(p.numel() for p in model.parameters())
    trunk = sum(p.numel() for p in model.backbone.parameters())
    assert round((size - 2 * trunk) / 1e6, 2) == 14.06 and round(size / 1e6) == 61
    assert sum(p.numel() for p in shared.parameters()) == size - trunk


def test_heatmaps_can_be_looked_at() -> None:
    maps = built().inspect(episodes())["heatmaps"]
    assert maps.maps.shape == (2, SHOWN, 16, 16) and maps.labels == tuple("abcd")
