"""Whether the machines of a cluster fit this command's: the same packages, and clocks that agree."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from posebed import provenance
from posebed.jobs.machines import Node, living_nodes, on

import ray  # isort: skip
from ray.exceptions import GetTimeoutError, RayError  # isort: skip

ANSWER_SECONDS = 120.0
CLOCK_SECONDS = 60.0
"""By which clocks may differ without a word."""


@dataclass(frozen=True)
class Told:
    """By a machine."""

    software: Mapping[str, str]
    clock: float
    """Seconds since 1970."""


def tell() -> Told:
    return Told(provenance.software(), time.time())


def check_nodes() -> list[str]:
    """Ask every machine but this one, and return sentences on those whose clocks are wrong.

    Raises:
        ValueError: one has other versions of packages than this process.
    """
    here = ray.get_runtime_context().get_node_id()
    others = [node for node in living_nodes() if node.name != here]
    asked_at, asked = time.time(), [(node, _asked(node)) for node in others]
    said: list[str] = []
    for node, ref in asked:
        try:
            told: Told = ray.get(ref, timeout=ANSWER_SECONDS)
        except (RayError, GetTimeoutError):  # it has left, or is too busy: its tasks will tell
            continue
        if wrong := differences(told.software, provenance.software(), node.address):
            raise ValueError(wrong)
        ahead = seconds_ahead(told.clock, asked_at, time.time())
        if abs(ahead) > CLOCK_SECONDS:
            said.append(
                f"the clock of {node.address} is {abs(ahead) / 60:.0f} minutes {'ahead' if ahead > 0 else 'behind'}: "
                "times in its logs are wrong, results are not"
            )
    return said


def seconds_ahead(clock: float, asked: float, now: float) -> float:
    """By how much a clock at least differs that was read at some moment between these two; negative where it is
    behind."""
    return max(clock - now, 0.0) + min(clock - asked, 0.0)


def _asked(node: Node) -> ray.ObjectRef[Told]:
    return ray.remote(num_cpus=0, scheduling_strategy=on(node.name))(tell).remote()


def differences(software: Mapping[str, str], commands: Mapping[str, str], machine: str) -> str:
    """A sentence on what a machine has in other versions than the command's; empty where all are the same."""
    named = [
        f"{name} {software.get(name, 'none')} (there {version})"
        for name, version in commands.items()
        if _counted(name, software.get(name, "")) != _counted(name, version)
    ]
    if not named:
        return ""
    return (
        f"{machine} must have the versions of the command's environment, but has {', '.join(named)}; make both from "
        "the same requirements.lock.txt"
    )


def _counted(name: str, version: str) -> str:
    """What of a version must agree: of Python's, major and minor."""
    return ".".join(version.split(".")[:2]) if name == "python" else version
