"""The ablation tables of the papers: which presets are their rows, in order, by model and a short name.

Of KITPose's, and of FMMP's on padding, no number is known: their rows without a claim come from the switches alone,
at the values that the papers are said to try. FMMP's 35 slots are left out, as MP-100 has skeletons of more keypoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from posebed.contracts import Preset, PresetSpec
from posezoo.presets import ap10k, kitpose, mp100, mp100_ablations

_KITPOSE, _FMMP, _SDPNET = (
    "kitpose-e2c4-w32-ap10k",
    "fmmp-r50-mp100-split1-1shot",
    "sdpnet-hrnet-w32-mp100-split1-3shot",
)

_PARTS = {n: f"kitpose-e2c{n}-w32-ap10k" for n in (2, 3, 5, 6, 7, 8)}
_LOSSES: Mapping[str, Mapping[str, Any]] = {
    f"{_KITPOSE}-plain-losses": {"ghrl_weight": 0.0, "adaptive_beta": 0.0},
    f"{_KITPOSE}-no-adaptive-weight": {"adaptive_beta": 0.0},
    f"{_KITPOSE}-no-ghrl": {"ghrl_weight": 0.0},
}
_PADDING: Mapping[str, Mapping[str, Any]] = {
    "fmmp-mp100-test-padding-zero": {"test_padding": "zero"},
    "fmmp-mp100-test-padding-mixup": {"test_padding": "mixup"},
    "fmmp-mp100-100-slots": {"slots": 100},
}


def _switched(full: Preset, changed: Mapping[str, Any]) -> Preset:
    return replace(full, config={**full.config, **changed}, claims=())


PRESETS: Mapping[str, Preset] = {
    **{name: _switched(kitpose.PRESETS[_KITPOSE], {"parts": n}) for n, name in _PARTS.items()},
    **{name: _switched(kitpose.PRESETS[_KITPOSE], changed) for name, changed in _LOSSES.items()},
    **{name: _switched(mp100.PRESETS[_FMMP], changed) for name, changed in _PADDING.items()},
}


def _sdpnet(table: int) -> tuple[str, ...]:
    rows = (name for name, row in mp100_ablations.SDPNET.items() if row.table == table)
    return (*(f"sdpnet-mp100-{name}" for name in rows), _SDPNET)


ABLATIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "kitpose": {
        "parts": ("kitpose-e2-w32-ap10k", _PARTS[2], _PARTS[3], _KITPOSE, *(_PARTS[n] for n in (5, 6, 7, 8))),
        "losses": (*_LOSSES, _KITPOSE),
    },
    "prompt_pose": {"components": tuple(f"prompt-pose-r50-ap10k-{parts}" for parts in ap10k.ABLATION)},
    "fmmp": {
        "components": (*(f"fmmp-mp100-{part}" for part in mp100_ablations.FMMP), _FMMP),
        "padding": (*_PADDING, _FMMP),
    },
    "sdpnet": {"aggregation": _sdpnet(1), "resolution": _sdpnet(2), "graph": _sdpnet(3), "attention": _sdpnet(4)},
}
"""The full method stands in every table of its model, any other preset in one."""

SPEC = PresetSpec(presets=PRESETS, ablations=ABLATIONS)
