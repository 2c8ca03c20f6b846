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
    "average": Ablation(table=1, row="average", value=92.97, config={"aggregation": "average"}),
    "weighted": Ablation(table=1, row="AW", value=93.21, config={"aggregation": "weighted"}),
    "low-resolution": Ablation(table=2, row="low resolution", value=92.84, config={"fine_strides": ()}),
    "high-resolution": Ablation(table=2, row="HR", value=93.38, config={"dynamic_convolution": False}),
    "no-graph": Ablation(table=3, row="no GCN", value=93.01, config={"graph": "none"}),
    "global-regression": Ablation(table=3, row="GR, SC, SEM", value=93.17, config={"graph": "global"}),
    "concatenation-regression": Ablation(table=3, row="CR, SC, SEM", value=93.48, config={"graph": "concatenation"}),
    "no-sparsity": Ablation(table=3, row="MA, SEM", value=92.87, config={"structure_weight": 0.0}),
    "shared-matrix": Ablation(table=3, row="MA, SC, SM", value=93.15, config={"modulation": "shared"}),
    "modulation-matrix": Ablation(table=3, row="MA, SC, MM", value=93.22, config={"modulation": "fixed"}),
    "standard-attention": Ablation(table=4, row="standard", value=93.17, config={"offset_coefficient": "none"}),
    "support-coefficient": Ablation(table=4, row="SB, SM", value=93.06, config={"offset_coefficient": "support"}),
    "coefficient-per-offset": Ablation(table=4, row="DB, UM", value=93.32, config={"coefficient_per": "offset"}),
}
"""By what is other than in the full method. AW weighting by quality; HR high resolution; GR and CR regression from all
keypoints and from pairs, MA attention, SC sparsity constraint, SM shared matrix, MM modulation matrix, SEM
self-information modulation; in table 4 SB and DB coefficients from the support and from the difference, UM one per
offset, SM one per keypoint."""

FULL = (
    Ablation(table=1, row="AW, CI", value=93.54, config={}),
    Ablation(table=2, row="HR, DC", value=93.54, config={}),
    Ablation(table=3, row="MA, SC, SEM", value=93.54, config={}),
    Ablation(table=4, row="DB, SM", value=93.54, config={}),
)
"""The same run in every table. CI cross-instance interaction, DC dynamic convolution."""


@dataclass(frozen=True)
class Step:
    value: float
    """mPCK."""
    config: Mapping[str, Any]
    """What the full method has besides is off."""


_NOTHING_MIXED: Mapping[str, Any] = {"padding": "zero", "test_padding": "zero"}
FMMP = {
    "base": Step(69.82, config={**_NOTHING_MIXED, "references": 1, "support_miner": False}),
    "support-mining": Step(73.18, config={**_NOTHING_MIXED, "references": 1}),
    "structure": Step(76.23, config=_NOTHING_MIXED),
    "mixup": Step(77.41, config={"mixup_weight": 0.0}),
}
"""What is added, one part after the other."""


def _sdpnet(*rows: Ablation) -> Preset:
    method, source = METHODS["sdpnet-hrnet-w32"], mp100(split=1, shots=3)
    claims = tuple(
        claim
        for row in rows
        for claim in source.claims(f"{method.name}, 3-shot, {row.row}", (row.value,), f"SDPNet, table {row.table}")
    )
    return source.preset(method.model, {**method.config, **rows[0].config}, method.train, claims)


def _fmmp(part: str, step: Step) -> Preset:
    method, source = METHODS["fmmp-r50"], mp100(split=1, shots=1)
    claims = source.claims(f"{method.name}, 1-shot, up to {part}", (step.value,), NOTE, (MEAN,))
    return source.preset(method.model, {**method.config, **step.config}, method.train, claims)


PRESETS: Mapping[str, Preset] = {
    "sdpnet-hrnet-w32-mp100-split1-3shot": _sdpnet(*FULL),
    **{f"sdpnet-mp100-{name}": _sdpnet(row) for name, row in SDPNET.items()},
    **{f"fmmp-mp100-{part}": _fmmp(part, step) for part, step in FMMP.items()},
}

SPEC = PresetSpec(presets=PRESETS)
