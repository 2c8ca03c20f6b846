"""The MLflow mirror of runs.

``runs/KEY/result.json`` is the truth. A run is found again by its fingerprint and no line is written twice, so
that a lost tracker is refilled by logging every result once more. A run with several members is a parent, with a
nested run for each member.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from posebed.files import file_hash
from posebed.reporting.mlflow_client import Client
from posebed.reporting.trace import Tracked
from posebed.scoring.result import Epoch, Result, read_result, result_text

from mlflow.entities import (  # isort: skip  # after mlflow_client, which sets what MLflow reads
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
)

EXPERIMENT = "posebed"
FINGERPRINT = "posebed.fingerprint"
CHECKPOINT = "checkpoint.sha256"
"""A tag that runs with a result have, and no others."""
RESULT = "result.json"
"""The artifact that holds everything a run found out."""
TABLE = "predictions.parquet"
"""The artifact that holds what it predicted."""
PREDICTIONS = "predictions.sha256"
"""A tag that runs with that artifact have."""
PARENT = "mlflow.parentRunId"
"""A tag that nested runs have."""
PER_PAGE = 500
"""Runs in one answer to a search."""
PER_CALL = 100
"""Entities in one batch: the tracker takes 1000 metrics but only 100 params or tags."""


class Tracker:
    """Writes runs to the tracking server at ``uri``, and reads their results back. What the server does not do raises
    ``mlflow_client.TrackerError``."""

    def __init__(self, uri: str | None = None, reading: bool = False) -> None:
        """
        Args:
            reading: nothing may be made at the address.
        """
        self._client = Client(uri, reading)

    @property
    def address(self) -> str:
        """The URI without user and password."""
        return self._client.address

    @cached_property
    def _experiment(self) -> str:
        return self._client.opened_experiment(EXPERIMENT)

    def open(self, key: str, fingerprint: str) -> str:
        """The id of the run with this fingerprint, made if there is none."""
        present = self._find(self._experiment, fingerprint)
        if present is not None:
            return present
        tags = {FINGERPRINT: fingerprint}
        return self._client.create_run(self._experiment, tags=tags, run_name=key).info.run_id

    def _find(self, experiment: str, fingerprint: str) -> str | None:
        """The id of the newest run with this fingerprint."""
        wanted = f"tags.`{FINGERPRINT}` = '{fingerprint}'"
        runs = self._client.search_runs([experiment], wanted, max_results=1)
        return runs[0].info.run_id if runs else None

    def log_curve(self, run: str, curve: Iterable[Epoch]) -> None:
        """Write the epochs that the run does not have yet."""
        done = int(self._client.get_run(run).data.metrics.get("epoch", 0))
        now = int(time.time() * 1000)
        self._write(run, [m for line in curve if line.epoch > done for m in _epoch_metrics(line, now)])

    def log_members(self, result: Result, members: Iterable[tuple[Result, Path | None]]) -> str:
        """Write a run with several members and return its id. Members are written first, so that a run that is finished
        is whole.

        Args:
            members: their own results, each with its table of predictions, if that is there.
        """
        parent = self.open(result.key, result.fingerprint)
        for member, predictions in members:
            self.log_result(member, predictions, parent)
        return self.log_result(result)

    def log_result(self, result: Result, predictions: Path | None = None, parent: str | None = None) -> str:
        """Write everything a result knows that the tracker does not, and close the run; returns its id.

        Args:
            predictions: the table of a run of one seed, if it is there.
            parent: of a member, the id of the run that it belongs to.
        """
        run = self.open(result.key if parent is None else f"{result.key} seed {result.seed}", result.fingerprint)
        self.log_curve(run, result.curve)
        known = self._client.get_run(run)
        now, last = int(time.time() * 1000), len(result.curve)
        final = {s.metric: s.value for s in result.scores}
        final |= {f"{s.metric}/low": s.low for s in result.scores} | {f"{s.metric}/high": s.high for s in result.scores}
        final |= {f"{s.metric}/spread": s.spread for s in result.scores if s.spread is not None}
        final |= {f"cost/{name}": float(v) for name, v in result.cost if isinstance(v, int | float)}
        fresh = {metric_name(k): v for k, v in final.items() if known.data.metrics.get(metric_name(k)) != v}
        self._write(run, [Metric(name, value, now, last) for name, value in fresh.items()])
        params = {k: v for k, v in _params(result).items() if k not in known.data.params}
        self._write(run, [Param(name, value[:6000]) for name, value in params.items()])
        self._write(run, [RunTag(name, value[:8000]) for name, value in _tags(result, parent).items()])
        if parent is None and PARENT in known.data.tags:
            self._client.delete_tag(run, PARENT)
        if not (known.inputs and known.inputs.dataset_inputs):
            self._client.log_inputs(run, [_dataset(result)])
        self._client.log_text(run, result_text(result), RESULT)
        if predictions and known.data.tags.get(PREDICTIONS) != (digest := file_hash(predictions)):
            self._client.log_artifact(run, str(predictions))
            self._client.set_tag(run, PREDICTIONS, digest)
        self._client.set_terminated(run)
        return run

    def results(self) -> list[tuple[Result, Tracked]]:
        """Every result that was logged, and where; of several runs with one fingerprint the newest. Writes nothing."""
        experiment = self._client.experiment_id(EXPERIMENT)
        if experiment is None:
            return []
        newest: dict[str, Run] = {}
        for run in self._finished(experiment):
            newest.setdefault(run.data.tags[FINGERPRINT], run)
        return [
            (self._result(run.info.run_id), Tracked(run=run.info.run_id, tracker=self.address))
            for run in newest.values()
        ]

    def _finished(self, experiment: str) -> Iterator[Run]:
        """Runs with a result, without their members, page by page, the newest first."""
        page: str | None = None
        wanted = f"attributes.status = 'FINISHED' and tags.`{CHECKPOINT}` != '' and tags.`{FINGERPRINT}` != ''"
        while page != "":
            runs = self._client.search_runs(
                [experiment], wanted, max_results=PER_PAGE, order_by=["attributes.start_time DESC"], page_token=page
            )
            yield from (run for run in runs if PARENT not in run.data.tags)
            page = runs.token or ""

    def _result(self, run: str) -> Result:
        with TemporaryDirectory() as folder:
            return read_result(Path(self._client.download_artifacts(run, RESULT, folder)), named=False)

    def predictions(self, run: str, folder: Path) -> Path | None:
        """The table of predictions that was logged with a run, brought into the folder; None where there is none."""
        if PREDICTIONS not in self._client.get_run(run).data.tags:
            return None
        return Path(self._client.download_artifacts(run, TABLE, mkdtemp(dir=folder)))

    def member_predictions(self, result: Result, run: str, folder: Path) -> list[Path]:
        """The tables of predictions of a result's members, brought into the folder; empty where one is not there.

        Args:
            run: the id of the run that the result was read from.
        """
        experiment = self._client.experiment_id(EXPERIMENT)
        if len(result.seeds) == 1:
            runs: list[str | None] = [run]
        else:
            runs = [self._find(experiment, m.fingerprint) if experiment else None for m in result.members]
        tables: list[Path] = []
        for member in runs:
            table = self.predictions(member, folder) if member else None
            if table is None:
                return []
            tables.append(table)
        return tables

    def _write(self, run: str, entities: list[Any]) -> None:
        for start in range(0, len(entities), PER_CALL):
            part = entities[start : start + PER_CALL]
            self._client.log_batch(
                run,
                metrics=[e for e in part if isinstance(e, Metric)],
                params=[e for e in part if isinstance(e, Param)],
                tags=[e for e in part if isinstance(e, RunTag)],
            )


def metric_name(metric: str) -> str:
    """A metric's name in the letters that MLflow allows: ``PCK@0.2`` becomes ``PCK_0.2``."""
    return re.sub(r"[^\w\-. :/]", "_", metric)


def _epoch_metrics(line: Epoch, now: int) -> list[Metric]:
    values = {
        "loss": line.loss,
        "learning_rate": line.learning_rate,
        "images_per_second": line.images_per_second,
        "waiting": line.waiting,
        **{f"loss/{name}": value for name, value in line.losses.items()},
        **{f"system/{name}": value for name, value in line.system.items()},
    }
    if line.validation is not None:
        values[f"validation/{line.judged_by}"] = line.validation
    # Last, since it tells how far the run was written: a batch that fails leaves the epoch to be written again.
    values["epoch"] = float(line.epoch)
    return [Metric(metric_name(name), value, now, line.epoch) for name, value in values.items()]


def _params(result: Result) -> dict[str, str]:
    flat = {"model": result.model, "task": result.task, "data": result.data, "split": result.split}
    flat |= {"pack": result.pack}
    flat |= {"seed": str(result.seed)} if len(result.seeds) == 1 else {"seeds": " ".join(map(str, result.seeds))}
    return flat | _flat("config", result.config) | _flat("train", result.train)


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        dotted = f"{prefix}.{name}"
        flat |= _flat(dotted, value) if isinstance(value, Mapping) else {dotted: str(value)}
    return flat


def _tags(result: Result, parent: str | None) -> dict[str, str]:
    origin = result.provenance
    return {
        "mlflow.source.git.commit": origin.commit,
        "git.dirty": str(origin.dirty),
        "data.hash": origin.data_hash,
        "split.hash": origin.split_hash,
        "episodes.hash": origin.episodes_hash or "none",
        "lock.hash": origin.lock_hash,
        "checkpoint": origin.checkpoint,
        CHECKPOINT: origin.checkpoint_hash,
        "hardware": origin.hardware,
        **({"submitted": "True"} if result.submitted else {}),
        **({PARENT: parent} if parent else {}),
        **{f"protocol.{name}": value for name, value in result.protocol.items()},
    }


def _dataset(result: Result) -> DatasetInput:
    digest = result.provenance.data_hash[:36]
    return DatasetInput(
        Dataset(name=result.data, digest=digest, source_type="dvc", source=f"data/prepared/{result.data}"),
        tags=[InputTag("split", result.split), InputTag("mlflow.data.context", "training")],
    )
