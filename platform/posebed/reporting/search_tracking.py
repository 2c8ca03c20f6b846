"""The MLflow mirror of searches: a parent run per study, a child per trial.

The study is the truth. Trials are written by a thread of the driver once they have ended, so that a slow tracker holds
up no search; what it could not take is written at the end, or by `posebed track`.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from posebed.reporting.tracking import PER_CALL, PER_PAGE, Unreachable, tracking_uri
from posebed.scoring.search_result import SearchResult, Trial, spent

from mlflow import MlflowClient  # isort: skip  # after tracking, which sets what MLflow reads
from mlflow.entities import Metric, Param, Run, RunTag  # isort: skip

EXPERIMENT = "posebed-searches"
STUDY, TRIAL = "posebed.study", "posebed.trial"
PARENT = "mlflow.parentRunId"
ENDS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
"""States of trials as MLflow's states of runs."""


class SearchTracker:
    """Writes one search to the tracking server."""

    def __init__(self, search: SearchResult, uri: str | None = None) -> None:
        """
        Args:
            search: its trials are not looked at.

        Raises:
            Unreachable: the server does not answer.
        """
        self._search, self._client = search, MlflowClient(tracking_uri(uri))
        found = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        self._tags = {STUDY: search.study, **{n: getattr(search, n) for n in ("model", "data", "split", "task")}}
        runs = {run.data.tags.get(TRIAL): run for run in self._runs()}
        self._parent = runs[None].info.run_id if None in runs else self._new_parent()
        self._unfinished = {n: run for n, run in runs.items() if run.info.status == "RUNNING"}
        self._done = {n for n in runs if n not in self._unfinished}

    def _runs(self) -> list[Run]:
        """The parent and all children."""
        runs, page, wanted = [], None, f"tags.`{STUDY}` = '{self._search.study}'"
        while True:
            found = self._client.search_runs([self._experiment], wanted, max_results=PER_PAGE, page_token=page)
            runs += found
            page = found.token
            if not page:
                return runs

    def _new_parent(self) -> str:
        search = self._search
        run = self._client.create_run(self._experiment, tags=self._tags, run_name=search.key).info.run_id
        settled = {"seed": search.seed, **search.settings, **{f"space.{n}": words for n, words in search.space.items()}}
        params = [Param(name, str(value)[:6000]) for name, value in settled.items()]
        for start in range(0, len(params), PER_CALL):
            self._client.log_batch(run, params=params[start : start + PER_CALL])
        return run

    def log(self, trials: Sequence[Trial]) -> None:
        """Write the trials that the server does not have in full yet."""
        for trial in trials:
            if str(trial.number) not in self._done:
                self._log(trial)
                self._done.add(str(trial.number))

    def _log(self, trial: Trial) -> None:
        begun = self._unfinished.get(str(trial.number))
        run = begun or self._client.create_run(
            self._experiment,
            start_time=_milliseconds(trial.started),
            tags=self._tags | {PARENT: self._parent, TRIAL: str(trial.number)},
            run_name=f"{self._search.key} trial {trial.number}",
        )
        self._unfinished[str(trial.number)] = run
        identity, end = run.info.run_id, _milliseconds(trial.ended)
        curve = () if begun and begun.data.metrics else trial.curve[-400:]
        metrics = [Metric("validation/PCK_0.2", m.validation, end, m.epoch) for m in curve]
        metrics += [Metric("device_seconds", m.device_seconds, end, m.epoch) for m in curve]
        metrics += [] if trial.cost is None else [Metric(self._search.cost, trial.cost, end, 0)]
        said = {"state": trial.state, "failed": trial.failed, "notes": " ".join(trial.notes), "from": trial.source}
        self._client.log_batch(
            identity,
            metrics=metrics,
            params=[Param(name, str(value)[:6000]) for name, value in trial.params.items()],
            tags=[RunTag(name, value[:8000]) for name, value in said.items() if value],
        )
        self._client.set_terminated(identity, ENDS[trial.state], end)

    def close(self, trials: Sequence[Trial]) -> None:
        """Write what all trials came to together, and end the parent."""
        done = [t for t in trials if t.state == "complete"]
        best = max(done, key=lambda t: t.validation or 0.0, default=None)
        values = {f"spent/{name}": value for name, value in spent([t for t in trials if not t.source]).items()}
        values |= {"best/validation/PCK_0.2": best.validation or 0.0, "best/trial": best.number} if best else {}
        now = _milliseconds(max((t.ended for t in trials), default=""))
        self._client.log_batch(self._parent, metrics=[Metric(n, float(v), now, 0) for n, v in values.items()])
        self._client.set_terminated(self._parent)


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000) if time else 0


class SearchMirror:
    """Hands ended trials to the tracker on a thread of its own. A tracker out of reach stops no search."""

    def __init__(self, search: SearchResult) -> None:
        """
        Args:
            search: as it stood before; trials that the tracker lacks are written first.
        """
        self._search, self._trials = search, list(search.trials)
        self._queue: queue.SimpleQueue[Trial | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._tracker: SearchTracker | None = None
        self._warned = False

    def __enter__(self) -> SearchMirror:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()

    def trial(self, trial: Trial) -> None:
        self._trials.append(trial)
        self._queue.put(trial)

    def running(self, trials: Sequence[Any]) -> None:
        """Only trials that ended are tracked."""

    def _work(self) -> None:
        self._write(self._trials[:])
        while (trial := self._queue.get()) is not None:
            self._write([trial])
        if self._write(self._trials) and self._tracker:
            self._tracker.close(self._trials)

    def _write(self, trials: Sequence[Trial]) -> bool:
        try:
            self._tracker = self._tracker or SearchTracker(self._search)
            self._tracker.log(trials)
        except Unreachable as error:
            if not self._warned:
                print(f"the tracker is out of reach; trials are written to it later: {error}", file=sys.stderr)
            self._warned = True
            return False
        return True
