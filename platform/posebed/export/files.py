"""A trained run as files that run without posebed, each checked before it takes its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from posebed.catalog import Catalog
from posebed.contracts import Task
from posebed.export.agreement import Agreement, File, agreement
from posebed.export.description import description, must_be_of
from posebed.export.onnx_file import OnnxFile, require, write_onnx
from posebed.export.programs import programs_of
from posebed.export.torch_file import TorchFile, write_torch
from posebed.files import scratch_folder
from posebed.inference.trained_model import Trained, of_category, open_trained
from posebed.pose import Batch
from posebed.records import Category
from posebed.training.run_folder import read_about, setting_of

Kind = Literal["onnx", "torch"]
ENDINGS: Mapping[Kind, str] = {"onnx": ".onnx", "torch": ".pt2"}
_WAYS: Mapping[Kind, tuple[Any, Any]] = {"onnx": (write_onnx, OnnxFile), "torch": (write_torch, TorchFile)}
"""What writes a file, and what opens it."""


@dataclass(frozen=True)
class Crops:
    """What files are checked on."""

    trained: Trained
    """The model itself, opened for the crops' categories, on the processor."""
    batches: Iterable[Batch]
    """As ``agreement`` takes them."""


def export(folder: Path, catalog: Catalog, kind: Kind, out: Path, crops: Crops) -> tuple[list[Path], Agreement]:
    """Write a run's graphs, ``out`` itself or, of two graphs, ``-support`` and ``-query`` before its ending. Files
    that do not agree with the model are not left.

    Raises:
        ValueError: the model cannot be exported, or does not agree.
    """
    about = read_about(folder)
    trained = _opened(folder, about, catalog)
    try:
        programs = programs_of(trained.model, trained.setting, trained.task)
    except Exception as error:  # whatever a model's own code raises where it is followed
        reason = " ".join(str(error).split())[:300]
        name = about["model"]
        raise ValueError(f"{name} must be a program of fixed steps, but torch.export says: {reason}") from error
    write, opened = _WAYS[kind]
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out) as scratch:
        names = [_name(out, program.name) for program in programs]
        for program, name in zip(programs, names, strict=True):
            write(program, description(folder, trained, program), scratch / name)
        found = agreement(crops.trained, [opened(scratch / name) for name in names], crops.batches)
        for name in names:
            (scratch / name).replace(out.with_name(name))
    return [out.with_name(name) for name in names], found


def must_be_possible(about: Mapping[str, Any], catalog: Catalog, kind: Kind) -> None:
    """
    Raises:
        ValueError: the run of this ``run.json`` is of a model that cannot be exported, or a library is not installed.
    """
    if reason := catalog.model(about["model"]).not_exported:
        raise ValueError(f"{about['key']} must be of a model that can be exported, but {about['model']} {reason}")
    if kind == "onnx":
        require("onnx", "onnxscript", "onnxruntime")


def check(paths: Iterable[Path], run: str, folder: Path, crops: Crops) -> Agreement:
    """Compare ONNX files with the run that they must be of.

    Raises:
        ValueError: they are of another run, not the run's graphs, or do not agree.
    """
    files: dict[str, File] = {}
    for path in paths:
        file = OnnxFile(path)
        must_be_of(file.about, path, run, folder)
        files[file.about["graph"]] = file
    if {*files} not in ({"model"}, {"support", "query"}):
        raise ValueError(f"--check must be given a run's model, or support and query, but got {' and '.join(files)}")
    in_order = [files[name] for name in ("model", "support", "query") if name in files]
    return agreement(crops.trained, in_order, crops.batches)


def _name(out: Path, graph: str) -> str:
    return out.name if graph == "model" else f"{out.stem}-{graph}{out.suffix}"


def _opened(folder: Path, about: Mapping[str, Any], catalog: Catalog) -> Trained:
    """On the processor; a category-agnostic model for a category of as many keypoints as the largest of its run's."""
    setting = setting_of(about)
    if about["task"] == Task.CATEGORY_AGNOSTIC:
        names = tuple(map(str, range(setting.keypoints)))
        setting = of_category(setting, Category("any", "any", names, limbs=((0, 1),)))
    return open_trained(folder, catalog, "cpu", setting)
