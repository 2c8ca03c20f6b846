"""Machines of their own share nothing but the network, and posebed works on them all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import machines as m
from machines import Machines
from processes import gone
from ray_machines import ray_machines
from waiting import waited_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(m.missing()), reason=m.missing() or "there can be machines")]


class TestMachines:
    @pytest.fixture
    def two(self, tmp_path: Path) -> Iterator[Machines]:
        (tmp_path / "project").mkdir()
        (tmp_path / "project/params.yaml").write_text("of the head")
        with m.machines(2, tmp_path / "project") as network:
            yield network

    def test_only_the_head_has_the_project(self, two: Machines, tmp_path: Path) -> None:
        written = tmp_path / "project/params.yaml"
        assert two.head.run("cat", written).stdout == "of the head"
        assert two.others[0].run("cat", written).returncode != 0
        assert two.head.run("cp", written, f"{written}.copy").returncode == 0
        assert (tmp_path / "project/params.yaml.copy").read_text() == "of the head"

    def test_what_one_writes_no_other_sees(self, two: Machines) -> None:
        for place in (*m.WRITABLE, Path.home() / ".ray"):
            path = place / f"posebed-{os.getpid()}"
            assert two.head.run("sh", "-c", f"mkdir -p {place} && touch {path}").returncode == 0
            assert two.head.run("test", "-e", path).returncode == 0
            assert two.others[0].run("test", "-e", path).returncode == 1
            assert not path.exists()

    def test_what_is_installed_can_be_read_and_not_written(self, two: Machines) -> None:
        code = "import numpy, posebed, pathlib; print(posebed.__file__); pathlib.Path(numpy.__file__ + '.x').touch()"
        done = two.others[0].run(sys.executable, "-c", code)
        assert done.stdout.strip() == str(m.REPOSITORY / "platform/posebed/__init__.py")
        assert "Read-only file system" in done.stderr
        two.others[0].hide(m.REPOSITORY / "platform")
        assert two.others[0].run("ls", m.REPOSITORY / "platform").stdout == ""
        assert "posebed" in two.head.run("ls", m.REPOSITORY / "platform").stdout

    def test_each_has_a_name_and_an_address_and_sees_its_own_processes(self, two: Machines) -> None:
        code = "import ray, socket; print(socket.gethostname(), ray.util.get_node_ip_address())"
        found = [machine.run(sys.executable, "-c", code).stdout.split() for machine in two.all]
        assert found == [["m1", "10.77.0.1"], ["m2", "10.77.0.2"]]
        two.head.start("sleep", "1234")
        waited_for(lambda: "sleep 1234" in two.head.processes())
        assert "sleep 1234" not in two.others[0].processes()
        assert not any("raylet" in line or "pytest" in line for line in two.others[0].processes())

    def test_the_switch_is_known_by_the_same_hardware_address_whoever_comes_and_goes(self, two: Machines) -> None:
        def address() -> str:
            return two.switch.told("ip", "-br", "link", "show", "br0").split()[2]

        before = address()
        for _ in range(3):
            two.add()
            assert address() == before
        for machine in two.others:
            machine.kill()
            assert address() == before

    def test_what_comes_over_the_cable_is_counted(self, two: Machines) -> None:
        _serve(two.others[0], 2**20)
        before = [machine.received_bytes() for machine in two.all]
        assert _fetched(two.head, two.others[0].name) == 2**20
        received = [machine.received_bytes() - b for machine, b in zip(two.all, before, strict=True)]
        assert 2**20 < received[0] < 1.2 * 2**20
        assert received[1] < 0.2 * 2**20

    def test_a_cable_is_cut_and_healed(self, two: Machines) -> None:
        _serve(two.others[0], 10)
        two.others[0].cut()
        assert _fetched(two.head, two.others[0].name) is None
        two.others[0].heal()
        waited_for(lambda: _fetched(two.head, two.others[0].name) == 10)

    def test_a_machine_without_power_leaves_nothing(self, two: Machines) -> None:
        running = two.others[0].start("sh", "-c", "setsid sleep 1234 & trap '' TERM HUP; sleep 1234")
        waited_for(lambda: two.others[0].processes().count("sleep 1234") == 2)
        two.others[0].kill()
        assert running.wait(10) != 0
        assert not _left("sleep 1234")
        waited_for(lambda: "port2" not in two.switch.told("ip", "-br", "link"), 10)
        assert "port1" in two.switch.told("ip", "-br", "link")

    def test_whoever_starts_machines_takes_them_along_when_killed(self, tmp_path: Path) -> None:
        code = (
            "import machines, time\nwith machines.machines(2) as two:\n"
            " two.others[0].start('sleep', '4321')\n print('ready', flush=True)\n time.sleep(600)"
        )
        words = [sys.executable, "-c", code]
        path = os.pathsep.join([str(Path(m.__file__).parent), *sys.path])
        links = subprocess.check_output(["ip", "-br", "link"])
        starter = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True)
        assert starter.stdout and starter.stdout.readline() == "ready\n"
        waited_for(lambda: _left("sleep 4321"))
        family = psutil.Process(starter.pid).children(recursive=True)
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        waited_for(lambda: not _left("sleep 4321") and gone(family), 10)
        assert subprocess.check_output(["ip", "-br", "link"]) == links


def _serve(machine: m.Machine, size: int) -> None:
    machine.run("truncate", f"--size={size}", "/tmp/x")  # noqa: S108
    machine.start(sys.executable, "-m", "http.server", "8000", "--directory", "/tmp")  # noqa: S108
    waited_for(lambda: _fetched(machine, "localhost") == size)


def _fetched(machine: m.Machine, name: str) -> int | None:
    code = f"import urllib.request as r; print(len(r.urlopen('http://{name}:8000/x', timeout=2).read()))"
    done = machine.run(sys.executable, "-c", code)
    return None if done.returncode else int(done.stdout)


def _left(command: str) -> bool:
    return any(" ".join(p.info["cmdline"] or []) == command for p in psutil.process_iter(["cmdline"]))


WHERE = """
import json, os, ray, socket
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On
ray.init(log_to_driver=False)
@ray.remote(num_cpus=1)
def where(path):
    return socket.gethostname(), ray.util.get_node_ip_address(), os.path.exists(path)
nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
asked = [where.options(scheduling_strategy=On(node, soft=False)).remote(os.getcwd()) for node in nodes]
print(json.dumps(sorted(ray.get(asked))))
"""


def test_ray_runs_a_function_on_each_machine(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    with ray_machines((1, 1), tmp_path, project=tmp_path / "project") as cluster:
        done = cluster.run(sys.executable, "-c", WHERE, cwd=tmp_path / "project")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [["m1", "10.77.0.1", True], ["m2", "10.77.0.2", False]]
        refused = cluster.run(sys.executable, "-c", WHERE, cwd=tmp_path / "project", RAY_AUTH_TOKEN="f" * 64)
        assert refused.returncode != 0
        assert "token" in refused.stderr
