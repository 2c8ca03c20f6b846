"""cluster/Containerfile: its lines parse, name what is there, and make one environment of both lock files."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from containerfile import CHECKOUT, instructions

KNOWN = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER"}


def pins(path: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z][\w.-]*)==(\S+)", (CHECKOUT / path).read_text(), re.MULTILINE))


def test_every_instruction_is_known_and_every_command_parses():
    found = instructions()
    assert {word for word, _ in found} == KNOWN
    for command in (rest for word, rest in found if word == "RUN"):
        subprocess.run(["sh", "-n", "-c", command], check=True)
    broken = subprocess.run(["sh", "-n", "-c", "case x in"], capture_output=True, check=False)
    assert broken.returncode


def test_what_is_copied_is_in_the_checkout_or_in_an_earlier_stage():
    stages = {rest.split(" AS ")[1] for word, rest in instructions() if word == "FROM" and " AS " in rest}
    for words in (shlex.split(rest) for word, rest in instructions() if word == "COPY"):
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
        else:
            assert all((CHECKOUT / source).exists() for source in words[:-1])


def test_the_image_gets_every_package_of_the_wheel():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    copied = {shlex.split(rest)[0] for word, rest in instructions() if word == "COPY"}
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {package.split("/")[0] for package in wheel} <= copied
    assert {project["project"]["readme"], *project["project"]["license-files"]} <= {
        source for word, rest in instructions() if word == "COPY" for source in shlex.split(rest)[:-1]
    }


def test_the_last_user_is_not_root():
    assert [rest for word, rest in instructions() if word == "USER"] == ["1000:1000"]
    assert [word for word, _ in instructions()][-2:] == ["USER", "WORKDIR"]


def test_both_lock_files_name_the_same_versions():
    first, second = pins("requirements.lock.txt"), pins("cluster/image.lock.txt")
    shared = first.keys() & second.keys()
    assert "ray" in shared
    assert {name: first[name] for name in shared} == {name: second[name] for name in shared}


@pytest.mark.parametrize("accelerator", ["cpu", "cuda", "tpu"])
def test_the_variant_without_cuda_lacks_its_packages_alone(accelerator: str, tmp_path: Path):
    (choose,) = [rest for word, rest in instructions() if word == "RUN" and rest.startswith("case")]
    (tmp_path / "requirements.lock.txt").write_text((CHECKOUT / "requirements.lock.txt").read_text())
    (tmp_path / "uv").write_text("#!/bin/sh\necho uv $@ >> uv.txt\n")  # in the place of an installation
    (tmp_path / "uv").chmod(0o755)
    told = subprocess.run(
        ["sh", "-c", choose],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "ACCELERATOR": accelerator},
        capture_output=True,
        text=True,
        check=False,
    )
    if accelerator == "tpu":
        assert told.returncode == 1 and "must be cuda or cpu, but is tpu" in told.stderr
        return
    assert told.returncode == 0, told.stderr
    locked, kept = pins("requirements.lock.txt"), pins(str(tmp_path / "packages.txt"))
    left_out = locked.keys() - kept.keys()
    assert kept.items() <= locked.items()
    if accelerator == "cuda":
        assert not left_out
    else:
        assert {"torch", "torchvision", "triton"} < left_out
        assert all(re.match("torch|torchvision|triton|nvidia-|cuda-", name) for name in left_out)
        assert not any(name.startswith(("nvidia-", "cuda-")) for name in kept)
        installed = (tmp_path / "uv.txt").read_text()
        assert f"torch=={locked['torch']} torchvision=={locked['torchvision']}" in installed
