"""The MLflow mirror of searches: a parent run per study, a child per trial.

The study is the truth. Trials are written once they have ended, by a process beside the search (``search_mirror``), so
that a slow tracker holds up no search; what it could not take is written at the end, or by `posebed track`. A finished
search lies with its parent as the files that it also is in a folder.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from posebed.reporting.mlflow_client import Client, TrackerError
from posebed.reporting.tracking import PARENT, PER_CALL, PER_PAGE, metric_name
from posebed.scoring.search_result import SearchResult, Trial, read_search, spent, write_search

from mlflow.entities import Metric, Param, Run, RunTag  # isort: skip  # after mlflow_client, which sets what MLflow reads

EXPERIMENT = "posebed-searches"
STUDY, TRIAL = "posebed.study", "posebed.trial"
FINISHED = "posebed.finished"
"""A tag that parents have whose search was written in full, and no others: when it was."""
FILES = "search"
"""The artifacts that hold everything a search found out."""
ENDS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
"""States of trials as MLflow's states of runs."""


class SearchTracker:
    """Writes one search to the tracking server."""

    def __init__(self, search: SearchResult, uri: str | None = None) -> None:
        """
        Args:
            search: as far as it is known.

        Raises:
            TrackerError: the server does not do what it should, as in every method.
        """
        self._search, self._client = search, Client(uri)
        self._experiment = self._client.opened_experiment(EXPERIMENT)
        self._tags = {STUDY: search.study, **{n: getattr(search, n) for n in ("model", "data", "split", "task")}}
        wanted = f"tags.`{STUDY}` = '{search.study}'"
        runs = {run.data.tags.get(TRIAL): run for run in _runs(self._client, self._experiment, wanted)}
        self._parent = runs[None].info.run_id if None in runs else self._new_parent()
        self._client.update_run(self._parent, status="RUNNING")
        self._unfinished = {n: run for n, run in runs.items() if run.info.status == "RUNNING"}
        self._done = {n for n in runs if n not in self._unfinished}

    def _new_parent(self) -> str:
        """What a larger budget does not change is written once and for all."""
        search = self._search
        start = min((_milliseconds(trial.started) for trial in search.own), default=None)
        run = self._client.create_run(self._experiment, start, tags=self._tags, run_name=search.key).info.run_id
        settled = {"seed": search.seed, **search.settings, **{f"space.{n}": words for n, words in search.space.items()}}
        params = [Param(name, str(value)[:6000]) for name, value in settled.items() if name != "budget"]
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
        facts = {"state": trial.state, "failed": trial.failed, "notes": " ".join(trial.notes), "from": trial.source}
        facts = {name: value[:8000] for name, value in facts.items() if value}
        begun = self._unfinished.get(str(trial.number))
        run = begun or self._client.create_run(
            self._experiment,
            start_time=_milliseconds(trial.started),
            tags=self._tags | {PARENT: self._parent, TRIAL: str(trial.number)} | facts,
            run_name=f"{self._search.key} trial {trial.number}",
        )
        self._unfinished[str(trial.number)] = run
        identity, end = run.info.run_id, _milliseconds(trial.ended)
        curve = () if begun and begun.data.metrics else trial.curve[-400:]
        validation = metric_name(f"validation/{self._search.judged_by}")
        metrics = [Metric(validation, m.validation, end, m.epoch) for m in curve]
        metrics += [Metric("device_seconds", m.device_seconds, end, m.epoch) for m in curve]
        metrics += [] if trial.cost is None else [Metric(self._search.cost, trial.cost, end, 0)]
        self._client.log_batch(
            identity,
            metrics=metrics,
            params=[Param(name, str(value)[:6000]) for name, value in trial.params.items()],
            tags=[RunTag(name, value) for name, value in facts.items()] if begun else [],
        )
        self._client.set_terminated(identity, ENDS[trial.state], end)

    def close(self, search: SearchResult) -> None:
        """Write the trials that are missing, what all came to together and the search's files, and end the parent."""
        self.log(search.trials)
        best, budget = search.best, search.settings["budget"]
        values = {f"spent/{name}": value for name, value in spent(search.own).items()}
        values |= {
            metric_name(f"best/validation/{search.judged_by}"): best.validation or 0.0,
            "best/trial": best.number,
        }
        end = _milliseconds(max(trial.ended for trial in search.own))
        self._client.log_batch(
            self._parent,
            metrics=[Metric(name, float(value), end, 0) for name, value in values.items()],
            tags=[RunTag(f"budget.{name}", f"{limit:g}") for name, limit in budget.items() if limit],
        )
        with TemporaryDirectory() as folder:
            write_search(search, Path(folder))
            self._client.log_artifacts(self._parent, folder, FILES)
        self._client.set_terminated(self._parent, end_time=end)
        # Last, since it tells that the search can be read back.
        self._client.set_tag(self._parent, FINISHED, search.origin.get("created", "now"))


def _runs(client: Client, experiment: str, wanted: str) -> list[Run]:
    """All runs that fit, page by page."""
    runs: list[Run] = []
    page: str | None = None
    while page != "":
        batch = client.search_runs([experiment], wanted, max_results=PER_PAGE, page_token=page)
        runs += batch
        page = batch.token or ""
    return runs


def tracked_searches(uri: str | None = None) -> list[SearchResult]:
    """Every finished search of a tracking server. Writes nothing.

    Raises:
        TrackerError: the server does not do what it should.
    """
    client = Client(uri, reading=True)
    experiment = client.experiment_id(EXPERIMENT)
    if experiment is None:
        return []
    parents = _runs(client, experiment, f"tags.`{FINISHED}` != ''")
    with TemporaryDirectory() as folder:
        fetched = (Path(client.download_artifacts(run.info.run_id, FILES, folder)) for run in parents)  # one by one
        return [read_search(place, named=False) for place in fetched]


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000) if time else 0


class SearchMirror:
    """Hands ended trials to the tracker on a thread of its own, so that a slow tracker keeps none waiting."""

    def __init__(self, search: SearchResult, warn: Callable[[str], object] = print) -> None:
        """
        Args:
            search: as it stood before; trials that the tracker lacks are written first.
            warn: told once where the tracker does not take them.
        """
        self._search, self._warn = search, warn
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
        self._queue.put(trial)

    def running(self, trials: Sequence[Any]) -> None:
        """Only trials that ended are tracked."""

    def _work(self) -> None:
        """Write all that waits at once; what the tracker did not take waits for the next trial."""
        waiting, going = list(self._search.trials), True
        while going:
            if self._written(waiting):
                waiting.clear()
            ended = [self._queue.get()]
            while not self._queue.empty():
                ended.append(self._queue.get())
            going = None not in ended
            waiting += [trial for trial in ended if trial]
        self._written(waiting)

    def _written(self, trials: Sequence[Trial]) -> bool:
        try:
            self._tracker = self._tracker or SearchTracker(self._search)
            self._tracker.log(trials)
        except TrackerError as error:
            if not self._warned:
                self._warn(f"trials could not be tracked and are written later: {error}")
            self._warned = True
            return False
        return True
