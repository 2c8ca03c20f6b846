"""The files of cluster/cloud/: valid by Ray's own validator, and alike in what all machines must have."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
import yaml
from ray.autoscaler._private.command_runner import _with_interactive
from ray.autoscaler._private.util import prepare_config, validate_config, with_head_node_ip
from ray.autoscaler.sdk import get_docker_host_mount_location

CHECKOUT = Path(__file__).parents[2]
FILES = sorted((CHECKOUT / "cluster/cloud").glob("*.yaml"))
PAGE = (CHECKOUT / "docs/cluster-cloud.md").read_text()
LISTENS = "-m posestages.leave --notice"
COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
every_cloud = pytest.mark.parametrize("cloud", ["aws", "gcp"])


def read(path: Path) -> dict[str, Any]:
    """Any: what YAML holds."""
    return yaml.safe_load(path.read_text())


def of_cloud(name: str) -> dict[str, Any]:
    return read(CHECKOUT / f"cluster/cloud/{name}.yaml")


def spot_types(settings: dict[str, Any]) -> set[str]:
    kinds = settings["available_node_types"]
    return {kind for kind, node in kinds.items() if "spot" in yaml.safe_dump(node["node_config"]).lower()}


@every_file
def test_ray_takes_the_file_and_refuses_a_misspelt_one(path: Path):
    validate_config(prepare_config(read(path)))
    for key in ("docker", "file_mounts", "head_start_ray_commands"):
        settings = read(path)
        settings[f"{key}s"] = settings.pop(key)
        with pytest.raises(jsonschema.ValidationError, match=f"'{key}s' was unexpected"):
            validate_config(prepare_config(settings))


@every_file
def test_all_machines_have_the_storage_a_token_and_an_image_and_nothing_is_installed_over_it(path: Path):
    settings = prepare_config(read(path))
    docker, mounts = settings["docker"], settings["file_mounts"]
    addresses = [option for option in docker["run_options"] if option.startswith("--env=POSEBED_STORAGE=")]
    assert len(addresses) == 1 and re.search("=(s3|gs)://BUCKET-NAME/", addresses[0])
    assert mounts["/home/posebed/.ray/auth_token"] == "~/.ray/auth_token"  # noqa: S105  # its place
    copied = f"{get_docker_host_mount_location(settings['cluster_name'])}/home/posebed/posebed.env"
    assert f"--env-file={copied}" in docker["run_options"] and "/home/posebed/posebed.env" in mounts
    assert not any("docker" in node for node in settings["available_node_types"].values())
    assert not any(settings[key] for key in ("setup_commands", "head_setup_commands", "worker_setup_commands"))
    assert any("--head" in command and "--num-cpus=0" in command for command in settings["head_start_ray_commands"])
    assert not any("--dashboard-host" in command for command in settings["head_start_ray_commands"])


@every_file
def test_the_head_alone_has_the_project_and_no_machine_mounts_a_file_system(path: Path):
    settings = prepare_config(read(path))
    docker, first = settings["docker"], settings["initialization_commands"]
    for word in ("FILE-SYSTEM", "/shared", "nfs", "sudo mount"):
        assert word not in path.read_text()
    volumes = {
        who: [option.removeprefix("--volume=").split(":") for option in docker[who] if "--volume" in option]
        for who in ("run_options", "head_run_options")
    }
    assert [inside for _, inside in volumes["head_run_options"]] == ["/project"]
    assert [inside for _, inside in volumes["run_options"]] == ["/cache"]
    assert "--env=POSEBED_CACHE=/cache" in docker["run_options"] and "worker_run_options" not in docker
    for folder, _ in [*volumes["run_options"], *volumes["head_run_options"]]:  # Docker would make it for root
        assert any("--owner=1000" in command and folder in command.split() for command in first), folder


@every_cloud
def test_the_head_machine_is_no_spot_machine_and_some_workers_are(cloud: str):
    settings = of_cloud(cloud)
    kinds, spot = settings["available_node_types"], spot_types(settings)
    assert spot and spot < kinds.keys() - {settings["head_node_type"]}
    assert all(kinds[kind]["min_workers"] == 0 for kind in spot)


def test_every_machine_of_aws_has_a_profile_that_the_page_makes():
    kinds = of_cloud("aws")["available_node_types"]
    profiles = {kind: node["node_config"]["IamInstanceProfile"]["Name"] for kind, node in kinds.items()}
    assert profiles == {"head": "posebed-head", "gpu": "posebed-worker", "gpu-spot": "posebed-worker"}
    assert f"for name in {' '.join(dict.fromkeys(profiles.values()))}; do" in PAGE
    policies = [json.loads(text)["Statement"] for text in re.findall(r"'(\{\"Version\".*?)'$", PAGE, re.M | re.S)]
    rights = {str(right["Action"]): right.get("Resource") for policy in policies for right in policy}
    assert rights["iam:PassRole"] == "arn:aws:iam::*:role/posebed-worker"
    assert rights["s3:ListBucket"] == "arn:aws:s3:::BUCKET-NAME"


def test_every_machine_of_google_has_an_account_that_ray_or_the_page_makes():
    settings = of_cloud("gcp")
    for kind, node in settings["available_node_types"].items():
        (account,) = node["node_config"]["serviceAccounts"]
        name = "ray-autoscaler-sa-v1" if kind == settings["head_node_type"] else "posebed-worker"
        assert account["email"] == f"{name}@PROJECT-ID.iam.gserviceaccount.com"
        assert account["scopes"] == ["https://www.googleapis.com/auth/cloud-platform"]
    assert "gcloud iam service-accounts create posebed-worker" in PAGE


@every_file
def test_workers_that_may_be_spot_machines_listen_for_the_notice_and_the_head_does_not(path: Path):
    settings = prepare_config(read(path))
    cloud = {"aws": "aws", "gcp": "gcp"}.get(path.stem)
    assert bool(spot_types(settings)) == bool(cloud)
    listening = [command for command in settings["worker_start_ray_commands"] if LISTENS in command]
    assert len(listening) == bool(cloud) and all(f"{LISTENS} {cloud} " in command for command in listening)
    assert not any(LISTENS in command for key in COMMANDS if "worker_start" not in key for command in settings[key])


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    """Home of a user for whom ``ray`` and ``python`` note how they are called; python then stays."""
    programs = tmp_path / "bin"
    programs.mkdir()
    note = '#!/bin/sh\necho "$RAY_ADDRESS $(basename "$0") $*" >> ~/calls\n'
    for name, rest in {"ray": "", "python": "echo listening; exec sleep 300\n"}.items():
        (programs / name).write_text(note + rest)
        (programs / name).chmod(0o755)
    (tmp_path / ".profile").write_text(f"PATH={programs}:$PATH\n")  # as the image's
    yield tmp_path
    for process in psutil.process_iter(["cmdline", "environ"]):
        if (process.info["environ"] or {}).get("HOME") == str(tmp_path):
            process.kill()


def in_a_terminal(command: str, home: Path) -> None:
    """Run a command as Ray does in a container: an interactive login shell, whose terminal is closed when it ends."""
    wrapped = " ".join(_with_interactive(command.replace("~/", f"{home}/")))
    script = ["script", "--quiet", "--return", "--command", wrapped, "/dev/null"]
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "SHELL": "/bin/bash", "TERM": "dumb"}
    ended = subprocess.run(script, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stdout.decode()


@every_cloud
def test_a_worker_started_twice_has_one_listener_which_outlives_the_terminal(cloud: str, machine: Path):
    settings = prepare_config(of_cloud(cloud))
    commands = [*settings["worker_setup_commands"], *settings["worker_start_ray_commands"]]
    listeners: list[psutil.Process] = []
    for start in (1, 2):
        for command in with_head_node_ip(commands, "10.0.0.1"):
            in_a_terminal(command, machine)
        listeners.append(psutil.Process(int((machine / "leave.pid").read_text())))
        until = time.monotonic() + 20
        while (machine / "calls").read_text().count(LISTENS) < start:
            assert time.monotonic() < until, (machine / "leave.log").read_text()
            time.sleep(0.05)
    listeners[1].send_signal(signal.SIGHUP)  # as a terminal that hangs up may
    psutil.wait_procs(listeners[:1], timeout=10)
    time.sleep(0.2)
    assert [process.is_running() for process in listeners] == [False, True]
    listened = f"10.0.0.1:6379 python {LISTENS} {cloud}"
    once = [" ray stop", " ray start --address=10.0.0.1:6379 --object-store-memory=500000000", listened]
    assert (machine / "calls").read_text().splitlines() == 2 * once
    assert (machine / "leave.log").read_text() == "listening\n"


@every_file
def test_the_commands_of_files_and_page_are_ones_that_a_shell_reads(path: Path):
    settings = prepare_config(read(path))
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    commands = [command for key in COMMANDS for command in settings[key]]
    assert len(blocks) >= 5 and len(commands) >= 5
    for command in [*blocks, *commands]:
        parsed = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, timeout=60)
        assert parsed.returncode == 0, f"{command}: {parsed.stderr}"


@every_file
def test_the_page_names_the_file_and_every_word_to_fill_in(path: Path):
    assert path.name in PAGE
    plain = re.sub(r"#.*", "", path.read_text())
    for word in re.findall(r"\b[A-Z]+-[A-Z-]+\b|\bREGISTRY\b", plain):
        assert word in PAGE, word
