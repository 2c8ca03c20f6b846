"""All that a run measures, in the order of its worth: the proof, what a model costs as it is written, and then what
takes a compiler minutes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from cases import BASE, CASES, QUICK_SIDE

from card.answers import answers
from card.calls import Entry
from card.largest import largest_batch
from card.proof_compiled import compiled_as_written
from card.proof_steps import answers_against_float64, step_against_float64
from card.proof_training import (
    batches_alike,
    predicted_as_on_a_cpu,
    resumed_as_whole,
    trained_as_on_a_cpu,
    zero_as_torch,
)
from card.run_file import Run
from card.speeds import own_speeds
from card.steps import counts, step_time
from card.world import World
from posebed.contracts import Compile, Precision

FormT = TypeVar("FormT")

PROVEN = (BASE, "proto_net")
"""Small cases of either kind that are trained, killed, resumed and asked."""
COMPILED_FIRST = (BASE, "cape_former")
TRAININGS = {
    "proof-batches": batches_alike,
    "proof-training": trained_as_on_a_cpu,
    "proof-resumed": resumed_as_whole,
    "proof-prediction": predicted_as_on_a_cpu,
    "proof-zero": zero_as_torch,
}


def entries_of(world: World, names: Sequence[str], run: Run) -> list[Entry]:
    """Without a compiler for a CPU nothing is compiled on it, and in the reduced form one case alone."""
    small = names[-1:] if world.side == QUICK_SIDE else names
    compiles = world.device.type == "cuda" or shutil.which("g++")
    return [*_proofs(world, names), *_as_written(world, names), *_compiled(world, small if compiles else [], run)]


def _proofs(world: World, names: Sequence[str]) -> Iterator[Entry]:
    yield Entry("speeds", partial(own_speeds, world.device, world.side == QUICK_SIDE))
    for kind, prove in TRAININGS.items():
        for name in PROVEN:
            if name in names:
                yield Entry(f"{kind}/{name}", partial(prove, world.folder, name))
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in precisions:
        for name in _trained(names):
            yield Entry(f"proof-{precision}/{name}", partial(step_against_float64, world, name, precision))
    for name in names:
        yield Entry(f"proof-answers/{name}", partial(answers_against_float64, world, name))


def _as_written(world: World, names: Sequence[str]) -> Iterator[Entry]:
    for form in ("bfloat16", "float32"):
        for name in _trained(names):
            yield Entry(f"{form}/{name}", partial(step_time, world, name, form))
    for name in _trained(names):
        yield Entry(f"counts/{name}", partial(counts, world, name))
    for name in names:
        yield Entry(f"answers/{name}", partial(answers, world, name))
    for name in _trained(names):
        yield Entry(f"largest/{name}", partial(largest_batch, world, name, "bfloat16"))


def _compiled(world: World, names: Sequence[str], run: Run) -> Iterator[Entry]:
    first = [name for name in COMPILED_FIRST if name in names]
    others = [name for name in _trained(names) if name not in first]
    yield from _proofs_of_compiled(world, first)
    for form in _kept(world, ["graphs", "compiled"]):
        for name in (*first, *others):
            yield Entry(f"{form}/{name}", partial(step_time, world, name, form))
    for name in (*first, *others):
        yield Entry(f"largest-graphs/{name}", partial(_largest_of_graphs, world, name, run))
    yield from _proofs_of_compiled(world, others)


def _proofs_of_compiled(world: World, names: Sequence[str]) -> Iterator[Entry]:
    modes: Mapping[str, Compile] = {"proof-graphs": "reduce-overhead", "proof-compiled": "default"}
    for kind, mode in _kept(world, [*modes.items()]):
        for name in names:
            yield Entry(f"{kind}/{name}", partial(compiled_as_written, world, name, mode))


def _largest_of_graphs(world: World, name: str, run: Run) -> Mapping[str, Any]:
    """Raises:
    ValueError: it is not known which batch fits a step as it is written.
    """
    if not (known := run.outcome(f"largest/{name}").get("batch")):
        raise ValueError("the largest batch of a step as it is written must be known, but is not")
    return largest_batch(world, name, "graphs", known)


def _kept(world: World, forms: list[FormT]) -> list[FormT]:
    """The first of two that are compiled almost alike, in the reduced form."""
    return forms[:1] if world.side == QUICK_SIDE else forms


def _trained(names: Sequence[str]) -> list[str]:
    return [name for name in names if CASES[name].spec.trained]
