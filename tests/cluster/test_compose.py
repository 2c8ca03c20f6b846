"""cluster/services/compose.yaml: valid by the Compose specification, and fitting the script that it runs."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from services_script import SCRIPT, SERVICES, is_secret, settings, settings_of

PAGE = (SERVICES.parents[1] / "docs/cluster-services.md").read_text()
TEXT = (SERVICES / "compose.yaml").read_text()
VARIABLE = re.compile(r"\$\{(\w+)(?::\?|:-([^}]*))\}")


def filled(text: str) -> str:
    """With the settings in the places of variables, as Compose puts them."""
    known = settings() | {"REGISTRY": "registry.example/team"}
    return VARIABLE.sub(lambda found: known.get(found[1]) or found[2], text)


def services() -> dict[str, Any]:
    return yaml.safe_load(filled(TEXT))["services"]


def test_the_file_is_valid_and_a_misspelt_one_is_refused():
    PyCompose.from_yaml(filled(TEXT)).validate()
    for written, misspelt in (
        ("entrypoint", "entrypoints"),
        ("interval", "intervall"),
        ("service_healthy", "service_health"),
        ("cap_drop", "cap_drops"),
    ):
        assert written in TEXT
        with pytest.raises(ValueError, match=misspelt):
            PyCompose.from_yaml(filled(TEXT.replace(written, misspelt, 1))).validate()


def test_every_variable_is_a_setting_a_word_of_the_page_or_has_a_default():
    for name, default in VARIABLE.findall(TEXT):
        assert name in settings() or default or name in PAGE, name


def test_a_service_is_given_all_settings_that_its_part_of_the_script_reads():
    assert {*services()} == {"postgres", "storage", "mlflow", "buckets"}
    for name, service in services().items():
        read, given = settings_of(name), service["environment"]
        assert read and read <= given.keys(), name
        assert {*filter(is_secret, given)} <= read, "no secret that it does not need"


def test_services_volumes_ports_and_commands_fit_together():
    volumes = yaml.safe_load(TEXT)["volumes"]
    for name, service in services().items():
        assert service["entrypoint"] == ["sh", "/services/services.sh", name]
        assert "./:/services:ro" in service["volumes"]
        sources = {place.split(":")[0] for place in service["volumes"]} - {"./"}
        assert sources <= volumes.keys()
        assert {*service.get("depends_on", {})} <= services().keys()
        for port in service.get("ports", ()):
            host, _, inside = port.split(":")
            assert host == settings()["SERVICES_HOST"] == "127.0.0.1", "published where nobody said otherwise"
            assert inside in service["environment"].values()
        for address in re.findall(r"http://(\w+):(\d+)", str(service["environment"])):
            assert address[1] == services()[address[0]]["environment"]["STORAGE_PORT"]
    assert services()["mlflow"]["environment"]["POSTGRES_HOST"] in services()


def test_no_secret_stands_in_the_files_and_no_two_are_alike():
    secrets = [value for name, value in settings().items() if is_secret(name)]
    assert len({*secrets}) == len(secrets) == 6 and all(re.fullmatch("[0-9a-f]{48}", one) for one in secrets)
    again = subprocess.run(["sh", str(SERVICES / "services.sh"), "secrets"], capture_output=True, text=True).stdout
    assert not any(one in again for one in secrets)
    for name, service in services().items():
        for variable in filter(is_secret, service["environment"]):
            assert f"{variable}: ${{{variable}:?}}" in TEXT, name
    ignored = subprocess.run(["git", "check-ignore", "-q", "services.env"], cwd=SERVICES)
    assert ignored.returncode == 0


def test_the_page_gives_every_command_of_the_script_and_names_every_file():
    words = {"secrets", *re.findall(r"^  (\w+)\) ", SCRIPT, re.MULTILINE)}
    assert len(words) == 6 and words == {*re.findall(r"services/services\.sh (\w+)", PAGE)}
    for path in SERVICES.iterdir():
        assert path.name in PAGE, path.name
