"""Servers that tests start and end."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from processes import family
from waiting import waited_for


def free_port(others: int = 0) -> int:
    """A port that nobody uses, and so many behind it."""
    while True:
        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            port = place.getsockname()[1]
        if port + others < 65536 and not any(answers(port + n) for n in range(1, others + 1)):
            return port


def answers(port: int) -> bool:
    with socket.socket() as place:
        return place.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(
    words: Sequence[str], port: int, log: Path, environment: Mapping[str, str] | None = None, patience: float = 0
) -> Iterator[psutil.Process]:
    """A server that answers at this port of the loopback; it is killed with all that it started.

    Args:
        patience: seconds before that in which it may end as if interrupted.
    """
    with log.open("ab") as file:
        server = subprocess.Popen(words, stdout=file, stderr=file, env=environment)

    def ready() -> bool:
        assert server.poll() is None, log.read_text(errors="replace")
        return answers(port)

    try:
        waited_for(ready, 300, f"the server of {log}")
        yield psutil.Process(server.pid)
    finally:
        if patience:
            server.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(patience)
        for process in (*(family(server.pid) if server.poll() is None else ()), server):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        server.wait()


@contextmanager
def tracking_server(folder: Path, port: int) -> Iterator[str]:
    """MLflow's, without passwords, which keeps everything in this folder; its address."""
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/tracked.db", "--artifacts-destination", str(folder / "kept")]
    with serving(words, port, folder / "server.log"):
        yield f"http://127.0.0.1:{port}"


class _TakesNothing(BaseHTTPRequestHandler):
    """Tells that there is no experiment, and fails at all else."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200 if self.path.endswith("/experiments/search") else 500)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@contextmanager
def tracker_that_takes_nothing() -> Iterator[str]:
    """The address of a tracker that lets everybody in and then fails at all that it is to write."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _TakesNothing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
