"""What each kind of task does. Called in the process of a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from posebed import provenance
from posebed.catalog import Catalog
from posebed.config import SEARCH
from posebed.experiment import Experiment
from posebed.files import file_hash, writing_folder
from posebed.jobs.graph import training_identity_of
from posebed.jobs.progress import TaskProgress
from posebed.jobs.worker import Request
from posebed.places import (
    LOCK_FILE,
    PROCESS_JOBS,
    member_folder,
    pack_folder,
    prepared_folder,
    run_folder,
    split_folder,
)
from posebed.provenance import Origin
from posestages.experiments import check, member_experiment


def perform(request: Request, origins: Mapping[str, Origin], tracked: bool) -> None:
    """Do the task: its outcome lies in the task's folder then.

    Args:
        origins: by the names of data, for tasks of the kind score.
        tracked: whether a search writes its trials to the tracker as they end.

    Raises:
        ValueError, LookupError: settings or data that do not fit.
    """
    if request.task.kind == "score":
        return score(request, origins)
    if request.task.kind == "search":
        return search(request, tracked)
    {"train": train, "predict": predict}[request.task.kind](request)


def train(request: Request) -> None:
    """Write the weights, learning curve and settings of one member of a run. Its checkpoints stay until the outcome is
    recorded in the project."""
    task = request.task
    experiment = member_experiment(request.params, request.catalog, task.key, task.seed or 0, task.identity)
    transferred, short = check(experiment)
    for line in (*transferred, *short):
        request.publisher.line(line)
    if not experiment.train.epochs:
        return write_untrained(experiment)

    from posebed.training.run_folder import write_trained

    if experiment.train.most_workers > 1:
        from posebed.jobs.launch import launch

        with TemporaryDirectory(prefix="posebed-") as folder:
            out = Path(folder)
            launch(experiment, request.publisher, request.workplace, request.share, request.workers, out)
            write_trained(task.folder, out, experiment, short)
        return
    from posebed.jobs.in_process import TaskLog, train_in_process

    stored = request.workplace.stored_checkpoints(experiment.job)
    log = TaskLog(PROCESS_JOBS / experiment.job, request.publisher, stored)
    train_in_process(experiment, log, request.share.cpus)
    with log.latest() as checkpoint:
        if checkpoint is None:
            raise RuntimeError(f"{task.name} must leave a checkpoint, but left none")
        write_trained(task.folder, checkpoint, experiment, short)


def write_untrained(experiment: Experiment) -> None:
    """Write the member of a run without epochs: computed from the data, or the weights of another run."""
    from posebed.training.run_folder import about_of, write_untrained
    from posebed.training.untrained import untrained_model

    state = untrained_model(experiment).state_dict()
    write_untrained(member_folder(experiment.key, experiment.seed) / "train", state, about_of(experiment))


def predict(request: Request) -> None:
    """Write ``predictions.parquet`` and ``cost.json`` of one member."""
    done = 0

    def progress(crops: int) -> None:
        nonlocal done
        done += crops
        request.publisher.tick(TaskProgress(done=done, total=None, text=f"{done} crops"))

    predict_member(request.task.key, request.task.seed or 0, request.catalog, request.share.cpus, progress)


def predict_member(
    key: str,
    seed: int,
    catalog: Catalog,
    threads: int | None = None,
    progress: Callable[[int], object] = lambda crops: None,
) -> None:
    """Answer the queries of the test part with a trained member.

    Args:
        threads: of the processor; by default as many as torch takes.
        progress: called with the number of crops that were just predicted.
    """
    import torch

    from posebed.data.pack import Pack
    from posebed.data.splits import read_split
    from posebed.inference.predict import answer
    from posebed.inference.trained_model import open_trained
    from posebed.predictions import write_predictions
    from posebed.scoring.result import write_cost
    from posebed.training.run_folder import read_about

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads or torch.get_num_threads())
    folder = member_folder(key, seed)
    about = read_about(folder / "train")
    pack, split = Pack.open(pack_folder(about["pack"])), read_split(split_folder(about["split"]))
    # A run whose weights were imported knows no categories.
    trained = open_trained(folder / "train", catalog, device, pack.setting())
    answers = answer(trained, pack, split, "test", progress)
    with writing_folder(folder / "predicted") as out:
        write_predictions(answers.predictions, out / "predictions.parquet")
        write_cost(answers.cost, out / "cost.json")


def score(request: Request, origins: Mapping[str, Origin]) -> None:
    """Write ``result.json`` of a run and of its members, or of a submission."""
    from posestages.score import score as score_run

    key, params = request.task.key, request.params
    score_run(key, params, request.catalog, origins[params.splits[params.scored[key].split].data])


def search(request: Request, tracked: bool) -> None:
    """Spend the budget and write ``runs/search@KEY``."""
    from posebed.jobs.search import Watcher, leading_search, open_search, result_of, run_search
    from posebed.jobs.search_progress import SearchProgress
    from posebed.reporting.search_figures import write_figures
    from posebed.reporting.search_mirror import MirrorProcess
    from posebed.scoring.search_result import write_search

    task, settings = request.task, request.params.searches[request.task.key]
    experiment = member_experiment(
        request.params, request.catalog, SEARCH + task.key, settings.seed, training_identity_of(task)
    )

    for line in check(experiment, "val")[1]:
        request.publisher.line(line)
    with leading_search(experiment, settings):
        opened = open_search(experiment, settings, request.catalog.sampler(settings.sampler))
        view = SearchProgress(settings.budget, opened.trials(), request.publisher)
        with ExitStack() as stack:
            watchers: list[Watcher] = [view]
            if tracked:
                mirror = MirrorProcess(result_of(opened, {}), request.publisher.line)
                watchers.append(stack.enter_context(mirror))
            run_search(opened, request.workplace, request.share, request.at_once, watchers)
    result = result_of(opened, _origin(experiment))
    with writing_folder(run_folder(experiment.key)) as folder:
        write_search(result, folder)
        write_figures(result, folder)


def _origin(experiment: Experiment) -> dict[str, str]:
    commit, dirty = provenance.commit()
    return {
        "commit": commit + (" with uncommitted changes" if dirty else ""),
        "fingerprint": experiment.fingerprint,
        "data": provenance.output_hash(prepared_folder(experiment.data)),
        "split": provenance.output_hash(split_folder(experiment.split)),
        "lock file": file_hash(LOCK_FILE) if LOCK_FILE.is_file() else "none",
        "hardware": provenance.hardware(),
        **provenance.software(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
