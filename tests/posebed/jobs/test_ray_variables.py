"""What Ray cannot use is refused in a sentence and within seconds, before Ray is loaded."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.jobs.ray_variables import check_address, cluster_address, host_and_port

CHECKED = """
from posebed.jobs.ray_variables import check_variables
try:
    check_variables()
except ValueError as error:
    print(error)
import sys
assert "ray" not in sys.modules
"""


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:abc",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        ":6379",
        "http://127.0.0.1:6379",
        "ray://127.0.0.1:10001",
        "redis://me:hush-hush@h:1",
        "me:hush-hush@127.0.0.1:6379",
        "a b:1",
        "\x1b[31mred:1",
        "x" * 5000,
        "[::1:6379",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(address: str):
    with pytest.raises(ValueError, match="RAY_ADDRESS must be HOST:PORT") as caught:
        check_address(address)
    sentence = str(caught.value)
    assert "hush-hush" not in sentence and sentence.isprintable() and len(sentence) < 300


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(address: str):
    try:
        host, port = host_and_port(address)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert host and 0 < port < 65536


def test_an_address_of_ipv6_is_one():
    assert host_and_port("[fe80::1]:6379") == ("fe80::1", 6379)


@contextmanager
def server(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def page(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


ANSWERS: dict[str, Callable[[socket.socket], object]] = {
    "hangs up": lambda connection: None,
    "is silent": lambda connection: time.sleep(3),
    "sends a page": page,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_server_that_is_no_head_is_told_within_seconds(answer: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("posebed.jobs.ray_variables.REACH_SECONDS", 1.0)
    begun = time.monotonic()
    with server(ANSWERS[answer]) as address, pytest.raises(ValueError, match="where something else answers"):
        check_address(address)
    assert time.monotonic() - begun < 10


def test_a_closed_port_is_told_at_once():
    with pytest.raises(ValueError, match=r"nothing answers at 127.0.0.1:9.*unset it to work on this machine alone"):
        check_address("127.0.0.1:9")


@pytest.mark.parametrize("value", ["", "local"])
def test_without_an_address_this_machine_s_own_cluster_is_meant(value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", value)
    assert cluster_address() == ""


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RAY_AUTH_MODE": "nonsense"}, "RAY_AUTH_MODE must be token or disabled, but is 'nonsense'\n"),
        (
            {"RAY_worker_niceness": "abc"},
            "RAY_worker_niceness must be a value that Ray takes, but is 'abc'; unset",
        ),
        ({"RAY_worker_niceness": "0", "RAY_task_retry_delay_ms": "x"}, "RAY_task_retry_delay_ms must be a value"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/nowhere/x"}, "RAY_AUTH_TOKEN_PATH must be a file with"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/dev/null"}, "RAY_AUTH_TOKEN_PATH must be a file with"),
        ({"RAY_worker_niceness": "0"}, ""),
    ],
)
def test_a_setting_of_another_type_is_named(variables: dict[str, str], words: str):
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(filter(None, sys.path)), **variables}
    checked = subprocess.run([sys.executable, "-c", CHECKED], env=environment, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout.startswith(words), checked.stderr
    assert bool(checked.stdout) == bool(words)
