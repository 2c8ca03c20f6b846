"""Trainings and predictions of the device against a CPU's, killed trainings against whole ones, ZeRO against torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import CASES, CATALOG

from card.calls import sentence
from card.proof_steps import without_tf32
from card.training import PLAIN, small, trained
from posebed.data.augment import Bodies, draw
from posebed.data.batches import augmented, exact
from posebed.files import scratch_folder
from posebed.inference.predict import answer
from posebed.inference.trained_model import open_trained
from posebed.scoring.result import read_curve
from posebed.training.run_folder import read_weights, write_trained
from posebed.training.transfer import initial_model

GREY, POINT = 1.0, 1e-3
"""Augmented pixels may differ by so much on average, as cv2 and torch interpolate differently, and keypoints by so many
pixels."""
LOSS, MOVED = 0.01, 0.02
"""Trainings by sgd on pixels that are not augmented may differ by this share of the loss, and by this of how far
weights moved."""
AGAIN = 0.05
"""Trainings by adam of one device may differ by this share of how far weights moved: the order of some kernels'
additions is not fixed, and adam's first steps are equally long for gradients that are all but 0."""
NEAR, NEARLY_ALL = 0.5, 0.99
"""Predictions may lie so many pixels of a picture apart, for this share of all keypoints: two cells of a heatmap can be
all but equal."""


def batches_alike(folder: Path, name: str) -> Mapping[str, Any]:
    """Augmented crops of the device, against those of the CPU.

    Raises:
        ValueError: they differ.
    """
    world = small(folder)
    pack, _ = world.data(name)
    rows, augment = np.arange(world.batch), world.experiment(name).train.augment
    bodies, found = Bodies.of(pack.categories, pack.max_keypoints), dict[str, float]()
    for what, tolerance in (("exact", 0.0), ("augmented", GREY)):
        crops = [
            exact(pack, rows, device)
            if what == "exact"
            else augmented(pack, bodies, rows, augment, draw(np.random.default_rng(0), len(rows)), device)
            for device in (torch.device("cpu"), world.device)
        ]
        one, other = (each.image.cpu().float() for each in crops)
        found[f"{what} grey levels"] = float((one - other).abs().mean())
        _at_most(f"{what} pixels", found[f"{what} grey levels"], tolerance)
        points, others = (each.keypoints.xy.cpu() for each in crops)
        found[f"{what} keypoints"] = float((points - others).abs().max())
        _at_most(f"{what} keypoints", found[f"{what} keypoints"], POINT)
    return found


def trained_as_on_a_cpu(folder: Path, name: str) -> Mapping[str, Any]:
    """Raises:
    ValueError: losses or weights differ.
    """
    with scratch_folder(folder / "trained") as place:
        _start(folder, name, place / "cpu", "--plain")
        here = trained(small(folder), name, place / "here", **PLAIN)
        there = read_curve(place / "cpu" / "checkpoint" / "curve.json")
        losses = max(abs(a.loss - b.loss) / abs(b.loss) for a, b in zip(here, there, strict=True))
        found = {"loss": losses, "weights": _difference(folder, name, place / "here", place / "cpu")}
    _at_most("losses", found["loss"], LOSS)
    _at_most("weights", found["weights"], MOVED)
    return found


def resumed_as_whole(folder: Path, name: str) -> Mapping[str, Any]:
    """A training whose process is killed after the first epoch, and that another process goes on with.

    Raises:
        ValueError: it ends in other weights than one that is not killed.
    """
    with scratch_folder(folder / "resumed") as place:
        trained(small(folder), name, place / "whole")
        _start(folder, name, place / "killed", "--killed")
        curve = trained(small(folder), name, place / "killed")
        difference = _difference(folder, name, place / "killed", place / "whole")
    _at_most("weights", difference, AGAIN)
    return {"epochs": len(curve), "weights": difference}


def zero_as_torch(folder: Path, name: str) -> Mapping[str, Any]:
    """Trainings by DeepSpeed's stages, against plain torch; None where DeepSpeed does not import.

    Raises:
        ValueError: weights differ.
    """
    try:
        import posebed.training.zero  # noqa: F401
    except Exception as error:  # whatever it misses: a compiler, an accelerator that it knows, itself
        return {"deepspeed": None, "why": sentence(error)}
    found = dict[str, float]()
    with scratch_folder(folder / "zero") as place:
        trained(small(folder), name, place / "torch")
        for stage in range(CASES[name].spec.max_zero + 1):
            trained(small(folder), name, place / str(stage), engine="deepspeed", zero=stage)
            found[f"ZeRO {stage}"] = _difference(folder, name, place / str(stage), place / "torch")
    for what, difference in found.items():
        _at_most(f"weights of {what}", difference, AGAIN)
    return found


def predicted_as_on_a_cpu(folder: Path, name: str) -> Mapping[str, Any]:
    """Raises:
    ValueError: too many keypoints lie elsewhere.
    """
    world = small(folder)
    experiment, (pack, split) = world.experiment(name), world.data(name)
    with scratch_folder(folder / "predicted") as place, without_tf32():
        trained(world, name, place / "job")
        write_trained(place / "run", place / "job" / "checkpoint", experiment, ())
        tables = [
            answer(open_trained(place / "run", CATALOG, device), pack, split, "test").predictions
            for device in (world.device, torch.device("cpu"))
        ]
    one, other = tables
    apart = np.hypot(*np.moveaxis(one.xy - other.xy, -1, 0))[one.labelled]
    found = {"keypoints": apart.size, "near": float((apart < NEAR).mean()), "median pixels": float(np.median(apart))}
    if found["near"] < NEARLY_ALL:
        raise ValueError(f"{NEARLY_ALL:.0%} of the keypoints must lie within {NEAR} pixels, but {found['near']:.1%} do")
    return found


def _start(folder: Path, name: str, out: Path, how: str) -> None:
    """Train in a process of its own: ``--plain`` on the CPU, or ``--killed`` on the device.

    Raises:
        RuntimeError: it ends otherwise.
    """
    words = [sys.executable, "-m", "card.training", str(folder.absolute()), name, str(out.absolute()), how]
    variables = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if how == "--plain" else {})
    here, expected = Path(__file__).parents[1], 0 if how == "--plain" else -signal.SIGKILL
    process = subprocess.run(words, cwd=here, env=variables, capture_output=True, text=True)
    if process.returncode != expected:
        last = process.stderr.strip().rpartition("\n")[2]
        raise RuntimeError(f"a training must end with {expected}, but ends with {process.returncode}: {last}")


def _difference(folder: Path, name: str, job: Path, other_job: Path) -> float:
    """Between the weights of two trainings, in multiples of how far those of the other one have moved."""
    ends = [read_weights(each / "checkpoint" / "last.safetensors") for each in (job, other_job)]
    world = small(folder)
    pack, _ = world.data(name)
    start = initial_model(world.experiment(name), pack.setting())[0].state_dict()
    moved = {n: v for n, v in ends[1].items() if v.is_floating_point()}
    way = sum(float((v.double() - start[n].double()).square().sum()) for n, v in moved.items())
    apart = sum(float((ends[0][n].double() - v.double()).square().sum()) for n, v in moved.items())
    return (apart / way) ** 0.5


def _at_most(what: str, value: float, most: float) -> None:
    if not value <= most:
        raise ValueError(f"{what} must differ by at most {most:g}, but differ by {value:.3g}")
