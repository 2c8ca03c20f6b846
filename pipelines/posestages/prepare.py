"""Reads one dataset, refuses or drops what breaks a rule, and writes the one table that every stage works on."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from posebed.annotations.checks import summary
from posebed.config import DataConfig
from posebed.files import FILES, file_hashes, writing_folder
from posebed.forms import sentence
from posebed.own_json import write_json
from posebed.params import Params, read_params
from posebed.places import PARAMS, prepared_folder
from posebed.records import (
    PREPARED,
    PREPARED_FILES,
    Dataset,
    write_categories,
    write_hashes,
    write_problems,
    write_records,
)
from posestages import stage


def prepare(params: Params, key: str, out: Path) -> None:
    """Write records.parquet, pictures.parquet, categories.json, problems.csv and about.json of ``data.KEY`` to ``out``.

    Raises:
        ValueError: the options are wrong, or the data is refused; what was at ``out`` stays.
        LookupError: there is no such entry or source.
    """
    config = stage.entry("data", params.data, key)
    dataset = read(config, f"data.{key}")
    _must_be_sound(dataset, config, key)
    with writing_folder(out) as folder:
        write_records(dataset.records, folder / "records.parquet")
        write_hashes(dataset.hashes, folder / "pictures.parquet")
        write_categories(dataset.categories, folder / "categories.json")
        write_problems(dataset.problems, folder / "problems.csv")
        about = _about(dataset) | {FILES: file_hashes(folder, PREPARED_FILES)}
        write_json(about, folder / "about.json", PREPARED)
    print(f"data.{key}: {len(dataset.records)} of {dataset.checked} records kept")
    for note in dataset.notes:
        print(f"data.{key}: note: {note}")


def read(config: DataConfig, where: str) -> Dataset:
    """The dataset that an entry under ``data:`` describes; ``where`` names it in errors.

    Raises:
        ValueError: the options are wrong, or the data is not there.
        LookupError: there is no such source.
    """
    spec = stage.catalog_here().dataset(config.source)
    try:
        options = spec.options.model_validate(config.options)
    except ValidationError as error:
        raise ValueError(sentence(error, f"{where}.options")) from error
    return spec.read(options, Path(config.path))


def _must_be_sound(dataset: Dataset, config: DataConfig, key: str) -> None:
    """Raise where problems must not be dropped. Those of a whole file never are: nobody could count what they cost."""
    whole_files = [p for p in dataset.problems if not p.record and not p.category]
    refused = dataset.problems if config.invalid == "refuse" else whole_files
    if refused:
        choice = "" if whole_files else "; correct them, or leave those records out with 'invalid: drop'"
        raise ValueError(
            f"data.{key} must be free of problems, but {config.path} has {len(refused)}{choice}\n{summary(refused)}"
        )
    if not dataset.records:
        raise ValueError(f"data.{key} must have a record without problems, but has none\n{summary(dataset.problems)}")


def _about(dataset: Dataset) -> dict[str, Any]:
    dropped: dict[str, Counter[str]] = defaultdict(Counter)
    for problem in dataset.problems:
        if problem.record and problem.category:
            dropped[str(problem.reason)][problem.category] += 1
    return {
        "root": dataset.root.as_posix(),
        "reading": asdict(dataset.reading),
        "notes": dataset.notes,
        "checked": dataset.checked,
        "kept": len(dataset.records),
        "dropped": dropped,
        "instances": Counter(record.category for record in dataset.records if record.keypoints[:, 2].any()),
        "default_sigmas": [category.key for category in dataset.categories if not category.sigmas],
    }


def main(arguments: list[str]) -> None:
    key = stage.only_key(arguments)
    prepare(read_params(PARAMS), key, prepared_folder(key))


if __name__ == "__main__":
    stage.run_stage("prepare", main)
