"""What a run refuses, it refuses before any worker starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from posestages.train import experiment_of


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("model: simple_baseline, config: {weights: lost.pth}", "weights must be a file, but lost.pth is none"),
        ("model: simple_baseline, config: {stride: 24}", "height and width of the crop must be multiples of 24"),
        ("model: simple_baseline, preset: hrnet-w32-ap10k", "model must be hrnet, as its preset hrnet-w32-ap10k says"),
        ("model: simple_baseline, preset: hrnet-w33-ap10k", "a preset must be one that `posebed presets` lists"),
    ],
)
def test_what_a_model_refuses_is_told_when_the_run_is_decided(project: Path, entry: str, told: str):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(
        text.replace("runs:\n", f"runs:\n  new: {{split: quads, pack: small, {entry}}}\n")
    )
    with pytest.raises((ValueError, LookupError), match=told):
        experiment_of("new")
