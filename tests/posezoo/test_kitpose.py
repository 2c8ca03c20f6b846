"""KITPose: published sizes, ablations, the flip test, CutMix and what unlabelled keypoints ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from posebed.contracts import Setting
from posebed.pose import Batch, Keypoints
from posebed.records import Category
from posezoo.blocks.cutmix import CutMix
from posezoo.blocks.keypoint_groups import KeypointGroups
from posezoo.blocks.kit import KIT
from posezoo.blocks.kit_losses import adaptive_loss, ghrl, sharpened, smoothed
from posezoo.kitpose import SPEC, Config, published

CATEGORY = Category(
    "cat",
    "cat",
    ("nose", "left eye", "right eye", "tail", "neck"),
    limbs=((0, 1), (0, 2), (0, 4), (4, 3)),
    flip_pairs=((1, 2),),
)
SETTING = Setting((64, 96), 5, (CATEGORY,))
SMALL = {"weights": "none", "width": 8, "blocks": 1, "modules": (1, 1, 1), "parts": 2, "dim": 32}


def model(**overrides: Any) -> Any:
    torch.manual_seed(0)
    return SPEC.model(Config(**{**SMALL, **overrides}), SETTING)


def drawn(size: tuple[int, int] = (64, 96), keypoints: int = 5, count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(0)
    xy = torch.rand(count, keypoints, 2, generator=generator) * torch.tensor([size[1] - 1.0, size[0] - 1.0])
    image = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)
    rows = torch.arange(count)
    return Batch(image, Keypoints(xy, torch.ones(count, keypoints)), torch.zeros_like(rows), rows)


def total(net: Any, batch: Batch) -> Tensor:
    return sum(net.losses(net(batch), batch).values(), torch.zeros(()))


PUBLISHED = [(32, 256, 68.4, 9.51), (48, 256, 103.5, 19.50), (32, 384, 115.6, 21.38), (48, 384, 237.2, 43.88)]


@pytest.mark.parametrize(("width", "side", "millions", "gflops"), PUBLISHED)
def test_published_sizes(
    width: int, side: int, millions: float, gflops: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Groups depend on numbers, of which tensors without memory have none.
    monkeypatch.setattr(KeypointGroups, "forward", lambda self, slices, category: category[:, None].expand(-1, 17))
    animal = Category("animal", "animal", tuple("abcdefghijklmnopq"))
    config = Config(weights="none", flip_test="off", **published(width, (side, side), 4))
    with torch.device("meta"), torch.no_grad():
        net = SPEC.model(config, Setting((side, side), 17, (animal,))).eval()
        counted = Counted(net)
        batch = Batch(
            torch.zeros(1, 3, side, side),
            Keypoints(torch.zeros(1, 17, 2), torch.zeros(1, 17)),
            *[torch.zeros(1, dtype=torch.int64)] * 2,
        )
        with FlopCounterMode(display=False) as counter:
            net(batch)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    convolutions = counter.flop_counts["Global"][torch.ops.aten.convolution] / 2
    assert (convolutions + counted.linear) / 2**30 == pytest.approx(gflops, abs=0.006)


class Counted:
    """Linear layers as the published GFLOPs count them: outputs times tokens, where it would be times inputs."""

    def __init__(self, net: nn.Module) -> None:
        self.linear = 0
        for layer in net.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(self.count)

    def count(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        self.linear += output.numel() * inputs[0].shape[1]


ABLATIONS: dict[str, dict[str, Any]] = {
    "as published": {},
    "no transformer": {"kit": False},
    "no GHRL": {"ghrl_weight": 0.0},
    "no body parts": {"parts": 0},
    "no adaptive weights": {"adaptive_beta": 0.0},
    "half adaptive": {"adaptive_beta": 0.5},
    "spatial tokens": {"tokens": "spatial"},
    "five parts": {"parts": 5},
    "three layers": {"layers": 3},
    "k-means": {"clustering": "k-means"},
    "skeleton": {"clustering": "skeleton"},
    "larger kernel": {"ghrl_kernel": 7, "ghrl_beta": 1.0},
    "released CutMix": {"cutmix_axes": "released"},
    "no CutMix": {"cutmix": 0.0},
    "backbone of timm": {"backbone": "resnet10t", "channels": 8},
    "undoubled map of timm": {"backbone": "resnet10t", "stride": 8, "deconvs": 0},
}


@pytest.mark.parametrize("overrides", ABLATIONS.values(), ids=ABLATIONS)
def test_every_ablation_takes_a_step_and_shows_its_inner_maps(overrides: dict[str, Any]) -> None:
    net = model(**overrides)
    batch = drawn()
    loss = total(net, batch)
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    points = net.decode(net(batch), batch)
    assert points.xy.shape == (4, 5, 2)
    for name, inner in net.inspect(batch).items():
        assert inner.maps.shape[0] == 4 and inner.maps.isfinite().all(), name
        sides = inner.maps.shape[1:2] if inner.over_picture else inner.maps.shape[2:]
        assert set(sides) == {len(inner.labels)}, name


def test_the_terms_of_the_loss_are_those_that_are_switched_on() -> None:
    batch = drawn()
    for overrides, names in (
        ({}, {"heatmap", "ghrl"}),
        ({"ghrl_weight": 0.0}, {"heatmap"}),
        ({"kit": False}, {"heatmap"}),
    ):
        net = model(**overrides)
        assert set(net.losses(net(batch), batch)) == names


def test_attention_starts_with_the_parts_and_its_rows_are_shares() -> None:
    shown = model().eval().inspect(drawn())
    attention = shown["attention 1"]
    assert attention.labels == ("part 0", "part 1", *CATEGORY.keypoints) and attention.header_size == 2
    torch.testing.assert_close(attention.maps.sum(3), torch.ones(4, 1, 7))
    assert shown["prompts"].maps.shape == (4, 2, 16, 24) and shown["slices"].labels == CATEGORY.keypoints


def test_mirrored_pictures_give_mirrored_poses_with_left_and_right_exchanged() -> None:
    net = model().eval()
    batch = drawn()
    mirrored = replace(batch, image=batch.image.flip(-1))
    with torch.no_grad():
        maps, turned = net(batch).heatmaps, net(mirrored).heatmaps
    exchanged = maps.flip(-1)[:, list(CATEGORY.flip_index())]
    torch.testing.assert_close(turned, exchanged)


def test_an_unlabelled_keypoint_gives_no_gradient() -> None:
    net = model(cutmix=0.0)
    batch = drawn()
    batch.keypoints.weight[:, 2] = 0
    prediction = net(batch)
    loss = sum(net.losses(prediction, batch).values(), torch.zeros(()))
    slopes = torch.autograd.grad(loss, (prediction.slices, prediction.heatmaps))
    # Slices reach the heatmaps of other keypoints, so that they are looked at through the loss's own term.
    (direct,) = torch.autograd.grad(net.losses(net(batch), batch)["ghrl"], net.slices.bias)
    assert not slopes[1][:, 2].any() and slopes[1][:, 1].any()
    assert not direct[2] and direct[1]


def test_keypoints_that_trade_places_are_another_model_unless_positions_do_too() -> None:
    torch.manual_seed(0)
    kit = KIT(4, 5, (8, 8), 16, 2, 3, 0, "keypoint")
    features, slices, order = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 8, 8), [4, 0, 3, 2, 1]
    before = kit(features, slices, None)[:, order]
    assert not torch.allclose(kit(features, slices[:, order], None), before)
    kit.position = kit.position[order]
    torch.testing.assert_close(kit(features, slices[:, order], None), before, rtol=1e-4, atol=1e-5)


def test_spatial_tokens_are_patches_of_all_slices() -> None:
    kit = KIT(4, 5, (8, 12), 16, 1, 3, 0, "spatial")
    slices = torch.rand(2, 5, 8, 12)
    tokens = kit._cut(slices)
    assert tokens.shape == (2, 16, 5 * 2 * 3)
    torch.testing.assert_close(tokens[:, 6], slices[:, :, 2:4, 6:9].flatten(1))
    torch.testing.assert_close(kit._whole(tokens), slices)


def targets(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    xy = torch.rand(2, 3, 2, generator=generator) * 15
    x, y = xy[..., None, None].unbind(2)
    target = torch.exp(-((torch.arange(16) - x) ** 2 + (torch.arange(16)[:, None] - y) ** 2) / 8)
    return torch.randn(2, 3, 16, 16, generator=generator), target


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([3, 5, 7]), st.sampled_from([1.0, 2.0]))
def test_the_ghrl_is_zero_at_the_target_alone_and_asks_nothing_of_empty_targets(
    seed: int, kernel: int, beta: float
) -> None:
    maps, target = targets(seed)
    target[:, 1] = 0
    maps.requires_grad_()
    loss = ghrl(maps, target, beta=beta, kernel=kernel)
    (slope,) = torch.autograd.grad(loss, maps)
    assert loss > 0 and slope.isfinite().all() and not slope[:, 1].any()
    assert ghrl(target, target, beta=beta, kernel=kernel) == 0


def test_the_ghrl_is_drawn_to_both_targets() -> None:
    maps, target = targets(0)
    sharp, smooth = sharpened(target, 3), smoothed(target, 4.0)
    expected = (maps - sharp) ** 2 * (sharp - target).abs() + (maps - smooth) ** 2 * (target - smooth).abs()
    torch.testing.assert_close(ghrl(maps, target), (expected * (maps - target) ** 2).mean())


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
def test_adaptive_weights_have_finite_gradients_at_the_target(beta: float) -> None:
    _, target = targets(0)
    maps = target.clone().requires_grad_()
    adaptive_loss(maps, target, torch.ones(2, 3), beta).backward()
    assert maps.grad is not None and not maps.grad.any()


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_mixed_pictures_and_heatmaps_show_the_same_box(seed: int) -> None:
    torch.manual_seed(seed)
    mix = CutMix.draw(4, (16, 24), 1.0, torch.device("cpu"))
    maps = torch.arange(4.0)[:, None, None, None].expand(4, 2, 16, 24)
    picture = maps.repeat_interleave(4, 2).repeat_interleave(4, 3)
    mixed = mix.mixed(maps)
    torch.testing.assert_close(mix.mixed(picture, 4)[..., ::4, ::4], mixed)
    changed = mix.other != torch.arange(4)
    assert ((mixed != maps)[:, 0].sum((1, 2)) == mix.area * changed).all()


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_a_box_is_cut_out_of_another_picture_of_the_batch(seed: int) -> None:
    torch.manual_seed(seed)
    mix, maps = CutMix.draw(4, (16, 24), 1.0, torch.device("cpu")), torch.rand(4, 2, 16, 24)
    torch.manual_seed(seed)
    _, (side, y, x), other = torch.rand(()), torch.rand(3).tolist(), torch.randperm(4)
    (top, bottom), (left, right) = (
        (max(int(middle * n) - int(side**0.5 * n) // 2, 0), min(int(middle * n) + int(side**0.5 * n) // 2, n))
        for middle, n in ((y, 16), (x, 24))
    )
    expected = maps.clone()
    expected[:, :, top:bottom, left:right] = maps[other, :, top:bottom, left:right]
    assert torch.equal(mix.mixed(maps), expected)


def test_a_keypoint_counts_where_it_can_be_seen() -> None:
    """Each picture gives the right half of the other; one keypoint is on the left and one on the right."""
    mix = CutMix(torch.tensor([1, 0]), torch.tensor([0, 8]), torch.tensor([4, 8]))
    cell = torch.tensor([[[1.0, 2.0], [6.0, 2.0]], [[1.0, 5.0], [2.0, 5.0]]])
    weight = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    _, weights = mix.targets(torch.zeros(2, 2, 8, 8), weight, cell)
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.0], [0.5, 1.0]]))


def test_the_share_of_mixed_batches_is_the_one_asked_for() -> None:
    batch = drawn()
    assert model(cutmix=0.0)(batch).mix is None and model(cutmix=1.0).eval()(batch).mix is None
    torch.manual_seed(0)
    boxes = [CutMix.draw(4, (64, 64), 0.3, torch.device("cpu")).area.item() for _ in range(1000)]
    assert 0.25 < sum(area > 0 for area in boxes) / 1000 < 0.35


def test_released_names_come_with_and_without_the_prefix_of_training() -> None:
    tensor = torch.zeros(1)
    names = {
        "pre_feature.stage2.0.branches.0.0.conv1.weight": "backbone.stage2.0.branches.0.0.conv1.weight",
        "channelformer.transformer.layers.1.ffn.net.3.bias": "kit.layers.1.ffn.2.bias",
        "unknown.weight": "unknown.weight",
    }
    state = dict.fromkeys((*names, "channelformer.bp_embeddings", "channelformer.bp_to_embeddings.bias"), tensor)
    assert SPEC.released is not None
    for prefix in ("", "module."):
        actual = SPEC.released(Config(), {prefix + name: tensor for name in state})
        assert list(actual) == list(names.values())


REFUSED: list[tuple[dict[str, Any], Setting, str]] = [
    ({"parts": 6}, SETTING, "parts must be at most the number of keypoints, but is 6"),
    ({}, Setting((60, 64), 5, (CATEGORY,)), "multiples of 32, but are 60 x 64"),
    ({"backbone": "resnet10t"}, Setting((64, 80), 5, (CATEGORY,)), "multiples of 32, but are 64 x 80"),
]


@pytest.mark.parametrize(("overrides", "setting", "sentence"), REFUSED)
def test_what_cannot_be_built_is_refused_in_a_sentence(
    overrides: dict[str, Any], setting: Setting, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        SPEC.model(Config(**{**SMALL, **overrides}), setting)


def test_heatmaps_finer_than_the_crop_are_refused() -> None:
    with pytest.raises(ValueError, match="at most stride, but is 8 of 4"):
        Config(backbone="resnet10t", stride=4)
