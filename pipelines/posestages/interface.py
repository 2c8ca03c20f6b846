"""A project in Python: its runs, results and predictions. Nothing here starts a cluster unless asked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

from posebed.listing import shortened
from posebed.params import Params, read_params
from posebed.places import PARAMS, RUNS, member_folder, prepared_folder, run_folder
from posebed.predictions import PREDICTIONS
from posebed.scoring.result import RESULT_FILE, Result, read_result
from posestages.model import Model, load_model

if TYPE_CHECKING:
    import pandas as pd

    from posebed.jobs.graph import Task
    from posestages.benchmark import Project as Tasks


class Project:
    """A folder with ``params.yaml``; made by ``Project.open`` or ``Project.create``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: str | Path = ".") -> Project:
        """Open a project.

        Raises:
            ValueError: there is no project, or its parameters have mistakes.
        """
        place = Path(folder).absolute()
        if not (place / PARAMS).is_file():
            raise ValueError(
                f"a project must be a folder with {PARAMS}, but {place} has none; name its folder, or make one by "
                "`posebed init`"
            )
        project = cls(place)
        _ = project.params
        return project

    @classmethod
    def create(cls, folder: str | Path, example: str | None = None) -> Project:
        """Make a folder a project, as ``posebed init`` does.

        Args:
            example: ``quadrupeds``, ``mixed``, ``photographs`` or ``plugin``; by default the demo.

        Raises:
            ValueError: there is no such example, or the folder holds a file that would be overwritten.
        """
        from posestages.commands.init import init

        init(Path(folder), example)
        return cls.open(folder)

    def prepare(self) -> Project:
        """Draw, prepare, split and pack the data that the parameters name, as ``dvc repro split pack`` does: what is
        done and did not change is left alone.

        Raises:
            ValueError: the data has problems; DVC's output, which is shown, says which.
        """
        # Notebooks set FORCE_COLOR, by which progress bars take a file for a terminal and draw every step anew.
        variables = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
        command = [sys.executable, "-m", "dvc", "repro", "--quiet", "split", "pack"]
        done = subprocess.run(command, cwd=self.folder, env=variables)
        if done.returncode:
            raise ValueError(f"`dvc repro split pack` must end well in {self.folder}, but ended with {done.returncode}")
        return self

    @property
    def params(self) -> Params:
        """The parameters of ``params.yaml``, read anew each time."""
        return read_params(self.folder / PARAMS)

    @property
    def runs(self) -> tuple[str, ...]:
        """Keys of the runs, and of the submissions, which have a result like theirs."""
        return tuple(self.params.scored)

    def run(self, key: str) -> Run:
        """Return the run of a key.

        Raises:
            LookupError: there is no such run.
        """
        if key not in self.runs:
            raise LookupError(f"a run must be one of {shortened(self.runs, none='none')}, but is {key!r}")
        return Run(self, key)

    def results(self) -> dict[str, Result]:
        """Return the results by key, of every run that has one."""
        return {key: self.run(key).result for key in self.runs if self.run(key).scored}

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r})"


class Run:
    """A run of a project. ``Project.run`` makes one."""

    def __init__(self, project: Project, key: str) -> None:
        self.project, self.key = project, key

    @property
    def scored(self) -> bool:
        """Whether the run has a result."""
        return (self.project.folder / run_folder(self.key) / RESULT_FILE).is_file()

    def train(self, cluster: bool = False) -> Run:
        """Train, predict and score every member of the run, on data that was prepared. What is done is not repeated.

        Args:
            cluster: work on the Ray cluster that ``RAY_ADDRESS`` names, or else on one of this machine, as ``posebed
                run`` does, instead of in this process.

        Raises:
            ValueError: data was not prepared; the run needs a search or several workers, which a cluster has; or a task
                failed.
        """
        with chdir(self.project.folder):
            if cluster:
                from posestages.benchmark import run_tasks

                if failed := run_tasks([self.key]):
                    raise ValueError(f"all tasks of {self.key} must succeed, but: {_first(failed)}")
            else:
                _do_here(self.key)
        return self

    @property
    def result(self) -> Result:
        """The result of all members together.

        Raises:
            LookupError: the run was not scored.
        """
        if not self.scored:
            raise LookupError(f"{self.key} must have a result, but has none; `train()` or `dvc repro` makes it")
        return read_result(self.project.folder / run_folder(self.key) / RESULT_FILE)

    @property
    def predictions(self) -> pd.DataFrame:
        """The predictions of every member on the test part, one row per keypoint and query: member (its seed), record,
        image, category, episode, keypoint, x, y, confidence, true_x, true_y and labelled. Coordinates are image pixels.

        Raises:
            LookupError: nothing was predicted yet.
        """
        import pandas as pd

        seeds = self.project.params.scored[self.key].seeds
        paths = {seed: self.project.folder / member_folder(self.key, seed) / PREDICTIONS for seed in seeds}
        if missing := [seed for seed, path in paths.items() if not path.is_file()]:
            raise LookupError(f"every member of {self.key} must have predictions, but seed {missing[0]} has none")
        return pd.concat([_frame(seed, path) for seed, path in paths.items()], ignore_index=True)

    def model(self, seed: int | None = None) -> Model:
        """Load the trained model of a member, by default the first.

        Raises:
            LookupError: it was not trained.
        """
        return load_model(self.key if seed is None else f"{self.key}/seed-{seed}", self.project.folder)

    def __repr__(self) -> str:
        return f"Run({self.key!r} of {self.project!r})"


def compare(results: Iterable[Result | Run]) -> pd.DataFrame:
    """Compare results in a table with one row per run, best first. Results of different protocols are never ranked
    together.

    Columns are protocol, run, model; name, value, low and high (95 % interval) of the metric that orders the protocol;
    ``above_floor``; and every other metric of the tables.

    Raises:
        LookupError: a run was not scored.
    """
    import pandas as pd

    from posebed.reporting.compare import tables

    rows: list[dict[str, object]] = []
    for table in tables(one if isinstance(one, Result) else one.result for one in results):
        for row in table.rows:
            headline = {"value": row.headline.value, "low": row.headline.low, "high": row.headline.high}
            others = dict(zip((m.name for m in table.metrics), row.values(table.metrics), strict=True))
            of = {"protocol": table.protocol.title(), "run": row.result.key, "model": row.result.model}
            rows.append({**of, "metric": row.headline.metric, **headline, "above_floor": row.difference(), **others})
    return pd.DataFrame(rows)


def _frame(seed: int, path: Path) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    from posebed.predictions import read_predictions

    table = read_predictions(path)
    names = [table.categories[place].keypoints for place in table.category]
    rows = [place for place in np.flatnonzero(table.predicted) for _ in names[place]]
    columns = [number for place in np.flatnonzero(table.predicted) for number in range(len(names[place]))]
    at = (rows, columns)
    return pd.DataFrame(
        {
            "member": seed,
            "record": table.record[rows],
            "image": table.image[rows],
            "category": [table.categories[table.category[row]].key for row in rows],
            "episode": table.episode[rows],
            "keypoint": [names[row][column] for row, column in zip(*at, strict=True)],
            "x": table.xy[at][:, 0],
            "y": table.xy[at][:, 1],
            "confidence": table.confidence[at],
            "true_x": table.truth[at][:, 0],
            "true_y": table.truth[at][:, 1],
            "labelled": table.labelled[at],
        }
    )


def _do_here(key: str) -> None:
    """The tasks of a run and of those that it starts from, one after the other in this process."""
    from posebed.jobs.outcomes import write_record
    from posestages.benchmark import must_have_data, read_project, write_index, write_metrics

    project = read_project()
    todo = [project.graph.tasks[name] for name in project.todo(project.graph.of([key]))]
    for task in todo:
        must_have_data(task)
        if task.kind == "search" or task.workers > 1:
            needs = "a search" if task.kind == "search" else f"{task.workers} workers"
            raise ValueError(f"{task.name} must be done on a cluster, as it is {needs}; use train(cluster=True)")
    for task in todo:
        started = time.perf_counter()
        _do(task, project)
        write_record(task, time.perf_counter() - started)
    RUNS.mkdir(exist_ok=True)
    write_metrics(project.params)
    write_index(project.params)


def _do(task: Task, project: Tasks) -> None:
    from posebed import provenance
    from posebed.data.stderr import caught_stderr
    from posestages.score import score
    from posestages.tasks import predict_member
    from posestages.train_without_ray import train_without_ray

    seed = task.seed or 0
    if task.kind == "train":
        with caught_stderr():  # DeepSpeed tries the linker while it is imported; notebooks show what that prints
            import posebed.training.zero  # noqa: F401  # pyright: ignore[reportUnusedImport]
        train_without_ray(task.key, seed)
    elif task.kind == "predict":
        predict_member(task.key, seed, project.catalog)
    else:
        data = project.params.splits[project.params.scored[task.key].split].data
        score(task.key, project.params, project.catalog, provenance.origin(prepared_folder(data)))


def _first(failed: dict[str, str]) -> str:
    return next(f"{name} {reason}" for name, reason in failed.items())
