"""Where a result comes from, in words: the same facts on the page and in the terminal."""

from __future__ import annotations

from pathlib import Path

from posebed.config import Section, read_section
from posebed.own_json import Kind, write_json
from posebed.reporting.formats import flat
from posebed.scoring.result import Member, Result

TRACKED = "tracked.json"
"""Beside a result: where its mirror stands."""
MIRROR = Kind("the place of a run's mirror")
Facts = list[tuple[str, str]]


class Tracked(Section):
    """Where the mirror of a run stands."""

    run: str
    """Id of the MLflow run."""
    tracker: str
    """Address of the tracking server, without user and password."""


def write_tracked(tracked: Tracked, folder: Path) -> None:
    write_json(tracked.model_dump(mode="json"), folder / TRACKED, MIRROR)


def read_tracked(folder: Path) -> Tracked:
    """Read what ``write_tracked`` wrote.

    Raises:
        ValueError: there is no such file, or it says something else.
    """
    return read_section(Tracked, folder / TRACKED, MIRROR)


def trace(result: Result, tracked: Tracked | None = None) -> dict[str, Facts]:
    """Everything that the numbers of a result depend on, by heading.

    Args:
        tracked: None where it is not known that the run was tracked.
    """
    origin, cost, several = result.provenance, result.cost, len(result.members) > 1
    return {
        "Origin": [
            ("commit", origin.commit + (" with uncommitted changes" if origin.dirty else "")),
            ("fingerprint", result.fingerprint),
            ("data", origin.data_hash),
            ("split", origin.split_hash),
            ("episodes", origin.episodes_hash or "none"),
            ("lock file", origin.lock_hash),
            *([] if several else _answerer(result)),
            ("created", origin.created),
            ("hardware", origin.hardware),
            ("MLflow run", f"{tracked.run} at {tracked.tracker}" if tracked else "not known here"),
        ],
        "Model and data": [
            ("model", result.model),
            ("task", result.task.replace("_", "-")),
            ("data", result.data),
            ("split", result.split),
            ("pack", result.pack),
            ("seed" if len(result.seeds) == 1 else "seeds", ", ".join(map(str, result.seeds))),
            *result.protocol.items(),
            *result.answered.items(),
            *flat(result.config),
        ],
        "Cost": [
            ("parameters", "not known" if cost.parameters is None else f"{cost.parameters:,}"),
            ("GFLOPs per image", _digits(cost.gflops, "not counted")),
            ("ms per image", _digits(cost.ms_per_image)),
            ("training seconds", _digits(cost.train_seconds)),
            ("measured on", cost.device or "nothing"),
        ],
        **({"Members": [(f"seed {m.seed}", _of_member(m)) for m in result.members]} if several else {}),
        "Training": [*flat(result.train), *_mode(result), *(("too short", line) for line in result.shortfalls)],
        "Software": list(origin.software.items()),
    }


def _mode(result: Result) -> Facts:
    """What ``auto`` became, as the training's last epoch says."""
    return [("steps computed in", line.mode) for line in result.curve[-1:] if line.mode]


def _answerer(result: Result) -> Facts:
    """Hash and place of the weights that predicted, or of what was submitted."""
    names = ("submitted file", "file") if result.submitted else ("checkpoint", "weights")
    return [*zip(names, (result.provenance.checkpoint_hash, result.provenance.checkpoint), strict=True)]


def _digits(value: float | None, unknown: str = "not known") -> str:
    return unknown if value is None else f"{value:.6g}"


def _of_member(member: Member) -> str:
    return f"{member.result}, fingerprint {member.fingerprint}, checkpoint {member.checkpoint_hash}"
