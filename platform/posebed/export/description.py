"""What an exported file says of itself: the run it is of, and what pictures and arrays its graph takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from posebed.export.programs import Program
from posebed.files import file_hash
from posebed.inference.trained_model import Trained
from posebed.places import weights_file
from posebed.records import categories_from, categories_to_json

KEY = "posebed"
"""Of the description in an ONNX file's metadata."""
FORMAT = 1

Description = Mapping[str, Any]


def description(folder: Path, trained: Trained, program: Program) -> dict[str, Any]:
    """Of one graph of the run in ``folder``. A category-agnostic run's ``categories`` are those of its training."""
    about = trained.about
    return {
        "format": FORMAT,
        "posebed": version("posebed"),
        "graph": program.name,
        "run": about["key"],
        "model": about["model"],
        "task": about["task"],
        "fingerprint": about["fingerprint"],
        "weights": file_hash(weights_file(folder)),
        "inputs": list(program.inputs),
        "outputs": list(program.outputs),
        "size": list(trained.setting.size),
        "padding": about["padding"],
        "convention": about["convention"],
        "keypoints": about["keypoints"],
        "categories": json.loads(categories_to_json(categories_from(about["categories"]))),
        **_normalisation(trained),
    }


def _normalisation(trained: Trained) -> dict[str, list[float]]:
    """Mean and deviation of RGB in 0..255, by which the graph itself normalises pictures, where the model does."""
    values = {name: of for name, of in trained.model.named_buffers() if name in ("normalise.mean", "normalise.std")}
    return {name.removeprefix("normalise."): of.flatten().tolist() for name, of in values.items()}


def parsed(text: str | None, file: Path) -> dict[str, Any]:
    """
    Raises:
        ValueError: the text is no description, or one of a newer posebed.
    """
    try:
        about = json.loads(text or "")
        graph, written = about["graph"], int(about["format"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{file} must be written by `posebed export`, but does not say that it is") from error
    if written > FORMAT or graph not in ("model", "support", "query"):
        raise ValueError(f"{file} must be of format {FORMAT} of `posebed export`, but is of a newer posebed's")
    return about


def must_be_of(about: Description, file: Path, run: str, folder: Path) -> None:
    """
    Raises:
        ValueError: the file is of another run, or of other weights of the same.
    """
    if about.get("weights") != file_hash(weights_file(folder)):
        raise ValueError(
            f"{file} must hold the weights of {run}, but is of the run {about.get('run')} with other weights"
        )
