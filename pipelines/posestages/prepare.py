"""Reads one dataset, refuses or drops what breaks a rule, and writes the one table that every stage works on."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from posebed import catalog
from posebed.config import DataConfig, Params, read_params, sentence
from posebed.data.checks import summary
from posebed.records import Dataset, Problem, categories_to_json, write_problems, write_records, write_text
from posestages import stage


def prepare(params: Params, key: str, out: Path) -> None:
    """Write records.parquet, categories.json, problems.csv and about.json of ``data.KEY`` to the folder ``out``.

    Raises:
        ValueError: the options are wrong, or the data is refused; nothing is left at ``out``.
        LookupError: there is no such entry or source.
    """
    shutil.rmtree(out, ignore_errors=True)
    config = stage.entry("data", params.data, key)
    dataset = _read(config, key)
    _refuse(dataset, config, key)
    with stage.finished_folder(out) as folder:
        write_records(dataset.records, folder / "records.parquet")
        write_text(categories_to_json(dataset.categories), folder / "categories.json")
        write_problems(dataset.problems, folder / "problems.csv")
        write_text(json.dumps(_about(dataset), indent=1), folder / "about.json")


def _read(config: DataConfig, key: str) -> Dataset:
    spec = catalog.load("posebed.datasets", config.source)
    try:
        options = spec.options.model_validate(config.options)
    except ValidationError as error:
        raise ValueError(sentence(error, f"data.{key}.options")) from error
    return spec.read(options, Path(config.path))


def _refuse(dataset: Dataset, config: DataConfig, key: str) -> None:
    """Raise where data has problems that must not be dropped. A file that cannot be read is never just dropped."""
    whole_files = [p for p in dataset.problems if not p.record and not p.category]
    refused = dataset.problems if config.invalid == "refuse" else whole_files
    if refused:
        raise ValueError(
            f"data.{key} must be free of problems, but {config.path} has {len(refused)}; "
            f"mend them, or drop records with invalid: drop\n{summary(refused)}"
        )
    if not dataset.records:
        raise ValueError(f"data.{key} must have records, but every one has a problem\n{summary(dataset.problems)}")


def _about(dataset: Dataset) -> dict[str, Any]:
    dropped = [p for p in dataset.problems if p.record and p.category]
    return {
        "root": dataset.root.as_posix(),
        "notes": list(dataset.notes),
        "checked": dataset.checked,
        "kept": len(dataset.records),
        "dropped": {reason: _counts(p.category for p in of) for reason, of in _by_reason(dropped).items()},
        "instances": _counts(r.category for r in dataset.records),
        "default_sigmas": [c.key for c in dataset.categories if not c.sigmas],
    }


def main(arguments: list[str]) -> None:
    key = stage.only_key(arguments)
    prepare(read_params(stage.PARAMS), key, stage.prepared(key))


if __name__ == "__main__":
    stage.run(main)
