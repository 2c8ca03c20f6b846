"""One training of a case, in a process of its own: ``accelerator.py`` starts it where it is to compute on the CPU, and
where it is to be killed.

Usage: python -m card.training WORLD CASE OUT [--plain] [--killed]
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

from cases import QUICK_SIDE

from card.proof_steps import without_tf32
from card.world import World
from posebed.scoring.result import Epoch
from posebed.training.log import FolderLog, Reached, Tick
from posebed.training.loop import train

EPOCHS, BATCH = 2, 8
PLAIN = {
    "optimizer": "sgd",
    "lr": 1e-3,
    "augment": {"scale": 0, "rotation": 0, "shift": 0, "flip": 0, "half_body": 0, "colour": 0},
}
"""What makes trainings of two devices comparable: the same pixels, and steps in proportion to gradients."""


class Quiet(FolderLog):
    """Says nothing of a training that goes well."""

    def tick(self, tick: Tick) -> None: ...

    def epoch(self, epoch: Epoch) -> None: ...


class Killing(Quiet):
    """Kills its process when it has kept a first checkpoint."""

    def keep(self, checkpoint: Path, reached: Reached) -> None:
        super().keep(checkpoint, reached)
        os.kill(os.getpid(), signal.SIGKILL)


def small(folder: Path) -> World:
    """The world of all trainings that are compared, whichever way they are started."""
    return World(folder, QUICK_SIDE, BATCH)


def trained(world: World, name: str, out: Path, killed: bool = False, **changes: Any) -> list[Epoch]:
    """Train two epochs with a checkpoint after each, in full float32, and go on with the checkpoint that is there."""
    settings: dict[str, Any] = {"epochs": EPOCHS, "checkpoint_every": 1, "precision": "float32", "compile": "eager"}
    experiment = world.experiment(name, **{**settings, **changes})
    with without_tf32():
        return train(experiment, (Killing if killed else Quiet)(out, name))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("world", type=Path)
    parser.add_argument("case")
    parser.add_argument("out", type=Path)
    parser.add_argument("--plain", action="store_true", help="by sgd, without augmentation")
    parser.add_argument("--killed", action="store_true", help="by itself, after the first epoch")
    options = parser.parse_args()
    changes = PLAIN if options.plain else {}
    trained(small(options.world), options.case, options.out, options.killed, **changes)


if __name__ == "__main__":
    main()
