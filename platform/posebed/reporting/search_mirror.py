"""The tracker's mirror of a search in a process of its own.

MLflow's client takes as much time for a trial as Ray Tune does. In the process of the search it would hold up the next
trial, and its imports the first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import IO, Any

from posebed.scoring.search_result import SearchResult, Trial

END = "\n"
"""The line that ends a search; without it the search was killed."""


class MirrorProcess:
    """Hands ended trials to the tracker. Neither a tracker that fails nor the end of the process stops a search. Where
    the search is killed the process ends with it, since a successor would write the same trials."""

    def __init__(self, search: SearchResult, warn: Callable[[str], object] = print) -> None:
        """
        Args:
            search: as it stood before; trials that the tracker lacks are written first.
            warn: told once where the tracker does not take them.
        """
        self._search, self._warn = search, warn

    def __enter__(self) -> MirrorProcess:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            # Modules of a cluster's job lie where this process alone looks.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # an interrupt of the search must not cut it short
        )
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()
        self._send(self._search)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it has ended before
            self._lines.write(END)
            self._lines.close()
        self._listener.join()
        if self._process.wait():
            self._warn("trials could not all be tracked and are written later: the tracker's process ended early")

    def trial(self, trial: Trial) -> None:
        self._send(trial)

    def running(self, trials: Sequence[Any]) -> None:
        """Only trials that ended are tracked."""

    @property
    def _lines(self) -> IO[str]:
        assert self._process.stdin
        return self._process.stdin

    def _send(self, message: SearchResult | Trial) -> None:
        with suppress(OSError):  # it has ended before, which is told at the end
            self._lines.write(message.model_dump_json() + "\n")
            self._lines.flush()

    def _listen(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._warn(line.rstrip("\n"))


def main() -> None:
    """Read a search and then the trials that end, one JSON per line, and write them to the tracker. What it prints are
    warnings."""
    from posebed.reporting.search_tracking import SearchMirror

    search = SearchResult.model_validate_json(sys.stdin.readline())
    with SearchMirror(search, _say) as mirror:
        for line in iter(sys.stdin.readline, END):
            if not line.endswith("\n"):  # the last one may have been cut
                os._exit(1)  # at once: the mirror would write all that waits
            mirror.trial(Trial.model_validate_json(line))


def _say(line: str) -> None:
    print(" ".join(line.splitlines()), flush=True)


if __name__ == "__main__":
    main()
