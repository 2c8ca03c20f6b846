"""Commands in forks of one process that has imported what they need: hundreds of them take minutes, not hours.

The process starts no thread and opens no file itself, so a fork is as good as a process of its own. A fork may wait for
a tracer before it begins.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from waiting import waited_for

IMPORTED = (
    *("posestages.cli", "posestages.draw", "posestages.prepare", "posestages.split", "posestages.pack"),
    *("posestages.report", "posestages.commands.report_sources"),
    *("posestages.commands.pictures", "posestages.commands.convert", "posestages.commands.submit", "cv2", "torch"),
    *("posebed.training.loop", "posebed.inference.predict", "posebed.datasets.sleap_io", "posezoo.simple_baseline"),
    *("posebed.jobs.graph", "posebed.reporting.site", "posestages.score", "posestages.tasks", "posestages.benchmark"),
    *("posestages.train_without_ray", "posestages.commands.mirror", "posebed.reporting.tracking", "pandas", "timm"),
    *(
        "posebed.training.zero",
        "deepspeed.ops.adam",
        "sqlalchemy.dialects.sqlite",
        "mlflow.store.tracking.sqlalchemy_store",
    ),
)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | None
    """Exit code, negative for a signal; None where it took too long and was killed."""
    output: bytes
    errors: bytes
    seconds: float
    gigabytes: float
    """The most memory that it had, with some 1.1 that it had from the start."""
    orphans: bool
    """Whether processes that it started went on after it."""


class Forks:
    """A context: the process whose forks run commands, one after the other."""

    def __enter__(self) -> Forks:
        tests = str(Path(__file__).parents[1])
        paths = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")]))
        # Tests give all their clusters one token; doors set Ray's variables themselves.
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
        environment = {**plain, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONPATH": paths}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._answer() == "ready"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def run(
        self,
        command: Sequence[str],
        folder: Path,
        seconds: float = 60,
        variables: Mapping[str, str] | None = None,
        tracer: Callable[[int], subprocess.Popen[bytes]] | None = None,
    ) -> Ended:
        """Run ``posebed ...``, ``python -m ...`` or ``python -c ...`` in a folder.

        Args:
            variables: of its environment.
            tracer: starts what traces the process of this number, before its command begins.
        """
        outputs = [folder.parent / f"{folder.name}.{self._process.pid}.{name}" for name in ("stdout", "stderr")]
        order = {"command": command, "folder": str(folder), "seconds": seconds, "variables": dict(variables or {})}
        order["outputs"] = [*map(str, outputs)]
        self._send({**order, "waits": tracer is not None})
        if tracer:
            pid = self._answer()
            try:
                with tracer(pid):
                    waited_for(lambda: _traced(pid), 60, "a tracer")
                    os.kill(pid, signal.SIGCONT)
                    answer = self._answer()
            except BaseException:
                os.kill(pid, signal.SIGKILL)  # it would wait for ever
                raise
        else:
            answer = self._answer()
        output, errors = (path.read_bytes() for path in outputs)
        for path in outputs:
            path.unlink()
        return Ended(output=output, errors=errors, **answer)

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin
        print(json.dumps(order), file=self._process.stdin, flush=True)

    def _answer(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


def _traced(pid: int) -> bool:
    try:
        return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True  # it has ended, which its answer tells


def _serve() -> None:
    for module in IMPORTED:
        __import__(module)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(order)
        if order["waits"]:
            os.waitpid(pid, os.WUNTRACED)
            print(json.dumps(pid), file=answers, flush=True)
        print(json.dumps(_end_of(pid, order["seconds"])), file=answers, flush=True)


def _end_of(pid: int, most: float) -> dict[str, Any]:
    started = time.monotonic()
    ended, status, usage = os.wait4(pid, os.WNOHANG)
    while not ended and time.monotonic() - started < most:
        time.sleep(0.005)
        ended, status, usage = os.wait4(pid, os.WNOHANG)
    code = os.waitstatus_to_exitcode(status) if ended else None
    if not ended:
        os.killpg(pid, signal.SIGKILL)
        _, _, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - started
    return {"code": code, "seconds": seconds, "gigabytes": usage.ru_maxrss / 2**20, "orphans": _orphans(pid)}


def _orphans(group: int) -> bool:
    """Whether processes of a group outlive it by five seconds; they are killed then."""
    end = time.monotonic() + 5
    try:
        while time.monotonic() < end:
            os.killpg(group, 0)
            time.sleep(0.02)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _become(order: dict[str, Any]) -> None:
    """Run the command in this process, and end it."""
    os.setsid()
    os.chdir(order["folder"])
    os.environ.update(order["variables"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [os.open(os.devnull, os.O_RDONLY), *(os.open(path, flags, 0o600) for path in order["outputs"])]
    for number, file in enumerate(files):
        os.dup2(file, number)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if order["waits"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    if any(name.startswith("RAY_") and name != "RAY_ADDRESS" for name in order["variables"]):  # Ray read them before
        os.execv(sys.executable, [sys.executable, __file__, *order["command"]])  # noqa: S606
    _call_and_end(order["command"])


def _call_and_end(command: list[str]) -> None:
    code = 0
    try:
        _call(command)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _call(command: list[str]) -> None:
    match command:
        case ["posebed", *words]:
            from posestages.cli import main

            sys.argv = ["posebed", *words]
            main()
        case ["python", "-m", module, *words]:
            sys.argv = [module, *words]
            sys.modules.pop(module, None)  # else runpy warns that it was imported before
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["python", "-c", code]:
            exec(compile(code, "<command>", "exec"), {"__name__": "__main__"})  # noqa: S102
        case _:
            raise ValueError(f"a command must be posebed or python, but is {command}")


if __name__ == "__main__":
    if sys.argv[1:]:
        _call_and_end(sys.argv[1:])
    else:
        _serve()
