"""The dashboard answers this machine's user, and no page of another site."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from command_line import posebed
from posestages.commands.dashboard import asked_by_name


def answer(method: str = "GET", **headers: str) -> str:
    """The status of a request with these headers."""
    told: list[str] = []

    def app(_: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", [])
        return [b"studies"]

    def start(status: str, _: list[tuple[str, str]]) -> None:
        told.append(status)

    body = b"".join(asked_by_name(app, 8080)({"REQUEST_METHOD": method, **headers}, start))
    assert (b"studies" in body) == (told == ["200 OK"])
    return told[0]


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080"])
def test_this_machine_s_names_are_answered(host: str):
    assert answer(HTTP_HOST=host) == "200 OK"
    assert answer("POST", HTTP_HOST=host, HTTP_ORIGIN=f"http://{host}") == "200 OK"


@pytest.mark.parametrize(
    "host", ["evil.example:8080", "127.0.0.1", "localhost:8081", "", "localhost:8080.evil.example"]
)
def test_other_names_are_not(host: str):
    assert answer(HTTP_HOST=host) == "403 Forbidden"


def test_changes_from_pages_of_other_sites_are_not_taken():
    for origin in ("http://evil.example", "null", "http://localhost:9"):
        assert answer("DELETE", HTTP_HOST="localhost:8080", HTTP_ORIGIN=origin) == "403 Forbidden"


@pytest.mark.slow
def test_without_studies_there_is_nothing_to_show_and_nothing_is_made(project: Any):
    done = posebed("dashboard")
    assert done.returncode == 2 and "must hold studies, but there is no such file" in done.stderr
    assert not (project / ".posebed/studies.db").exists()
