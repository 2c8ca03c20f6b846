"""The parameter files that users copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from posebed.catalog import installed
from posebed.experiment import decide
from posebed.params import read_params

CATALOG = installed()
ROOT = Path(__file__).parents[2]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_member_and_search_of_an_example_can_be_decided(file: Path):
    params = read_params(file)
    assert params.runs
    of_runs = [(key, seed, run) for key, run in params.runs.items() for seed in run.seeds]
    of_searches = [(f"search@{key}", search.seed, None) for key, search in params.searches.items()]
    for key, seed, run in (*of_runs, *of_searches):
        start = Path("start") if run and run.init_from else None
        decided = decide(params, key, seed, CATALOG, Path("split"), Path("pack"), start)
        assert (decided.key, decided.seed) == (key, seed)


def named(part: float | tuple[str, ...]) -> str:
    """The one category that is named."""
    assert isinstance(part, tuple) and len(part) == 1
    return part[0]


def test_each_category_of_many_photographs_is_held_out_once_by_each_method_and_validates_once():
    params = read_params(ROOT / "examples/photographs-many.yaml")
    held = {key: named(split.test) for key, split in params.splits.items()}
    validated = {key: named(split.val) for key, split in params.splits.items()}
    assert len({*held.values()}) == len(held) >= 8 and {*validated.values()} == {*held.values()}
    assert all(held[key] != validated[key] for key in held)
    methods = {key.partition("-without-")[0]: run.model for key, run in params.runs.items()}
    assert {*methods.values()} == {*params.models}
    expected = {f"{method}-{split}": (model, split) for method, model in methods.items() for split in held}
    assert {key: (run.model, run.split) for key, run in params.runs.items()} == expected
    assert all(key == f"{run.method}-{run.split}" for key, run in params.runs.items())


def test_many_photographs_have_records_enough_for_their_episodes(real_data: Path):
    params = read_params(ROOT / "examples/photographs-many.yaml")
    folders = params.data["photographs"].options["folders"]
    files = [json.loads((real_data / folder / "annotations.json").read_text()) for folder in folders]
    records = {
        category["name"]: sum(any(annotation["keypoints"][2::3]) for annotation in file["annotations"])
        for file in files
        for category in file["categories"]
    }
    assert records.keys() == {named(split.test) for split in params.splits.values()}
    for split in params.splits.values():
        assert split.episodes
        assert records[named(split.test)] >= split.episodes.shots + split.episodes.queries
