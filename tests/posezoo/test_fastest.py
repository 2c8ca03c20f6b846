"""``auto`` trains in bfloat16 only where that was measured to be at least as fast."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from posebed.catalog import installed

FIGURES = yaml.safe_load((Path(__file__).parents[2] / "docs" / "figures.yaml").read_text(encoding="utf-8"))
CATALOG = installed()
ENTRIES = [
    (name, kind)
    for name, entry in sorted(CATALOG.models.items())
    if entry.module.startswith("posezoo.")
    for kind, (_, precision) in CATALOG.model(name).fastest.items()
    if precision == "bfloat16"
]


@pytest.mark.parametrize(("name", "kind"), ENTRIES)
def test_a_model_that_auto_trains_in_bfloat16_was_measured_to_be_as_fast_with_every_trunk(name: str, kind: str):
    assert FIGURES["precision/kind"]["value"].startswith(f"{kind},")
    case = re.compile(rf"precision/{name}(-[a-z0-9-]+)?/step")
    ratios = {figure: float(entry["value"]) for figure, entry in FIGURES.items() if case.fullmatch(figure)}
    assert ratios
    assert all(ratio >= 1 for ratio in ratios.values()), ratios
