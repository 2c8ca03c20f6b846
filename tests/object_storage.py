"""A server of object storage that speaks S3: OpenStack Swift, in an environment of its own, and memcached.

``uv tool install swift==2.38.3; apt-get install memcached``
"""

from __future__ import annotations

import getpass
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

KEEPERS = ("account", "container", "object")
_USER = "posebed"

_COMMON = """
[DEFAULT]
bind_ip = {host}
bind_port = {port}
user = {user}
swift_dir = {folder}
workers = 0
mount_check = false
"""
_KEEPER = (
    _COMMON
    + """
devices = {folder}
fallocate_reserve = 0
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
)
_PROXY = (
    _COMMON
    + """
[pipeline:main]
pipeline = healthcheck cache bulk s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{account} = {secret} .admin
[filter:slo]
use = egg:swift#slo
"""
)
_RINGS = """
import json, sys
from swift.common.ring import RingBuilder
for kind, port in json.loads(sys.argv[2]).items():
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "disk", "weight": 1})
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{kind}.ring.gz")
"""


def missing() -> str:
    """Why it cannot be started here; empty where it can."""
    commands = ("memcached", *(f"swift-{kind}-server" for kind in (*KEEPERS, "proxy")))
    lacking = [command for command in commands if not _place_of(command)]
    return f"needs {', '.join(lacking)}: uv tool install swift; apt-get install memcached" if lacking else ""


def _place_of(command: str) -> str:
    """Where ``uv tool`` puts commands, whether or not the shell looks there."""
    return shutil.which(command, path=f"{Path.home() / '.local/bin'}{os.pathsep}{os.environ['PATH']}") or ""


@dataclass(frozen=True)
class ObjectStorage:
    """Where the server answers, and the key of its one user."""

    endpoint: str
    key: str
    secret: str = field(repr=False)
    inside: tuple[str, ...] = ()
    """Words before a command that is to run where the server does."""

    @property
    def variables(self) -> Mapping[str, str]:
        """By which libraries of S3 find the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def answers(self) -> bool:
        code = f"import urllib.request as r; r.urlopen({self.endpoint + '/healthcheck'!r}, timeout=5)"
        return subprocess.run([*self.inside, sys.executable, "-c", code], capture_output=True).returncode == 0

    def bucket(self, name: str) -> str:
        """The address of a new, empty bucket."""
        self.called(f"system.mkdir({name!r})")
        return f"s3://{name}"

    def called(self, code: str) -> str:
        """What a line of Python prints, in which ``system`` is s3fs's file system.

        Raises:
            AssertionError: it fails.
        """
        script = f"import s3fs\nsystem = s3fs.S3FileSystem(use_listings_cache=False)\n{code}"
        done = subprocess.run(
            [*self.inside, sys.executable, "-c", script],
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def object_storage(folder: Path, host: str = "127.0.0.1", inside: Sequence[str] = ()) -> Iterator[ObjectStorage]:
    """A server whose files are in a folder, and go with the test.

    Args:
        folder: is made.
        host: address that it answers at.
        inside: words before a command that run it elsewhere, as in another network.
    """
    storage = ObjectStorage(f"http://{host}:{_free_port()}", f"{_USER}:{_USER}", secrets.token_hex(20), tuple(inside))
    folder.mkdir(parents=True)
    (folder / "swift.conf").write_text(f"[swift-hash]\nswift_hash_path_suffix = {secrets.token_hex(8)}\n")
    ports = {name: _free_port() for name in (*KEEPERS, "cache")}
    _rings(folder, {kind: ports[kind] for kind in KEEPERS})
    for kind in KEEPERS:
        _configured(folder, kind, _KEEPER, host="127.0.0.1", port=ports[kind], kind=kind)
    host, port = storage.endpoint.removeprefix("http://").split(":")
    _configured(
        folder, "proxy", _PROXY, host=host, port=port, account=_USER, secret=storage.secret, cache=ports["cache"]
    )
    with ExitStack() as stack:
        cache = [_place_of("memcached"), "-l", "127.0.0.1", "-p", str(ports["cache"]), "-u", getpass.getuser()]
        stack.enter_context(_server([*inside, *cache], folder / "cache.log"))
        for name in (*KEEPERS, "proxy"):
            command = [_place_of(f"swift-{name}-server"), str(folder / f"{name}.conf"), "-v"]
            stack.enter_context(_server([*inside, *command], folder / f"{name}.log"))
        waited_for(storage.answers, 60, "the object storage")
        yield storage


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _rings(folder: Path, ports: Mapping[str, int]) -> None:
    """Say of each kind of entries that there is one disk for them, and which server has it."""
    (folder / "disk").mkdir()
    python = Path(_place_of("swift-proxy-server")).resolve().with_name("python")
    subprocess.run([python, "-c", _RINGS, str(folder), json.dumps(ports)], check=True)


def _configured(folder: Path, name: str, form: str, **values: object) -> None:
    path = folder / f"{name}.conf"
    path.touch(0o600)
    path.write_text(form.format(folder=folder, user=getpass.getuser(), **values))


@contextmanager
def _server(command: Sequence[str], log: Path) -> Iterator[None]:
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
