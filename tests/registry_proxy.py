"""Stands before a real schema registry: wants a password, fails, or lags, as a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx


class RegistryProxy(ThreadingHTTPServer):
    """Forwards requests to the registry; what it does otherwise is set by attributes."""

    daemon_threads = True

    def __init__(self, registry: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = registry
        self.authorization = ""
        """Header that requests need; empty: none."""
        self.answer: tuple[int, str] | None = None
        """Status and body of every answer; None: the registry's own."""
        self.unknown_ids = 0
        """So many questions for an id are answered as by a node that has not heard of it yet."""
        self.asked: list[str] = []
        """Method and path of each request."""

    @property
    def url(self) -> str:
        """Return the base of the API behind it."""
        return f"http://127.0.0.1:{self.server_port}{urlsplit(self.target).path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RegistryProxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append(f"{self.command} {self.path}")
        status, text = self._own() or self._registrys(body)
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _forward  # noqa: N815 - the names that http.server asks for

    def _own(self) -> tuple[int, bytes] | None:
        server = self.server
        if server.authorization and self.headers.get("authorization") != server.authorization:
            return 401, b'{"error_code": 401, "message": "Unauthorized"}'
        if server.answer is not None:
            return server.answer[0], server.answer[1].encode()
        if "/schemas/ids/" in self.path and server.unknown_ids > 0:
            server.unknown_ids -= 1
            return 404, b'{"error_code": 40403, "message": "Schema not found"}'
        return None

    def _registrys(self, body: bytes) -> tuple[int, bytes]:
        target = urlsplit(self.server.target)
        url = f"{target.scheme}://{target.netloc}{self.path}"
        headers = {"content-type": self.headers.get("content-type", "application/json")}
        answer = httpx.request(self.command, url, content=body, headers=headers, timeout=30)
        return answer.status_code, answer.content

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def registry_proxy(registry: str) -> Iterator[RegistryProxy]:
    """Run a proxy for the length of the block."""
    with RegistryProxy(registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
