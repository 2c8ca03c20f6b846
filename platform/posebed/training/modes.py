"""How a training computes its steps: compiled or not, and in which precision. A training keeps to one mode from its
first step to its last, on whatever machines it goes on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from posebed.config import TrainConfig
from posebed.contracts import Compile, Precision, SomeModelSpec
from posebed.forms import Form
from posebed.own_json import Kind, read_json, write_json
from posebed.training.device_kind import device_kind
from posebed.training.process_group import ProcessGroup, told_by_first


class _Kept(Form):
    compile: Compile
    precision: Precision


FILE = "mode.json"
MODE = Kind(
    "how a training computes its steps", form=_Kept, again="remove the checkpoint, and the training begins anew"
)


@dataclass(frozen=True)
class Mode:
    compile: Compile
    precision: Precision

    def __str__(self) -> str:
        return f"{self.precision}, {'as written' if self.compile == 'eager' else f'compiled ({self.compile})'}"

    def write(self, folder: Path) -> None:
        """Write it into a checkpoint."""
        write_json(asdict(self), folder / FILE, MODE)

    @classmethod
    def read(cls, folder: Path) -> Mode:
        """That of a checkpoint; raises as ``read_json``."""
        kept: dict[str, Any] = read_json(folder / FILE, MODE)
        return cls(kept["compile"], kept["precision"])


def chosen(spec: SomeModelSpec, train: TrainConfig, group: ProcessGroup) -> Mode:
    """What the settings say; for ``auto`` what the model's ``fastest`` says of the first worker's kind of device, which
    all take."""
    compiles, precisions = get_args(Compile), get_args(Precision)
    compile_, precision = fastest(spec, device_kind(group.device))
    if train.zero == 3 and train.engine == "deepspeed":
        compile_ = "eager"
    mine = (
        compile_ if train.compile == "auto" else train.compile,
        precision if train.precision == "auto" else train.precision,
    )
    first, second = told_by_first((compiles.index(mine[0]), precisions.index(mine[1])), group)
    return Mode(compiles[first], precisions[second])


def fastest(spec: SomeModelSpec, kind: str) -> tuple[Compile, Precision]:
    """What ``auto`` takes for a model on a kind of device. Where nothing was measured, steps run as they are written,
    in bfloat16 on accelerators that have it."""
    unmeasured: Precision = "bfloat16" if kind == "cuda-bf16" else "float32"
    return spec.fastest.get(kind, ("eager", unmeasured))
