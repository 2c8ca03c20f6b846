"""Pooling under heatmaps, and ProtoNet's way from points to cells and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from posebed.contracts import Setting
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo.blocks.pooling import support_pooling
from posezoo.proto_net import SPEC, Config

PIXELS = 8
CELLS = torch.stack(torch.meshgrid(torch.arange(12), torch.arange(8), indexing="xy"), -1) * PIXELS + 3.5
"""Centres of the cells of a 64 x 96 crop at stride 8."""
SETTING = Setting((64, 96), 3, (Category("tri", "tri", tuple("abc")),))


def model(**overrides: Any) -> Any:
    return SPEC.model(Config(backbone="resnet10t", weights="none", stride=8, **overrides), SETTING).eval()


NET = model()


def episodes() -> EpisodeBatch:
    generator = torch.Generator().manual_seed(0)
    xy = torch.rand(2, 3, 3, 2, generator=generator) * torch.tensor([95.0, 63.0])
    image = torch.randint(0, 256, (2, 3, 3, 64, 96), dtype=torch.uint8, generator=generator)
    weight = torch.ones(2, 3, 3)
    rows = torch.arange(2)
    query, support = Keypoints(xy[:, 0], weight[:, 0]), Keypoints(xy[:, 1:], weight[:, 1:])
    return EpisodeBatch(image[:, 0], query, torch.zeros_like(rows), rows, image[:, 1:], support)


def test_pooling_equals_enlarging_the_features_first() -> None:
    features, heatmaps = torch.randn(2, 5, 4, 6), torch.rand(2, 3, 16, 24)
    heatmaps[0, 1] = 0
    enlarged = functional.interpolate(features, (16, 24), mode="bilinear", align_corners=False)
    share = heatmaps / (heatmaps.sum((2, 3), keepdim=True) + 1e-8)
    expected = torch.einsum("bchw,bkhw->bkc", enlarged, share)
    torch.testing.assert_close(support_pooling(features, heatmaps), expected)


def fitting(points: torch.Tensor) -> torch.Tensor:
    """Scores whose softmax is the target of points (B, K, 2)."""
    sigma = Config().sigma * PIXELS
    return -((CELLS - points[:, :, None, None]) ** 2).sum(-1) / (2 * sigma**2)


@settings(deadline=None)
@given(x=st.floats(8, 87), y=st.floats(8, 55))
def test_scores_that_fit_the_target_decode_to_the_point(x: float, y: float) -> None:
    """To a tenth of a cell, as the soft-arg-max cuts the Gaussian's tails; the outermost cells give their centres."""
    truth = torch.tensor([x, y]).expand(2, 3, 2)
    actual = NET.decode(fitting(truth), episodes())
    assert (actual.xy - truth).abs().max() < PIXELS / 10
    assert (actual.weight > 0.85).all()


def test_the_loss_is_smallest_at_the_target() -> None:
    batch = episodes()
    best = fitting(batch.keypoints.xy)
    for other in (torch.zeros_like(best), 2 * best, best.roll(1, 3)):
        assert NET.losses(other, batch)["location"] > NET.losses(best, batch)["location"]


def test_a_keypoint_that_one_support_hides_is_not_in_the_loss() -> None:
    batch = episodes()
    hidden = batch.support.weight.clone()
    hidden[:, 1, 2] = 0
    batch = replace(batch, support=Keypoints(batch.support.xy, hidden))
    moved = batch.keypoints.xy.clone()
    moved[:, 2] = 40
    other = replace(batch, keypoints=Keypoints(moved, batch.keypoints.weight))
    scores = torch.randn(2, 3, 8, 12)
    assert NET.losses(scores, batch) == NET.losses(scores, other)


def test_a_hidden_keypoint_takes_its_prototype_from_the_other_support() -> None:
    both = episodes()
    hidden = both.support.weight.clone()
    hidden[:, 1, 2] = 0
    xy = both.support.xy.clone()
    xy[:, 1] = xy[:, 0]
    twice = replace(
        both,
        support_image=both.support_image[:, :1].expand(-1, 2, -1, -1, -1),
        support=Keypoints(xy, torch.ones(2, 2, 3)),
    )
    half = replace(both, support=Keypoints(both.support.xy, hidden))
    with torch.no_grad():
        torch.testing.assert_close(NET(half)[:, 2], NET(twice)[:, 2], rtol=1e-4, atol=1e-4)


def test_a_keypoint_that_no_support_shows_has_no_confidence() -> None:
    batch = episodes()
    hidden = batch.support.weight.clone()
    hidden[0, :, 1] = 0
    batch = replace(batch, support=Keypoints(batch.support.xy, hidden))
    with torch.no_grad():
        points = NET.decode(NET(batch), batch)
    assert points.weight[0, 1] == 0 and (points.weight[1] > 0).all() and points.xy.isfinite().all()


@pytest.mark.parametrize("distance", ["l2", "cosine"])
def test_scores_are_the_distances_that_were_asked_for(distance: str) -> None:
    net = model(distance=distance, temperature=0.5)
    query, prototypes = torch.randn(1, 6, 2, 3), torch.randn(1, 3, 6)
    cells = query.flatten(2).transpose(1, 2)
    if distance == "l2":
        expected = -(torch.cdist(prototypes, cells) ** 2) / 6 / 0.5
    else:
        expected = functional.cosine_similarity(prototypes[:, :, None], cells[:, None], dim=-1) / 0.5
    torch.testing.assert_close(net._scores(query, prototypes).flatten(2), expected)


def test_a_decoder_doubles_the_resolution() -> None:
    net = model(deconvs=1, channels=8)
    with torch.no_grad():
        assert net(episodes()).shape == (2, 3, 16, 24)
    assert net.pixels == 4 and len(net.deconvs) == 3
