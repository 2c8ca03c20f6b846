"""ViTPose: its published size, and where it departs from a plain vision transformer."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from posebed.contracts import Setting
from posebed.records import Category
from posezoo.vit_pose import SPEC, Config

ANIMAL = Category("animal", "animal", tuple("abcdefghijklmnopq"))
TINY: dict[str, Any] = {"weights": "none", "width": 32, "depth": 2, "heads": 2, "channels": 8}


def built(size: tuple[int, int] = (64, 48), **config: Any) -> Any:
    torch.manual_seed(0)
    return SPEC.model(Config(**{**TINY, **config}), Setting(size, 17, (ANIMAL,))).eval()


def test_published_numbers_of_parameters_and_operations() -> None:
    with torch.device("meta"):
        model = SPEC.model(Config(weights="none"), Setting((256, 192), 17, (ANIMAL,))).eval()
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(89.9, abs=0.1)
    with FlopCounterMode(display=False) as counter:
        model.heatmaps(torch.zeros(1, 3, 256, 192, device="meta"))
    operations = counter.get_flop_counts()["Global"]
    # The published count is of multiply-adds in layers with weights; products of tokens are left out. Where DeepSpeed's
    # third stage was used before in the process, it has put its own linear layer, of mm, in place of torch's addmm.
    layers = sum(
        count for op, count in operations.items() if any(name in str(op) for name in ("convolution", ".addmm", ".mm"))
    )
    assert layers / 2 / 1e9 == pytest.approx(17.85, rel=0.02)


@pytest.mark.parametrize("head", ["classic", "simple"])
def test_heatmaps_are_a_quarter_of_the_crop(head: str) -> None:
    model = built(head=head)
    maps = model.heatmaps(torch.zeros(2, 3, 64, 48))
    assert maps.shape == (2, 17, 16, 12) and model.codec.heatmap_size == (16, 12)


def test_the_class_s_position_is_added_to_every_patch() -> None:
    model = built()
    image = torch.rand(1, 3, 64, 48)
    with torch.no_grad():
        before = model.backbone(image)[0]
        shift = torch.randn(32)
        model.backbone.trunk.pos_embed[:, :1] += shift
        assert not torch.allclose(model.backbone(image)[0], before)
        model.backbone.trunk.pos_embed[:, 1:] -= shift
        torch.testing.assert_close(model.backbone(image)[0], before, rtol=1e-4, atol=1e-5)


def test_patches_lie_two_pixels_off_the_grid() -> None:
    trunk = built().backbone.trunk
    image = torch.rand(1, 3, 64, 48)
    with torch.no_grad():
        patches = trunk.patch_embed(image).unflatten(1, (4, 3))
        second = torch.einsum("cyx,ocyx->o", image[0, :, 14:30, 14:30], trunk.patch_embed.proj.weight)
    torch.testing.assert_close(patches[0, 1, 1], second + trunk.patch_embed.proj.bias)


def test_the_learning_rate_decays_from_the_head_to_the_patches() -> None:
    config = Config(**TINY, layer_decay=0.5)
    factors = SPEC.learning_rates(config)

    def factor(name: str) -> float:
        return next((f for prefix, f in factors.items() if name.startswith(prefix)), 1.0)

    trunk = "backbone.trunk."
    names = (f"{trunk}patch_embed.proj.weight", f"{trunk}blocks.0.norm1.weight", f"{trunk}blocks.1.mlp.fc1.bias")
    assert [factor(name) for name in names] == [0.125, 0.25, 0.5]
    parameters = [name for name, _ in built().named_parameters()]
    assert {name.split(".")[2] for name in parameters if factor(name) == 1.0 and "trunk" in name} == {"norm"}
    assert all(any(name.startswith(prefix) for name in parameters) for prefix in factors)


def test_names_of_the_release_are_the_model_s() -> None:
    own = built().state_dict()
    theirs = {
        n.replace("backbone.trunk.norm.", "backbone.last_norm.")
        .replace("trunk.", "")
        .replace("head.", "keypoint_head.")
        for n in own
    }
    assert SPEC.released is not None
    assert set(SPEC.released(Config(**TINY), dict.fromkeys(theirs, torch.zeros(())))) == set(own)


def test_weights_of_a_plain_transformer_fill_it_at_any_size(tmp_path: Any) -> None:
    plain: Any = timm.create_model("vit_base_patch16_224", embed_dim=32, depth=2, num_heads=2)
    torch.save(plain.state_dict(), tmp_path / "vit.pth")
    trunk = built(weights=str(tmp_path / "vit.pth")).backbone.trunk
    torch.testing.assert_close(trunk.blocks[1].mlp.fc2.weight, plain.blocks[1].mlp.fc2.weight)
    torch.testing.assert_close(trunk.pos_embed[:, 0], plain.pos_embed[:, 0])


def test_weights_of_another_width_are_refused(tmp_path: Any) -> None:
    plain: Any = timm.create_model("vit_base_patch16_224", embed_dim=64, depth=2, num_heads=2)
    torch.save(plain.state_dict(), tmp_path / "vit.pth")
    with pytest.raises(ValueError, match="must have the module's shapes"):
        built(weights=str(tmp_path / "vit.pth"))
