"""HRNet of mmpose."""

from __future__ import annotations

import re

from parity_adapters.case import Case, Outputs
from parity_adapters.heatmap_models import batch_of, built, compared

UNCOVERED: set[str] = set()
LAYERS = {
    "layer1": "backbone.layer1",
    **{f"stage2.branch{i}": f"backbone.stage2:{i}" for i in range(2)},
    **{f"stage3.branch{i}": f"backbone.stage3:{i}" for i in range(3)},
    "stage4.branch0": "backbone.stage4:0",
}


def outputs(case: Case) -> Outputs:
    width = int(re.findall(r"\d+", case.constructor["backbone"])[0])
    model, released = built("hrnet", {"weights": "none", "width": width}, case)
    return compared(model, case, batch_of(case), released, LAYERS)
