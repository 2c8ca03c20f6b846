"""Models and datasets of one's own: written by `posebed new`, installed by pip, tested by the suites, run and reported
beside the zoo's, on a cluster that is sent them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clusters import cluster_of
from command_line import posebed
from posebed.scoring.result import RESULT_FILE, read_result

pytestmark = [pytest.mark.slow, pytest.mark.services]

RUNS = """
  installed: {model: sketch, split: quads, pack: small}
  beside: {model: own_model, split: quads, pack: small}
  broken: {model: broken_model, split: quads, pack: small}
  gone: {model: no_such_model, split: quads, pack: small}
"""
MODELS = """
  sketch: &short {config: {width: 16}, train: {epochs: 1, batch_size: 8, warmup_steps: 0}}
  own_model: *short
  broken_model: {}
  no_such_model: {}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a dataset as `posebed new` writes them, and ``site/``, where pip has installed them."""
    folder = tmp_path_factory.mktemp("plugins")
    for kind, name in (("model", "sketch"), ("dataset", "dots")):
        assert posebed("new", kind, name, "--in", str(folder)).returncode == 0
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", "site", "./sketch", "./dots"], cwd=folder, check=True)
    return folder


def with_plugins(written: Path, **more: str) -> dict[str, str]:
    paths = [str(written / "site"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}


def command(written: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-P", "-c", "from posestages.cli import main; main()", *words]
    return subprocess.run(line, env=with_plugins(written, **more), capture_output=True, text=True, timeout=900)


def test_what_is_written_keeps_to_the_contract(written: Path):
    for name in ("sketch", "dots"):
        process = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
            cwd=written,
            env=with_plugins(written),
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stdout
        assert " passed" in process.stdout and "failed" not in process.stdout


def test_plugins_are_listed_with_their_origin(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert "sketch 0.1.0" in " ".join(command(written, "models", COLUMNS="200").stdout.split())
    assert "read by: dots 0.1.0" in command(written, "datasets", COLUMNS="200").stdout


def test_runs_of_plugins_stand_beside_the_zoo_s_and_a_broken_one_harms_no_other(written: Path, project: Path):
    """Nodes of the cluster know neither the installed package nor the file in the project's folder."""
    text = (project / "params.yaml").read_text().replace("models:\n", f"models:{MODELS}", 1)
    (project / "params.yaml").write_text(text.partition("  baseline: {model")[0] + RUNS.lstrip("\n"))
    shutil.copy(written / "sketch/sketch/model.py", "own_model.py")
    Path("broken_model.py").write_text("import torch\n\nraise RuntimeError('no data of mine')\n")
    with cluster_of({"num_cpus": 1}, {"num_cpus": 1}) as cluster:
        ended = command(written, "run", RAY_ADDRESS=str(cluster.address), POSEBED_STORAGE=str(project / "storage"))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    said = " ".join((ended.stdout + ended.stderr).split())
    assert "train gone seed 0: failed: model must be one of" in said
    assert "broken_model of broken_model.py must be importable, but raises RuntimeError: no data of mine" in said
    origins = {key: read_result(Path("runs", key, RESULT_FILE)).provenance.software["model from"] for key in DONE}
    assert origins.pop("floor").startswith("posebed ")
    assert origins == {"installed": "sketch 0.1.0", "beside": "own_model.py"}
    assert posebed("report").returncode == 0, "without the plugins"
    page = Path("report/index.html").read_text()
    assert "sketch 0.1.0" in page and "own_model.py" in page

    states = status(written)
    Path("own_model.py").write_text(Path("own_model.py").read_text().replace("/ 64", "/ 65"))
    changed = {name for name, state in status(written).items() if state != states[name]}
    assert changed == {"train beside seed 0", "predict beside seed 0", "score beside"}


DONE = ("floor", "installed", "beside")


def status(written: Path) -> dict[str, str]:
    lines = json.loads(command(written, "status", "--json").stdout)
    return {line["task"]: line["state"] for line in lines}
