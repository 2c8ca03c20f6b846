"""Weights, inputs and numbers of the reference: the first two are drawn from names, the last are stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    name: str
    spec: Mapping[str, Any]
    variant: Mapping[str, Any]

    @property
    def constructor(self) -> Mapping[str, Any]:
        """The settings that the reference was built with."""
        return self.variant["constructor"]

    @cached_property
    def state(self) -> Mapping[str, Tensor]:
        """The state dictionary by the reference's names, without tables that the constructor fixes.

        Drawn as float32, and kept in torch's default precision.
        """
        factors, kept = self.variant.get("scale_after_filling", {}), self.variant.get("kept", ())
        named = ((n, shape) for n, shape, _ in self.variant["state_dict"] if n not in kept)
        state = {n: weight(n, shape) * factors[n] if n in factors else weight(n, shape) for n, shape in named}
        return {n: in_default_precision(w) if w.is_floating_point() else w for n, w in state.items()}

    def draws(self, name: str) -> bool:
        """Whether the reference has an input of that name."""
        return any(d[0] == f"{self.name}/{name}" for d in self.spec["draws"])

    def draw(self, name: str) -> Tensor:
        """An input by the last part of its name, drawn as float32 and kept in torch's default precision."""
        return in_default_precision(drawn(next(d for d in self.spec["draws"] if d[0] == f"{self.name}/{name}")))


def in_default_precision(x: Tensor) -> Tensor:
    return x.to(torch.get_default_dtype())


def drawn(draw: list[Any]) -> Tensor:
    """The numbers of one entry of ``draws``."""
    name, kind, shape, *limits = draw
    random = generator(f"input:{name}")
    if kind == "normal":
        return torch.from_numpy(random.standard_normal(shape).astype(np.float32))
    low, high = limits
    return torch.from_numpy((low + (high - low) * random.random(shape)).astype(np.float32))


def generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(crc32(name.encode())))


def weight(name: str, shape: list[int]) -> Tensor:
    """What every implementation gives to a tensor of this name and shape."""
    z = generator(name).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        z = 1 + 0.1 * np.abs(z)
    elif len(shape) == 1:
        z = 1 + 0.1 * z if name.endswith(".weight") else 0.02 * z
    else:
        z = z / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(z, np.float32))


def cases(folder: Path) -> Iterator[Case]:
    """One after the other: each keeps its weights, a gigabyte of some."""
    spec = json.loads((folder / "spec.json").read_text())
    return (Case(name, case, spec["variants"][case["variant"]]) for name, case in spec["cases"].items())


@dataclass(frozen=True)
class Functions:
    """Small functions without a network, and what each is given."""

    spec: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Functions:
        return cls(json.loads((folder / "functions.json").read_text()))

    def draw(self, name: str) -> Tensor:
        """As in ``Case``, by the whole name."""
        return in_default_precision(drawn(next(d for d in self.spec["draws"] if d[0] == name)))


def differences(case: Case, ours: Outputs, folder: Path) -> tuple[list[str], set[str]]:
    """One line per number of a float64 model that is off, and the names that we have no number for."""
    return _differences(folder, "outputs.npz", f"{case.name}/", case.spec["outputs"], ours)


def function_differences(functions: Functions, ours: Outputs, folder: Path) -> tuple[list[str], set[str]]:
    """The same of functions."""
    return _differences(folder, "functions.npz", "", functions.spec["outputs"], ours)


def _differences(
    folder: Path, file: str, prefix: str, about: Mapping[str, Any], ours: Outputs
) -> tuple[list[str], set[str]]:
    stored, tolerance = np.load(folder / file), json.loads((folder / "tolerance.json").read_text())[file]
    wrong, uncovered = [], set()
    for key in (k for k in stored if k.startswith(prefix)):
        name, _, part = key.removeprefix(prefix).partition("#")
        if name not in ours:
            uncovered.add(name)
            continue
        value = _summarised(ours[name], part, about[name].get("step", 1))
        wrong += different(key, value, stored[key], allowed_in_double(key, *tolerance[key]))
        if "/train/grad/" in key and part != "stat" and value.shape == stored[key].shape:
            wrong += different_as_a_whole(key, value, stored[key])
    return wrong, uncovered


def allowed(deviation: float, scale: float) -> float:
    """How far a float32 result may be from the reference's, which is so itself: 1e-4 of the largest value.

    Args:
        deviation: largest difference between the reference's results in float32 and in float64.
        scale: largest absolute value of the reference's result.
    """
    return max(1e-4 * scale, 10 * deviation)


def allowed_in_double(key: str, deviation: float, scale: float) -> float:
    """How far a float64 result may be from the reference's in float32: by the latter's rounding.

    Gradients stay at 1e-4: where a rectifier's input lies within float32's rounding of 0, theirs depend on the
    processor.
    """
    return allowed(deviation, scale) if "/train/grad" in key else 2 * deviation + 1e-6 * scale


def different(key: str, value: np.ndarray, stored: np.ndarray, limit: float) -> list[str]:
    """A line where two arrays differ in shape, or by more than ``limit`` anywhere."""
    off = np.abs(value - stored).max() if value.shape == stored.shape else np.nan
    line = f"{key}: {value.shape} for {stored.shape}, off by {off:.3g}, allowed {limit:.3g}"
    return [] if off <= limit else [line]


def different_as_a_whole(key: str, value: np.ndarray, stored: np.ndarray) -> list[str]:
    """A line where two gradients differ by more than 0.2 % of the reference's length: its float32 has as much noise
    deep in a network. Single cells may be further off, where a rectifier's input is near 0."""
    off = np.linalg.norm(value - stored) / max(np.linalg.norm(stored), 1e-12)
    return [] if off <= 2e-3 else [f"{key}: off by {off:.3g} of its length, allowed 0.002"]


def _summarised(tensor: Tensor, part: str, step: int) -> np.ndarray:
    value = tensor.detach().double().numpy()
    if part == "slice":
        return value.ravel()[::step]
    return np.array([value.mean(), value.std()]) if part == "stat" else value


def must_be_known(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse settings of a reference that are none of ours."""
    unknown = sorted({*given} - {*known})
    assert not unknown, f"no settings of ours are {', '.join(unknown)}"
