"""The folder of a trained run: ``best.safetensors``, ``last.safetensors``, ``curve.json`` and ``run.json``.

``run.json`` holds what is needed to build the model again, so that a trained run predicts without the data that it
was trained on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from posebed.config import Section
from posebed.contracts import Setting
from posebed.data.pack import PACK, Pack
from posebed.experiment import RUN, RUN_AGAIN, Experiment
from posebed.files import FILES as HASHES
from posebed.files import Content, file_hashes, must_be_as_written, must_be_file, write_bytes, writing_folder
from posebed.listing import reason, shortened
from posebed.own_json import read_json, write_json
from posebed.places import PUBLISHED_ABOUT, PUBLISHED_WEIGHTS, about_file, is_run, weights_file
from posebed.records import categories_from, categories_in, categories_to_json
from posebed.scoring.result import read_curve, write_curve

FILES = ("best.safetensors", "last.safetensors", "curve.json")
"""What a run takes from its newest checkpoint."""

WEIGHTS_AGAIN = "remove its folder, and `posebed run` trains again"
_PUBLISHED = replace(RUN, name="a run that `posebed publish` wrote", again="publish it again")

ConfigT = TypeVar("ConfigT", bound=Section)


def write_trained(folder: Path, outcome: Path, experiment: Experiment, shortfalls: Sequence[str]) -> None:
    """Copy a job's outcome to its place, whole or not at all.

    Args:
        shortfalls: what the training was too short for, in sentences.
    """
    about = about_of(experiment) | {"shortfalls": [*shortfalls]}
    with writing_folder(folder) as unfinished:
        for file in FILES:
            shutil.copy2(outcome / file, unfinished / file)
        write_json(about | {HASHES: file_hashes(unfinished, FILES)}, unfinished / "run.json", RUN)


def about_of(experiment: Experiment) -> dict[str, Any]:
    """The content of ``run.json``."""
    pack = read_json(experiment.pack_folder / "about.json", PACK)
    setting = Pack.open(experiment.pack_folder).setting()
    return {
        **experiment.described(),
        "protocol": dict(experiment.spec.protocol(experiment.config)),
        "fingerprint": experiment.fingerprint,
        **described(setting, pack["padding"], pack["convention"]),
    }


def write_untrained(folder: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write weights that were trained elsewhere as a run with an empty learning curve.

    Args:
        about: the content of ``run.json``.
    """
    with writing_folder(folder) as unfinished:
        for name in FILES[:2]:
            write_weights(weights, unfinished / name)
        write_curve((), unfinished / "curve.json")
        write_json({**about, HASHES: file_hashes(unfinished, FILES)}, unfinished / "run.json", RUN)


def write_published(source: Path, folder: Path) -> None:
    """Copy the weights and the description of the run in ``source`` into a folder that is there, by the names of
    Hugging Face's layout. Of the file that pretrained weights came from, its name alone is kept."""
    about = read_about(source)
    weights = {name: _name_alone(value) for name, value in about["config"].items() if name.endswith("weights")}
    shutil.copy2(weights_file(source), folder / PUBLISHED_WEIGHTS)
    write_curve(read_curve(source / "curve.json") if (source / "curve.json").is_file() else (), folder / "curve.json")
    hashes = file_hashes(folder, (PUBLISHED_WEIGHTS, "curve.json"))
    write_json(about | {"config": about["config"] | weights, HASHES: hashes}, folder / PUBLISHED_ABOUT, RUN)


def _name_alone(value: object) -> object:
    return value.replace("\\", "/").rpartition("/")[2] if isinstance(value, str) else value


def described(setting: Setting, padding: float, convention: str) -> dict[str, Any]:
    """What ``run.json`` says of the crops that the model was made for."""
    return {
        "size": list(setting.size),
        "padding": padding,
        "convention": convention,
        "keypoints": setting.keypoints,
        "categories": json.loads(categories_to_json(setting.categories)),
    }


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    # safetensors refuses tensors that share memory, such as tied weights; and files of its own are its user's alone.
    write_bytes(save({name: value.contiguous().clone() for name, value in weights.items()}), path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read what ``write_weights`` wrote, on the CPU.

    Raises:
        ValueError: there is no such file, it holds no weights, or some that are not finite.
    """
    must_be_file(path, "weights", WEIGHTS_AGAIN)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} must be weights as safetensors, but is none: {reason(error)}; {WEIGHTS_AGAIN}"
        ) from None
    if wrong := [name for name, tensor in weights.items() if not tensor.isfinite().all()]:
        raise ValueError(
            f"{path} must hold finite weights, but has NaN or infinity in {shortened(wrong, 4)}; {WEIGHTS_AGAIN}"
        )
    return weights


def best_weights(folder: Path, about: Content) -> dict[str, Tensor]:
    """Those of a trained run, published or not.

    Args:
        about: what ``read_about`` gives.

    Raises:
        ValueError: as ``read_weights``, or they are others than those that the run was published with.
    """
    weights = read_weights(weights_file(folder))
    must_be_as_written(weights_file(folder), about, WEIGHTS_AGAIN)
    return weights


def read_about(folder: Path) -> dict[str, Any]:
    """The whole of ``run.json``.

    Raises:
        LookupError: the folder holds no trained run.
        ValueError: as ``own_json.read_json``, or the folder was published by another program.
    """
    if not is_run(folder):
        raise LookupError(f"{folder} must hold a trained run, but it has no run.json")
    path = about_file(folder)
    about = read_json(path, RUN if path.name != PUBLISHED_ABOUT else _PUBLISHED)
    categories = categories_in(about["categories"], path, RUN.name, RUN_AGAIN)
    largest = max((len(category.keypoints) for category in categories), default=about["keypoints"])
    if largest != about["keypoints"]:
        raise ValueError(
            f"{path} must be {RUN.name} with as many keypoints as its largest category, {largest}, but has "
            f"{about['keypoints']}; {RUN_AGAIN}"
        )
    return about


def setting_of(about: Mapping[str, Any]) -> Setting:
    """What the model of a ``run.json`` was built for, once it is read by ``read_about``."""
    categories = categories_from(about["categories"])
    return Setting(size=tuple(about["size"]), keypoints=about["keypoints"], categories=categories)


def without_download(config: ConfigT) -> ConfigT:
    """The config with no pretrained weights, which trained ones replace and which need not be fetched again.

    They are the fields whose names end in ``weights``.
    """
    fields = [name for name in type(config).model_fields if name.endswith("weights")]
    return config.model_copy(update=dict.fromkeys(fields, "none"))
