"""Machines with other packages are refused before work starts, and wrong clocks are told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusters import cluster_of, node_without
from posebed.jobs import nodes_fit
from posebed.jobs.nodes_fit import check_nodes, differences, seconds_ahead

import ray  # isort: skip

NUMBERS = st.integers(0, 2)
VERSIONS = st.builds("{}.{}.{}".format, NUMBERS, NUMBERS, NUMBERS)
SOFTWARE = st.fixed_dictionaries(dict.fromkeys(("python", "torch", "ray"), VERSIONS))


@given(SOFTWARE, SOFTWARE)
def test_what_differs_is_named_with_both_versions_and_nothing_else(there: dict[str, str], here: dict[str, str]):
    different = {name for name in ("torch", "ray") if there[name] != here[name]}
    if there["python"].split(".")[:2] != here["python"].split(".")[:2]:
        different.add("python")
    told = differences(there, here, "10.0.0.2")
    assert bool(told) == bool(different)
    for name in here:
        assert (f"{name} {there[name]} (there {here[name]})" in told) == (name in different)


@given(SOFTWARE)
def test_what_a_machine_lacks_is_named(here: dict[str, str]):
    assert f"torch none (there {here['torch']})" in differences({**here, "torch": "none"}, here, "a")


@given(st.floats(-1000, 1000), st.floats(0, 500), st.floats(0, 1))
def test_a_right_clock_is_never_wrong_however_late_its_answer_is_read(wrong: float, waited: float, when: float):
    asked, now = 5000.0, 5000.0 + waited
    told = seconds_ahead(asked + when * waited + wrong, asked, now)
    assert abs(told) <= abs(wrong) + 1e-6 and told * wrong >= 0
    assert abs(told) >= abs(wrong) - waited - 1e-6


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to hide a package from a node")
def test_a_command_refuses_a_node_that_has_other_packages(project: Path):
    """The node lies in a mount namespace that hides what says the version of a package."""
    files = distribution("timm").files or ()
    hidden = next(Path(str(file.locate())).parent for file in files if file.name == "METADATA")
    command = [sys.executable, "-c", "from posestages.cli import main; main()", "run", "floor"]
    with cluster_of({"num_cpus": 1}) as cluster, node_without(str(cluster.address), [hidden], cpus=1):
        variables = {"RAY_ADDRESS": str(cluster.address), "POSEBED_STORAGE": str(project / "storage")}
        ended = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    named = rf"the command's environment, but has timm [nN]one \(there {distribution('timm').version}\)"
    assert re.search(named, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr and not list(Path("runs").glob("*/seed-*"))


@pytest.mark.slow
@pytest.mark.services
def test_a_clock_that_differs_by_minutes_is_told(monkeypatch: pytest.MonkeyPatch):
    """This process's clock is set instead of a machine's."""
    now = time.time
    with cluster_of({"num_cpus": 1}, {"num_cpus": 1}) as cluster:
        ray.init(address=str(cluster.address), logging_level="ERROR", log_to_driver=False)
        try:
            assert check_nodes() == []
            for ahead, words in ((-300, "is 5 minutes ahead"), (300, "is 5 minutes behind")):
                monkeypatch.setattr(nodes_fit, "time", SimpleNamespace(time=lambda ahead=ahead: now() + ahead))
                (told,) = check_nodes()
                assert words in told
        finally:
            ray.shutdown()
