"""SimpleBaseline: its published sizes, and the backbones that it is published with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch.utils.flop_counter import FlopCounterMode

from posebed.contracts import Setting
from posebed.records import Category
from posezoo.blocks.features import Features
from posezoo.blocks.normalise import IMAGENET_MEAN
from posezoo.simple_baseline import SPEC, Config

ANIMAL = Category("animal", "animal", tuple("abcdefghijklmnopq"))
TINY_VIT: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2}


def built(size: tuple[int, int], **config: Any) -> Any:
    """Without memory or numbers: shapes alone."""
    with torch.device("meta"):
        return SPEC.model(Config(weights="none", **config), Setting(size, 17, (ANIMAL,))).eval()


@pytest.mark.parametrize(
    ("backbone", "size", "millions", "published"),
    [
        ("resnet50", (256, 192), 34.0, 8.9),
        ("resnet101", (256, 256), 53.0, 16.50),
        ("resnet101", (384, 384), 53.0, 37.13),
    ],
)
def test_published_numbers_of_parameters_and_operations(
    backbone: str, size: tuple[int, int], millions: float, published: float
) -> None:
    model = built(size, backbone=backbone)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    with FlopCounterMode(display=False) as all_of_it:
        model.heatmaps(torch.zeros(1, 3, *size, device="meta"))
    with FlopCounterMode(display=False) as doublings:
        model.head.deconv_layers(torch.zeros(1, 2048, size[0] // 32, size[1] // 32, device="meta"))
    # The published count is of multiply-adds in 2^30, and takes a 4 x 4 transposed convolution of stride 2 for one that
    # reads 16 cells for each that it writes; it reads 4.
    counted = (all_of_it.get_total_flops() + 3 * doublings.get_total_flops()) / 2
    assert counted / 2**30 == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize(
    ("backbone", "config"),
    [
        ("resnet50_clip.openai", {}),
        ("vit_base_patch16_224.augreg_in1k", {"stride": 16, "deconvs": 2}),
        ("vit_base_patch16_clip_quickgelu_224.openai", {"stride": 16, "deconvs": 2}),
    ],
)
@pytest.mark.parametrize("size", [(256, 256), (256, 192)])
def test_published_backbones_give_heatmaps_of_a_quarter_of_the_crop(
    backbone: str, config: dict[str, Any], size: tuple[int, int]
) -> None:
    maps = built(size, backbone=backbone, **config).heatmaps(torch.zeros(2, 3, *size, device="meta"))
    assert maps.shape == (2, 17, size[0] // 4, size[1] // 4)


def test_pictures_are_normalised_by_imagenet_s_statistics_unless_those_of_the_weights_are_asked_for() -> None:
    def mean(**config: Any) -> torch.Tensor:
        config = {"backbone": "tf_efficientnet_lite0", "weights": "none", "stride": 16, "channels": 8} | config
        return SPEC.model(Config(**config), Setting((32, 32), 17, (ANIMAL,))).normalise.mean.flatten() / 255

    torch.testing.assert_close(mean(), torch.tensor(IMAGENET_MEAN))
    torch.testing.assert_close(mean(statistics="weights"), torch.full((3,), 0.5))


def test_the_last_block_is_skipped_at_the_rate_that_was_asked_for() -> None:
    vit = {"backbone": "vit_tiny_patch16_224", "stride": 16, "deconvs": 2}
    model = built((64, 64), **vit, drop_path=0.25)
    assert model.backbone.trunk.blocks[-1].drop_path1.drop_prob == pytest.approx(0.25)


def test_the_backbone_learns_at_its_own_rate() -> None:
    config = Config(backbone_rate=0.1)
    names = [name for name, _ in built((32, 32)).named_parameters()]
    (prefix,) = SPEC.learning_rates(config)
    assert SPEC.learning_rates(config)[prefix] == 0.1
    slow = {name.partition(".")[0] for name in names if name.startswith(prefix)}
    assert slow == {"backbone"} and not all(name.startswith(prefix) for name in names)


@pytest.fixture
def transformer(tmp_path: Path) -> tuple[Any, str]:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", **TINY_VIT)
    torch.save(model.state_dict(), tmp_path / "vit.pth")
    return model.eval(), str(tmp_path / "vit.pth")


def test_a_transformer_gives_its_patch_tokens_before_the_last_normalisation(transformer: tuple[Any, str]) -> None:
    model, path = transformer
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        (actual,) = Features("vit_tiny_patch16_224", path, (16,), (224, 224), **TINY_VIT).eval()(image)
        (normed,) = Features("vit_tiny_patch16_224", path, (16,), (224, 224), final_norm=True, **TINY_VIT).eval()(image)
        expected = model.forward_features(image)[:, 1:].mT.unflatten(2, (14, 14))
    torch.testing.assert_close(normed, expected)
    torch.testing.assert_close(model.norm(actual.flatten(2).mT), normed.flatten(2).mT)


def test_positions_are_resized_to_the_crop_and_the_class_token_s_is_kept(transformer: tuple[Any, str]) -> None:
    model, path = transformer
    actual = Features("vit_tiny_patch16_224", path, (16,), (64, 48), **TINY_VIT).trunk.pos_embed
    torch.testing.assert_close(actual, resample_abs_pos_embed(model.pos_embed, [4, 3]))
    torch.testing.assert_close(actual[:, 0], model.pos_embed[:, 0])
