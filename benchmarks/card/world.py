"""Built-in pictures, their packs and splits, and experiments on them: all real, drawn when they are first asked for."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from cases import CASES, CATALOG, QUICK_SIDE

from menagerie import MenagerieConfig, draw_folder
from posebed.data.pack import Pack
from posebed.data.splits import Split, read_split
from posebed.experiment import Experiment, decide
from posebed.files import writing_folder
from posebed.params import Params
from posebed.training.process_group import ProcessGroup, join_process_group
from posestages.pack import pack
from posestages.prepare import prepare
from posestages.split import split

BATCH = 16
"""Crops or episodes of a training step, unless it is said."""
PICTURES = {"quadrupeds": 48, "mixed": 64}
CATEGORIES = {
    "quadrupeds": ("tiger", "horse", "cow", "fox"),
    "mixed": ("tiger", "horse", "cow", "fox", "face", "chair", "car", "fish"),
}
"""The face has 68 keypoints, more than any other."""


@dataclass(frozen=True)
class World:
    """A folder with drawn data, and the device that is measured."""

    folder: Path
    side: int
    """Of pictures and crops, in pixels. ``QUICK_SIDE`` goes with tiny backbones."""
    batch: int = BATCH
    packs: dict[str, Pack] = field(default_factory=dict[str, Pack])

    @cached_property
    def group(self) -> ProcessGroup:
        return join_process_group()

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")

    def experiment(self, name: str, **train: Any) -> Experiment:
        """Of a case: on quadrupeds, or on episodes with the mixed set."""
        place = self._drawn(name)
        params = self._params(place, {name: train})
        return decide(params, name, 0, CATALOG, place / "split", place / "pack")

    def data(self, name: str) -> tuple[Pack, Split]:
        """Pack and split of a case."""
        place = self._drawn(name)
        if str(place) not in self.packs:
            self.packs[str(place)] = Pack.open(place / "pack")
        return self.packs[str(place)], read_split(place / "split")

    def _params(self, place: Path, runs: Mapping[str, Mapping[str, Any]]) -> Params:
        side = int(place.name.rpartition("-")[2])
        held_out = {"by": "category", "val": ["cow"], "test": ["fox"]}
        episodes = {"shots": 1, "queries": 5, "episodes": 2, "val_episodes": 2}
        return Params.model_validate(
            {
                "data": {key: {"source": "coco_folder", "path": str(place / "drawn")} for key in PICTURES},
                "splits": {
                    "quadrupeds": {"data": "quadrupeds", "val": 0.2, "test": 0.2},
                    "mixed": {"data": "mixed", **held_out, "episodes": episodes},
                },
                "packs": {key: {"data": key, "crop_size": [side, side]} for key in PICTURES},
                "models": {CASES[name].model: {} for name in runs},
                "runs": {
                    name: {
                        "model": CASES[name].model,
                        "split": set_of(name),
                        "pack": set_of(name),
                        "config": self._config(name),
                        "train": {"batch_size": self.batch, "micro_batch": None, "engine": "torch", **train},
                    }
                    for name, train in runs.items()
                },
            }
        )

    def _config(self, name: str) -> dict[str, Any]:
        """As a case builds its model: without pretrained weights, which would have to be fetched."""
        case = CASES[name]
        fields = case.spec.config.model_fields
        config = {"weights": "none", "flip_test": "off"} | dict(case.config)
        if self.side == QUICK_SIDE:
            config |= case.quick
        return {name: value for name, value in config.items() if name in fields}

    def _drawn(self, name: str) -> Path:
        """The folder of a case's set, which is drawn, split and packed once for every size of crops."""
        key, side = set_of(name), self.side - self.side % CASES[name].multiple
        place = self.folder / f"{key}-{side}"
        if not (place / "pack").is_dir():
            params, silent = self._params(place, {}), io.StringIO()
            with redirect_stdout(silent), redirect_stderr(silent):
                settings = {"set": key, "images": PICTURES[key], "side": self.side, "categories": CATEGORIES[key]}
                with writing_folder(place / "drawn") as folder:
                    workers = 1 if self.side == QUICK_SIDE else os.cpu_count() or 1
                    draw_folder(MenagerieConfig.model_validate(settings), folder, workers)
                prepare(params, key, place / "prepared")
                split(params, key, place / "prepared", place / "split")
                pack(params, key, place / "prepared", place / "pack")
        return place


def set_of(name: str) -> str:
    """The built-in set that a case is given."""
    return "mixed" if CASES[name].episodic else "quadrupeds"
