"""The command line as tests call it: in this process, which saves seconds of imports, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]


def posebed(*words: str, **environment: str) -> Done:
    """Call it in this process."""
    from posestages.cli import main

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        patch.setattr(sys, "argv", ["posebed", *words])
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    return Done(words, code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue())


def posebed_process(*words: str) -> Done:
    """Call it as a user does."""
    command = [sys.executable, "-c", "from posestages.cli import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ})


def run_at_once(code: str, folder: Path, count: int) -> None:
    """Run ``code`` in several processes whose imports are done, at the same moment; ``READY`` in it is that moment."""
    pipe, words = subprocess.PIPE, [sys.executable, "-c", code.replace("READY", "print('ready', flush=True); input()")]
    variables = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    processes = [
        subprocess.Popen(words, cwd=folder, env=variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, errors
