"""Our own files are whole or not there, whoever writes at once and whoever is killed; former versions are read."""

from __future__ import annotations

import ast
import errno
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.files import file_hash, locked, remove, write_text, writing, writing_folder
from posebed.own_json import Kind, read_json, read_json_list, write_json
from posebed.scoring.result import Cost, read_cost, write_cost

THING = Kind("a thing")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
CONTENTS = st.dictionaries(st.text().filter(lambda key: key != "schema"), VALUES, max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(CONTENTS)
def test_json_is_read_as_it_was_written_and_states_its_version_first(folder: Path, content: dict[str, Any]):
    path = folder / "deep/er/thing.json"
    write_json(content, path, THING)
    assert read_json(path, THING) == content
    assert next(iter(json.loads(path.read_text()).items())) == ("schema", 1)
    assert names(path.parent) == ["thing.json"]


@given(st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_a_former_version_passes_through_the_upgrades_after_it_in_order(
    folder: Path, newest: int, written: int, stated: bool
):
    def upgrade(number: int, content: dict[str, Any]) -> dict[str, Any]:
        return {**content, "passed": [*content["passed"], number]}

    kind = Kind("a thing", tuple(partial(upgrade, n) for n in range(newest)))
    content = {"passed": []} if written == 0 and not stated else {"schema": written, "passed": []}
    (folder / "old.json").write_text(json.dumps(content))
    if written <= newest:
        assert read_json(folder / "old.json", kind) == {"passed": [*range(written, newest)]}
    else:
        with pytest.raises(ValueError, match=f"old.json must be a thing of schema {newest} or older, but is of schema"):
            read_json(folder / "old.json", kind)


@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()), st.sampled_from([dict, list]))
def test_what_is_not_of_the_kind_is_refused_in_one_sentence_that_names_the_file(
    folder: Path, data: bytes, form: type[Any]
):
    path = folder / "any.json"
    path.write_bytes(data)
    try:
        assert isinstance(read_json(path, THING) if form is dict else read_json_list(path, "things"), form)
    except ValueError as error:
        assert type(error) is ValueError
        assert str(error).startswith(f"{path} must ") and "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "must be a thing, but there is no such file"),
        ("{", "must be a thing as a JSON object, but is no JSON: .*; write it again"),
        ("[" * 100_000, "must be a thing, but is nested too deeply; write it again"),
        ("[1]", "must be a thing as a JSON object, but holds another value; write it again"),
        ('{"schema": true}', "must state its schema as a whole number, but has True"),
        ('{"schema": -1}', "must state its schema as a whole number, but has -1"),
        ('{"schema": 2}', "must be a thing of schema 1 or older, but is of schema 2; upgrade posebed"),
    ],
)
def test_refusals(tmp_path: Path, text: str | None, says: str):
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=f"x.json {says}"):
        read_json(tmp_path / "x.json", THING)


def test_a_folder_in_the_place_of_a_file_is_refused_too(tmp_path: Path):
    with pytest.raises(ValueError, match="must be a thing, but is no regular file; write it again"):
        read_json(tmp_path, THING)


def test_content_with_a_version_of_its_own_is_not_written(tmp_path: Path):
    with pytest.raises(ValueError, match="a thing must have no 'schema' of its own, but has 7"):
        write_json({"schema": 7}, tmp_path / "x.json", THING)
    assert names(tmp_path) == []


def test_files_of_today_without_a_version_and_of_this_version_are_read_alike_and_newer_ones_refused(tmp_path: Path):
    cost, path = Cost(parameters=3, gflops=None, ms_per_image=0.1, train_seconds=1e-7, device="cpu"), tmp_path / "c"
    path.write_text(cost.model_dump_json(indent=1))
    assert read_cost(path) == cost
    write_cost(cost, path)
    assert read_cost(path) == cost
    path.write_text(json.dumps({"schema": 2, **cost.model_dump()}))
    with pytest.raises(ValueError, match="must be the cost of a run of schema 1 or older"):
        read_cost(path)
    path.write_text('{"parameters": 3}')
    with pytest.raises(
        ValueError,
        match="but has no gflops, and 3 more values are wrong; remove its folder",
    ):
        read_cost(path)


@given(st.binary(max_size=200_000))
@settings(max_examples=20)
def test_the_hash_is_sha256(folder: Path, data: bytes):
    (folder / "data").write_bytes(data)
    assert file_hash(folder / "data") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("before", [False, True])
def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path, before: bool):
    file, out = tmp_path / "file", tmp_path / "out"
    if before:
        write_text("former", file)
        with writing_folder(out) as unfinished:
            write_text("former", unfinished / "inner")
    with pytest.raises(RuntimeError), writing(file) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), writing_folder(out) as unfinished:
        (unfinished / "half").touch()
        raise RuntimeError
    with pytest.raises(UnicodeEncodeError):
        write_text("\ud800", file)
    there = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert there == (["file", "out", "out/inner"] if before else [])


def test_a_folder_takes_the_place_of_a_former_one_and_of_a_link(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/kept").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    write_text("", tmp_path / "folder/old")
    for name in ("link", "folder"):
        with writing_folder(tmp_path / name) as unfinished:
            (unfinished / "new").touch()
        assert names(tmp_path / name) == ["new"] and not (tmp_path / name).is_symlink()
    assert names(tmp_path / "elsewhere") == ["kept"]
    remove(tmp_path / "folder")
    remove(tmp_path / "nothing")
    assert names(tmp_path) == ["elsewhere", "link"]


def test_names_may_be_as_long_as_the_system_allows_and_modes_are_the_usual_ones(tmp_path: Path):
    for name in ("n" * 255, "\u00fc" * 127, "\U0001f98a" * 63, "*[a]?"):
        write_text("x", tmp_path / name)
        assert (tmp_path / name).read_text() == "x"
        remove(tmp_path / name)
    (tmp_path / "usual").touch()
    write_text("x", tmp_path / "ours")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from posebed.files import locked, write_text, writing, writing_folder
path, word = Path(sys.argv[1]), sys.argv[2]
def ready():
    print("ready", flush=True)
    sys.stdin.read()
"""


def process(code: str, path: Path, word: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PRELUDE + code, str(path), word]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextmanager
def running(code: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has come to ``ready()``."""
    with process(code, path) as child:
        assert child.stdout and child.stdout.readline() == "ready\n"
        try:
            yield child
        finally:
            child.kill()


MANY_FILES = "for _ in range(150): write_text(word * 50_000, path)"
MANY_FOLDERS = """
for _ in range(60):
    with writing_folder(path) as out:
        for name in ("one", "two"):
            (out / name).write_text(word * 20_000)
"""


def test_processes_that_write_one_file_at_once_leave_one_whole_content(tmp_path: Path):
    path, seen = tmp_path / "file", set[str]()
    writers = [process(MANY_FILES, path, word) for word in "abc"]
    while any(writer.poll() is None for writer in writers):
        if path.is_file():
            seen.add(path.read_text())
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert seen <= {word * 50_000 for word in "abc"} and path.read_text() in seen | {w * 50_000 for w in "abc"}
    assert len(seen) > 1, "the writers took turns"
    assert names(tmp_path) == ["file"]


def test_processes_that_write_one_folder_at_once_leave_one_whole_folder(tmp_path: Path):
    path, seen = tmp_path / "out", set[str]()
    writers = [process(MANY_FOLDERS, path, word) for word in "abc"]
    while any(writer.poll() is None for writer in writers):
        for name in ("one", "two"):
            try:
                seen.add((path / name).read_text())
            except FileNotFoundError:
                continue
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    whole = {word * 20_000 for word in "abc"}
    assert seen <= whole and names(path) == ["one", "two"]
    assert (path / "one").read_text() == (path / "two").read_text() in whole
    assert names(tmp_path) == ["out"]


def test_threads_that_write_one_path_at_once_leave_one_whole_content(tmp_path: Path):
    def write(word: str) -> None:
        for _ in range(30):
            write_text(word * 10_000, tmp_path / "file")
            with writing_folder(tmp_path / "out") as out:
                write_text(word * 10_000, out / "inner")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    whole = {word * 10_000 for word in "abcd"}
    assert (tmp_path / "file").read_text() in whole and (tmp_path / "out/inner").read_text() in whole
    assert names(tmp_path) == ["file", "out"]


HALF_A_FILE = "with writing(path) as part: part.write_text('half'); ready()"
HALF_A_FOLDER = "with writing_folder(path) as part: (part / 'half').touch(); ready()"


def file(path: Path) -> None:
    write_text("whole", path)


def folder_of_one(path: Path) -> None:
    with writing_folder(path) as out:
        write_text("whole", out / "inner")


@pytest.mark.parametrize(("code", "write"), [(HALF_A_FILE, file), (HALF_A_FOLDER, folder_of_one)])
def test_what_a_killed_writer_leaves_goes_with_the_next_write_and_what_a_living_one_needs_stays(
    tmp_path: Path, code: str, write: Callable[[Path], None]
):
    path = tmp_path / "result"
    write(path)
    write(tmp_path / "result.other")
    (tmp_path / ".result.mine.part").touch()
    kept = [".result.mine.part", "result", "result.other"]
    with running(code, path):
        write(path)
        (unfinished,) = {*names(tmp_path)} - {*kept}
        assert re.fullmatch(r"\.result\.[0-9a-f]{16}\.part", unfinished)
    assert names(tmp_path) == sorted([unfinished, *kept]), "killed"
    assert (path if path.is_file() else path / "inner").read_text() == "whole"
    write(tmp_path / "result.other")
    assert unfinished in names(tmp_path), "another path's"
    write(path)
    assert names(tmp_path) == kept


KILLED_AFTER = """
from posebed import files
def killing(act):
    def acted(*paths):
        done = act(*paths)
        os.kill(os.getpid(), signal.SIGKILL)
        return done
    return acted
"""


def test_a_former_folder_is_there_until_the_new_one_has_its_name(tmp_path: Path):
    code = (
        KILLED_AFTER
        + """
files._exchanged = killing(files._exchanged)
with writing_folder(path) as out: (out / "new").touch()
"""
    )
    folder_of_one(tmp_path / "out")
    assert process(code, tmp_path / "out").wait() == -signal.SIGKILL
    (aside,) = {*names(tmp_path)} - {"out"}
    assert names(tmp_path / "out") == ["new"] and names(tmp_path / aside) == ["inner"]
    folder_of_one(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_where_names_cannot_be_exchanged_a_writer_killed_between_its_renames_leaves_nothing_for_good(tmp_path: Path):
    code = (
        KILLED_AFTER
        + """
files._exchanged = lambda *paths: False
Path.rename = killing(Path.rename)
with writing_folder(path) as out: (out / "new").touch()
"""
    )
    folder_of_one(tmp_path / "out")
    assert process(code, tmp_path / "out").wait() == -signal.SIGKILL
    former, new = (tmp_path / name for name in names(tmp_path))
    assert {former.name[:5], new.name[:5]} == {".out."}
    folder_of_one(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_where_no_locks_are_known_a_leftover_goes_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for name, hours in (("0" * 16, 25), ("1" * 16, 23)):
        leftover = tmp_path / f".out.{name}.part"
        write_text("", leftover / "half")
        os.utime(leftover, (time.time() - hours * 3600,) * 2)
    folder_of_one(tmp_path / "out")
    assert names(tmp_path) == [f".out.{'1' * 16}.part", "out"]


def test_a_lock_keeps_others_out_names_its_holder_and_ends_with_it(tmp_path: Path):
    path = tmp_path / "deep/thing"
    with running("with locked(path): ready()", path) as holder:
        with pytest.raises(ValueError, match=f"thing must be used by one process at a time, but process {holder.pid} "):
            locked(path, wait=False).__enter__()
        assert names(path.parent) == ["thing.lock"]
        assert holder.stdin
        holder.stdin.close()
        holder.wait()
        with locked(path, wait=False):
            pass
    assert names(path.parent) == []
    with running("with locked(path): ready()", path):
        pass
    assert names(path.parent) == ["thing.lock"], "killed"
    with locked(path, wait=False), pytest.raises(ValueError, match=f"process {os.getpid()} "):
        locked(path, wait=False).__enter__()
    assert names(path.parent) == []


def test_those_that_wait_for_a_lock_come_one_after_the_other(tmp_path: Path):
    count = tmp_path / "count"
    count.write_text("0")
    code = """
for _ in range(100):
    with locked(path): path.write_text(str(int(path.read_text()) + 1))
"""
    adders = [process(code, count) for _ in range(3)]
    for _ in range(100):
        with locked(count):
            count.write_text(str(int(count.read_text()) + 1))
    assert [adder.wait() for adder in adders] == [0, 0, 0]
    assert count.read_text() == "400"
    assert names(tmp_path) == ["count"]


CHECKOUT = Path(__file__).parents[2]
ELSEWHERE = {
    ("platform/posebed/training/log.py", "rename"): "the former checkpoint stays beside the newest, for a resume",
    ("pipelines/posestages/commands/films.py", "rename"): "a film, which OpenCV wrote under a name with its ending",
    ("pipelines/posestages/commands/init.py", "rename"): "folder and file that DVC made whole elsewhere",
    ("pipelines/posestages/commands/dry_run.py", "imwrite"): "noise in a temporary folder that ends with the command",
    ("platform/posebed/training/engine.py", "save"): "a checkpoint of torch, into a folder that is not finished yet",
    ("platform/posebed/training/begun_epoch.py", "save"): "what is done of an epoch, beside that checkpoint",
    ("platform/posebed/training/zero.py", "save_checkpoint"): "as that of torch, by DeepSpeed",
    ("platform/posebed/jobs/worker.py", "open"): "lines are appended to a log",
    ("platform/posebed/jobs/outcomes.py", "open"): "what a task printed elsewhere is appended to its log",
    ("platform/posebed/data/pack.py", "open_memmap"): "crops, into a folder that is not finished yet",
    ("platform/posebed/testing/datasets.py", "write_bytes"): "damage, into the folder of a test",
}
"""Files that are written by other means than ``posebed.files``, and why."""
WRITERS = {
    *("write_text", "write_bytes", "rename", "save_file", "imwrite", "open_memmap", "save_checkpoint"),
    *("NamedTemporaryFile", "mkstemp"),
}
WRITERS_OF = {"os": {"replace", "rename"}, "shutil": {"move", "copytree"}, "torch": {"save"}, "np": {"save", "savez"}}
OURS = ("posebed.files", "posebed.own_json")
INTO_UNFINISHED = {"to_parquet", "write_table", "ZipFile", "open"}
"""What may write to a path that ``writing`` gives, which is called ``unfinished`` everywhere."""


def written_by_hand(source: str) -> Iterator[str]:
    """The names of calls that write to a file's own name."""
    nodes = [*ast.walk(ast.parse(source))]
    own = {a.name for n in nodes if isinstance(n, ast.ImportFrom) and n.module in OURS for a in n.names}
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        of = ""
        if isinstance(node.func, ast.Attribute):
            name = node.func.attr
            of = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        elif isinstance(node.func, ast.Name):
            name = node.func.id
            if name in own:
                continue
        else:
            continue
        words = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
        mode = any(isinstance(w, str) and re.fullmatch(r"[rbt]*[wax+][wabt+]*", w) for w in words)
        into = {of, *(a.id for a in node.args if isinstance(a, ast.Name))}
        # A table is written to its first argument, a zip file and an open file only in a mode that writes.
        opens = name in INTO_UNFINISHED and (mode or name in {"to_parquet"} or of == "pq")
        if name in WRITERS or name in WRITERS_OF.get(of, ()) or (opens and "unfinished" not in into):
            yield name


def test_no_other_module_writes_a_file_by_hand():
    found = set[tuple[str, str]]()
    for root in ("platform/posebed", "platform/menagerie", "pipelines/posestages"):
        for path in sorted((CHECKOUT / root).rglob("*.py")):
            place = path.relative_to(CHECKOUT).as_posix()
            if place != "platform/posebed/files.py" and "/templates/" not in place:
                found |= {(place, name) for name in written_by_hand(path.read_text())}
    assert found == {*ELSEWHERE}


@pytest.mark.parametrize(
    "line",
    [
        "path.write_text('x')",
        "path.with_name('y').write_bytes(data)",
        "open(path, 'w')",
        "path.open(mode='ab')",
        "io.open(path, 'x')",
        "path.rename(other)",
        "os.replace(one, other)",
        "table.to_parquet(path)",
        "pq.write_table(table, path)",
        "zipfile.ZipFile(path, 'w')",
        "cv2.imwrite(str(path), picture)",
        "shutil.move(one, other)",
    ],
)
def test_such_lines_would_be_found(line: str):
    assert [*written_by_hand(line)]


@pytest.mark.parametrize(
    "line",
    [
        "from posebed.files import write_text\nwrite_text(text, path)",
        "path.open('rb')",
        "text.replace('a', 'b')",
        "pq.write_table(table, unfinished)",
        "unfinished.open('w')",
    ],
)
def test_such_lines_are_fine(line: str):
    assert not [*written_by_hand(line)]


@pytest.mark.parametrize("write", [writing, writing_folder])
@pytest.mark.parametrize("through_a_link", [False, True])
def test_what_is_neither_file_nor_folder_is_never_replaced(tmp_path: Path, write: Any, through_a_link: bool):
    place = tmp_path / "pipe"
    os.mkfifo(place)
    if through_a_link:
        (tmp_path / "link").symlink_to(place)
    given = tmp_path / "link" if through_a_link else place
    told = "must be a (file|folder), or not be there, but is a device, pipe or socket"
    with pytest.raises(ValueError, match=told), write(given):
        raise AssertionError
    assert place.is_fifo()
    assert given.is_symlink() == through_a_link


def test_a_folder_replaces_no_file_and_a_file_no_folder(tmp_path: Path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    wrong = [(writing_folder, "file", "be a folder, .* is a file"), (writing, "folder", "be a file, .* is a folder")]
    for write, name, told in wrong:
        with pytest.raises(ValueError, match=told), write(tmp_path / name):
            raise AssertionError
    assert (tmp_path / "file").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_text_that_no_reader_would_take_is_not_written(tmp_path: Path):
    for text in ("a\udcff", "\ud83d"):
        with pytest.raises(ValueError, match="a thing must be in UTF-8, but holds bytes that are not"):
            write_json({"text": text}, tmp_path / "thing.json", THING)
        assert not [*tmp_path.iterdir()]
    for text in ("\\ud800", "🐈"):
        write_json({"text": text}, tmp_path / "thing.json", THING)
        assert read_json(tmp_path / "thing.json", THING) == {"text": text}
        (tmp_path / "thing.json").unlink()


def test_a_pipe_in_place_of_a_lock_is_named(tmp_path: Path):
    os.mkfifo(tmp_path / "file.lock")
    with pytest.raises(ValueError, match=r"file\.lock must be a file .* but is a device or a pipe"):
        locked(tmp_path / "file").__enter__()
    (tmp_path / "file.lock").unlink()
    (tmp_path / "file.lock").symlink_to("/dev/null")
    with pytest.raises(ValueError, match=r"file\.lock must be a file"):
        locked(tmp_path / "file").__enter__()


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.touch()
    os.truncate(path, 2**36)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"must be a list of at most 500\.0 MB, but has more"):
        read_json_list(path, "a list")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    path.write_bytes(b"[" + b"{}," * 10_000_000 + b"{}]")
    with pytest.raises(
        ValueError, match=r"must be a list that takes at most 2\.0 GB of memory, but takes about 2\.3 GB"
    ):
        read_json_list(path, "a list")
