"""Weights on disk."""

from __future__ import annotations

from pathlib import Path

import torch

from posebed.training.run_folder import read_weights, write_weights


def test_weights_are_read_back_and_may_be_read_by_whoever_may_read_other_files(tmp_path: Path):
    tied = torch.arange(6.0).view(2, 3)
    write_weights({"one": tied, "other": tied, "turned": tied.T}, tmp_path / "a.safetensors")
    found = read_weights(tmp_path / "a.safetensors")
    assert (
        torch.equal(found["one"], tied) and torch.equal(found["other"], tied) and torch.equal(found["turned"], tied.T)
    )
    (tmp_path / "usual").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "usual").stat().st_mode
