"""HRNet against its published sizes and against timm's independent implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from posebed.contracts import Setting
from posebed.records import Category
from posezoo.blocks.hrnet import STRIDES, HRNet
from posezoo.hrnet import SPEC, Config

SETTING = Setting((256, 256), 17, (Category("animal", "animal", tuple("abcdefghijklmnopq")),))


@pytest.mark.parametrize(
    ("width", "side", "millions", "published"),
    [(32, 256, 28.5, 9.49), (32, 384, 28.5, 21.36), (48, 256, 63.6, 19.49), (48, 384, 63.6, 43.84)],
)
def test_published_numbers_of_parameters_and_operations(
    width: int, side: int, millions: float, published: float
) -> None:
    with torch.device("meta"):
        model = SPEC.model(Config(width=width, weights="none"), Setting((side, side), 17, SETTING.categories)).eval()
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    with FlopCounterMode(display=False) as counter:
        model.heatmaps(torch.zeros(1, 3, side, side, device="meta"))
    # The published count is of multiply-adds in 2^30.
    assert counter.get_total_flops() / 2 / 2**30 == pytest.approx(published, rel=0.02)


@pytest.fixture
def classifier(tmp_path: Path) -> tuple[Any, str]:
    """timm's smallest network of this shape, with lively batch norms, and a file of its weights."""
    torch.manual_seed(0)
    model = timm.create_model("hrnet_w18_small_v2")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.get_buffer("running_mean"), -0.1, 0.1)
            torch.nn.init.uniform_(module.weight, 0.5, 1)
    torch.save(model.state_dict(), tmp_path / "hrnet.pth")
    return model.eval(), str(tmp_path / "hrnet.pth")


def test_all_four_branches_equal_timm_s(classifier: tuple[Any, str]) -> None:
    reference, path = classifier
    ours = HRNet(18, path, 2, (1, 3, 2), strides=STRIDES).eval()
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = reference.stages(
            torch.relu(reference.bn2(reference.conv2(reference.act1(reference.bn1(reference.conv1(image))))))
        )
        for ours_map, theirs in zip(ours(image), expected, strict=True):
            # Kernels differ, and so the order in which they sum.
            torch.testing.assert_close(ours_map, theirs, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("strides", [(4,), (4, 32), (16,)])
def test_fewer_branches_are_those_of_all_four(classifier: tuple[Any, str], strides: tuple[int, ...]) -> None:
    _, path = classifier
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        fewer = HRNet(18, path, 2, (1, 3, 2), strides).eval()(image)
        every: dict[int, Any] = dict(zip(STRIDES, HRNet(18, path, 2, (1, 3, 2), STRIDES).eval()(image), strict=True))
    for stride, ours in zip(strides, fewer, strict=True):
        torch.testing.assert_close(ours, every[stride])


def test_a_stride_without_a_branch_is_refused() -> None:
    with pytest.raises(LookupError, match="4, 8, 16, 32"):
        HRNet(18, "none", 1, (1, 1, 1), (2,))


def test_weights_of_another_depth_are_refused(classifier: tuple[Any, str]) -> None:
    _, path = classifier
    with pytest.raises(ValueError, match=r"unexpected stage3\.2\."):
        HRNet(18, path, 2, (1, 2, 2))


def test_weights_of_another_width_are_refused(classifier: tuple[Any, str]) -> None:
    _, path = classifier
    with pytest.raises(ValueError, match=r"transition1\.0\.0\.weight \(18, 256, 3, 3\) for \(20, 256, 3, 3\)"):
        HRNet(20, path, 2, (1, 3, 2))


def test_a_width_that_timm_has_no_weights_for_is_refused() -> None:
    with pytest.raises(LookupError, match=r"'hrnet_w20\.ms_in1k'"):
        HRNet(20, "timm")


def test_a_crop_that_is_no_multiple_of_the_coarsest_stride_is_refused() -> None:
    setting = Setting((250, 256), 17, SETTING.categories)
    with pytest.raises(ValueError, match="multiples of 32, but are 250 x 256"):
        SPEC.model(Config(weights="none"), setting)
