"""Optuna's dashboard over the project's studies, for this machine's user alone: Optuna's own command answers whatever
name it is asked by, so that any page in the browser could read and delete studies."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIServer, make_server

LOOPBACK = "127.0.0.1"
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def serve(port: int, say: Callable[[str], object]) -> None:
    """Show the studies in a browser until it is interrupted.

    Raises:
        ValueError: there are no studies, they cannot be opened, the dashboard is not installed or the port is taken.
    """
    from posebed.jobs.study import OWN_STORAGE, STORAGE, open_storage

    if not os.environ.get(STORAGE) and not OWN_STORAGE.is_file():
        raise ValueError(f"{OWN_STORAGE} must hold studies, but there is no such file; `posebed search KEY` makes it")
    storage = open_storage()
    try:
        import optuna_dashboard  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise ValueError(
            "the dashboard needs the package optuna-dashboard, which is not installed; `pip install "
            "'posebed[dashboard]'`"
        ) from error
    app: Any = optuna_dashboard.wsgi(storage)
    try:
        server = make_server(LOOPBACK, port, asked_by_name(app, port), server_class=_Server)
    except OSError as error:
        raise ValueError(f"--port must be free, but {port} is not: {error.strerror}; choose another one") from error
    with server:
        say(f"The studies: http://{LOOPBACK}:{server.server_port} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended", file=sys.stderr)


def asked_by_name(app: App, port: int) -> App:
    """The app, which answers only those who ask for this machine by name, and takes changes from its own pages alone:
    a foreign page in the browser may reach it under a name of its own."""
    names = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
    origins = {"", *(f"http://{name}" for name in names)}

    def checked(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environment.get("HTTP_HOST") in names and environment.get("HTTP_ORIGIN", "") in origins:
            return app(environment, start)
        start("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"ask for http://{LOOPBACK}:{port}\n".encode()]

    return checked
