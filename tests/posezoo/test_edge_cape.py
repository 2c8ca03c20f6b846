"""EdgeCape's edges and attention; what it shares with CapeFormer is tested there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from posebed.contracts import Setting, Task
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posebed.testing.discs import TWO_KINDS, drawn, episodes, reordered
from posezoo.blocks.edges import EdgePredictor, EdgeWeights, StructuralAttention, similarity, walks
from posezoo.blocks.graph import given_links, shared_out, with_loops
from posezoo.edge_cape import SPEC, Config, EdgeCape, Reconstructed, kept_keypoints, released

KEYPOINTS = 6
seeds = st.integers(0, 2**31 - 1)


def made(setting: Setting = TWO_KINDS, seed: int = 0, scale: float = 0.5, **config: Any) -> EdgeCape:
    """The small form with edges of some scale, whose last layers, which start from 0, are larger."""
    torch.manual_seed(seed)
    model = EdgeCape(Config.model_validate({**SPEC.small, **config}), setting)
    for head in model.decoder.offsets:
        nn.init.normal_(head.get_parameter("6.weight"), std=0.1)
    if model.edge_predictor is not None:
        nn.init.constant_(model.edge_predictor.weights.scale, scale)
    return model.eval()


def graph(seed: int, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, links and mask of random keypoints; the last keypoint of the first sample is hidden."""
    draws = torch.Generator().manual_seed(seed)
    mask = (torch.rand(batch, KEYPOINTS, generator=draws) < 0.7).float()
    mask[0, -1] = 0
    linked = torch.rand(batch, KEYPOINTS, KEYPOINTS, generator=draws) < 0.3
    return torch.randn(batch, KEYPOINTS, 8, generator=draws), given_links(linked, mask), mask


def shown(model: EdgeCape, batch: EpisodeBatch) -> Tensor:
    with torch.no_grad():
        return model.encode_support(batch).edges


@given(seeds)
def test_without_scale_and_offset_edges_are_the_given_links_shared_out_among_neighbours(seed: int) -> None:
    tokens, links, mask = graph(seed)
    weights = EdgeWeights("zero")(tokens, links, mask)
    assert torch.equal(weights, links)
    own, neighbours = with_loops(weights, mask).unbind(1)
    assert torch.equal(own, torch.diag_embed(mask))
    torch.testing.assert_close(neighbours.sum(2), (links.sum(2) > 0).float())


@given(seeds, st.floats(-2, 2), st.floats(-1, 1))
def test_hidden_keypoints_have_no_edges_and_edges_are_symmetric(seed: int, scale: float, offset: float) -> None:
    tokens, links, mask = graph(seed)
    module = EdgeWeights("zero")
    module.scale.data.fill_(scale)
    module.offset.data.fill_(offset)
    weights = module(tokens, links, mask)
    assert not weights[mask == 0].any() and not weights.transpose(1, 2)[mask == 0].any()
    assert (weights >= 0).all()
    torch.testing.assert_close(weights, weights.transpose(1, 2))


@given(seeds, st.integers(0, 5))
def test_walks_stay_put_at_first_and_lead_somewhere_or_nowhere(seed: int, hops: int) -> None:
    _, links, mask = graph(seed)
    powers = walks(shared_out(links), hops)
    assert len(powers) == hops + 1
    assert torch.equal(powers[0], torch.eye(KEYPOINTS).expand_as(links))
    sums = powers.sum(3)
    assert ((sums - 1).abs().lt(1e-5) | sums.eq(0)).all()
    assert not powers[1:][:, mask == 0].any()


@given(seeds)
def test_cosines_are_of_directions_alone(seed: int) -> None:
    tokens, _, _ = graph(seed)
    cosines = similarity(tokens)
    torch.testing.assert_close(cosines.diagonal(dim1=1, dim2=2), torch.ones(2, KEYPOINTS))
    torch.testing.assert_close(similarity(3 * tokens), cosines)


@given(seeds)
def test_attention_whose_bias_is_zero_is_plain_attention(seed: int) -> None:
    tokens, links, _ = graph(seed)
    torch.manual_seed(seed)
    attention, plain = StructuralAttention(8, 2, 0.0, hops=3), nn.MultiheadAttention(8, 2, batch_first=True)
    assert attention.structural is not None
    for parameter in attention.structural[-1].parameters():
        nn.init.zeros_(parameter)
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    plain.in_proj_weight.data = torch.cat([part.weight for part in parts])
    plain.in_proj_bias.data = torch.cat([part.bias for part in parts])
    plain.out_proj.load_state_dict(attention.out_proj.state_dict())
    hidden = torch.zeros(2, KEYPOINTS, dtype=torch.bool)
    hidden[0, 2:] = True
    expected, weights = plain(tokens, tokens, tokens, key_padding_mask=hidden)
    powers = walks(shared_out(links), 3)
    torch.testing.assert_close(attention(tokens, hidden, powers), expected)
    torch.testing.assert_close(attention(tokens, hidden, None), expected)
    torch.testing.assert_close(attention.weights(tokens, hidden, powers), weights)


def test_attention_sees_how_far_keypoints_are_from_each_other() -> None:
    tokens, links, _ = graph(0)
    torch.manual_seed(0)
    attention = StructuralAttention(8, 2, 0.0, hops=2)
    hidden = torch.zeros(2, KEYPOINTS, dtype=torch.bool)
    one, other = (attention(tokens, hidden, walks(shared_out(w), 2)) for w in (links, links.flip(1)))
    assert not torch.allclose(one, other)


def test_a_model_starts_with_the_given_links() -> None:
    batch = episodes()
    model, given_alone = made(scale=0.0), made(predicted_edges=False)
    edges = shown(given_alone, batch)
    assert edges.any() and torch.equal(shown(model, batch), edges)
    assert not torch.equal(shown(made(), batch), edges)


@pytest.mark.parametrize(("start", "learns"), [("zero", False), ("positive", True)])
def test_with_a_positive_scale_the_edge_predictor_learns_from_the_first_step(start: str, learns: bool) -> None:
    torch.manual_seed(0)
    model, batch = EdgeCape(Config.model_validate({**SPEC.small, "edge_scale_start": start}), TWO_KINDS), episodes()
    for head in model.decoder.offsets:
        nn.init.normal_(head.get_parameter("6.weight"), std=0.1)
    sum(model.losses(model(batch), batch).values(), torch.zeros(())).backward()
    assert model.edge_predictor is not None
    gradient = model.edge_predictor.image_project.weight.grad
    assert (gradient is not None and gradient.abs().max() > 0) == learns


@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [(126, {"stride": 16}, "stride must be 14, the patch of"), (128, {"map_stride": 16}, "must be .*14.*128 x 128")],
)
def test_crops_and_strides_that_do_not_fit_the_patches_are_refused(
    size: int, settings: dict[str, Any], message: str
) -> None:
    config = Config.model_validate({"weights": "none", **settings})
    with pytest.raises(ValueError, match=message):
        EdgeCape(config, replace(TWO_KINDS, size=(size, size)))


def test_the_order_of_keypoints_with_links_does_not_matter() -> None:
    order = [2, 0, 3, 1, 4]
    kind = TWO_KINDS.categories[0]
    limbs = tuple((order.index(a), order.index(b)) for a, b in kind.limbs)
    turned_setting = replace(TWO_KINDS, categories=(replace(kind, limbs=limbs), *TWO_KINDS.categories[1:]))
    model, other = made(), made(turned_setting)
    batch = drawn(Task.CATEGORY_AGNOSTIC)
    assert isinstance(batch, EpisodeBatch)
    turned = replace(batch, keypoints=reordered(batch.keypoints, order), support=reordered(batch.support, order))
    edges, expected = shown(other, turned), shown(model, batch)
    torch.testing.assert_close(edges, expected[:, order[:4]][:, :, order[:4]])
    with torch.no_grad():
        points, moved = (m.decode(m(b), b) for m, b in ((model, batch), (other, turned)))
    torch.testing.assert_close(moved.xy[:, :4], points.xy[:, order[:4]], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("slots", [0, 12])
def test_edges_depend_on_hidden_keypoints_only_where_the_picture_sees_them(slots: int) -> None:
    """As released: how many slots are padded changes the edges a little."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {"channels": 5, "width": 16, "heads": 2, "feed_forward": 16, "dropout": 0.0}
    one, other = (EdgePredictor(2, **settings, slots=more, start="zero") for more in (slots, 2 * slots))
    other.load_state_dict(one.state_dict())
    tokens, links, mask = torch.randn(2, KEYPOINTS, 16), *graph(0)[1:]
    given_: list[Any] = [torch.randn(2, 2, 5, 3, 3), torch.randn(9, 16), links, mask, torch.randn(16)]
    for predictor in (one, other):
        nn.init.ones_(predictor.weights.scale)
    edges = one(tokens, *given_)
    moved = torch.where(mask[..., None] > 0, tokens, tokens + 1)
    assert torch.allclose(other(tokens, *given_), edges, atol=1e-6) == (slots == 0)
    assert torch.allclose(one(moved, *given_), edges, atol=1e-6) == (slots == 0)


def test_one_token_stands_for_all_padding() -> None:
    torch.manual_seed(0)
    predictor = EdgePredictor(2, channels=5, width=16, heads=2, feed_forward=16, dropout=0.0, slots=10, start="random")
    nn.init.ones_(predictor.weights.scale)
    tokens, links, mask = torch.randn(2, KEYPOINTS, 16), *graph(0)[1:]
    maps, code, padding = torch.randn(2, 2, 5, 3, 3), torch.randn(9, 16), torch.randn(16)
    more = 10 - KEYPOINTS
    padded = torch.cat([tokens, padding.expand(2, more, -1)], 1)
    wide = functional.pad(links, (0, more, 0, more)), functional.pad(mask, (0, more))
    edges = predictor(tokens, maps, code, links, mask, padding)
    expected = predictor(padded, maps, code, *wide, padding)
    assert not expected[:, KEYPOINTS:].any()
    torch.testing.assert_close(edges, expected[:, :KEYPOINTS, :KEYPOINTS])


def test_the_picture_may_not_see_fewer_slots_than_there_are_keypoints() -> None:
    with pytest.raises(ValueError, match="edge_slots must be 5 or more"):
        made(edge_slots=3)


def test_a_reconstruction_gives_gradients_to_edges_and_to_the_mask_token_alone() -> None:
    model, batch = made(mask_share=0.5).train(), episodes()
    prediction = model(batch)
    assert isinstance(prediction, Reconstructed)
    model.losses(prediction, batch)["reconstruction"].backward()
    learns = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    own = {"mask_token", "query_proj.weight", "query_proj.bias"}
    assert own <= learns
    assert {name.partition(".")[0] for name in learns - own} == {"edge_predictor", "backbone"}
    assert not any(parameter.grad is not None for parameter in model.decoder.parameters())
    assert model.mask_token.grad is not None and model.mask_token.grad.any()


def test_a_pose_is_reconstructed_from_the_kept_keypoints_alone() -> None:
    model, batch = made(), episodes()
    with torch.no_grad():
        support = model.encode_support(batch)
        matched = model.matched(batch, support)
        kept = support.mask.clone()
        kept[:, 0] = 0
        noise = matched.keypoints.clone()
        noise[:, 0] += 1
        points = model.reconstruction(matched, support, kept)
        same = model.reconstruction(replace(matched, keypoints=noise), support, kept)
        other = model.reconstruction(matched, support, support.mask)
    assert torch.equal(points, same) and not torch.allclose(points, other)


@given(seeds, st.floats(0, 1))
def test_so_many_keypoints_are_masked_as_the_share_says(seed: int, share: float) -> None:
    _, _, mask = graph(seed)
    draws = torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed))
    kept = kept_keypoints(mask, draws, share)
    assert ((kept == 0) | (mask > 0)).all()
    assert torch.equal((mask - kept).sum(1), (share * mask.sum(1)).floor())
    smallest_kept = draws.masked_fill(kept == 0, 1).amin(1)
    largest_masked = draws.masked_fill(mask - kept == 0, 0).amax(1)
    assert (largest_masked <= smallest_kept).all()


REFINED = {"encoder", "decoder", "proposal_generator"}
PROJECTED = {*REFINED, "input_proj", "query_proj"}
TRAINED = {
    "joint": {*PROJECTED, "edge_predictor", "mask_token"},
    "base": PROJECTED,
    "skeleton": {*PROJECTED, "edge_predictor", "mask_token"},
    "bias": {*REFINED, "mask_token"},
}


@pytest.mark.parametrize("stage", TRAINED)
def test_each_stage_trains_its_parts_and_keeps_the_others(stage: str) -> None:
    model = made(stage=stage, frozen_backbone=True)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.partition(".")[0] for name in trained} == TRAINED[stage]
    assert any("structural" in name for name in trained) == (stage in ("joint", "bias"))
    model.train()
    assert not any(module.training for module in model.backbone.modules())
    batch = episodes()
    sum(model.losses(model(batch), batch).values(), torch.zeros(())).backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == trained


def test_stages_have_the_same_weights_by_name() -> None:
    states = [made(stage=stage).state_dict() for stage in TRAINED]
    assert all(state.keys() == states[0].keys() for state in states)


def test_the_backbone_s_running_statistics_stay_where_it_is_frozen() -> None:
    model, batch = made(frozen_backbone=True).train(), episodes()
    before = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    model(batch)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.backbone.state_dict().items())


def test_inspection_shows_edges_and_attention_by_name() -> None:
    model, batch = made(), episodes()
    with torch.no_grad():
        inner = model.inspect(batch)
    edges, attention = inner["edges"], inner["attention"]
    assert edges.labels == attention.labels == tuple("abcd") and not edges.over_picture
    torch.testing.assert_close(edges.maps[:, 0], shown(model, batch))
    torch.testing.assert_close(attention.maps[0].sum(2), torch.ones(1, 4))


def test_an_attention_in_one_matrix_is_released_as_three_and_unused_tensors_are_left_out() -> None:
    place = "keypoint_head_module.transformer.decoder.layers.1.self_attn."
    joint = torch.arange(12.0).view(6, 2)
    ours = released(Config(), {f"{place}in_proj_weight": joint})
    assert list(ours) == [f"decoder.layers.1.self_attn.{letter}_proj.weight" for letter in "qkv"]
    assert torch.equal(torch.cat(list(ours.values())), joint)
    head = "keypoint_head_module.skeleton_head."
    unused = ("k_proj.weight", "q_proj.bias", "mh_linear.weight")
    assert not released(Config(), {f"{head}{name}": joint for name in unused})


def test_a_checkpoint_of_the_first_release_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be of the release of 2026, but this one has tensors named probe\.\*"):
        released(Config(), {"keypoint_head.query_proj.weight": torch.zeros(1), "probe.conv.weight": torch.zeros(1)})


def test_the_published_model_has_its_size() -> None:
    setting = Setting((224, 224), 100, (Category("a", "a", tuple(map(str, range(100)))),))
    with torch.device("meta"):
        model = EdgeCape(Config(weights="none"), setting)
    trunk = sum(p.numel() for p in model.backbone.parameters())
    # Without DINOv2's own mask token.
    assert trunk == 22_056_576 - 384
    unused = 2 * (256 * 256 + 256) + 8 + 1
    assert sum(p.numel() for p in model.parameters()) == 37_615_521 - 384 - unused


def test_a_support_without_any_keypoint_is_answered() -> None:
    batch = episodes()
    nothing = Keypoints(batch.support.xy, torch.zeros_like(batch.support.weight))
    model = made().train()
    prediction = model(replace(batch, support=nothing))
    losses = model.losses(prediction, replace(batch, support=nothing))
    assert prediction.points.isfinite().all() and sum(losses.values()) == 0
