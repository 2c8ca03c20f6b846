"""CapeFormer and what it shares with GraphCape: the released functions' numbers, and what the methods promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from drawn_episodes import PADDED, SHOWN, SIDE, episodes
from parity_adapters.case import allowed, different, drawn, weight
from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.data.codecs import HeatmapCodec
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posezoo.blocks.coordinates import grid_code, inverse_sigmoid, sine_code
from posezoo.blocks.matching import Proposals, expectation, expectation_near_peak
from posezoo.blocks.two_stage import Support, TwoStage
from posezoo.cape_former import CapeFormer, Config

CATALOG = installed()


CATEGORY = Category("blob", "blob", tuple("abcd"), limbs=((0, 1), (1, 2)))
SETTING = Setting((SIDE, SIDE), PADDED, (CATEGORY,))
SMALL = {
    "weights": "none",
    "backbone": "resnet10t",
    "stride": 8,
    "width": 32,
    "heads": 4,
    "feed_forward": 64,
}
PLAIN = {
    "cape_former": {**SMALL, "identifier": False},
    "graph_cape": {**SMALL, "map_stride": 8, "drop_path": 0.0},
}
"""Neither knows keypoints by their index."""
both = pytest.mark.parametrize("name", PLAIN)


def built(name: str, setting: Setting = SETTING, **config: Any) -> TwoStage:
    spec = CATALOG.model(name)
    torch.manual_seed(0)
    model = spec.model(spec.config(**{**PLAIN[name], **config}), setting)
    for head in model.decoder.offsets:
        torch.nn.init.normal_(head[-1].weight, std=0.3)
    return model.eval()


@torch.no_grad()
def located(model: TwoStage, batch: EpisodeBatch) -> Tensor:
    return model(batch).points


@both
def test_more_padding_changes_nothing(name: str) -> None:
    narrow = replace(SETTING, keypoints=SHOWN)
    fewer, more = located(built(name, narrow), episodes(keypoints=SHOWN)), located(built(name), episodes())
    torch.testing.assert_close(more[:, :, :SHOWN], fewer)


@both
def test_where_a_keypoint_lies_that_one_support_hides_changes_nothing(name: str) -> None:
    model, batch = built(name), episodes()
    batch.support.weight[:, 0, 1] = 0
    elsewhere = replace(batch, support=replace(batch.support, xy=batch.support.xy.clone()))
    elsewhere.support.xy[:, :, 1] = 11.0
    torch.testing.assert_close(located(model, elsewhere), located(model, batch))


@both
def test_keypoints_and_links_in_another_order_give_the_same_points_in_that_order(name: str) -> None:
    order = torch.tensor([2, 0, 3, 1, 4, 5])
    place = {old: new for new, old in enumerate(order.tolist())}
    limbs = tuple((place[a], place[b]) for a, b in CATEGORY.limbs)
    setting = replace(SETTING, categories=(replace(CATEGORY, limbs=limbs),))
    batch = episodes()
    turned = Keypoints(batch.support.xy[:, :, order], batch.support.weight[:, :, order])
    points = located(built(name, setting), replace(batch, support=turned))
    torch.testing.assert_close(points, located(built(name), batch)[:, :, order])


def test_the_identifier_distinguishes_keypoints_by_their_place_in_the_list() -> None:
    order = torch.tensor([2, 0, 3, 1, 4, 5])
    batch, model = episodes(), built("cape_former", identifier=True)
    turned = Keypoints(batch.support.xy[:, :, order], batch.support.weight[:, :, order])
    points = located(model, replace(batch, support=turned))
    assert not torch.allclose(points, located(model, batch)[:, :, order])


def test_learned_codes_are_those_of_a_release_and_take_gradients() -> None:
    model = built("cape_former", identifier=True, learned_identifier=True)
    assert isinstance(model.identifier, torch.nn.Parameter) and abs(model.identifier.std().item() - 1) < 0.1
    batch, plain = episodes(), built("cape_former", identifier=True)
    sum(model.losses(model(batch), batch).values()).backward()
    reached = model.identifier.grad.abs().sum(1) > 0
    assert reached[:SHOWN].all() and not reached[PADDED:].any()
    table = plain.identifier.clone()
    config = Config(learned_identifier=True)
    state = CATALOG.model("cape_former").released(config, {"keypoint_head.support_embedding.weight": table})
    model.load_state_dict({**plain.state_dict(), **state})
    torch.testing.assert_close(located(model, batch), located(plain, batch))


@both
def test_an_episode_without_any_keypoint_is_finite_and_costs_nothing(name: str) -> None:
    model, batch = built(name), episodes()
    batch.support.weight[1, 0] = 0
    prediction = model(batch)
    losses = model.losses(prediction, batch)
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    first = replace(prediction, mask=prediction.mask * torch.tensor([[1.0], [0.0]]))
    torch.testing.assert_close(losses, model.losses(first, batch))
    assert not model.decode(prediction, batch).weight[1].any()


@both
def test_supports_are_encoded_once_for_all_queries_of_an_episode(name: str) -> None:
    model, batch = built(name), episodes()
    same = replace(
        batch,
        support_image=batch.support_image[:1].expand_as(batch.support_image),
        support=Keypoints(
            batch.support.xy[:1].expand_as(batch.support.xy), batch.support.weight[:1].expand_as(batch.support.weight)
        ),
    )
    with torch.no_grad():
        once = model.encode_support(batch)
        shared = Support(once.tokens[:1].expand_as(once.tokens), once.mask[:1].expand_as(once.mask))
        torch.testing.assert_close(model.locate(batch, shared).points, located(model, same))


def test_untrained_layers_leave_the_proposal_where_it_is() -> None:
    model, batch = CapeFormer(Config(**SMALL), SETTING).eval(), episodes()
    prediction = model(batch)
    start = expectation_near_peak(prediction.similarity)[:, :SHOWN]
    torch.testing.assert_close(prediction.points[:, :, :SHOWN], start.expand(3, -1, -1, -1))
    half = 4 / SIDE
    assert ((start >= half) & (start <= 1 - half)).all()


@both
def test_a_scaled_start_divides_the_first_similarities_by_the_root_of_the_channels(name: str) -> None:
    plain, scaled = (built(name, scaled_start=each) for each in (False, True))
    before, after = dict(plain.named_parameters()), dict(scaled.named_parameters())
    changed = {n for n, weight in before.items() if not torch.equal(weight, after[n])}
    projections = ("proposal_generator.support_proj", "proposal_generator.query_proj")
    assert changed == {f"{projection}.weight" for projection in projections}
    for model in (plain, scaled):
        for projection in projections:
            torch.nn.init.zeros_(model.get_submodule(projection).get_parameter("bias"))
        torch.nn.init.zeros_(model.proposal_generator.dynamic_proj[2].weight)
        torch.nn.init.zeros_(model.proposal_generator.dynamic_proj[2].bias)
    with torch.no_grad():
        large, small = plain(episodes()).similarity, scaled(episodes()).similarity
    torch.testing.assert_close(small * SMALL["width"] ** 0.5, large)


def test_similarities_can_be_looked_at() -> None:
    maps = built("cape_former").inspect(episodes())["similarity"]
    assert maps.maps.shape == (2, SHOWN, 8, 8) and maps.labels == CATEGORY.keypoints


def test_a_category_with_more_keypoints_than_slots_is_refused() -> None:
    with pytest.raises(ValueError, match=f"slots must be {PADDED} or more"):
        CapeFormer(Config(**SMALL, slots=5), SETTING)


def test_the_published_model_has_its_size() -> None:
    with torch.device("meta"):
        model = CapeFormer(Config(weights="none"), Setting((256, 256), 100, (CATEGORY,)))
    trunk = sum(p.numel() for p in model.backbone.parameters())
    assert round(trunk / 1e6, 1) == 23.5
    assert round((sum(p.numel() for p in model.parameters()) - trunk) / 1e6, 2) == 13.02


@pytest.fixture
def functions(parity: Callable[[str], Path]) -> dict[str, Any]:
    """Numbers, their tolerances, and how their inputs were drawn."""
    folder = parity("capeformer")
    stored = dict(np.load(folder / "functions.npz"))
    tolerance = json.loads((folder / "tolerance.json").read_text())["functions.npz"]
    return {"spec": json.loads((folder / "functions.json").read_text()), "stored": stored, "tolerance": tolerance}


def compared(functions: dict[str, Any], key: str, value: Tensor) -> None:
    stored, tolerance = functions["stored"][key], functions["tolerance"][key]
    assert different(key, value.detach().numpy(), stored, allowed(*tolerance)) == []


def test_proposals_are_those_of_the_released_code(functions: dict[str, Any]) -> None:
    """Except near the peak of maps that are not square, where the released code mistakes height for width."""
    spec = functions["spec"]["proposal_generator"]
    generator = Proposals(spec["constructor"]["hidden_dim"])
    generator.load_state_dict({name: weight(name, shape) for name, shape, _ in spec["state_dict"]})
    for name, case in spec["cases"].items():
        query, support = (0.5 * drawn(draw).transpose(0, 1) for draw in case["draws"])
        support.requires_grad_()
        similarity = generator(query, support, (case["h"], case["w"]))
        whole, near = expectation(similarity), expectation_near_peak(similarity)
        compared(functions, f"{name}/similarity", similarity)
        compared(functions, f"{name}/proposal_for_loss", whole)
        if case["h"] == case["w"]:
            compared(functions, f"{name}/proposal_local", near)
            (whole.square().sum() + near.square().sum() + 0.01 * similarity.sum()).backward()
            assert support.grad is not None
            gradient = support.grad.transpose(0, 1).flatten()
            step = next(
                s
                for s in range(1, 1000, 2)
                if len(gradient[::s]) == len(functions["stored"][f"{name}/grad_support_slice"])
            )
            compared(functions, f"{name}/grad_support_slice", gradient[::step])


def test_codes_and_targets_are_those_of_the_released_code(functions: dict[str, Any]) -> None:
    draws = {draw[0]: drawn(draw) for draw in functions["spec"]["draws"]}
    height, width = functions["spec"]["positional_code"]["grid_hw"]
    compared(functions, "e0/grid_code", grid_code(height, width).T.unflatten(1, (height, width))[None])
    compared(functions, "e0/order_code_K20", grid_code(1, 20).T[None])
    compared(functions, "e0/coordinate_code", sine_code(draws["e0/coord"]))
    compared(functions, "e0/inverse_sigmoid", inverse_sigmoid(draws["e0/isig"]))
    points = Keypoints(*(torch.from_numpy(functions["stored"][f"e0/target_{part}"])[None] for part in ("kp", "vis")))
    target, shown = HeatmapCodec((256, 256), (64, 64)).encode(points)
    compared(functions, "e0/target", target[0])
    compared(functions, "e0/target_weight", shown[0, :, None])
