"""The files of cluster/cloud/: valid by Ray's own validator, and alike in what all machines must have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

CHECKOUT = Path(__file__).parents[2]
FILES = sorted((CHECKOUT / "cluster/cloud").glob("*.yaml"))
PAGE = (CHECKOUT / "docs/cluster-cloud.md").read_text()
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    """Any: what YAML holds."""
    return yaml.safe_load(path.read_text())


@every_file
def test_ray_takes_the_file_and_refuses_a_misspelt_one(path: Path):
    validate_config(prepare_config(read(path)))
    for key in ("docker", "file_mounts", "head_start_ray_commands"):
        settings = read(path)
        settings[f"{key}s"] = settings.pop(key)
        with pytest.raises(jsonschema.ValidationError, match=f"'{key}s' was unexpected"):
            validate_config(prepare_config(settings))


@every_file
def test_all_machines_share_a_folder_a_token_and_an_image_and_nothing_is_installed_over_it(path: Path):
    settings = prepare_config(read(path))
    assert any("sudo mount" in command and "/shared" in command for command in settings["initialization_commands"])
    assert "--volume=/shared:/shared" in settings["docker"]["run_options"]
    assert "--env=POSEBED_STORAGE=/shared/storage" in settings["docker"]["run_options"]
    assert [*settings["file_mounts"].values()] == ["~/.ray/auth_token"]
    setup = ("setup_commands", "head_setup_commands", "worker_setup_commands")
    assert not any(settings[key] for key in setup)
    assert any("--head" in command and "--num-cpus=0" in command for command in settings["head_start_ray_commands"])
    assert not any("--dashboard-host" in command for command in settings["head_start_ray_commands"])


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_the_head_machine_is_no_spot_machine_and_some_workers_are(name: str):
    settings = read(CHECKOUT / f"cluster/cloud/{name}.yaml")
    kinds = settings["available_node_types"]
    spot = {kind for kind, node in kinds.items() if "spot" in yaml.safe_dump(node["node_config"]).lower()}
    assert spot and spot < kinds.keys() - {settings["head_node_type"]}
    assert all(kinds[kind]["min_workers"] == 0 for kind in spot)


@every_file
def test_the_page_names_the_file_and_every_word_to_fill_in(path: Path):
    assert path.name in PAGE
    plain = re.sub(r"#.*", "", path.read_text())
    for word in re.findall(r"\b[A-Z]+-[A-Z-]+\b|\bREGISTRY\b", plain):
        assert word in PAGE, word
