"""What a run found of each case, as rows of two tables: steps, and what they reach of the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from card.run_file import Run
from card.steps import FORMS
from card.traffic import affine

STEPS = ("float32, ms", "bf16, ms", "compiled, ms", "graphs, ms", "kernels", "in kernels", "in kernels, graphs")
USE = (
    *("bf16 peak", "memory speed", "largest batch", "bf16 peak there", "memory speed there", "peak, GiB"),
    *("images/s", "waiting", "answers/s, 1 shot", "5 shots"),
)
NONE = "–"
"""What is not measured yet, ended in an error, or has no meaning on the device."""


def names_in(run: Run) -> list[str]:
    """Cases of which there is more than a proof, in the order of their first number."""
    numbers = [name for name, entry in run.entries.items() if entry.get("outcome") and not name.startswith("proof-")]
    measured = [name.partition("/")[2] for name in numbers]
    return list(dict.fromkeys(name for name in measured if name))


def steps_row(run: Run, name: str) -> list[str]:
    """Cells of ``STEPS``."""
    times = [_number(run.outcome(f"{form}/{name}").get("ms"), ".1f") for form in FORMS]
    written, graphs = run.outcome(f"bfloat16/{name}"), run.outcome(f"graphs/{name}")
    return [
        *times,
        _number(written.get("kernels"), ",.0f"),
        *(_share(of.get("share in kernels")) for of in (written, graphs)),
    ]


def use_row(run: Run, name: str) -> list[str]:
    """Cells of ``USE``: of the fastest form that was measured, and of the largest batch."""
    step, large = fastest(run, name), largest(run, name)
    answered = run.outcome(f"answers/{name}")
    return [
        *map(_share, shares(run, name, step)),
        _number(large.get("batch"), "d"),
        *map(_share, shares(run, name, large)),
        _number(step.get("peak GiB"), ".1f"),
        _number(step.get("images/s"), ",.0f"),
        _share(step.get("waiting")),
        _number(answered.get("1 shots", answered.get("0 shots")), ",.0f"),
        _number(answered.get("5 shots"), ",.0f"),
    ]


def fastest(run: Run, name: str) -> Mapping[str, Any]:
    """The outcome of the form in bfloat16 whose step takes least."""
    known = [found for form in ("bfloat16", "compiled", "graphs") if (found := run.outcome(f"{form}/{name}"))]
    return min(known, key=lambda found: found["ms"], default={})


def largest(run: Run, name: str) -> Mapping[str, Any]:
    """The outcome of the largest batch, compiled where that is faster per sample."""
    known = [found for kind in ("largest", "largest-graphs") if (found := run.outcome(f"{kind}/{name}"))]
    return min(known, key=lambda found: found["ms"] / found["batch"], default={})


def shares(run: Run, name: str, step: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Of the device's own speed in bfloat16 products, and in copies, that a step reaches at the operations and bytes of
    its batch as it is written."""
    counted, own = run.outcome(f"counts/{name}"), run.outcome("speeds")
    if not (counted and own and step):
        return None, None
    few, many = counted["batches"]

    def rate(what: str) -> float:
        less, more = counted[what]
        return affine((few, less), (many, more), step["batch"]) / (step["ms"] / 1000)

    return rate("operations") / 1e12 / own["bfloat16 TFLOP/s"], rate("bytes") / 1e9 / own["copy GB/s"]


def proofs(run: Run) -> tuple[int, list[str]]:
    """How many proofs hold, and those that do not; without those of DeepSpeed where it is not there."""
    tried = {name: entry for name, entry in run.entries.items() if name.startswith("proof-")}
    proven = {name: entry for name, entry in tried.items() if "deepspeed" not in entry.get("outcome", {})}
    failed = [f"{name}: {entry['error']}" for name, entry in proven.items() if "error" in entry]
    return len(proven) - len(failed), failed


def printed(run: Run) -> str:
    """Both tables and what failed, for a terminal."""
    about, own = run.about, run.outcome("speeds")
    lines = [f"{about.device}, torch {about.torch}, commit {about.commit}, {about.date}"]
    if own:
        lines.append(", ".join(f"{what} {value:,.4g}" for what, value in own.items()))
    held, failed = proofs(run)
    lines.append(f"{held} of {held + len(failed)} proofs hold")
    for columns, row in ((STEPS, steps_row), (USE, use_row)):
        widths = [max(9, len(column)) + 2 for column in columns]
        lines.append(f"{'':20}" + "".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True)))
        for name in names_in(run):
            cells = zip(row(run, name), widths, strict=True)
            lines.append(f"{name:20}" + "".join(f"{cell:>{width}}" for cell, width in cells))
    errors = [f"{name}: {entry['error']}" for name, entry in run.entries.items() if "error" in entry]
    return "\n".join([*lines, *(f"failed: {error}" for error in errors)])


def figures(run: Run) -> dict[str, str]:
    """By name, what pages show."""
    about, (held, failed) = run.about, proofs(run)
    own = run.outcome("speeds")
    shown = {
        "card": f"{about.device}, torch {about.torch}, {about.date}",
        "proofs": f"{held} of {held + len(failed)}",
        "speeds": ", ".join(
            _number(own.get(what), f",.{places}f") + f" {unit}"
            for what, unit, places in (
                ("bfloat16 TFLOP/s", "TFLOP/s", 1),
                ("float32 TFLOP/s", "TFLOP/s", 1),
                ("copy GB/s", "GB/s", 0),
            )
        ),
    }
    for name in names_in(run):
        shown |= {
            f"{name.lower()}/step": " | ".join(steps_row(run, name)),
            f"{name.lower()}/use": " | ".join(use_row(run, name)),
        }
    return {f"accelerator/{name}": value for name, value in shown.items()}


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else f"{value:{form}}"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"
