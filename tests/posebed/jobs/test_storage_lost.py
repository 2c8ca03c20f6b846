"""A storage that vanishes under way: the command says so and ends, and goes on once there is one again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import object_storage
from command_line import posebed_process
from waiting import waited_for

pytestmark = [pytest.mark.slow, pytest.mark.services]


def test_a_bucket_that_is_removed_while_a_run_trains_is_told_and_the_run_goes_on_with_another(
    project: Path, server: object_storage.ObjectStorage, uri: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project)
    params = yaml.safe_load((project / "params.yaml").read_text())
    train = {"epochs": 100, "checkpoint_every": 1, "engine": "torch"}  # long enough to lose the bucket in
    params["runs"] = {"long": {"model": "simple_baseline", "split": "quads", "pack": "small", "train": train}}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    for name, value in {**server.variables, "POSEBED_STORAGE": server.bucket("vanishing")}.items():
        monkeypatch.setenv(name, value)

    code = "from posestages.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "run"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as command:
        waited_for(lambda: "curve.json" in server.called("print(system.find('vanishing/jobs'))"), 300)
        while command.poll() is None:  # what is on its way into a bucket when that goes makes it anew
            server.called("system.exists('vanishing') and system.rm('vanishing', recursive=True)")
        printed, _ = command.communicate(timeout=300)
    assert command.returncode == 1 and "Traceback" not in printed, printed
    told = "train long seed 0: failed: the storage s3://vanishing must take jobs/"
    assert told in " ".join(printed.split()), printed
    assert not [*Path("runs/long/seed-0").glob("train*")]

    monkeypatch.setenv("POSEBED_STORAGE", server.bucket("another"))
    again = posebed_process("run")
    assert again.returncode == 0, again.stdout + again.stderr
    assert Path("runs/long/result.json").is_file()
