"""Drawn tables of predictions for the tests of metrics and scoring; storages, in a folder and on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import object_storage
from posebed.predictions import Predictions
from posebed.scoring.drawn import drawn_predictions
from posebed.storage import Storage


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Predictions]:
    return drawn_predictions


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object_storage.ObjectStorage]:
    if why := object_storage.missing():
        pytest.skip(why)
    with object_storage.object_storage(tmp_path_factory.mktemp("server") / "s3") as started:
        yield started


@pytest.fixture
def stored(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A storage of its own, of the kind that the test names."""
    if request.param == "folder":
        return Storage(str(tmp_path / "storage"))
    server = request.getfixturevalue("server")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return Storage(f"{server.bucket('test' + tmp_path.name.replace('_', '-').lower()[-50:])}/below")
