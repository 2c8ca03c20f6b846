"""EdgeCape on MP-100: three runs for each split and number of shots, of which each starts from the one before, and the
ablation of its two parts.

What the sources leave open is settled as the model's file says, and besides so:

- Numbers of the paper are known from a note of a third party alone, which does not state the thresholds of the mean
  PCK. A user of the released code quotes the paper with four, 0.05 to 0.20. Nor does the note state the backbone: it is
  taken to be that of the released configurations, and crops are as large as there.
- Split 1 has numbers of a checkpoint of the first release, and split 4 some that a user measured with a released
  checkpoint of unknown kind. The first release is another network, so that these runs need not reach them.
- In the ablation, what a method lacks is off in all of its runs.
- As released, the picture in the edge predictor sees 100 slots. An import of a released checkpoint needs that, too:
  name one of these presets.
- Published numbers with 4, 8 and 16 false links have no presets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from posebed.contracts import Claim, Preset, PresetSpec
from posezoo.presets._sources import mp100
from posezoo.presets.mp100 import MEAN, SPLITS, Method, Row

NOTE = "note of a third party on EdgeCape, unchecked"
LOG = "log of a checkpoint of EdgeCape, first release"
MEASURED = "a user's measurement of a checkpoint of EdgeCape, issue 5 of its repository"
FIVE = "mPCK@.05-.25"
_SIZE = (224, 224)

METHOD = Method(
    name="EdgeCape, DINOv2 ViT-S/14",
    model="edge_cape",
    rows=(
        Row(NOTE, shots=1, average=77.72, metric=MEAN),
        Row(NOTE, shots=5, average=81.07, metric=MEAN),
        Row(NOTE, shots=1, average=89.42),
    ),
    config={"backbone": "vit_small_patch14_dinov2.lvd142m", "weights": "timm", "edge_slots": 100},
)

ELSEWHERE: Mapping[int, tuple[str, Mapping[str, float]]] = {
    1: (
        LOG,
        {"PCK@0.05": 64.25, "PCK@0.1": 83.92, "PCK@0.15": 90.41, "PCK@0.25": 95.71, FIVE: 85.60, MEAN: 83.07}
        | {"PCK@0.2": 93.69},
    ),
    4: (
        MEASURED,
        {"PCK@0.05": 47.20, "PCK@0.1": 71.16, "PCK@0.15": 81.79, "PCK@0.25": 90.87, FIVE: 75.68, MEAN: 71.88}
        | {"PCK@0.2": 87.38},
    ),
}
"""By split, numbers of one shot that no paper has."""

BOTH = 81.96
"""Mean PCK of the ablation's last row, which is the whole method."""
LACKING: Mapping[str, tuple[float, Mapping[str, Any], Sequence[str]]] = {
    "neither": (79.87, {"predicted_edges": False, "structural_bias": False}, ["base"]),
    "edges": (80.76, {"structural_bias": False}, ["base", "skeleton"]),
    "bias": (80.78, {"predicted_edges": False}, ["base", "bias"]),
}
"""The ablation's other rows by what they have: mean PCK, settings, and stages."""


def _chain(name: str, config: Mapping[str, Any], stages: Sequence[str], last: Preset) -> dict[str, Preset]:
    """The runs of a method, each of which starts from the one before; the last one has its name and claims."""
    presets: dict[str, Preset] = {}
    before = None
    for stage in stages:
        own = name if stage == stages[-1] else f"{name}-{stage}"
        claims = last.claims if stage == stages[-1] else ()
        presets[own] = replace(last, config={**config, "stage": stage}, init_from=before, claims=claims)
        before = own
    return presets


def _published(split: int, shots: int) -> dict[str, Preset]:
    preset = METHOD.preset(split, shots)
    claims = preset.claims
    if shots == 1:
        claims = (*_claims_elsewhere(split), *claims)
    if (split, shots) == (1, 1):
        claims = (*_ablation_claims("edges and bias", BOTH), *claims)
    preset = replace(preset, pack={"crop_size": [*_SIZE]}, claims=claims)
    name = f"edge-cape-s-mp100-split{split}-{shots}shot"
    return _chain(name, METHOD.config, ["base", "skeleton", "bias"], preset)


def _claims_elsewhere(split: int) -> tuple[Claim, ...]:
    if split not in ELSEWHERE:
        return ()
    source, values = ELSEWHERE[split]
    return mp100(split, shots=1).claims(f"{METHOD.name}, 1-shot", [*values.values()], source, [*values])


def _ablation_claims(part: str, value: float) -> tuple[Claim, ...]:
    return mp100(split=1, shots=1).claims(f"{METHOD.name}, 1-shot, {part}", (value,), NOTE, (MEAN,))


def _ablation(part: str) -> dict[str, Preset]:
    value, lacking, stages = LACKING[part]
    claims = _ablation_claims(part, value)
    preset = mp100(split=1, shots=1).preset(METHOD.model, {}, METHOD.train, claims, _SIZE)
    return _chain(f"edge-cape-mp100-{part}", {**METHOD.config, **lacking}, stages, preset)


PRESETS: Mapping[str, Preset] = {
    name: preset
    for chain in (
        *(_published(split, shots) for shots in METHOD.shots() for split in SPLITS),
        *(_ablation(part) for part in LACKING),
    )
    for name, preset in chain.items()
}

SPEC = PresetSpec(
    presets=PRESETS,
    ablations={
        "edge_cape": {"parts": (*(f"edge-cape-mp100-{part}" for part in LACKING), "edge-cape-s-mp100-split1-1shot")}
    },
)
