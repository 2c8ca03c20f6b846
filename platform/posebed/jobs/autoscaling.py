"""A cluster that grows and shrinks by itself: which machines it may come to have, and what it is asked for.

Ray's autoscaler looks at what was submitted to the cluster. Here a task is submitted when there is room for it, so that
the autoscaler would see no need. Nor does it tell which machines it may add.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from posebed.config import Positive, Section
from posebed.forms import sentence
from posebed.jobs.room import Room
from posebed.yamlfile import parse_yaml

import ray.autoscaler.sdk  # isort: skip

MACHINES = "POSEBED_MACHINES"
MOST = 1_000
"""Places for workers that are asked for at a time."""
REPEAT_SECONDS = 5.0
"""Until a request is made again: of those that several commands or Ray's libraries make, the last one counts."""


class Alike(Section):
    """Machines that are alike."""

    count: Positive = 1
    cpus: Positive
    gpus: Annotated[int, Field(ge=0)] = 0
    memory_gb: Annotated[float, Field(gt=0)] | None = None


def expected_machines() -> list[Room]:
    """What each machine has that the cluster may come to have, as ``POSEBED_MACHINES`` says.

    Raises:
        ValueError: the variable is no list of machines.
    """
    text = os.environ.get(MACHINES, "")
    if not text:
        return []
    try:
        known = TypeAdapter(list[Alike]).validate_python(parse_yaml(text, MACHINES))
    except ValidationError as error:
        form = "[{count: 4, cpus: 16, gpus: 8, memory_gb: 200}]"
        raise ValueError(f"{MACHINES} must be a list such as {form}, but: {sentence(error, MACHINES)}") from error
    # A machine whose memory is not stated has enough.
    rooms = [(Room(kind.cpus, kind.gpus, (kind.memory_gb or 1e6) * 1e9), kind.count) for kind in known]
    return [room for room, count in rooms for _ in range(count)]


class Demand:
    """What the autoscaler was asked for."""

    def __init__(self) -> None:
        self._asked: list[Room] | None = None  # a command that was killed may have left its wish
        self._since = 0.0

    def ask(self, places: Sequence[Room]) -> None:
        """Ask for machines that hold all of these at a time, those of tasks under way among them; or, without any, for
        none beyond what is used. Places at the end are left out where there are too many."""
        asked = [*places[:MOST]]
        due = asked and time.monotonic() - self._since > REPEAT_SECONDS
        if asked != self._asked or due:
            ray.autoscaler.sdk.request_resources(bundles=[_bundle(place) for place in asked])  # pyright: ignore[reportUnknownMemberType]
            self._asked, self._since = asked, time.monotonic()


def _bundle(place: Room) -> dict[str, float]:
    named = {"CPU": place.cpus, "GPU": place.gpus, "memory": place.memory}
    return {name: amount for name, amount in named.items() if amount}
