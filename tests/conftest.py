"""Where tests find data that does not live in the repository, and telemetry switched off."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import settings

for name in ("RAY_USAGE_STATS_ENABLED", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DVC_NO_ANALYTICS"):
    os.environ[name] = "0" if name == "RAY_USAGE_STATS_ENABLED" else "true"
# Tests compare numbers to the last digit, and so compute on the processor. CUDA_VISIBLE_DEVICES=0 lets those that ask
# for an accelerator have one.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("DS_ACCELERATOR", "cpu")
# All clusters of a process must ask for the same token, since Ray remembers how the first was joined.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
# A first call into torch or cv2 takes long, and any call does on a busy machine.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real", default=os.environ.get("POSEBED_REAL"), help="folder of real annotated photographs")
    parser.addoption("--parity", action="append", help="folder of reference numbers; may be given several times")
    parser.addoption("--cases", default=os.environ.get("POSEBED_CASES"), help="folder of small faulty inputs")
    parser.addoption("--schemas", default=os.environ.get("POSEBED_SCHEMAS"), help="folder of KubeRay's resources")
    parser.addoption("--step-kills", default=30, help="kills before file-system calls (30)")
    parser.addoption("--malformed-inputs", default=420, help="malformed inputs (420)")
    parser.addoption("--campaign-seed", default=0, help="of the kills and malformed inputs that are drawn (0)")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # of xdist, whose workers have no terminal
        config.pluginmanager.register(FailuresAtOnce(config))


class FailuresAtOnce:
    """Prints each failure as soon as it happens: a long run that is stopped from outside never comes to the list at its
    end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            terminal = self._config.pluginmanager.get_plugin("terminalreporter")
            terminal.line(f"\n{report.nodeid} ({report.when}): {report.longreprtext[-4000:]}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker is left alone with one at the end: of a file that takes several minutes,
    ``slow(minutes=5)`` says so."""
    items.sort(key=_minutes, reverse=True)


def _minutes(item: pytest.Item) -> int:
    slow = item.get_closest_marker("slow")
    return slow.kwargs.get("minutes", 1) if slow else 0


def _folder(request: pytest.FixtureRequest, option: str) -> Path:
    return _folders(option, filter(None, [request.config.getoption(option)]))[0]


def _folders(option: str, given: Iterable[str]) -> list[Path]:
    paths = [Path(folder) for folder in given]
    if not paths:
        pytest.skip(f"needs {option} DIR")
    for path in paths:
        if not path.is_dir():
            pytest.fail(f"{option} must be a folder, but {path} is none")
    return [path.resolve() for path in paths]


@pytest.fixture
def real_data(request: pytest.FixtureRequest) -> Path:
    """One folder per category: images/ and annotations.json."""
    return _folder(request, "--real")


@pytest.fixture
def parity_folders(request: pytest.FixtureRequest) -> list[Path]:
    """Each holds one folder per model. In the environment they are separated as in PATH."""
    listed = os.environ.get("POSEBED_PARITY", "").split(os.pathsep)
    return _folders("--parity", request.config.getoption("--parity") or filter(None, listed))


@pytest.fixture
def parity(parity_folders: list[Path]) -> Callable[[str], Path]:
    """Find a model's reference numbers by the name of their folder: spec.json, outputs.npz, tolerance.json. Without
    them the test is skipped."""

    def find(name: str) -> Path:
        found = next((folder / name for folder in parity_folders if (folder / name).is_dir()), None)
        return found or pytest.skip(f"no numbers of {name}")

    return find


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Path:
    """One folder per small input that was once answered wrongly."""
    return _folder(request, "--cases")


@pytest.fixture
def schemas(request: pytest.FixtureRequest) -> Path:
    """KubeRay's CustomResourceDefinitions, one file each: ray.io_rayclusters.yaml, ray.io_rayjobs.yaml."""
    return _folder(request, "--schemas")


PARAMS = """
menagerie:
  quads: {set: quadrupeds, images: 48, side: 80, categories: [tiger, horse, cow, fox]}
data:
  quads: {source: coco_folder, path: data/menagerie/quads}
splits:
  quads: {data: quads, val: 0.2, test: 0.2}
  held-out:
    data: quads
    by: category
    val: [cow]
    test: [fox]
    episodes: {shots: 1, queries: 3, episodes: 4, val_episodes: 2}
packs:
  small: {data: quads, crop_size: [64, 64]}
models:
  mean_pose: {}
  simple_baseline:
    config: {backbone: test_resnet, weights: none, channels: 8, flip_test: "off"}
    train: {epochs: 4, batch_size: 8, checkpoint_every: 2, precision: float32}
  proto_net:
    config: {backbone: test_resnet, weights: none}
    train: {epochs: 2, batch_size: 4, draws: 16, checkpoint_every: 1}
scoring: {resamples: 100}
searches: {}
runs:
  floor: {model: mean_pose, split: quads, pack: small}
  baseline: {model: simple_baseline, split: quads, pack: small}
  prototypes: {model: proto_net, split: held-out, pack: small}
"""


@pytest.fixture(scope="session")
def prepared_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with parameters, drawn pictures, splits and packs. To be copied, not changed."""
    from posebed.params import read_params
    from posebed.places import menagerie_folder, pack_folder, prepared_folder, split_folder
    from posestages import draw, pack, prepare, split

    folder = tmp_path_factory.mktemp("prepared")
    (folder / "params.yaml").write_text(PARAMS)
    params = read_params(folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        draw.draw(params, "quads", menagerie_folder("quads"))
        prepare.prepare(params, "quads", prepared_folder("quads"))
        for key in params.splits:
            split.split(params, key, prepared_folder("quads"), split_folder(key))
        pack.pack(params, "small", prepared_folder("quads"), pack_folder("small"))
    return folder


@pytest.fixture
def project(prepared_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of the test's own, which is also the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(prepared_project, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def empty_tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store of MLflow, which takes seconds to make. To be copied, not changed."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(empty_tracker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty tracker, which is also the one that results and searches are mirrored to."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_tracker, tmp_path / "mlflow.db")
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address
