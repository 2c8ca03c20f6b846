"""A bare Debian: the project sets itself up and passes its quick tests; the image's lines run, copy and install.

mmdebstrap makes the root, with python3, python3-venv, make and git. It stands in the place of the image that
``cluster/Containerfile`` starts from, whose ``python`` and ``pip`` it has in a virtual environment under /usr/local.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from containerfile import CHECKOUT, instructions

PACKAGES = "python3,python3-venv,make,git,ca-certificates"
QUICK = "tests/posebed/test_config.py tests/posebed/metrics"
CONFIGURED = ("PIP_", "UV_", "SSL_CERT_FILE")
"""Beginnings of variables by which this machine's pip and uv find packages."""


def missing() -> str:
    """Why there can be no root here; empty where there can."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        return "needs root and Debian's mmdebstrap"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True)
    return "" if tried.returncode == 0 else "needs namespaces"


pytestmark = [
    pytest.mark.slow(minutes=6),
    pytest.mark.services,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(bool(missing()), reason=missing() or "there can be a root"),
]


class Root:
    """A Debian in a folder. Commands see it alone, but for this machine's settings of pip and uv, and uv's cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=900)

    def run(self, command: str, cwd: str = "/", **variables: str) -> None:
        """Run a command of the shell there.

        Raises:
            AssertionError: it fails.
        """
        own = {name: value for name, value in os.environ.items() if name.startswith(CONFIGURED)}
        settings = {"HOME": "/root", "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", **own, **variables}
        inside = ["chroot", str(self.folder), "env", "-i", *(f"{n}={v}" for n, v in settings.items())]
        words = [*inside, "sh", "-ec", f"cd {shlex.quote(cwd)}; {command}"]
        script = "\n".join([*self._mounts(), f"exec {shlex.join(words)}"])
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        done = subprocess.run([*namespaces, "sh", "-ec", script], capture_output=True, text=True, timeout=1800)
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"

    def _mounts(self) -> Iterator[str]:
        root = self.folder
        yield f"mount --rbind /dev {root}/dev; mount -t proc proc {root}/proc; cp /etc/resolv.conf {root}/etc/"
        for path in _configuration():
            target = Path(f"{root}{path}")
            make = f"mkdir -p {target}" if path.is_dir() else f"mkdir -p {target.parent}; touch {target}"
            yield f"{make}; mount --bind {path} {target}"


def _configuration() -> list[Path]:
    """Files and folders that pip and uv are told of on this machine."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    variables = [value for name, value in os.environ.items() if name.startswith(CONFIGURED)]
    named = [Path(path) for path in re.findall(r"/[\w./-]+", " ".join([told, *variables]).replace("file://", ""))]
    own = [Path.home() / name for name in (".config/pip", ".config/uv", ".cache/uv")]
    # The pages of an index in a folder name files beside it.
    indices = [path.parent for path in named if path.name == "simple"]
    return [path for path in dict.fromkeys([Path("/etc/pip.conf"), *own, *named, *indices]) if path.exists()]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = Root(tmp_path / "root")
    yield made
    shutil.rmtree(made.folder, ignore_errors=True)


def export(target: Path, paths: Sequence[str] = ()) -> None:
    """The committed files, or some of them, as a builder of images is given them."""
    target.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["git", "archive", "HEAD", *paths], cwd=CHECKOUT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(target)], input=archive, check=True)


def test_the_project_sets_itself_up_and_passes_quick_tests_where_nothing_else_is(root: Root):
    export(root.folder / "project")
    root.run("make setup", cwd="/project")
    chosen = "not slow and not services and not faults"
    root.run(f".venv/bin/pytest -q -p no:cacheprovider -m '{chosen}' {QUICK}", cwd="/project")


def test_every_line_of_the_image_runs_and_its_user_has_the_command(root: Root):
    """The variant for CUDA, since the other takes torch from an index of its own."""
    root.run("python3 -m venv /usr/local")
    export(root.folder / "context")
    settings, folder = {"ACCELERATOR": "cuda", "DEBIAN_FRONTEND": "noninteractive"}, "/"
    for word, rest in instructions():
        if word == "ENV":
            for name, value in (pair.split("=", 1) for pair in shlex.split(rest)):
                settings[name] = value.replace("$PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        elif word == "WORKDIR":
            folder = rest
            root.run(f"mkdir -p {rest}")
        elif word == "COPY":
            root.run(copying(rest, folder))
        elif word == "RUN":
            root.run(rest, cwd=folder, **settings)
    user = "setpriv --reuid 1000 --regid 1000 --clear-groups"
    root.run(f"{user} posebed --help", **settings)
    root.run(f"{user} bash --login -c 'posebed --help'", PATH="/usr/bin:/bin")
    root.run(f"{user} python -c 'import torch, deepspeed, ray, s3fs, psycopg2'", **settings)


def copying(rest: str, folder: str) -> str:
    """The command of the shell that does what COPY does. Both stages are one root here: what one copies from the other
    is there."""
    *sources, target = shlex.split(rest)
    if sources[0].startswith("--from="):
        return "true"
    place = f"{folder}/{target}" if not target.startswith("/") else target
    whole = len(sources) == 1 and (CHECKOUT / sources[0]).is_dir()
    copied = f"/context/{sources[0]}/." if whole else shlex.join(f"/context/{source}" for source in sources)
    return f"mkdir -p {place}; cp -r {copied} {place}"
