"""Stage ``search``: the settings of a run that do best on its validation part.

Usage: python -m posestages.search KEY

It can be stopped and started again, and goes on with a larger budget; ``runs/search@KEY`` holds what it found.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from posebed import provenance
from posebed.config import SEARCH, SearchConfig, read_params
from posebed.data.pack import Pack
from posebed.data.splits import read_split
from posebed.experiment import Experiment, decide
from posebed.files import file_hash, writing_folder
from posebed.scoring.search_result import SearchResult, write_search
from posestages.commands.mirror import mirror
from posestages.score import LOCK
from posestages.stage import (
    PARAMS,
    entry,
    only_key,
    pack_folder,
    prepared,
    run,
    run_folder,
    split_folder,
)
from posestages.train import PACKAGES, ZOO, print_shortfalls


def searched_experiment(key: str) -> tuple[Experiment, SearchConfig]:
    """What ``params.yaml`` says under ``searches.KEY``, checked against its data."""
    from posebed.data.queries import queries_of
    from posebed.training.transfer import initial_model

    params = read_params(PARAMS)
    chosen = entry("searches", params.searches, key)
    experiment = decide(params, SEARCH + key, ZOO, split_folder(chosen.split), pack_folder(chosen.pack))
    pack = Pack.open(experiment.pack_folder)
    setting = pack.setting()
    experiment.check_fits(setting.categories)
    split = read_split(experiment.split_folder)
    queries_of(experiment.task, pack, split, "val")
    model, _ = initial_model(experiment, setting)
    print_shortfalls(experiment, model, pack, split)
    return experiment, chosen


def search(key: str) -> SearchResult:
    """Spend the budget and write ``runs/search@KEY``."""
    from posebed.jobs.cluster import connect

    # Importing the model takes seconds, and so does starting a cluster, whose processes end with their own thread.
    with ThreadPoolExecutor(1) as background:
        decided = background.submit(searched_experiment, key)
        connect(PACKAGES)
        experiment, settings = decided.result()
    from posebed.jobs.search import open_search, result_of, run_search
    from posebed.jobs.search_view import SearchView
    from posebed.reporting.search_figures import write_figures
    from posebed.reporting.search_tracking import SearchMirror

    opened = open_search(experiment, settings)
    view = SearchView(experiment.key, settings.budget, opened.trials())
    with view, SearchMirror(result_of(opened, {})) as tracking:
        run_search(opened, PACKAGES, os.environ.get("POSEBED_STORAGE"), [view, tracking])
    result = result_of(opened, _origin(experiment))
    with writing_folder(run_folder(experiment.key)) as folder:
        write_search(result, folder)
        write_figures(result, folder)
    mirror([], [result])
    return result


def _origin(experiment: Experiment) -> dict[str, str]:
    commit, dirty = provenance.commit()
    return {
        "commit": commit + (" with uncommitted changes" if dirty else ""),
        "fingerprint": experiment.fingerprint,
        "data": provenance.output_hash(prepared(experiment.data)),
        "split": provenance.output_hash(split_folder(experiment.split)),
        "lock file": file_hash(LOCK) if LOCK.is_file() else "none",
        "hardware": provenance.hardware(),
        **provenance.software(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(arguments: list[str]) -> None:
    result = search(only_key(arguments))
    best = result.best
    print(f"{result.key}: trial {best.number} of {len(result.own)} is best, validation PCK@0.2 {best.validation:.3f}:")
    for name, value in best.params.items():
        print(f"  {name}: {value}")
    print(f"Everything tried: {Path(run_folder(result.key)) / 'trials.parquet'}; study {result.study}")


if __name__ == "__main__":
    run(main)
