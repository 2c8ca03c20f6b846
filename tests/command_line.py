"""The command line as tests call it: in this process, which saves seconds of imports, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

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
