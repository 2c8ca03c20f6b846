"""The parameter files that users copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from posebed.config import read_params
from posebed.experiment import decide

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_run_of_an_example_can_be_decided(file: Path):
    params = read_params(file)
    assert params.all_runs
    for key in params.all_runs:
        start = Path("start") if key in params.finetunes else None
        assert decide(params, key, "posezoo", Path("split"), Path("pack"), start).key == key
