"""Tell Ray that machines will be taken away: their trainings keep a checkpoint and go on elsewhere.

For whatever learns of it: a job script, a pod's last hook, or this itself, where a cloud gives notice on the machine.

Usage: python -m posestages.leave [--all] [--seconds N] [--notice aws|gcp]
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime

from posebed.jobs.departure import announce
from posebed.jobs.ray_variables import host_and_port
from posestages.ending import run

PATIENCE = 5
"""Seconds within which a service of the cloud answers, and between two questions: AWS asks for no more."""
FIRST_TRIES = 12
"""A machine that has just started may not reach the service yet."""


def seconds_on_aws(service: str) -> float | None:
    """Until the spot machine is taken away; None as long as there is no notice.

    Raises:
        OSError: the service does not answer.
    """
    token = _answer(f"{service}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    try:
        told = _answer(f"{service}/latest/meta-data/spot/instance-action", {"X-aws-ec2-metadata-token": token})
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    end = datetime.fromisoformat(json.loads(told)["time"])
    return max(0.0, (end - datetime.now(UTC)).total_seconds())


def seconds_on_gcp(service: str) -> float | None:
    """The same; Google gives the half minute after its notice, and no time.

    Raises:
        OSError: the service does not answer.
    """
    told = _answer(f"{service}/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
    return 30.0 if told.strip() == "TRUE" else None


CLOUDS: dict[str, tuple[str, Callable[[str], float | None]]] = {
    "aws": ("http://169.254.169.254", seconds_on_aws),
    "gcp": ("http://metadata.google.internal", seconds_on_gcp),
}


def _answer(address: str, headers: dict[str, str], method: str = "GET") -> str:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on the machine's own link
    asked = urllib.request.Request(address, headers=headers, method=method)  # noqa: S310  # an operator gave it
    with direct.open(asked, timeout=PATIENCE) as answer:
        return answer.read().decode()


def noticed(cloud: str, service: str | None = None) -> float:
    """Wait until the cloud says that this machine will be taken away; seconds until then.

    Raises:
        ValueError: this is no machine of that cloud: the service refuses the first question, or does not answer for a
            minute.
    """
    address, seconds_left = CLOUDS[cloud]
    tries, answered = 0, False
    while True:
        tries += 1
        try:
            left = seconds_left(service or address)
        except OSError as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if not answered and (refused or tries == FIRST_TRIES):
                told = f"--notice {cloud} must be used on a machine of that cloud, but its service said: {error}"
                raise ValueError(told) from error
            print(f"asking for a notice again, since: {error}", file=sys.stderr, flush=True)
        else:
            if left is not None:
                return left
            answered = True
        time.sleep(PATIENCE)


def _announced(address: str, seconds: float, everywhere: bool) -> int:
    """Announce it; while there is time, a cluster that does not answer is told again."""
    end = time.monotonic() + seconds
    while True:
        try:
            return announce(address, end - time.monotonic(), everywhere)
        except ValueError as error:
            if time.monotonic() > end:
                raise
            print(f"telling Ray again, since {error}", file=sys.stderr, flush=True)
            time.sleep(1)


def main(words: list[str]) -> None:
    parser = ArgumentParser(prog="python -m posestages.leave", description="Tell Ray that machines will be taken away.")
    parser.add_argument("--all", action="store_true", help="all machines of the cluster, not this one")
    parser.add_argument("--seconds", type=float, default=120, help="until then, where no notice says it (120)")
    parser.add_argument("--notice", choices=CLOUDS, help="wait until this cloud gives notice to this machine")
    parser.add_argument("--service", help="where the cloud gives notice, if not at its usual address")
    given = parser.parse_args(words)
    if not (address := os.environ.get("RAY_ADDRESS")):
        raise ValueError("RAY_ADDRESS must name the cluster, as HOST:PORT, but is not set")
    if address != "auto":
        host_and_port(address)
    seconds = noticed(given.notice, given.service) if given.notice else given.seconds
    going = _announced(address, seconds, given.all)
    print(f"told Ray that {going} of its nodes will be gone in {seconds:.0f} seconds")


if __name__ == "__main__":
    run(main)
