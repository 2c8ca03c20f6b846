"""Experiments of the project in the working directory, as tasks decide them."""

from __future__ import annotations

from posebed.config import SEARCH, SearchConfig
from posebed.contracts import SamplerSpec
from posebed.experiment import Experiment
from posebed.jobs.graph import name_of, training_identity_of
from posestages.benchmark import read_project
from posestages.experiments import check, member_experiment


def experiment_of(key: str) -> Experiment:
    """Of a run's first member, checked against its data."""
    project = read_project()
    seed = project.params.runs[key].seeds[0]
    task = project.graph.tasks[name_of("train", key, seed)]
    experiment = member_experiment(project.params, project.catalog, key, seed, task.identity)
    check(experiment)
    return experiment


def searched_experiment(key: str) -> tuple[Experiment, SearchConfig, SamplerSpec]:
    """Of an entry under ``searches:``, checked against its data; the entry, and its sampler."""
    project = read_project()
    settings, task = project.params.searches[key], project.graph.tasks[name_of("search", key)]
    experiment = member_experiment(
        project.params, project.catalog, SEARCH + key, settings.seed, training_identity_of(task)
    )
    check(experiment, "val")
    return experiment, settings, project.catalog.sampler(settings.sampler)
