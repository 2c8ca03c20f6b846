"""An epoch that is done in part, as a checkpoint keeps it beside weights and optimizer state."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posebed.training.process_group import ProcessGroup

FILE = "begun-{rank}.pt"


@dataclass
class BegunEpoch:
    """What one worker has done of an epoch."""

    steps: int = 0
    """Optimizer steps."""
    sums: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Of every loss, over the worker's micro batches."""
    seconds: float = 0.0
    waited: float = 0.0
    """Seconds spent waiting for data."""
    generators: list[Tensor] = field(default_factory=list[Tensor])
    """States of torch's generators, from which layers such as dropout draw, when a checkpoint was kept; none where the
    epoch was not begun by as many workers."""

    def write(self, folder: Path, group: ProcessGroup) -> None:
        """Write this rank's part; every rank calls it."""
        sums = {name: value.cpu() for name, value in self.sums.items()}
        state = {**vars(self), "sums": sums, "generators": _generators(group)}
        torch.save(state, folder / FILE.format(rank=group.rank))

    @classmethod
    def read(cls, folder: Path, group: ProcessGroup) -> BegunEpoch:
        """What a checkpoint holds of the epoch that it was kept in; nothing where it was kept at the end of one.
        Another number of workers shares what the former ones had summed."""
        count = len(list(folder.glob(FILE.format(rank="*"))))
        if not count:
            return cls()
        # Any: a dictionary as written above.
        mine: list[dict[str, Any]] = [_read(folder, rank, group) for rank in range(group.rank, count, group.size)]
        first = mine[0] if mine else _read(folder, 0, group)
        begun = cls(steps=first["steps"], seconds=first["seconds"], waited=first["waited"])
        begun.generators = first["generators"] if count == group.size else []
        for state in mine:
            for name, value in state["sums"].items():
                begun.add(name, value.to(group.device))
        return begun

    def set_generators(self, group: ProcessGroup) -> None:
        """Let layers draw what they would have drawn without an interruption."""
        if self.generators:
            torch.set_rng_state(self.generators[0])
        if len(self.generators) > 1:
            torch.cuda.set_rng_state(self.generators[1], group.device)

    def add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums.get(name, 0) + value


def _read(folder: Path, rank: int, group: ProcessGroup) -> dict[str, Any]:
    return torch.load(folder / FILE.format(rank=rank), map_location="cpu", weights_only=True)


def _generators(group: ProcessGroup) -> list[Tensor]:
    """States of the processor's generator and of the accelerator's, where there is one."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(group.device)] if group.device.type == "cuda" else states
