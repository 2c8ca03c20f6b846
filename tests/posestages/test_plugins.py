"""Models, datasets, metrics and samplers of one's own: written by `posebed new` or taken from `examples/plugin`,
installed by pip, tested by the suites, run, searched and reported beside the zoo's, on a cluster that is sent them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clusters import cluster_of, node_without
from command_line import posebed
from posebed.scoring.result import RESULT_FILE, read_result
from posebed.scoring.search_result import read_search

pytestmark = [pytest.mark.slow, pytest.mark.services]

CHECKOUT = Path(__file__).parents[2]
WRITTEN = {"model": "sketch", "dataset": "dots", "metric": "all_right"}
RUNS = """
  templates: {model: template_net, split: held-out, pack: small}
  installed: {model: sketch, split: quads, pack: small}
  beside: {model: own_model, split: quads, pack: small}
  broken: {model: broken_model, split: quads, pack: small}
  gone: {model: no_such_model, split: quads, pack: small}
"""
MODELS = """
  sketch: &short {config: {width: 16}, train: {epochs: 1, batch_size: 8, warmup_steps: 0}}
  own_model: *short
  template_net: {config: {width: 8}, train: {epochs: 1, batch_size: 4, draws: 8, warmup_steps: 0}}
  broken_model: {}
  no_such_model: {}
"""
SCORING = "scoring: {resamples: 20, metrics: [own_metric, twin_metric]}\n"
SEARCH = """searches:
  tuned:
    model: sketch
    split: quads
    pack: small
    budget: {trials: 2}
    sampler: own_sampler
    train: {judged_by: all_right}
"""
SAMPLER = """
from optuna.samplers import RandomSampler

from posebed.contracts import SamplerSpec

SPEC = SamplerSpec(lambda seed, space: RandomSampler(seed=seed))
"""
FILES = {
    "broken_model.py": "import torch\n\nraise RuntimeError('no data of mine')\n",
    "twin_metric.py": "from own_metric import SPEC\n",
    "own_sampler.py": SAMPLER,
}


PACKAGES = (*WRITTEN.values(), "lab")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages as `posebed new` writes them, the example, and ``site/``, where pip has installed all of them."""
    folder = tmp_path_factory.mktemp("plugins")
    for kind, name in WRITTEN.items():
        assert posebed("new", kind, name, "--in", str(folder)).returncode == 0
    shutil.copytree(CHECKOUT / "examples/plugin", folder / "lab")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", "site", *(f"./{name}" for name in PACKAGES)], cwd=folder, check=True)
    return folder


def with_plugins(written: Path, **more: str) -> dict[str, str]:
    paths = [str(written / "site"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **more}


def command(written: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-P", "-c", "from posestages.cli import main; main()", *words]
    return subprocess.run(line, env=with_plugins(written, **more), capture_output=True, text=True, timeout=900)


def test_what_is_written_keeps_to_the_contract(written: Path):
    for name in PACKAGES:
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
    datasets, metrics = (command(written, name, COLUMNS="200").stdout for name in ("datasets", "metrics"))
    assert "read by: dots 0.1.0" in datasets and "read by: lab-poses 0.3.0" in datasets
    assert "measured by: all_right 0.1.0" in metrics and "measured by: lab-poses 0.3.0" in metrics


def test_runs_of_plugins_stand_beside_the_zoo_s_and_a_broken_one_harms_no_other(written: Path, project: Path):
    """The cluster's one node with processors lies in a mount namespace that hides the installed packages and the files
    of the project."""
    text = (project / "params.yaml").read_text().replace("models:\n", f"models:{MODELS}", 1)
    text = text.replace("scoring: {resamples: 100}\n", SCORING).replace("searches: {}\n", SEARCH)
    (project / "params.yaml").write_text(text.partition("  baseline: {model")[0] + RUNS.lstrip("\n"))
    own = {
        "own_model.py": (written / "sketch/sketch/model.py").read_text(),
        "own_metric.py": (written / "all_right/all_right/metric.py").read_text().replace('"all_right"', '"own"'),
    }
    for name, content in (own | FILES).items():
        Path(name).write_text(content)
    hidden = [written / "site", *(project / name for name in (*own, *FILES))]
    with cluster_of({"num_cpus": 0}) as cluster, node_without(str(cluster.address), hidden, cpus=2):
        ended = command(written, "run", RAY_ADDRESS=str(cluster.address), POSEBED_STORAGE=str(project / "storage"))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    said = " ".join((ended.stdout + ended.stderr).split())
    assert "train gone seed 0: failed: model must be one of" in said
    assert "broken_model of broken_model.py must be importable, but raises RuntimeError: no data of mine" in said
    assert "metrics are left out: 'own' must come from one place, but own_metric.py has it in own_metric and" in said

    results = {key: read_result(Path("runs", key, RESULT_FILE)) for key in DONE}
    origins = {key: result.provenance.software["model from"] for key, result in results.items()}
    assert origins.pop("floor").startswith("posebed ")
    assert origins == {"installed": "sketch 0.1.0", "beside": "own_model.py", "templates": "lab-poses 0.3.0"}
    for result in results.values():
        assert result.score("own").value == result.score("all_right").value
        assert result.score("Brier@0.2").better == "lower"
    assert "search tuned: done" in said, said
    search = read_search(Path("runs/search@tuned"))
    assert search.judged_by == "all_right" and len(search.own) == 2

    assert posebed("report").returncode == 0, "without the plugins"
    page = Path("report/index.html").read_text()
    for name in ("sketch 0.1.0", "own_model.py", "lab-poses 0.3.0", "Brier@0.2", "validation all_right"):
        assert name in page, name

    states = status(written)
    Path("own_model.py").write_text(Path("own_model.py").read_text().replace("/ 64", "/ 65"))
    changed = {name for name, state in status(written).items() if state != states[name]}
    assert changed == {"train beside seed 0", "predict beside seed 0", "score beside"}
    Path("own_metric.py").write_text(Path("own_metric.py").read_text().replace("0.2", "0.3"))
    changed = {name for name, state in status(written).items() if state != states[name]} - changed
    assert changed == {f"score {key}" for key in DONE if key != "beside"}
    Path("own_sampler.py").write_text(SAMPLER + "ADDED = 1\n")
    assert {name for name, state in status(written).items() if state != states[name]} >= {"search tuned"}


DONE = ("floor", "installed", "beside", "templates")


def status(written: Path) -> dict[str, str]:
    lines = json.loads(command(written, "status", "--json").stdout)
    return {line["task"]: line["state"] for line in lines}
