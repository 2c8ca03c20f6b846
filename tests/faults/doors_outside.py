"""Doors to what lies outside of a project: the tracker, the database of studies, the cluster, and Ray's variables.

Each breaks one thing in a prepared project and names the command that then must go on, or refuse in one sentence.
Its project is that of ``artefact_project``, in which the run ``continued`` is to do.
"""

from __future__ import annotations

import os
import random
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from faults.door import Door

Variables = Mapping[str, str]
Break = Callable[[Path, ExitStack], Variables]
"""Breaks something in a folder until the stack is closed, and returns the variables of the command."""

GOES_ON, NOT_WRITTEN, REFUSED = 0, 1, 2
SECRET = "hush-hush"  # noqa: S105
"""A password that must be in nothing that is printed or written."""
SEARCH = {
    "model": "simple_baseline",
    "split": "quads",
    "pack": "small",
    "budget": {"trials": 1},
    "only": ["train.lr"],
    "train": {"engine": "torch", "epochs": 1},
}


@dataclass(frozen=True)
class Broken:
    """A broken thing and the command that meets it."""

    kind: str
    name: str
    command: tuple[str, ...]
    """Words behind ``posebed``."""
    code: int
    """Of the end: 0 where the run goes on, and then standard error has exactly one line with ``says``; 1 of
    ``track`` and ``gc``, which say so on standard output; 2 with one sentence on standard error."""
    breaks: Break
    says: str = ""
    """A part of the line or sentence."""
    again: bool = False
    """The run ``floor`` is to be scored once more, on this machine's cluster, which takes half a minute."""

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Variables]:
        """Break it; meanwhile the command is to be run in the folder, with these variables."""
        if self.again:
            for name in ("result.json", "task.json"):
                (folder / "runs/floor" / name).unlink(missing_ok=True)
        with ExitStack() as stack:
            yield {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", **self.breaks(folder, stack)}


def file(place: str, breaks: Callable[[Path, ExitStack], object]) -> Break:
    """Break a database of the project."""

    def broken(folder: Path, stack: ExitStack) -> Variables:
        path = folder / place
        path.parent.mkdir(exist_ok=True)
        breaks(path, stack)
        return {}

    return broken


def with_search(broken: Break) -> Break:
    """In a project that has the search ``tune``."""

    def both(folder: Path, stack: ExitStack) -> Variables:
        params = folder / "params.yaml"
        content = yaml.safe_load(params.read_text())
        content["searches"]["tune"] = SEARCH
        params.write_text(yaml.safe_dump(content))
        return broken(folder, stack)

    return both


def variables(**values: str) -> Break:
    return lambda _, __: values


def _bytes(content: bytes) -> Callable[[Path, ExitStack], None]:
    def write(path: Path, _: ExitStack) -> None:
        path.write_bytes(content)

    return write


def _changed(change: Callable[[bytearray], bytes]) -> Callable[[Path, ExitStack], None]:
    """Of a sound database; a small one is made where there is none."""

    def write(path: Path, _: ExitStack) -> None:
        if not path.exists():
            _run(path, "CREATE TABLE studies (study_id INTEGER)", "INSERT INTO studies VALUES (1)")
        path.write_bytes(change(bytearray(path.read_bytes())))

    return write


def _flipped(content: bytearray) -> bytes:
    for at in range(64, len(content), 5):
        content[at] ^= 0xFF
    return bytes(content)


def _folder(path: Path, _: ExitStack) -> None:
    path.unlink(missing_ok=True)
    (path / "inner").mkdir(parents=True)


def _pipe(path: Path, _: ExitStack) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _loop(path: Path, _: ExitStack) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


def _device(path: Path, _: ExitStack) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def _socket(path: Path, stack: ExitStack) -> None:
    path.unlink(missing_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        stack.enter_context(socket.socket(socket.AF_UNIX)).bind(path.name)
    finally:
        os.chdir(here)


def _foreign(path: Path, _: ExitStack) -> None:
    path.unlink(missing_ok=True)
    _run(path, 'CREATE TABLE "[/bold]\x1b[31m" (x)')


def _version(path: Path, _: ExitStack) -> None:
    if not path.exists():
        _run(path, "CREATE TABLE studies (study_id INTEGER)", "CREATE TABLE alembic_version (version_num TEXT)")
        _run(path, "INSERT INTO alembic_version VALUES ('v2.4.0.a')")
    _run(path, "UPDATE alembic_version SET version_num = 'zzz'")


def _without(table: str) -> Callable[[Path, ExitStack], None]:
    return lambda path, _: _run(path, f"DROP TABLE {table}")


def _held(mode: str) -> Callable[[Path, ExitStack], None]:
    def hold(path: Path, stack: ExitStack) -> None:
        if not path.exists():
            _run(path, "CREATE TABLE studies (study_id INTEGER)")
        connection = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
        connection.execute(f"BEGIN {mode}")

    return hold


def _run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


DAMAGE = "is damaged or no database"
FILES: dict[str, tuple[Callable[[Path, ExitStack], object], str]] = {
    "random bytes": (_bytes(random.Random(0).randbytes(30_000)), DAMAGE),
    "a text": (_bytes(b"no database\n" * 1000), DAMAGE),
    "zeros": (_bytes(bytes(8192)), DAMAGE),
    "its first 100 bytes": (_changed(lambda content: bytes(content[:100])), ""),
    "a wrong first letter": (_changed(lambda content: b"X" + content[1:]), DAMAGE),
    "flipped bytes": (_changed(_flipped), DAMAGE),
    "a folder": (_folder, "is a folder"),
    "a pipe": (_pipe, "is no regular file"),
    "a socket": (_socket, "is no regular file"),
    "an endless device": (_device, "is no regular file"),
    "a loop of links": (_loop, "cannot be looked at"),
    "a database of another program": (_foreign, "database of another program"),
    "another version": (_version, "version"),
    "a lock": (_held("EXCLUSIVE"), "is locked by another process"),
}
"""What may lie where a database should, and a part of the sentence."""
WRITERS_LOCK = (_held("IMMEDIATE"), "is locked by another process")
MLFLOW_TABLES = ("runs", "experiments", "metrics")

ADDRESSES = {
    "a closed port": (f"http://me:{SECRET}@127.0.0.1:9", "nothing answers at 127.0.0.1:9"),
    "an unknown host": (f"http://me:{SECRET}@nowhere.invalid:5000", "nothing answers at nowhere.invalid:5000"),
    "a port of six digits": (f"http://me:{SECRET}@127.0.0.1:999999", "the address of a tracker must be"),
    "half an address of IPv6": (f"http://me:{SECRET}@[::1", "the address of a tracker must be"),
    "no host": ("http://", "the address of a tracker must be"),
    "no scheme": ("nonsense", "to which MLflow writes no more"),
    "an unknown scheme": (f"gopher://me:{SECRET}@127.0.0.1/x", "the address of a tracker must be"),
    "a folder": ("./mlruns", "to which MLflow writes no more"),
    "a folder's address": ("file:///tmp", "to which MLflow writes no more"),
    "Postgres out of reach": (f"postgresql+psycopg2://me:{SECRET}@127.0.0.1:9/x", "nothing answers at 127.0.0.1:9"),
    "Postgres without its driver": (f"postgresql+psycopg://me:{SECRET}@127.0.0.1:9/x", "posebed[cluster]"),
    "MySQL without its driver": (f"mysql://me:{SECRET}@127.0.0.1:9/x", "not installed"),
    "an unknown driver": (f"postgresql+none://me:{SECRET}@127.0.0.1:9/x", "the address of a database must be"),
    "a password with signs": (f"postgresql+psycopg2://me:/@{SECRET}?:#@127.0.0.1:9/x", ""),
    "SQLite below a file": ("sqlite:///params.yaml/x.db", "cannot be looked at"),
    "SQLite below a device": ("sqlite:////dev/null/x.db", "cannot be looked at"),
    "a name of 300 letters": (f"sqlite:///{'x' * 300}.db", "cannot be looked at"),
    "escape sequences": ("gopher://\x1b[31mred/[/bold]", "the address of a tracker must be"),
    "a megabyte": (f"gopher://{'x' * 100_000}", "the address of a tracker must be"),
}
"""Of trackers, and a part of the sentence."""
STUDIES = {
    "no address": ("nonsense", "the address of a database must be"),
    "an unknown scheme": (f"redis://me:{SECRET}@127.0.0.1:9/0", "the address of a database must be"),
    "a scheme of old": (f"postgres://me:{SECRET}@127.0.0.1:9/x", "the address of a database must be"),
    "Postgres out of reach": (f"postgresql+psycopg2://me:{SECRET}@127.0.0.1:9/x", "nothing answers at 127.0.0.1:9"),
    "Postgres without its driver": (f"postgresql+psycopg://me:{SECRET}@127.0.0.1:9/x", "posebed[cluster]"),
    "MySQL without its driver": (f"mysql://me:{SECRET}@127.0.0.1:9/x", "not installed"),
    "a port that is none": (f"postgresql+psycopg2://me:{SECRET}@127.0.0.1:port/x", "the address of a database must be"),
    "a secret in the query": (f"postgresql+psycopg2://127.0.0.1:9/x?user=me&password={SECRET}", "nothing answers"),
    "SQLite below a file": ("sqlite:///params.yaml/x.db", "cannot be looked at"),
    "the tracker's database": ("sqlite:///mlflow.db", "database of another program"),
    "a folder": ("sqlite:///data", "is a folder"),
}
CLUSTERS = {
    "a closed port": "127.0.0.1:9",
    "an unknown host": "nowhere.invalid:6379",
    "no address": "nonsense",
    "no port": "127.0.0.1",
    "letters as port": "127.0.0.1:abc",
    "a port of six digits": "127.0.0.1:999999",
    "the port 0": "127.0.0.1:0",
    "a page's address": "http://127.0.0.1:6379",
    "a client's address": "ray://127.0.0.1:10001",
    "a password": f"redis://me:{SECRET}@127.0.0.1:6379",
    "spaces": "  ",
    "escape sequences": "\x1b[31m:6379",
    "100,000 letters": "x" * 100_000,
}
RAY = {
    "RAY_AUTH_MODE": "nonsense",
    "RAY_worker_niceness": "abc",
    "RAY_memory_usage_threshold": "x",
    "RAY_task_retry_delay_ms": "",
    "RAY_TMPDIR": "/dev/null",
    "RAY_AUTH_TOKEN_PATH": "/nowhere/token",
}
SERVERS: dict[str, Callable[[socket.socket], object]] = {
    "a server that hangs up": lambda connection: None,
    "a server that sends a page": lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "a server that sends noise": lambda connection: connection.sendall(random.Random(0).randbytes(5000)),
    "a silent server": lambda connection: time.sleep(6),
}


def serving(answer: Callable[[socket.socket], object], form: str, variable: str) -> Break:
    """A server, whose port the variable holds."""

    def broken(_: Path, stack: ExitStack) -> Variables:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.callback(server.shutdown, socket.SHUT_RDWR)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        answer(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        return {variable: form.format(port=server.getsockname()[1])}

    return broken


def doors() -> Iterator[Door]:
    for one in (*_tracker_doors(), *_study_doors(), *_cluster_doors(), *_option_doors()):
        command, seconds = ("posebed", *one.command), 180 if one.again else 60
        yield Door("outside", one.kind, one.name, command, one.opened, (one.code,), one.says, seconds=seconds)


def _tracker_doors() -> Iterator[Broken]:
    for name, (breaks, says) in FILES.items():
        yield Broken("tracker's file", name, ("track",), NOT_WRITTEN, file("mlflow.db", breaks), says)
        read = ("report", "--from-mlflow", "sqlite:///mlflow.db", "--out", "page")
        yield Broken("tracker's file, read", name, read, REFUSED, file("mlflow.db", breaks), says)
    breaks, says = WRITERS_LOCK
    yield Broken("tracker's file", "a writer's lock", ("track",), NOT_WRITTEN, file("mlflow.db", breaks), says)
    for table in MLFLOW_TABLES:
        yield Broken("tracker's file", f"no table {table}", ("track",), NOT_WRITTEN, file("mlflow.db", _without(table)))
    for name in ("random bytes", "a folder", "a lock"):
        breaks, says = FILES[name]
        yield Broken("run", name, ("run", "floor"), GOES_ON, file("mlflow.db", breaks), says, again=True)
    for name, (address, says) in ADDRESSES.items():
        broken = variables(MLFLOW_TRACKING_URI=address)
        yield Broken("tracker's address", name, ("track",), NOT_WRITTEN, broken, says)
        yield Broken("tracker's address, read", name, ("report", "--from-mlflow", address), REFUSED, variables(), says)
    for name in ("a closed port", "Postgres without its driver"):
        address, says = ADDRESSES[name]
        broken = variables(MLFLOW_TRACKING_URI=address)
        yield Broken("run", name, ("run", "floor"), GOES_ON, broken, says, again=True)
    for place in ("new.db", "sub/new.db", f"{'sub/' * 20}new.db"):
        read = ("report", "--from-mlflow", f"sqlite:///{place}")
        yield Broken("tracker's address, read", place[-12:], read, REFUSED, variables(), "there is no such file")
    for name, answer in SERVERS.items():
        broken = serving(answer, f"http://me:{SECRET}@127.0.0.1:{{port}}", "MLFLOW_TRACKING_URI")
        yield Broken("tracker's server", name, ("track",), NOT_WRITTEN, broken)


def _study_doors() -> Iterator[Broken]:
    for name, (breaks, says) in FILES.items():
        broken = with_search(file(".posebed/studies.db", breaks))
        yield Broken("studies' file", name, ("search", "tune"), REFUSED, broken, says)
    for name, (address, says) in STUDIES.items():
        broken = with_search(variables(POSEBED_STUDIES=address))
        yield Broken("studies' address", name, ("search", "tune"), REFUSED, broken, says)
        yield Broken("studies' address, read", name, ("dashboard",), REFUSED, broken, says)
    yield Broken("studies' file, read", "none", ("dashboard",), REFUSED, variables(), "there is no such file")
    for name in ("random bytes", "a lock"):
        breaks, says = FILES[name]
        yield Broken("studies' file, cleared", name, ("gc",), NOT_WRITTEN, file(".posebed/studies.db", breaks), says)


MANY_DIGITS, VERY_MANY_DIGITS = "9" * 400, "9" * 5000
OPTIONS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "days of 400 digits": (("gc", "--dry-run", "--days", MANY_DIGITS), "--days"),
    "days of 5,000 digits": (("gc", "--dry-run", "--days", VERY_MANY_DIGITS), "--days"),
    "a negative seed": (("presets", "kitpose-e2c4-w32-ap10k", "--seed", "-1"), "--seed"),
    "a seed of 400 digits": (("presets", "kitpose-e2c4-w32-ap10k", "--seed", MANY_DIGITS), "--seed"),
    "shots of 5,000 digits": (("curve", "prototypes", "--shots", VERY_MANY_DIGITS), "--shots"),
    "digits of another script": (("curve", "prototypes", "--shots", "\u0663"), "--shots"),
    "a port of none": (("dashboard", "--port", "0"), "--port"),
    "an option that there is not": (("gc", "--dayz", "1"), "--dayz"),
    "a command that there is not": (("predictt",), "predictt"),
    "no argument": (("predict",), "run"),
    "an option's value twice": (("check", ".", "--option", "a=1", "--option", "a=2"), "twice"),
    "no tracker": (("report", "--from-mlflow", ""), "is empty"),
    "a name of the standard library": (("new", "model", "os"), "'os'"),
    "a report in place of the parameters": (("report", "--out", "params.yaml"), "params.yaml"),
    "poses in place of the parameters": (("predict", "baseline", "picture.png", "--out", "params.yaml"), "params.yaml"),
    "maps in place of the parameters": (("inspect", "baseline", "picture.png", "--out", "params.yaml"), "params.yaml"),
    "queries in place of a folder": (("queries", "quads", "--out", "data"), "data"),
    "pictures in a file": (("convert", "data/menagerie/quads", "x", "--pictures", "params.yaml"), "--pictures"),
    "no reason": (("accept", "floor", "--because", ""), "must"),
}
"""By name the words of a command, and what its sentence must name."""
VARIABLES: Mapping[str, tuple[tuple[str, ...], Variables]] = {
    "a storage that is a file": (("gc", "--dry-run"), {"POSEBED_STORAGE": "params.yaml"}),
    "a storage of no kind": (("gc", "--dry-run"), {"POSEBED_STORAGE": "nonsense://x"}),
    "a storage of 100,000 letters": (("gc", "--dry-run"), {"POSEBED_STORAGE": "x" * 100_000}),
    "a cache of words": (("gc", "--dry-run"), {"POSEBED_CACHE_GB": "abc"}),
    "a cache of less than nothing": (("gc", "--dry-run"), {"POSEBED_CACHE_GB": "-1"}),
}


def _option_doors() -> Iterator[Broken]:
    for name, (command, says) in OPTIONS.items():
        yield Broken("option", name, command, REFUSED, variables(), says)
    for name, (command, values) in VARIABLES.items():
        yield Broken("variable", name, command, REFUSED, variables(**values), next(iter(values)))
    for width in ("1000000000", VERY_MANY_DIGITS, "-1", "wide"):
        yield Broken("variable", f"COLUMNS {width[:10]}", ("status",), GOES_ON, variables(COLUMNS=width))


def _cluster_doors() -> Iterator[Broken]:
    run = ("run", "continued")
    for name, address in CLUSTERS.items():
        says = "RAY_ADDRESS must be HOST:PORT"
        yield Broken("cluster's address", name, run, REFUSED, variables(RAY_ADDRESS=address), says)
    for name, answer in SERVERS.items():
        says = "where something else answers"
        yield Broken("cluster's server", name, run, REFUSED, serving(answer, "127.0.0.1:{port}", "RAY_ADDRESS"), says)
    for variable, value in RAY.items():
        token = {"RAY_AUTH_MODE": "token"} if variable == "RAY_AUTH_TOKEN_PATH" else {}
        yield Broken("Ray's variable", variable, run, REFUSED, variables(**{**token, variable: value}), variable[:11])
    for key in ("nope", "search@nope", "", "../x", "[/bold]\x1b[31m", "x" * 100_000):
        yield Broken(
            "search", f"key {key[:12]!r}", ("search", key), REFUSED, variables(), "KEY must name a run or search"
        )
