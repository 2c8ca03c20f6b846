"""MP-100's tables: every method that the zoo has, on its five splits, with one and five shots.

Supports are as many in training as in the test. The test episodes are those of POMNet's and CapeFormer's code; FMMP's
own are drawn in another order of categories. Averages stand with each of the five runs that they are taken over.

What the papers leave open is settled as each model's file says, and besides so:

- ProtoNet, MAML and Fine-tune are quoted without a definition: these are our re-implementations.
- ``fmmp-*`` link the points of a chain, choose neighbours and train as the released code does, from which its numbers
  come. An import of the released checkpoint needs that, too: name one of these presets.
- CapeX is shown no supports. Its test episodes are those of one shot, whose support says which keypoints count. The
  files of MP-100 name keypoints by numbers: its runs need texts under ``descriptions`` of the model.
- GraphCape's and CapeX's small backbone was pretrained by SimMIM, whose weights timm does not have: timm's own for
  ImageNet stand in for them. Links are the files' own, where they have them.
- CapeFormer's four runs across super-categories validate on a tenth of the other categories, drawn with the split's
  seed, where the released configurations do so on the test part itself. We have no published number of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from posebed.contracts import Claim, Preset, PresetSpec
from posezoo.presets._sources import RESNET_50, mp100

SPLITS = (1, 2, 3, 4, 5)
_NAMES = {"shots": "0", "told": "keypoint names"}
SUPER_CATEGORIES = ("human body", "human face", "vehicle", "furniture")
"""Those that the released configurations hold out, one at a time."""

_TABLE = "SDPNet, table 5"
_CAPEFORMER, _GRAPHCAPE, _CAPEX, _FMMP = (f"{name} README" for name in ("CapeFormer", "GraphCape", "CapeX", "FMMP"))
NOTE = "note of a third party on FMMP, unchecked"
OTHER_NOTE = "note of a third party on GenCape, unchecked"
LISTING = "listing of a third party, shots inferred"
MEAN = "mPCK@.05-.20"


@dataclass(frozen=True)
class Row:
    place: str
    shots: int
    """0 for a method that is shown no supports."""
    values: tuple[float, ...] = ()
    """On splits 1, 2 and so on."""
    average: float | None = None
    """Over the five splits, where it is published."""
    metric: str = "PCK@0.2"

    def claims(self, method: str, split: int) -> Iterator[Claim]:
        setting = f"{method}, {self.shots}-shot"
        if self.average is not None:
            yield self._claim("average", setting, self.average)
        if split <= len(self.values):
            yield self._claim(f"split {split}", setting, self.values[split - 1])

    def _claim(self, split: str, setting: str, value: float) -> Claim:
        return Claim(dataset="MP-100", split=split, setting=setting, metric=self.metric, value=value, source=self.place)


@dataclass(frozen=True)
class Method:
    name: str
    """The paper's, and the backbone."""
    model: str
    rows: tuple[Row, ...]
    """The one to be shown first is the last."""
    config: Mapping[str, Any]
    train: Mapping[str, Any] = field(default_factory=dict[str, Any])
    protocol: Mapping[str, str] = field(default_factory=dict[str, str])
    """As in ``Preset``."""

    def shots(self) -> list[int]:
        """Numbers of shots that it is published with."""
        return sorted({row.shots for row in self.rows})

    def preset(self, split: int, shots: int) -> Preset:
        claims = [claim for row in self.rows if row.shots == shots for claim in row.claims(self.name, split)]
        claims.sort(key=lambda claim: claim.split != "average")
        preset = mp100(split, shots or 1).preset(self.model, self.config, self.train, tuple(claims))
        return replace(preset, protocol=self.protocol)


METHODS = {
    "proto-net-r50": Method(
        name="ProtoNet, ResNet-50",
        model="proto_net",
        rows=(
            Row(_TABLE, shots=1, values=(46.05, 40.84, 49.13, 43.34, 44.54), average=44.78),
            Row(_TABLE, shots=5, values=(60.31, 53.51, 61.92, 58.44, 58.61), average=58.56),
        ),
        config=RESNET_50,
    ),
    "maml-r50": Method(
        name="MAML, ResNet-50",
        model="maml",
        rows=(
            Row(_TABLE, shots=1, values=(68.14, 54.72, 64.19, 63.24, 57.20), average=61.50),
            Row(_TABLE, shots=5, values=(70.03, 55.98, 63.21, 64.79, 58.47), average=62.50),
        ),
        config=RESNET_50,
    ),
    "fine-tune-r50": Method(
        name="Fine-tune, ResNet-50",
        model="fine_tune",
        rows=(
            Row(_TABLE, shots=1, values=(70.60, 57.04, 66.06, 65.00, 59.20), average=63.58),
            Row(_TABLE, shots=5, values=(71.67, 57.84, 66.76, 66.53, 60.24), average=64.61),
        ),
        config=RESNET_50,
    ),
    "pomnet-r50": Method(
        name="POMNet, ResNet-50",
        model="pomnet",
        rows=(
            Row(NOTE, shots=1, average=64.53, metric=MEAN),
            Row(NOTE, shots=5, average=68.28, metric=MEAN),
            Row(LISTING, shots=5, values=(71.31, 67.59, 66.41, 67.78, 68.31), metric=MEAN),
            Row(_TABLE, shots=1, values=(84.23, 78.25, 78.17, 78.68, 79.17), average=79.70),
            Row(_TABLE, shots=5, values=(84.72, 79.61, 78.00, 80.38, 80.85), average=80.71),
        ),
        config=RESNET_50,
    ),
    "cape-former-r50": Method(
        name="CapeFormer, ResNet-50",
        model="cape_former",
        rows=(
            Row(NOTE, shots=1, average=70.58, metric=MEAN),
            Row(NOTE, shots=5, average=75.45, metric=MEAN),
            # Split 4 with one shot is 0.06 better than in the paper, to whose average only the other number leads.
            Row(_CAPEFORMER, shots=1, values=(89.45, 84.88, 83.59, 83.59, 85.09)),
            Row(_CAPEFORMER, shots=5, values=(91.94, 88.92, 89.40, 88.01, 88.25)),
            Row(_TABLE, shots=1, values=(89.45, 84.88, 83.59, 83.53, 85.09), average=85.31),
            Row(_TABLE, shots=5, values=(91.94, 88.92, 89.40, 88.01, 88.25), average=89.30),
        ),
        config=RESNET_50,
    ),
    "sdpnet-r50": Method(
        name="SDPNet, ResNet-50",
        model="sdpnet",
        rows=(
            Row(_TABLE, shots=1, values=(90.03, 85.42, 84.22, 84.17, 85.95), average=85.96),
            Row(_TABLE, shots=5, values=(92.65, 89.64, 89.46, 88.57, 88.74), average=89.81),
        ),
        config=RESNET_50,
    ),
    "sdpnet-hrnet-w32": Method(
        name="SDPNet, HRNet-W32",
        model="sdpnet",
        rows=(
            Row(_TABLE, shots=1, values=(91.54, 86.72, 85.49, 85.77, 87.26), average=87.36),
            Row(_TABLE, shots=5, values=(93.68, 90.23, 89.67, 89.08, 89.46), average=90.42),
        ),
        config={"backbone": "hrnet", "hrnet_width": 32, "weights": "timm"},
    ),
    "graph-cape-t": Method(
        name="GraphCape-T, SwinV2-Tiny",
        model="graph_cape",
        rows=(
            Row(_GRAPHCAPE, shots=1, values=(91.19, 87.81, 85.68, 85.87, 85.61)),
            Row(_GRAPHCAPE, shots=5, values=(94.24, 91.32, 90.15, 90.37, 89.73)),
        ),
        config={"backbone": "swinv2_tiny_window16_256.ms_in1k", "weights": "timm"},
    ),
    "graph-cape-s": Method(
        name="GraphCape-S, SwinV2-Small",
        model="graph_cape",
        rows=(
            Row(OTHER_NOTE, shots=1, average=90.68),
            Row(OTHER_NOTE, shots=5, average=92.83),
            Row(_GRAPHCAPE, shots=1, values=(94.73, 89.79, 90.69, 88.09, 90.11)),
            Row(_GRAPHCAPE, shots=5, values=(96.67, 91.48, 92.62, 90.95, 92.41)),
        ),
        config={"backbone": "swinv2_small_window16_256.ms_in1k", "weights": "timm", "drop_path": 0.3},
        train={"batch_size": 8},
    ),
    "cape-x-t": Method(
        name="CapeX, SwinV2-Tiny",
        model="cape_x",
        rows=(Row(_CAPEX, shots=0, values=(92.79, 89.47, 84.95, 87.25, 89.61), average=88.81),),
        config={"backbone": "swinv2_tiny_window16_256.ms_in1k", "weights": "timm", "text_encoder": "gte"},
        protocol=_NAMES,
    ),
    "cape-x-s": Method(
        name="CapeX-S, SwinV2-Small",
        model="cape_x",
        rows=(
            Row(OTHER_NOTE, shots=0, average=90.37),
            Row(_CAPEX, shots=0, values=(95.62, 90.94, 88.95, 89.43, 92.57), average=91.50),
        ),
        config={
            "backbone": "swinv2_small_window16_256.ms_in1k",
            "weights": "timm",
            "drop_path": 0.3,
            "text_encoder": "gte",
        },
        protocol=_NAMES,
    ),
    "fmmp-r50": Method(
        name="FMMP, ResNet-50",
        model="fmmp",
        rows=(
            Row(NOTE, shots=1, values=(78.72,), average=73.42, metric=MEAN),
            Row(NOTE, shots=5, average=78.02, metric=MEAN),
            Row(_FMMP, shots=1, values=(78.7,), metric=MEAN),
        ),
        config={**RESNET_50, "reversed_chains": True, "hidden_neighbours": True, "query_neighbours": "last"},
    ),
}


def _across(super_category: str) -> Preset:
    """All super-categories but one train."""
    method, source = METHODS["cape-former-r50"], mp100(split=1, shots=1)
    held = {"by": "category", "val": 0.1, "test": [super_category], "episodes": {"shots": 1}}
    return replace(source, split=held).preset(method.model, method.config, method.train, ())


PRESETS: Mapping[str, Preset] = {
    **{
        f"{name}-mp100-split{split}-{shots}shot": method.preset(split, shots)
        for name, method in METHODS.items()
        for shots in method.shots()
        for split in SPLITS
    },
    **{f"cape-former-r50-mp100-{name.replace(' ', '-')}-1shot": _across(name) for name in SUPER_CATEGORIES},
}

SPEC = PresetSpec(presets=PRESETS)
