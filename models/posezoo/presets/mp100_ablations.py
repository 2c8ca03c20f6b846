"""What parts of SDPNet and FMMP are worth: the ablations of their papers, on split 1 of MP-100.

SDPNet's (CVPR 2024, tables 1 to 4) have HRNet-W32 and three shots, and the full method stands in every table. FMMP's
are known from a note of a third party alone; the mixup's own loss is its last step, which leads to the full method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from posebed.contracts import Preset, PresetSpec
from posezoo.presets._sources import mp100
from posezoo.presets.mp100 import MEAN, METHODS, NOTE


@dataclass(frozen=True)
class Ablation:
    table: int
    row: str
    value: float
    """PCK@0.2."""
    config: Mapping[str, Any]


SDPNET = {
    "average": Ablation(1, "average", 92.97, {"aggregation": "average"}),
    "weighted": Ablation(1, "AW", 93.21, {"aggregation": "weighted"}),
    "low-resolution": Ablation(2, "low resolution", 92.84, {"fine_strides": ()}),
    "high-resolution": Ablation(2, "HR", 93.38, {"dynamic_convolution": False}),
    "no-graph": Ablation(3, "no GCN", 93.01, {"graph": "none"}),
    "global-regression": Ablation(3, "GR, SC, SEM", 93.17, {"graph": "global"}),
    "concatenation-regression": Ablation(3, "CR, SC, SEM", 93.48, {"graph": "concatenation"}),
    "no-sparsity": Ablation(3, "MA, SEM", 92.87, {"structure_weight": 0.0}),
    "shared-matrix": Ablation(3, "MA, SC, SM", 93.15, {"modulation": "shared"}),
    "modulation-matrix": Ablation(3, "MA, SC, MM", 93.22, {"modulation": "fixed"}),
    "standard-attention": Ablation(4, "standard", 93.17, {"offset_coefficient": "none"}),
    "support-coefficient": Ablation(4, "SB, SM", 93.06, {"offset_coefficient": "support"}),
    "coefficient-per-offset": Ablation(4, "DB, UM", 93.32, {"coefficient_per": "offset"}),
}
"""By what is other than in the full method. AW weighting by quality; HR high resolution; GR and CR regression from all
keypoints and from pairs, MA attention, SC sparsity constraint, SM shared matrix, MM modulation matrix, SEM
self-information modulation; in table 4 SB and DB coefficients from the support and from the difference, UM one per
offset, SM one per keypoint."""

FULL = (
    Ablation(1, "AW, CI", 93.54, {}),
    Ablation(2, "HR, DC", 93.54, {}),
    Ablation(3, "MA, SC, SEM", 93.54, {}),
    Ablation(4, "DB, SM", 93.54, {}),
)
"""The same run in every table. CI cross-instance interaction, DC dynamic convolution."""

_NOTHING_MIXED: Mapping[str, Any] = {"padding": "zero", "test_padding": "zero"}
FMMP: Mapping[str, tuple[float, Mapping[str, Any]]] = {
    "base": (69.82, {**_NOTHING_MIXED, "references": 1, "support_miner": False}),
    "support-mining": (73.18, {**_NOTHING_MIXED, "references": 1}),
    "structure": (76.23, _NOTHING_MIXED),
    "mixup": (77.41, {"mixup_weight": 0.0}),
}
"""What is added, one part after the other: mPCK and what the full method lacks."""


def _sdpnet(*rows: Ablation) -> Preset:
    method, source = METHODS["sdpnet-hrnet-w32"], mp100(1, 3)
    claims = tuple(
        claim
        for row in rows
        for claim in source.claims(f"{method.name}, 3-shot, {row.row}", (row.value,), f"SDPNet, table {row.table}")
    )
    return source.preset(method.model, {**method.config, **rows[0].config}, method.train, claims)


def _fmmp(part: str, value: float, config: Mapping[str, Any]) -> Preset:
    method, source = METHODS["fmmp-r50"], mp100(1, 1)
    claims = source.claims(f"{method.name}, 1-shot, up to {part}", (value,), NOTE, (MEAN,))
    return source.preset(method.model, {**method.config, **config}, method.train, claims)


PRESETS: Mapping[str, Preset] = {
    "sdpnet-hrnet-w32-mp100-split1-3shot": _sdpnet(*FULL),
    **{f"sdpnet-mp100-{name}": _sdpnet(row) for name, row in SDPNET.items()},
    **{f"fmmp-mp100-{part}": _fmmp(part, *row) for part, row in FMMP.items()},
}

SPEC = PresetSpec(presets=PRESETS)
