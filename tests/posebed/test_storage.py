"""The storage: what was put is given back, by a folder and by a real server that speaks S3; failures are sentences."""

from __future__ import annotations

import errno
import pickle
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import object_storage
from posebed import storage as module
from posebed.storage import Storage, StorageError

NAMES = st.lists(st.text("abc-_.0", min_size=1, max_size=8).filter(lambda t: t.strip(".")), min_size=1, max_size=3)


KINDS = pytest.mark.parametrize("stored", ["folder", pytest.param("s3", marks=pytest.mark.slow)], indirect=True)


@KINDS
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=NAMES, content=st.binary(max_size=300))
def test_what_was_put_is_given_back_and_gone_once_removed(
    stored: Storage, tmp_path: Path, parts: list[str], content: bytes
):
    name = "/".join(["new", *parts])
    (tmp_path / "out").write_bytes(content)
    stored.put(tmp_path / "out", name)
    assert stored.size(name) == len(content)
    stored.get(name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert parts[0] in stored.names("new")
    assert [file.name for file in stored.files("new")] == [name]
    stored.remove("new")
    assert stored.size(name) is None


@KINDS
def test_what_is_not_there_has_no_size_no_names_and_is_no_loss_to_remove(stored: Storage, tmp_path: Path):
    stored.check()
    assert stored.size("nothing") is None
    assert stored.names("nothing") == []
    assert stored.files("nothing") == []
    stored.remove("nothing")
    with pytest.raises(StorageError, match="must give nothing, but that fails with"):
        stored.get("nothing", tmp_path / "back")


@KINDS
def test_a_folder_whose_files_were_removed_one_by_one_holds_nothing(stored: Storage, tmp_path: Path):
    (tmp_path / "out").write_text("x")
    for name in ("jobs/one/a", "jobs/one/b"):
        stored.put(tmp_path / "out", name)
    for name in ("jobs/one/a", "jobs/one/b"):
        stored.remove(name)
    assert stored.names("jobs/one") == []


@KINDS
def test_it_is_the_same_after_it_was_sent_to_another_process(stored: Storage, tmp_path: Path):
    (tmp_path / "out").write_text("x")
    stored.put(tmp_path / "out", "a")
    assert pickle.loads(pickle.dumps(stored)).size("a") == 1  # noqa: S301  # our own


@pytest.mark.parametrize("address", ["nosuch://bucket", "/proc/nothing/here", "s3://bucket/folder"])
def test_one_that_cannot_be_used_is_told_in_a_sentence(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "known")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    with pytest.raises(ValueError, match=r"the storage .* must .*, but that fails with: .*POSEBED_STORAGE") as told:
        Storage(address).check()
    assert "hidden" not in str(told.value)


@pytest.mark.slow
def test_a_wrong_key_is_told_before_anything_is_done(
    server: object_storage.ObjectStorage, monkeypatch: pytest.MonkeyPatch
):
    address = server.bucket("wrong-key")
    for name, value in {**server.variables, "AWS_ACCESS_KEY_ID": "nobody"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="must be written and read, but that fails with") as told:
        Storage(address).check()
    assert server.variables["AWS_SECRET_ACCESS_KEY"] not in str(told.value)


def test_one_that_does_not_answer_for_a_while_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stored, tries = Storage(str(tmp_path / "storage")), 0

    def failing(source: str, target: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError("no answer")
        Path(target).write_bytes(Path(source).read_bytes())

    (tmp_path / "out").write_text("x")
    monkeypatch.setattr(stored.system, "put_file", failing)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    stored.put(tmp_path / "out", "a")
    assert (tries, stored.size("a")) == (3, 1)


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stored = Storage(str(tmp_path / "storage"))

    def failing(source: str, target: str) -> None:
        raise OSError("no answer")

    monkeypatch.setattr(stored.system, "put_file", failing)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(StorageError, match="no answer"):
        stored.put(tmp_path, "a")


def test_a_folder_is_named_from_the_root_and_an_address_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(module.VARIABLE, "here")
    assert Storage.of_environment() == Storage(str(tmp_path / "here"))
    monkeypatch.setenv(module.VARIABLE, "s3://bucket/folder")
    assert Storage.of_environment() == Storage("s3://bucket/folder")
    monkeypatch.setenv(module.VARIABLE, "")
    assert Storage.of_environment() is None


@pytest.mark.parametrize(
    "error",
    [FileExistsError(), NotADirectoryError(), OSError(errno.ENAMETOOLONG, "long"), OSError(errno.EROFS, "read-only")],
)
def test_what_no_waiting_heals_is_told_at_once(error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stored, tries = Storage(str(tmp_path / "storage")), list[str]()

    def failing(source: str, target: str) -> None:
        tries.append(target)
        raise error

    (tmp_path / "out").write_text("x")
    monkeypatch.setattr(stored.system, "put_file", failing)
    with pytest.raises(StorageError):
        stored.put(tmp_path / "out", "a")
    assert len(tries) == 1


@pytest.mark.parametrize("address", ["file", "/dev/null", "a" * 100_000, "nosuch://x"])
def test_a_hopeless_address_is_told_shortly_and_makes_nothing(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    monkeypatch.setenv(module.VARIABLE, address)
    stored = Storage.of_environment()
    assert stored
    with pytest.raises(StorageError, match=r"must be .*, but that fails with") as told:
        stored.check()
    assert len(str(told.value)) < 500
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_first_question_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stored, end = Storage(str(tmp_path / "storage")), threading.Event()
    monkeypatch.setattr(stored.system, "pipe_file", lambda path, content: end.wait())
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    with pytest.raises(StorageError, match="no answer within"):
        stored.check()
    end.set()
