"""CapeX: what the descriptions of keypoints tell, and what nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from drawn_episodes import PADDED, SHOWN, SIDE, episodes
from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.pose import EpisodeBatch, Keypoints
from posebed.records import Category
from posebed.testing.discs import discs
from posezoo.blocks import descriptions
from posezoo.blocks.descriptions import Descriptions, Reader
from posezoo.cape_x import CapeX, Config, released

SPEC = installed().model("cape_x")
NAMES = ("left_ear", "right_ear", "nose", "tail")
CATEGORY = Category("cat", "cat", NAMES, limbs=((0, 2), (1, 2), (2, 3)))
SETTING = Setting((SIDE, SIDE), PADDED, (CATEGORY, Category("bird", "bird", ("beak", "tail"))))


def built(setting: Setting = SETTING, **config: Any) -> CapeX:
    torch.manual_seed(0)
    model = CapeX(Config.model_validate({**SPEC.small, "text_weights": "published", **config}), setting)
    for head in model.decoder.offsets:
        nn.init.normal_(head.get_parameter("6.weight"), std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> CapeX:
    return built()


@torch.no_grad()
def located(model: CapeX, batch: EpisodeBatch) -> Tensor:
    return model(batch).points


class Scaled(Reader):
    """Says the same as another reader, so many times as loudly."""

    def __init__(self, reader: Reader, factor: float) -> None:
        super().__init__()
        self.reader, self.factor = reader, factor

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.factor * self.reader(ids, mask)


def told(model: CapeX, texts: Sequence[Sequence[str]], factor: float = 1.0) -> Descriptions:
    """Other descriptions, by the same reader, said so many times as loudly."""
    reader = Scaled(model.descriptions.reader, factor)
    reader.words, reader.longest = model.descriptions.reader.words, model.descriptions.reader.longest
    return Descriptions(reader, texts, PADDED, tuned=False)


def with_texts(model: CapeX, texts: Sequence[Sequence[str]], batch: EpisodeBatch, factor: float = 1.0) -> Tensor:
    own = model.descriptions
    try:
        model.descriptions = told(model, texts, factor)
        return located(model, batch)
    finally:
        model.descriptions = own


@settings(max_examples=10, deadline=None)
@given(factor=st.floats(0.01, 100))
def test_how_loudly_a_description_is_said_changes_nothing(model: CapeX, factor: float) -> None:
    texts = [[name.replace("_", " ") for name in c.keypoints] for c in SETTING.categories]
    torch.testing.assert_close(with_texts(model, texts, episodes(), factor), located(model, episodes()))


def test_without_unit_length_it_does() -> None:
    model, texts = built(unit_length=False), [["left ear", "right ear", "nose", "tail"], ["beak", "tail"]]
    loud = with_texts(model, texts, episodes(), 3.0)
    assert not torch.allclose(loud[..., :SHOWN, :], located(model, episodes())[..., :SHOWN, :])


def test_descriptions_of_keypoints_that_the_first_support_hides_change_nothing(model: CapeX) -> None:
    batch = episodes()
    batch.support.weight[:, 0, 1] = 0
    texts = [["left ear", "anything else", "nose", "tail"], ["beak", "tail"]]
    torch.testing.assert_close(with_texts(model, texts, batch), located(model, batch))
    batch.support.weight[:, 0, 1] = 1
    assert not torch.allclose(with_texts(model, texts, batch)[-1, :, 0], located(model, batch)[-1, :, 0])


def test_the_first_support_alone_says_which_descriptions_are_given(model: CapeX) -> None:
    batch, other = episodes(), episodes()
    other.support.weight[:, 1, :2] = 0
    torch.testing.assert_close(located(model, other), located(model, batch))
    turned = Keypoints(other.support.xy.flip(1), other.support.weight.flip(1))
    assert not model(replace(other, support=turned)).mask[:, :2].any()


def test_pictures_of_supports_and_places_on_them_change_nothing(model: CapeX) -> None:
    batch = episodes()
    elsewhere = Keypoints(batch.support.xy.flip(2), batch.support.weight)
    other = replace(batch, support_image=255 - batch.support_image, support=elsewhere)
    assert torch.equal(located(model, other), located(model, batch))


def test_names_and_links_in_another_order_give_the_same_points_in_that_order(model: CapeX) -> None:
    order = [2, 0, 3, 1]
    place = {old: new for new, old in enumerate(order)}
    limbs = tuple((place[a], place[b]) for a, b in CATEGORY.limbs)
    turned = replace(CATEGORY, keypoints=tuple(NAMES[old] for old in order), limbs=limbs)
    other = built(replace(SETTING, categories=(turned, SETTING.categories[1])))
    torch.testing.assert_close(
        located(other, episodes())[..., :SHOWN, :], located(model, episodes())[..., order, :], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("graph", "alike"), [("off", True), ("pre", False)])
def test_keypoints_of_one_description_are_told_apart_by_the_graph_alone(graph: str, alike: bool) -> None:
    points = located(built(graph=graph, descriptions={"right_ear": "nose"}), episodes())
    assert torch.allclose(points[:, :, 1], points[:, :, 2], atol=1e-5) is alike


def test_more_padding_changes_nothing(model: CapeX) -> None:
    narrow = built(replace(SETTING, keypoints=SHOWN))
    torch.testing.assert_close(located(model, episodes())[:, :, :SHOWN], located(narrow, episodes(keypoints=SHOWN)))


def test_what_is_said_once_is_kept_until_the_language_model_is_another(model: CapeX) -> None:
    located(model, episodes())
    calls: list[int] = []
    handle = model.descriptions.reader.register_forward_hook(lambda *_: calls.append(1))
    located(model.train(), episodes())
    located(model.eval(), episodes())
    assert not calls
    model.load_state_dict(model.state_dict())
    located(model, episodes())
    handle.remove()
    assert len(calls) == 1


@pytest.mark.parametrize("queries", [1, 2])
def test_texts_of_fixed_number_give_the_same_numbers(queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = built(tune_text=True).train(), episodes()
    said = list[Tensor]()
    for follow in (True, False):
        monkeypatch.setattr(descriptions, "may_follow_data", lambda tensor, follow=follow: follow)
        said.append(model.descriptions(batch.category[:queries], 2))
    torch.testing.assert_close(*said)


def test_the_language_model_takes_no_gradients_unless_it_is_tuned() -> None:
    for tuned in (False, True):
        model, batch = built(tune_text=tuned).train(), episodes()
        sum(model.losses(model(batch), batch).values(), torch.zeros(())).backward()
        reached = [p.grad is not None and p.grad.any() for p in model.descriptions.parameters()]
        assert all(p.requires_grad is tuned for p in model.descriptions.parameters())
        assert any(reached) is tuned


def test_descriptions_left_out_in_training_are_given_in_the_test() -> None:
    model, batch = built(description_dropout=0.5), episodes()
    torch.manual_seed(0)
    shares = [float(model.train()(batch).mask[:, :SHOWN].mean()) for _ in range(40)]
    assert 0.4 < sum(shares) / len(shares) < 0.6
    assert model.eval()(batch).mask[:, :SHOWN].all()


def test_released_names_are_those_of_the_model_and_its_language_model() -> None:
    with torch.device("meta"):
        model = CapeX(Config(weights="none", text_weights="none"), replace(SETTING, size=(256, 256)))
    assert round(sum(p.numel() for p in model.descriptions.parameters()) / 1e6, 1) == 136.8
    renamed = {"descriptions.reader.tower.": "text_backbone.", "query_proj.": "keypoint_head.text_proj."}
    official = {
        theirs + name.removeprefix(ours): tensor
        for name, tensor in model.state_dict().items()
        for ours, theirs in renamed.items()
        if name.startswith(ours)
    }
    unused = {"text_backbone.visual.proj": torch.zeros(1), "text_backbone.logit_scale": torch.zeros(1)}
    mapped = released(Config(), official | unused)
    assert len(mapped) == len(official) and mapped.keys() <= model.state_dict().keys()


def test_the_published_models_have_their_sizes() -> None:
    """Counted in the official code: backbone with its last normalisation, and head."""
    for size, trunk in (("tiny", 27_578_154), ("small", 48_959_418)):
        with torch.device("meta"):
            config = Config(backbone=f"swinv2_{size}_window16_256", weights="none", text_weights="none")
            model = CapeX(config, replace(SETTING, size=(256, 256)))
        parts = (model.backbone, model.descriptions, model)
        own, text, whole = (sum(p.numel() for p in part.parameters()) for part in parts)
        assert (own, whole - own - text) == (trunk, 9_013_894)


@pytest.mark.slow
def test_names_in_an_order_that_no_training_showed_are_found() -> None:
    """Four coloured discs; a category is an order of their names, every sixth order is kept for the test."""
    orders, random = list(permutations(range(4))), np.random.default_rng(0)
    names = ("red_disc", "green_disc", "blue_disc", "yellow_disc")
    categories = tuple(Category(str(i), str(i), tuple(names[k] for k in order)) for i, order in enumerate(orders))
    unseen = list(range(5, 24, 6))
    training = [i for i in range(24) if i not in unseen]
    setting = Setting((SIDE, SIDE), 4, categories)
    model = built(setting, scaled_start=True, heatmap_weight=30.0).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(150):
        batch = coloured(random.choice(training, 16).tolist(), orders, random)
        optimizer.zero_grad()
        torch.stack(list(model.losses(model(batch), batch).values())).sum().backward()
        optimizer.step()
    batch = coloured(unseen * 8, orders, random)
    with torch.no_grad():
        found = model.eval().decode(model(batch), batch).xy
    assert ((found - batch.keypoints.xy).norm(dim=2) < 0.1 * SIDE).float().mean() > 0.9


def coloured(which: list[int], orders: list[tuple[int, ...]], random: np.random.Generator) -> EpisodeBatch:
    """Queries of the categories, with supports that show everything."""
    image, keypoints = discs(len(which), random)
    xy = torch.stack([points[list(orders[i])] for points, i in zip(keypoints.xy, which, strict=True)])
    shown, rows = torch.ones(len(which), 1, 4), torch.arange(len(which))
    support = Keypoints(torch.full((len(which), 1, 4, 2), SIDE / 2), shown)
    pictures = torch.zeros(len(which), 1, 3, SIDE, SIDE, dtype=torch.uint8)
    return EpisodeBatch(image, Keypoints(xy, shown[:, 0]), torch.tensor(which), rows, pictures, support)
