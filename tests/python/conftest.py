"""What the tests stand on: the lab's engines, found through environment variables, and an engine that answers slowly."""

from __future__ import annotations

import json
import os
import socketserver
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import dockerkit as dk
import pytest

TOP = Path(__file__).resolve().parents[2]


def lab(name: str) -> str:
    """A value of the lab's contract, or a skip that says which one is missing."""
    value = os.environ.get(name, "")
    if not value:
        pytest.skip(f"the lab has no {name} (tests/run sets it)")
    return value


@pytest.fixture(scope="session", params=["DOCKERKIT_LAB_ENGINE", "DOCKERKIT_LAB_ENGINE_28"])
def endpoint(request: pytest.FixtureRequest) -> str:
    """Each engine of the lab."""
    return lab(str(request.param))


@pytest.fixture
def engine(endpoint: str) -> Iterator[dk.Engine]:
    """A connection to each engine of the lab."""
    with dk.Engine.connect(endpoint) as engine:
        yield engine


@pytest.fixture
def image() -> str:
    """A busybox image that every engine of the lab has."""
    return lab("DOCKERKIT_LAB_IMAGE")


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"dk-py-{uuid.uuid4().hex[:10]}"


class Handler(BaseHTTPRequestHandler):
    """Answers the version and ping; anything else gets no answer until the client goes away."""

    protocol_version = "HTTP/1.1"
    api_version = "1.43"

    def do_GET(self) -> None:
        path = self.path.split("?", maxsplit=1)[0]
        if path.endswith(("/version", "/_ping")):
            body = json.dumps({"Version": "99.0", "ApiVersion": self.api_version, "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}).encode()
            self.send_response(200)
            self.send_header("Api-Version", self.api_version)
            self.send_header("OSType", "linux")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        server = self.server
        assert isinstance(server, SlowServer)
        server.waiting.release()
        while self.rfile.read(1):
            pass
        server.gone.release()
        self.close_connection = True

    do_HEAD = do_GET

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class SlowServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An engine that never finishes its answers."""

    daemon_threads = True

    def __init__(self, path: str, handler: type[Handler] = Handler) -> None:
        self.path = path
        self.waiting = threading.Semaphore(0)
        self.gone = threading.Semaphore(0)
        super().__init__(path, handler)

    @property
    def endpoint(self) -> str:
        return f"unix://{self.path}"


@contextmanager
def served(server: SlowServer) -> Iterator[SlowServer]:
    """Runs an engine that is a stand-in."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[SlowServer]:
    """An engine that never finishes its answers."""
    with served(SlowServer(str(tmp_path / "slow.sock"))) as server:
        yield server


class OldHandler(Handler):
    """Speaks the API of Docker 19.03."""

    api_version = "1.40"


@pytest.fixture
def old(tmp_path: Path) -> Iterator[SlowServer]:
    """An engine that is too old."""
    with served(SlowServer(str(tmp_path / "old.sock"), OldHandler)) as server:
        yield server
