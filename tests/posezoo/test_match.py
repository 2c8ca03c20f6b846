"""Nearest neighbours of frozen features: the worked example, and what must hold whatever the features are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from posebed.contracts import Setting
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo import proto_net
from posezoo.blocks.peaks import mean_near, peak_of, position_of, second_peak, told_apart
from posezoo.blocks.pose_prior import fitted, prior
from posezoo.match import SPEC, Config

HEIGHT, WIDTH, SHOTS, KEYPOINTS = 64, 96, 3, 6
PAIRED = Category("beast", "beast", tuple("abcdef"), flip_pairs=((0, 1), (2, 3)))
SETTING = Setting((HEIGHT, WIDTH), KEYPOINTS, (PAIRED,))
SMALL: dict[str, Any] = {"backbone": "test_resnet", "weights": "none", "stride": 8, "resolution": None}


def model(setting: Setting = SETTING, **overrides: Any) -> Any:
    torch.manual_seed(0)
    return SPEC.model(Config(**{**SMALL, **overrides}), setting).eval()


def episodes(seed: int = 0, count: int = 2) -> EpisodeBatch:
    draws = torch.Generator().manual_seed(seed)
    xy = torch.rand(count, 1 + SHOTS, KEYPOINTS, 2, generator=draws) * torch.tensor([WIDTH - 1.0, HEIGHT - 1.0])
    image = torch.randint(0, 256, (count, 1 + SHOTS, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=draws)
    weight, rows = torch.ones(count, SHOTS, KEYPOINTS), torch.arange(count)
    query, support = Keypoints(xy[:, 0], weight[:, 0]), Keypoints(xy[:, 1:], weight)
    return EpisodeBatch(image[:, 0], query, torch.zeros_like(rows), rows, image[:, 1:], support)


def hiding(batch: EpisodeBatch, *hidden: tuple[Any, Any, Any]) -> EpisodeBatch:
    weight = batch.support.weight.clone()
    for place in hidden:
        weight[place] = 0
    return replace(batch, support=Keypoints(batch.support.xy, weight))


def answered(net: Any, batch: EpisodeBatch) -> Keypoints:
    with torch.no_grad():
        return net.decode(net(batch), batch)


EXAMPLE = torch.tensor([[0.1, 0.2, 0.1, 0.0], [0.2, 0.5, 0.48, 0.1], [0.1, 0.46, 0.3, 0.1], [0.0, 0.1, 0.1, 0.0]])


def test_the_mean_in_a_window_of_an_example_worked_out_by_hand() -> None:
    maps = EXAMPLE.double()[None, None]
    cell, total = mean_near(((maps - 0.5) / 0.02).exp(), peak_of(maps), 1)
    torch.testing.assert_close(total.item(), 1.5032607, rtol=0, atol=1e-6)
    torch.testing.assert_close(cell[0, 0].tolist(), [1.2447510, 1.0900578], rtol=0, atol=1e-6)
    torch.testing.assert_close(((cell + 0.5) * 2 - 0.5)[0, 0].tolist(), [2.9895, 2.6801], rtol=0, atol=1e-4)
    # At the border the window is one cell wide.
    border, _ = mean_near(torch.rand(1, 1, 4, 4) + 0.1, torch.tensor([[4]]), 1)
    assert border[0, 0, 0] == 0


@pytest.mark.parametrize("shots", ["mean", "max"])
@pytest.mark.parametrize("upsample", [1, 4])
def test_similarities_and_places_agree_with_proto_net_without_training(shots: str, upsample: int) -> None:
    """Up to the descriptor, which there is a mean under a Gaussian, and to the window."""
    net = model(upsample=upsample, window=proto_net.REACH, temperature=0.05, shots=shots)
    torch.manual_seed(0)
    config = proto_net.Config(backbone="test_resnet", weights="none", stride=8, distance="cosine", temperature=0.05)
    other: Any = proto_net.SPEC.model(config, SETTING).eval()
    other.backbone.load_state_dict(net.backbone.state_dict())
    batch = episodes()
    one = replace(
        batch,
        support_image=batch.support_image[:, :1],
        support=Keypoints(batch.support.xy[:, :1], batch.support.weight[:, :1]),
    )
    with torch.no_grad():
        scores = other._scores(other._maps(one.image), net.encode_support(one).descriptor[:, 0])
        found = net(one)
        if upsample == 1:
            torch.testing.assert_close(found.similarity / 0.05, scores, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(found.points.xy, other.decode(scores, one).xy, rtol=1e-4, atol=1e-3)
        else:
            assert found.similarity.shape[2:] == (HEIGHT // 8 * 4, WIDTH // 8 * 4)
            finer = torch.nn.functional.interpolate(scores * 0.05, scale_factor=4.0, mode="bilinear")
            torch.testing.assert_close(found.similarity, finer, rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=10)
@given(scale=st.floats(1e-3, 1e3), shift=st.integers(0, 100))
def test_scaled_features_change_nothing(scale: float, shift: int) -> None:
    plain, scaled = model(), model()
    trunk = scaled.backbone.forward
    factor = scale * (1 + torch.rand(1, 1, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(shift)))
    scaled.backbone.forward = lambda image: [m * factor for m in trunk(image)]
    with torch.no_grad():
        a, b = plain(episodes(shift)), scaled(episodes(shift))
    torch.testing.assert_close(a.similarity, b.similarity, rtol=0, atol=1e-5)
    torch.testing.assert_close(a.points.weight, b.points.weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [{}, {"shots": "max"}, {"mutual": True}, {"geometry": 1.0}, {"sides": "assign"}, {"sides": "pose"}],
    ids=str,
)
class TestEveryForm:
    def test_the_order_of_the_shots_does_not_matter(self, overrides: dict[str, Any]) -> None:
        batch = hiding(episodes(), (0, 0, 1), (0, 2, 4), (1, 1, 0))
        order = [2, 0, 1]
        support = Keypoints(batch.support.xy[:, order], batch.support.weight[:, order])
        turned = replace(batch, support_image=batch.support_image[:, order], support=support)
        a, b = (answered(model(**overrides), each) for each in (batch, turned))
        torch.testing.assert_close(a.xy, b.xy, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(a.weight, b.weight, rtol=1e-4, atol=1e-4)

    def test_a_keypoint_that_no_support_shows_is_in_the_middle_with_no_confidence(
        self, overrides: dict[str, Any]
    ) -> None:
        points = answered(model(**overrides), hiding(episodes(), (0, slice(None), 1), (1, slice(None), 5)))
        for place in ((0, 1), (1, 5)):
            assert points.weight[place] == 0
            assert points.xy[place].tolist() == [(WIDTH - 1) / 2, (HEIGHT - 1) / 2]
        assert (points.weight > 0).sum() == 2 * KEYPOINTS - 2

    def test_a_support_is_found_in_itself(self, overrides: dict[str, Any]) -> None:
        """To half a cell, as far as the keypoints have cells of their own."""
        batch = episodes()
        xy = torch.tensor([[11.5, 11.5], [75.5, 51.5], [83.5, 19.5], [27.5, 43.5], [51.5, 27.5], [19.5, 51.5]])
        support = Keypoints(xy.expand(2, 1, -1, -1), torch.ones(2, 1, KEYPOINTS))
        own = replace(batch, support_image=batch.image[:, None], support=support)
        points = answered(model(upsample=1, window=0, temperature=0.01, **overrides), own)
        torch.testing.assert_close(points.xy, xy.expand(2, -1, -1))
        assert (points.weight > 0.999).all()


def test_a_support_that_hides_a_keypoint_tells_nothing_of_it() -> None:
    whole = hiding(episodes(), (slice(None), 1, 2))
    less = replace(
        whole,
        support_image=whole.support_image[:, [0, 2]],
        support=Keypoints(whole.support.xy[:, [0, 2]], whole.support.weight[:, [0, 2]]),
    )
    for shots in ("mean", "max"):
        a, b = (answered(model(shots=shots), each) for each in (whole, less))
        torch.testing.assert_close(a.xy[:, 2], b.xy[:, 2], rtol=1e-4, atol=1e-3)


def test_mutual_halves_confidences_and_moves_nothing() -> None:
    batch = episodes(count=4)
    plain, mutual = (answered(model(mutual=way), batch) for way in (False, True))
    assert torch.equal(plain.xy, mutual.xy)
    ratio = mutual.weight / plain.weight
    assert {*ratio.flatten().tolist()} == {0.5, 1.0}


# --- the prior


def turned(points: Tensor, scale: float, degrees: float, shift: tuple[float, float]) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees, dtype=points.dtype))
    matrix = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    middle = points.mean(-2, keepdim=True)
    return scale * (points - middle) @ matrix.mT + middle + points.new_tensor(shift)


POSES = {"scale": st.floats(0.55, 1.9), "degrees": st.floats(-44, 44), "shift": st.tuples(*[st.floats(-20, 20)] * 2)}


@settings(deadline=None)
@given(seed=st.integers(0, 1000), **POSES)
def test_a_similarity_transform_of_the_supports_is_met(seed: int, **pose: Any) -> None:
    draws = torch.Generator().manual_seed(seed)
    truth = torch.rand(1, KEYPOINTS, 2, generator=draws, dtype=torch.float64) * 60
    other = torch.rand(1, KEYPOINTS, 2, generator=draws, dtype=torch.float64) * 60
    layout = torch.stack([other, turned(truth, 1.0, 0.0, (3.0, -4.0)), turned(truth, **pose)], 1)
    shown = torch.ones(1, 3, KEYPOINTS, dtype=torch.float64)
    shown[0, 1, 0] = 0
    trust = torch.rand(1, KEYPOINTS, generator=draws, dtype=torch.float64) + 0.1
    place, known = prior(layout, shown, truth, trust, 96)
    torch.testing.assert_close(place, truth, rtol=0, atol=1e-6)
    assert known.all()


@settings(deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 4), degrees=st.floats(-170, 170))
def test_no_transform_within_the_limits_fits_better(seed: int, scale: float, degrees: float) -> None:
    draws = torch.Generator().manual_seed(seed)
    source = torch.rand(KEYPOINTS, 2, generator=draws, dtype=torch.float64) * 60
    target = turned(source, scale, degrees, (5.0, 9.0)) + torch.randn(KEYPOINTS, 2, generator=draws)
    weight = torch.rand(KEYPOINTS, generator=draws, dtype=torch.float64) + 0.01

    def error(points: Tensor) -> float:
        middle = ((target - points) * weight[:, None]).sum(0) / weight.sum()
        return float(((points + middle - target).square().sum(-1) * weight).sum())

    best = error(fitted(source, target, weight))
    for other in ((0.5, -45.0), (0.5, 45.0), (2.0, -45.0), (2.0, 45.0), (1.0, 0.0), (0.7, 20.0), (1.5, -30.0)):
        assert best <= error(turned(source, *other, (0.0, 0.0))) + 1e-6


def test_a_prior_needs_four_keypoints_and_outvotes_a_stray_one() -> None:
    truth = torch.tensor([[[10.0, 10.0], [50.0, 12.0], [30.0, 40.0], [12.0, 44.0], [52.0, 50.0]]])
    layout, shown = truth[:, None] + 7, torch.ones(1, 1, 5)
    found = truth.clone()
    found[0, 0] = torch.tensor([90.0, 60.0])
    place, known = prior(layout, shown, found, torch.ones(1, 5), 96)
    assert known.all() and (place[0, 0] - truth[0, 0]).norm() < 5 < (found[0, 0] - truth[0, 0]).norm()
    shown[..., 3:] = 0
    assert not prior(layout, shown, found, torch.ones(1, 5), 96)[1].any()


def test_a_strong_prior_puts_keypoints_where_the_layout_has_them() -> None:
    batch = episodes()
    own = replace(
        batch,
        support_image=batch.image[:, None],
        support=Keypoints(batch.support.xy[:, :1], batch.support.weight[:, :1]),
    )
    points = answered(model(geometry=1e4, upsample=8, window=0), own)
    assert (points.xy - batch.support.xy[:, 0]).abs().max() < 8
    with pytest.raises(AssertionError):
        torch.testing.assert_close(points.xy, answered(model(upsample=8, window=0), batch).xy)


# --- left and right


def bumps(*peaks: list[tuple[int, int, float]]) -> Tensor:
    maps = torch.zeros(1, len(peaks), 20, 20)
    for number, of in enumerate(peaks):
        for x, y, height in of:
            maps[0, number, y, x] = height
    return maps


PARTNERS, SEEN = torch.tensor([[1, 0, 2]]), torch.ones(1, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([(4, 4, 0.9), (15, 4, 0.88)], [(4, 4, 0.9), (15, 4, 0.87)], [(15, 4), (4, 4)]),
        ([(4, 4, 0.9), (15, 4, 0.86)], [(4, 4, 0.9), (15, 4, 0.89)], [(4, 4), (15, 4)]),
        ([(4, 4, 0.9), (15, 4, 0.88)], [(4, 4, 0.9), (15, 4, 0.88)], [(15, 4), (4, 4)]),  # as high: the first gives way
        ([(4, 4, 0.9), (15, 4, 0.7)], [(4, 4, 0.9), (15, 4, 0.89)], [(4, 4), (4, 4)]),  # one has no second peak
        ([(4, 4, 0.9), (15, 4, 0.88)], [(15, 4, 0.9), (4, 4, 0.89)], [(4, 4), (15, 4)]),  # apart already
    ],
)
def test_partners_that_share_a_peak_take_two(left: Any, right: Any, expected: list[tuple[int, int]]) -> None:
    maps = bumps(left, right, [(4, 4, 0.8), (15, 4, 0.79)])
    actual = position_of(told_apart(maps, PARTNERS, SEEN), 20)
    assert actual[0].tolist() == [[*place] for place in [*expected, (4, 4)]]


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_telling_partners_apart_does_not_depend_on_the_order_of_keypoints(seed: int) -> None:
    maps = torch.rand(2, 4, 12, 14, generator=torch.Generator().manual_seed(seed)) ** 0.05
    maps[:, 1] = maps[:, 0] * (1 - 0.01 * torch.rand(12, 14, generator=torch.Generator().manual_seed(seed + 1)))
    partner, order = torch.tensor([[1, 0, 3, 2]] * 2), [3, 1, 0, 2]
    turned_partner = torch.tensor([[3, 2, 1, 0]] * 2)
    seen = torch.ones(2, 4, dtype=torch.bool)
    there = told_apart(maps, partner, seen)
    assert torch.equal(told_apart(maps[:, order], turned_partner, seen), there[:, order])
    first = peak_of(maps)
    second = second_peak(maps, first, 1.4)
    assert ((there == first) | (there == second)).all()


@pytest.mark.parametrize("temperature", [1e-6, 1e-2])
def test_partners_told_apart_have_places_at_any_temperature(temperature: float) -> None:
    batch = episodes()
    batch.support.xy[:, :, 1] = batch.support.xy[:, :, 0]  # the same descriptor, and so the same peak
    points = answered(model(sides="assign", temperature=temperature), batch)
    assert points.xy.isfinite().all() and not torch.equal(points.xy[:, 0], points.xy[:, 1])


def test_mirrored_supports_are_used_where_they_fit_better() -> None:
    """Queries that are the mirror images of their only support."""
    batch = episodes()
    picture = batch.support_image[:, :1]
    points = Keypoints(batch.support.xy[:, :1], batch.support.weight[:, :1])
    mirrored = replace(batch, image=picture[:, 0].flip(-1), support_image=picture, support=points)
    expected = points.xy[:, 0, [1, 0, 3, 2, 4, 5]].clone()
    expected[..., 0] = WIDTH - 1 - expected[..., 0]
    exact: dict[str, Any] = {"upsample": 8, "window": 0}
    told = answered(model(sides="pose", **exact), mirrored)
    assert (told.xy - expected).norm(dim=-1).median() < 8
    plain = replace(mirrored, image=picture[:, 0])
    torch.testing.assert_close(answered(model(sides="pose", **exact), plain).xy, answered(model(**exact), plain).xy)


def test_sides_state_that_they_are_told_more_than_the_supports() -> None:
    assert SPEC.protocol(Config(**SMALL)) == {}
    for sides in ("assign", "pose"):
        assert SPEC.protocol(Config(**SMALL, sides=sides)) == {"told": "mirror pairs"}


# --- layers and sizes


def test_blocks_are_concatenated_each_divided_by_its_length() -> None:
    vit: dict[str, Any] = {"backbone": "test_vit", "stride": None}
    last, third, both = (model(block=block, **vit) for block in (-1, -3, (-3, -1)))
    third.backbone.load_state_dict(last.backbone.state_dict(), strict=False)
    both.backbone.load_state_dict(last.backbone.state_dict())
    image = episodes().image
    with torch.no_grad():
        a, b, c = (net._maps(image) for net in (last, third, both))
    assert a.shape[2:] == (HEIGHT // 16, WIDTH // 16)
    torch.testing.assert_close(c, torch.cat([b, a], 1) / 2**0.5)
    torch.testing.assert_close(a.norm(dim=1), torch.ones_like(a[:, 0]))


def test_tokens_are_those_behind_the_final_normalisation() -> None:
    net = model(backbone="test_vit", stride=None)
    trunk = net.backbone.trunk
    with torch.no_grad():
        tokens = trunk.forward_features(net.normalise(episodes().image))[:, trunk.num_prefix_tokens :]
        expected = torch.nn.functional.normalize(tokens, dim=-1).mT.unflatten(2, (HEIGHT // 16, WIDTH // 16))
        torch.testing.assert_close(net._maps(episodes().image), expected)


def test_crops_are_resized_inside_and_answers_are_in_their_pixels() -> None:
    batch = episodes()
    larger = {
        "image": torch.nn.functional.interpolate(batch.image.float(), scale_factor=2.0, mode="bilinear"),
        "support_image": torch.nn.functional.interpolate(
            batch.support_image.flatten(0, 1).float(), scale_factor=2.0, mode="bilinear"
        ).unflatten(0, (2, SHOTS)),
        "support": Keypoints(batch.support.xy * 2 + 0.5, batch.support.weight),
    }
    inside = answered(model(resolution=2 * WIDTH), batch)
    outside = answered(model(replace(SETTING, size=(2 * HEIGHT, 2 * WIDTH))), replace(batch, **larger))
    torch.testing.assert_close(inside.xy * 2 + 0.5, outside.xy, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stride": 64}, "stride must be one of 2, 4, 8, 16, 32, which test_resnet has, but is 64"),
        ({"stride": None}, "block must be of a transformer .* test_resnet has maps of the strides 2, 4, 8, 16, 32"),
        ({"backbone": "test_vit", "stride": None, "block": -7}, "block must be one of -6 to -1, .* but is -7"),
        ({"backbone": "test_vit", "stride": 16}, "stride must be left out with test_vit, a vision transformer"),
        ({"block": -2}, "block must be left out beside stride, which takes its place, but is -2"),
        ({"backbone": "test_vit", "stride": 8}, "stride must be one of 16, which test_vit has, but is 8"),
        ({"stride": 32, "resolution": 120}, "must be multiples of 32, but are 80 x 120, as resolution is 120"),
        ({"resolution": 100}, "resolution must keep the shape of crops of 64 x 96 in whole pixels, but is 100"),
    ],
)
def test_layers_and_sizes_that_there_are_not_are_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises((LookupError, ValueError), match=message):
        model(**overrides)


@pytest.mark.parametrize("field", ["block", "stride"])
def test_a_layer_is_named_once(field: str) -> None:
    for value in ([], [-1, -1] if field == "block" else [8, 8]):
        with pytest.raises(ValueError, match="a list must name one or more, each once"):
            Config.model_validate({field: value})


def test_comparing_stays_in_single_precision_within_mixed_precision() -> None:
    net, batch = model(), episodes()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        shown = net.encode_support(batch)
        found = net.locate(batch, shown)
    assert shown.descriptor.dtype == found.similarity.dtype == found.points.xy.dtype == torch.float32
    lengths = shown.descriptor.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
