"""The parameter files that users copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from posebed.catalog import installed
from posebed.config import read_params
from posebed.experiment import decide

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
