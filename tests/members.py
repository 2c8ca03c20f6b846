"""Members of runs and searches of the project in the working folder, decided, trained and asked in this process."""

from __future__ import annotations

from posebed.config import SEARCH, SearchConfig
from posebed.experiment import Experiment
from posebed.jobs.graph import name_of, training_identity_of
from posestages.benchmark import read_project
from posestages.experiments import check, member_experiment
from posestages.stage import entry
from posestages.tasks import predict_member


def experiment_of(key: str) -> Experiment:
    """The experiment of a run's first member, checked against its data."""
    project = read_project()
    seed = entry("runs", project.params.runs, key).seeds[0]
    identity = project.graph.tasks[name_of("train", key, seed)].identity
    experiment = member_experiment(project.params, key, seed, identity)
    check(experiment)
    return experiment


def searched_experiment(key: str) -> tuple[Experiment, SearchConfig]:
    """What a search varies, checked against its data, and its entry."""
    project = read_project()
    chosen = entry("searches", project.params.searches, key)
    identity = training_identity_of(project.graph.tasks[name_of("search", key)])
    experiment = member_experiment(project.params, SEARCH + key, chosen.seed, identity)
    check(experiment, "val")
    return experiment, chosen


def predict(key: str) -> None:
    """Answer the queries of the test part with a run's first member."""
    predict_member(key, read_project().params.runs[key].seeds[0])
