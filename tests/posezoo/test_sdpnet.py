"""SDPNet: each part against a plain computation, every row of the paper's tables, and what the method promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from drawn_episodes import PADDED, SHOWN, SIDE, episodes
from posebed.contracts import Setting
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo.blocks.dynamic_convolution import DynamicConvolution
from posezoo.blocks.hrnet import HRNet
from posezoo.blocks.matching import expectation_near_peak
from posezoo.blocks.messages import Messages, PoseCompletion
from posezoo.blocks.pooling import support_pooling
from posezoo.blocks.structure import AttentionScores, Structure
from posezoo.presets.mp100 import METHODS
from posezoo.presets.mp100_ablations import SDPNET
from posezoo.sdpnet import SPEC, Config, SDPNet

CATEGORY = Category("blob", "blob", tuple("abcd"))
SMALL: dict[str, Any] = {
    "weights": "none",
    "hrnet_width": 4,
    "hrnet_blocks": 1,
    "hrnet_modules": (1, 1, 1),
    "stride": 8,
    "width": 16,
    "heads": 4,
    "feed_forward": 32,
    "slots": 8,
    "dropout": 0.0,
}
SYMMETRIC = {"identifier": False, "order_codes": 0}
FORMS = ("gates", "relu", "entropy", "off_diagonal", "printed")
FURTHER: dict[str, dict[str, Any]] = {
    "another backbone": {"backbone": "resnet10t"},
    "a feature pyramid": {"backbone": "resnet10t", "fine_strides": (4, 8, 16)},
    "no completed pose": {"pose_weight": 0.0},
    **{form: {"sparsity": form} for form in FORMS},
}


def built(keypoints: int = PADDED, **overrides: Any) -> SDPNet:
    """With offset heads that move points, as training makes them."""
    torch.manual_seed(0)
    model = SDPNet(Config(**{**SMALL, **overrides}), Setting((SIDE, SIDE), keypoints, (CATEGORY,)))
    for head in model.refinement.offsets:
        nn.init.normal_(head.get_parameter("6.weight"), std=0.3)
    return model.eval()


@torch.no_grad()
def located(model: SDPNet, batch: EpisodeBatch) -> Tensor:
    return model(batch).points


def total(model: SDPNet, batch: EpisodeBatch) -> Tensor:
    return torch.stack(list(model.losses(model(batch), batch).values())).sum()


ROWS = {"full": {}, **{name: dict(row.config) for name, row in SDPNET.items()}}


@pytest.mark.parametrize("overrides", [*ROWS.values(), *FURTHER.values()], ids=[*ROWS, *FURTHER])
def test_every_row_of_the_tables_trains_all_of_its_parameters(overrides: dict[str, Any]) -> None:
    model, batch = built(**overrides).train(), episodes()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    total(model, batch).backward()
    optimizer.step()  # lets gradients through what starts from 0
    optimizer.zero_grad()
    total(model, batch).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    untouched = {name for name, g in gradients.items() if g is not None and not g.any()}
    assert untouched <= {"structure.scores.score.bias", "structure.scores.layers.2.bias"}
    assert located(model.eval(), batch).isfinite().all()


def test_more_padding_changes_nothing() -> None:
    fewer, more = located(built(SHOWN), episodes(keypoints=SHOWN)), located(built(), episodes())
    torch.testing.assert_close(more[:, :, :SHOWN], fewer, rtol=1e-4, atol=1e-5)


def test_a_keypoint_that_no_support_shows_changes_no_other() -> None:
    hidden, model = episodes(), built()
    hidden.support.weight[:, :, SHOWN - 1] = 0
    fewer = episodes(keypoints=SHOWN - 1)
    three = located(built(SHOWN - 1), fewer)
    torch.testing.assert_close(located(model, hidden)[:, :, : SHOWN - 1], three, rtol=1e-4, atol=1e-5)
    assert (model.decode(model(hidden), hidden).weight[:, SHOWN - 1] == 0).all()


def test_one_visible_shot_is_enough_and_where_the_other_hides_it_changes_nothing() -> None:
    model, batch = built(), episodes()
    batch.support.weight[:, 0, 1] = 0
    elsewhere = replace(batch, support=replace(batch.support, xy=batch.support.xy.clone()))
    elsewhere.support.xy[:, 0, 1] = 11.0
    torch.testing.assert_close(located(model, elsewhere), located(model, batch))
    assert (model.decode(model(batch), batch).weight[:, 1] > 0).all()


def test_a_support_that_shows_nothing_changes_nothing() -> None:
    model, batch = built(**SYMMETRIC), episodes()
    batch.support.weight[:, 1] = 0
    first = replace(
        batch,
        support_image=batch.support_image[:, :1],
        support=Keypoints(batch.support.xy[:, :1], batch.support.weight[:, :1]),
    )
    torch.testing.assert_close(located(model, batch), located(model, first), rtol=1e-4, atol=1e-5)


def test_an_episode_without_any_keypoint_is_finite_and_costs_nothing() -> None:
    model, batch = built().train(), episodes()
    batch.support.weight.zero_()
    prediction = model(batch)
    losses = model.losses(prediction, batch)
    torch.stack(list(losses.values())).sum().backward()
    assert all(loss == 0 for loss in losses.values())
    assert prediction.points.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def reordered(batch: EpisodeBatch, order: Tensor) -> EpisodeBatch:
    support = Keypoints(batch.support.xy[:, :, order], batch.support.weight[:, :, order])
    return replace(batch, support=support)


@pytest.mark.parametrize("graph", ["none", "concatenation", "attention"])
def test_keypoints_in_another_order_give_the_same_points_in_that_order(graph: str) -> None:
    order, batch, model = torch.tensor([2, 0, 3, 1, 4, 5]), episodes(), built(identifier=False, graph=graph)
    points = located(model, reordered(batch, order))
    torch.testing.assert_close(points, located(model, batch)[:, :, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("overrides", [{}, {"identifier": False, "modulation": "fixed"}])
def test_the_identifier_and_fixed_modulation_know_keypoints_by_their_index(overrides: dict[str, Any]) -> None:
    order, batch, model = torch.tensor([2, 0, 3, 1, 4, 5]), episodes(), built(**overrides)
    for stage in model.refinement.stages if overrides else ():
        nn.init.normal_(stage.get_parameter("messages.modulation.factors"))
    points = located(model, reordered(batch, order))
    assert not torch.allclose(points, located(model, batch)[:, :, order], atol=1e-4)


def turned(batch: EpisodeBatch) -> EpisodeBatch:
    support = Keypoints(batch.support.xy.flip(1), batch.support.weight.flip(1))
    return replace(batch, support_image=batch.support_image.flip(1), support=support)


def test_without_order_codes_the_order_of_the_shots_does_not_matter() -> None:
    batch, model = episodes(), built(order_codes=0)
    torch.testing.assert_close(located(model, turned(batch)), located(model, batch), rtol=1e-4, atol=1e-5)


def test_order_codes_distinguish_shots() -> None:
    batch, model = episodes(), built()
    assert not torch.allclose(located(model, turned(batch)), located(model, batch), atol=1e-5)


@pytest.mark.parametrize("shots", [1, 7])
def test_any_number_of_shots_can_be_given(shots: int) -> None:
    assert located(built(), episodes(shots)).isfinite().all()


def test_supports_are_encoded_once_for_all_queries_of_an_episode() -> None:
    model, batch = built(), episodes()
    twice = torch.zeros(2, dtype=torch.int64)
    support = Keypoints(batch.support.xy[twice], batch.support.weight[twice])
    same = replace(batch, support_image=batch.support_image[twice], support=support)
    with torch.no_grad():
        once = model.encode_support(batch)
        shared = replace(once, **{name: value[twice] for name, value in vars(once).items()})
        torch.testing.assert_close(model.locate(batch, shared).points, located(model, same), rtol=1e-4, atol=1e-5)


def test_untrained_stages_leave_the_proposal_where_it_is() -> None:
    model, batch = built(), episodes()
    for head in model.refinement.offsets:
        nn.init.zeros_(head.get_parameter("6.weight"))
    prediction = model(batch)
    start = expectation_near_peak(prediction.similarity)
    torch.testing.assert_close(prediction.points, start.expand(3, -1, -1, -1))


def test_a_scaled_start_makes_the_first_similarities_smaller_and_changes_no_other_weight() -> None:
    plain, scaled = built(), built(scaled_start=True)
    before, after = dict(plain.named_parameters()), dict(scaled.named_parameters())
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert changed == {"proposals.support_proj.weight", "proposals.query_proj.weight"}
    with torch.no_grad():
        large, small = plain(episodes()).similarity, scaled(episodes()).similarity
    assert small[:, :SHOWN].std() < 0.5 * large[:, :SHOWN].std()


def test_coefficients_of_one_leave_the_deformable_attention_standard() -> None:
    modulated, batch = built(coefficient_per="offset"), episodes()
    standard = built(offset_coefficient="none")
    standard.load_state_dict(modulated.state_dict(), strict=False)
    assert not torch.allclose(located(modulated, batch), located(standard, batch), atol=1e-6)
    for stage in modulated.refinement.stages:
        for name in ("weight", "bias"):
            nn.init.zeros_(stage.get_parameter(f"coefficient.layers.2.{name}"))
    torch.testing.assert_close(located(modulated, batch), located(standard, batch))


def structure(form: Any, shown: Tensor) -> tuple[Structure, Tensor, Tensor]:
    torch.manual_seed(0)
    module = Structure(AttentionScores(8, 4), form)
    return module, *module(torch.randn(*shown.shape, 8), shown)


@settings(deadline=None, max_examples=25)
@given(
    form=st.sampled_from([form for form in FORMS if form != "relu"]),
    shown=st.lists(st.booleans(), min_size=3, max_size=9),
)
def test_each_keypoint_that_is_shown_shares_out_its_attention_among_those(form: str, shown: list[bool]) -> None:
    mask = torch.tensor([shown]).float()
    _, graph, _ = structure(form, mask)
    torch.testing.assert_close(graph.sum(2), mask)
    assert not (graph * (1 - mask[:, None])).any() and (graph >= 0).all()


def test_gates_however_faint_share_out_attention_by_their_ratio() -> None:
    class Scores(nn.Module):
        def forward(self, x: Tensor, shown: Tensor) -> Tensor:
            return torch.tensor([0.0, 1.0, 2.0]).expand(1, 2, 3, 3) - 200

    graph, density = Structure(Scores(), "gates")(torch.zeros(1, 3, 8), torch.ones(1, 3))
    torch.testing.assert_close(graph[0, 0], torch.tensor([0.0, 1.0, 2.0]).softmax(0))
    assert density < 1e-30


def test_links_by_relu_are_shared_out_where_there_are_any() -> None:
    _, graph, _ = structure("relu", torch.ones(2, 7))
    rows = graph.sum(2)
    assert (graph == 0).any() and torch.isclose(rows, rows.round()).all()


@pytest.mark.parametrize("form", FORMS)
def test_density_can_be_lowered_in_every_form_but_the_printed_one(form: str) -> None:
    """Each row of a softmax sums to 1: equation 8 on equation 3 is the number of spaces over that of keypoints."""
    module, _, density = structure(form, torch.ones(2, 5))
    density.sum().backward()
    slopes = torch.stack([p.grad.abs().max() for p in module.parameters() if p.grad is not None])
    if form == "printed":
        torch.testing.assert_close(density, torch.full((2,), 4 / 5))
        assert slopes.max() < 1e-6
    else:
        assert slopes.min() > 1e-4


@pytest.mark.parametrize("kind", ["concatenation", "global"])
def test_regressed_graphs_share_out_attention_too(kind: str) -> None:
    graph = built(graph=kind).encode_support(episodes()).graph
    assert graph is not None and graph.shape == (2, PADDED, PADDED)
    torch.testing.assert_close(graph.sum(2), (torch.arange(PADDED) < SHOWN).float().expand(2, -1))


def test_along_an_identity_graph_every_keypoint_talks_to_itself() -> None:
    messages, x = Messages(2, 8), torch.randn(2, 5, 8)
    first, second = (layer.get_parameter("weight") for layer in messages.layers)
    expected = messages.norm(x + ((x @ first.T).relu() @ second.T).relu())
    torch.testing.assert_close(messages(x, torch.eye(5).expand(2, -1, -1)), expected)


def test_messages_follow_the_links_from_column_to_row() -> None:
    messages, x, graph = Messages(1, 8), torch.randn(1, 3, 8), torch.zeros(1, 3, 3)
    graph[0, 0, 1] = 1
    other = x.clone()
    other[0, 1] += 1
    changed = (messages(x, graph) != messages(other, graph)).any(2)[0]
    assert changed.tolist() == [True, True, False]
    other[0, 1], other[0, 0] = x[0, 1], x[0, 0] + 1
    assert (messages(x, graph) != messages(other, graph)).any(2)[0].tolist() == [True, False, False]


def test_hidden_points_are_completed_from_their_neighbours_alone() -> None:
    torch.manual_seed(0)
    completion, points, graph = PoseCompletion(1, 8), torch.rand(1, 1, 3, 2), torch.zeros(1, 3, 3)
    known = torch.tensor([[[False, True, True]]])
    graph[0, 0, 1] = 1
    actual = completion(points, known, graph)
    for index, influences in enumerate([False, True, False]):
        other = points.clone()
        other[0, 0, index] += 0.2
        assert (completion(other, known, graph)[0, 0, 0] != actual[0, 0, 0]).any() == influences


def test_the_same_seed_hides_the_same_points_and_evaluation_hides_none() -> None:
    model, batch = built().train(), episodes()
    terms = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        terms.append(model.losses(model(batch), batch)["pose"].item())
    assert terms[0] == terms[1] != terms[2]
    assert "pose" not in model.losses(model.eval()(batch), batch)


def test_a_dynamic_convolution_equals_one_per_sample_and_channel() -> None:
    layer, maps, kernels = DynamicConvolution(3, 5).eval(), torch.randn(2, 3, 6, 7), torch.randn(2, 3, 5, 5)
    one_by_one = torch.stack(
        [
            torch.stack(
                [functional.conv2d(c[None, None], k[None, None], padding=2)[0, 0] for c, k in zip(*pair, strict=True)]
            )
            for pair in zip(maps, kernels, strict=True)
        ]
    )
    torch.testing.assert_close(layer(maps, kernels), layer.norm(one_by_one).relu())


def test_untrained_dynamic_kernels_leave_the_map_as_it_is() -> None:
    layer, maps = DynamicConvolution(3, 7).eval(), torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(layer(maps, layer.kernels(torch.randn(2, 3))), maps, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fine", [(4,), (4, 8, 16), ()])
def test_pooling_before_the_projection_equals_pooling_behind_it(fine: tuple[int, ...]) -> None:
    maps = built(fine_strides=fine).maps
    image, heatmaps = torch.randn(2, 3, SIDE, SIDE), torch.rand(2, 5, SIDE // 4, SIDE // 4)
    coarse, finest = maps(image)
    expected = support_pooling(coarse if finest is None else finest, heatmaps)
    torch.testing.assert_close(maps.pooled(image, heatmaps), expected, rtol=1e-4, atol=1e-5)


def test_structure_and_similarity_can_be_looked_at() -> None:
    inner = built().inspect(episodes())
    assert inner["similarity"].maps.shape == (2, SHOWN, 8, 8) and inner["similarity"].labels == CATEGORY.keypoints
    links = inner["structure"]
    assert links.maps.shape == (2, 1, SHOWN, SHOWN) and links.labels == CATEGORY.keypoints and not links.over_picture
    torch.testing.assert_close(links.maps.sum(3), torch.ones(2, 1, SHOWN))
    assert "structure" not in built(graph="none").inspect(episodes())


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match=f"slots must be {PADDED} or more"):
        built(slots=5)
    with pytest.raises(ValueError, match="width must be a multiple of graph_spaces"):
        built(graph_spaces=3)
    with pytest.raises(LookupError, match="stride must be one of 4, 8, 16, 32"):
        built(fine_strides=(2,))


def linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def by_hand(kernel: int, channels: tuple[int, ...]) -> int:
    """Parameters besides the backbone's, of whose maps with so many channels each has a projection."""
    c, inner, norm = 256, 2048, 2 * 256
    attention, feed_forward, position = 4 * linear(c, c), linear(c, inner) + linear(inner, c), 2 * linear(c, c)
    aggregation = 2 * (2 * attention + feed_forward + 3 * norm) + 5 * c + c
    fusion = 3 * (attention + feed_forward + 2 * norm)
    proposals = 2 * linear(c, c) + linear(c, c // 2) + linear(c // 2, c)
    messages = 2 * linear(c, c) + 2 * c * c + norm
    coefficient = c * c + 2 * linear(c, c) + linear(c, 1)
    deformable = linear(c, 8 * 4 * 2) + linear(c, 8 * 4) + 2 * linear(c, c)
    stage = messages + attention + coefficient + deformable + feed_forward + 3 * norm + 3 * linear(c, c) + linear(c, 2)
    completion = linear(2, c) + linear(c, 2) + c + 3 * c * c + norm
    dynamic = linear(c, c * kernel**2) + norm if kernel else 0
    support = 2 * aggregation + position + 2 * c * c + completion + dynamic
    return sum(linear(n, c) for n in channels) + support + fusion + proposals + position + 3 * stage


def test_the_published_model_has_the_size_that_its_description_gives() -> None:
    setting = Setting((256, 256), 100, (Category("a", "a", tuple(map(str, range(100)))),))

    def size(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    with torch.device("meta"):
        hrnet = size(HRNet(32, "none", strides=(4, 32)))
    with_hrnet, with_resnet = (
        SPEC.model(Config(**{**METHODS[name].config, "weights": "none"}), setting)
        for name in ("sdpnet-hrnet-w32", "sdpnet-r50")
    )
    assert size(with_hrnet) == hrnet + by_hand(7, (32, 256))
    assert size(with_resnet) == 23_508_032 + by_hand(0, (2048,))
    assert size(with_hrnet) / 1e6 == pytest.approx(49.9, abs=0.1)
    assert size(with_resnet) / 1e6 == pytest.approx(41.5, abs=0.1)
