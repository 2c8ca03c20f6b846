"""Experiments of the parameters' runs and searches, checked against their data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posebed.catalog import Catalog
from posebed.config import SEARCH
from posebed.contracts import Task
from posebed.data.pack import Pack
from posebed.data.splits import Split, read_split
from posebed.data.training_episodes import must_supply
from posebed.experiment import Experiment, decide
from posebed.identity import Identity
from posebed.jobs.graph import start_seed
from posebed.params import Params
from posebed.places import member_folder, pack_folder, run_folder, split_folder
from posebed.scoring.search_result import read_best

if TYPE_CHECKING:
    from posebed.training.pose_module import PoseModule


def member_experiment(
    params: Params, catalog: Catalog, key: str, seed: int, identity: Identity | None = None
) -> Experiment:
    """The experiment of one member of a run; imports the model's module and reads no data.

    Raises:
        LookupError: no run of that name, or what it starts from is not there.
    """
    run = params.place_of(key)[1]
    start = best = None
    if key in params.runs:
        run = params.runs[key]
        if run.init_from:
            start = member_folder(run.init_from, start_seed(params.runs[run.init_from], seed)) / "train"
        best = read_best(run_folder(SEARCH + run.params_from)) if run.params_from else None
    return decide(params, key, seed, catalog, split_folder(run.split), pack_folder(run.pack), start, best, identity)


def check(experiment: Experiment, part: str = "test") -> tuple[list[str], list[str]]:
    """Refuse data that the experiment cannot take. Returns what weights it takes over from another run, and what it is
    too short for, in sentences.

    Its model is built once for nothing, so that what it refuses, and weights that are not there, are known before
    anything is trained.

    Args:
        part: whose queries there must be: test, or of a search val.
    """
    from posebed.data.queries import queries_of
    from posebed.training.training_stream import training_rows
    from posebed.training.transfer import initial_model

    pack = Pack.open(experiment.pack_folder)
    setting = pack.setting()
    experiment.check_fits(setting.categories)
    split = read_split(experiment.split_folder)
    queries_of(experiment.task, pack, split, part, experiment.boxes)
    if experiment.task is Task.CATEGORY_AGNOSTIC and experiment.train.epochs:
        must_supply(pack, training_rows(pack, split), experiment.training_shots)
    model, transferred = initial_model(experiment, setting)
    return ([transferred] if transferred else []), _shortfalls(experiment, model, pack, split)


def _shortfalls(experiment: Experiment, model: PoseModule, pack: Pack, split: Split) -> list[str]:
    from posebed.training.schedule import shortfalls
    from posebed.training.training_stream import steps_per_epoch

    if not experiment.train.epochs:
        return []
    steps = steps_per_epoch(experiment, pack, split) * experiment.train.epochs
    return [*shortfalls(model, steps, experiment.train)]
