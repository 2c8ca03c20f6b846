"""Services of clouds that give notice to a machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


@contextmanager
def service(cloud: str, *answers: tuple[int, str]) -> Iterator[str]:
    """The address of a service that answers so in turn, and whose clients must speak as the cloud demands."""
    waiting = iter(answers)

    class Answers(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            known = (
                cloud == "aws" and self.path == "/latest/api/token" and self.headers["Content-Length"] in (None, "0")
            )
            lifetime = int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"])
            self._answer(*((200, "token") if known and 1 <= lifetime <= 21600 else (403, "")))

        def do_GET(self) -> None:
            asked = (
                self.path,
                self.headers["X-aws-ec2-metadata-token"] or "",
                self.headers["Metadata-Flavor"] or "",
            )
            known = {
                "aws": ("/latest/meta-data/spot/instance-action", "token", ""),
                "gcp": ("/computeMetadata/v1/instance/preempted", "", "Google"),
            }
            self._answer(*(next(waiting) if asked == known.get(cloud) else (403, "")))

        def _answer(self, code: int, text: str) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
