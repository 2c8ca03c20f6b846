"""The cluster of this machine starts under load and below a deep temporary folder, or is refused in a sentence."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posebed.jobs.local_cluster import FOLDER, SESSION, temporary_folder

PATIENCE = 500
LINUX_LIMIT = 107
TASK = """
from posebed.jobs.cluster import connect
import ray
connect([])
print(ray.get(ray.remote(lambda: "a task ran").remote()))
"""
LATE_AGENTS = """
import sys, time
if any(word.endswith(("dashboard/agent.py", "agent/main.py")) for word in sys.orig_argv):
    time.sleep(25)
"""
FAILS_ONCE = """
import functools, posebed.jobs.cluster, psutil
from ray._private import services
start, attempts = services.start_raylet, []
@functools.wraps(start)
def start_raylet(*words, **settings):
    attempts.append(1)
    if len(attempts) == 1:
        raise OSError("no raylet")
    return start(*words, **settings)
services.start_raylet = start_raylet
"""
SERVERS = """
servers = [p for p in psutil.Process().children(recursive=True) if p.name() == "gcs_server"]
print(len(attempts), "attempts,", len(servers), "server")
"""
STRANGER = """
import os, subprocess, sys
join = f"from ray._raylet import GcsClient; GcsClient(address={ray.get_runtime_context().gcs_address!r})"
without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
for environment in (os.environ, without):
    joined = subprocess.run([sys.executable, "-c", join], env=environment, capture_output=True, text=True)
    print(joined.returncode, "AuthenticationError" in joined.stderr)
"""


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that makes a token of its own."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**others, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@settings(max_examples=50, deadline=None)
@given(name=st.text("aé", min_size=1, max_size=200), variable=st.sampled_from(["TMPDIR", "RAY_TMPDIR"]))
def test_the_sockets_of_any_temporary_folder_have_a_path_that_the_system_takes(name: str, variable: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_TMPDIR", raising=False)
        patch.setenv(variable, f"/{name}")
        chosen = temporary_folder()
        assert len(os.fsencode(f"{chosen}{SESSION.removeprefix(FOLDER)}")) <= LINUX_LIMIT
        assert chosen == f"/{name}/{FOLDER}" or len(os.fsencode(name)) > LINUX_LIMIT - len(SESSION) - 10


def test_without_a_short_folder_to_write_to_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_TMPDIR", "/" + "long" * 40)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="RAY_TMPDIR must be a folder whose path has at most"):
        temporary_folder()


@pytest.mark.services
@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_cluster_starts_below_a_temporary_folder_with_a_long_path(tmp_path: Path, variable: str):
    deep = tmp_path / ("d" * (150 - len(str(tmp_path)) - 1))
    deep.mkdir()
    ran = python(TASK, **{variable: str(deep)})
    assert ran.stdout == "a task ran\n", ran.stderr
    assert f"Ray's files lie in /tmp/{FOLDER}" in ran.stderr


@pytest.mark.services
def test_a_cluster_starts_although_its_agents_take_longer_than_the_raylet_would_wait(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(LATE_AGENTS)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = python(TASK, PYTHONPATH=path)
    assert ran.stdout == "a task ran\n", ran.stderr
    assert "trying again" not in ran.stderr


@pytest.mark.services
def test_workers_are_as_nice_as_the_command_that_starts_them():
    ended = python(TASK.replace('"a task ran"', "__import__('os').nice(0)") + "import os; print(os.nice(0))")
    of_worker, of_command = ended.stdout.split()
    assert of_worker == of_command


@pytest.mark.services
def test_a_process_without_the_token_is_refused():
    ran = python(TASK + STRANGER)
    assert ran.stdout == "a task ran\n0 False\n1 True\n", ran.stderr


@pytest.mark.services
def test_a_start_that_fails_is_repeated_once_and_leaves_no_process_behind():
    ran = python(FAILS_ONCE + TASK + SERVERS)
    assert ran.stdout == "a task ran\n2 attempts, 1 server\n", ran.stderr
    assert ran.stderr.count("trying again: no raylet") == 1


@pytest.mark.services
def test_a_machine_without_a_place_for_rays_files_is_refused_in_one_sentence(project: Path):
    ran = subprocess.run(
        [sys.executable, "-c", "from posestages.cli import main; main()", "run", "baseline"],
        env={**os.environ, "RAY_TMPDIR": os.devnull},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ran.returncode == 2, ran.stderr
    assert "must be a folder of this user alone for Ray's files, but Not a directory" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not Path("runs/baseline").exists()


LISTENS = """
import psutil, socket
processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
places = {c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
print(*sorted({place.removeprefix("::ffff:") for place in places}))
"""


@pytest.mark.services
def test_a_cluster_of_this_machine_listens_on_the_loopback_alone():
    with TemporaryDirectory(dir="/tmp") as place:  # tmp_path is too long for sockets
        ran = python(TASK + LISTENS, RAY_TMPDIR=place)
        assert ran.stdout == "a task ran\n127.0.0.1\n", ran.stderr
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in Path(place).iterdir()] == [0o700]
