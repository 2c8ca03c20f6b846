"""Notices of clouds that a machine will be taken away."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from cloud_notices import service
from posestages import leave


def test_aws_is_asked_until_it_gives_notice(monkeypatch: pytest.MonkeyPatch):
    """A question that fails in between is asked again."""
    monkeypatch.setattr(leave, "PATIENCE", 0.01)
    end = datetime.now(UTC) + timedelta(seconds=90)
    notice = json.dumps({"action": "terminate", "time": end.strftime("%Y-%m-%dT%H:%M:%SZ")})
    with service("aws", (404, ""), (404, ""), (500, ""), (200, notice)) as address:
        assert 80 < leave.noticed("aws", address) <= 90


def test_google_is_asked_until_it_gives_notice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leave, "PATIENCE", 0.01)
    with service("gcp", (200, "FALSE"), (503, ""), (200, "TRUE")) as address:
        assert leave.noticed("gcp", address) == 30


def test_a_service_that_cannot_be_reached_is_asked_a_few_times(monkeypatch: pytest.MonkeyPatch):
    """As on a machine that has just started, or on one of no cloud."""
    monkeypatch.setattr(leave, "PATIENCE", 0.01)
    with service("gcp") as address:
        pass
    with pytest.raises(ValueError, match=r"must be used on a machine of that cloud, but its service said: .*refused"):
        leave.noticed("gcp", address)
    with service("gcp", *[(503, "")] * (leave.FIRST_TRIES - 1), (200, "TRUE")) as address:
        assert leave.noticed("gcp", address) == 30


@pytest.mark.parametrize(
    ("words", "address", "needed"),
    [
        (["--notice", "aws"], "127.0.0.1:6379", "--notice aws must be used on a machine of that cloud"),
        (["--notice", "gcp"], "127.0.0.1:6379", "--notice gcp must be used on a machine of that cloud"),
        ([], "", "RAY_ADDRESS must name the cluster"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(words: list[str], address: str, needed: str):
    with service("neither") as nothing:
        there = ["--service", nothing] if words else []
        command = [sys.executable, "-m", "posestages.leave", *words, *there]
        ended = subprocess.run(command, env={"RAY_ADDRESS": address}, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and needed in ended.stderr and ended.stderr.count("\n") == 1, ended.stderr


@pytest.mark.services
def test_a_cluster_that_does_not_answer_is_told_in_a_sentence():
    """After Ray's own patience of half a minute."""
    command = [sys.executable, "-m", "posestages.leave", "--seconds", "1"]
    ended = subprocess.run(command, env={"RAY_ADDRESS": "127.0.0.1:1"}, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("a cluster must answer at 127.0.0.1:1, but said: ")
