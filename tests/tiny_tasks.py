"""Tasks that take no time and do what a script says, to see when and where a schedule runs them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posebed.catalog import Catalog
from posebed.config import ResourcesConfig
from posebed.identity import Identity
from posebed.jobs.estimate import Estimates
from posebed.jobs.graph import Graph, Task
from posebed.jobs.outcomes import Outcomes, State, Status
from posebed.jobs.schedule import Plan, Schedule
from posebed.jobs.view import View
from posebed.jobs.worker import MachineLeaves, Request
from posebed.params import Params
from waiting import waited_for

import ray  # isort: skip
import ray.cloudpickle  # isort: skip

for module in (__name__, waited_for.__module__):  # workers cannot import these files
    ray.cloudpickle.register_pickle_by_value(sys.modules[module])
SCRIPT, EVENTS = Path("script.json"), Path("events.jsonl")


def task(kind: str, key: str, *needs: Task, workers: int = 1, **resources: Any) -> Task:
    seed = None if kind in ("score", "search") else 0
    asked = ResourcesConfig(**resources)
    names = tuple(need.name for need in needs)
    return Task(kind, key, seed, Identity({"name": f"{kind} {key}"}), names, "m", workers=workers, resources=asked)


def trains(*keys: str, **resources: Any) -> list[Task]:
    return [task("train", key, **resources) for key in keys]


def chain(key: str, *needs: Task) -> list[Task]:
    """A run with one member."""
    train = task("train", key, *needs)
    predict = task("predict", key, train)
    return [train, predict, task("score", key, predict)]


def perform(request: Request) -> None:
    """Do what the script says of this task, and note when and where."""
    script = json.loads(SCRIPT.read_text())
    steps = script.get(request.task.name, script.get("*", []))
    node = ray.get_runtime_context().get_node_id()
    about = {"node": node, "pid": os.getpid(), "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "at": request.at_once}
    event(request.task.name, "start", studies=os.environ.get("POSEBED_STUDIES"), **about)
    for word, amount in steps:
        if word == "sleep":
            time.sleep(amount)
        elif word == "raise":
            raise ValueError(amount)
        elif word == "memory":
            raise MemoryError
        elif word == "kill" and starts_of(request.task.name) <= amount:
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "keep":
            request.publisher.kept(starts_of(request.task.name))
            told_to_leave(request)  # is answered after that was heard
        elif word == "meet":
            waited_for(lambda amount=amount: len({e["task"] for e in events() if e["what"] == "start"}) >= amount)
        elif word == "leave" and starts_of(request.task.name) == 1:
            waited_for(lambda path=Path(amount): told_to_leave(request) or path.exists())
            if told_to_leave(request):
                raise MachineLeaves
        elif word == "actors":
            own = [ray.remote(num_cpus=1)(Own).remote() for _ in range(amount)]
            assert len({ray.get(one.place.remote(), timeout=60) for one in own}) == amount
        elif word == "reserve":
            reserved(amount)
        elif word == "reserve by an actor":
            # As Ray Train's controller does for its workers.
            ray.get(ray.remote(num_cpus=0)(Own).remote().reserve.remote(amount))
    request.task.outcome.parent.mkdir(parents=True, exist_ok=True)
    request.task.outcome.write_text("done")
    event(request.task.name, "end")


def told_to_leave(request: Request) -> bool:
    return ray.get(request.publisher.leaving())


def reserved(processors: int) -> None:
    """Keep a place with so many processors, as Ray Tune does for its trials."""
    ray.get(ray.util.placement_group([{"CPU": processors}]).ready(), timeout=60)


class Own:
    """What a task with several workers starts."""

    def place(self) -> int:
        return os.getpid()

    def reserve(self, processors: int) -> None:
        reserved(processors)


def event(name: str, what: str, **about: Any) -> None:
    with EVENTS.open("a") as file:
        file.write(json.dumps({"task": name, "what": what, "time": time.time(), **about}) + "\n")


def events() -> list[dict[str, Any]]:
    return [json.loads(line) for line in EVENTS.read_text().splitlines()] if EVENTS.exists() else []


def starts_of(name: str) -> int:
    return sum(e["task"] == name and e["what"] == "start" for e in events())


@dataclass(frozen=True)
class Span:
    start: float
    end: float
    node: str
    pid: int
    gpu: str


def spans() -> dict[str, Span]:
    """By task, in the order of their starts."""
    begun = {e["task"]: e for e in events() if e["what"] == "start"}
    ends = {e["task"]: e["time"] for e in events() if e["what"] == "end"}
    return {n: Span(e["time"], ends[n], e["node"], e["pid"], e["gpu"]) for n, e in begun.items()}


def most_at_once(names: Collection[str] | None = None) -> int:
    chosen = [span for name, span in spans().items() if names is None or name in names]
    return max(sum(other.start <= span.start < other.end for other in chosen) for span in chosen)


Script = Mapping[str, Sequence[tuple[str, Any]]]


class Lines(View):
    """Keeps the lines that stay."""

    def __init__(self) -> None:
        super().__init__(0, 0.0)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def scheduled(
    tasks: Sequence[Task],
    script: Script | None = None,
    params: Params | None = None,
    seconds: Mapping[str, float] | None = None,
) -> tuple[Schedule, list[str]]:
    """Run whatever of the tasks is not done; the schedule at its end, and the lines that it printed."""
    SCRIPT.write_text(json.dumps(script or {}))
    graph = Graph({task.name: task for task in tasks})
    todo = [name for name, status in Outcomes().statuses(graph).items() if status.state is not State.DONE]
    known = {n: Status(graph.tasks[n], State.DONE, seconds=s) for n, s in (seconds or {}).items()}
    view = Lines()
    schedule = Schedule(
        Plan(graph, todo, params or Params(), Catalog(), perform, (), imports=()), Estimates(known), view
    )
    schedule.run()
    return schedule, view.lines


def states(tasks: Sequence[Task]) -> dict[str, str]:
    graph = Graph({task.name: task for task in tasks})
    return {name: str(status.state) for name, status in Outcomes().statuses(graph).items()}


def all_done(tasks: Sequence[Task]) -> bool:
    return set(states(tasks).values()) == {"done"}


def running(name: str) -> bool:
    return starts_of(name) > 0


def searching(*keys: str, **more: Any) -> Params:
    entry = {"model": "m", "split": "s", "pack": "p", "budget": {"trials": 9}, **more}
    return Params.model_validate(
        {
            "data": {"d": {"source": "coco_folder", "path": "d"}},
            "splits": {"s": {"data": "d"}},
            "packs": {"p": {"data": "d"}},
            "models": {"m": {}},
            "searches": dict.fromkeys(keys, entry),
        }
    )
