"""Files of training frameworks: read where they are whole, refused in one sentence where they are something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from faults.doors_artefacts import OFFICIAL, OFFICIAL_SAFE
from posebed.training.state_dict import read_checkpoint

SOUND = {"a.weight": torch.randn(3, 2), "a.steps": torch.tensor(4), "a.turned": torch.randn(3, 2).T}


@pytest.mark.parametrize("wrap", ["", "state_dict", "model", "best_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappers_and_prefixes_of_frameworks_are_taken_off(tmp_path: Path, wrap: str, prefix: str):
    state = {prefix + name: tensor for name, tensor in SOUND.items()}
    torch.save({wrap: state, "epoch": 3} if wrap else state, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth")
    assert found.keys() == SOUND.keys() and all(torch.equal(found[name], SOUND[name]) for name in SOUND)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match="must") as error:
        read_checkpoint(path)
    assert type(error.value) is ValueError
    return str(error.value)


@pytest.mark.parametrize("name", sorted({*OFFICIAL} - {"another model"}))
def test_what_is_no_official_checkpoint_is_refused_in_one_line(tmp_path: Path, name: str, monkeypatch):
    monkeypatch.chdir(tmp_path)
    OFFICIAL[name](tmp_path / "given.pth")
    text = refusal(tmp_path / "given.pth")
    assert str(tmp_path / "given.pth") in text and "\n" not in text and len(text) < 500
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", sorted({*OFFICIAL_SAFE} - {"another model"}))
def test_damaged_safetensors_are_refused_in_one_line(tmp_path: Path, name: str):
    OFFICIAL_SAFE[name](tmp_path / "given.safetensors")
    text = refusal(tmp_path / "given.safetensors")
    assert str(tmp_path / "given.safetensors") in text and "\n" not in text and len(text) < 500


def test_numbers_that_are_none_are_refused_by_tensor(tmp_path: Path):
    broken = {**SOUND, "a.turned": torch.tensor([1.0, float("nan")])}
    torch.save(broken, tmp_path / "a.pth")
    save_file({name: tensor.contiguous() for name, tensor in broken.items()}, tmp_path / "a.safetensors")
    for path in tmp_path.iterdir():
        assert "must hold plain tensors of finite numbers, but does not in a.turned" in refusal(path)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("empty.pth", "but is empty; download it again"),
        ("empty.safetensors", "but is empty; download it again"),
        ("html.pth", "but is a web page; download the file itself"),
        ("html.safetensors", "but is a web page; download the file itself"),
        ("jit.pth", "but is a TorchScript program; export its state dictionary"),
        ("oldtrunc.pth", "but is none, or damaged; download it again"),
        ("trunc.pth", "but is none, or damaged; download it again"),
        ("trunc.safetensors", "must be safetensors, but is none, or damaged; download it again"),
    ],
)
def test_the_cases_of_damaged_downloads(cases: Path, file: str, says: str):
    assert re.search(says, refusal(cases / "checkpoints" / file))
