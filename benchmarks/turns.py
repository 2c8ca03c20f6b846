"""Steps of a case in a process per checkout, which take turns. Run as a script, it is such a process.

It takes a line of JSON that says what to measure, then one empty line per step, and answers each with a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGES = ("platform", "models", "pipelines", "benchmarks")


class Checkout:
    """A process that measures in one folder's code."""

    def __init__(self, folder: Path) -> None:
        paths = os.pathsep.join(str(folder.resolve() / name) for name in PACKAGES)
        # -P keeps this file's own folder off the path, whose cases are of another checkout.
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, line: str) -> str:
        """
        Raises:
            RuntimeError: the process has ended.
        """
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError("a checkout must measure the case, but its process has ended; see above")
        return answer

    def end(self) -> None:
        self._process.communicate()


@contextmanager
def checkouts(*folders: Path) -> Iterator[list[Checkout]]:
    processes = [Checkout(folder) for folder in folders]
    try:
        yield processes
    finally:
        for process in processes:
            process.end()


def alternating(folders: Mapping[str, Path], task: Mapping[str, Any], rounds: int) -> dict[str, list[float]]:
    """Seconds of every step in each checkout, after one that does not count."""
    with checkouts(*folders.values()) as processes:
        for process in processes:
            process.ask(json.dumps(task))
        took: dict[str, list[float]] = {name: [] for name in folders}
        for index in range(rounds + 1):
            for name, process in zip(folders, processes, strict=True):
                seconds = float(process.ask(""))
                if index:
                    took[name].append(seconds)
    return took


def serve() -> None:
    import torch
    from cases import Case, answer, some_batch, training_step

    torch.set_num_threads(1)
    task = json.loads(sys.stdin.readline())
    case = Case(task["model"], task["config"])
    whole = case.setting(task["side"])
    setting = type(whole)(tuple(task["size"]), whole.keypoints, whole.categories)
    batch = some_batch(setting, task["count"], shots=1 if case.episodic else 0)
    step = (answer if task["inference"] else training_step)(case.built(setting), batch)
    print("ready", flush=True)
    while sys.stdin.readline():
        started = time.process_time()
        step()
        print(time.process_time() - started, flush=True)


if __name__ == "__main__":
    serve()
