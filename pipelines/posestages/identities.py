"""Stage ``identities``: what decides the outcome of every other stage, beside its input data, as one hash each.

Settings enter by value with their defaults, code as the statements of the modules that the stage can reach, so that DVC
needs to know no source file, and a clone and an installed wheel are alike.

Usage: python -m posestages.identities
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from posebed.catalog import Entry
from posebed.config import Section, TrainConfig
from posebed.files import file_hash
from posebed.identity import Identity, flattened
from posebed.jobs.graph import ENTRIES, READS_ANSWERS
from posebed.own_json import Kind, write_json
from posebed.params import Params, read_params
from posebed.places import PARAMS
from posebed.source_code import SourceCode
from posestages import stage_times
from posestages.stage import PACKAGES, catalog_here, run_stage

FILE = Path("data/identities.json")
IDENTITIES = Kind("identities of stages")


def identities(params: Params) -> dict[str, Any]:
    """By stage, and by key where a stage is one of several, a hash."""
    catalog = catalog_here(params)
    code = SourceCode((*PACKAGES, "menagerie", *catalog.packages))

    def of(settings: Any, *entries: str) -> str:
        reached: dict[str, str] = {}
        for entry in entries:
            reached |= _reachable(code, entry)
        return Identity(flattened({"settings": settings}), code=reached).hash

    def each(section: Mapping[str, Section], stage: str) -> dict[str, str]:
        return {key: of(entry.model_dump(mode="json"), f"posestages.{stage}") for key, entry in section.items()}

    models = sorted({run.model for run in (*params.runs.values(), *params.searches.values())})
    modules = [module for model in models for module in _module(catalog.model_entry, model)]
    presets = [entry.module for entry in catalog.presets.values() if not entry.wrong]
    sources = {key: _module(catalog.dataset_entry, data.source) for key, data in params.data.items()}
    return {
        "draw": {key: of(settings, "posestages.draw") for key, settings in params.menagerie.items()},
        "prepare": {
            key: of(data.model_dump(mode="json"), "posestages.prepare", *sources[key])
            for key, data in params.data.items()
        },
        "split": each(params.splits, "split"),
        "pack": each(params.packs, "pack"),
        "benchmark": of(_benchmark(params), *_tasks(), *modules, *presets, "posestages.benchmark"),
        "report": of(
            params.model_dump(mode="json", include={"scoring", "runs", "searches", "submissions"}),
            *presets,
            "posestages.report",
        ),
    }


def _benchmark(params: Params) -> dict[str, Any]:
    """The settings that any task could depend on."""
    sections = {"models", "runs", "searches", "submissions", "scoring"}
    files = [Path(submission.file) for submission in params.submissions.values()]
    return {
        **params.model_dump(mode="json", include=sections),
        "train": TrainConfig().model_dump(mode="json"),
        "files": {file.as_posix(): file_hash(file) for file in files if file.is_file()},
    }


def _module(entry: Callable[[str], Entry], name: str) -> list[str]:
    """Of a model or source; none where it cannot be used, which is said by the task or stage that needs it."""
    try:
        return [entry(name).module]
    except LookupError:
        return []


def _reachable(code: SourceCode, entry: str) -> dict[str, str]:
    """What it reaches; of a module that is no Python, what is wrong with it."""
    try:
        return code.reachable([entry])
    except ValueError as error:
        return {entry: str(error)}


def _tasks() -> Iterable[str]:
    """Where the code of all kinds of tasks begins."""
    return (READS_ANSWERS, *(entry for entries in ENTRIES.values() for entry in entries))


def main(arguments: list[str]) -> None:
    if arguments:
        raise ValueError(f"the stage must be given no argument, but got {' '.join(arguments)}")
    stage_times.start()
    write_json(identities(read_params(PARAMS)), FILE, IDENTITIES)


if __name__ == "__main__":
    run_stage("identities", main)
