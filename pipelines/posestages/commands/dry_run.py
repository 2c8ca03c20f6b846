"""A dry run: everything that training a preset takes, on a few pictures of noise at a reduced size, on a CPU.

The model is built at its full size as well, without memory, so that settings that do not fit one another are found.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from string import ascii_lowercase

import cv2
import numpy as np
import torch

from posebed.catalog import installed
from posebed.config import PackConfig, Section
from posebed.contracts import Setting
from posebed.data.loader import evaluation_batches, training_batches, training_episode_batches
from posebed.data.pack import Pack, write_pack
from posebed.datasets import mp100
from posebed.experiment import Experiment, decide
from posebed.params import Params
from posebed.pose import Keypoints
from posebed.records import Category, Record
from posebed.training.engine import make_optimizer
from posebed.training.pose_module import PoseModule, build, decoded, losses_of
from posebed.training.run_folder import without_download
from posestages.commands.presets import entries

BATCH = 2
"""Pictures of a step, or episodes."""

_NAMES = tuple(map("".join, product(ascii_lowercase, repeat=2)))
STAND_INS = tuple(
    Category(f"{n} keypoints", f"{n} keypoints", _NAMES[:n], limbs=tuple((k, k + 1) for k in range(n - 1)))
    for n in mp100.KEYPOINTS
)
"""For datasets whose skeletons only their files know."""


@dataclass(frozen=True)
class Rehearsal:
    parameters: int
    """At full size."""
    size: tuple[int, int]
    """Of the crops of the step."""
    losses: dict[str, float]
    seconds: float


def alike(names: Sequence[str]) -> list[list[str]]:
    """Presets in groups that a dry run cannot tell apart, as they differ in the part of the data alone.

    Raises:
        LookupError: no preset of a name.
    """
    groups: dict[str, list[str]] = {}
    catalog = installed()
    for name in names:
        preset = catalog.preset(name)
        seen = {"data": {"source": preset.data["source"]}, "split": preset.split.get("episodes"), "claims": ()}
        groups.setdefault(repr(replace(preset, init_from=None, **seen)), []).append(name)
    return list(groups.values())


def rehearse(name: str, folder: Path) -> Rehearsal:
    """One training step and one prediction of a preset, with random weights, in an empty folder.

    Raises:
        LookupError: no such preset, or something that it names.
        ValueError: settings that do not fit one another.
    """
    started, catalog = time.perf_counter(), installed()
    preset = catalog.preset(name)
    params = Params.model_validate(entries(name))
    start = folder if preset.init_from else None
    experiment = decide(params, name, 0, catalog, folder, folder, start)
    dataset = catalog.dataset(preset.data["source"])
    dataset.options.model_validate(preset.data.get("options", {}))
    categories = (dataset.skeleton,) if dataset.skeleton else STAND_INS
    config, pack = without_download(experiment.config), params.packs[experiment.pack]
    setting = Setting(pack.crop_size, max(len(category.keypoints) for category in categories), categories)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in build(experiment.spec, config, setting).parameters())
    torch.manual_seed(0)
    model, setting = _reduced(experiment, config, setting)
    small = _drawn(
        categories,
        max(BATCH, experiment.training_shots + 1),
        pack.model_copy(update={"crop_size": setting.size}),
        folder,
    )
    losses, points = _step(experiment, model, small)
    wrong = [n for n, value in losses.items() if not np.isfinite(value)]
    if wrong or not points.xy.isfinite().all():
        raise ValueError(f"a step of preset {name} must give finite numbers, but gives {losses}")
    return Rehearsal(parameters, setting.size, losses, time.perf_counter() - started)


def _reduced(experiment: Experiment, config: Section, setting: Setting) -> tuple[PoseModule, Setting]:
    """The model for crops of about a quarter of the height and width, or of all of it where it takes no other."""
    height, width = (-(-side // 128) * 32 for side in setting.size)
    small = replace(setting, size=(height, width))
    try:
        return build(experiment.spec, config, small), small
    except ValueError:
        return build(experiment.spec, config, setting), setting


def _drawn(categories: Sequence[Category], each: int, config: PackConfig, folder: Path) -> Pack:
    """So many pictures of noise of each category, in which every keypoint is labelled somewhere."""
    rng = np.random.default_rng(0)
    height, width = config.crop_size
    records: list[Record] = []
    for category in categories:
        for number in range(len(records), len(records) + each):
            cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 256, (height, width, 3), np.uint8))
            xy = rng.uniform(1, (width - 1, height - 1), (len(category.keypoints), 2))
            keypoints = np.column_stack([xy, np.full(len(xy), 2)])
            box = (0.0, 0.0, float(width), float(height))
            records.append(
                Record(str(number), f"{number}.png", width, height, category.key, box, float(width * height), keypoints)
            )
    write_pack(records, categories, folder, config, folder / "pack")
    return Pack.open(folder / "pack")


def _step(experiment: Experiment, model: PoseModule, pack: Pack) -> tuple[dict[str, float], Keypoints]:
    """The losses of one optimizer step, and what the model then answers."""
    train = experiment.train.model_copy(update={"batch_size": BATCH, "micro_batch": None, "workers": 1, "draws": BATCH})
    optimizer = make_optimizer(model, train, experiment.spec.learning_rates(experiment.config))
    rows, shots = np.arange(len(pack.category)), experiment.training_shots
    if shots:
        (batch,) = training_episode_batches(pack, rows, shots, train, epoch=1, seed=0)
    else:
        (batch,) = training_batches(pack, rows, train, epoch=1, seed=0)
    model.train()
    losses = losses_of(model, model(batch), batch)
    sum(losses.values(), torch.zeros(())).backward()
    optimizer.step()
    model.eval()
    (queries,) = evaluation_batches(pack, [rows[None, : shots + 1]])
    with torch.no_grad():
        points = decoded(model, model(queries), queries)
    return {name: value.item() for name, value in losses.items()}, points
