"""SimpleBaseline of mmpose."""

from __future__ import annotations

from parity_adapters.case import Case, Outputs
from parity_adapters.heatmap_models import batch_of, built, compared

UNCOVERED: set[str] = set()
LAYERS = {**{f"layer{i}": f"backbone.trunk.layer{i}" for i in range(1, 5)}, "deconv": "head.deconv_layers"}


def outputs(case: Case) -> Outputs:
    backbone = case.constructor["backbone"].lower().replace("-", "")
    model, released = built("simple_baseline", {"weights": "none", "backbone": backbone}, case)
    return compared(model, case, batch_of(case), released, LAYERS)
