"""PromptPose: prompts through frozen language models, score maps, the contrast, and what may not be given."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from parity_adapters.case import allowed, different, drawn
from posebed.contracts import Setting
from posebed.pose import Batch, Keypoints
from posebed.records import Category
from posezoo.blocks import joint_space
from posezoo.blocks.contrast import at_cells, cells, contrast, sampled
from posezoo.blocks.joint_space import ClipResNet, ClipTransformer, SkippingBlock
from posezoo.blocks.prompts import keypoint_names
from posezoo.blocks.text import ClipText, MiniLM
from posezoo.prompt_pose import Config, PromptPose, build, learning_rates

SIDE = 64
NAMES = ("left_eye", "right_eye", "nose", "left_front_paw", "right_front_paw")
ANIMAL = Category("animal", "animal", NAMES, flip_pairs=((0, 1), (3, 4)))
SETTING = Setting((SIDE, SIDE), len(NAMES), (ANIMAL,))
SMALL: dict[str, Any] = {"weights": "none", "text_weights": "none", "channels": 16}
TIMM: dict[str, Any] = {**SMALL, "backbone": "resnet10t", "stride": 16, "text_encoder": "minilm"}

CLIP_VISION = {"RN50-quickgelu": {"layers": [1, 1, 1, 1], "width": 8}, "ViT-B-16-quickgelu": {"layers": 2, "width": 64}}


def small_clip(model: str) -> dict[str, Any]:
    return {
        "embed_dim": 32,
        "vision_cfg": {"image_size": SIDE, "patch_size": 16, **CLIP_VISION[model]},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
        "quick_gelu": True,
    }


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP's architectures with few and narrow layers."""
    monkeypatch.setattr("posezoo.blocks.clip.get_model_config", small_clip)


def built(setting: Setting = SETTING, **config: Any) -> PromptPose:
    torch.manual_seed(0)
    return build(Config(**config), setting)


def drawn_batch(count: int = 2, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    points = Keypoints(torch.rand(count, len(NAMES), 2, generator=generator) * SIDE, torch.ones(count, len(NAMES)))
    return Batch(image, points, torch.zeros(count, dtype=torch.int64), torch.arange(count))


def step(model: PromptPose, batch: Batch) -> None:
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    sum(model.losses(model(batch), batch).values(), torch.zeros(())).backward()
    optimizer.step()


@pytest.mark.parametrize("encoder", ["clip", "minilm"])
def test_a_step_moves_the_template_and_leaves_the_language_model_alone(encoder: str) -> None:
    model = built(**{**TIMM, "text_encoder": encoder})
    before = copy.deepcopy(model.text.state_dict())
    step(model, drawn_batch())
    changed = {name for name, tensor in model.text.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"contexts"}


def readings(model: PromptPose) -> list[Tensor]:
    """What the language model says, each time that it runs."""
    calls: list[Tensor] = []

    def keep(module: object, inputs: object, output: Tensor) -> None:
        calls.append(output)

    model.text.encoder.register_forward_hook(keep)
    return calls


def whole_clip(model: str, folder: Path) -> tuple[Any, str]:
    torch.manual_seed(1)
    settings = small_clip(model)
    clip: Any = open_clip.CLIP(**settings).eval()
    for p in clip.parameters():
        torch.nn.init.normal_(p, std=0.1)
    path = folder / "clip.safetensors"
    save_file(clip.state_dict(), path)
    return clip, str(path)


@pytest.mark.parametrize("model", CLIP_VISION)
@torch.no_grad()
def test_towers_give_clip_s_own_embeddings_from_clip_s_weights(model: str, tmp_path: Path) -> None:
    clip, path = whole_clip(model, tmp_path)
    image = torch.randn(2, 3, SIDE, SIDE)
    size = (SIDE, SIDE)
    tower = ClipTransformer(model, path, size, 0.4) if "ViT" in model else ClipResNet(model, path, size)
    _, tokens = tower.eval()(image)
    torch.testing.assert_close(tokens[:, 0], clip.encode_image(image), rtol=1e-4, atol=1e-5)
    texts = ["a photo of a left eye", "a photo of a nose", "a photo of a right front paw"]
    text = ClipText(model, path, texts, 0)
    own = clip.encode_text(open_clip.SimpleTokenizer()(texts))
    torch.testing.assert_close(text(torch.empty(0, text.width)), own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", ["clip_resnet50", "clip_vit_b16"])
def test_clip_s_towers_take_crops_that_are_not_square(backbone: str) -> None:
    tall = replace(SETTING, size=(SIDE, SIDE // 2))
    batch = drawn_batch()
    model = built(tall, **SMALL, backbone=backbone)
    prediction = model(replace(batch, image=batch.image[..., : SIDE // 2]))
    assert prediction.heatmaps.shape == (2, len(NAMES), SIDE // 4, SIDE // 8)


def test_a_skipped_branch_leaves_a_picture_as_it_was_and_the_others_take_its_share() -> None:
    torch.manual_seed(0)
    block = SkippingBlock(64, 1, 0.5)
    for parameter in block.mlp.parameters():
        torch.nn.init.zeros_(parameter)
    tokens = torch.randn(16, 5, 64)
    branch = block.eval()(tokens) - tokens
    added = block.train()(tokens) - tokens
    kept = added.flatten(1).any(1)
    assert kept.any() and not kept.all()
    torch.testing.assert_close(added[kept], 2 * branch[kept])


def test_a_branch_that_all_pictures_go_through_gives_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    block, tokens = SkippingBlock(64, 1, 0.5).train(), torch.randn(16, 5, 64)
    added = list[torch.Tensor]()
    for follow in (True, False):
        monkeypatch.setattr(joint_space, "may_follow_data", lambda tensor, follow=follow: follow)
        torch.manual_seed(0)
        added.append(block(tokens))
    torch.testing.assert_close(*added)


def test_every_parameter_has_a_gradient_where_a_branch_is_skipped_by_all() -> None:
    block = SkippingBlock(64, 1, 1 - 1e-9)
    tokens = torch.randn(2, 5, 64)
    out = block(tokens)
    out.sum().backward()
    assert torch.equal(out, tokens)
    assert all(p.grad is not None and not p.grad.any() for p in block.parameters())


@pytest.mark.parametrize("backbone", ["clip_resnet50", "clip_vit_b16"])
def test_parameters_can_be_counted_without_memory(backbone: str) -> None:
    with torch.device("meta"):
        counted = built(**SMALL, backbone=backbone)
    real = built(**SMALL, backbone=backbone)
    assert [p.shape for p in counted.parameters()] == [p.shape for p in real.parameters()]


@torch.no_grad()
def test_prompts_of_one_sequence_are_what_they_are_alone() -> None:
    torch.manual_seed(0)
    names = ["nose", "left front paw", ""]
    together = ClipText("RN50-quickgelu", "none", names, 3)
    learnt = torch.randn(3, together.width)
    for index, name in enumerate(names):
        alone = ClipText("RN50-quickgelu", "none", [name], 3)
        alone.load_state_dict(together.state_dict())
        torch.testing.assert_close(together(learnt)[index], alone(learnt)[0])


@torch.no_grad()
def test_minilm_knows_which_names_are_alike() -> None:
    names = ["left eye", "right eye", "tail"]
    text = MiniLM("builtin", names, 0)
    nothing = torch.empty(0, text.width)
    left, right, tail = torch.nn.functional.normalize(text(nothing), dim=1)
    assert left @ right > 0.7 > left @ tail + 0.2
    alone = MiniLM("builtin", ["tail"], 0)
    torch.testing.assert_close(text(nothing)[2], alone(nothing)[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("template", ["learnt", "clip"])
def test_the_language_model_runs_once_in_evaluation_and_its_kept_words_are_right(template: str) -> None:
    model = built(**TIMM, template=template).eval()
    calls = readings(model)
    first, second = model(drawn_batch()).heatmaps, model(drawn_batch()).heatmaps
    assert len(calls) == 1 and torch.equal(first, second)
    model.train()
    model.eval()
    assert torch.equal(model(drawn_batch()).heatmaps, first) and len(calls) == 2
    state = {n: t + 1 if n == "text.contexts" else t for n, t in model.state_dict().items()}
    model.load_state_dict(state)
    changed = model(drawn_batch()).heatmaps
    assert len(calls) == 3 and torch.equal(changed, first) == (template == "clip")


def test_in_training_the_language_model_runs_once_per_batch_where_the_template_learns_and_else_once() -> None:
    for template, runs in (("learnt", 2), ("clip", 1)):
        model = built(**TIMM, template=template)
        calls = readings(model)
        step(model, drawn_batch())
        step(model, drawn_batch())
        assert len(calls) == runs


@pytest.mark.parametrize(
    ("switches", "terms"),
    [
        ({}, {"heatmap", "pixel", "semantic"}),
        ({"semantic_weight": 0}, {"heatmap", "pixel"}),
        ({"semantic_weight": 0, "prompt_layers": 0}, {"heatmap", "pixel"}),
        ({"prompt_layers": 0}, {"heatmap", "pixel", "semantic"}),
        ({"pixel_weight": 0, "decoder_layers": 0}, {"heatmap", "semantic"}),
        ({"temperature": "fixed", "template": "clip", "semantic_sampling": "cell"}, {"heatmap", "pixel", "semantic"}),
    ],
)
def test_every_part_can_be_switched_and_what_is_off_is_not_built(switches: dict[str, Any], terms: set[str]) -> None:
    model = built(**TIMM, **switches)
    batch = drawn_batch()
    losses = model.losses(model(batch), batch)
    assert set(losses) == terms
    sum(losses.values(), torch.zeros(())).backward()
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


def test_what_was_published_for_a_backbone_is_its_default_and_gives_way_to_what_is_set() -> None:
    assert Config().pixel_weight == 0.4 and learning_rates(Config()) == {"backbone.trunk.": 1.0}
    transformer = Config(backbone="clip_vit_b16", drop_path=0.1)
    assert (transformer.pixel_weight, transformer.backbone_rate, transformer.drop_path) == (2.0, 0.1, 0.1)
    (prefix,) = learning_rates(transformer)
    for config in (TIMM, SMALL, {**SMALL, "backbone": "clip_vit_b16"}):
        assert any(name.startswith(prefix) for name, _ in built(**config).named_parameters())


@torch.no_grad()
def test_without_a_share_of_the_picture_prompts_are_those_of_the_prompt_encoder() -> None:
    model = built(**TIMM, gamma=0).eval()
    prompts = model.sight(drawn_batch().image).prompts
    torch.testing.assert_close(prompts, model.prompt_encoder(model.text()).expand_as(prompts))


def test_score_maps_are_cosines_under_the_names_of_their_keypoints() -> None:
    model = built(**TIMM).eval()
    seen = model.inspect(drawn_batch())
    assert seen["score maps"].labels == ("left eye", "right eye", "nose", "left front paw", "right front paw")
    assert seen["score maps"].maps.shape == (2, 5, 4, 4) and seen["heatmaps"].maps.shape == (2, 5, 16, 16)
    assert seen["score maps"].maps.abs().max() <= 1


@torch.no_grad()
def test_score_maps_change_places_with_their_names() -> None:
    order = [3, 0, 4, 2, 1]
    other = replace(SETTING, categories=(replace(ANIMAL, keypoints=tuple(NAMES[i] for i in order), flip_pairs=()),))
    model, permuted = built(**TIMM).eval(), built(other, **TIMM).eval()
    permuted.load_state_dict(model.state_dict())
    batch = drawn_batch()
    scores = model.sight(batch.image).scores
    torch.testing.assert_close(permuted.sight(batch.image).scores, scores[:, order], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_flip_test_commutes_with_mirrored_pictures() -> None:
    model = built(**TIMM, flip_test="plain").eval()
    batch = drawn_batch()
    mirrored = model(replace(batch, image=batch.image.flip(-1))).heatmaps
    own = model(batch).heatmaps[:, list(ANIMAL.flip_index())].flip(-1)
    torch.testing.assert_close(mirrored, own, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sampling", ["bilinear", "cell"])
def test_an_unlabelled_keypoint_gives_no_gradient(sampling: str) -> None:
    model = built(**TIMM, semantic_sampling=sampling)
    batch = drawn_batch()
    weight = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]).expand(2, -1)

    def gradients(shift: float) -> list[Tensor]:
        torch.manual_seed(0)
        xy = batch.keypoints.xy + shift * (1 - weight)[..., None]
        given = replace(batch, keypoints=Keypoints(xy, weight))
        losses = model.losses(model(given), given)
        trained = [p for p in model.parameters() if p.requires_grad]
        return list(torch.autograd.grad(sum(losses.values(), torch.zeros(())), trained))

    for here, elsewhere in zip(gradients(0), gradients(11), strict=True):
        assert torch.equal(here, elsewhere)


@pytest.mark.parametrize("mask", [True, False])
def test_the_contrast_asks_nothing_of_unlabelled_keypoints(mask: bool) -> None:
    features, prompts = (torch.randn(2, 5, 8, requires_grad=True) for _ in range(2))
    weight = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]).expand(2, -1)
    contrast(features, prompts, weight, torch.tensor(14.0), mask).backward()
    assert features.grad is not None and prompts.grad is not None
    assert not features.grad[:, [1, 3]].any() and features.grad[:, [0, 2, 4]].any()
    assert prompts.grad[:, [1, 3]].any() == (not mask)


def test_the_contrast_is_finite_and_0_where_nothing_is_labelled() -> None:
    features, prompts = (torch.randn(2, 5, 8, requires_grad=True) for _ in range(2))
    loss = contrast(features, prompts, torch.zeros(2, 5), torch.tensor(14.0), True)
    loss.backward()
    assert loss == 0 and features.grad is not None and not features.grad.any()


def test_features_are_taken_where_a_cell_s_centre_lies() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    # Cells of 8 pixels: pixel 3.5 is the centre of the first, 11.5 of the second; 7.5 lies between.
    xy = torch.tensor([[[3.5, 3.5], [11.5, 3.5], [7.5, 3.5], [31.4, 31.4], [31.6, 0.0]]])
    features, inside = sampled(maps, xy, (32, 32))
    torch.testing.assert_close(features[0, :4, 0], torch.tensor([0.0, 1.0, 0.5, 15.0]))
    assert inside[0].tolist() == [True, True, True, True, False]


def test_the_contrast_and_its_cells_are_those_of_the_released_code(parity: Callable[[str], Path]) -> None:
    folder = parity("clamp")
    stored = np.load(folder / "functions.npz")
    tolerance = json.loads((folder / "tolerance.json").read_text())["functions.npz"]
    for name, case in json.loads((folder / "functions.json").read_text())["cases"].items():
        given = {draw[0].split("/")[1]: drawn(draw) for draw in case["draws"]}
        xy, weight = given["kp"], (given["vis"] >= case["hide"]).float()
        xy[:, :3] = torch.tensor([[2.0, 2.0], [30.0, 130.0], [254.0, 40.0]])
        weight[:, :3] = 1
        visual, text = given["v"].requires_grad_(), given["t"].requires_grad_()
        features, counts = at_cells(visual, xy, (256, 256))
        loss = contrast(features, text, weight * counts, torch.tensor(2.0).exp(), False)
        loss.backward()
        assert visual.grad is not None and text.grad is not None
        peaks = torch.zeros_like(torch.from_numpy(stored[f"{name}/target_down"]))
        cell, _ = cells(xy, (256, 256), (case["grid"], case["grid"]))
        for b, k in (weight * counts * (cell < case["grid"]).all(2)).nonzero().tolist():
            peaks[b, k, cell[b, k, 1], cell[b, k, 0]] = 1
        assert np.array_equal(peaks == 1, stored[f"{name}/target_down"] == 1)
        ours = {
            "target_down_weight": weight * counts,
            "feature_loss": loss.detach(),
            "grad_visual_slice": visual.grad.flatten()[::7],
            "grad_text_slice": text.grad.flatten()[::5],
        }
        for key, value in ours.items():
            entry = f"{name}/{key}"
            assert different(entry, value.numpy(), stored[entry], allowed(*tolerance[entry])) == []


def test_names_of_numbers_are_refused() -> None:
    numbered = replace(SETTING, categories=(replace(ANIMAL, keypoints=("0", "1", "2", "3", "4"), flip_pairs=()),))
    with pytest.raises(ValueError, match="names with letters"):
        keypoint_names(numbered)


def test_categories_that_name_keypoints_differently_are_refused() -> None:
    other = Category("chair", "chair", ("seat", "back"))
    with pytest.raises(ValueError, match="one skeleton"):
        keypoint_names(replace(SETTING, categories=(ANIMAL, other)))


def test_a_crop_that_the_backbone_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        built(replace(SETTING, size=(80, 64)), **SMALL)


def test_weights_that_cannot_be_fetched_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(release: object) -> str:
        raise FileNotFoundError("no network")

    monkeypatch.setattr("posezoo.blocks.clip.download_pretrained", unreachable)
    with pytest.raises(LookupError, match="could not be reached"):
        built(**{**SMALL, "weights": "openai"})
    with pytest.raises(LookupError, match="could not be reached"):
        built(**{**TIMM, "text_encoder": "clip", "text_weights": "published"})
    with pytest.raises(LookupError, match="choose openai"):
        built(**{**SMALL, "weights": "imagenet"})
    with pytest.raises(LookupError, match="MiniLM"):
        built(**{**TIMM, "text_weights": "openai"})


def test_a_name_longer_than_the_language_model_reads_is_refused() -> None:
    long = replace(SETTING, categories=(replace(ANIMAL, keypoints=(*NAMES[:4], "paw " * 80)),))
    with pytest.raises(ValueError, match="at most 77 tokens"):
        built(long, **SMALL)
