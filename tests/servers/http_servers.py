"""A server of ours as a process of its own, with a null model in it, for the time of a test."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import wire
from bench.adapters.null import ADAPTER, Options
from bench.core.artifact import Artifact, TensorSpec
from bench.core.serving import IDENTITY_PATH, Service, Site
from servers.config import ServerConfig, write_config
from servers.counters import WorkerCounts, read_counters

NONCE = "the-nonce-of-this-test"
INPUTS = (TensorSpec(name="input", dtype="float32", shape=("batch", 4)),)
OUTPUTS = (
    TensorSpec(name="output", dtype="float32", shape=("batch", 2)),
    TensorSpec(name="second", dtype="float64", shape=("batch",)),
)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def null_service(directory: Path, *, outputs: tuple[TensorSpec, ...] = OUTPUTS, **behaviour: Any) -> Service:
    """A null model that behaves as told, to be served as `m`."""
    path = directory / "model.json"
    path.write_text(json.dumps(behaviour))
    artifact = Artifact(id="a1", format="null", path=str(path), size_bytes=2, inputs=INPUTS, outputs=outputs)
    return Service(model="m", artifact=artifact, adapter="null")


def direct_answer(service: Service, batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the model says without a server."""
    answer: Mapping[str, Any] = ADAPTER.open(service.artifact, threads=1, options=Options()).run(batch)
    return answer


def new_site(directory: Path) -> Site:
    """A place for a topology's files."""
    counters = directory / "counters"
    counters.mkdir()
    return Site(directory=directory, counters_dir=counters, nonce=NONCE, free_port=free_port)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer over HTTP; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """What went wrong, as all errors are told."""
        assert list(self.json) == ["error"]
        text: str = self.json["error"]
        return text


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers."""

    port: int
    process: subprocess.Popen[bytes]
    counters_dir: Path
    service: Service

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=found, body=response.read())

    def get(self, path: str) -> Answer:
        """A page."""
        return self.ask("GET", path)

    def send(self, encoding: str, batch: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
        """A batch in one of the encodings."""
        request = wire.encoding(encoding).encode_request("m", batch, self.service.artifact.outputs)
        return self.ask("POST", request.path, request.body, {**dict(request.headers), **(headers or {})})

    def decoded(self, encoding: str, answer: Answer) -> Mapping[str, Any]:
        """The outputs in an answer."""
        assert answer.status == 200, answer.body
        return wire.encoding(encoding).decode_response(answer.body, answer.headers, self.service.artifact.outputs)

    def raw(self, content: bytes, *, timeout_s: float = 10.0) -> bytes:
        """All that comes back for bytes that need be no HTTP, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            connection.sendall(content)
            return received(connection)

    def counts(self) -> WorkerCounts:
        """What the server counted."""
        (counts,) = read_counters(self.counters_dir)
        return counts


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def running_server(directory: Path, service: Service, **settings: Any) -> Iterator[Running]:
    """One server process with the settings of `ServerConfig`; ended by SIGTERM, and it must go in peace."""
    site = new_site(directory)
    config = ServerConfig(service=service, nonce=NONCE, counters_dir=str(site.counters_dir), port=free_port())
    path = directory / "server.json"
    write_config(path, replace(config, **settings))
    process = subprocess.Popen([sys.executable, "-m", "servers.http_server", str(path)], stderr=subprocess.PIPE)
    server = Running(port=config.port, process=process, counters_dir=site.counters_dir, service=service)
    try:
        wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        _, log = process.communicate(timeout=5)
    assert process.returncode == 0
    assert log == b""


def wait_until_ready(server: Running) -> None:
    """Until the server proves who it is."""
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            if server.get(IDENTITY_PATH).json["nonce"] == NONCE:
                return
        assert server.process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.01)
