"""Official checkpoints as runs: names mapped to ours, all of them accounted for, and a run that predicts.

A category-agnostic run of this kind knows no categories. It finds the poses of those that supports show it, or of the
test episodes of its data once that is prepared, split and packed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from posebed.catalog import installed
from posebed.config import LARGEST_SIDE, SMALLEST_SIDE
from posebed.contracts import Setting, SomeModelSpec, Task
from posebed.datasets import mp100
from posebed.experiment import Experiment, decide
from posebed.files import file_hash
from posebed.forms import sentence
from posebed.listing import shown
from posebed.params import Params
from posebed.places import member_folder, pack_folder, split_folder
from posestages.commands.presets import Entries, entries
from posestages.whole_numbers import whole_number


@dataclass(frozen=True)
class Origin:
    """What a released model was made for: a preset, or a dataset and a size of crops."""

    preset: str | None = None
    data: str | None = None
    """A source, as `posebed datasets` lists them."""
    size: tuple[int, int] = (256, 256)
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Of the model, over the preset's."""


def import_checkpoint(model: str, file: Path, run: str, origin: Origin) -> Path:
    """Write a released file as a trained run and return its folder, ``runs/RUN/seed-0/train``.

    Raises:
        LookupError: no such model, preset, dataset or file.
        ValueError: names or shapes of the file are not the model's; nothing is written then.
    """
    from posebed.training.pose_module import build
    from posebed.training.run_folder import described, without_download, write_untrained
    from posebed.training.state_dict import fill, read_checkpoint

    params = _params(model, run, origin)
    experiment = _experiment(params, run, origin.config)
    spec = experiment.spec
    if spec.released is None:
        raise ValueError(f"the model must be one with an official release, but none is known of {model}")
    pack = params.packs[experiment.pack]
    given = read_checkpoint(file)
    setting = _setting(experiment.task, params.data[experiment.data].source, pack.crop_size)
    config = without_download(experiment.config)
    try:
        released = dict(spec.released(config, given))
    except (LookupError, ValueError, RuntimeError, TypeError, AttributeError) as error:  # it takes names for granted
        raise ValueError(f"{file} must be an official release of {model}, but lacks what one has: {error}") from error
    built = build(spec, config, setting)
    # By what pictures are normalised stands in the code of releases, not in their files.
    own = {name: tensor for name, tensor in built.state_dict().items() if name.startswith("normalise.")}
    fill(built, own | released, (), str(file))
    folder = member_folder(run, 0) / "train"
    about = experiment.described() | {
        "protocol": dict(spec.protocol(experiment.config)),
        "fingerprint": file_hash(file),
        "imported": file.name,
    }
    write_untrained(folder, built.state_dict(), about | described(setting, pack.padding, pack.convention))
    return folder


def _params(model: str, run: str, origin: Origin) -> Params:
    """The parameters that describe the run, and what it builds upon."""
    if (origin.preset is None) == (origin.data is None):
        raise ValueError("--preset or --data must say what the checkpoint was made for, but there are both or none")
    if origin.preset is None:
        data, spec = str(origin.data), installed().model(model)
        wanted: Entries = {
            "data": {data: {"source": data, "path": f"datasets/{data}"}},
            "splits": {data: {"data": data, "by": "official", **_episodes(spec)}},
            "packs": {data: {"data": data, "crop_size": origin.size}},
            "models": {model: {}},
            "runs": {run: {"model": model, "split": data, "pack": data}},
        }
    else:
        wanted = entries(origin.preset)
        found = wanted["runs"].pop(origin.preset)
        wanted["runs"][run] = found
        if found["model"] != model:
            raise ValueError(f"--preset must be one of {model}, but {origin.preset} is one of {found['model']}")
    try:
        return Params.model_validate(wanted)
    except ValidationError as error:
        raise ValueError(sentence(error, "import-checkpoint")) from error


def _episodes(spec: SomeModelSpec) -> dict[str, Any]:
    return {"episodes": {"draw": "official"}} if spec.tasks == (Task.CATEGORY_AGNOSTIC,) else {}


def _experiment(params: Params, key: str, config: Mapping[str, Any]) -> Experiment:
    chosen = params.runs[key]
    experiment = decide(params, key, 0, installed(), split_folder(chosen.split), pack_folder(chosen.pack))
    return experiment.with_overrides({f"model.{name}": value for name, value in config.items()})


def _setting(task: Task, source: str, size: tuple[int, int]) -> Setting:
    """The skeleton of the data; of a category-agnostic model none, and the most keypoints that MP-100 showed it."""
    if task is Task.CATEGORY_AGNOSTIC:
        return Setting(size, max(mp100.KEYPOINTS), ())
    dataset = installed().dataset(source)
    if dataset.skeleton is None:
        raise ValueError(f"--data must be a dataset whose skeleton is known, but that of {source} lies in its files")
    return Setting(size, len(dataset.skeleton.keypoints), (dataset.skeleton,))


def read_size(text: str) -> tuple[int, int]:
    """Height and width from ``HxW``."""
    parts = text.split("x")
    if len(parts) != 2:
        raise ValueError(f"--size must be HEIGHTxWIDTH, such as 256x192, but is {shown(text)}")
    try:
        return whole_number(parts[0], SMALLEST_SIDE, LARGEST_SIDE), whole_number(parts[1], SMALLEST_SIDE, LARGEST_SIDE)
    except ValueError as error:
        raise ValueError(f"--size must be HEIGHTxWIDTH, such as 256x192; each {error}") from None
