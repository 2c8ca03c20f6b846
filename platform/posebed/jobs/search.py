"""A search: many settings of one Experiment, each trained a while, the promising ones to their end.

Ray Tune runs the trials, Optuna proposes them, and a study remembers them; the same command after a kill, or with a
larger budget, goes on where the former one stopped.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.samplers import BaseSampler

from posebed.config import SearchConfig
from posebed.contracts import SamplerSpec
from posebed.experiment import Experiment
from posebed.jobs.cluster import worker_variables
from posebed.jobs.machines import living_nodes
from posebed.jobs.room import Share, together
from posebed.jobs.schedulers import scheduler_of
from posebed.jobs.search_space import own_setting, space_of
from posebed.jobs.study import importance, open_storage, open_study, study_name, trial_of, trials_of
from posebed.jobs.study_lock import leading
from posebed.jobs.suggest import Running, StudySearch
from posebed.jobs.trial_messages import Assignment, trial_name
from posebed.jobs.workplace import Workplace
from posebed.places import RAY_JOBS
from posebed.scoring.search_result import SearchResult, Trial
from posebed.space import Choice, Dimension, LogUniform, Space, Steps, When
from posebed.storage import StorageError

# Read by Tune: no files per trial beside ours, no tables beside ours, no report that comes too late to stop a trial;
# reports without a validation, such as that of the cost, are allowed.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_RESULT_BUFFER_LENGTH", "1")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
# The study is what outlives the process: Tune's own state, which it would write every ten seconds, is never restored.
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "inf")
# A trial with several workers waits for its job and hears of no stop: its process is ended then, and with it the job.
os.environ.setdefault("TUNE_FORCE_TRIAL_CLEANUP_S", "5")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")

from ray import tune  # isort: skip  # after cluster, which sets the variables that Ray reads

from posebed.jobs.trial import WarmTrial, train_with_workers  # isort: skip


class Watcher(Protocol):
    """Whoever wants to know how a search goes; called on this process."""

    def trial(self, trial: Trial) -> None:
        """A trial has ended."""

    def running(self, trials: Sequence[Running]) -> None:
        """How far those under way are."""


@dataclass(frozen=True)
class Search:
    """A search whose study is open."""

    experiment: Experiment
    settings: SearchConfig
    space: Space
    study: optuna.Study
    trainable: type[tune.Trainable] | Callable[[dict[str, Any]], None]
    """What Tune makes or calls for each trial, with the dictionary of an ``Assignment``."""
    proposer: SamplerSpec

    def sampler(self) -> BaseSampler:
        """Seeded anew by how many trials there are, so that a search that goes on does not draw again what it drew at
        its start.

        Raises:
            ValueError: the proposer makes no sampler.
        """
        made = self.proposer.make(self.settings.seed + len(self.trials()), self.space)
        if not isinstance(made, BaseSampler):
            raise ValueError(
                f"sampler {self.settings.sampler} must make an optuna.samplers.BaseSampler, but makes a "
                f"{type(made).__name__}"
            )
        return made

    def trials(self) -> tuple[Trial, ...]:
        """Those that have ended, and those learnt from."""
        return trials_of(self.study, self.space)


def open_search(experiment: Experiment, settings: SearchConfig, proposer: SamplerSpec) -> Search:
    """Check what is to be searched, and open its study.

    Raises:
        LookupError: a study to learn from is not there.
        ValueError: the space names what is no parameter or value.
    """
    space = space_of(experiment, settings)
    name = study_name(experiment, space, settings.cost)
    study = open_study(name, open_storage(), space=space, own_setting=own_setting(experiment, space), settings=settings)
    trainable = train_with_workers if experiment.train.most_workers > 1 else WarmTrial
    return Search(
        experiment=experiment, settings=settings, space=space, study=study, trainable=trainable, proposer=proposer
    )


def leading_search(experiment: Experiment, settings: SearchConfig) -> AbstractContextManager[None]:
    """Within it, no other command opens the same search to run it; entered before ``open_search``, which reads what
    trials are under way.

    Raises:
        ValueError: another command does.
    """
    return leading(study_name(experiment, space_of(experiment, settings), settings.cost), open_storage().engine)


def run_search(search: Search, workplace: Workplace, share: Share, at_once: int, watchers: Sequence[Watcher]) -> None:
    """Try settings until the budget is spent.

    Args:
        workplace: of the trials.
        share: what each worker of a trial takes.
        at_once: trials at a time, at most.

    Raises:
        ValueError: the cluster needs a storage that its nodes share; or the search was interrupted.
    """
    place = places(search, share)
    name, tune_folder = f"{search.study.study_name}-{int(time.time())}", (RAY_JOBS / "tune").absolute()
    algorithm = _algorithm(search, place, workplace, watchers)
    tuner = tune.Tuner(
        tune.with_resources(search.trainable, place.resources),  # pyright: ignore[reportUnknownMemberType]
        tune_config=tune.TuneConfig(
            search_alg=algorithm,
            scheduler=scheduler_of(search.settings, search.experiment.train.epochs, search.trials()),
            num_samples=-1,
            max_concurrent_trials=min(at_once, place.at_once),
            # A stopped trial with several workers, which is a function, still waits for its job; Tune would fail the
            # next trial in its place.
            reuse_actors=isinstance(search.trainable, type),
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(tune_folder),
            # Trials keep their own: Tune would write its own from every machine into the folder of this one.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,  # no callbacks either: to count them, Ray would import MLflow and other trackers
        ),
    )
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)  # it misses Tune's own files
    tuner.fit()
    if not algorithm.finished:
        # Tune takes an interrupt for an end. What is under way keeps its checkpoints.
        raise ValueError(
            f"{search.experiment.key} must spend its budget, but was interrupted after {len(search.trials())} trials; "
            "the same command goes on with it"
        )
    _forget(search.study.study_name, workplace)
    for former in tune_folder.glob(f"{search.study.study_name}-*"):  # of this process, and of those that were killed
        shutil.rmtree(former, ignore_errors=True)


def _forget(job: str, workplace: Workplace) -> None:
    """A storage that does not answer now ends no search; ``posebed gc`` removes what stays."""
    with suppress(StorageError):
        workplace.forget(job)


@dataclass(frozen=True)
class Places:
    """What trials ask of the cluster, and how many of them it holds at once."""

    resources: dict[str, float]
    """Of the actor that Tune starts for a trial."""
    at_once: int
    share: Share
    """Of each worker."""


def places(search: Search, share: Share) -> Places:
    """A trial with one worker trains in its actor, on a part of an accelerator if so wanted. One with several starts
    workers that Tune knows nothing of: its own actor takes next to nothing (Tune refuses nothing at all), and only so
    many run as there is room for."""
    workers = search.experiment.train.most_workers
    gpus = search.settings.resources.gpus
    total = together([node.room for node in living_nodes()])
    if workers > 1:
        room = total.gpus if share.accelerator else total.cpus // share.cpus
        return Places({"memory": 1}, max(1, int(room // workers)), share)
    if share.accelerator:
        at_once = min(int(total.gpus / gpus + 1e-9), int(total.cpus))
        return Places({"CPU": 1, "GPU": gpus}, max(1, at_once), share)
    return Places({"CPU": share.cpus}, max(1, int(total.cpus // share.cpus)), share)


def _algorithm(search: Search, place: Places, workplace: Workplace, watchers: Sequence[Watcher]) -> StudySearch:
    variables, study = worker_variables(place.share.accelerator), search.study.study_name

    def configured(varied: Experiment, number: int) -> dict[str, Any]:
        assigned = Assignment(
            experiment=varied,
            number=number,
            workplace=workplace,
            study=study,
            share=place.share,
            cost=search.settings.cost,
            variables=variables,
        )
        return assigned.for_tune()

    def ended(number: int) -> None:
        trial = trial_of(search.study, search.space, number)
        for watcher in watchers:
            watcher.trial(trial)
        _forget(f"{study}/{trial_name(number)}", workplace)

    def heard(trials: Sequence[Running]) -> None:
        for watcher in watchers:
            watcher.running(trials)

    return StudySearch(
        experiment=search.experiment,
        space=search.space,
        settings=search.settings,
        study=search.study,
        sampler=search.sampler(),
        configure=configured,
        ended=ended,
        heard=heard,
    )


def result_of(search: Search, origin: dict[str, str]) -> SearchResult:
    """Everything that the search knows by now."""
    experiment, settings = search.experiment, search.settings
    about = experiment.described()
    copied = ("task", "data", "split", "pack", "seed")
    chosen = ("budget", "sampler", "scheduler", "grace", "reduction", "warm_start")
    return SearchResult(
        key=experiment.key,
        study=search.study.study_name,
        model=experiment.model,
        judged_by=experiment.train.judged_by,
        **{name: about[name] for name in copied},
        settings=settings.model_dump(mode="json", include=set(chosen)) | {"epochs": experiment.train.epochs},
        space={name: describe(dimension) for name, dimension in search.space.items()},
        cost=settings.cost or "",
        trials=search.trials(),
        importance=importance(search.study),
        workers=experiment.train.most_workers,
        origin=origin,
    )


def describe(dimension: Dimension) -> str:
    """A dimension in words."""
    if isinstance(dimension, When):
        return f"{describe(dimension.then)} where {dimension.name} is {_listed(dimension.values)}"
    if isinstance(dimension, Choice):
        return _listed(dimension.values)
    how = ", logarithmic" if isinstance(dimension, LogUniform) else ""
    if isinstance(dimension, Steps):
        how = f", in steps of {dimension.step:g}"
    return f"{dimension.low:g} to {dimension.high:g}{how}"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
