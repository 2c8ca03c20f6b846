"""ProtoPose: what a keypoint's map depends on, how prompts move, and what the supports of a round teach."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from parity_adapters.case import drawn, weight
from posebed.catalog import installed
from posebed.config import TrainConfig
from posebed.contracts import MovingAverages, RoundLearner, Setting
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posebed.training.engine import make_optimizer
from posebed.training.moving_averages import move_averages
from posebed.training.process_group import ProcessGroup
from posezoo.blocks.adaptation import supports_of
from posezoo.blocks.prompt_banks import PromptBanks, keys_of, moved, prompts_at
from posezoo.blocks.prompted_vit import PromptedConfig, PromptedViT, resized_bilinearly
from posezoo.blocks.support_variants import joined, varied
from posezoo.proto_pose import UNDECAYED, Learnt, NamedPrompts, half_squared_error, learning_rates

SPEC = installed().model("proto_pose")
SIDE, SHOTS, K = 64, 2, 5
DOG = Category("dog", "dog", ("Nose", "left eye", "right eye", "tail", "paw"), "mammal", flip_pairs=((1, 2),))
CAT = Category("cat", "cat", ("nose", "left eye", "right eye"), "mammal", flip_pairs=((1, 2),))
FLY = Category("fly", "fly", ("nose", "wing", "7"), "insect")
SETTING = Setting((SIDE, SIDE), K, (DOG, CAT, FLY))
ALONE = ProcessGroup(0, 1, torch.device("cpu"))


def built(setting: Setting = SETTING, seed: int = 0, **config: Any) -> Any:
    torch.manual_seed(seed)
    return SPEC.model(SPEC.config(**{**SPEC.small, "drop_path": 0.2, **config}), setting).eval()


def episodes(category: list[int], seed: int = 1) -> EpisodeBatch:
    """A query and supports of each of these categories."""
    random, count = torch.Generator().manual_seed(seed), len(category)
    sizes = torch.tensor([len(c.keypoints) for c in SETTING.categories])[category]
    real = (torch.arange(K) < sizes[:, None]).float()

    def points(*shape: int) -> Tensor:
        return torch.empty(*shape, K, 2).uniform_(4, SIDE - 5, generator=random)

    def images(*shape: int) -> Tensor:
        return torch.randint(0, 256, (*shape, 3, SIDE, SIDE), generator=random, dtype=torch.uint8)

    support = Keypoints(points(count, SHOTS), real[:, None].repeat(1, SHOTS, 1))
    of, rows = torch.tensor(category), torch.arange(count)
    return EpisodeBatch(images(count), Keypoints(points(count), real), of, rows, images(count, SHOTS), support)


def taken(batch: EpisodeBatch, rows: list[int]) -> EpisodeBatch:
    parts = {
        name: Keypoints(value.xy[rows], value.weight[rows]) if isinstance(value, Keypoints) else value[rows]
        for name, value in vars(batch).items()
        if value is not None
    }
    return replace(batch, **parts)


@torch.no_grad()
def answers(model: NamedPrompts, batch: EpisodeBatch, learnt: Learnt) -> Tensor:
    return model.locate_after(batch, learnt).heatmaps


# --- prompts and what they see


@given(st.permutations(range(K)))
@settings(max_examples=10)
def test_a_keypoints_map_does_not_depend_on_the_other_keypoints(order: list[int]):
    model, batch = built(), episodes([0])
    prompts = prompts_at(model.banks.vectors, model.rows_of(batch.category))
    with torch.no_grad():
        whole, _ = model.network(batch.image, prompts)
        turned, _ = model.network(batch.image, prompts[:, order[:3]])
    torch.testing.assert_close(turned, whole[:, order[:3]], rtol=1e-4, atol=1e-4)


def test_the_picture_does_not_see_the_prompts():
    model, batch = built(), episodes([0])
    with torch.no_grad():
        without, _ = model.network.encoder(model.network.normalise(batch.image))
        _, patches = model.network(batch.image, torch.randn(1, K, 64))
    torch.testing.assert_close(patches, without, rtol=1e-4, atol=1e-5)


def test_keypoints_of_one_name_share_a_row_within_their_family_alone():
    rows = built().banks.rows.tolist()
    dog, cat, fly = rows
    assert dog[:3] == cat[:3]
    assert cat[3:] == [-1, -1]
    assert not {*fly[:3]} & {*dog}


def test_another_category_takes_what_the_names_of_its_keypoints_were_taught():
    fox = Category("fox", "fox", ("tail", "ear", "nose"), "mammal")
    model, other = built(), built(Setting((SIDE, SIDE), 3, (fox,)), seed=1)
    other.load_state_dict(model.state_dict())
    ear, nose, tail = (other.banks.keys.index(key) for key in keys_of(fox)[1:] + keys_of(fox)[:1])
    assert torch.equal(other.banks.vectors[ear], other.banks.fresh(seed=0)[ear])
    assert torch.equal(other.banks.vectors[nose], model.banks.vectors[model.banks.rows[0, 0]])
    assert torch.equal(other.banks.vectors[tail], model.banks.vectors[model.banks.rows[0, 3]])


def test_a_name_without_letters_is_the_categorys_own_and_equal_names_have_rows_of_their_own():
    other = Category("bee", "bee", ("7", "leg", "leg"), "insect")
    assert keys_of(FLY)[2] not in keys_of(other)
    assert len({*keys_of(other)}) == 3


def test_names_that_are_alike_but_for_numbers_are_the_categorys_own():
    one, other = (Category(kind, kind, ("kp_1", "kp_2"), "insect") for kind in ("bee", "ant"))
    assert not {*keys_of(one)} & {*keys_of(other)}
    assert keys_of(Category("fly", "fly", ("kp_1", "wing"), "insect"))[0][0] == "insect"


def test_banks_get_no_gradient_and_are_kept_with_the_weights():
    model = built()
    assert "banks.vectors" in model.state_dict()
    assert not any("banks" in name for name, _ in model.named_parameters())
    batch = episodes([0, 1])
    model.train()
    loss = model.losses(model(batch), batch)["heatmap"]
    loss.backward()
    assert model.banks.vectors.grad is None


def test_rows_move_picture_after_picture_and_only_where_a_keypoint_is_seen():
    vectors = torch.tensor([[1.0], [2.0], [3.0]])
    rows = torch.tensor([[0, 1], [0, 2], [0, -1]])
    features = torch.tensor([[[10.0], [20.0]], [[100.0], [200.0]], [[5.0], [7.0]]])
    seen = torch.tensor([[True, False], [True, True], [False, True]])
    after = moved(vectors, rows, features, seen, momentum=0.9)
    torch.testing.assert_close(after, torch.tensor([[0.9 * (0.9 * 1 + 1) + 10], [2.0], [0.9 * 3 + 20]]))
    assert torch.equal(vectors, torch.tensor([[1.0], [2.0], [3.0]]))


def test_a_step_of_training_moves_the_rows_of_its_batch_by_the_features_of_before_it():
    model, batch = built(drop_path=0.0).train(), episodes([1, 1])
    assert isinstance(model, MovingAverages)
    before = model.banks.vectors.clone()
    prediction = model(batch)
    for parameter in model.parameters():
        parameter.data += 1
    move_averages(model, prediction, batch, ALONE)
    changed = {
        row for row, (old, new) in enumerate(zip(before, model.banks.vectors, strict=True)) if (old != new).any()
    }
    assert changed == {*model.banks.rows[1, :3].tolist()}
    expected = model.moved_buffers(prediction, batch)["banks.vectors"]
    model.banks.vectors.copy_(before)
    move_averages(model, prediction, batch, ALONE)
    assert not torch.equal(expected, model.banks.vectors), "the second time they start from where the first left them"


# --- what a round teaches


def test_the_same_round_always_teaches_the_same_and_leaves_the_model_as_it_is():
    model, batch = built(), episodes([0, 1, 2])
    assert isinstance(model, RoundLearner)
    stored = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(5)
    first = answers(model, batch, model.learn_round(batch))
    torch.rand(3)
    state = torch.get_rng_state()
    again = answers(model, batch, model.learn_round(batch))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state), "its draws are its own"
    assert all(torch.equal(tensor, stored[name]) for name, tensor in model.state_dict().items())
    assert not torch.equal(answers(model, batch, built(seed=0, steps=0).learn_round(batch)), first)


def test_the_order_of_the_categories_and_the_queries_of_a_round_change_nothing():
    model, batch, other = built(), episodes([0, 1, 2]), episodes([0, 1, 2], seed=9)
    learnt = model.learn_round(batch)
    queries = replace(batch, image=other.image, keypoints=other.keypoints)
    turned = model.learn_round(taken(queries, [2, 0, 1]))
    assert torch.equal(turned.vectors, learnt.vectors)
    whole = answers(model, other, learnt)
    torch.testing.assert_close(answers(model, taken(other, [1]), turned), whole[1:2], rtol=1e-4, atol=1e-5)


def test_another_category_in_the_round_changes_what_is_learnt():
    model, batch = built(), episodes([0, 1])
    together, alone = model.learn_round(batch), model.learn_round(taken(batch, [0]))
    assert not torch.allclose(answers(model, taken(batch, [0]), together), answers(model, taken(batch, [0]), alone))


def test_called_as_a_whole_it_learns_from_each_episodes_own_supports():
    model, batch = built(), episodes([0, 1])
    with torch.no_grad():
        whole = model(batch).heatmaps
    for row in (0, 1):
        one = taken(batch, [row])
        torch.testing.assert_close(whole[[row]], answers(model, one, model.learn_round(one)), rtol=1e-4, atol=1e-5)


def test_without_steps_named_prompts_answer_by_what_training_knows():
    model, batch, other = built(steps=0), episodes([0, 1]), episodes([0, 1], seed=3)
    moved_away = replace(batch, support_image=other.support_image, support=other.support)
    assert torch.equal(
        answers(model, batch, model.learn_round(batch)), answers(model, batch, model.learn_round(moved_away))
    )


def test_fresh_prompts_never_start_from_trained_rows():
    model, batch = built(prompts="fresh"), episodes([0, 1])
    first = model.learn_round(batch).vectors
    model.banks.vectors.mul_(100)
    assert torch.equal(model.learn_round(batch).vectors, first)
    named = built()
    after = named.learn_round(batch).vectors
    named.banks.vectors.mul_(100)
    assert not torch.equal(named.learn_round(batch).vectors, after)


def test_prompts_of_supports_know_neither_names_nor_other_episodes():
    # With steps, draws follow from the supports' content, of which the order of keypoints is a part.
    model, batch = built(prompts="support", steps=0), episodes([0, 1])
    assert not isinstance(model, RoundLearner | MovingAverages)
    assert not any("banks" in name for name in model.state_dict())
    order = [3, 0, 4, 1, 2]
    support = Keypoints(batch.support.xy[:, :, order], batch.support.weight[:, :, order])
    with torch.no_grad():
        whole, turned = model(taken(batch, [0])), model(taken(replace(batch, support=support), [0]))
    torch.testing.assert_close(turned.heatmaps, whole.heatmaps[:, :, order], rtol=1e-3, atol=1e-4)


def test_frozen_blocks_stay_as_they_are():
    model, batch = built(frozen=1), episodes([0])
    after, before = model.learn_round(batch).network.state_dict(), model.network.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    trained = {name for name, _ in model.network.named_parameters()}
    frozen = {name for name in trained if ".patch_embed." in name or ".blocks.0." in name}
    assert same & trained == frozen


def test_each_family_has_as_many_copies_as_the_settings_say():
    model, counted = built(single=("insect",), copies=4), []
    model.fine_tuned = lambda vectors, steps: counted.append(next(steps).category.tolist())
    model.learn_round(episodes([0, 2]))
    assert sorted(counted[0]) == [0] * 2 * SHOTS + [2] * SHOTS


def test_mirrored_copies_exchange_partners_with_the_picture():
    model, batch = built(), episodes([0])
    samples, digests = joined(supports_of(batch), [0])
    only_mirrored = model.augment.model_copy(update={"scale": 0.0, "rotation": 0.0, "shift": 0.0, "flip": 1.0})
    (copies,) = varied(samples, digests, [1, 1], 1, only_mirrored, model.flip_test.index)
    torch.testing.assert_close(copies.image, samples.image.float().flip(-1), rtol=0, atol=1e-2)
    mirrored = samples.keypoints.xy[:, [0, 2, 1, 3, 4]] * torch.tensor([-1, 1]) + torch.tensor([SIDE - 1, 0])
    torch.testing.assert_close(copies.keypoints.xy, mirrored)


# --- settings


def test_supports_as_prompts_go_without_mirrored_partners():
    assert SPEC.config(prompts="support").flip_test == "off"
    with pytest.raises(ValueError, match="prompts: support must go with flip_test: off and flip: 0"):
        SPEC.config(prompts="support", flip_test="plain")


@pytest.mark.parametrize("backbone", ["resnet18", "vit_small_patch16_dinov3"])
def test_a_backbone_of_another_kind_is_refused(backbone: str):
    with pytest.raises(LookupError, match=f"backbone must be a plain vision transformer .* but is '{backbone}'"):
        built(backbone=backbone)


def test_each_kind_of_prompts_says_what_it_is_told():
    told = {kind: SPEC.protocol(SPEC.config(prompts=kind)).get("told") for kind in ("named", "fresh", "support")}
    assert told["named"] == "keypoint names, trained on the supports of all test categories"
    assert told["support"] is None
    assert len({*told.values()}) == 3


# --- the released code's functions


@pytest.fixture
def functions(parity: Callable[[str], Path]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    folder = parity("protopose")
    return json.loads((folder / "functions.json").read_text()), dict(np.load(folder / "functions.npz"))


def test_weights_of_other_patches_are_resized_as_released(functions: Any):
    _, stored = functions
    encoder = PromptedViT(PromptedConfig(weights="none", depth=1), (256, 256))
    patches = weight("patch_embed.proj.weight", [768, 3, 14, 14])
    positions = 500 * weight("pos_embed", [1, 1370, 768])
    state = {"pos_embed": positions, "patch_embed.proj.weight": patches, "cls_token": positions[:, :1]}
    ours = resized_bilinearly(state, encoder.trunk)
    assert {*ours} == {"pos_embed", "patch_embed.proj.weight"}
    np.testing.assert_allclose(ours["pos_embed"].flatten()[::49], stored["e0/pos_embed_slice"], atol=1e-5)
    np.testing.assert_allclose(
        ours["patch_embed.proj.weight"].flatten()[::145], stored["e0/patch_weight_slice"], atol=1e-6
    )


def test_the_loss_is_the_released_one(functions: Any):
    spec, stored = functions
    draws = {draw[0].removeprefix("e0/"): drawn(draw) for draw in spec["draws"]}
    heatmaps, shown = draws["pred"].requires_grad_(), (draws["weight"] >= 0.35).float()
    loss = half_squared_error(heatmaps, draws["target"], shown)
    loss.backward()
    assert loss.item() == pytest.approx(float(stored["e0/joint_mse"]), abs=1e-6)
    np.testing.assert_allclose(heatmaps.grad.flatten()[::13], stored["e0/joint_mse_grad_slice"], atol=1e-8)
    assert half_squared_error(heatmaps, draws["target"], 0 * shown) == stored["e0/joint_mse_no_weight"]


def test_learning_rates_and_decay_are_the_released_ones(functions: Any):
    spec, _ = functions
    config = SPEC.config(weights="none", width=64, heads=2)
    model = SPEC.model(config, SETTING)
    train = TrainConfig(lr=1.0, weight_decay=0.1, optimizer="adamw", undecayed=UNDECAYED)
    groups = make_optimizer(model, train, learning_rates(config)).param_groups
    names = {parameter: name for name, parameter in model.named_parameters()}
    ours = {names[p]: [group["lr"], group["weight_decay"]] for group in groups for p in group["params"]}
    for name, expected in spec["learning_rates"]["examples_factor_and_decay"].items():
        (place,) = SPEC.released(config, {name: torch.zeros(0)})
        assert ours[place] == pytest.approx(expected), name
    assert len(groups) == spec["learning_rates"]["groups"]
    assert len(ours) == spec["learning_rates"]["tensors"]


def test_categories_share_rows_as_in_the_released_table(functions: Any):
    table = functions[0]["prompt_table"]
    categories = [
        Category(name, name, tuple(table["banks"][of["bank"]][row].title() for row in of["rows"]), of["bank"])
        for of in table["categories"]
        for name in of["categories"]
    ]
    rows = [of["rows"] for of in table["categories"] for _ in of["categories"]]
    banks = PromptBanks(Setting((256, 256), 68, tuple(categories)), channels=1)
    ours = {
        (category.family, row): int(banks.rows[place, k])
        for place, category in enumerate(categories)
        for k, row in enumerate(rows[place])
    }
    for place, category in enumerate(categories):
        assert [ours[category.family, row] for row in rows[place]] == banks.rows[place, : len(rows[place])].tolist()
    assert len({*ours.values()}) == len(ours)
