"""A TFS-protocol server with null models, in this process or in one of its own, and callers of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from bench.core.artifact import Artifact, TensorSpec
from bench.core.serving import Service, Site
from bench.wire.protobuf import serving
from servers.tfs.assembly import Server
from servers.tfs.flags import parse_flags
from servers.tfs.service_file import write_service

INPUTS = (TensorSpec(name="input", dtype="float32", shape=("batch", 4)),)
OUTPUTS = (
    TensorSpec(name="output", dtype="float32", shape=("batch", 2)),
    TensorSpec(name="value", dtype="float32", shape=("batch",)),
)
SAMPLE = np.ones((1, 4), np.float32)
PREDICTION = "/tensorflow.serving.PredictionService"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def null_service(directory: Path, **behaviour: Any) -> Service:
    path = directory / f"null-{len(list(directory.glob('null-*')))}.json"
    path.write_text(json.dumps(behaviour))
    artifact = Artifact(id="a1", format="null", path=str(path), size_bytes=2, inputs=INPUTS, outputs=OUTPUTS)
    return Service(model="m", artifact=artifact, adapter="null")


def add_version(base_path: Path, number: int, **behaviour: Any) -> None:
    """Appears whole, as a careful person would bring it there."""
    base_path.mkdir(parents=True, exist_ok=True)
    hidden = base_path / f".{number}"
    hidden.mkdir()
    write_service(hidden, null_service(base_path.parent, **behaviour))
    hidden.rename(base_path / str(number))


def site(directory: Path) -> Site:
    (directory / "counters").mkdir(exist_ok=True)
    return Site(directory=directory, counters_dir=directory / "counters", nonce="0123456789abcdef", free_port=free_port)


class Running:
    """A server in this process and a channel to it."""

    def __init__(self, *words: str) -> None:
        self.port, self.rest_port = free_port(), free_port()
        self.said: list[str] = []
        flags = parse_flags([f"--port={self.port}", f"--rest_api_port={self.rest_port}", *words])
        self.server = Server(flags, self.said.append)
        self._stopped = threading.Event()
        self._watching = threading.Thread(target=self.server.watch, args=(self._stopped,))
        self._watching.start()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")

    def call(self, path: str, request: Any, answer: Any = None, timeout_s: float = 10.0) -> Any:
        content = self._channel.unary_unary(path)(request.SerializeToString(), timeout=timeout_s)
        return content if answer is None else answer.FromString(content)

    def predict(self, values: Any = SAMPLE, **spec: Any) -> Any:
        return self.call(f"{PREDICTION}/Predict", predict_request(values, **spec), serving.PredictResponse)

    def http(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=10)) as connection:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def close(self) -> None:
        self._stopped.set()
        self._watching.join()
        self._channel.close()
        self.server.stop()
        self.server.close()


@contextlib.contextmanager
def running(*words: str) -> Iterator[Running]:
    server = Running(*words)
    try:
        yield server
    finally:
        server.close()


def predict_request(values: Any = SAMPLE, model: str = "m", **spec: Any) -> Any:
    request = serving.PredictRequest()
    request.model_spec.name = model
    version = spec.pop("version", None)
    if version is not None:
        request.model_spec.version.value = version
    for name, value in spec.items():
        setattr(request.model_spec, name, value)
    tensor = request.inputs["input"]
    tensor.dtype = 1
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = values.tobytes()
    return request


def wait_until(is_true: Any, timeout_s: float = 8.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, "not within its time"
        time.sleep(0.005)
